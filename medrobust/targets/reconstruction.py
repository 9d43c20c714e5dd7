"""Accelerated MRI reconstruction: a network seen as image in, reconstruction out, through the measurement."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from medrobust.imaging.kspace import standardise, undersample, with_phase
from medrobust.types import Batch


@dataclass(frozen=True, eq=False)
class ReconstructionTarget:
    """A reconstructor under test.

    network: (zero_filled complex (n, 1, H, W), mask bool (n, 1, 1, W)) -> magnitude (n, 1, H, W) in the same units.
    digest: identity of architecture, options and weights.

    The image is measured with the context's phase and mask: x_zf = F* M F (|x| exp(i phase)).
    """

    network: nn.Module
    digest: str
    task: str = "reconstruction"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        """Magnitude reconstruction of `image`, (n, 1, H, W) in its units."""
        mask = batch.context["mask"]
        output: Tensor = self.network(undersample(with_phase(image, batch.context["phase"]), mask), mask)
        return output

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        """Mean squared error of the reconstruction of `image` against it, in the input's standard deviations, (n,)."""
        zero_filled = undersample(with_phase(image, batch.context["phase"]), batch.context["mask"])
        _, std = standardise(zero_filled.abs().detach())
        return ((self(image, batch) - image) / std).square().flatten(1).mean(1)

    def to(self, device: torch.device | str) -> ReconstructionTarget:
        """A copy on `device`; the original stays where it is."""
        return replace(self, network=copy.deepcopy(self.network).to(device))
