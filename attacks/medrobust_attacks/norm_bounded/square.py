"""The Square attack: random search that needs no gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from medrobust.budgets import Norm
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.norm_bounded.apgd import at_least
from medrobust_attacks.norm_bounded.ball import column
from medrobust_attacks.norm_bounded.objectives import margin
from medrobust_attacks.norm_bounded.search import Search
from medrobust_attacks.norm_bounded.squares import Begin, Case, Move, recolour, share, shift, stripes, tiles


@dataclass(frozen=True)
class Square:
    """Move one cube of the image after the other by the whole radius, and keep what raises the margin, or the loss where a task has no classes.

    Source: Andriushchenko et al. 2020, arXiv:1912.00049, algorithms 1 to 3; squares are cubes in volumes. A case whose answer is wrong, the clean one
    at the start, is asked for no more.

    queries: forward passes a case at most, at least 3: of the clean image, of the first change, and of every move.
    share: share of the pixels that the first windows cover, in (0, 1]; it halves nine times, at set shares of the queries.
    """

    threat: ClassVar[str] = "black-box"
    gradients: ClassVar[int] = 0
    queries: int = 5000
    share: float = 0.8

    def __post_init__(self) -> None:
        at_least("queries", self.queries, 3)
        require_share(self.share)

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        """Attack every case of the batch; cases share the passes."""
        search = Search(target, batch, stop=True, objective=margin)
        squares(search, budget, rng, self.queries, self.share)
        return search.attacked(self.queries)


def squares(search: Search, budget: Norm, rng: CaseRandom, queries: int, first: float) -> None:
    """`queries` queries of the cases that stand, the first of the clean image."""
    image = search.batch.image
    cases = [Case(image[[row]], budget, CaseRandom((generator,))) for row, generator in enumerate(rng.generators)]
    begin, move = START[budget.norm]
    value = search.ask(image)
    for done in range(queries - 1):
        if search.over:
            break
        candidate = image.clone()
        for row in search.standing.tolist():
            window = share(first, done - 1, queries - 2) if done else 1.0
            candidate[[row]] = move(cases[row], image[[row]], window) if done else begin(cases[row])
        found = search.ask(candidate)
        better = found > value
        image, value = torch.where(column(better, image), candidate, image), torch.where(better, found, value)


def require_share(value: float) -> None:
    """Raise ValueError unless a window covers something, and no more than the image."""
    if not 0 < value <= 1:
        msg = f"share: found {value}, expected a number in (0, 1]"
        raise ValueError(msg)


START: dict[str, tuple[Begin, Move]] = {"linf": (stripes, recolour), "l2": (tiles, shift)}
"""First change and moves in each norm."""
