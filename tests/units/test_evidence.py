from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from medrobust.assemble import Bench
from medrobust.cell import Cell
from medrobust.data.watched import Watched
from medrobust.evidence import NamesPatients, figures_apply, trained_on
from medrobust.plan import plan
from medrobust.registry import build
from medrobust.targets.card import Card
from medrobust.types import Data


@pytest.fixture
def cell(write_spec: Callable[..., str]) -> Cell:
    return plan(write_spec(("keep: 0.5", "keep: 0.25"))).cells[0]


def card(**training: Any) -> Card:
    figures = {"ssim@half": 0.7}
    return Card(name="x", task="reconstruction", architecture="unet", target="x", digest="0" * 12, figures=figures, training=training)


def test_figures_apply_where_only_swept_options_differ(cell: Cell, write_spec: Callable[..., str]) -> None:
    digest = build("data", "tiny-data", {}).digest
    assert cell.data_digest != digest
    assert figures_apply(card(data="tiny-data", data_digest=digest), cell)
    assert not figures_apply(card(data="tiny-data", data_digest="0" * 12), cell)
    assert not figures_apply(card(data="other", data_digest=digest), cell)
    assert not figures_apply(card(data="tiny-data"), cell)
    limited = plan(write_spec(), limit=3).cells[0]
    assert not figures_apply(card(data="tiny-data", data_digest=digest), limited)


def bench(data: Data, **further: Any) -> Bench:
    return Bench(data, (), None, None, None, (), **further)  # type: ignore[arg-type]


def test_patients_come_from_the_split_that_the_card_names(cell: Cell, tiny: Path) -> None:
    data = bench(build("data", "tiny-data", {"patients": 2}))
    assert trained_on(card(data="tiny-data", split="train"), cell, data) == {"target": {"train patient 0", "train patient 1"}}
    assert trained_on(card(data="other"), cell, data) == {}
    assert trained_on(None, cell, data) == {}


def test_patients_come_from_what_a_defense_read_and_an_attack_is_fitted_on_too(cell: Cell, tiny: Path) -> None:
    data, other = build("data", "tiny-data", {"patients": 2}), build("data", "tiny-data", {"patients": 1})
    fitted = replace(cell, fit=replace(cell.data))
    found = trained_on(None, fitted, bench(data, fit=other, read=frozenset({"patient 1"})))
    assert found == {"defense": {"patient 1"}, "attack": {"train patient 0"}}
    assert trained_on(None, replace(cell, fit=replace(cell.data, name="elsewhere")), bench(data, fit=other)) == {}


def test_the_phantom_names_its_patients_without_making_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cell: Cell) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    data = bench(build("data", "mri-phantom", {"train": 3}))
    assert trained_on(card(data="tiny-data", split="train"), cell, data) == {"target": {f"phantom_train_000{index}" for index in range(3)}}
    assert not (tmp_path / "cache").exists()


def test_a_watched_data_set_is_the_same_but_for_what_it_notes(tiny: Path) -> None:
    data = build("data", "tiny-data", {"patients": 3})
    watched = Watched(data)
    cases = watched.cases("train")
    assert (watched.task, watched.digest, watched.label, list(cases)) == (data.task, data.digest, data.label, data.cases("train"))
    assert watched.read == set()
    assert torch.equal(watched.load(cases[3:5]).image, data.load(cases[3:5]).image)
    assert watched.read == {"train patient 1"}
    assert not isinstance(watched, NamesPatients)
    assert Watched(build("data", "mri-phantom", {"train": 1})).patients_of("train") == ["phantom_train_0000"]
