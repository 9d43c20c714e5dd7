"""Classification of volumes: a network seen as image in, class probabilities out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from medrobust.types import Batch


@dataclass(frozen=True, eq=False)
class ClassificationTarget:
    """A classifier under test.

    network: image (n, c, *space) in the data's intensity units -> logits (n, k); one logit is that of class 1 against class 0.
    digest: identity of architecture, options and weights.
    """

    network: nn.Module
    digest: str
    task: str = "classification"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:  # noqa: ARG002 - a classifier needs nothing of the acquisition
        """Probabilities in [0, 1]: (n, 1) of class 1 where the network has one logit, else (n, k) of all k classes."""
        logits = self.logits(image)
        return logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)

    def logits(self, image: Tensor) -> Tensor:
        """What the network says before it is made a probability, (n, k)."""
        output: Tensor = self.network(image)
        return output

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the prediction for `image` against `batch.truth` (n,) in nats, (n,)."""
        return entropy(self.logits(image), batch.truth)

    def to(self, device: torch.device | str) -> ClassificationTarget:
        """A copy on `device`; the original stays where it is."""
        return replace(self, network=copy.deepcopy(self.network).to(device))


def entropy(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy of each case in nats, (n,); logits (n, k), truth (n,) int64, 0 or 1 where k is 1. Finite for any finite logit.

    Raises ValueError where one logit is asked for a third class, which the formula would answer with a number.
    """
    if logits.shape[1] == 1:
        if int(truth.max()) > 1:
            msg = f"truth: found the class {int(truth.max())}, expected 0 or 1: the network has one logit"
            raise ValueError(msg)
        return binary_cross_entropy_with_logits(logits[:, 0], truth.to(logits), reduction="none")
    return cross_entropy(logits, truth, reduction="none")


def score(prediction: Tensor) -> Tensor:
    """Probability of the positive class, which is the last one, (n,); prediction: (n, 1) or (n, k)."""
    return prediction[:, -1]
