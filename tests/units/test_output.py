"""Rows on a screen of 80 columns: nothing is cut, and no name breaks that need not."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from medrobust.cli.app import call
from medrobust.cli.output import fitted, print_rows, show

NAMES = [{"cell": "332c8ca600c6", "name": "4x recon-unet+fnaf-robust fnaf-random from recon-irim", "status": "done", "seconds": "112.3"}]


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def test_columns_give_way_between_words_the_widest_first() -> None:
    assert fitted(NAMES, 100) == [12, 53, 6, 7]
    assert fitted(NAMES, 60) == [12, 29, 6, 7]
    assert fitted([{"a": "x" * 30, "b": "y"}], 28) == [25, 1]
    assert fitted([{"a": "x" * 30, "b": "y" * 30}], 40) is None
    assert fitted([{"a": "one two", "b": "three four"}], 14, whole=("b",)) is None


def test_a_row_that_no_table_holds_is_told_with_every_value_named(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(Console(width=40), [{"name": "x" * 30, "digest": "d" * 30}, {"name": "second", "digest": "e"}])
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert said == ["x" * 30, f"  digest {'d' * 30}", "second", "  digest e"]


def test_a_plan_has_a_line_a_cell_with_whole_digests_and_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["plan", "cls-linf-demo", "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)
    assert call(["plan", "cls-linf-demo"]) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    for cell in cells:
        assert f"\n{cell['cell']}  {cell['condition']}" in said
        assert f"\ntarget {cell['target']}, defense {cell['defense']}\n" in said


def test_a_wide_screen_has_one_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"target": "net", "attack": name} for name in ("none", "pgd")]
    show(rows, as_json=False, by=("target",))
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [["target", "attack"], ["net", "none"], ["net", "pgd"]]
    monkeypatch.setenv("COLUMNS", "10")
    show(rows, as_json=False, by=("target",))
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == ["", "target net", "attack", "none", "pgd"]


@pytest.mark.parametrize("verb", [["list", "attacks"], ["list", "zoo"], ["list", "specs"], ["list"]])
def test_no_listing_is_wider_than_the_screen(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert call(verb) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= 80
    assert "\u2026" not in said
