"""Ascent whose step halves where it no longer pays: the heart of APGD."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.budgets import Norm
from medrobust_attacks.norm_bounded.ball import ascent, column, reach
from medrobust_attacks.norm_bounded.search import Search

MOMENTUM = 0.75
"""Share of a step that follows the slope; the rest goes on as before."""

RISING = 0.75
"""Share of steps since the last checkpoint that must raise the objective, or the step is halved."""


def checkpoints(steps: int) -> tuple[int, ...]:
    """After which steps the step size is judged: 0 and the places 0.22, 0.41, 0.57, ... of all steps, nearer by 0.03 each, at least 0.06 apart.

    Source: Croce & Hein 2020, arXiv:2003.01690, section 3.3.
    """
    places = [0, 22]  # hundredths, which sums leave exact
    while (place := places[-1] + max(places[-1] - places[-2] - 3, 6)) <= 100:
        places.append(place)
    return tuple(-(-place * steps // 100) for place in places)


@dataclass
class Pace:
    """Step sizes of n cases, and what they are judged by.

    size: (n,), in the norm. rises: how often the objective rose since the last checkpoint, (n,). before, reached: size and highest objective there.
    """

    size: Tensor
    reached: Tensor

    def __post_init__(self) -> None:
        self.rises = torch.zeros_like(self.size)
        self.before = self.size.clone()

    def judge(self, since: int, highest: Tensor) -> Tensor:
        """Halve the step where it rose in fewer than `RISING` of the steps since the last checkpoint, or where neither it nor `highest` has changed.

        Returns where, (n,) bool. Source: conditions 1 and 2 of Croce & Hein 2020, section 3.1.
        """
        halved = (self.rises < RISING * since) | ((self.size == self.before) & (highest == self.reached))
        self.before, self.reached = self.size, highest
        self.size = torch.where(halved, self.size / 2, self.size)
        self.rises = torch.zeros_like(self.rises)
        return halved


def climb(search: Search, budget: Norm, start: Tensor, steps: int) -> None:
    """`steps` steps from `start` (n, c, *space), which lies within the budget: `steps` + 1 queries, `steps` with a slope.

    Source: Croce & Hein 2020, arXiv:2003.01690, algorithm 1: the first step is 2 radii long, a halved step goes on from the best point.
    """
    clean, marks = search.batch.image, checkpoints(steps)
    before = image = start
    value, slope = search.slope(image)
    pace = Pace(2 * reach(budget, clean).flatten(), value)
    best, summit, summit_slope = value, image, slope
    for done in range(steps):
        ahead = budget.project(image + column(pace.size, image) * ascent(slope, budget.norm), clean)
        if done:
            ahead = budget.project(image + MOMENTUM * (ahead - image) + (1 - MOMENTUM) * (image - before), clean)
        before, last = image, value
        image = ahead
        value, slope = search.slope(image) if done < steps - 1 else (search.ask(image), slope)
        better = value > best
        best = torch.where(better, value, best)
        summit, summit_slope = (torch.where(column(better, image), new, old) for new, old in ((image, summit), (slope, summit_slope)))
        rises = value > last
        if done in marks[1:]:
            back = pace.judge(done - max(mark for mark in marks if mark < done), best)
            image, slope = (torch.where(column(back, image), new, old) for new, old in ((summit, image), (summit_slope, slope)))
            value = torch.where(back, best, value)
        pace.rises = pace.rises + rises
        if search.over:
            break
