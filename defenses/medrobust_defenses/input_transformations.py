"""Input transformations: what a classifier is shown was stored as JPEG, in few levels, or smoothed; an attack sees through them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from medrobust.digests import digest
from medrobust.targets.behind import Behind, Change
from medrobust.types import Data, Target
from medrobust_defenses.fine_tuning import classifier

Arrays = Callable[[NDArray[np.float32]], NDArray[np.float32]]

ASTRAY = 0.5
"""By how much of the range's width images may leave it before the range is taken for a mistake: a perturbation leaves it by less."""


@dataclass(frozen=True)
class JPEG:
    """Images are stored as JPEG, in 8 bits, and read again before the classifier is asked.

    Source: Dziugaite et al. 2016, arXiv:1608.00853, through ART. A white-box attack passes backwards through it as through the identity (BPDA,
    Athalye et al. 2018, arXiv:1802.00420, section 4.1). Volumes slice by slice, channels each by itself, but three of them as one colour image.

    quality: of the JPEG, 1 to 100.
    low, high: the range of the data's intensities, which becomes black and white; what an attack brings out of it is cut.
    """

    task: ClassVar[str] = "classification"
    quality: int = 50
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        whole("quality", self.quality, 1, 100)
        ascending(self.low, self.high)

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:  # noqa: ARG002 - one signature for all defenses
        """The classifier behind the transformation."""
        from medrobust_defenses.art_preprocessors import jpeg

        return behind(target, "jpeg", self, Through(Stored(jpeg, (self.quality,)), self.low, self.high))


@dataclass(frozen=True)
class BitDepth:
    """Intensities are rounded to few levels before the classifier is asked.

    Source: Xu et al. 2018, arXiv:1704.01155, section III-A, through ART; backwards the identity, as for `jpeg`. Of any shape.

    bits: 1 to 16, for 2 ** bits levels.
    low, high: the range of the data's intensities, the first level and the last; what an attack brings out of it is cut.
    """

    task: ClassVar[str] = "classification"
    bits: int = 4
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        whole("bits", self.bits, 1, 16)
        ascending(self.low, self.high)

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:  # noqa: ARG002
        """The classifier behind the transformation."""
        from medrobust_defenses.art_preprocessors import bit_depth

        return behind(target, "bit-depth", self, Through(Stored(bit_depth, (self.bits,)), self.low, self.high))


@dataclass(frozen=True)
class SpatialSmoothing:
    """Every pixel becomes the median or mean of those about it before the classifier is asked; volumes slice by slice.

    Source: Xu et al. 2018, arXiv:1704.01155, section III-B. The median through ART, backwards the identity, as for `jpeg`; the mean is differentiable
    and an attack gets its own gradient.

    window: edge of the square that is taken, in pixels, odd, at least 3. statistic: `median` or `mean`.
    low, high: the range of the data's intensities; what an attack brings out of it is cut before a median is taken.
    """

    task: ClassVar[str] = "classification"
    window: int = 3
    statistic: str = "median"
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.window < 3 or self.window % 2 == 0:
            msg = f"window: found {self.window}, expected an odd number of pixels, at least 3"
            raise ValueError(msg)
        if self.statistic not in ("median", "mean"):
            msg = f"statistic: found '{self.statistic}', expected median or mean"
            raise ValueError(msg)
        ascending(self.low, self.high)

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:  # noqa: ARG002
        """The classifier behind the transformation."""
        from medrobust_defenses.art_preprocessors import median

        smooth = Through(Stored(median, (self.window,)), self.low, self.high) if self.statistic == "median" else Mean(self.window)
        return behind(target, "spatial-smoothing", self, smooth)


@dataclass(frozen=True)
class Stored:
    """A function of arrays in [0, 1] with its settings."""

    function: Callable[..., NDArray[np.float32]]
    settings: tuple[int, ...]

    def __call__(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """The changed array, in [0, 1]."""
        return self.function(image, *self.settings)


@dataclass(frozen=True)
class Through:
    """A change of arrays in [0, 1] as one of images in [low, high]; forwards as it is, backwards the identity."""

    change: Arrays
    low: float
    high: float

    def __call__(self, image: Tensor) -> Tensor:
        """The changed image, (n, c, h, w) or (n, c, d, h, w). Raises ValueError for others, and far outside of the range."""
        if image.ndim not in (4, 5):
            msg = f"image: found the shape {tuple(image.shape)}, expected (n, c, h, w) or (n, c, d, h, w)"
            raise ValueError(msg)
        changed: Tensor = Straight.apply(image, self._changed)  # type: ignore[no-untyped-call]
        return changed

    def _changed(self, image: Tensor) -> Tensor:
        width = self.high - self.low
        found = (float(image.min()), float(image.max()))
        if found[0] < self.low - ASTRAY * width or found[1] > self.high + ASTRAY * width:
            msg = f"low and high: found intensities from {found[0]:.4g} to {found[1]:.4g}, expected {self.low:g} to {self.high:g}"
            raise ValueError(msg)
        unit = ((image - self.low) / width).clamp(0, 1)
        return torch.from_numpy(self.change(unit.cpu().numpy())).to(image) * width + self.low


class Straight(torch.autograd.Function):
    """A change forwards, the identity backwards."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, change: Change) -> Tensor:  # noqa: ARG004
        return change(image.detach())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ARG004
        return gradients[0], None


@dataclass(frozen=True)
class Mean:
    """Every pixel the mean of the window about it, slice by slice, edges continued."""

    window: int

    def __call__(self, image: Tensor) -> Tensor:
        """The smoothed image, (n, c, *space) with two or more axes of space."""
        flat = image.reshape(-1, 1, *image.shape[-2:])
        return avg_pool2d(pad(flat, [self.window // 2] * 4, mode="replicate"), self.window, stride=1).reshape(image.shape)


def behind(target: Target, name: str, settings: JPEG | BitDepth | SpatialSmoothing, change: Change) -> Target:
    """The classifier behind a change of its input, with a digest of its own; the target is left alone."""
    plain = classifier(target, name)
    return replace(plain, network=Behind(plain.network, change), digest=digest([plain.digest, {"defense": name, **asdict(settings)}]))


def whole(name: str, value: int, low: int, high: int) -> None:
    """Raise ValueError unless the value is one of low, ..., high."""
    if not low <= value <= high:
        msg = f"{name}: found {value}, expected a whole number of {low} to {high}"
        raise ValueError(msg)


def ascending(low: float, high: float) -> None:
    """Raise ValueError unless there is a range."""
    if not -math.inf < low < high < math.inf:
        msg = f"low and high: found {low} and {high}, expected two numbers, the lower first"
        raise ValueError(msg)
