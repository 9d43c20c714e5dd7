"""Shards computed apart and merged are the run that one machine would have made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medrobust.cli.app import call
from medrobust.digests import digest_bytes
from medrobust.files import write_lines
from medrobust.folder import CellFolder, State
from medrobust.store import Run, open_run

TRANSFER = ("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-search]")
SameRows = Callable[[Run], None]
Output = pytest.CaptureFixture[str]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shards")


@pytest.fixture
def shards(store: Path, write_spec: Callable[..., str], tmp_path: Path, capsys: Output) -> list[Path]:
    """Two halves of the grid, computed once, each in a run directory of its own."""
    spec = write_spec(TRANSFER)
    for part in ("1", "2"):
        if not (store / part).exists():
            assert call(["run", spec, "--shard", f"{part}/2", "--out", str(store / part), "--executor", "local"]) == 0
        shutil.copytree(store / part, tmp_path / part)
    capsys.readouterr()
    return [next((tmp_path / part).iterdir()) for part in ("1", "2")]


def merge(paths: list[Path], out: Path) -> int:
    return call(["merge", *map(str, paths), "--out", str(out)])


def done(run: Run) -> list[CellFolder]:
    return [folder for folder in run.cells() if folder.state().status == "done"]


def content(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file() and file.name != "rows.parquet"}


def test_shards_part_the_cells_and_merge_into_the_rows_of_one_run(shards: list[Path], tmp_path: Path, same_rows: SameRows, capsys: Output) -> None:
    parts = [{folder.digest for folder in done(open_run(path))} for path in shards]
    assert all(parts)
    assert not parts[0] & parts[1]
    assert len(parts[0] | parts[1]) == 8
    assert merge(shards, tmp_path / "whole") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'whole'}: 8 of 8 cells are finished, 8 of them copied now\n"
    same_rows(open_run(tmp_path / "whole"))
    assert call(["verify", str(tmp_path / "whole")]) == 0


def test_merging_again_changes_nothing(shards: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "whole"
    assert merge(shards, out) == 0
    before = content(out)
    assert merge(shards[::-1], out) == 0
    assert content(out) == before


def test_one_of_the_shards_may_take_the_others_in(shards: list[Path], write_spec: Callable[..., str], tmp_path: Path, same_rows: SameRows) -> None:
    before = content(shards[1])
    begun = next(folder for folder in open_run(shards[0]).cells() if folder.digest in {each.digest for each in done(open_run(shards[1]))})
    begun.append(open_run(shards[1]).cell(begun.digest).rows()[:5])
    (begun.path / "artifacts" / "parts").mkdir(parents=True)
    assert merge(shards, shards[0]) == 0
    assert content(shards[1]) == before
    assert not (begun.path / "artifacts" / "parts").exists()
    same_rows(open_run(shards[0]))
    assert call(["run", write_spec(TRANSFER), "--out", str(tmp_path / "1"), "--shard", "1/1", "--executor", "local"]) == 0
    assert {folder.state().attempts for folder in open_run(shards[0]).cells()} == {1}


def test_cells_that_are_finished_nowhere_are_listed_and_end_with_2(shards: list[Path], tmp_path: Path, capsys: Output) -> None:
    failed = next(folder for folder in open_run(shards[1]).cells() if folder.state().status == "done")
    failed.write(replace(failed.state(), status="failed", error="out of luck"))
    missing = {folder.digest for folder in open_run(shards[0]).cells() if folder.state().status == "queued"}
    assert call(["merge", str(shards[0]), "--out", str(tmp_path / "half"), "--json"]) == 2
    listed = json.loads(capsys.readouterr().out)
    assert {row["cell"] for row in listed} == missing
    assert {row["why"] for row in listed} == {"not begun"}
    assert call(["merge", *map(str, shards), "--out", str(tmp_path / "half"), "--json"]) == 2
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["cell"], row["why"]) == (failed.digest, f"failed in {shards[1]}: out of luck")


@pytest.fixture
def conflict(shards: list[Path], tmp_path: Path) -> tuple[Path, Path, CellFolder]:
    """A shard, a copy of it with one value changed, and the changed cell."""
    copy = Path(shutil.copytree(shards[0], tmp_path / "copy"))
    folder = done(open_run(copy))[0]
    rows = folder.rows()
    rows[3]["value"] += 1e-9
    write_lines(folder.cases_file, rows)
    folder.write(replace(folder.state(), rows_digest=digest_bytes(folder.cases_file.read_bytes())))
    return shards[0], copy, folder


def test_copies_of_a_cell_that_differ_are_refused_with_one_line_and_nothing_is_written(
    conflict: tuple[Path, Path, CellFolder], tmp_path: Path, capsys: Output
) -> None:
    one, other, folder = conflict
    row = folder.rows()[3]
    assert merge([one, other], tmp_path / "whole") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cell {folder.digest} ({folder.cell.name}): {row['case']} {row['metric']}")
    assert f"in {one}, {row['value']} in {other}, and 0 more of {len(folder.rows())} rows; expected equal copies" in line
    assert not (tmp_path / "whole").exists()


def test_copies_whose_rows_stand_in_another_order_are_equal(conflict: tuple[Path, Path, CellFolder], tmp_path: Path) -> None:
    one, other, folder = conflict
    rows = open_run(one).cell(folder.digest).rows()[::-1]
    write_lines(folder.cases_file, rows)
    folder.write(replace(folder.state(), rows_digest=digest_bytes(folder.cases_file.read_bytes())))
    assert merge([one, other], tmp_path / "whole") == 2


def test_copies_of_which_one_is_invalid_are_refused(conflict: tuple[Path, Path, CellFolder], tmp_path: Path, capsys: Output) -> None:
    one, other, folder = conflict
    folder.write(replace(folder.state(), status="invalid"))
    assert merge([one, other], tmp_path / "whole") == 1
    assert f"({folder.cell.name}): done in {one}, invalid in {other}" in capsys.readouterr().err


def test_a_damaged_cell_is_refused(shards: list[Path], tmp_path: Path, capsys: Output) -> None:
    folder = done(open_run(shards[0]))[0]
    folder.cases_file.write_bytes(folder.cases_file.read_bytes()[:-100])
    assert merge(shards, tmp_path / "whole") == 1
    assert "content is not what was computed" in capsys.readouterr().err
    assert not (tmp_path / "whole").exists()


def test_runs_of_other_suites_are_refused(shards: list[Path], write_spec: Callable[..., str], tmp_path: Path, capsys: Output) -> None:
    other = write_spec(TRANSFER, ("track: tiny-track", "track: tiny-track\nseed: 1"), name="other.yaml")
    assert call(["run", other, "--shard", "8/8", "--out", str(tmp_path / "other"), "--executor", "local"]) == 0
    capsys.readouterr()
    assert merge([shards[0], next((tmp_path / "other").iterdir())], tmp_path / "whole") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "found suite digest" in line
    assert merge([tmp_path], tmp_path / "whole") == 1
    assert "expected a run directory" in capsys.readouterr().err


def test_a_cell_that_is_being_computed_is_left_alone(shards: list[Path], capsys: Output) -> None:
    held = next(folder for folder in open_run(shards[0]).cells() if folder.state().status == "queued")
    claim = held.claim()
    assert claim
    with claim:
        assert merge(shards, shards[0]) == 1
    assert "found a cell that is being computed" in capsys.readouterr().err


def test_a_merge_that_was_cut_off_before_its_last_write_leaves_a_cell_that_can_be_finished(
    shards: list[Path], write_spec: Callable[..., str], tmp_path: Path, same_rows: SameRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = CellFolder.write

    def cut_off(folder: CellFolder, state: State) -> State:
        if state.status == "done" and state.artifact:
            raise KeyboardInterrupt
        return write(folder, state)

    home = tmp_path / "whole" / shards[0].name
    with monkeypatch.context() as patch:
        patch.setattr(CellFolder, "write", cut_off)
        assert merge(shards, home) == 130
    assert call(["run", write_spec(TRANSFER), "--out", str(tmp_path / "whole"), "--shard", "1/1", "--executor", "local"]) == 0
    same_rows(open_run(home))
    assert call(["verify", str(home)]) == 0


@pytest.mark.parametrize("copies", [1, 4, 9])
def test_a_merge_that_was_cut_off_leaves_a_run_that_can_be_merged_or_computed(
    shards: list[Path], write_spec: Callable[..., str], tmp_path: Path, same_rows: SameRows, monkeypatch: pytest.MonkeyPatch, copies: int
) -> None:
    calls: list[str] = []
    copyfile = shutil.copyfile

    def cut_off(source: Path, target: Path) -> None:
        calls.append(str(source))
        if len(calls) > copies:
            raise KeyboardInterrupt
        copyfile(source, target)

    home = tmp_path / "whole" / shards[0].name
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", cut_off)
        assert merge(shards, home) == 130
    second = Path(shutil.copytree(home, tmp_path / "second"))
    assert merge(shards, second) == 0
    same_rows(open_run(second))
    assert call(["run", write_spec(TRANSFER), "--out", str(tmp_path / "whole"), "--shard", "1/1", "--executor", "local"]) == 0
    same_rows(open_run(home))
