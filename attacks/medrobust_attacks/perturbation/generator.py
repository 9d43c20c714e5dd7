"""The generator: a U-Net that sees a volume and gives the mask that it is multiplied by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool3d, interpolate

from medrobust.targets.networks.convolution import Convolution3d
from medrobust.targets.weights import fill

SLOPE = 0.1
"""Of the leaky rectifiers."""

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "linear": lambda z: z, "1+tanh": lambda z: 1 + z.tanh()}


@dataclass(frozen=True)
class Generator:
    """A 3-D U-Net with a narrow bottleneck, volume in, multiplicative mask of the same shape out; 1 leaves a voxel as it is.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.1.2: a U-Net "modified to have a smaller bottleneck", against learning the
    identity. Widths, normalisation (one group) and last activation are not given there.

    widths: channels of each level from the finest down, the last one the bottleneck; two or more, each at least 2.
    stride: edge in voxels of the blocks over which the volume is averaged before the network sees it; the mask is interpolated back. 1 or more:
        1 is the paper's, 2 takes an eighth of the time.
    activation: of the mask. sigmoid: in (0, 1), takes intensity away and never adds any; 1+tanh: in (0, 2); linear: any number.
    bias: of the last layer at the start. 3 starts a sigmoid's mask near .95; at 17 it is 1 to the last bit, from where nothing is learned.
    """

    widths: tuple[int, ...] = (8, 16, 16, 4)
    stride: int = 2
    activation: str = "sigmoid"
    bias: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) < 2 or min(self.widths) < 2:
            msg = f"widths: found {list(self.widths)}, expected two or more numbers of channels, each at least 2"
            raise ValueError(msg)
        if self.stride < 1:
            msg = f"stride: found {self.stride}, expected at least 1"
            raise ValueError(msg)
        if self.activation not in ACTIVATIONS:
            msg = f"activation: found '{self.activation}', expected one of {', '.join(ACTIVATIONS)}"
            raise ValueError(msg)
        if not abs(self.bias) < 17:
            msg = f"bias: found {self.bias}, expected a number between -17 and 17: beyond, a sigmoid has no slope in float32"
            raise ValueError(msg)

    def build(self, seed: int, channels: int) -> nn.Module:
        """A fresh network for volumes of so many sequences: (n, channels, D, H, W) to its mask of the same shape; any size from 1 voxel up."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return GeneratorNetwork(self, channels)

    def restore(self, weights: Mapping[str, Tensor], channels: int, where: str) -> nn.Module:
        """The network with these weights, frozen. where: what error lines name."""
        if not weights:
            msg = f"{where}: found no weights, expected those that `fit` gives"
            raise ValueError(msg)
        network = self.build(0, channels)
        fill(network, weights, where)
        return network.eval().requires_grad_(False)


def block(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (inputs, outputs):
        layers += [Convolution3d(width, outputs, 3, padding=1), nn.GroupNorm(1, outputs), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers)


class GeneratorNetwork(nn.Module):
    """Volume (n, c, D, H, W) to mask (n, c, D, H, W)."""

    def __init__(self, options: Generator, channels: int) -> None:
        super().__init__()
        widths = options.widths
        self.stride, self.activation = options.stride, ACTIVATIONS[options.activation]
        self.down = nn.ModuleList(block(i, o) for i, o in pairwise([channels, *widths[:-1]]))
        self.bottom = block(widths[-2], widths[-1])
        self.up = nn.ModuleList(block(below + width, width) for below, width in pairwise(reversed(widths)))
        self.head = Convolution3d(widths[0], channels, 1)
        nn.init.constant_(self.head.bias, options.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> Tensor:
        x = pooled(image, self.stride)
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = pooled(x, 2)
        x = self.bottom(x)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([resized(x, skip), skip], 1))
        return self.activation(resized(self.head(x), image))


def pooled(x: Tensor, edge: int) -> Tensor:
    """Means over blocks of that edge in voxels, of what there is of them at the far ends."""
    return x if edge == 1 else avg_pool3d(x, [min(edge, length) for length in x.shape[2:]], ceil_mode=True)


def resized(x: Tensor, like: Tensor) -> Tensor:
    """`x` interpolated to the voxels of `like`."""
    return x if x.shape[2:] == like.shape[2:] else interpolate(x, size=like.shape[2:], mode="trilinear", align_corners=False)
