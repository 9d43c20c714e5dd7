"""What may be done to a superpixel: blank it, set it to its own extreme, or whatever a function of volume and mask does."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Perturb = Callable[[Tensor, Tensor], Tensor]
"""A volume (c, *space) and m regions of it (m, *space) bool to m versions of it (m, c, *space), each changed inside its region alone."""

Perturbed = Callable[[Tensor, Tensor], Tensor]
"""A volume (c, *space) and the label of each voxel (*space) to the value of each voxel in the version in which its own region is perturbed,
(c, *space): regions share no voxel, so that one volume holds all versions."""


def blank(image: Tensor, labels: Tensor) -> Tensor:  # noqa: ARG001 - one signature
    """Every sequence 0."""
    return torch.zeros_like(image)


def minimum(image: Tensor, labels: Tensor) -> Tensor:
    """Every sequence at its own minimum over the region."""
    return _extreme(image, labels, "amin")


def maximum(image: Tensor, labels: Tensor) -> Tensor:
    """Every sequence at its own maximum over the region."""
    return _extreme(image, labels, "amax")


def _extreme(image: Tensor, labels: Tensor, which: str) -> Tensor:
    found = image.new_zeros(len(image), int(labels.max()) + 1)
    found.scatter_reduce_(1, labels.flatten().expand(len(image), -1), image.flatten(1), which, include_self=False)
    return found[:, labels]


PERTURBATIONS: dict[str, Perturbed] = {"blank": blank, "min": minimum, "max": maximum}
"""Those of Rajapaksa & Khalvati 2022, section 3.4, by name."""


def one_by_one(perturb: Perturb, chunk: int) -> Perturbed:
    """The same by `perturb`, given the whole volume and `chunk` regions at a time."""

    def perturbed(image: Tensor, labels: Tensor) -> Tensor:
        values = image.clone()
        for part in torch.split(torch.arange(int(labels.max()) + 1, device=labels.device), chunk):
            masks = labels == part.view(-1, *[1] * labels.ndim)
            for mask, version in zip(masks, perturb(image, masks), strict=True):
                values = torch.where(mask, version, values)
        return values

    return perturbed
