"""Steps, draws and radii of a norm's ball, for images of any number of axes."""

from __future__ import annotations

import torch
from torch import Tensor

from medrobust.budgets import Norm, length
from medrobust.randomness import CaseRandom


def column(values: Tensor, like: Tensor) -> Tensor:
    """One number a case, (n,), shaped to be multiplied with images, (n, 1, ..., 1)."""
    return values.view(-1, *[1] * (like.ndim - 1))


def reach(budget: Norm, clean: Tensor) -> Tensor:
    """The radius of each image as images are multiplied, (n, 1, ..., 1), finite.

    Where the norm is no bound, the radius from which the ball holds the whole range of intensities; an open end of it is the clean image's own.
    """
    radius = budget.radius(clean)
    if not budget.bounded:
        flat = clean.flatten(1)
        low, high = (own if end is None else torch.full_like(own, end) for end, own in ((budget.low, flat.amin(1)), (budget.high, flat.amax(1))))
        radius = (high - low) * (1 if budget.norm == "linf" else flat.shape[1] ** 0.5)
    return column(radius, clean)


def unit(change: Tensor, norm: str) -> Tensor:
    """The change scaled to length 1 in the norm; 0 stays 0. (n, c, *space)."""
    return change / column(length(change, norm).clamp_min(torch.finfo(change.dtype).tiny), change)


def ascent(slope: Tensor, norm: str) -> Tensor:
    """The step of length 1 that raises a loss of this slope most: its sign for L-infinity, itself scaled for L2."""
    return slope.sign() if norm == "linf" else unit(slope, norm)


def noise(budget: Norm, clean: Tensor, rng: CaseRandom) -> Tensor:
    """Uniform draws of the whole budget: in the box for L-infinity, on the sphere for L2; the range then cuts. (n, c, *space)."""
    shape = clean.shape[1:]
    drawn = rng.uniform(-1, 1, *shape) if budget.norm == "linf" else unit(rng.normal(*shape), budget.norm)
    return budget.project(clean + reach(budget, clean) * drawn.to(clean), clean)
