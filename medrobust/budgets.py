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


@dataclass(frozen=True)
class IntensityRange:
    """Every pixel stays within the range of real images, and may otherwise be anything.

    Source: this project; the bound of generators that end in a tanh.

    low, high: the range, in the data's intensity units, low below high.
    """

    low: float = -1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -float("inf") < self.low < self.high < float("inf"):
            msg = f"low and high: found {self.low} and {self.high}, expected two numbers, the lower first"
            raise ValueError(msg)

    def project(self, image: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - one signature for all budgets
        """The nearest image within the range, (n, c, *space)."""
        return image.clamp(self.low, self.high)

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:  # noqa: ARG002 - whatever the image was before
        """One entry a case, as the Budget contract says; NaN is in no range."""
        flat = attacked.image.flatten(1)
        kept = ((flat >= self.low) & (flat <= self.high)).all(1)
        allowed = f"allowed {self.low:.6g} to {self.high:.6g}"
        ends = zip(kept.tolist(), flat.amin(1).tolist(), flat.amax(1).tolist(), strict=True)
        return tuple("" if one else f"found pixels from {low:.6g} to {high:.6g}, {allowed}" for one, low, high in ends)
