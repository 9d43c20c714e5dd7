"""Segmentation of CT slices: a network seen as image in Hounsfield units in, log-probabilities of every class out."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medrobust.types import Batch


@dataclass(frozen=True, eq=False)
class SegmentationTarget:
    """A segmenter under test.

    network: slice (n, 1, H, W) in standard deviations from its subject's mean -> logits (n, k + 1, H, W), class 0 is background.
    digest: identity of architecture, options and weights.
    """

    network: nn.Module
    digest: str
    task: str = "segmentation"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        """Log-probabilities (n, k + 1, H, W) of an image in HU, brought to the z-scores of its subject, which `batch.context` holds."""
        logits: Tensor = self.network(z_score(image, batch))
        return logits.log_softmax(1)

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        """Mean cross-entropy over the pixels against `batch.truth`, in nats, (n,)."""
        return entropy(self(image, batch), batch.truth)

    def to(self, device: torch.device | str) -> SegmentationTarget:
        """A copy on `device`; the original stays where it is."""
        return replace(self, network=copy.deepcopy(self.network).to(device))


def z_score(image: Tensor, batch: Batch) -> Tensor:
    """HU to standard deviations from the mean of the subject's volume, (n, 1, H, W)."""
    mean, std = (batch.context[name].view(-1, 1, 1, 1) for name in ("mean", "std"))
    return (image - mean) / std


def entropy(logs: Tensor, truth: Tensor) -> Tensor:
    """Mean cross-entropy of each slice in nats, (n,); logs: log-probabilities (n, k + 1, H, W), truth (n, 1, H, W) int64."""
    return -logs.gather(1, truth).flatten(1).mean(1)
