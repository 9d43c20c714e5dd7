"""The generator that turns an image of one kind into one of the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from medrobust.targets.weights import fill
from medrobust_attacks.cyclegan.layers import PADDINGS, initialise, require

UPSAMPLINGS = ("transposed", "nearest", "bilinear")
BOUNDS = ("tanh", "clip")
FACTOR = 4
"""Pixels along an axis for one of the innermost features."""


@dataclass(frozen=True)
class Generator:
    """Two halvings, residual blocks, two doublings and a bound: the residual generator of CycleGAN, whole images in and out.

    Source: Zhu et al. 2017, arXiv:1703.10593, section 7.2. The defaults are those of Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649, experiment
    1: half the channels, zero padding, leaky rectifiers, one after each sum, trained scales, and the input added to what is made before the tanh.

    channels: of the first layer (ngf), at least 1; twice and four times as many further in.
    blocks: residual blocks at a quarter of the resolution, at least 1.
    padding: zero or reflect, at every convolution but the transposed ones.
    upsampling: transposed (a 3x3 convolution of stride 2), or nearest or bilinear, each followed by a 3x3 convolution.
    skip: the input is added to what is made, before the bound.
    bound: tanh, as published: to give back a pixel x a generator with `skip` has to make artanh(x) - x, which is far from 0 in dark air; or clip, to
        [-1, 1], which is this project's: such a generator begins next to the identity, and a short training is spent on what sets the kinds apart.
        What was clipped still learns to come back inside: else the brightest pixels, a mass among them, would stay as bright as they are.
    slope: of the rectifiers below 0, in [0, 1); 0 is the plain rectifier.
    after_sum: a plain rectifier follows the sum of every residual block.
    affine: instance normalisation has a trained scale and offset a channel.
    spectral_norm: every convolution's weights are divided by their largest singular value.
    """

    channels: int = 32
    blocks: int = 9
    padding: str = "zero"
    upsampling: str = "transposed"
    skip: bool = True
    bound: str = "tanh"
    slope: float = 0.2
    after_sum: bool = True
    affine: bool = True
    spectral_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("channels", "blocks"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name, allowed in (("padding", tuple(PADDINGS)), ("upsampling", UPSAMPLINGS), ("bound", BOUNDS)):
            require(getattr(self, name) in allowed, name, f"'{getattr(self, name)}'", f"one of {', '.join(allowed)}")
        require(0 <= self.slope < 1, "slope", self.slope, "a number from 0 to below 1")

    def build(self, seed: int) -> GeneratorNetwork:
        """A fresh network."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return GeneratorNetwork(self)

    def restore(self, weights: Mapping[str, Tensor], where: str) -> GeneratorNetwork:
        """The network with these weights, frozen, in evaluation mode. where: what error lines name."""
        network = self.build(0)
        fill(network, weights, where)
        return network.eval().requires_grad_(False)


class GeneratorNetwork(nn.Module):
    """Image (n, 1, H, W) in [-1, 1], H and W multiples of 4, to another one in [-1, 1]."""

    def __init__(self, options: Generator) -> None:
        super().__init__()
        self.options = options
        n = options.channels
        self.encoder = nn.Sequential(
            convolution(options, 1, n, 7),
            *normalised(options, n),
            convolution(options, n, 2 * n, 3, stride=2),
            *normalised(options, 2 * n),
            convolution(options, 2 * n, 4 * n, 3, stride=2),
            *normalised(options, 4 * n),
        )
        self.blocks = nn.Sequential(*(Block(options, 4 * n) for _ in range(options.blocks)))
        self.decoder = nn.Sequential(*doubled(options, 4 * n, 2 * n), *doubled(options, 2 * n, n), convolution(options, n, 1, 7, bias=True))
        initialise(self, options.spectral_norm)

    def forward(self, image: Tensor) -> Tensor:
        height, width = image.shape[2:]
        require(height % FACTOR == 0 and width % FACTOR == 0, "image", f"{height}x{width} pixels", f"multiples of {FACTOR} along both axes")
        made = self.decoder(self.blocks(self.encoder(image))).to(image.dtype)
        whole: Tensor = image + made if self.options.skip else made
        return whole.tanh() if self.options.bound == "tanh" else clipped(whole)


def clipped(image: Tensor) -> Tensor:
    """Values brought to [-1, 1]; gradients pass where they lie within or where a step against the gradient leads back."""
    found: Tensor = Clip.apply(image)  # type: ignore[no-untyped-call]
    return found


class Clip(torch.autograd.Function):
    """To [-1, 1], with a gradient outside too, if it leads back."""

    @staticmethod
    def forward(ctx: Any, image: Tensor) -> Tensor:
        ctx.save_for_backward(image)
        return image.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        (image,), (gradient,) = ctx.saved_tensors, gradients
        return torch.where((image > 1) & (gradient < 0) | (image < -1) & (gradient > 0), 0, gradient)


class Block(nn.Module):
    """x + f(x), f of two convolutions."""

    def __init__(self, options: Generator, width: int) -> None:
        super().__init__()
        first, second = (convolution(options, width, width, 3) for _ in range(2))
        self.layers = nn.Sequential(first, *normalised(options, width), second, nn.InstanceNorm2d(width, affine=options.affine))
        self.after = nn.ReLU() if options.after_sum else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        total: Tensor = self.after(features + self.layers(features))
        return total


def convolution(options: Generator, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """One that keeps the size, or halves it; with a bias only where no normalisation takes it away again."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias, padding_mode=PADDINGS[options.padding])  # type: ignore[arg-type]


def normalised(options: Generator, width: int) -> list[nn.Module]:
    return [nn.InstanceNorm2d(width, affine=options.affine), nn.LeakyReLU(options.slope)]


def doubled(options: Generator, inputs: int, outputs: int) -> list[nn.Module]:
    """Twice the resolution, normalised."""
    if options.upsampling == "transposed":
        wider: list[nn.Module] = [nn.ConvTranspose2d(inputs, outputs, 3, 2, padding=1, output_padding=1, bias=False)]
    else:
        wider = [nn.Upsample(scale_factor=2, mode=options.upsampling), convolution(options, inputs, outputs, 3)]
    return [*wider, *normalised(options, outputs)]
