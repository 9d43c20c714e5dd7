"""The executor that computes in processes of this machine, each alone in its pool, so that a death takes one call with it and no other."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import ParamSpec, TypeVar

from medrobust.errors import WorkerDiedError
from medrobust.interrupts import insist

P = ParamSpec("P")
T = TypeVar("T")

DEATHS = 3
"""How often a call's process may die before the call is given up."""
GRACE = 5.0
"""Seconds that a process has to leave its cell resumable when it is stopped."""
LIBRARIES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Worker:
    """A process and the pool that holds it alone."""

    pool: ProcessPoolExecutor
    pid: int


class Pool(Executor):
    """At most `workers` processes, each started when there is work for it; a call whose process dies is given to a new one.

    `shutdown(cancel_futures=True)` also stops the calls that run: SystemExit is raised in them.
    """

    def __init__(self, workers: int) -> None:
        self._threads = ThreadPoolExecutor(workers, "pool")
        self._own = threading.local()
        self._lock = threading.Lock()
        self._workers: set[Worker] = set()
        self._stopped = False

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._threads.submit(self._call, partial(function, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._stop()
        self._threads.shutdown(wait=wait)
        for worker in set(self._workers):
            worker.pool.shutdown(wait=wait)

    def _call(self, call: Callable[[], T]) -> T:
        """In a thread of its own for each process: the call's result, over as many processes as it takes."""
        for _ in range(DEATHS):
            try:
                return self._worker().pool.submit(call).result()
            except BrokenProcessPool:
                self._discard()
                if self._stopped:
                    raise
        msg = f"worker died {DEATHS} times on this cell; out of memory?"
        raise WorkerDiedError(msg)

    def _worker(self) -> Worker:
        """The process of the calling thread, started where there is none."""
        worker: Worker | None = getattr(self._own, "worker", None)
        if worker is None:
            pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which the process inherits: Ctrl-C is for the parent alone
            self._own.worker = worker = Worker(pool, pool.submit(os.getpid).result())
            with self._lock:
                self._workers.add(worker)
        if self._stopped:
            worker.pool.shutdown(wait=False)
            msg = "the pool has been stopped"
            raise BrokenProcessPool(msg)
        return worker

    def _discard(self) -> None:
        worker, self._own.worker = getattr(self._own, "worker", None), None
        if worker:
            with self._lock:
                self._workers.discard(worker)
            worker.pool.shutdown(wait=True)

    def _stop(self) -> None:
        """Ask every process to end, and end those that do not."""
        self._stopped = True
        with self._lock:
            workers = {worker.pid: worker for worker in self._workers}
        children = [child for child in multiprocessing.active_children() if child.pid in workers]
        for child in children:
            child.terminate()
        for worker in workers.values():
            worker.pool.shutdown(wait=False, cancel_futures=True)
        until = time.monotonic() + GRACE
        for child in children:
            child.join(max(0.0, until - time.monotonic()))
            if child.is_alive():
                child.kill()


def begin() -> None:
    """What a worker does first: one thread a library, an end with its parent, and SystemExit where it is asked to end."""
    os.environ.update(dict.fromkeys(LIBRARIES, "1"))
    signal.signal(signal.SIGTERM, leave)
    insist(signal.SIGTERM, SystemExit)
    threading.Thread(target=die_with_parent, daemon=True, name="parent").start()


def leave(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
    raise SystemExit(128 + number)


def die_with_parent() -> None:
    """A worker whose parent was killed is of no use, and would hold its cell."""
    parent = multiprocessing.parent_process()
    if parent:
        parent.join()
        os._exit(1)


def create(workers: int, scheduler: str | None) -> Executor:  # noqa: ARG001 - one signature for all executors
    return Pool(workers)
