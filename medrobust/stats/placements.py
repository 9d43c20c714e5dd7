"""Placements of one reader's scores, and the covariance of areas under ROC curves that share some, all or none of their cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from medrobust.stats.bootstrap import Floats
from medrobust.stats.separation import independent_pairs

UNDEFINED = float("nan")


@dataclass(frozen=True)
class Scored:
    """What one reader said of cases whose truth is known, under one condition.

    scores: (n,), finite; higher is more suspicious. positive: (n,) bool.
    cases: (n,) names, each once. A case of the same name in another sample is the same image, or a version of it, and correlates with it.
    patients: (n,) names; patients are independent of each other, cases of one patient are not. Each case is its own patient where none is given.
    """

    scores: Floats
    positive: NDArray[np.bool_]
    cases: NDArray[np.str_]
    patients: NDArray[np.str_]

    @staticmethod
    def of(scores: ArrayLike, positive: ArrayLike, cases: ArrayLike, patients: ArrayLike | None = None) -> Scored:
        """Check lengths, and refuse scores that are not finite and cases that appear twice."""
        names = np.asarray(cases, dtype=str).ravel()
        owners = names if patients is None else np.asarray(patients, dtype=str).ravel()
        sample = Scored(np.asarray(scores, dtype=np.float64).ravel(), np.asarray(positive).ravel().astype(bool), names, owners)
        lengths = [len(sample.scores), len(sample.positive), len(names), len(owners)]
        if len(set(lengths)) > 1:
            msg = f"sample: found {lengths[0]} scores, {lengths[1]} truths, {lengths[2]} cases and {lengths[3]} patients, expected as many of each"
            raise ValueError(msg)
        if not np.isfinite(sample.scores).all():
            msg = f"sample: {int((~np.isfinite(sample.scores)).sum())} of {len(sample.scores)} scores are not finite"
            raise ValueError(msg)
        found, counts = np.unique(names, return_counts=True)
        if (counts > 1).any():
            msg = f"sample: found case {found[counts > 1][0]} {counts.max()} times, expected once"
            raise ValueError(msg)
        return sample


@dataclass(frozen=True)
class Placements:
    """An area and what each patient adds to it.

    area: probability that a positive case scores higher than a negative one, ties counted half; NaN without one of each.
    names: (I,) patients, sorted. positives, negatives: (I,) how many cases of each kind a patient has.
    above: (I,) sum over a patient's positive cases of (placement - area) / all positives.
    below: (I,) the same of its negative cases.
    same: whether every case has the same placement: all told apart, all swapped or all tied, an area of 1, 0 or 0.5.
    """

    area: float
    names: NDArray[np.str_]
    positives: Floats
    negatives: Floats
    above: Floats
    below: Floats
    same: bool

    @property
    def constant(self) -> bool:
        """Whether every placement is the same and there is a pair that says so: no variance is seen."""
        return self.same and self.pairs() > 0

    def scale(self) -> tuple[float, float, float]:
        """Corrections I / (I - 1) for the patients with positives, with negatives, and for all; NaN for fewer than two, unless all is 0 anyway."""
        if self.constant:
            return 1.0, 1.0, 1.0
        counts = (self.positives > 0).sum(), (self.negatives > 0).sum(), len(self.names)
        first, second, third = (count / (count - 1) if count > 1 else UNDEFINED for count in counts)
        return float(first), float(second), float(third)

    def equals(self, other: Placements) -> bool:
        """Whether both have the same area from the same patients, and place every patient alike."""
        mine, theirs = ([one.names, one.above, one.below, one.positives, one.negatives] for one in (self, other))
        return self.area == other.area and all(map(np.array_equal, mine, theirs))

    def pairs(self) -> int:
        """How many pairs of a positive and a negative case there are when every patient is used once: they are independent."""
        return independent_pairs(self.positives > 0, self.negatives > 0)


def placements(sample: Scored) -> Placements:
    """Placements: of a positive case the share of negatives below it, of a negative case that of positives above, ties half.

    Source: DeLong et al. 1988; Sun and Xu 2014 for midranks in place of all pairs.
    """
    names, owner = np.unique(sample.patients, return_inverse=True)
    truth = sample.positive
    m, n = int(truth.sum()), int((~truth).sum())
    positives = np.bincount(owner[truth], minlength=len(names)).astype(np.float64)
    negatives = np.bincount(owner[~truth], minlength=len(names)).astype(np.float64)
    if m == 0 or n == 0:
        nothing = np.zeros(len(names))
        return Placements(UNDEFINED, names, positives, negatives, nothing, nothing, False)
    ten = _below(sample.scores[truth], sample.scores[~truth]) / n
    one = 1 - _below(sample.scores[~truth], sample.scores[truth]) / m
    area = float(ten.mean())
    above = np.bincount(owner[truth], weights=(ten - area) / m, minlength=len(names)).astype(np.float64)
    below = np.bincount(owner[~truth], weights=(one - area) / n, minlength=len(names)).astype(np.float64)
    return Placements(area, names, positives, negatives, above, below, bool((ten == area).all() and (one == area).all()))


def _below(scores: Floats, others: Floats) -> Floats:
    """How many of the others lie below each score, those equal to it half: its midrank among all, less that among its own."""
    ordered = np.sort(others)
    return np.asarray((np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / 2)


def delong_covariance(samples: Sequence[Scored]) -> Floats:
    """Covariance of the areas of k samples, (k, k); NaN where a sample has fewer than two patients with positives, or with negatives.

    With A the area, V the placements and i over patients:
    cov(A_a, A_b) = sum_i P_ai P_bi + N_ai N_bi + P_ai N_bi + N_ai P_bi, where P_ai sums (V10 - A) / m over the positives of patient i in sample a,
    N_ai sums (V01 - A) / n over its negatives, and each product has its correction I / (I - 1), the geometric mean of those of a and b.
    A patient adds only to samples that share it, so that cases in part shared enter with weight shared / (m_a m_b): all shared is
    DeLong's covariance, none is 0. A sum of squares, it gives no negative variance of a difference, as sample covariances of the shared cases may.
    The mixed products are not 0 where a patient has positives and negatives, or one case is positive here and negative there.

    Source: DeLong et al. 1988, equations 4 to 6; Obuchowski 1997, doi:10.2307/2533958, for several cases a patient.
    """
    return _Spread.of([placements(sample) for sample in samples]).covariance()


def contrast_variance(found: Sequence[Placements], weights: Sequence[float]) -> float:
    """Variance of a weighted sum of areas. Exactly 0 where two that are subtracted place every case alike."""
    projected = _Spread.of(found).projected(np.asarray(weights, dtype=np.float64))
    return max(float(projected.covariance()[0, 0]), 0.0) if np.isfinite(projected.above).all() else UNDEFINED


def jackknife_covariance(samples: Sequence[Scored]) -> Floats:
    """Covariance of the areas of k samples, (k, k), from leaving out each patient in turn; NaN where leaving one out leaves no area.

    cov = sqrt((I_a - 1) / I_a (I_b - 1) / I_b) sum_i (A_a(-i) - mean_a)(A_b(-i) - mean_b), over patients that both have.
    Source: Efron and Stein 1981; Hillis et al. 2005, doi:10.1002/sim.2024, for one set of cases.
    """
    rows = {}
    for row, sample in enumerate(samples):
        names, areas = leave_one_out(sample)
        rows[row] = dict(zip(names.tolist(), (areas - areas.mean()) * np.sqrt(max(len(names) - 1, 0) / max(len(names), 1)), strict=True))
    patients = {name: column for column, name in enumerate(sorted({name for row in rows.values() for name in row}))}
    deviations = np.zeros((len(rows), len(patients)))
    for row, values in rows.items():
        deviations[row, [patients[name] for name in values]] = list(values.values())
    with np.errstate(invalid="ignore"):
        return np.asarray(deviations @ deviations.T)


def leave_one_out(sample: Scored) -> tuple[NDArray[np.str_], Floats]:
    """Names of the patients, (I,), and the area without each, (I,); NaN where no positive or no negative case is left."""
    found = placements(sample)
    m, n = found.positives.sum(), found.negatives.sum()
    wins = found.area * m * n
    taken = n * (found.above * m + found.positives * found.area) + m * (found.below * n + found.negatives * found.area)
    within = np.zeros(len(found.names))
    for index in np.flatnonzero((found.positives > 0) & (found.negatives > 0)):
        mine = sample.patients == found.names[index]
        own = placements(Scored(sample.scores[mine], sample.positive[mine], sample.cases[mine], sample.cases[mine]))
        within[index] = own.area * found.positives[index] * found.negatives[index]
    left = (m - found.positives) * (n - found.negatives)
    return found.names, np.divide(wins - taken + within, left, out=np.full(len(left), UNDEFINED), where=left > 0)


@dataclass(frozen=True)
class _Spread:
    """Placements of k samples over the patients of all of them, (k, patients): with the correction of their own kind, and with that of all."""

    above: Floats
    below: Floats
    mixed_above: Floats
    mixed_below: Floats

    @staticmethod
    def of(found: Sequence[Placements]) -> _Spread:
        names = np.unique(np.concatenate([one.names for one in found]))
        scales = np.sqrt([one.scale() for one in found])  # (k, 3)
        above, below = np.zeros((2, len(found), max(len(names), 1)))
        for row, one in enumerate(found):
            columns = np.searchsorted(names, one.names)
            above[row, columns], below[row, columns] = one.above, one.below
        kind, other, every = scales.T[:, :, None]
        undefined = 0 * (kind + other)
        return _Spread(above * kind + undefined, below * other + undefined, above * every, below * every)

    def projected(self, weights: Floats) -> _Spread:
        """One sample: the weighted sum of these."""
        return _Spread(*((weights[:, None] * part).sum(0, keepdims=True) for part in (self.above, self.below, self.mixed_above, self.mixed_below)))

    def covariance(self) -> Floats:
        with np.errstate(invalid="ignore"):
            mixed = self.mixed_above @ self.mixed_below.T
            return np.asarray(self.above @ self.above.T + self.below @ self.below.T + mixed + mixed.T)
