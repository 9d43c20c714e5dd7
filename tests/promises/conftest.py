"""Promises are checked as the harness runs plugins: on one thread of the CPU."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from medrobust.run import exact


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with exact("cpu"):
        yield
