"""The executor that computes on the workers of a Dask scheduler, on as many machines as it has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from medrobust.errors import ExecutorError, SpecError, WorkerDiedError

if TYPE_CHECKING:
    from distributed import Client

P = ParamSpec("P")
T = TypeVar("T")

TIMEOUT = 10
"""Seconds in which a scheduler must answer."""


class Cluster(Executor):
    """Dask's own executor, whose errors are lines; a call whose worker dies is given to another by the scheduler.

    `shutdown(cancel_futures=True)` takes back what has not begun; workers finish the calls that run.
    """

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self._address = address
        self._executor = client.get_executor(pure=False)
        self._packages = packages()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        call = partial(function, *args, **kwargs)
        self._executor.submit(alone, self._packages, call).add_done_callback(partial(self._hand_over, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        try:
            if self._client.status == "running":
                self._executor.shutdown(wait=wait and not cancel_futures)
        finally:
            self._client.close(timeout=TIMEOUT)

    def _hand_over(self, future: Future[Any], theirs: Future[Any]) -> None:
        if theirs.cancelled():
            msg = f"lost the scheduler {self._address}; the same command goes on from here"
            future.set_exception(ExecutorError(msg))
        elif error := theirs.exception():
            future.set_exception(named(error))
        else:
            future.set_result(theirs.result())


def named(error: BaseException) -> BaseException:
    """The same, in our words where it is Dask's."""
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return WorkerDiedError(f"worker died {error.allowed_failures + 1} times on this cell; out of memory?")
    return error


def packages() -> dict[str, str]:
    """What must be the same everywhere for rows to be the same."""
    return {name: version(name) for name in ("medrobust", "torch")}


def alone(expected: dict[str, str], call: Callable[[], T]) -> T:
    """The call's result, on a worker that is fit for it: the submitter's packages, and one call at a time."""
    from distributed import get_worker

    worker = get_worker()
    if packages() != expected:
        msg = f"worker {worker.address}: found {shown(packages())}, expected {shown(expected)} as where the run was started"
        raise ExecutorError(msg)
    if worker.state.nthreads != 1:
        msg = f"worker {worker.address}: found {worker.state.nthreads} threads, expected 1: dask worker ADDRESS --nworkers N --nthreads 1"
        raise ExecutorError(msg)
    return call()


def shown(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def create(workers: int, scheduler: str | None) -> Executor:  # noqa: ARG001 - one signature for all executors
    """The workers of the scheduler at this address; SpecError where there is none, or no Dask here."""
    if scheduler is None:
        msg = "--executor dask: found no --scheduler, expected the address that `dask scheduler` prints, such as tcp://10.0.0.1:8786"
        raise SpecError(msg)
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        msg = f"--executor dask: needs the package '{error.name}', which is not installed: pip install 'medrobust[cluster]'"
        raise SpecError(msg) from error
    try:
        answer = asyncio.run(asyncio.wait_for(kind(scheduler), TIMEOUT))
    except OSError:
        answer = f"nothing within {TIMEOUT} s"
    except ValueError as error:
        answer = " ".join(str(error).split())
    if answer != "Scheduler":
        msg = f"--scheduler {scheduler}: found {answer}, expected the address that `dask scheduler` prints, such as tcp://10.0.0.1:8786"
        raise SpecError(msg)
    return Cluster(Client(scheduler, timeout=TIMEOUT, set_as_default=False), scheduler)


async def kind(address: str) -> str:
    """What listens there, in Dask's words; the client itself would wait for ever on a server that is none of Dask's."""
    from distributed import rpc

    async with rpc(address, timeout=TIMEOUT) as server:
        return str((await server.identity())["type"])
