"""Several processes compute the rows that one does, whichever of them is killed, in whatever order."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medrobust.cli.run import prepare
from medrobust.plan import plan
from medrobust.schedule import Crew, Schedule
from medrobust.store import Run

SameRows = Callable[[Run], None]
QUIET = ("--no-dashboard",)


@pytest.fixture
def cluster(start: Callable[..., Any], until: Callable[..., Any], tmp_path: Path) -> str:
    """Address of a Dask scheduler with two workers, each a process of its own."""
    file = tmp_path / "scheduler.json"
    scheduler = start("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), *QUIET)
    for index in range(2):
        folder = str(tmp_path / f"worker{index}")
        start("distributed.cli.dask_worker", "--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--local-directory", folder, *QUIET)
    return str(until(lambda: address(file), "address in the scheduler's file", scheduler))


def address(file: Path) -> str | None:
    try:
        return str(json.loads(file.read_text())["address"])
    except (FileNotFoundError, ValueError):
        return None


def kill_a_worker(workplace: Any, *options: str) -> None:
    """Run the grid, and kill the worker of a search that is half done; another one must finish that cell."""
    program = workplace.run(*options)
    folder, worker = workplace.in_mid_cell(program)
    assert worker != program.process.pid
    os.kill(worker, signal.SIGKILL)
    assert program.end() == 0, program.said
    assert {each.digest: each.state().attempts for each in workplace.opened().cells()} == {
        digest: 2 if digest == folder.digest else 1 for digest in workplace.opened().digests
    }
    assert workplace.loaded_twice() <= 3


def test_dask_workers_give_the_rows_of_one_process_though_one_is_killed_in_mid_cell(workplace: Any, cluster: str, same_rows: SameRows) -> None:
    kill_a_worker(workplace, "--executor", "dask", "--scheduler", cluster)
    same_rows(workplace.opened())


def test_pool_workers_give_the_rows_of_one_process_though_one_is_killed_in_mid_cell(workplace: Any, same_rows: SameRows) -> None:
    kill_a_worker(workplace, "--executor", "pool", "--workers", "2")
    same_rows(workplace.opened())


def test_cells_in_another_order_have_the_same_rows(write_spec: Callable[..., str], tmp_path: Path, same_rows: SameRows) -> None:
    spec = write_spec(
        (
            "  - zero-filled\n  - {name: unet, options: {channels: 4, pools: 2}}\n",
            "  - {name: unet, options: {channels: 4, pools: 2}}\n  - zero-filled\n",
        ),
        (
            "  - none\n  - {name: tiny-search, store: true}\n  - tiny-gradient\n",
            "  - tiny-gradient\n  - tiny-search\n  - none\ntransfer: [tiny-search]\n",
        ),
    )
    run = prepare(plan(spec), tmp_path / "runs")
    Schedule(run, Crew(), lambda folder, status: None).execute(run.digests[::-1])
    same_rows(run)


def test_two_commands_on_one_folder_share_the_cells(workplace: Any, same_rows: SameRows) -> None:
    programs = [workplace.run("--executor", "local") for _ in range(2)]
    for program in programs:
        assert program.end() == 0, program.said
    same_rows(workplace.opened())
    assert {folder.state().attempts for folder in workplace.opened().cells()} == {1}
    assert workplace.loaded_twice() == 0
