"""What an attack raises: numbers above one another where a case is nearer to, or further into, a wrong answer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from medrobust_attacks.norm_bounded.answer import Answer

Objective = Callable[[Answer, Tensor, Tensor], Tensor]
"""From an answer to m images, their truth and their places in the batch, to what is raised, (m,)."""

TINY = 1e-12


def own(answer: Answer, truth: Tensor, rows: Tensor) -> Tensor:  # noqa: ARG001 - one signature for all objectives
    """The target's own loss: cross-entropy of a classifier or a segmenter, squared error of a reconstructor."""
    return answer.loss


def margin(answer: Answer, truth: Tensor, rows: Tensor) -> Tensor:  # noqa: ARG001 - one signature for all objectives
    """The highest wrong logit less the true one, above 0 where the answer is wrong; the loss itself where the task has no classes."""
    if answer.logits is None:
        return answer.loss
    return others(answer.logits, truth).amax(1) - at(answer.logits, truth)


def logit_ratio(answer: Answer, truth: Tensor, rows: Tensor) -> Tensor:
    """Difference of logits ratio, which no scale of the logits changes: the margin over the highest logit less the third.

    Source: Croce & Hein 2020, arXiv:2003.01690, equation 6. It needs three classes: of two there is no third logit, and the margin takes its place.
    """
    above = margin(answer, truth, rows)
    if answer.logits is None or answer.logits.shape[1] < 3:
        return above
    top = answer.logits.topk(3, 1).values
    return above / (top[:, 0] - top[:, 2] + TINY)


def toward(classes: Tensor) -> Objective:
    """The difference of logits ratio toward one wrong class a case; classes: (n,) of the whole batch.

    Source: Croce & Hein 2020, arXiv:2003.01690, equation 7, for four classes or more; of three the highest logit less the third is below the line.
    """

    def ratio(answer: Answer, truth: Tensor, rows: Tensor) -> Tensor:
        assert answer.logits is not None  # noqa: S101 - wrong classes are those of a classifier
        top = answer.logits.topk(min(4, answer.logits.shape[1]), 1).values
        return (at(answer.logits, classes[rows]) - at(answer.logits, truth)) / (top[:, 0] - top[:, 2:].mean(1) + TINY)

    return ratio


def at(logits: Tensor, classes: Tensor) -> Tensor:
    """The logit of one class a case, (n,)."""
    return logits.gather(1, classes[:, None])[:, 0]


def others(logits: Tensor, truth: Tensor) -> Tensor:
    """Logits (n, k) with the true one out of every maximum."""
    return logits.masked_fill(torch.nn.functional.one_hot(truth, logits.shape[1]).bool(), -torch.inf)
