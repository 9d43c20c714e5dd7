"""Slices under attack: what a cell keeps of them, which are committed, and what is drawn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch
from seg_rows import EFFECTS, made

from medrobust.artifacts import collect, load_attacked, save_attacked, stored_digest
from medrobust.assemble import assemble
from medrobust.cli.run import prepare
from medrobust.imaging.deformation import warp, warp_labels
from medrobust.imaging.slices import windowed
from medrobust.leaderboard import pictures
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.pictures import Picture
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.seg_deform.panels import panels, typical
from medrobust.leaderboard.sources import load
from medrobust.leaderboard.tables import Figure
from medrobust.plan import plan
from medrobust.run import compute
from medrobust.types import Attacked, Batch, Case

SIZE = 32


def batch(cases: tuple[Case, ...], empty: int = -1) -> Batch:
    """Slices of a body of 40 HU in air with as many organs as the slice's number in its name; slice `empty` shows none."""
    image = torch.full((len(cases), 1, SIZE, SIZE), -1000.0)
    image[..., 4:28, 6:30] = 40.0
    truth = torch.zeros(image.shape, dtype=torch.int64)
    for index, case in enumerate(cases):
        for label in range(1, 1 + int(case.case[-1])):
            truth[index, 0, 5 * label : 5 * label + 4, 10:20] = label if index != empty else 0
    image[truth == 4] = 140.0
    n = len(cases)
    return Batch(image, truth, cases, {"mean": torch.zeros(n), "std": torch.ones(n), "spacing": torch.ones(n, 2)})


def shifted(clean: Batch, rows: float = 2.0, shading: float = 30.0) -> Attacked:
    field = torch.zeros(len(clean), 2, SIZE, SIZE)
    field[:, 0] = rows
    return Attacked(warp(clean.image, field) + shading, warp_labels(clean.truth, field), field=field)


