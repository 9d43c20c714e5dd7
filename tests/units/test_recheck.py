"""A finished run computed again: silent on honest runs, and every way to change one is found, digests made right or not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from medrobust.artifacts import _digest, stored_digest
from medrobust.cli.app import call
from medrobust.cli.verify import problems
from medrobust.digests import digest_bytes
from medrobust.recheck import Recheck, recheck
from medrobust.run import compute
from medrobust.store import MARKER, CellFolder, Run
from medrobust.targets.weights import write
from medrobust.targets.zoo import untrained

MakeRun = Callable[..., Run]
TRANSFER = ("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-search]")
GROUPS = ("attacked: [tiny-error]", "attacked: [tiny-error, tiny-volume]")
ATTACKS = "  - none\n  - {name: tiny-search, store: true}\n  - tiny-gradient\n"
TARGETS = ("  - zero-filled\n", "")
OPTIONS = {"channels": 4, "pools": 2}


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def finished() -> dict[str, Path]:
    return {}


@pytest.fixture
def run(make_run: MakeRun, finished: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Run:
    """A copy of one finished run: clean, stored, not stored and replayed cells, with a metric of groups."""
    made = make_run(TRANSFER, GROUPS)
    if not finished:
        assert {compute(made.path, digest) for digest in made.digests} == {"done"}
        made.compact()
        finished["run"] = tmp_path_factory.mktemp("finished") / made.path.name
        shutil.copytree(made.path, finished["run"])
    shutil.rmtree(made.path)
    shutil.copytree(finished["run"], made.path)
    return made


def checked(run: Run, name: str, sample: int = 12, seed: int = 0) -> Recheck:
    return recheck(run, folder_of(run, name), sample, seed)


def folder_of(run: Run, name: str) -> CellFolder:
    return next(folder for folder in run.cells() if folder.cell.name == name)


def forged(run: Run, name: str, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> CellFolder:
    """A cell with other rows, every digest and count of it made right again."""
    folder = folder_of(run, name)
    rows = change([dict(row) for row in folder.rows()])
    folder.cases_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder.write(replace(folder.state(), rows=len(rows), rows_digest=digest_bytes(folder.cases_file.read_bytes())))
    (run.path / "rows.parquet").unlink(missing_ok=True)
    assert problems(run) == []
    return folder


def edited(case: str, metric: str, **columns: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        hit = [row for row in rows if (row["case"], row["metric"], row["label"]) == (case, metric, "")]
        assert len(hit) == 1
        hit[0].update(columns)
        return rows

    return change


# Honest runs


def test_an_honest_run_is_the_same_and_what_cannot_be_computed_again_is_said(run: Run) -> None:
    found = {folder.cell.name: recheck(run, folder, 12) for folder in run.cells()}
    assert not [one for check in found.values() for one in check.differing]
    assert not any(check.problem for check in found.values())
    names = ("none", "tiny-search", "tiny-search from zero-filled", "tiny-gradient")
    clean, stored, replayed, without = (found[f"half unet {name}"] for name in names)
    assert (clean.cases, clean.rows, clean.unable) == (12, 12 + 11 + 12 + 4, ())
    assert (stored.cases, stored.rows) == (12, 12 + 11 + 12 + 4)
    assert stored.unable == tuple(f"tiny-error {label}: read off the attack's queries, which are not stored" for label in ("q=1", "q=3"))
    assert (replayed.rows, replayed.unable) == (39, ())
    assert (without.cases, without.unable) == (0, ("no images were stored (`store: true` keeps them)",))


def test_a_sample_is_that_large_whole_where_groups_are_measured_and_drawn_anew_by_seed(run: Run, make_run: MakeRun) -> None:
    assert checked(run, "half unet none", sample=1).cases == 3
    assert checked(run, "half unet none", sample=99).cases == 12
    made = make_run(("tiny-error, tiny-volume", "tiny-error"), out="single")
    folder = folder_of(made, "half unet none")
    compute(made.path, folder.digest)
    assert recheck(made, folder, 2).cases == 2
    rows = [dict(row) | ({"value": 9.0} if row["case"] == "test2#1" else {}) for row in folder.rows()]
    folder.cases_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    hits = [bool(recheck(made, folder, 2, seed).differing) for seed in range(12)]
    assert any(hits)
    assert not all(hits)


def test_maps_are_measured_again_and_what_explains_anew_is_said(make_run: MakeRun) -> None:
    explained = (ATTACKS, "  - none\nexplainers:\n  - {name: tiny-explains, as: quadrants, store: true}\n")
    run = make_run(explained, ("attacked: [tiny-error]", "attacked: [tiny-error], explained: [tiny-agreement, tiny-error]"))
    folder = folder_of(run, "half unet quadrants")
    assert compute(run.path, folder.digest) == "done"
    found = recheck(run, folder, 12)
    assert (found.rows, found.differing, found.problem) == (12 + 11 + 12, (), "")
    assert found.unable == ("tiny-agreement: needs more than what is stored",)
    with h5py.File(folder.stored, "r+") as file:
        file["test0#0"]["relevance"][0, 0] += 1
    assert "found no whole map of case 'test0#0'" in recheck(run, folder, 12).problem


def test_a_query_that_was_not_reported_is_taken_from_the_cell(make_run: MakeRun) -> None:
    run = make_run((ATTACKS, "  - {name: tiny-leaves, store: true}\n"))
    folder = folder_of(run, "half unet tiny-leaves")
    assert compute(run.path, folder.digest) == "invalid"
    assert recheck(run, folder, 12).differing == ()
    innocent = [row | {"value": 1.0} if row["metric"] == MARKER else row for row in map(dict, folder.rows())]
    folder.cases_file.write_text("".join(json.dumps(row) + "\n" for row in innocent))
    assert len(recheck(run, folder, 12).differing) == 12


# Rows that only an attack's trace gives


@pytest.fixture
def believed(make_run: MakeRun) -> Run:
    """With a metric that gives nothing at all without the trace, and one that never looks at it."""
    run = make_run(TRANSFER, ("attacked: [tiny-error]", "attacked: [tiny-error, loss-path, change-linf]"))
    names = {folder.digest for folder in run.cells() if folder.cell.name in ("half unet tiny-search", "half unet tiny-search from zero-filled")}
    sources = {folder.cell.source for folder in run.cells() if folder.digest in names and folder.cell.source}
    assert {compute(run.path, digest) for digest in sorted(sources | names, key=lambda one: one not in sources)} == {"done"}
    return run


def test_a_metric_that_needs_the_trace_for_every_row_is_excused_and_said(believed: Run) -> None:
    found = checked(believed, "half unet tiny-search", sample=3)
    assert (found.differing, found.problem) == ((), "")
    names = (*(f"loss-path {label}" for label in ("first", "highest", "last", "three-quarters")), "tiny-error q=1", "tiny-error q=3")
    assert found.unable == tuple(f"{name}: read off the attack's queries, which are not stored" for name in names)
    assert checked(believed, "half unet tiny-search from zero-filled").unable == ()


@pytest.mark.parametrize(
    ("metric", "label"),
    [
        ("tiny-error", "seen"),  # its metric reads the trace, but this case has no such value with one either
        ("loss-path", "halfway"),  # a label that its metric does not name, though it names all of its own
        ("change-linf", "first"),  # a metric that never looks at the trace
        ("tiny-volume", ""),  # no metric of this cell
    ],
)
def test_no_trace_excuses_a_row_that_was_added(believed: Run, metric: str, label: str) -> None:
    extra = {"metric": metric, "label": label, "case": "test0#0", "value": 0.1}
    forged(believed, "half unet tiny-search", lambda rows: [*rows, {**rows[0], **extra}])
    found = checked(believed, "half unet tiny-search").differing
    assert [(one.case, one.metric, one.label, one.found) for one in found] == [("test0#0", metric, label, None)]


def test_no_trace_excuses_a_row_that_was_removed_or_changed(believed: Run) -> None:
    gone = ("test1#1", "change-linf", "")
    forged(believed, "half unet tiny-search", lambda rows: [row for row in rows if (row["case"], row["metric"], row["label"]) != gone])
    (one,) = checked(believed, "half unet tiny-search").differing
    assert (one.case, one.metric, one.stored) == ("test1#1", "change-linf", None)
    forged(believed, "half unet tiny-search from zero-filled", edited("test2#0", "change-linf", value=0.3))
    (one,) = checked(believed, "half unet tiny-search from zero-filled").differing
    assert (one.case, one.stored) == ("test2#0", 0.3)
    extra = {"metric": "loss-path", "label": "first", "case": "test0#0", "value": 0.1}
    forged(believed, "half unet tiny-search from zero-filled", lambda rows: [*rows, {**rows[0], **extra}])
    names = {one.metric for one in checked(believed, "half unet tiny-search from zero-filled").differing}
    assert names == {"change-linf", "loss-path"}, "a replay has no trace that could have given a row"


# Rows that were changed, every digest made right


def test_a_changed_value_is_found_with_its_case(run: Run) -> None:
    forged(run, "half unet none", edited("test2#1", "tiny-error", value=0.25))
    (one,) = checked(run, "half unet none").differing
    assert one.text.startswith("case 'test2#1': tiny-error: stored 0.25, computed again 0.0")


def test_a_changed_value_of_a_group_and_of_a_replay_is_found(run: Run) -> None:
    forged(run, "half unet tiny-search", edited("test3", "tiny-volume", value=0.0))
    assert [one.case for one in checked(run, "half unet tiny-search").differing] == ["test3"]
    forged(run, "half unet tiny-search from zero-filled", edited("test0#2", "tiny-error", value=0.0))
    assert [one.case for one in checked(run, "half unet tiny-search from zero-filled").differing] == ["test0#2"]


def test_a_last_digit_is_rounding_and_a_thousandth_is_not(run: Run) -> None:
    row = next(row for row in folder_of(run, "half unet none").rows() if row["case"] == "test1#1" and row["metric"] == "tiny-error")
    forged(run, "half unet none", edited("test1#1", "tiny-error", value=row["value"] * (1 + 1e-6)))
    assert checked(run, "half unet none").differing == ()
    forged(run, "half unet none", edited("test1#1", "tiny-error", value=row["value"] * (1 + 1e-3)))
    assert len(checked(run, "half unet none").differing) == 1


def test_another_patient_a_row_too_many_and_one_too_few_are_found(run: Run) -> None:
    forged(run, "half unet none", edited("test2#1", "tiny-error", patient="patient 7"))
    (one,) = checked(run, "half unet none").differing
    assert one.text == "case 'test2#1': tiny-error, patient: stored 'patient 7', computed again 'patient 2'"
    dropped = [("test1#0", "tiny-error", "seen"), ("test3", "tiny-volume", "")]
    forged(run, "half unet none", lambda rows: [row for row in rows if (row["case"], row["metric"], row["label"]) not in dropped])
    absent = {(one.case, one.stored) for one in checked(run, "half unet none").differing if one.column == "value"}
    assert absent == {("test1#0", None), ("test3", None)}
    extra = {"metric": "tiny-error", "label": "seen", "case": "test0#0", "value": 0.1}
    forged(run, "half zero-filled none", lambda rows: [*rows, {**rows[0], **extra}])
    assert [(one.case, one.found) for one in checked(run, "half zero-filled none").differing] == [("test0#0", None)]


def test_a_row_that_stands_twice_is_found(run: Run) -> None:
    forged(run, "half unet none", lambda rows: [rows[0], *rows])
    assert "1 rows that stand twice" in checked(run, "half unet none").problem


# Images and weights that were changed


def changed_image(folder: CellFolder, case: str) -> h5py.File:
    file = h5py.File(folder.stored, "r+")
    file[case]["difference"][0, 4:12, 4:12] = 0.15
    return file


def test_a_changed_image_is_found_by_its_digest(run: Run) -> None:
    folder = folder_of(run, "half unet tiny-search")
    changed_image(folder, "test1#2").close()
    assert "case 'test1#2' does not have the digest it was written with" in checked(run, "half unet tiny-search").problem
    assert any("content is not what was computed" in line for line in problems(run))


def test_a_changed_image_is_found_by_its_rows_where_digests_were_made_right(run: Run) -> None:
    folder = folder_of(run, "half unet tiny-search")
    with changed_image(folder, "test1#2") as file:
        file["test1#2"].attrs["digest"] = _digest(file["test1#2"])
    folder.write(replace(folder.state(), artifact=stored_digest(folder.stored)))
    assert problems(run) == []
    assert {one.case for one in checked(run, "half unet tiny-search").differing} == {"test1#2", "test1"}
    assert {one.case for one in checked(run, "half zero-filled tiny-search from unet").differing} == {"test1#2", "test1"}


def test_a_stored_file_that_is_gone_is_a_problem(run: Run) -> None:
    folder_of(run, "half unet tiny-search").stored.unlink()
    assert "missing" in checked(run, "half unet tiny-search").problem
    assert "missing" in checked(run, "half zero-filled tiny-search from unet").problem


def test_swapped_weights_are_found(make_run: MakeRun, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    state = untrained("unet", OPTIONS).network.state_dict()  # type: ignore[attr-defined]
    write(path, state, half=False)
    run = make_run(TARGETS, ("{name: unet,", f"{{name: unet, weights: {path},"))
    folder = folder_of(run, "half unet none")
    assert compute(run.path, folder.digest) == "done"
    assert recheck(run, folder, 2).problem == ""
    write(path, {name: tensor + 1e-3 * torch.ones_like(tensor) for name, tensor in state.items()}, half=False)
    assert "target unet: found digest" in recheck(run, folder, 2).problem


# The verb


def test_the_verb_says_what_differs_in_one_line_each_and_exits_1(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["verify", str(run.path), "--sample", "2"]) == 0
    said = capsys.readouterr().out
    assert "were computed again and are the same" in said
    assert "half unet tiny-gradient: not computed again: no images were stored" in said
    forged(run, "half unet none", edited("test2#1", "tiny-error", value=0.25))
    assert call(["verify", str(run.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert call(["verify", str(run.path), "--sample", "12", "--json"]) == 1
    found = [one["problem"] for one in json.loads(capsys.readouterr().out) if "problem" in one]
    assert len(found) == 1
    assert "case 'test2#1': tiny-error: stored 0.25" in found[0]


def test_many_rows_that_differ_are_counted_by_metric_and_the_first_are_shown(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    forged(run, "half unet none", lambda rows: [row | {"value": row["value"] + (row["metric"] == "tiny-error")} for row in rows])
    assert call(["verify", str(run.path), "--sample", "12"]) == 1
    said = capsys.readouterr().out.splitlines()
    where = f"{run.path}/cells/{folder_of(run, 'half unet none').digest} (half unet none)"
    at = said.index(f"{where}: tiny-error: 23 rows of 12 cases differ")
    assert [line.startswith("  case 'test0#") for line in said[at + 1 : at + 4]] == [True] * 3
    assert said[at + 4 :] == ["  and 20 more (--json lists all)"]
    assert call(["verify", str(run.path), "--sample", "12", "--json"]) == 1
    assert sum("problem" in one for one in json.loads(capsys.readouterr().out)) == 23


def test_the_table_that_leaderboards_read_is_held_against_the_cells(run: Run) -> None:
    path = run.path / "rows.parquet"
    table = pq.read_table(path)
    assert problems(run) == []
    values = np.array(table["value"]).copy()
    values[0] += 1
    pq.write_table(table.set_column(table.schema.get_field_index("value"), "value", pa.array(values)), path)
    assert problems(run) == [f"{path}: rows are not those of the cells; delete the file, it is made anew"]


def test_mistakes_are_one_line(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["leaderboard", str(run.path), "--commit", str(tmp_path / "committed")]) == 0
    assert call(["verify", str(tmp_path / "committed")]) == 0
    assert "every cell has the cases it owes" in capsys.readouterr().out
    for arguments, words in (
        ([str(tmp_path / "committed"), "--sample", "1"], "found a committed folder, expected a run directory"),
        ([str(run.path), "--sample", "1", "--device", "tpu"], "--device: found 'tpu'"),
        ([str(run.path), "--sample", "-1"], "--sample"),
        ([str(tmp_path)], "found no suite.lock.yaml"),
    ):
        assert call(["verify", *arguments]) == 1
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    cells = json.loads((tmp_path / "committed" / "cells.json").read_text())
    cells["cells"][0]["cases"] = 13
    (tmp_path / "committed" / "cells.json").write_text(json.dumps(cells))
    assert call(["verify", str(tmp_path / "committed")]) == 1
    assert "found 12 cases, expected 13" in capsys.readouterr().out
