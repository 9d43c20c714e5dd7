"""FNAF by gradient: the feature's pixels, shape and place follow the network's own gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.feature import Feature, feature_loss, inside, patch, render
from medrobust_attacks.fnaf.search import Best, redraw

REACH = 6
"""Pixels around a start that count towards where the feature would rather be."""

NEIGHBOURS = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])


@dataclass(frozen=True)
class GradientSearch:
    """Climb the adversarial loss through the reconstruction, within the budget of the random walk.

    The budget's walk is kept and its randomness replaced: from a start, each step of the walk goes to the neighbour where adding intensity raises
    the loss most, at the highest intensity where that raises the loss and the lowest where it does not (first order). Shape and intensities are
    learned at every query, wherever it is; places are random for a share of the queries, then move from the best one along the gradient.
    Source: this project; objective and budget of Cheng et al., MIDL 2020, which optimises place alone, without gradients.

    steps: queries per slice; each is one forward and one backward pass. explore: share of them at random places, in (0, 1].
    move: pixels of the first move of a place, halved at each next one. redraw_mask: a new sampling mask for each query while places are random,
        the best one's afterwards; False keeps the acquisition's own throughout.
    """

    threat: ClassVar[str] = "white-box"
    steps: int = 11
    explore: float = 0.6
    move: float = 8.0
    redraw_mask: bool = True

    def __post_init__(self) -> None:
        if self.steps < 1:
            msg = f"steps: found {self.steps}, expected 1 or more"
            raise ValueError(msg)
        if not 0 < self.explore <= 1:
            msg = f"explore: found {self.explore}, expected a number in (0, 1]"
            raise ValueError(msg)
        if not self.move >= 0:
            msg = f"move: found {self.move}, expected at least 0"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes per slice."""
        return self.steps

    @property
    def gradients(self) -> int:
        """Backward passes per slice."""
        return self.steps

    def __call__(self, target: Target, batch: Batch, budget: FeatureBudget, rng: CaseRandom) -> Attacked:
        """Attack every slice of the batch; slices share the passes."""
        best = Best.none(batch, budget.information)
        low, high = budget.bounds(batch.image)
        feature, mask = budget.draw(batch.image, rng), self._mask(batch, rng)
        best_slope = torch.zeros_like(batch.image)
        exploring = max(1, round(self.explore * self.steps))
        for step in range(self.steps):
            previous = best.loss.clone()
            slope = self._query(target, feature, mask, best)
            improved = (best.loss > previous).view(-1, 1, 1, 1)
            best_slope = torch.where(improved, slope, best_slope)
            if step + 1 < exploring:
                shape = grow(slope, feature.start, budget, low, high)
                start = budget.place(batch.image, rng)
                mask = self._mask(batch, rng)
            else:
                shape = grow(best_slope, best.start, budget, low, high)
                start = best.start + self._shift(best_slope, best.start, step + 1 - exploring)
                mask = best.mask
            feature = self._place(batch, shape, start, budget, low, high)
        return best.attacked()

    def _mask(self, batch: Batch, rng: CaseRandom) -> Tensor:
        return redraw(batch, rng) if self.redraw_mask else batch.context["mask"]

    def _query(self, target: Target, feature: Feature, mask: Tensor, best: Best) -> Tensor:
        """Ask the target once per slice, take the candidate in, and return the slope of the loss around it, (n, 1, H, W)."""
        losses, slopes, information = [], [], []
        candidates = Feature.stack([feature]), mask[:, None]
        for query in best.queries(*candidates):
            with torch.enable_grad():
                image = query.rows.image.detach().requires_grad_(True)
                loss = feature_loss(*query.seen(target, image), query.region, query.scale)
                slopes.append(torch.autograd.grad(loss.sum(), image)[0])
            losses.append(loss.detach())
            information.append(query.information)
        best.update(*candidates, torch.cat(losses)[:, None], torch.cat(information)[:, None])
        return torch.cat(slopes)

    def _shift(self, slope: Tensor, start: Tensor, moves: int) -> Tensor:
        """Where the whole feature would rather be, (n, 2) whole pixels: the sign of the loss's change under a shift by one pixel, times the move."""
        around = patch(slope, start.to(slope.device), REACH)
        down = around[:, 2:, 1:-1].sum((1, 2)) - around[:, :-2, 1:-1].sum((1, 2))
        right = around[:, 1:-1, 2:].sum((1, 2)) - around[:, 1:-1, :-2].sum((1, 2))
        direction = torch.stack([down, right], 1).sign().cpu().long()
        pixels: Tensor = direction * max(1, round(self.move / 2**moves))
        return pixels

    @staticmethod
    def _place(batch: Batch, shape: Tensor, start: Tensor, budget: FeatureBudget, low: Tensor, high: Tensor) -> Feature:
        """The feature with that shape (n, steps, 3: row and column offset, intensity in sigma) as near to `start` as the box allows."""
        offsets = shape[..., :2].long()
        first = torch.maximum(torch.minimum(start, high - offsets.amax(1)), low - offsets.amin(1))
        values = shape[..., 2] * budget.sigma(batch.image).cpu()[:, None]
        return render(first[:, None] + offsets, values, *batch.image.shape[-2:])


def grow(slope: Tensor, start: Tensor, budget: FeatureBudget, low: Tensor, high: Tensor) -> Tensor:
    """A walk from `start` (n, 2) that follows `slope` (n, 1, H, W) uphill without visiting a pixel twice where it can avoid it.

    Returns (n, steps, 3): row and column relative to the start, and intensity in sigma.
    """
    maps = slope[:, 0].cpu().clone()
    rows = torch.arange(len(maps))
    here = start.clone()
    visited, gains = [here - start], [maps[rows, here[:, 0], here[:, 1]].clone()]
    maps[rows, here[:, 0], here[:, 1]] = -torch.inf
    for _ in range(budget.steps - 1):
        options = inside(here[:, None] + NEIGHBOURS, low, high)
        values = maps[rows[:, None], options[..., 0], options[..., 1]]
        here = options[rows, values.argmax(1)]
        gain = values.amax(1)
        visited.append(here - start)
        gains.append(torch.where(gain.isinf(), torch.ones_like(gain), gain))
        maps[rows, here[:, 0], here[:, 1]] = -torch.inf
    faint, bright = budget.intensity
    intensity = torch.where(torch.stack(gains, 1) > 0, bright, faint)
    return torch.cat([torch.stack(visited, 1).to(intensity.dtype), intensity[..., None]], -1)
