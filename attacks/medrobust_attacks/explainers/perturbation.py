"""What may be done to one superpixel: blank it, or set it to its own extreme."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Perturb = Callable[[Tensor, Tensor], Tensor]
"""A volume (c, *space) and m regions of it (m, *space) bool to m versions of it (m, c, *space), each changed inside its region alone."""


def blank(image: Tensor, mask: Tensor) -> Tensor:
    """Every sequence 0 inside the region."""
    return torch.where(mask[:, None], 0, image)


def minimum(image: Tensor, mask: Tensor) -> Tensor:
    """Every sequence at its own minimum over the region, inside it."""
    inside = mask[:, None]
    return torch.where(inside, torch.where(inside, image, torch.inf).amin(_space(image), keepdim=True), image)


def maximum(image: Tensor, mask: Tensor) -> Tensor:
    """Every sequence at its own maximum over the region, inside it."""
    inside = mask[:, None]
    return torch.where(inside, torch.where(inside, image, -torch.inf).amax(_space(image), keepdim=True), image)


def _space(image: Tensor) -> tuple[int, ...]:
    return tuple(range(2, image.ndim + 1))


PERTURBATIONS: dict[str, Perturb] = {"blank": blank, "min": minimum, "max": maximum}
"""Those of Rajapaksa & Khalvati 2022, section 3.4, by name; none looks beyond its region."""
