"""`medrobust verify`: check that a run is what was computed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medrobust.cli.run import check_device
from medrobust.errors import USAGE, SpecError, StoreError
from medrobust.store import FINISHED, MARKER, CellFolder, Run, open_run, run_digest

if TYPE_CHECKING:
    from medrobust.recheck import Mismatch, Recheck

FIRST = 3
"""How many of a long list are shown."""


def command(
    run: Annotated[Path, typer.Argument(help="A run directory; of a committed folder counts alone can be checked.")],
    sample: Annotated[int, typer.Option(help="Also compute N random cases of every finished cell again, from its stored images.", min=0)] = 0,
    seed: Annotated[int, typer.Option(help="Which cases are drawn.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N, for --sample.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recompute every digest and count of RUN, and with --sample rows; exit 1 where something differs.

    Clean cells are computed from their data, others from the images or maps they stored. What cannot be computed again is said.
    """
    if sample:
        check_device(device)
    committed = (run / "cells.json").is_file()
    if committed and sample:
        msg = f"{run}: found a committed folder, expected a run directory: --sample needs data, weights and stored images"
        raise SpecError(msg)
    found = committed_problems(run) if committed else problems(open_run(run))
    checks = list(rechecks(open_run(run), sample, seed, device)) if sample else []
    wrong = bool(found) or any(check.problem or check.differing for check in checks)
    if as_json:
        notes = [f"{check.name}: not computed again: {reason}" for check in checks for reason in check.unable]
        found += [line for check in checks for line in every_line(run, check)]
        print(json.dumps([{"problem": problem} for problem in found] + [{"note": note} for note in notes], indent=2))  # noqa: T201
    else:
        told = [line for check in checks for line in lines(run, check)]
        for line in (*not_again(checks), *found, *told, *([] if wrong else [summary(run, checks, committed)])):
            typer.echo(line)
    if wrong:
        raise typer.Exit(USAGE)


def problems(run: Run) -> list[str]:
    """One line each."""
    found, folders = [], []
    for digest in run.digests:
        try:
            folders.append(run.cell(digest))
            found += of_cell(folders[-1])
        except StoreError as error:
            found.append(str(error))
    if len(folders) == len(run.digests):
        recomputed, locked = run_digest([folder.cell for folder in folders]), run.lock["lock"]["digest"]
        if recomputed != locked:
            found.append(f"{run.path}: cells have digest {recomputed}, the lock file says {locked}")
    return found or of_table(run)


def of_cell(folder: CellFolder) -> list[str]:
    """What is wrong with one cell's rows or stored images."""
    from medrobust.artifacts import stored_digest

    found = folder.problems()
    artifact = folder.state().artifact
    if artifact and not found and stored_digest(folder.stored) != artifact:
        found.append(f"{folder.stored}: content is not what was computed (digest differs from {artifact})")
    return found


def of_table(run: Run) -> list[str]:
    """Whether rows.parquet, which leaderboards read, holds the rows of the cells; one that is out of date is made anew by whoever reads it."""
    from medrobust import compaction

    path = run.path / "rows.parquet"
    if not path.exists():
        return []
    rows = compaction.table(compaction.finished(run)).to_pandas()
    return [] if compaction.rows(run).equals(rows) else [f"{path}: rows are not those of the cells; delete the file, it is made anew"]


def committed_problems(folder: Path) -> list[str]:
    """Whether each cell of a committed folder has the cases it owes, and each row once."""
    from medrobust.leaderboard.sources import load

    found = load(folder)
    markers = found.rows[found.rows["metric"] == MARKER].groupby("cell").size().to_dict()
    lacking = [
        f"{folder}: cell {record.digest}: found {markers.get(record.digest, 0)} cases, expected {record.cases}"
        for record in found.records
        if record.measured and markers.get(record.digest, 0) != record.cases
    ]
    twice = int(found.rows.duplicated(["cell", "case", "metric", "label"]).sum())
    return lacking + ([f"{folder}: found {twice} rows that stand twice, expected one a case, metric and label"] if twice else [])


def rechecks(run: Run, sample: int, seed: int, device: str) -> Iterator[Recheck]:
    """Some cases of every finished cell, computed again."""
    from medrobust.recheck import recheck

    for digest in run.digests:
        try:
            folder = run.cell(digest)
            finished = folder.state().status in FINISHED
        except StoreError:  # said by `problems`
            continue
        if finished:
            yield recheck(run, folder, sample, seed, device)


def where(run: Path, check: Recheck) -> str:
    return f"{run}/cells/{check.cell} ({check.name})"


def every_line(run: Path, check: Recheck) -> list[str]:
    """All that differs in a cell, one line each."""
    return [f"{where(run, check)}: {line}" for line in (*([check.problem] if check.problem else []), *(one.text for one in check.differing))]


def lines(run: Path, check: Recheck) -> list[str]:
    """The same by metric: one line where one row differs, else how many and the first few."""
    found = [f"{where(run, check)}: {check.problem}"] if check.problem else []
    metrics: dict[str, list[Mismatch]] = {}
    for one in check.differing:
        metrics.setdefault(one.metric, []).append(one)
    for metric, differing in metrics.items():
        if len(differing) == 1:
            found.append(f"{where(run, check)}: {differing[0].text}")
            continue
        rows, cases = ({key(one) for one in differing} for key in (lambda one: (one.case, one.label), lambda one: one.case))
        found.append(f"{where(run, check)}: {metric}: {len(rows)} rows of {len(cases)} cases differ")
        found += [f"  {one.text}" for one in differing[:FIRST]]
        found += [f"  and {len(differing) - FIRST} more (--json lists all)"] if len(differing) > FIRST else []
    return found


def not_again(checks: Sequence[Recheck]) -> list[str]:
    """What could not be computed again: each reason once, with its metrics and the cells that it holds for."""
    held: dict[str, dict[str, list[str]]] = {}
    for check in checks:
        for line in check.unable:
            what, _, reason = line.rpartition(": ") if line.endswith("stored") else ("", "", line)
            held.setdefault(reason, {}).setdefault(check.name, []).extend([what] if what else [])
    found = []
    for reason, cells in held.items():
        told = ", ".join(list(cells)[:FIRST]) + (f" and {len(cells) - FIRST} more cells" if len(cells) > FIRST else "")
        what = ", ".join(dict.fromkeys(each for names in cells.values() for each in names))
        found.append(f"{told}: not computed again: {f'{what}: ' if what else ''}{reason}")
    return found


def summary(run: Path, checks: list[Recheck], committed: bool) -> str:
    """What was found right."""
    if committed:
        return f"{run}: every cell has the cases it owes, and every row stands once"
    folders = open_run(run).cells()
    finished = sum(folder.state().status in FINISHED for folder in folders)
    text = f"{run}: {finished} of {len(folders)} cells are finished, and every digest and count is right"
    again = [check for check in checks if check.cases]
    if not checks:
        return text
    counted = f"{sum(check.rows for check in again)} rows of {sum(check.cases for check in again)} cases in {len(again)} cells"
    return f"{text}; {counted} were computed again and are the same"
