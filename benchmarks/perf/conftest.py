"""Speed as ratios to the bare passes of the target: `make perf`. No number here is a test's expectation."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest

ROUNDS = 5


def ratios(jobs: dict[str, Callable[[], object]], bare: str) -> dict[str, tuple[float, float, float]]:
    """Lowest, median and highest ratio of each job's time to `bare`'s, rounds interleaved so that a busy machine weighs on all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            seconds[name].append(time.perf_counter() - began)
    found = {}
    for name, taken in seconds.items():
        each = sorted(one / base for one, base in zip(taken, seconds[bare], strict=True))
        found[name] = (each[0], statistics.median(each), each[-1])
    return found


@pytest.fixture
def compare(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Print a table of ratios and hand the medians to pytest-benchmark's report."""

    def run(title: str, jobs: dict[str, Callable[[], object]], bare: str) -> None:
        found = ratios(jobs, bare)
        benchmark.extra_info.update({name: round(median, 3) for name, (_, median, _) in found.items()})
        benchmark.pedantic(jobs[bare], rounds=1, iterations=1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        with capsys.disabled():
            print(f"\n{title} (times `{bare}`; median of {ROUNDS}, lowest to highest; peak memory so far {peak:.0f} MB)")
            for name, (low, median, high) in found.items():
                print(f"  {name:44s} {median:6.3f}  ({low:.3f} to {high:.3f})")

    return run
