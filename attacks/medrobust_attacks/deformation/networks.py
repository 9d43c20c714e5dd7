"""The generator of fields and shading, and the critic that is to take its slices for real ones."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from medrobust.targets.weights import fill

SLOPE = 0.2
"""Of the leaky rectifiers."""

CHANNELS = {"field": 2, "shading": 1}


class Made(NamedTuple):
    """field: (n, 2, H, W) in pixels. shading: (n, 1, H, W) in z-scores. kl: divergence of the latents from N(0, 1) per entry, (n,) in nats."""

    field: Tensor
    shading: Tensor
    kl: Tensor


@dataclass(frozen=True)
class Generator:
    """One encoder, a latent map for the field and one for the shading, and two decoders of one architecture that share no weights.

    Source: Chen et al. 2019, arXiv:1909.11167, section 3.1 and figure 1; widths, latents and upsampling are not given there. Batch normalisation
    after every convolution but the last, as there; all convolutional, so that a slice may have any size.

    widths: channels of each level of the encoder from the finest down, each level of half the resolution; one or more, each at least 1.
    latent: channels of either latent map, at the encoder's coarsest resolution, at least 1.
    grid: pixels from one value that a decoder gives to the next, bicubic in between; a power of two up to 2 to the number of levels. 1 decodes every
        pixel, which neither keeps field and shading smooth by itself.
    spread: standard deviation of the latents at the start, above 0.
    start: factor on the initial weights of the decoders' last layers, at least 0; 0 starts with neither field nor shading.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    latent: int = 16
    grid: int = 8
    spread: float = 1.0
    start: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths or min(self.widths) < 1:
            msg = f"widths: found {list(self.widths)}, expected one or more numbers of channels, each at least 1"
            raise ValueError(msg)
        if self.latent < 1:
            msg = f"latent: found {self.latent}, expected at least 1"
            raise ValueError(msg)
        if self.grid not in [2**level for level in range(len(self.widths) + 1)]:
            msg = f"grid: found {self.grid}, expected a power of two from 1 to {self.factor}"
            raise ValueError(msg)
        if not 0 < self.spread < math.inf:
            msg = f"spread: found {self.spread}, expected a number above 0"
            raise ValueError(msg)
        if not 0 <= self.start < math.inf:
            msg = f"start: found {self.start}, expected a number of at least 0"
            raise ValueError(msg)

    @property
    def factor(self) -> int:
        """Pixels along an axis for one of the latent map."""
        return int(2 ** len(self.widths))

    def noise_shape(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Of the normal draws of a slice: branches, channels, rows, columns."""
        return 2, self.latent, -(-height // self.factor), -(-width // self.factor)

    def build(self, seed: int, parts: tuple[str, ...] = tuple(CHANNELS)) -> GeneratorNetwork:
        """A fresh network with the branches that are named."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return GeneratorNetwork(self, parts)

    def restore(self, weights: Mapping[str, Tensor], parts: tuple[str, ...], where: str) -> GeneratorNetwork:
        """The network with these weights, frozen, in evaluation mode. where: what error lines name."""
        if not weights:
            msg = f"{where}: found no weights, expected those that `fit` gives"
            raise ValueError(msg)
        network = self.build(0, parts)
        fill(network, weights, where)
        return network.eval().requires_grad_(False)


class GeneratorNetwork(nn.Module):
    """Slice (n, 1, H, W) in z-scores and normal draws (n, 2, latent, h, w) to field and shading; a branch that it does not have gives zeros."""

    def __init__(self, options: Generator, parts: tuple[str, ...]) -> None:
        super().__init__()
        self.options = options
        levels = [nn.Sequential(*block(i, o, stride=2), *block(o, o)) for i, o in pairwise([1, *options.widths])]
        self.encoder = nn.Sequential(*levels)
        self.latent = nn.ModuleDict({part: nn.Conv2d(options.widths[-1], 2 * options.latent, 1) for part in parts})
        self.decoder = nn.ModuleDict({part: decoder(options, CHANNELS[part]) for part in parts})
        for layer in self.latent.values():
            nn.init.constant_(layer.bias[options.latent :], 2 * math.log(options.spread))  # type: ignore[index]

    def forward(self, image: Tensor, noise: Tensor) -> Made:
        height, width = image.shape[2:]
        whole = [-(-length // self.options.factor) * self.options.factor for length in (height, width)]
        features = self.encoder(pad(image, (0, whole[1] - width, 0, whole[0] - height), mode="replicate"))
        made: dict[str, Tensor] = {}
        divergence = torch.zeros_like(image[:, 0, 0, 0])
        for branch, (part, channels) in enumerate(CHANNELS.items()):
            if part not in self.latent:
                made[part] = image.new_zeros(len(image), channels, height, width)
                continue
            mean, log_variance = self.latent[part](features).chunk(2, 1)
            coarse = self.decoder[part](mean + (log_variance / 2).exp() * noise[:, branch])
            made[part] = resized(coarse, whole)[..., :height, :width]
            entries = mean.square() + log_variance.exp() - 1 - log_variance
            divergence = divergence + entries.flatten(1).mean(1) / 2
        return Made(made["field"], made["shading"], divergence)


def block(inputs: int, outputs: int, stride: int = 1, normalised: bool = True) -> list[nn.Module]:
    """3x3 convolution, batch normalisation, leaky rectifier; the convolution has a bias only where nothing takes it away again."""
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=not normalised)
    return [convolution, *([nn.BatchNorm2d(outputs)] if normalised else []), nn.LeakyReLU(SLOPE)]


def decoder(options: Generator, channels: int) -> nn.Sequential:
    """Latent map to `channels` values every `grid` pixels."""
    widths = [*reversed(options.widths), options.widths[0]][: (options.factor // options.grid).bit_length()]
    layers = block(options.latent, widths[0])
    for before, after in pairwise(widths):
        layers += [nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), *block(before, after)]
    last = nn.Conv2d(widths[-1], channels, 3, padding=1)
    with torch.no_grad():
        last.weight.mul_(options.start)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    return nn.Sequential(*layers, last)


def resized(coarse: Tensor, size: list[int]) -> Tensor:
    return coarse if list(coarse.shape[2:]) == size else interpolate(coarse, size=size, mode="bicubic", align_corners=False)


@dataclass(frozen=True)
class Critic:
    """Strided convolutions and the mean of what the last one gives: one score a slice, higher for a real one.

    Source: Arjovsky et al. 2017, arXiv:1701.07875 (WGAN); Gulrajani et al. 2017, arXiv:1704.00028 (gradient penalty). Chen et al. 2019 names the
    first and gives neither the network nor how its slope is held.

    widths: channels of each level, each of half the resolution; one or more, each at least 1.
    clip: largest absolute value of a convolution's weight or bias, above 0; not used where `penalty` is above 0. Arjovsky's code clips the parameters
        of normalisation too; in a critic as small as this that leaves scores of 1e-4, which weigh nothing beside the other terms.
    penalty: weight of (|slope| - 1)^2 between real and attacked slices, at least 0; 10 is Gulrajani's. 0 clips instead. With it the critic has no
        batch normalisation, under which no slope belongs to one slice.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    clip: float = 0.01
    penalty: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if not self.widths or min(self.widths) < 1:
            msg = f"widths: found {list(self.widths)}, expected one or more numbers of channels, each at least 1"
            raise ValueError(msg)
        if not 0 < self.clip < math.inf:
            msg = f"clip: found {self.clip}, expected a number above 0"
            raise ValueError(msg)
        if not 0 <= self.penalty < math.inf:
            msg = f"penalty: found {self.penalty}, expected a weight of at least 0"
            raise ValueError(msg)

    def build(self, seed: int) -> CriticNetwork:
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return CriticNetwork(self)

    def hold(self, network: nn.Module) -> None:
        """Clip every convolution, in place, unless a penalty holds the slope."""
        if not self.penalty:
            with torch.no_grad():
                for layer in network.modules():
                    for parameter in layer.parameters(recurse=False) if isinstance(layer, nn.Conv2d) else ():
                        parameter.clamp_(-self.clip, self.clip)


class CriticNetwork(nn.Module):
    """Slice (n, 1, H, W) in z-scores to a score (n,)."""

    def __init__(self, options: Critic) -> None:
        super().__init__()
        normalised = options.penalty == 0
        levels = [block(i, o, stride=2, normalised=normalised) for i, o in pairwise([1, *options.widths])]
        self.layers = nn.Sequential(*(layer for level in levels for layer in level), nn.Conv2d(options.widths[-1], 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        scores: Tensor = self.layers(image).flatten(1).mean(1)
        return scores
