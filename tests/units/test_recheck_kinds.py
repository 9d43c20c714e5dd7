"""One small run of every kind, computed again: with the metrics of its track, whatever its attack traced, an untouched run is silent."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import pytest
import yaml

from medrobust.plan import plan
from medrobust.recheck import Recheck, recheck
from medrobust.run import compute
from medrobust.store import create_or_open

PGD = {"name": "art-pgd", "as": "pgd", "options": {"steps": 2}, "store": True}
TAMPER = next(each for each in yaml.safe_load((files("medrobust_benchmarks") / "mammo-tamper-demo.yaml").read_text())["attacks"] if each != "none")
BELIEF = ["change-linf", "change-l2", "loss-path", "restart-loss"]
KINDS = MappingProxyType(
    {
        "cls-linf": {
            "data": {"name": "mammogram-phantom", "options": {"test": 2, "size": [128, 128], "labels": "mass"}},
            "targets": ["mammo-resnet-2-128"],
            "attacks": [PGD, {"name": "apgd", "options": {"steps": 2, "restarts": 2}, "store": True}],
            "budget": {"name": "norm", "options": {"epsilon": 4 / 255, "norm": "linf", "low": -1.0, "high": 1.0}},
            "metrics": ["score", "correct", "clean-correct", "fooled", "silent-success", "survives-saving", "image-ssim", *BELIEF],
        },
        "mammo-tamper": {
            "data": {"name": "mammogram-phantom", "options": {"test": 2, "size": [128, 128], "labels": "mass"}},
            "targets": ["mammo-resnet-2-128"],
            "fit_data": {"name": "mammogram-phantom", "options": {"size": [128, 128], "labels": "mass"}},
            "attacks": [TAMPER],
            "budget": {"name": "intensity-range"},
            "metrics": ["score", "grid-index", "local-grid-index", "change", "change-in-lesion", "texture"],
        },
        "seg-deform": {
            "data": {"name": "abdomen-phantom", "options": {"test": 1, "slices": 8}},
            "targets": ["seg-unet"],
            "attacks": [{"name": "fgsm", "store": True}, {"name": "random-field", "options": {"draws": 2}, "store": True}],
            "budget": {"name": "deformation"},
            "metrics": ["dice", "dice-warped", "dice-floor", "missed-organ", "surface-distance", "perceptibility", "displacement", "shading"],
        },
        "seg-linf": {
            "data": {"name": "abdomen-phantom", "options": {"test": 1, "slices": 8}},
            "targets": ["seg-unet"],
            "attacks": [PGD],
            "budget": {"name": "norm", "options": {"epsilon": "20 HU", "norm": "linf", "low": -1024.0, "high": 3071.0}},
            "metrics": ["dice", "missed-organ", "image-ssim", *BELIEF],
        },
        "recon-l2": {
            "data": {"name": "mri-phantom", "options": {"test": 1, "slices": 1, "acceleration": 4, "center_fraction": 0.08}},
            "targets": ["zero-filled"],
            "attacks": [PGD],
            "budget": {"name": "norm", "options": {"epsilon": "1 %", "norm": "l2", "low": 0.0}},
            "metrics": ["nmse", "ssim", "psnr", *BELIEF],
        },
        "recon-fnaf": {
            "data": {"name": "mri-phantom", "options": {"test": 1, "slices": 1, "acceleration": 8, "center_fraction": 0.04}},
            "targets": ["zero-filled"],
            "attacks": [{"name": "fnaf-random", "options": {"trials": 3}, "store": True}],
            "budget": {"name": "feature"},
            "metrics": ["fnaf-loss", "information", "feature-location", "acceleration"],
        },
        "roi": {
            "data": {"name": "glioma-phantom", "options": {"test": 1}},
            "targets": ["roi-resnet"],
            "explainers": [{"name": "grad-cam", "store": True}],
            "metrics": ["dice-grouping", "dice-ceiling", "dice-rank", "dice-cumulative", "missed", "pointing", "deletion", "insertion"],
        },
    }
)
TRACED = MappingProxyType({"cls-linf": {"loss-path", "silent-success", "restart-loss"}, "recon-fnaf": {"fnaf-loss", "information"}})


def computed(track: str, folder: Path) -> list[Recheck]:
    """Every cell with an attack or explainer, computed and computed again."""
    kind = KINDS[track]
    probed = "explained" if "explainers" in kind else "attacked"
    spec = {"suite": "tiny", "track": track, "title": "tiny", "seed": 0, "batch": 8, **kind, "metrics": {probed: kind["metrics"]}}
    spec["data"] = {"split": "test", **kind["data"]}  # type: ignore[dict-item]
    path = folder / "spec.yaml"
    path.write_text(yaml.safe_dump(spec))
    planned = plan(path)
    made = create_or_open("tiny", planned.resolved.spec.plain(), planned.cells, folder)
    for digest in made.digests:
        compute(made.path, digest)
    return [recheck(made, cell, 1) for cell in made.cells() if cell.cell.probe]


@pytest.mark.parametrize("track", sorted(KINDS))
def test_an_untouched_run_is_silent(track: str, tmp_path: Path) -> None:
    checks = computed(track, tmp_path)
    assert checks
    assert all(check.cases and check.rows for check in checks)
    assert [(check.name, check.problem) for check in checks if check.problem] == []
    assert [one.text for check in checks for one in check.differing] == []
    excused = {line.split(":")[0].split()[0] for check in checks for line in check.unable}
    assert excused >= TRACED.get(track, set())
