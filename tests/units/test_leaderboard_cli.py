"""The verbs leaderboard, paper and compare, as a user meets them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rows import Plan, synthetic, write_committed

from medrobust.cli.app import call
from medrobust.errors import StoreError
from medrobust.leaderboard.differences import differences, side
from medrobust.leaderboard.evidence import Evidence, evidence

PLAN = Plan(models=(("recon-unet", "none"), ("recon-unet", "fnaf-robust")), attacks=("fnaf-random",), conditions=("4x",), patients=4, transfer=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_committed(synthetic(PLAN), tmp_path / "committed")


def shifted(found: Evidence, by: float, metric: str = "ssim") -> Evidence:
    rows = found.rows.copy()
    rows.loc[rows.metric == metric, "value"] += by
    return evidence("shifted", rows, found.records)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_terminal_shows_the_first_tables_within_its_width(folder, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    assert call(["leaderboard", str(folder)]) == 0
    *shown, path = capsys.readouterr().out.splitlines()
    assert path == f"page: {folder / 'index.html'}"
    assert max(map(len, shown)) <= width
    for words in ("Attack rate", "Clean image quality", "What the defense gains", "phantom: MNI152 head, 320x320", "fnaf-robust"):
        assert words in "\n".join(shown)


def test_json_is_the_whole_page_and_writes_nothing(folder, capsys):
    before = sorted(folder.iterdir())
    assert call(["leaderboard", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chapters"][0]["tables"][0]["name"] == "attack-rate"
    assert call(["leaderboard", str(folder), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("data,table,line,column,estimate")
    assert sorted(folder.iterdir()) == before


def test_mistakes_are_one_line_and_exit_code_1(folder, tmp_path, capsys):
    for arguments, expected in (
        (["leaderboard", str(folder), "--format", "pdf"], "format: no 'pdf'"),
        (["leaderboard", str(tmp_path / "nothing")], "found no folder"),
        (["leaderboard", str(folder), str(folder), "--commit", str(tmp_path / "x")], "--commit: found 2 runs, expected one"),
        (["paper", "fanf", str(folder)], "paper: no 'fanf'; did you mean fnaf?"),
        (["paper", "fnaf", str(folder), "--format", "html"], "format: no 'html' for a paper"),
        (["compare", str(folder), str(folder / "cells" / "0123")], "found no such cell"),
    ):
        assert call(arguments) == 1
        error = capsys.readouterr().err
        assert expected in error
        assert error.count("\n") == 1


def test_commit_writes_the_small_form_and_draws_from_it(folder, tmp_path, capsys):
    assert call(["leaderboard", str(folder), "--commit", str(tmp_path / "small")]) == 0
    assert capsys.readouterr().out.endswith(f"page: {tmp_path / 'small' / 'index.html'}\n")
    assert {"cells.json", "rows.csv.gz", "index.html", "leaderboard.md"} <= {path.name for path in (tmp_path / "small").iterdir()}


def test_paper_prints_both_sides(folder, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    assert call(["paper", "fnaf", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "84.44" in out
    assert "not run" in out
    assert call(["paper", "fnaf", str(folder), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["chapters"][0]["tables"]) == 6


def test_compare_of_a_run_with_itself_is_nothing(folder, capsys):
    assert call(["compare", str(folder), str(folder)]) == 0
    out = capsys.readouterr().out
    count = out.rsplit("\n", 2)[-2].split()
    assert count[0] == count[2]
    assert call(["compare", str(folder), str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["differences"]
    assert {one["difference"] for one in found} == {0.0}
    assert not any(one["label"].startswith("q=") for one in found)


def test_differences_are_paired_by_case_with_an_interval():
    one = synthetic(PLAN)
    two = shifted(one, 0.01)
    found = [each for each in differences(one, two) if each.metric == "ssim"]
    assert len(found) == 2
    for each in found:
        assert each.difference == pytest.approx(0.01)
        assert math.isnan(each.low), "the same change in every case says nothing of how much it varies"
        assert (each.cases, each.equal, each.patients) == (4, 0, 4)
    rest = [each for each in differences(one, two) if each.metric != "ssim"]
    assert all(each.equal == each.cases for each in rest)
    assert len(differences(one, two, every_label=True)) == len(found) + len(rest) + 8


def test_cases_of_one_side_alone_are_counted_and_not_compared():
    one = synthetic(PLAN)
    two = evidence("fewer", one.rows[one.rows["case"] != "vol00.h5#000"], one.records)
    found = [each for each in differences(one, two) if each.metric == "fnaf-loss"]
    assert {(each.cases, each.only_first, each.only_second) for each in found} == {(15, 1, 0)}


def test_two_cells_of_other_names_are_compared_whatever_their_names():
    whole = synthetic(PLAN)
    records = [record for record in whole.records if record.attack == "fnaf-random"]
    picked = [evidence(record.digest, whole.rows[whole.rows["cell"] == record.digest], [record]) for record in records]
    loss = next(each for each in differences(*picked) if each.metric == "fnaf-loss")
    assert loss.cell == "4x recon-unet fnaf-random | 4x recon-unet + fnaf-robust fnaf-random"
    values = [part.rows.loc[(part.rows.metric == "fnaf-loss") & (part.rows.label == "")].sort_values("case").value.to_numpy() for part in picked]
    assert loss.difference == pytest.approx(np.mean(values[1] - values[0]))
    assert loss.high < 0


def test_nothing_shared_is_one_line():
    one = synthetic(PLAN)
    with pytest.raises(StoreError, match="found no value of one cell and case in both"):
        differences(one, synthetic(replace(PLAN, seed=5)))
    with pytest.raises(StoreError, match="found no folder"):
        side(Path("/nowhere/run"))


def test_no_verb_here_imports_torch(folder):
    code = f"""
import sys
from medrobust.cli.app import call
assert call(["leaderboard", {str(folder)!r}]) == 0
assert call(["paper", "fnaf", {str(folder)!r}]) == 0
assert call(["compare", {str(folder)!r}, {str(folder)!r}]) == 0
assert not {{"torch", "monai", "matplotlib.pyplot"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
