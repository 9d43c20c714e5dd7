"""Which patients change sides: every way there is where patients are few, seeded draws otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medrobust.stats.bootstrap import Floats

DRAWS = 9999
BLOCK = 1 << 22


@dataclass(frozen=True)
class Flips:
    """Signs of patients under the hypothesis that two entrants may change places on any patient.

    patients: how many. draws: at most so many ways, seeded, unless there are no more than that.
    Turning every sign turns the sign of the statistic alone, so the first patient keeps its side: there are 2**(patients - 1) ways.
    """

    patients: int
    draws: int = DRAWS
    seed: int = 0

    @property
    def exact(self) -> bool:
        """Every way is looked at, so p needs no allowance for draws."""
        return self.patients < 63 and 2 ** max(self.patients - 1, 0) <= self.draws + 1

    @property
    def ways(self) -> int:
        return int(2 ** max(self.patients - 1, 0)) if self.exact else self.draws

    def __iter__(self) -> Iterator[Floats]:
        """Blocks of signs, (ways, patients), each -1 or 1."""
        size = max(1, BLOCK // max(self.patients, 1))
        rng = np.random.default_rng(self.seed)
        for start in range(0, self.ways, size):
            count = min(size, self.ways - start)
            if self.exact:
                bits = np.arange(start, start + count)[:, None] >> np.arange(self.patients)[::-1] & 1
            else:
                bits = rng.integers(0, 2, (count, self.patients))
            yield np.asarray(1 - 2 * bits, dtype=np.float64)

    def chance(self, hits: Floats) -> Floats:
        """p of so many ways at least as extreme as what was seen, which exact ways hold themselves. Source: Phipson and Smyth 2010."""
        return np.asarray(hits / self.ways if self.exact else (1 + hits) / (1 + self.ways))
