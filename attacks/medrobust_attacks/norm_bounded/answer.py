"""What a target says of images, in one forward pass a case: its loss, and of a classifier every class's logit and the answer itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.guard import Guarded
from medrobust.metrics.classification import predicted
from medrobust.targets.classification import entropy
from medrobust.types import Batch, Target

CLASSIFICATION = "classification"


@dataclass(frozen=True)
class Answer:
    """What was said of n images.

    loss: the target's own loss, (n,).
    logits: (n, k) of all k classes, at least 2, up to a number that the classes share; None where the task has no classes.
    wrong: where the predicted class is not the true one, (n,) bool; never where the prediction is not finite. None where the task has no classes.
    """

    loss: Tensor
    logits: Tensor | None = None
    wrong: Tensor | None = None

    def detached(self) -> Answer:
        """The same without a graph."""
        return Answer(self.loss.detach(), None if self.logits is None else self.logits.detach(), self.wrong)


def ask(target: Target, image: Tensor, batch: Batch) -> Answer:
    """One forward pass a case; the answer carries a graph where `image` does.

    A classifier that shows its logits is read there; one that does not, and every one before a black-box probe, by the logarithm of its
    probabilities, which are the logits up to a shared number as long as no probability is rounded to 0 or 1.
    """
    if target.task != CLASSIFICATION:
        return Answer(target.loss(image, batch))
    if isinstance(target, Guarded) and target.shows_logits:
        raw = target.logits(image, batch)
        said = raw.detach().sigmoid() if raw.shape[1] == 1 else raw.detach().softmax(1)
        loss, logits = entropy(raw, batch.truth), raw
        if raw.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(raw), raw], 1)
    else:
        said = target(image, batch)
        logits = log_probabilities(said)
        loss, said = -logits.gather(1, batch.truth[:, None])[:, 0], said.detach()
    return Answer(loss, logits, is_wrong(said, batch.truth))


def mean(answers: Sequence[Answer], truth: Tensor) -> Answer:
    """Several answers to the same images as one: mean loss and logits, wrong where these logits are; of one answer itself."""
    if len(answers) == 1:
        return answers[0]
    loss = torch.stack([one.loss for one in answers]).mean(0)
    drawn = [one.logits for one in answers if one.logits is not None]
    logits = torch.stack(drawn).mean(0) if drawn else None
    return Answer(loss, logits, None if logits is None else is_wrong(logits.softmax(1), truth))


def is_wrong(said: Tensor, truth: Tensor) -> Tensor:
    """Where a prediction (n, k) or (n, 1) is one, and not the true one (n,); a prediction that is not finite is no success of an attack."""
    return said.isfinite().all(1) & (predicted(said) != truth)


def log_probabilities(prediction: Tensor) -> Tensor:
    """(n, k), finite, of probabilities (n, k), or (n, 1) of class 1 against class 0."""
    limits = torch.finfo(prediction.dtype)
    if prediction.shape[1] == 1:
        # 1 - p knows p to half a last digit of 1, p itself to far less than that
        prediction = torch.cat([(1 - prediction).clamp_min(limits.eps / 4), prediction], 1)
    return prediction.clamp_min(limits.tiny).log()
