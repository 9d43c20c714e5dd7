"""Distances between two sets of images, by their features."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def standardised(reference: ArrayLike, *others: ArrayLike) -> tuple[Array, ...]:
    """All sets (n, k) in standard deviations of the reference, less its mean; a feature that is constant there is left in its own unit."""
    sets = [_table(features) for features in (reference, *others)]
    spread = sets[0].std(0)
    return tuple((features - sets[0].mean(0)) / np.where(spread > 0, spread, 1.0) for features in sets)


def frechet(features: ArrayLike, others: ArrayLike) -> float:
    """Squared Frechet distance of normal distributions fitted to sets (n, k) and (m, k): |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)).

    It is biased upwards, the more the fewer there are: compare sets of one size. NaN with fewer than two of either.

    Source: Heusel et al. 2017, arXiv:1706.08500, equation 6.
    """
    one, other = _pair(features, others)
    if min(len(one), len(other)) < 2:
        return float("nan")
    first, second = (np.atleast_2d(np.cov(table, rowvar=False)) for table in (one, other))
    # (S1 S2)^(1/2) and the symmetric (A S2 A)^(1/2), A = S1^(1/2), have one trace; the latter's eigenvalues are real
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(0)).sum()
    distance = float(np.square(one.mean(0) - other.mean(0)).sum() + np.trace(first) + np.trace(second) - 2 * cross)
    return max(distance, 0.0)


def kernel_distance(features: ArrayLike, others: ArrayLike) -> float:
    """Squared maximum mean discrepancy of sets (n, k) and (m, k) under the kernel (x y / k + 1)^3.

    It is unbiased: 0 on average for sets of one distribution, so sometimes below. NaN with fewer than two of either.

    Source: Binkowski et al. 2018, arXiv:1801.01401 (KID), over whole sets.
    """
    one, other = _pair(features, others)
    if min(len(one), len(other)) < 2:
        return float("nan")

    def kernel(left: Array, right: Array) -> Array:
        return np.asarray((left @ right.T / left.shape[1] + 1) ** 3)

    def within(table: Array) -> float:
        products, n = kernel(table, table), len(table)
        return float((products.sum() - np.trace(products)) / (n * (n - 1)))

    return within(one) + within(other) - 2 * float(kernel(one, other).mean())


def _pair(features: ArrayLike, others: ArrayLike) -> tuple[Array, Array]:
    one, other = _table(features), _table(others)
    if one.shape[1] != other.shape[1]:
        msg = f"features: found {one.shape[1]} and {other.shape[1]} of them, expected the same ones"
        raise ValueError(msg)
    return one, other


def _table(features: ArrayLike) -> Array:
    table = np.asarray(features, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(table).all():
        msg = f"features: found an array of shape {table.shape}{'' if table.ndim != 2 else ' with NaN or infinity'}, expected finite ones, (n, k)"
        raise ValueError(msg)
    return table
