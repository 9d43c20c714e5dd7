"""What explainers ask a classifier: many versions of one case, and the probability of the class that it predicts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from medrobust.guard import Guarded
from medrobust.types import Batch, Target


def ask(target: Target, batch: Batch, case: int, images: Tensor) -> Tensor:
    """The target's answers (m, k) to versions `images` (m, c, *space) of the case at `case`; truth and context are the case's own, as views."""

    def repeated(tensor: Tensor) -> Tensor:
        return tensor[case : case + 1].expand(len(images), *tensor.shape[1:])

    context = {name: repeated(tensor) for name, tensor in batch.context.items()}
    return target(images, Batch(images, repeated(batch.truth), (batch.cases[case],) * len(images), context))


def predicted(prediction: Tensor) -> Tensor:
    """The class predicted, (n,) int64, from probabilities (n, k): the first of the highest; of a single one, class 1 from 0.5 up."""
    return (prediction[:, 0] >= 0.5).long() if prediction.shape[1] == 1 else prediction.argmax(1)


def probability(prediction: Tensor, label: Tensor) -> Tensor:
    """Probability of class `label` (n,) or (), (n,), from probabilities (n, k); a single one is that of class 1 against class 0."""
    if prediction.shape[1] == 1:
        return torch.where(label == 1, prediction[:, 0], 1 - prediction[:, 0])
    return prediction.gather(1, label.expand(len(prediction))[:, None])[:, 0]


def opened(target: Target) -> Guarded:
    """The target as the harness hands it to a white-box probe; a bare one is opened here, and its passes are nobody's."""
    return target if isinstance(target, Guarded) else Guarded(target)


def at_once(target: Target, chunk: int) -> int:
    """How many volumes to build: at most `chunk`, and no more than the harness puts into one pass."""
    return min(chunk, opened(target).micro_batch)


def network_of(target: Guarded) -> nn.Module:
    """The network of a target; ValueError where it has none, as under some defenses."""
    network = getattr(target.target, "network", None)
    if not isinstance(network, nn.Module):
        msg = f"found a target of type {type(target.target).__name__}, expected one that holds a network"
        raise ValueError(msg)
    return target.network
