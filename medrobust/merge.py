"""Run directories of one suite into one: finished cells are copied, and two copies of a cell must be equal."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from medrobust.errors import StoreError
from medrobust.files import replacing, store_errors, write_text
from medrobust.folder import FINISHED, CellFolder, State
from medrobust.store import LOCK, Run, enter, open_run

Key = tuple[str, str, str]
ATTACKED = Path("artifacts", "attacked.h5")


@dataclass(frozen=True)
class Merged:
    """The joined run.

    copied: digests of the cells that were not there before. missing: digest -> why no input has it finished.
    """

    run: Run
    copied: tuple[str, ...]
    missing: Mapping[str, str]


def merge(paths: Sequence[Path], out: Path) -> Merged:
    """Join runs into `out`, which is made where it is missing and is itself an input where it is there.

    Nothing is written before every cell of every input was found whole and equal to its copies. Doing it again changes nothing.
    Raises StoreError for inputs of different suites, damaged cells, and cells whose copies differ.
    """
    runs = {path.resolve(): open_run(path) for path in paths}
    if (out / LOCK).exists():
        runs = {out.resolve(): open_run(out), **runs}
    first, *others = runs.values()
    for other in others:
        check_same(first, other)
    chosen = {digest: choose([run.cell(digest) for run in runs.values()], out) for digest in first.digests}
    run = first if first.path.resolve() == out.resolve() else found_out(first, out)
    copied = {digest: folder for digest, folder in chosen.items() if folder and folder.path.resolve() != run.cell(digest).path.resolve()}
    for digest, folder in copied.items():
        copy(folder, run.cell(digest))
    run.compact()
    missing = {digest: why([each.cell(digest) for each in runs.values()]) for digest, folder in chosen.items() if not folder}
    return Merged(run, tuple(copied), missing)


def check_same(first: Run, other: Run) -> None:
    """StoreError where the runs have other cells."""
    if set(first.digests) != set(other.digests):
        found, expected = other.lock["lock"]["digest"], first.lock["lock"]["digest"]
        differ = len(set(first.digests) ^ set(other.digests))
        msg = f"{other.path}: found suite digest {found}, expected {expected} as in {first.path}: {differ} cells are in one of them alone"
        raise StoreError(msg)


def choose(folders: Sequence[CellFolder], out: Path) -> CellFolder | None:
    """The copy to keep, None where the cell is finished nowhere: one with stored images before one without, and `out`'s own before others."""
    finished = [folder for folder in folders if folder.state().status in FINISHED]
    for folder in finished:
        if problems := folder.problems():
            msg = f"{problems[0]}; expected a whole cell: delete its folder and run again"
            raise StoreError(msg)
    for folder in finished[1:]:
        if difference := differ(finished[0], folder):
            msg = f"cell {folder.digest} ({folder.cell.name}): {difference}; expected equal copies"
            raise StoreError(msg)
    home = out.resolve() / "cells"
    return max(finished, key=lambda folder: (bool(folder.state().artifact), folder.path.resolve().parent == home), default=None)


def differ(one: CellFolder, other: CellFolder) -> str:
    """The first difference between two copies of a cell, in words; empty where they are equal. The order of rows is none."""
    mine, theirs = one.state(), other.state()
    here, there = f"in {one.path.parents[1]}", f"in {other.path.parents[1]}"
    if mine.status != theirs.status:
        return f"{mine.status} {here}, {theirs.status} {there}"
    if mine.artifact and theirs.artifact and mine.artifact != theirs.artifact:
        return f"stored images have digest {mine.artifact} {here}, {theirs.artifact} {there}"
    if mine.rows_digest == theirs.rows_digest:
        return ""
    rows = [{(row["case"], row["metric"], row["label"]): dict(row) for row in folder.rows()} for folder in (one, other)]
    unequal = sorted(key for key in rows[0].keys() | rows[1].keys() if rows[0].get(key) != rows[1].get(key))
    return f"{described(unequal[0], rows, here, there)}, and {len(unequal) - 1} more of {len(rows[0])} rows" if unequal else ""


def described(key: Key, rows: Sequence[Mapping[Key, Mapping[str, object]]], here: str, there: str) -> str:
    mine, theirs = (table.get(key, {}) for table in rows)
    fields = [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]
    field = "value" if "value" in fields else fields[0]
    return f"{' '.join(part for part in key if part)}: {field} {mine.get(field, 'missing')} {here}, {theirs.get(field, 'missing')} {there}"


def found_out(first: Run, out: Path) -> Run:
    """A run directory at `out` with the cells of `first`, all queued."""
    for folder in first.cells():
        enter(out / "cells" / folder.digest, folder.cell)
    with store_errors(first.path / LOCK):
        text = (first.path / LOCK).read_text(encoding="utf-8")
    write_text(out / LOCK, text)
    return open_run(out)


def copy(source: CellFolder, target: CellFolder) -> None:
    """The finished cell, file by file, cell.json last: until then the target is a queued cell that can be resumed or merged again."""
    claim = target.claim()
    if claim is None:
        msg = f"{target.path}: found a cell that is being computed, expected no other worker on it"
        raise StoreError(msg)
    with claim:
        state = source.state()
        target.reset()
        for path in files(source, state):
            with store_errors(source.path / path), replacing(target.path / path) as temporary:
                shutil.copyfile(source.path / path, temporary)
        target.write(replace(state, status="queued"))
        with store_errors(source.cases_file), replacing(target.cases_file) as temporary:
            shutil.copyfile(source.cases_file, temporary)
        target.write(state)


def files(folder: CellFolder, state: State) -> Iterator[Path]:
    """What a finished cell holds beside cell.json and its rows."""
    if state.artifact:
        yield ATTACKED
    for name in ("validity.json", "env.json"):
        if (folder.path / name).exists():
            yield Path(name)


def why(folders: Sequence[CellFolder]) -> str:
    """Why a cell is finished nowhere."""
    failed = [f"failed in {folder.path.parents[1]}: {folder.state().error}" for folder in folders if folder.state().status == "failed"]
    partial = [f"{folder.state().cases} of {folder.cell.cases} cases in {folder.path.parents[1]}" for folder in folders if folder.state().cases]
    return next(iter([*failed, *partial]), "not begun")
