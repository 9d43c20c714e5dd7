"""Zero filling: the reconstruction that guesses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn


@dataclass(frozen=True)
class ZeroFilled:
    """The magnitude of the inverse Fourier transform of what was measured, zero elsewhere.

    Source: the baseline of Zbontar et al. 2018, arXiv:1811.08839, section 5.1, for one coil.
    """

    task: ClassVar[str] = "reconstruction"

    def build(self) -> nn.Module:
        return ZeroFilledNetwork()


class ZeroFilledNetwork(nn.Module):
    """Zero-filled complex (n, 1, H, W) and mask to magnitude (n, 1, H, W), in the input's units; no parameters."""

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - one signature for all reconstructors
        return zero_filled.abs()
