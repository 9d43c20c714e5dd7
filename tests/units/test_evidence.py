from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medrobust.cell import Cell
from medrobust.evidence import figures_apply, trained_on
from medrobust.plan import plan
from medrobust.registry import build
from medrobust.targets.card import Card


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


def test_patients_come_from_the_split_that_the_card_names(cell: Cell, tiny: Path) -> None:
    data = build("data", "tiny-data", {"patients": 2})
    assert trained_on(card(data="tiny-data", split="train"), cell, data) == {"patient 0", "patient 1"}
    assert trained_on(card(data="other"), cell, data) is None
    assert trained_on(None, cell, data) is None


def test_the_phantom_names_its_patients_without_making_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cell: Cell) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    data = build("data", "mri-phantom", {"train": 3})
    assert trained_on(card(data="tiny-data", split="train"), cell, data) == {f"phantom_train_000{index}" for index in range(3)}
    assert not (tmp_path / "cache").exists()