def said(truth: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of an answer that is right everywhere."""
    return torch.nn.functional.one_hot(truth[:, 0], 5).movedim(-1, 1).float().log_softmax(1)


@pytest.fixture
def six() -> Batch:
    return batch(tuple(Case(f"s{subject}#{index:03d}", f"s{subject}", f"s{subject}") for subject in range(6) for index in (1, 4, 2)))


def folder(path: Path, clean: Batch, attacked: Attacked, **keeps: object) -> SimpleNamespace:
    """What pictures need of a cell's folder."""
    save_attacked(path, clean, attacked, **keeps)  # type: ignore[arg-type]
    collect(path / "artifacts" / "attacked.h5", clean.cases)
    rows = [{"case": name, "patient": case.patient} for case in clean.cases for name in (case.case, case.group)]
    return SimpleNamespace(stored=path / "artifacts" / "attacked.h5", digest="d1", rows=lambda: rows)


def test_what_is_kept_of_a_slice_is_what_was_seen(six: Batch, tmp_path: Path) -> None:
    attacked = shifted(six)
    assert attacked.truth is not None
    kept = pictures.stored(folder(tmp_path, six, attacked, said=(said(six.truth), said(attacked.truth))))  # type: ignore[arg-type]
    arrays = kept[0].arrays
    row = six.cases.index(next(case for case in six.cases if case.case == kept[0].case))
    assert (arrays["image"] == windowed(six.image[row, 0]).numpy()).all()
    assert sorted(np.unique(arrays["image"])) == [0, round(200 / 400 * 255), round(300 / 400 * 255)]
    assert (arrays["shading"] == 30).all(), "the shading alone, whatever moved"
    assert (arrays["moved"] == attacked.truth[row, 0].numpy()).all()
    assert (arrays["after"] == arrays["moved"]).all()
    assert (arrays["before"] == arrays["truth"]).all()
    assert (arrays["truth"] != arrays["moved"]).any()
    assert arrays["field"].shape == (2, SIZE // 4, SIZE // 4)
    assert (arrays["field"][0] == 2).all()
    assert not arrays["field"][1].any()


def test_the_first_subjects_are_shown_each_by_the_slice_that_shows_most(six: Batch, tmp_path: Path) -> None:
    kept = pictures.stored(folder(tmp_path, six, shifted(six), said=(said(six.truth), said(six.truth))))  # type: ignore[arg-type]
    assert [picture.case for picture in kept] == [f"s{subject}#004" for subject in range(pictures.PATIENTS)]


def test_pictures_change_nothing_that_is_replayed(six: Batch, tmp_path: Path) -> None:
    attacked = shifted(six)
    for name, keeps in (("with", {"said": (said(six.truth), said(six.truth))}), ("without", {})):
        folder(tmp_path / name, six, attacked, **keeps)
        again = load_attacked(tmp_path / name, six)
        assert torch.equal(again.image, attacked.image)
        assert torch.equal(again.truth, attacked.truth)  # type: ignore[arg-type]
        assert torch.equal(again.field, attacked.field)  # type: ignore[arg-type]
        assert dict(again.context) == {}
    assert len({stored_digest(tmp_path / name / "artifacts" / "attacked.h5") for name in ("with", "without")}) == 2
    assert not pictures.stored(folder(tmp_path / "none", six, attacked))  # type: ignore[arg-type]


def test_a_cell_that_stored_nothing_has_no_pictures(tmp_path: Path) -> None:
    assert not pictures.stored(SimpleNamespace(stored=tmp_path / "attacked.h5"))  # type: ignore[arg-type]


def pictured(found: Evidence, tmp_path: Path, attacks: tuple[str, ...] = ("xi=0.5", "xi=2.0", "pgd")) -> Evidence:
    """The evidence with pictures of three subjects, committed and read again; `pgd` moves nothing."""
    clean = batch(tuple(Case(f"s{subject}#004", f"s{subject}", f"s{subject}") for subject in range(3)))
    kept: list[Picture] = []
    for record in found.records:
        if record.attack in attacks:
            attacked = shifted(clean) if record.attack != "pgd" else Attacked(clean.image + 10)
            truth = clean.truth if attacked.truth is None else attacked.truth
            place = folder(tmp_path / record.digest, clean, attacked, said=(said(clean.truth), said(truth)))
            place.digest = record.digest
            kept += pictures.stored(place)  # type: ignore[arg-type]
    pictures.commit(kept, tmp_path / "committed")
    return replace(found, pictures=tuple(pictures.committed(tmp_path / "committed")))


def section(found: Evidence) -> Section:
    (only,) = sections(found)
    return only


def test_panels_survive_their_file_and_are_drawn_of_each_model(tmp_path: Path) -> None:
    found = pictured(made(), tmp_path)
    assert len(found.pictures) == 2 * 3 * 3
    figures = panels(section(found))
    assert [figure.title for figure in figures] == ["Slices under attack", "One slice under every attack", "Slices under attack"]
    assert len({figure.name for figure in figures}) == 3
    first, every, defended = figures
    assert isinstance(first, Figure)
    assert isinstance(every, Figure)
    assert "seg-unet, all, attack xi=2.0" in first.description
    assert "seg-unet + adversarial" in defended.description  # type: ignore[union-attr]
    assert list(first.points) == ["s0#004", "s1#004", "s2#004"]
    assert all(all(row.values()) and len(row) == 7 for row in first.points.values())
    assert {attack: row["field"] for attack, row in every.points.items()} == {"xi=0.5": True, "xi=2.0": True, "pgd": False}
    assert first.png.startswith(b"\x89PNG")
    assert first.svg == panels(section(found))[0].svg  # type: ignore[union-attr]
    assert "pancreas, kidneys, liver, spleen, as in the legend" in first.description


def test_equal_arrays_are_committed_once_and_equal_pictures_to_equal_bytes(tmp_path: Path) -> None:
    found = pictured(made(), tmp_path)
    path = tmp_path / "committed" / pictures.PICTURES
    with h5py.File(path) as file:
        clean = {h5py.h5o.get_info(group["image"].id).addr for cell in file.values() for group in cell.values()}
    assert len(clean) == 1, "three subjects alike under three attacks of two models"
    pictures.commit(found.pictures, tmp_path / "again")
    assert (tmp_path / "again" / pictures.PICTURES).read_bytes() == path.read_bytes()


def test_the_papers_strength_is_shown_else_what_moves() -> None:
    moving, still = {"c": {"field": np.zeros(1)}}, {"c": {"after": np.zeros(1)}}
    assert typical({"pgd": still, "xi=0.5": moving, "xi=2.0": moving}) == "xi=2.0"
    assert typical({"pgd": still, "xi=0.5": moving}) == "xi=0.5"
    assert typical({"pgd": still}) == "pgd"


def test_a_slice_of_nothing_is_drawn(tmp_path: Path) -> None:
    found = made({"xi=2.0": EFFECTS["xi=2.0"]}, (("seg-unet", "none"),))
    blank = np.zeros((10, 9), dtype=np.uint8)
    arrays = dict.fromkeys(("image", "attacked", "truth", "moved", "before", "after"), blank)
    arrays |= {"shading": blank.astype(np.int16), "field": np.zeros((2, 3, 3), dtype=np.float16)}
    (figure,) = panels(section(replace(found, pictures=(Picture(found.records[1].digest, "s00#000", arrays),))))
    assert list(figure.points) == ["s00#000"]  # type: ignore[union-attr]


PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
import torch
from medrobust.imaging.deformation import warp, warp_labels
from medrobust.testing.slices import Densities
from medrobust.types import Attacked

@dataclass(frozen=True)
class Segmenter:
    task: ClassVar[str] = "segmentation"
    def build(self):
        return Densities()

@dataclass(frozen=True)
class Shift:
    threat: ClassVar[str] = "black-box"
    def __call__(self, target, batch, budget, rng):
        field = torch.zeros(len(batch), 2, *batch.image.shape[2:])
        field[:, 1] = 1
        return Attacked(warp(batch.image, field), warp_labels(batch.truth, field), field=field)
"""
SPEC = """\
suite: slices
track: seg-deform
data: {name: slice-bench}
conditions: {all: {}}
targets: [densities]
attacks: [none, {name: shift, store: true}]
budget: {name: slice-budget, options: {radius: 1000}}
metrics: {none: [dice], attacked: [dice, dice-warped]}
"""
POINTS = """\
[medrobust.data]
slice-bench = medrobust.testing.slices:SliceData
[medrobust.targets]
densities = slice_plugins:Segmenter
[medrobust.attacks]
shift = slice_plugins:Shift
[medrobust.budgets]
slice-budget = medrobust.budgets:MaximumNorm
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec of the test bench's slices, with an attack that shifts them by a column."""
    place = tmp_path / "plugins"
    (place / "slice_plugins-1.dist-info").mkdir(parents=True)
    (place / "slice_plugins-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: slice-plugins\nVersion: 1\n", encoding="utf-8")
    (place / "slice_plugins-1.dist-info" / "entry_points.txt").write_text(POINTS, encoding="utf-8")
    (place / "slice_plugins.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    monkeypatch.syspath_prepend(str(place))
    return tmp_path / "spec.yaml"


def test_a_run_keeps_what_its_attack_and_its_target_did(spec: Path, tmp_path: Path) -> None:
    run = prepare(plan(str(spec)), tmp_path / "runs")
    assert {compute(run.path, digest) for digest in run.digests} == {"done"}
    found = load(run.path)
    assert [picture.case.partition("#")[0] for picture in found.pictures] == ["slice0", "slice1"]
    cell = next(cell for cell in run.cells() if cell.cell.attack)
    bench = assemble(cell.cell, "cpu")
    for picture in found.pictures:
        arrays = picture.arrays
        clean = bench.data.load([case for case in bench.cases if case.case == picture.case])
        attacked = load_attacked(cell.path, clean)
        for name, image in (("before", clean.image), ("after", attacked.image)):
            assert (arrays[name] == bench.target(image, clean)[0].argmax(0).numpy()).all()
        assert (arrays["before"] != arrays["after"]).any()
        assert (arrays["field"][1] == 1).all()
        assert not arrays["shading"].any()
        assert (arrays["moved"][:, :-1] == arrays["truth"][:, 1:]).all()
    assert [figure.name for figure in panels(section(found))] == ["panels-1"]
