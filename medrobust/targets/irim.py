"""I-RIM, the invertible recurrent inference machine that won fastMRI's 2019 single-coil challenge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

from medrobust.targets.networks.irim import METADATA, IRIMNetwork


@dataclass(frozen=True)
class IRIM:
    """Invertible layers around the gradient of the data term, on the complex zero-filled image over its standard deviation.

    Source: Putzky and Welling 2019, arXiv:1911.10914; Putzky et al. 2019, arXiv:1910.08952, section 3.
    The defaults are a small network; `full()` is the published one.

    channels: width of the state, even, at least 4 * copies + 8.
    hidden: width inside each layer of a step.
    patch: side in pixels of the patches each layer works on, one for each of `hidden`; H and W need not divide by it.
    steps: number of steps, each with its own weights, a data-consistency update before the first and after each.
    copies: number of estimates of the image the state holds.
    projections: reflections in each layer's orthogonal mixing of channels.
    residual: the output block corrects the mean estimate (upstream: it makes the whole image).
    memory_free: reconstruct activations in the backward pass rather than keep them; the same values and gradients.
    """

    task: ClassVar[str] = "reconstruction"
    channels: int = 16
    hidden: tuple[int, ...] = (32, 64, 32)
    patch: tuple[int, ...] = (2, 8, 2)
    steps: int = 3
    copies: int = 2
    projections: int = 3
    residual: bool = True
    memory_free: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        object.__setattr__(self, "patch", tuple(self.patch))
        if len(self.hidden) != len(self.patch) or not self.hidden:
            msg = f"patch: found {len(self.patch)} sizes, expected one for each of the {len(self.hidden)} widths in hidden, at least one"
            raise ValueError(msg)
        counts = {"hidden": min(self.hidden), "patch": min(self.patch), "steps": self.steps, "copies": self.copies, "projections": self.projections}
        for name, count in counts.items():
            if count < 1:
                msg = f"{name}: found {count}, expected at least 1"
                raise ValueError(msg)
        if self.channels % 2 or self.channels < 4 * self.copies + METADATA:
            msg = f"channels: found {self.channels}, expected an even number of at least 4 * copies + {METADATA} = {4 * self.copies + METADATA}"
            raise ValueError(msg)

    @classmethod
    def full(cls) -> IRIM:
        """The published single-coil network, 275,247,552 parameters."""
        hidden = (64, 64, 128, 128, 256, 1024, 1024, 256, 128, 128, 64, 64)
        return cls(64, hidden, (1, 1, 2, 2, 4, 8, 8, 4, 2, 2, 1, 1), steps=8, copies=4, residual=False)

    def build(self) -> nn.Module:
        return IRIMNetwork(
            self.channels, self.hidden, self.patch, self.steps, self.copies, self.projections, residual=self.residual, memory_free=self.memory_free
        )
