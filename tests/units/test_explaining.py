"""Explainers in the runner: what they are shown, how their maps are checked, measured, stored and repeated, and how trained ones are trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from medrobust import claims
from medrobust.artifacts import load_explained, stored_digest
from medrobust.assemble import assemble
from medrobust.cell import Cell
from medrobust.data.cache import user_cache
from medrobust.digests import plain
from medrobust.errors import CellError, SpecError
from medrobust.explaining import shuffled
from medrobust.files import read_json
from medrobust.fitting import FITS
from medrobust.plan import plan
from medrobust.run import compute
from medrobust.store import MARKER, CellFolder, Run
from medrobust.targets.card import WEIGHTS

MakeRun = Callable[..., Run]
ATTACKS = "  - none\n  - {name: tiny-search, store: true}\n  - tiny-gradient\n"
METRICS = ("attacked: [tiny-error]", "attacked: [tiny-error], explained: [tiny-agreement]")


def explainers(*entries: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """The spec with these explainers in place of its attacks."""
    return (ATTACKS, "  - none\nexplainers:\n" + "".join(f"  - {entry}\n" for entry in entries)), METRICS


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


def computed(run: Run, explainer: str, status: str = "done", target: str = "unet") -> CellFolder:
    folder = next(one for one in run.cells() if one.cell.columns["attack"] == explainer and one.cell.columns["target"] == target)
    assert compute(run.path, folder.digest) == status
    return folder


def values(folder: CellFolder, label: str) -> list[float]:
    frame = pd.DataFrame(folder.rows())
    return [float(value) for value in frame[frame["label"] == label]["value"]]


def test_an_explainer_is_run_on_clean_images_and_its_map_measured_and_stored(make_run: MakeRun) -> None:
    run = make_run(*explainers("{name: tiny-explains, as: quadrants, store: true}"))
    folder = computed(run, "quadrants")
    rows = pd.DataFrame(folder.rows())
    assert set(rows["metric"]) == {"tiny-agreement", MARKER}
    assert (rows["metric"] == MARKER).sum() == 12
    assert max(values(folder, "answer")) == 0
    assert max(values(folder, "same")) == 0
    assert max(values(folder, "seed")) == 0
    assert min(values(folder, "shuffled")) > 0
    stored = load_explained(folder.stored, rows["case"].iloc[0])
    assert stored["relevance"].dtype == np.float32
    assert len(np.unique(stored["regions"])) == 4
    assert stored["relevance"].mean() == pytest.approx(values(folder, "map")[0], rel=1e-5)
    assert folder.state().artifact == stored_digest(folder.stored)
    assert read_json(folder.path / "env.json")["forward passes"] == 5 * 12


def test_a_map_depends_on_its_seed_alone_not_on_the_batch(make_run: MakeRun) -> None:
    entry = "{name: tiny-explains, options: {noise: 1.0}}"
    whole, single = make_run(*explainers(entry)), make_run(*explainers(entry), out="others")
    folder = computed(whole, "tiny-explains")
    assert compute(single.path, folder.digest, batch=1) == "done"
    one, other = (pd.DataFrame(each.rows()).sort_values(["case", "metric", "label"]) for each in (folder, single.cell(folder.digest)))
    assert np.array_equal(one.to_numpy(), other.to_numpy())
    assert min(values(folder, "seed")) > 0


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("shape", "relevance: found .*, expected"),
        ("type", "expected .* torch.float32"),
        ("nan", "values that are not finite"),
        ("regions", "labels from 0"),
    ],
)
def test_a_map_that_breaks_the_contract_fails_its_cell_with_one_line(make_run: MakeRun, what: str, expected: str) -> None:
    folder = computed(make_run(*explainers(f"{{name: tiny-explains, options: {{what: {what}}}}}")), "tiny-explains", "failed")
    with pytest.raises(CellError, match=f"explainer tiny-explains: ValueError: .*{expected}"):
        raise CellError(folder.state().error)


def test_a_trained_explainer_is_trained_once_for_a_target_and_seed_and_kept(make_run: MakeRun, tmp_path: Path) -> None:
    log = tmp_path / "fits.log"
    entries = [f"{{name: tiny-fitted, as: {name}, options: {{shift: {shift}, log: '{log}'}}}}" for name, shift in (("one", 0.0), ("two", 1.0))]
    run = make_run(*explainers(*entries), out="runs")
    one, two = computed(run, "one"), computed(run, "two")
    seeds = log.read_text().split()
    assert len(seeds) == 3, "its own, another seed, shuffled weights: one training each, shared by both explainers"
    assert seeds[0] == seeds[2] == "0" != seeds[1]
    assert min(values(one, "seed")) > 0.5
    assert np.allclose(np.array(values(two, "map")) - values(one, "map"), 1, atol=1e-5)
    assert read_json(one.path / "env.json")["forward passes"] == 0.25 * 12
    assert read_json(one.path / "fit.json") == {"step": 1, "steps": 2, "loss": 0.5}
    other = computed(make_run(*explainers(entries[0]), out="again"), "one")
    assert other.rows() == one.rows()
    assert len(log.read_text().split()) == 3, "what was trained is not trained again in another run"


def test_weights_that_another_process_finished_at_the_last_moment_are_taken(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "fits.log"
    entry = f"{{name: tiny-fitted, options: {{log: '{log}'}}}}"
    first = computed(make_run(*explainers(entry), out="runs"), "tiny-fitted")
    for weights in (user_cache() / FITS).glob(f"*/{WEIGHTS}"):
        weights.rename(weights.with_suffix(".away"))
    acquire = claims.acquire

    def finished(folder: Path, stale: float = claims.STALE) -> claims.Claim | None:
        claim, away = acquire(folder, stale), (folder / WEIGHTS).with_suffix(".away")
        if away.exists():
            away.rename(folder / WEIGHTS)
        return claim

    monkeypatch.setattr(claims, "acquire", finished)
    assert computed(make_run(*explainers(entry), out="again"), "tiny-fitted").rows() == first.rows()
    assert len(log.read_text().split()) == 3, "nothing was trained again"


def test_a_training_that_breaks_off_fails_its_cell_and_starts_again(make_run: MakeRun, tmp_path: Path) -> None:
    die = tmp_path / "die"
    die.touch()
    run = make_run(*explainers(f"{{name: tiny-fitted, options: {{die: '{die}'}}}}"))
    folder = computed(run, "tiny-fitted", "failed")
    assert folder.state().error == "explainer tiny-fitted: RuntimeError: the training stops here"
    assert computed(run, "tiny-fitted").digest == folder.digest


def test_an_attack_may_be_trained_too(make_run: MakeRun) -> None:
    folder = computed(make_run(("  - tiny-gradient\n", "  - tiny-trained\n")), "tiny-trained")
    assert folder.cell.fit is not None
    assert folder.cell.fit.name == "tiny-data"


def test_what_a_probe_is_trained_on_can_be_named_and_is_part_of_its_identity(write_spec: Callable[..., str]) -> None:
    replaced = explainers("tiny-fitted", "tiny-explains")
    own = plan(write_spec(*replaced)).cells
    other = plan(write_spec(*replaced, ("conditions:", "fit_data: {name: tiny-data, options: {patients: 7}}\nconditions:"))).cells
    moved = [a.columns["attack"] for a, b in zip(own, other, strict=True) if a.digest != b.digest]
    assert moved == ["tiny-fitted", "tiny-fitted"], "zero-filled and U-Net; what is not trained keeps its identity"
    assert all(Cell.of(plain(cell)) == cell for cell in other)


def test_a_condition_overrides_options_of_explainers(write_spec: Callable[..., str]) -> None:
    path = write_spec(*explainers("tiny-explains"), ("half: {data: {keep: 0.5}}", "half: {explainer: {noise: 0.5}}"))
    (cell, _) = [cell for cell in plan(path).cells if cell.explainer]
    assert cell.explainer is not None
    assert cell.explainer.options["noise"] == 0.5
    wrong = write_spec(*explainers("tiny-explains"), ("half: {data: {keep: 0.5}}", "half: {explainer: {noize: 0.5}}"))
    with pytest.raises(SpecError, match=r"explainer\.noize: no explainer of this spec has such a field; did you mean noise"):
        plan(wrong)


def test_shuffled_weights_keep_every_value_and_no_place(make_run: MakeRun) -> None:
    cell = next(folder.cell for folder in make_run().cells() if folder.cell.columns["target"] == "unet")
    target = assemble(cell, "cpu").target
    one, again, other = (shuffled(target, seed) for seed in (1, 1, 2))
    for name, tensor in target.network.state_dict().items():  # type: ignore[attr-defined]
        found = one.network.state_dict()[name]  # type: ignore[attr-defined]
        assert torch.equal(found.flatten().sort().values, tensor.flatten().sort().values)
        assert torch.equal(found, again.network.state_dict()[name])  # type: ignore[attr-defined]
        assert tensor.numel() < 9 or not torch.equal(found, tensor)
    assert len({target.digest, one.digest, other.digest}) == 3
    assert one.digest == again.digest


def test_the_network_is_closed_to_black_box_explainers(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    import tiny_plugins

    monkeypatch.setattr(tiny_plugins.Fitted, "threat", "black-box")
    folder = computed(make_run(*explainers("tiny-fitted")), "tiny-fitted", "failed")
    assert "closed to black-box probes" in folder.state().error
