"""`medrobust verify`: check that a run is what was computed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medrobust.artifacts import stored_digest
from medrobust.cli.output import show
from medrobust.errors import USAGE, StoreError
from medrobust.store import FINISHED, CellFolder, Run, open_run, run_digest


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Recompute every digest and count of RUN; exit 1 where something differs."""
    opened = open_run(run)
    found = [{"problem": problem} for problem in problems(opened)]
    if found or as_json:
        show(found, as_json=as_json, title=str(run))
    if found:
        raise typer.Exit(USAGE)
    if not as_json:
        finished = sum(folder.state().status in FINISHED for folder in opened.cells())
        typer.echo(f"{run}: {finished} of {len(opened.digests)} cells are finished, and every digest and count is right")


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
    return found


def of_cell(folder: CellFolder) -> list[str]:
    """What is wrong with one cell's rows or stored images."""
    found = folder.problems()
    artifact = folder.state().artifact
    if artifact and not found and stored_digest(folder.stored) != artifact:
        found.append(f"{folder.stored}: content is not what was computed (digest differs from {artifact})")
    return found
