"""`medrobust run`: compute a spec's grid, or go on with it."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from medrobust import store
from medrobust.cell import Cell
from medrobust.cli.app import INTERRUPTED
from medrobust.errors import CELLS_FAILED, VALIDITY, SpecError
from medrobust.plan import Plan, plan, shard
from medrobust.progress import STYLES, Display
from medrobust.schedule import Crew, Schedule
from medrobust.store import CellFolder, Run


def command(
    spec: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped spec.")],
    out: Annotated[Path, typer.Option(help="Folder that holds run directories.")] = Path("runs"),
    limit: Annotated[int | None, typer.Option(min=1, help="First N cases only.")] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    executor: Annotated[str | None, typer.Option(help="local, pool or dask; pool where there are several workers.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one a core on the CPU, one on a GPU.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
    shard: Annotated[str | None, typer.Option(help="i/n: only the i-th of n parts, for other schedulers; `merge` joins them.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Cases at once; changes no row.")] = None,
) -> None:
    """Compute every cell of SPEC that is not on disk. The same command again resumes."""
    part = parse_shard(shard)
    if executor != "dask" and not scheduler:
        check_device(device)
    planned = plan(spec, limit)
    run = prepare(planned, out)
    folders = [run.cell(cell.digest) for cell in select(planned, part)]
    crew = choose_crew(executor, workers, scheduler, device, batch, len(folders))
    console = Console(highlight=False)
    try:
        with Display(folders, console) as display:
            statuses = Schedule(run, crew, display.watch).execute([folder.digest for folder in folders])
    except KeyboardInterrupt:
        done = sum(folder.state().status in store.FINISHED for folder in folders)
        print(f"interrupted: {done} of {len(folders)} cells are done; to go on: {shlex.join(['medrobust', *sys.argv[1:]])}", file=sys.stderr)  # noqa: T201
        raise typer.Exit(INTERRUPTED) from None
    finish(run, folders, statuses, console, whole=part is None)


def prepare(planned: Plan, out: Path) -> Run:
    """The run directory of a plan, made where it is missing."""
    spec = planned.resolved.spec
    return store.create_or_open(spec.suite, spec.plain(), planned.cells, out)


def select(planned: Plan, part: tuple[int, int] | None) -> Sequence[Cell]:
    return planned.cells if part is None else shard(planned.cells, *part)


def parse_shard(text: str | None) -> tuple[int, int] | None:
    """`2/4` as (2, 4)."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        msg = f"--shard: found '{text}', expected i/n with 1 <= i <= n, such as 1/4"
        raise SpecError(msg)
    return int(match[1]), int(match[2])


def check_device(device: str) -> None:
    """SpecError where this machine has no such device."""
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        msg = f"--device: found '{device}', expected a device of this machine: {str(error).splitlines()[0]}"
        raise SpecError(msg) from error


def choose_crew(executor: str | None, workers: int | None, scheduler: str | None, device: str, batch: int | None, cells: int) -> Crew:
    """What was asked for, the rest filled in: on a CPU as many processes as cores, on a GPU one."""
    chosen = executor or ("dask" if scheduler else None)
    if workers is None:
        workers = 1 if chosen == "local" or device != "cpu" else max(1, min(len(os.sched_getaffinity(0)), cells))
    if chosen == "local" and workers > 1:
        msg = f"--workers: found {workers}, expected 1 with --executor local; pool and dask take more"
        raise SpecError(msg)
    return Crew(chosen or ("pool" if workers > 1 else "local"), workers, scheduler, device, batch)


def finish(run: Run, folders: Sequence[CellFolder], statuses: dict[str, str], console: Console, *, whole: bool) -> None:
    """Compact, print outcomes and where the page is; exit 2 where a cell failed, 3 where one is not to be believed."""
    run.compact()
    console.print(outcomes(folders, statuses))
    console.print(Text(f"run: {run.path}"), soft_wrap=True)
    if whole and any(status in store.FINISHED for status in statuses.values()):
        from medrobust.leaderboard import build

        console.print(Text(f"page: {build([run.path], run.path / 'leaderboard')}"), soft_wrap=True)
    if "failed" in statuses.values():
        raise typer.Exit(CELLS_FAILED)
    if "invalid" in statuses.values():
        raise typer.Exit(VALIDITY)


def outcomes(folders: Sequence[CellFolder], statuses: dict[str, str]) -> Table:
    """One line a cell: what became of it, what it cost, and why where it is not done."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("cell", "status", "cases", "seconds", "passes"):
        table.add_column(column, justify="left" if column in ("cell", "status") else "right", no_wrap=column != "cell")
    for folder in folders:
        state, status = folder.state(), statuses[folder.digest]
        passes = count(state.forward) + (f" + {count(state.gradient)}" if state.gradient else "")
        table.add_row(Text(folder.cell.name), Text(status, STYLES.get(status, "")), str(state.cases), f"{state.seconds:.1f}", passes)
    return table


def count(passes: float) -> str:
    """Whole passes as they are, parts of passes to a tenth."""
    return f"{passes:.0f}" if passes == int(passes) else f"{passes:.1f}"
