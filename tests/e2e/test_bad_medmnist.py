"""MedMNIST files and defenses at run time through the command line: a grid that runs, and one line with the documented exit code for mistakes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medrobust.cli.app import call
from medrobust.store import open_run

SPEC = """\
suite: bad
track: grid
data: {name: medmnist, options: {file: FILE}}
targets: [{name: resnet-2d, as: reader, options: {depth: 10, widths: [8, 8, 16, 16], stem: 3}}]
defenses: [none, {name: jpeg, options: {low: LOW}}, SMOOTHING]
attacks: [none, {name: art-pgd, as: pgd, options: {steps: 2}}]
transfer: [pgd]
budget: {name: norm, options: {epsilon: 8/255, low: 0.0, high: 1.0}}
metrics: {none: [correct, certified-radius, abstained], attacked: [correct]}
batch: 3
"""
SMOOTHING = "{name: randomised-smoothing, options: {sigma: 0.1, samples: 3}}"
SIZES = {"train": 8, "val": 4, "test": 6}
DEFENSES = ("none", "jpeg", "randomised-smoothing")
Arrays = dict[str, np.ndarray]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def arrays(classes: int = 2) -> Arrays:
    random = np.random.default_rng(0)
    images = {f"{split}_images": random.integers(0, 256, (count, 28, 28), dtype=np.uint8) for split, count in SIZES.items()}
    return images | {f"{split}_labels": (np.arange(count)[:, None] % classes).astype(np.uint8) for split, count in SIZES.items()}


def run(tmp_path: Path, content: Arrays | None, **words: str) -> int:
    if content is not None:
        np.savez_compressed(tmp_path / "set.npz", **content)
    spec = SPEC.replace("FILE", str(tmp_path / "set.npz"))
    for word, text in ({"LOW": "0.0", "SMOOTHING": SMOOTHING} | words).items():
        spec = spec.replace(word, text)
    (tmp_path / "spec.yaml").write_text(spec)
    return call(["run", str(tmp_path / "spec.yaml"), "--out", str(tmp_path / "runs"), "--executor", "local"])


def states(tmp_path: Path) -> dict[tuple[str, str], str]:
    (made,) = (tmp_path / "runs").iterdir()
    return {(cell.cell.columns["defense"], cell.cell.columns["attack"]): cell.state().status for cell in open_run(made).cells()}


def test_a_defended_target_is_run_clean_attacked_through_its_defense_and_by_transfer(tmp_path: Path) -> None:
    assert run(tmp_path, arrays()) == 0
    found = states(tmp_path)
    assert set(found.values()) == {"done"}
    sources = {defense: f"pgd from reader{'' if defense == 'none' else f'+{defense}'}" for defense in DEFENSES}
    for defense in DEFENSES:
        assert {(defense, "none"), (defense, "pgd"), *((defense, sources[other]) for other in DEFENSES if other != defense)} <= set(found)
    (made,) = (tmp_path / "runs").iterdir()
    for cell in open_run(made).cells():
        checks = {finding["id"] for finding in json.loads((cell.path / "validity.json").read_text())["findings"]}
        assert not checks & {"V02", "V03", "V04", "V14"}, "answers repeat, and a gradient leads through every defense"
    certified = {row["defense"]: row["metric"] for cell in open_run(made).cells() for row in cell.rows() if row["metric"] == "certified-radius"}
    assert set(certified) == set(DEFENSES)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda content: content.pop("test_labels"), "set.npz: found no array 'test_labels'"),
        (lambda content: content.update(test_images=content["test_images"].astype(float)), "set.npz: test_images: found float64, expected uint8"),
        (lambda content: content.update(val_labels=np.ones((4, 14), np.uint8)), "multi-label sets such as ChestMNIST are not supported"),
        (lambda content: content.update(val_labels=np.array([None] * 4)), "val_labels: found pickled Python objects, expected numbers"),
        (lambda content: content.update(test_labels=content["test_labels"] + 7), "test_labels: found the class 7, expected one of the training"),
    ],
    ids=["no labels", "floats", "multi-label", "pickled", "unknown class"],
)
def test_a_bad_file_is_one_line_before_anything_is_computed(tmp_path: Path, capsys: Capture, change: Callable[[Arrays], object], line: str) -> None:
    content = arrays()
    change(content)
    assert run(tmp_path, content) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: ")
    assert line in said
    assert not (tmp_path / "runs").exists()


def test_no_file_and_no_archive_are_one_line(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, None) == 1
    (tmp_path / "set.npz").write_bytes(b"nothing")
    assert run(tmp_path, None) == 1
    first, second = capsys.readouterr().err.splitlines()
    assert "set.npz: found no such file, expected an npz file of MedMNIST" in first
    assert "set.npz: found no npz archive that can be read" in second


def test_a_wrong_range_fails_the_cells_behind_that_defense_alone(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, arrays(), LOW="0.9") == 2
    said = " ".join(capsys.readouterr().out.split())
    assert "low and high: found intensities from" in said
    assert "Traceback" not in said
    failed = {place for place, status in states(tmp_path).items() if status == "failed"}
    assert {("jpeg", "none"), ("jpeg", "pgd")} <= failed
    assert all(defense == "jpeg" or attack == "pgd from reader+jpeg" for defense, attack in failed)


def test_a_third_class_for_one_logit_is_one_line_where_it_is_attacked(tmp_path: Path, capsys: Capture) -> None:
    assert run(tmp_path, arrays(3), SMOOTHING="bit-depth") == 2
    assert "found the class 2, expected 0 or 1: the network has one logit" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ({"SMOOTHING": "{name: randomised-smoothing, options: {sigma: 0}}"}, "sigma"),
        ({"SMOOTHING": "{name: spatial-smoothing, options: {window: 4}}"}, "window: found 4, expected an odd number"),
        ({"SMOOTHING": "{name: jpg}"}, "no 'jpg' among defenses"),
        ({"LOW": "high"}, "low"),
    ],
)
def test_a_bad_setting_of_a_defense_is_one_line(tmp_path: Path, capsys: Capture, words: dict[str, str], line: str) -> None:
    assert run(tmp_path, arrays(), **words) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said
    assert "spec.yaml:" in said
