"""Asking a target for the cases that still stand, and keeping of each the best image that was asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.norm_bounded.answer import Answer, ask, mean
from medrobust_attacks.norm_bounded.ball import column
from medrobust_attacks.norm_bounded.objectives import Objective, own


@dataclass
class Search:
    """One search in one batch.

    The best query of a case is one with a wrong answer before one without, and of these the one of highest loss, the first of equals.

    A query whose image is not finite is never the best, and no success.

    stop: leave a case alone once it has a wrong answer.
    expectation: how often the target is asked at each query: what is told and kept of it are means over its answers, for targets that draw at random.
    objective: what `ask` and `slope` tell of. losses, successes: the target's own loss and whether it was wrong, of each query in order, (n,) each.
    """

    target: Target
    batch: Batch
    stop: bool = False
    objective: Objective = own
    expectation: int = 1
    losses: list[Tensor] = field(default_factory=list)
    successes: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        n, device = len(self.batch), self.batch.image.device
        self.asked = torch.zeros(n, dtype=torch.int64, device=device)
        """Queries of each case, (n,)."""
        self.image = self.batch.image.clone()
        """Best query of each case, (n, c, *space); the clean image before the first."""
        self.fooled = torch.zeros(n, dtype=torch.bool, device=device)
        """Whether the best query has a wrong answer, (n,)."""
        self.highest = self.batch.image.new_full((n,), -torch.inf)
        """Loss of the best query, (n,)."""
        self.values = self.highest.clone()
        """Objective of the last query, (n,)."""
        self.logits: Tensor | None = None
        """Logits of the last query, (n, k); None where the task has no classes."""

    @property
    def standing(self) -> Tensor:
        """Indices of the cases that are asked for, (m,)."""
        return (~self.fooled).nonzero()[:, 0] if self.stop else torch.arange(len(self.batch), device=self.fooled.device)

    @property
    def over(self) -> bool:
        """Whether no case is asked for any more."""
        return self.stop and bool(self.fooled.all())

    def ask(self, image: Tensor) -> Tensor:
        """Ask for `image` (n, c, *space), and return each case's objective (n,); of a case that no longer stands its last."""
        rows = self.standing
        if len(rows):
            asked, batch = self._images(image, rows), self._rows(rows)
            self._take(asked, rows, [ask(self.target, asked, batch).detached() for _ in range(self.expectation)])
        return self.values

    def slope(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `ask`, with the objective's slope (n, c, *space), the caller's own; 0 for a case that no longer stands."""
        rows = self.standing
        if not len(rows):
            return self.values, torch.zeros_like(image)
        asked, batch = self._images(image, rows).detach().requires_grad_(True), self._rows(rows)
        answer, slope = self._drawn(asked, batch, rows)
        answers = [answer]
        for _ in range(self.expectation - 1):
            answer, further = self._drawn(asked, batch, rows)
            answers.append(answer)
            slope = slope + further
        if self.expectation > 1:
            slope = slope / self.expectation
        self._take(asked.detach(), rows, answers)
        return self.values, slope if len(rows) == len(self.batch) else torch.zeros_like(image).index_copy_(0, rows, slope)

    def _drawn(self, asked: Tensor, batch: Batch, rows: Tensor) -> tuple[Answer, Tensor]:
        """One answer and the objective's slope, both without a graph: one graph at a time is held, however many draws there are."""
        answer = ask(self.target, asked, batch)
        (slope,) = torch.autograd.grad(self.objective(answer, batch.truth, rows).sum(), asked)
        return answer.detached(), slope

    def highest_since(self, query: int) -> Tensor:
        """The highest loss of each case from a query on, (n,)."""
        return torch.stack(self.losses[query:] or self.losses[-1:]).amax(0)

    def attacked(self, queries: int, restarts: Sequence[Tensor] = ()) -> Attacked:
        """The best queries, with traces of `queries` columns, NaN beyond the last query of a case.

        restarts: highest loss of each start, (n,) each; not told where there was but one.
        """
        trace = {"loss": filled(self.losses, queries, self.asked)}
        if self.successes:
            trace["success"] = filled(self.successes, queries, self.asked)
        if len(restarts) > 1:
            trace["restart"] = torch.stack(list(restarts), 1)
        return perturbed(self.target, self.image, trace)

    def _images(self, image: Tensor, rows: Tensor) -> Tensor:
        return image if len(rows) == len(self.batch) else image[rows]

    def _rows(self, rows: Tensor) -> Batch:
        return self.batch if len(rows) == len(self.batch) else self.batch.select(rows.tolist())

    def _take(self, image: Tensor, rows: Tensor, answers: Sequence[Answer]) -> None:
        """Write down one query of the cases at `rows`, (m, c, *space), and what the target answered each time."""
        truth = self.batch.truth[rows]
        values, answer = [self.objective(one, truth, rows) for one in answers], mean(answers, truth)
        value = torch.stack(values).mean(0) if len(values) > 1 else values[0]
        self.asked = self.asked.index_add(0, rows, torch.ones_like(rows))
        self.values = self.values.index_copy(0, rows, value.to(self.values))
        self.losses.append(spread(answer.loss, rows, self.losses))
        finite = image.flatten(1).sum(1).isfinite()  # a thirtieth of the time of asking every pixel
        wrong = torch.zeros_like(finite) if answer.wrong is None else answer.wrong & finite
        if answer.wrong is not None and answer.logits is not None:
            self.successes.append(spread(wrong.to(answer.loss), rows, self.successes))
            self.logits = spread(answer.logits, rows, [] if self.logits is None else [self.logits])
        fooled, highest, loss = self.fooled[rows], self.highest[rows], answer.loss.to(self.highest)
        better = ((wrong & ~fooled) | ((wrong == fooled) & (loss > highest))) & finite
        if len(rows) < len(self.batch):
            self.image[rows] = torch.where(column(better, image), image, self.image[rows])
        elif bool(better.all()):
            self.image.copy_(image)
        elif bool(better.any()):
            torch.where(column(better, image), image, self.image, out=self.image)
        self.highest = self.highest.index_copy(0, rows, torch.where(better, loss, highest))
        self.fooled = self.fooled.index_copy(0, rows, fooled | wrong)


def spread(values: Tensor, rows: Tensor, before: Sequence[Tensor]) -> Tensor:
    """Values of the cases at `rows` among all n, the others' as they were before; of the first query, which is of all cases, as they are."""
    return before[-1].index_copy(0, rows, values) if before else values


def filled(columns: Sequence[Tensor], queries: int, asked: Tensor) -> Tensor:
    """(n, queries): of each case as many columns as were asked, (n,), and NaN beyond."""
    whole = torch.stack([*columns, *[columns[-1]] * (queries - len(columns))], 1)
    return whole.masked_fill(torch.arange(queries, device=whole.device) >= asked[:, None], torch.nan)


def perturbed(target: Target, image: Tensor, trace: Mapping[str, Tensor]) -> Attacked:
    """What an attack returns; a reconstruction owes the perturbed image, which is what was measured, and which its loss compares it with."""
    return Attacked(image, image if target.task == "reconstruction" else None, trace=trace)
