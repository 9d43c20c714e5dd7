"""A few questions to a target before it is attacked: whether it answers alike, a gradient reaches the image, and it asks for gradients itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from medrobust.budgets import MaximumNorm, Norm, length
from medrobust.guard import BLACK_BOX, WHITE_BOX, Guarded, ShowsLogits, frozen
from medrobust.judge import Probed
from medrobust.metrics.classification import probabilities
from medrobust.types import Attack, Batch, Budget, Target

CASES = 2
"""Of the cell, its first ones, whatever its batch."""
ANSWERS = 3
ROUNDING = 2.0**-24
"""Half of the distance from 1 to the next float32: a smaller probability of all other classes is lost beside it."""
SUM_TOLERANCE = 1e-4
ASKING = (torch.autograd.grad, torch.autograd.backward, Tensor.backward)


class AskedGradients(TorchFunctionMode):
    """Counts the gradients asked for inside its block, in this thread and nowhere else; nothing of it stays behind."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_function__(self, function: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        """As the mode's contract says; `types` say nothing here."""
        self.count += function in ASKING
        return function(*args, **(kwargs or {}))


def probe(target: Target, batch: Batch, attack: Attack | None = None, budget: Budget | None = None, micro_batch: int = 1) -> Probed:
    """What the target shows when it is asked about a few cases, the first `CASES` of a cell.

    It costs `ANSWERS` forward passes a case, before white-box attacks one more and a backward pass, and of classifiers one for their logits.
    Random generators are left as they were found. What is drawn differs between the answers.

    attack: the cell's own, None where it has none. budget: of the attack. micro_batch: as in `Guarded`.
    A target says that it is stochastic by an attribute `stochastic`, an attack that it averages over draws by `expectation`, how many.
    """
    white = attack is not None and attack.threat == WHITE_BOX
    asked = Guarded(target, WHITE_BOX if white else BLACK_BOX, micro_batch)
    with drawing_aside(batch), frozen(target):
        image = batch.image.clone().requires_grad_(white)
        with torch.set_grad_enabled(white), AskedGradients() as inside:
            answer = asked(image, batch)
        with torch.no_grad():
            others = [asked(batch.image, batch) for _ in range(ANSWERS - 1)]
            normalised = are_probabilities(target, batch.image)
        gradient = slopes(asked, answer, batch) if white else {}
    answer = answer.detach()
    moved = torch.stack([(other - answer).abs().max() for other in others]).max() / answer.abs().max().clamp_min(torch.finfo(answer.dtype).tiny)
    return Probed(
        moved=float(moved.nan_to_num()),
        stochastic=bool(getattr(target, "stochastic", False)),
        averaged=int(getattr(attack, "expectation", 1)) > 1,
        autograd=inside.count,
        normalised=normalised,
        certain=certain(answer) if target.task == "classification" else None,
        grey=grey(budget, batch.image) if attack is not None else None,
        **gradient,
    )


def dependence(target: Target, batch: Batch) -> float:
    """Largest difference between a case answered alone and among the others of `batch`, relative to the largest value.

    It costs two forward passes a case. Random generators are left as they were found.
    """
    asked = Guarded(target, BLACK_BOX, len(batch))
    with drawing_aside(batch), frozen(target):
        together = asked(batch.image, batch)
        alone = torch.cat([asked(batch.image[[row]], batch.select([row])) for row in range(len(batch))])
    return float((together - alone).abs().max() / together.abs().max().clamp_min(torch.finfo(together.dtype).tiny))


def drawing_aside(batch: Batch) -> AbstractContextManager[None]:
    """Random generators are as they were found once the block is left."""
    return torch.random.fork_rng(devices=[batch.image.device] if batch.image.is_cuda else [])


def slopes(asked: Guarded, answer: Tensor, batch: Batch) -> dict[str, Any]:
    """The loss's gradient at clean images, and whether a graph leads back to them."""
    image = batch.image.clone().requires_grad_()
    with torch.enable_grad():
        loss = asked.loss(image, batch)
    slope = torch.autograd.grad(loss.sum(), image, allow_unused=True)[0] if loss.requires_grad else None
    if slope is None or not answer.requires_grad:
        return {"reached": False}
    flat = slope.flatten(1)
    return {
        "reached": True,
        "broken": float((~flat.isfinite()).double().mean()),
        "zero": float((flat == 0).double().mean()),
        "flat": float((flat == 0).all(1).double().mean()),
    }


def are_probabilities(target: Target, image: Tensor) -> bool | None:
    """Whether what a classifier calls its logits are probabilities of two classes or more."""
    if not isinstance(target, ShowsLogits):
        return None
    logits = target.logits(image)
    if logits.ndim != 2 or logits.shape[1] < 2:
        return None
    return bool((logits >= 0).all() and ((logits.sum(1) - 1).abs() < SUM_TOLERANCE).all())


def certain(answer: Tensor) -> float:
    """Share of cases where all other classes together are less probable than what float32 rounds away."""
    return float((1 - probabilities(answer).amax(1) < ROUNDING).double().mean())


def grey(budget: Budget | None, image: Tensor) -> float | None:
    """The radius over what it takes to turn the image into one grey, lowest over cases; None for other budgets than norms, and without a bound.

    L-infinity: half of the image's range. L2: its distance from its own mean.
    """
    flat = image.double().flatten(1)
    half = (flat.amax(1) - flat.amin(1)) / 2
    if isinstance(budget, MaximumNorm):
        return float((budget.radius / half.clamp_min(ROUNDING)).min())
    if not isinstance(budget, Norm) or not budget.bounded:
        return None
    needed = half if budget.norm == "linf" else length(flat - flat.mean(1, keepdim=True), "l2")
    return float((budget.radius(image.double()) / needed.clamp_min(ROUNDING)).min())
