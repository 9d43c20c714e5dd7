"""Budgets that know no track: what an attack may change, in the data's own units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.amounts import PERCENT, amount
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


NORMS = ("linf", "l2")


@dataclass(frozen=True)
class Norm:
    """An image may move by at most `epsilon` in a norm over all its channels and pixels, and stays within a range of intensities.

    Source: the threat models of Goodfellow et al. 2015, arXiv:1412.6572 (L-infinity), and Szegedy et al. 2014, arXiv:1312.6199 (L2).

    norm: `linf` or `l2`.
    epsilon: how far, above 0, in the data's intensity units: a number, a fraction such as `8/255`, either with the unit that the data declare, as in
        `20 HU`, or a share such as `2 %` of the same norm of the clean image itself. `inf` leaves the range as the only bound.
    low, high: the range of valid intensities in the data's units; None is open. An image that is clean outside of it may stay where it is.
    """

    norm: str = "linf"
    epsilon: str | float = "8/255"
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            msg = f"norm: found '{self.norm}', expected one of {', '.join(NORMS)}"
            raise ValueError(msg)
        amount(self.epsilon)
        if self.low is not None and self.high is not None and not self.low < self.high:
            msg = f"low and high: found {self.low} and {self.high}, expected the lower first"
            raise ValueError(msg)

    @property
    def unit(self) -> str:
        """The unit that `epsilon` names, empty where it names none or a share."""
        unit = amount(self.epsilon)[1]
        return "" if unit == PERCENT else unit

    @property
    def bounded(self) -> bool:
        """Whether the norm is a bound at all."""
        return amount(self.epsilon)[0] != float("inf")

    def radius(self, clean: Tensor) -> Tensor:
        """How far each image may move, (n,) in the norm, in intensity units; clean: (n, c, *space)."""
        number, unit = amount(self.epsilon)
        if unit == PERCENT:
            return length(clean, self.norm) * (number / 100)
        return clean.new_full((len(clean),), number)

    def project(self, image: Tensor, clean: Tensor) -> Tensor:
        """An image within the budget of `clean`, both (n, c, *space).

        The nearest for L-infinity; for L2 scaled into the ball, then clamped, which brings no pixel further from the clean one.
        """
        radius = self.radius(clean).view(-1, *[1] * (clean.ndim - 1))
        if self.norm == "linf":
            image = torch.clamp(image, clean - radius, clean + radius)
        elif self.bounded:
            moved = image - clean
            size = length(moved, self.norm).view_as(radius)
            image = torch.where(size > radius, clean + moved * (radius / size.clamp_min(torch.finfo(moved.dtype).tiny)), image)
        return self.into_range(image, clean)

    def into_range(self, image: Tensor, clean: Tensor) -> Tensor:
        """The image clamped to the valid range, which is widened pixel by pixel to hold the clean one."""
        if self.low is not None:
            image = torch.maximum(image, clean.clamp_max(self.low))
        if self.high is not None:
            image = torch.minimum(image, clean.clamp_min(self.high))
        return image

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """One entry a case, as the Budget contract says; measured anew, in float64. Rounding of float32 is allowed for; NaN is not."""
        clean, image = batch.image.double(), attacked.image.double()
        radius = self.radius(clean)
        moved = length(image - clean, self.norm)
        pixels = 1 if self.norm == "linf" else clean[0].numel() ** 0.5
        slack = 4 * torch.finfo(batch.image.dtype).eps * (pixels * clean.abs().flatten(1).amax(1) + torch.where(radius.isinf(), 0.0, radius))
        kept = moved <= radius + slack
        inside = (self.into_range(attacked.image, batch.image) == attacked.image).flatten(1).all(1)
        ends = f"{'-inf' if self.low is None else f'{self.low:.6g}'} to {'inf' if self.high is None else f'{self.high:.6g}'}"
        found = []
        for near, valid, far, most, one in zip(kept.tolist(), inside.tolist(), moved.tolist(), radius.tolist(), image, strict=True):
            wrong = [] if near else [f"found a change of {far:.6g} in {self.norm}, allowed {most:.6g}"]
            if not valid:
                wrong.append(f"found intensities from {float(one.min()):.6g} to {float(one.max()):.6g}, allowed {ends}")
            found.append("; ".join(wrong))
        return tuple(found)


def length(change: Tensor, norm: str) -> Tensor:
    """The norm of each image over all its channels and pixels, (n,); change: (n, c, *space)."""
    flat = change.flatten(1)
    # not vector_norm, which adds squares one by one: of 512 x 512 float32 it is wrong in the fourth digit, and a projection by it leaves the ball
    return flat.abs().amax(1) if norm == "linf" else flat.square().sum(1).sqrt()
