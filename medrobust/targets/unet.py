"""The fastMRI U-Net of 2019, the network the FNAF paper attacked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from medrobust.imaging.kspace import standardise


@dataclass(frozen=True)
class UNet:
    """U-Net on the zero-filled magnitude, normalised by its own mean and standard deviation and clamped to +-6.

    Source: Zbontar et al. 2018, arXiv:1811.08839, section 5.2, as released in 2019.

    channels: width of the first level, at least 2, doubled at each of `pools` levels; 32 in the FNAF paper, 256 on fastMRI's leaderboard.
    pools: number of 2x2 max-poolings, at least 1; H and W need not divide by 2 ** pools.
    dropout: probability that a channel is dropped in training, in [0, 1).
    """

    task: ClassVar[str] = "reconstruction"
    channels: int = 32
    pools: int = 4
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for name, value, least in (("channels", self.channels, 2), ("pools", self.pools, 1)):
            if value < least:
                msg = f"{name}: found {value}, expected at least {least}"
                raise ValueError(msg)
        if not 0 <= self.dropout < 1:
            msg = f"dropout: found {self.dropout}, expected a number in [0, 1)"
            raise ValueError(msg)

    def build(self) -> nn.Module:
        return UNetNetwork(self.channels, self.pools, self.dropout)


def conv_block(inputs: int, outputs: int, dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.InstanceNorm2d(outputs), nn.ReLU(), nn.Dropout2d(dropout)]
    return nn.Sequential(*layers)


class UNetNetwork(nn.Module):
    """Zero-filled complex (n, 1, H, W) and mask to magnitude (n, 1, H, W), in the input's units."""

    def __init__(self, channels: int, pools: int, dropout: float) -> None:
        super().__init__()
        widths = [channels * 2**level for level in range(pools)]
        self.down = nn.ModuleList(conv_block(i, o, dropout) for i, o in zip([1, *widths], widths, strict=False))
        self.bottom = conv_block(widths[-1], widths[-1], dropout)
        outputs = [*widths[-2::-1], channels]
        self.up = nn.ModuleList(conv_block(2 * i, o, dropout) for i, o in zip(widths[::-1], outputs, strict=True))
        self.head = nn.Sequential(nn.Conv2d(channels, channels // 2, 1), nn.Conv2d(channels // 2, 1, 1), nn.Conv2d(1, 1, 1))

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - one signature for all reconstructors
        magnitude = zero_filled.abs()
        mean, std = standardise(magnitude)
        return self.normalised(((magnitude - mean) / std).clamp(-6, 6)) * std + mean

    def normalised(self, x: Tensor) -> Tensor:
        """The network proper, normalised image in and out, (n, 1, H, W)."""
        x = x.contiguous(memory_format=torch.channels_last)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = max_pool2d(x, 2)
        x = self.bottom(x)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False), skip], dim=1))
        output: Tensor = self.head(x)
        return output
