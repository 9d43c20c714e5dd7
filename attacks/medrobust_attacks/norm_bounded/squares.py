"""Moves of the Square attack: one window of an image is given a new change, of the whole radius. Images of one case, of any number of axes."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from medrobust.budgets import Norm, length
from medrobust.randomness import CaseRandom
from medrobust_attacks.norm_bounded.ball import reach, unit

TURNS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 after each of which windows cover half as much. Source: Andriushchenko et al. 2020, arXiv:1912.00049, section 4.1."""

TILES = 5
"""Tiles along each axis of the first change in L2. Source: as above, section 3.4."""

TINY = 1e-12

Window = tuple[slice, ...]
Begin = Callable[["Case"], Tensor]
Move = Callable[["Case", Tensor, float], Tensor]
"""From a case, its current image and the share of pixels of a window, to the next candidate; (1, c, *space)."""


def share(first: float, done: int, queries: int) -> float:
    """The share of pixels that a window covers after `done` of `queries` queries."""
    return first * 0.5 ** bisect_left(TURNS, 10_000 * done / queries)


@dataclass(frozen=True)
class Case:
    """One case: its clean image (1, c, *space), its budget and its stream."""

    clean: Tensor
    budget: Norm
    rng: CaseRandom

    @property
    def space(self) -> tuple[int, ...]:
        return tuple(self.clean.shape[2:])

    def signs(self, *shape: int) -> Tensor:
        """-1 and 1 alike often, (1, *shape)."""
        return (2 * self.rng.integers(0, 2, *shape) - 1).to(self.clean)

    def place(self, edges: tuple[int, ...]) -> Window:
        """A window of these edges anywhere in the image, as an index of images."""
        corners = [int(self.rng.integers(0, whole - edge + 1)) for whole, edge in zip(self.space, edges, strict=True)]
        return (slice(None), slice(None), *(slice(corner, corner + edge) for corner, edge in zip(corners, edges, strict=True)))

    def wide(self, covered: float) -> int:
        """Edge of a cube that covers a share of the image."""
        return round(math.pow(covered * math.prod(self.space), 1 / len(self.space)))


def stripes(case: Case) -> Tensor:
    """Every line along the first axes is moved by the whole radius, up or down, each channel for itself."""
    signs = case.signs(case.clean.shape[1], *[1] * (len(case.space) - 1), case.space[-1])
    return case.budget.project(case.clean + reach(case.budget, case.clean) * signs, case.clean)


def recolour(case: Case, image: Tensor, covered: float) -> Tensor:
    """A cube is moved by the whole radius from the clean image, up or down, each channel for itself.

    Where that changes nothing it is moved the other way, for a query that is not thrown away; the published code draws again.
    """
    edge = case.wide(covered)
    window = case.place(tuple(max(1, min(edge, whole - 1)) for whole in case.space))
    signs = case.signs(case.clean.shape[1], *[1] * len(case.space))
    for way in (signs, -signs):
        moved = image.clone()
        moved[window] = case.clean[window] + reach(case.budget, case.clean) * way
        moved = case.budget.project(moved, case.clean)
        if not torch.equal(moved, image):
            break
    return moved


def tiles(case: Case) -> Tensor:
    """A grid of bumps, up on one side and down on the other, each channel with its own sign, scaled to the radius."""
    edges = tuple(max(1, whole // TILES) for whole in case.space)
    counts = tuple(min(TILES, whole // edge) for whole, edge in zip(case.space, edges, strict=True))
    change = torch.zeros_like(case.clean)
    for tile in torch.cartesian_prod(*[torch.arange(count) for count in counts]).view(-1, len(edges)).tolist():
        window = (slice(None), slice(None), *(slice(k * edge, (k + 1) * edge) for k, edge in zip(tile, edges, strict=True)))
        change[window] = drawn_bump(case, edges)
    return spent(case, change)


def shift(case: Case, image: Tensor, covered: float) -> Tensor:
    """The change in one window is taken away, and a bump of as much length is added in another.

    Source: Andriushchenko et al. 2020, arXiv:1912.00049, algorithm 3.
    """
    edge = max(case.wide(covered), 3)
    edges = tuple(min(edge + 1 - edge % 2, whole) for whole in case.space)
    onto, off = case.place(edges), case.place(edges)
    change = image - case.clean
    radius, axes = reach(case.budget, case.clean), tuple(range(2, change.ndim))
    either = torch.zeros_like(change)
    either[onto] = either[off] = 1
    unspent = (radius.square() - change.square().sum()).clamp_min(0) / change.shape[1]
    spare = (change * either).square().sum(axes, keepdim=True) + unspent  # of each channel
    added = drawn_bump(case, edges) + unit_channels(change[onto])
    moved = change.clone()
    moved[off] = 0
    moved[onto] = unit_channels(added) * spare.sqrt()
    return spent(case, moved)


def spent(case: Case, change: Tensor) -> Tensor:
    """The image changed by the whole radius in that direction, as far as the range lets it."""
    return case.budget.project(case.clean + reach(case.budget, case.clean) * unit(change, case.budget.norm), case.clean)


def drawn_bump(case: Case, edges: tuple[int, ...]) -> Tensor:
    """A pair of bumps side by side along a random axis, (1, c, *edges), each channel with its own sign."""
    axis = int(case.rng.integers(0, len(edges)))
    return bumps(edges, axis).to(case.clean) * case.signs(case.clean.shape[1], *[1] * len(edges))


def unit_channels(change: Tensor) -> Tensor:
    """Each channel of a change (1, c, *space) scaled to length 1; 0 stays 0."""
    return change / (length(change[0], "l2").view(1, -1, *[1] * (change.ndim - 2)) + TINY)


@cache
def bumps(edges: tuple[int, ...], axis: int) -> Tensor:
    """A bump on one half of a window along `axis` and its negative on the other, of length 1 together, (1, 1, *edges).

    A bump falls off from its middle as the sum of 1 / k^2 over the cubes around it that hold a pixel. Source: as above, equation 2.
    """
    half = edges[axis] // 2
    first, second = [*edges], [*edges]
    first[axis], second[axis] = half, edges[axis] - half
    parts = [bump(tuple(side)) for side in (first, second) if min(side)]
    whole = torch.cat([parts[0], *(-part for part in parts[1:])], axis)
    return unit(whole[None, None], "l2")


def bump(edges: tuple[int, ...]) -> Tensor:
    """One bump of length 1, (*edges)."""
    middles = [edge // 2 for edge in edges]
    axes = [(torch.arange(edge) - middle).abs() for edge, middle in zip(edges, middles, strict=True)]
    distance = torch.stack(torch.meshgrid(*axes, indexing="ij")).amax(0)
    falling = (1 / torch.arange(1, max(middles) + 2).double().square()).flip(0).cumsum(0).flip(0)
    height = falling[distance]
    return unit(height[None].float(), "l2")[0]
