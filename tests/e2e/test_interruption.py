"""A run that is killed or interrupted goes on where it stopped, and ends with the rows of one that was left alone."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from medrobust.claims import alive
from medrobust.cli.verify import of_cell
from medrobust.folder import FINISHED
from medrobust.run import compute
from medrobust.store import Run

SameRows = Callable[[Run], None]
IN_PROCESS = ("--executor", "local")
TWO_PROCESSES = ("--executor", "pool", "--workers", "2")
BATCH = 3


@pytest.mark.parametrize("crew", [IN_PROCESS, TWO_PROCESSES], ids=["local", "pool"])
def test_after_kill_9_the_same_command_computes_what_is_left_and_ends_with_the_same_rows(
    workplace: Any, gone: Callable[[int], None], same_rows: SameRows, crew: tuple[str, ...]
) -> None:
    first = workplace.run(*crew)
    folder, worker = workplace.in_mid_cell(first)
    first.process.send_signal(signal.SIGKILL)
    assert first.end() == -signal.SIGKILL
    gone(worker)
    assert folder.state().status == "running"
    assert not folder.is_held()
    again = workplace.run(*crew)
    assert again.end() == 0, again.said
    same_rows(workplace.opened())
    assert workplace.loaded_twice() <= BATCH * (1 if crew == IN_PROCESS else 2)
    assert folder.state().attempts == 2


@pytest.mark.parametrize("crew", [IN_PROCESS, TWO_PROCESSES], ids=["local", "pool"])
def test_ctrl_c_ends_with_130_and_one_line_and_leaves_a_run_that_goes_on(
    workplace: Any, gone: Callable[[int], None], same_rows: SameRows, crew: tuple[str, ...]
) -> None:
    first = workplace.run(*crew)
    folder, worker = workplace.in_mid_cell(first)
    first.send(signal.SIGINT)
    assert first.end() == 130, first.said
    gone(worker)
    run = workplace.opened()
    states = [each.state().status for each in run.cells()]
    done = sum(status in FINISHED for status in states)
    (line,) = first.err.read_text().splitlines()
    assert line.startswith(f"interrupted: {done} of 8 cells are done; to go on: medrobust run ")
    assert set(states) <= {"done", "queued"}
    assert folder.state().status == "queued"
    assert not any(run.path.glob("cells/*/claim-*"))
    again = workplace.run(*crew)
    assert again.end() == 0, again.said
    same_rows(run)
    assert workplace.loaded_twice() <= BATCH * (1 if crew == IN_PROCESS else 2)


def test_a_process_that_was_killed_is_not_alive_even_before_its_parent_takes_note(start: Callable[..., Any], gone: Callable[[int], None]) -> None:
    program = start("timeit", "-n", "1", "import time; time.sleep(600)")
    assert alive(program.process.pid)
    program.send(signal.SIGKILL)
    gone(program.process.pid)
    assert program.process.returncode is None


def test_a_cell_killed_after_its_images_were_joined_is_finished_with_them(make_run: Callable[..., Run]) -> None:
    run = make_run()
    (folder,) = [folder for folder in run.cells() if folder.cell.name == "half unet tiny-search"]
    assert compute(run.path, folder.digest) == "done"
    before = folder.state()
    folder.write(replace(before, status="running", artifact=""))
    assert compute(run.path, folder.digest) == "done"
    after = folder.state()
    assert after.dependence >= before.dependence, "the largest that any attempt saw"
    assert replace(after, attempts=before.attempts, seconds=before.seconds, dependence=before.dependence) == before
    assert of_cell(folder) == []
