"""Budgets that know no track: what an attack may change, in the data's own units."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from medrobust.types import Attacked, Batch


@dataclass(frozen=True)
class MaximumNorm:
    """Every pixel may move by at most `radius`.

    Source: the L-infinity threat model of Goodfellow et al. 2015, arXiv:1412.6572.

    radius: largest change of a pixel, in the data's intensity units, positive.
    """

    radius: float

    def __post_init__(self) -> None:
        if not 0 < self.radius < float("inf"):
            msg = f"radius: found {self.radius}, expected a positive number"
            raise ValueError(msg)

    def project(self, image: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        """The nearest image within the budget of `clean`, both (n, c, *space)."""
        return torch.clamp(image, clean - self.radius, clean + self.radius)

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """One entry a case, as the Budget contract says; rounding of float32 is allowed for."""
        moved = (attacked.image - batch.image).abs().flatten(1).amax(1)
        slack = 4 * torch.finfo(batch.image.dtype).eps * (batch.image.abs().flatten(1).amax(1) + self.radius)
        return tuple(
            "" if one <= self.radius + more else f"found a change of {one:.6g}, allowed {self.radius:.6g}"
            for one, more in zip(moved.tolist(), slack.tolist(), strict=True)
        )
