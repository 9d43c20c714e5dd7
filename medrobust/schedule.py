"""Who computes what when: cells to an executor, transfers after their sources, until none is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace

from medrobust import executors
from medrobust.errors import ExecutorError, StoreError, WorkerDiedError
from medrobust.run import HELD, compute
from medrobust.store import FINISHED, CellFolder, Run

DEATHS = 3
"""How often a cell's worker may die before the cell is given up."""
PAUSE = 1.0
"""Seconds until a cell that another worker holds is looked at again."""

Watcher = Callable[[CellFolder, str], None]


@dataclass(frozen=True)
class Crew:
    """Where and how cells are computed.

    executor: `local`, `pool` or `dask`. workers: processes. scheduler: address of a Dask scheduler.
    device: such as `cpu` or `cuda`. batch: cases at once, None for the spec's.
    """

    executor: str = "local"
    workers: int = 1
    scheduler: str | None = None
    device: str = "cpu"
    batch: int | None = None


@dataclass
class Schedule:
    """The cells of a run (or of its shard) on their way.

    watch: told each cell's status once it is known.
    """

    run: Run
    crew: Crew
    watch: Watcher
    results: dict[str, str] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)

    def execute(self, digests: Sequence[str]) -> dict[str, str]:
        """Status of every cell, once none is left to compute; finished ones are not computed again.

        Raises StoreError where the run directory cannot be written; an interrupt leaves everything resumable.
        """
        left = {digest: self.run.cell(digest) for digest in digests}
        while left:
            executor = executors.create(self.crew.executor, self.crew.workers, self.crew.scheduler)
            try:
                self._drain(executor, left)
            except BrokenExecutor:
                self._bury(left)
                executor.shutdown(wait=False, cancel_futures=True)
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise
            else:
                executor.shutdown()
        return self.results

    def _drain(self, executor: Executor, left: dict[str, CellFolder]) -> None:
        """Submit what is ready and take in what is done, until nothing is left."""
        flying: dict[Future[str], str] = {}
        while left:
            statuses = []
            for digest, folder in list(left.items()):
                if digest not in flying.values() and self._ready(folder, left):
                    future = executor.submit(compute, self.run.path.absolute(), digest, self.crew.device, self.crew.batch)
                    if future.done():
                        statuses.append(self._land(digest, future, left))
                    else:
                        flying[future] = digest
            if flying:
                landed, _ = wait(flying, return_when=FIRST_COMPLETED)
                statuses += [self._land(flying.pop(future), future, left) for future in landed]
            if left and set(statuses) <= {HELD}:
                time.sleep(PAUSE)

    def _ready(self, folder: CellFolder, left: dict[str, CellFolder]) -> bool:
        """True where the cell can be submitted now; finished ones and those whose source is lost are settled here."""
        status = folder.state().status
        if status in FINISHED:
            self._settle(folder, status, left)
            return False
        source = folder.cell.source
        if source is None or self.run.cell(source).state().status in FINISHED:
            return True
        if source not in left:
            claim = folder.claim()
            if claim:
                with claim:
                    error = f"the cell whose images it replays is not done: {self.run.cell(source).cell.name}"
                    folder.write(replace(folder.state(), status="failed", error=error, traceback=""))
                self._settle(folder, "failed", left)
        return False

    def _land(self, digest: str, future: Future[str], left: dict[str, CellFolder]) -> str:
        folder = left[digest]
        try:
            status = future.result()
        except (BrokenExecutor, ExecutorError, StoreError):
            raise
        except Exception as error:  # the executor lost the call, not the cell's plugins
            text = str(error) if isinstance(error, WorkerDiedError) else f"worker: {type(error).__name__}: {' '.join(str(error).split())}"
            folder.write(replace(folder.state(), status="failed", error=text))
            status = "failed"
        if status != HELD:
            self._settle(folder, status, left)
        return status

    def _settle(self, folder: CellFolder, status: str, left: dict[str, CellFolder]) -> None:
        self.results[folder.digest] = status
        del left[folder.digest]
        self.watch(folder, status)

    def _bury(self, left: dict[str, CellFolder]) -> None:
        """The executor broke: count it against the cells that were running, else against all; those that keep breaking it are given up."""
        running = {digest for digest, folder in left.items() if folder.state().status == "running"} or set(left)
        for digest, folder in list(left.items()):
            state = folder.state()
            if digest in running:
                self.deaths[digest] += 1
            if self.deaths[digest] >= DEATHS:
                error = f"worker died {DEATHS} times on this cell; out of memory?"
                folder.write(replace(state, status="failed", error=error, traceback=""))
                self._settle(folder, "failed", left)
