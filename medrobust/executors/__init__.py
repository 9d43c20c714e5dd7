"""Where cells are computed: concurrent.futures executors, chosen by name."""

from __future__ import annotations

import importlib
from concurrent.futures import Executor

from medrobust.errors import SpecError
from medrobust.registry import near

EXECUTORS = {
    "local": "medrobust.executors.local",
    "pool": "medrobust.executors.pool",
    "dask": "medrobust.executors.dask",
}


def create(name: str, workers: int, scheduler: str | None = None) -> Executor:
    """The executor `name`: each module of the table has a `create(workers, scheduler)`.

    workers: processes, at least 1. scheduler: address of a Dask scheduler; None where the executor needs none.
    """
    if name not in EXECUTORS:
        msg = f"--executor: no '{name}'; {near(name, list(EXECUTORS))}"
        raise SpecError(msg)
    module = importlib.import_module(EXECUTORS[name])
    executor: Executor = module.create(workers, scheduler)
    return executor
