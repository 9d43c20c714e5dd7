"""Integrated gradients, through captum: what each voxel adds to the predicted class on the way from nothing to the volume."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from captum.attr import IntegratedGradients as CaptumIntegratedGradients
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.asking import ask, predicted, probability
from medrobust_attacks.fnaf.finite_differences import at_least


@dataclass(frozen=True)
class IntegratedGradients:
    """Integrate the gradient of the predicted class's probability from zeros to the volume, and add up the absolute values of all sequences.

    Source: Sundararajan et al. 2017, arXiv:1703.01365, as captum has it, with Gauss-Legendre steps.

    steps: volumes on the way, at least 1; one forward and one backward pass each, and one forward pass for the volume itself.
    chunk: volumes built at once, at least 1; changes nothing but memory.
    """

    threat: ClassVar[str] = "white-box"
    steps: int = 50
    chunk: int = field(default=1, compare=False)

    def __post_init__(self) -> None:
        at_least((("steps", self.steps, 1), ("chunk", self.chunk, 1)))

    @property
    def queries(self) -> int:
        """Forward passes a case."""
        return self.steps + 1

    @property
    def gradients(self) -> int:
        """Backward passes a case."""
        return self.steps

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - nothing here is drawn
        """Explain every case by itself, `chunk` steps at a time."""
        return Explained(torch.stack([self._map(target, batch, case) for case in range(len(batch))]))

    def _map(self, target: Target, batch: Batch, case: int) -> Tensor:
        image = batch.image[case, None]
        label = predicted(ask(target, batch, case, image))

        def confidence(images: Tensor) -> Tensor:
            return probability(ask(target, batch, case, images), label)

        captum = CaptumIntegratedGradients(confidence)
        with torch.enable_grad():
            parts: Tensor = captum.attribute(image, baselines=0, n_steps=self.steps, internal_batch_size=self.chunk)
        return parts.detach().abs().sum(1)[0].to(image.dtype)
