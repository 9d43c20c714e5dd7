"""Real processes on the tiny spec: started, waited for with a bound, and none left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pytest

from medrobust import claims, probing
from medrobust.cli.run import prepare
from medrobust.folder import CellFolder
from medrobust.plan import plan
from medrobust.schedule import Crew, Schedule
from medrobust.store import Run, open_run
from medrobust.types import Row

PATIENCE = 300.0
"""Seconds that a slow machine is given for anything."""
BATCH = 3
CASES = 12
CELLS = 8

T = TypeVar("T")


@dataclass
class Program:
    """A process that leads a group of its own, like one started at a terminal."""

    process: subprocess.Popen[bytes]
    arguments: Sequence[str]
    out: Path
    err: Path

    @property
    def said(self) -> str:
        return f"{' '.join(self.arguments)}\n{self.out.read_text()}\n{self.err.read_text()}"

    def end(self) -> int:
        """Its exit status, once it has one."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"did not end within {PATIENCE:g} s: {self.said}")

    def send(self, number: int) -> None:
        """A signal to the whole group, as a terminal sends Ctrl-C."""
        os.killpg(self.process.pid, number)


@dataclass(frozen=True)
class Workplace:
    """Where a test computes: one spec, one folder of runs, and the processes on it.

    log: one line for every case that was ever loaded.
    """

    spec: str
    out: Path
    log: Path
    start: Callable[..., Program]

    def run(self, *options: str) -> Program:
        return self.start("medrobust", "run", self.spec, "--out", str(self.out), *options)

    def opened(self) -> Run:
        return open_run(next(self.out.iterdir()))

    def in_mid_cell(self, program: Program) -> tuple[CellFolder, int]:
        """A search whose first two batches are on disk and whose last is not, and the process that computes it."""

        def found() -> tuple[CellFolder, int] | None:
            for claim in self.out.glob("*/cells/*/claim-*"):
                folder, pid = CellFolder.read(claim.parent), claims.holder(claim).get("pid")
                if folder.cell.columns["attack"] == "tiny-search" and 2 * BATCH <= len(folder.complete_cases()) < CASES and isinstance(pid, int):
                    return folder, pid
            return None

        return wait_until(found, "a search that is half done", program)

    def loaded_twice(self) -> int:
        """How often cases were loaded again to be computed; each cell loads every one, and its first ones once more, to be asked about."""
        loads = Counter(self.log.read_text().splitlines())
        assert len(loads) == CASES
        assert min(loads.values()) >= CELLS
        return loads.total() - CELLS * (CASES + probing.CASES)


def wait_until(look: Callable[[], T | None], what: str, program: Program) -> T:
    """What `look` finds, waited for while the program lives."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        ended = program.process.poll() is not None
        found = look()
        if found:
            return found
        if ended:
            pytest.fail(f"ended before there was {what}: {program.said}")
        time.sleep(0.02)
    pytest.fail(f"found no {what} within {PATIENCE:g} s: {program.said}")


@pytest.fixture
def start(tiny: Path, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Starts `python -m MODULE ...` in a session of its own; what still runs after the test is killed."""
    programs: list[Program] = []

    def begin(*arguments: str) -> Program:
        paths = [tmp_path / f"process{len(programs)}.{name}" for name in ("out", "err")]
        with paths[0].open("wb") as out, paths[1].open("wb") as err:
            process = subprocess.Popen([sys.executable, "-m", *arguments], cwd=tmp_path, stdout=out, stderr=err, start_new_session=True)
        programs.append(Program(process, arguments, *paths))
        return programs[-1]

    yield begin
    for program in programs:
        with suppress(ProcessLookupError):
            program.send(signal.SIGKILL)
        program.process.wait()


@pytest.fixture
def workplace(write_spec: Callable[..., str], start: Callable[..., Program], tmp_path: Path) -> Workplace:
    """Eight cells, two of them searches that take their time, two of them transfers of those."""
    log = tmp_path / "log.txt"
    slow = write_spec(
        ("keep: 0.5", f"keep: 0.5, log: {log}"),
        ("tiny-search,", "tiny-search, options: {pause: 0.3},"),
        ("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-search]"),
        ("batch: 4", f"batch: {BATCH}"),
    )
    return Workplace(slow, tmp_path / "runs", log, start)


@pytest.fixture(scope="session")
def kept() -> dict[str, pd.DataFrame]:
    return {}


@pytest.fixture
def undisturbed(kept: dict[str, pd.DataFrame], write_spec: Callable[..., str], tmp_path: Path) -> pd.DataFrame:
    """The rows of the same spec computed in this process, nothing in its way."""
    if not kept:
        quick = write_spec(("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-search]"), name="quick.yaml")
        run = prepare(plan(quick), tmp_path / "undisturbed")
        statuses = Schedule(run, Crew(), lambda folder, status: None).execute(run.digests)
        assert set(statuses.values()) == {"done"}
        kept["rows"] = table(run)
    return kept["rows"]


def table(run: Run) -> pd.DataFrame:
    """Every row of a run, in one order."""
    columns = [*Row.__annotations__, "status", "cell"]
    return run.rows()[columns].sort_values([name for name in columns if name != "value"]).reset_index(drop=True)


@pytest.fixture
def same_rows(undisturbed: pd.DataFrame) -> Callable[[Run], None]:
    """Fails unless a run has the rows of the undisturbed one, to the last bit."""

    def check(run: Run) -> None:
        assert len(undisturbed) == 336
        pd.testing.assert_frame_equal(table(run), undisturbed, check_exact=True)

    return check


@pytest.fixture
def gone() -> Callable[[int], None]:
    """Waits until a process has ended."""

    def wait(pid: int) -> None:
        end = time.monotonic() + PATIENCE
        while claims.alive(pid):
            assert time.monotonic() < end, f"process {pid} did not end within {PATIENCE:g} s"
            time.sleep(0.02)

    return wait


@pytest.fixture
def until() -> Callable[..., object]:
    return wait_until
