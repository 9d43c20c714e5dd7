"""What a mask that an image is multiplied by may be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.types import Attacked, Batch

HALVINGS = 40
"""Of the interval that holds the threshold; float32 tells no more of them apart."""


@dataclass(frozen=True)
class MaskBudget:
    """The image times a mask from 0 to `highest`, x' between 0 and highest * x in every voxel, changed by at most `mean_change` on average.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.1, where the mask has no bound and the mean of |x' - x| is in the loss.

    highest: largest factor, at least 1; 1 takes intensity away and adds none.
    mean_change: largest mean of |x' - x| over the voxels and sequences of a case, in the image's intensity units, above 0; None sets no limit.
    """

    highest: float = 1.0
    mean_change: float | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.highest < float("inf"):
            msg = f"highest: found {self.highest}, expected a factor of at least 1"
            raise ValueError(msg)
        if self.mean_change is not None and not 0 < self.mean_change < float("inf"):
            msg = f"mean_change: found {self.mean_change}, expected a number above 0, or none"
            raise ValueError(msg)

    def bounds(self, clean: Tensor) -> tuple[Tensor, Tensor]:
        """Lowest and highest value of every voxel, each like `clean`."""
        far = self.highest * clean
        return far.clamp_max(0), far.clamp_min(0)

    def project(self, image: Tensor, clean: Tensor) -> Tensor:
        """The nearest image within the budget of `clean`, both (n, c, *space)."""
        low, high = self.bounds(clean)
        within = torch.minimum(torch.maximum(image, low), high)
        if self.mean_change is None:
            return within
        moved, shape = image - clean, (-1, *[1] * (image.ndim - 1))
        least, most = torch.zeros(len(image), device=image.device), moved.abs().flatten(1).amax(1)

        def shrunk(threshold: Tensor) -> Tensor:
            change = moved.sign() * (moved.abs() - threshold.view(shape)).clamp_min(0)
            return torch.minimum(torch.maximum(clean + change, low), high)

        for _ in range(HALVINGS):
            middle = (least + most) / 2
            fits = mean_change(shrunk(middle), clean) <= self.mean_change
            least, most = torch.where(fits, least, middle), torch.where(fits, middle, most)
        already = mean_change(within, clean) <= self.mean_change
        return torch.where(already.view(shape), within, shrunk(most))

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """One entry a case, as the Budget contract says; rounding of float32 is allowed for. Truth and acquisition must stay as they were."""
        clean = batch.image
        low, high = self.bounds(clean)
        slack = 4 * torch.finfo(clean.dtype).eps * self.highest * clean.abs().flatten(1).amax(1)
        outside = torch.maximum(low - attacked.image, attacked.image - high).flatten(1).amax(1)
        change = mean_change(attacked.image, clean)
        beside = attacked.truth is not None or bool(attacked.context)
        return tuple(self._violation(*one, beside=beside) for one in zip(outside.tolist(), slack.tolist(), change.tolist(), strict=True))

    def _violation(self, outside: float, slack: float, change: float, *, beside: bool) -> str:
        if outside > slack:
            return f"found a voxel {outside:.6g} beyond its range, allowed 0 to {self.highest:g} times its value"
        if self.mean_change is not None and change > self.mean_change * (1 + 1e-5) + slack:
            return f"found a mean change of {change:.6g}, allowed {self.mean_change:.6g}"
        return "truth or acquisition were changed, only the image may be" if beside else ""


def mean_change(image: Tensor, clean: Tensor) -> Tensor:
    """Mean of |x' - x| over the voxels and sequences of each case, (n,)."""
    return (image - clean).abs().flatten(1).mean(1)
