"""How far tampered images are, as sets, from real images of what they are meant to be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from medrobust.leaderboard.mammo_tamper.rule import TEXTURE
from medrobust.leaderboard.section import Model, Section
from medrobust.stats import Interval
from medrobust.stats.bootstrap import LEVEL, Floats
from medrobust.stats.distance import frechet, kernel_distance, standardised

GROUPS = 50
"""The most groups of patients that are left out in turn for an interval."""

SPLITS = 200
"""How many times a real set is cut into two halves."""

Distance = Callable[[Floats, Floats], float]


@dataclass(frozen=True)
class Images:
    """Features of some images. features: (n, k). cases, patients: (n,) names."""

    features: Floats
    cases: np.ndarray
    patients: np.ndarray

    def where(self, kept: np.ndarray) -> Images:
        """Some of them."""
        return Images(self.features[kept], self.cases[kept], self.patients[kept])


@dataclass(frozen=True)
class Pair:
    """Images, and the real ones that they are to look like; both in standard deviations of the real ones."""

    images: Images
    real: Images

    @staticmethod
    def of(images: Images, real: Images) -> Pair:
        features = standardised(real.features, images.features)
        return Pair(Images(features[1], images.cases, images.patients), Images(features[0], real.cases, real.patients))

    @property
    def counts(self) -> tuple[int, int]:
        """Patients and images of both sides, each image once."""
        both = (self.images, self.real)
        return len(set().union(*(one.patients.tolist() for one in both))), sum(len(one.cases) for one in both)


def features(section: Section, model: Model, attack: str, condition: str) -> Images | None:
    """Of images that have every feature; None where there are none. A case of several seeds counts with its mean."""
    frame = section.frame(model, attack, condition, TEXTURE, None)
    if frame.empty:
        return None
    table = frame.pivot_table(index=["case", "patient"], columns="label", values="value").dropna().sort_index()
    cases, patients = (table.index.get_level_values(name).to_numpy(dtype=str) for name in ("case", "patient"))
    return Images(table.to_numpy(dtype=np.float64), cases, patients) if len(table) else None


def distance(pairs: Sequence[Pair], by: Distance = kernel_distance) -> Interval:
    """Mean over pairs of the distance of one side to the other, its interval by leaving out patients in turn, or groups of them where there are many.

    Source: Efron and Stein 1981 for the variance, Student's t with one degree of freedom less than groups. NaN with fewer than two images.
    """
    whole = _mean(pairs, by, ())
    names = sorted(set().union(*(side.patients.tolist() for pair in pairs for side in (pair.images, pair.real))))
    cases = sum(pair.counts[1] for pair in pairs)
    groups = [part.tolist() for part in np.array_split(np.array(names), min(GROUPS, len(names)))] if names else []
    without = np.array([_mean(pairs, by, group) for group in groups])
    low = high = math.nan
    if len(groups) > 1 and np.isfinite(without).all():
        from scipy import stats

        error = math.sqrt((len(groups) - 1) / len(groups) * float(np.square(without - without.mean()).sum()))
        half = float(stats.t.ppf((1 + LEVEL) / 2, len(groups) - 1)) * error
        low, high = whole - half, whole + half
    return Interval(whole, low, high, len(names), cases)


def _mean(pairs: Sequence[Pair], by: Distance, left_out: Sequence[str]) -> float:
    found = [by(*(side.features[~np.isin(side.patients, left_out)] for side in (pair.images, pair.real))) for pair in pairs]
    return float(np.mean(found)) if found else math.nan


def halves(real: Images, by: Distance = kernel_distance) -> Interval:
    """What chance gives: mean distance of two halves of a real set, cut between patients, and where 95 % of the cuts lie. NaN with too few images.

    Halves are smaller than the whole set and so vary more: an image set within this range cannot be told from real ones by these features.
    """
    rng, names = np.random.default_rng(0), np.unique(real.patients)
    scaled = Images(standardised(real.features)[0], real.cases, real.patients)
    found = []
    for _ in range(SPLITS):
        first = np.isin(scaled.patients, rng.permutation(names)[: len(names) // 2])
        found.append(by(scaled.features[first], scaled.features[~first]))
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(np.mean(found)), float(low), float(high), len(names), len(real.cases))


def normal_distance(pair: Pair) -> float:
    """Frechet distance of one side to the other; biased upwards, so only sets of one size compare."""
    return frechet(pair.images.features, pair.real.features)
