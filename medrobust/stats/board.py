"""What entrants are ranked from: one value an entrant and case, and whose case it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medrobust.stats.bootstrap import Floats


@dataclass(frozen=True, eq=False)
class Board:
    """Entrants by cases.

    values: (entrants, cases), NaN where a case has no value. patients: (cases,) names. higher_is_better: which end wins.
    An entrant's score is the mean of the values that it has, as tables print it, so that one that lacks hard cases gains by it:
    compare with `sensitivity`, which fills them.
    """

    values: Floats
    patients: NDArray[np.str_]
    higher_is_better: bool = True

    @staticmethod
    def of(values: ArrayLike, patients: ArrayLike, higher_is_better: bool = True) -> Board:
        """Check shapes; refuse infinity, and an entrant without any value."""
        board = Board(np.atleast_2d(np.asarray(values, dtype=np.float64)), np.asarray(patients, dtype=str).ravel(), higher_is_better)
        if board.values.ndim != 2 or board.values.shape[1] != len(board.patients):
            msg = f"board: values of shape {board.values.shape} for {len(board.patients)} cases, expected (entrants, cases)"
            raise ValueError(msg)
        if np.isinf(board.values).any():
            msg = f"board: found {int(np.isinf(board.values).sum())} infinite values, expected numbers, or NaN where there is none"
            raise ValueError(msg)
        empty = np.flatnonzero(np.isnan(board.values).all(axis=1))
        if len(empty):
            msg = f"board: entrant {empty[0]} has no value, expected at least one an entrant"
            raise ValueError(msg)
        return board

    @property
    def entrants(self) -> int:
        return len(self.values)

    @property
    def cases(self) -> int:
        return len(self.patients)

    @cached_property
    def names(self) -> NDArray[np.str_]:
        """Patients, sorted."""
        return np.unique(self.patients)

    @cached_property
    def sums(self) -> Floats:
        """Sum of each entrant's values a patient, (entrants, patients)."""
        return self._by_patient(np.nan_to_num(self.values, nan=0.0))

    @cached_property
    def counts(self) -> Floats:
        """How many values that is, (entrants, patients)."""
        return self._by_patient((~np.isnan(self.values)).astype(np.float64))

    @cached_property
    def scores(self) -> Floats:
        """Mean over cases, (entrants,)."""
        return np.asarray(self.sums.sum(axis=1) / self.counts.sum(axis=1))

    @cached_property
    def goodness(self) -> Floats:
        """Scores of which more is better, (entrants,)."""
        return self.scores if self.higher_is_better else -self.scores

    @cached_property
    def shares(self) -> Floats:
        """What each patient adds to an entrant's score, (entrants, patients): cases times score, and the patient's influence on it.

        Rows sum to cases times score. Without missing values this is `sums`.
        """
        held = self.counts.sum(axis=1, keepdims=True)
        size = self._by_patient(np.ones((1, self.cases)))
        level = self.scores[:, None]
        return np.asarray(level * size + self.cases / held * (self.sums - level * self.counts))

    def _by_patient(self, values: Floats) -> Floats:
        owner = np.searchsorted(self.names, self.patients)
        order = np.argsort(owner, kind="stable")
        starts = np.searchsorted(owner[order], np.arange(len(self.names)))
        return np.add.reduceat(values[:, order], starts, axis=1)
