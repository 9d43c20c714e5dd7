"""Asking a target for the cases that still stand, and keeping of each the best image that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.norm_bounded.answer import Answer, ask
from medrobust_attacks.norm_bounded.ball import column
from medrobust_attacks.norm_bounded.objectives import Objective, own


@dataclass
class Search:
    """One search in one batch.

    The best query of a case is one with a wrong answer before one without, and of these the one of highest objective, the first of equals.

    stop: leave a case alone once it has a wrong answer; its trace repeats what it said last.
    image: best query of each case, (n, c, *space); the clean image before the first. fooled: whether its answer is wrong, (n,) bool.
    highest: objective of the best query. values: of the last query of each case. losses, successes: of each query in order, (n,) each.
    """

    target: Target
    batch: Batch
    stop: bool = False
    objective: Objective = own
    losses: list[Tensor] = field(default_factory=list)
    successes: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        n, device = len(self.batch), self.batch.image.device
        self.image = self.batch.image.clone()
        self.fooled = torch.zeros(n, dtype=torch.bool, device=device)
        self.highest = torch.full((n,), -torch.inf, device=device)
        self.values = self.highest.clone()

    @property
    def standing(self) -> Tensor:
        """Indices of the cases that are asked for, (m,)."""
        return (~self.fooled).nonzero()[:, 0] if self.stop else torch.arange(len(self.batch), device=self.fooled.device)

    @property
    def over(self) -> bool:
        """Whether no case is asked for any more."""
        return self.stop and bool(self.fooled.all())

    def under(self, objective: Objective) -> None:
        """Go on under another objective; what was the highest of the old one is not compared with the new one's."""
        self.objective = objective
        self.highest = torch.full_like(self.highest, -torch.inf)

    def ask(self, image: Tensor) -> Tensor:
        """Ask for `image` (n, c, *space), and return each case's objective (n,); of a case that no longer stands its last."""
        rows = self.standing
        if len(rows):
            self._take(image, rows, ask(self.target, image[rows], self._rows(rows)))
        return self.values

    def slope(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `ask`, with the objective's slope (n, c, *space); 0 for a case that no longer stands."""
        rows, slope = self.standing, torch.zeros_like(image)
        if len(rows):
            asked = image[rows].requires_grad_(True)
            answer = ask(self.target, asked, batch := self._rows(rows))
            (found,) = torch.autograd.grad(self.objective(answer, batch.truth).sum(), asked)
            slope[rows] = found
            self._take(image, rows, answer.detached())
        return self.values, slope

    def attacked(self, queries: int, restarts: Sequence[Tensor] = ()) -> Attacked:
        """The best queries, with traces of `queries` columns. restarts: highest objective of each start, (n,) each; none where there was but one."""
        trace = {"loss": filled(self.losses, queries, self.batch)}
        if self.successes:
            trace["success"] = filled(self.successes, queries, self.batch)
        if len(restarts) > 1:
            trace["restart"] = torch.stack(list(restarts), 1)
        return Attacked(self.image, trace=trace)

    def _rows(self, rows: Tensor) -> Batch:
        return self.batch if len(rows) == len(self.batch) else self.batch.select(rows.tolist())

    def _take(self, image: Tensor, rows: Tensor, answer: Answer) -> None:
        """Write down one query of the cases at `rows`."""
        values = self.objective(answer, self.batch.truth[rows])
        self.losses.append(spread(answer.loss, rows, self.losses, len(self.batch)))
        wrong = torch.zeros_like(self.fooled[rows]) if answer.wrong is None else answer.wrong
        if answer.wrong is not None:
            self.successes.append(spread(wrong.to(answer.loss), rows, self.successes, len(self.batch)))
        self.values = self.values.index_copy(0, rows, values)
        fooled, highest = self.fooled[rows], self.highest[rows]
        better = (wrong & ~fooled) | ((wrong == fooled) & (values > highest))
        self.image[rows] = torch.where(column(better, image), image[rows], self.image[rows])
        self.highest = self.highest.index_copy(0, rows, torch.where(better, values, highest))
        self.fooled = self.fooled.index_copy(0, rows, fooled | wrong)


def spread(values: Tensor, rows: Tensor, before: Sequence[Tensor], n: int) -> Tensor:
    """Values of the cases at `rows` among all n, the others' as they were before, (n,)."""
    return values if len(rows) == n else before[-1].index_copy(0, rows, values)


def filled(columns: Sequence[Tensor], queries: int, batch: Batch) -> Tensor:
    """(n, queries): the columns, the last of them repeated."""
    if not columns:
        return batch.image.new_zeros(len(batch), queries)
    return torch.stack([*columns, *[columns[-1]] * (queries - len(columns))], 1)
