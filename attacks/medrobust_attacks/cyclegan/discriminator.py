"""The discriminator that judges patches of 70x70 pixels, through MONAI."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from medrobust_attacks.cyclegan.layers import PADDINGS, initialise, require

LEAST = 32
"""Fewest pixels along an axis; with less, nothing is left to normalise over."""


@dataclass(frozen=True)
class Discriminator:
    """Five 4x4 convolutions of strides 2, 2, 2, 1, 1: a map of scores, each of the 70x70 pixels around it, no sigmoid.

    Source: Isola et al. 2017, arXiv:1611.07004, section 6.1.2, through MONAI. The default padding is that of Becker et al. 2019,
    doi:10.1016/j.ejrad.2019.108649, experiment 1: 35x35 scores of 256x256 pixels; CycleGAN pads by 1 and has 30x30.

    channels: of the first layer (ndf), at least 1; up to eight times as many further in.
    pad: pixels of padding before every convolution, 1 or 2. padding: zero or reflect.
    affine: instance normalisation has a trained scale and offset a channel.
    spectral_norm: every convolution's weights are divided by their largest singular value.
    """

    channels: int = 64
    pad: int = 2
    padding: str = "zero"
    affine: bool = True
    spectral_norm: bool = False

    def __post_init__(self) -> None:
        require(self.channels >= 1, "channels", self.channels, "at least 1")
        require(self.pad in (1, 2), "pad", self.pad, "1 or 2")
        require(self.padding in PADDINGS, "padding", f"'{self.padding}'", f"one of {', '.join(PADDINGS)}")

    def build(self, seed: int) -> DiscriminatorNetwork:
        """A fresh network."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return DiscriminatorNetwork(self)


class DiscriminatorNetwork(nn.Module):
    """Image (n, 1, H, W), at least 32x32, to scores (n, 1, h, w), 1 for a real one.

    MONAI's has four traps: unless told otherwise it normalises over the batch, which mixes cases; called, it gives the features of every layer, of
    which the scores are the last; its last convolution pads by 1 whatever `padding` says; and none of them can reflect. So it is built without
    padding, which comes first here, and its layers are called one by one.
    """

    def __init__(self, options: Discriminator) -> None:
        from monai.networks.nets.patchgan_discriminator import PatchDiscriminator

        super().__init__()
        self.options = options
        self.layers = PatchDiscriminator(2, options.channels, 1, num_layers_d=3, norm=("instance", {"affine": options.affine}), padding=0)
        self.layers.final_conv.conv.padding = (0, 0)
        initialise(self, options.spectral_norm)

    def forward(self, image: Tensor) -> Tensor:
        require(min(image.shape[2:]) >= LEAST, "image", f"{image.shape[2]}x{image.shape[3]} pixels", f"at least {LEAST} along both axes")
        mode = "constant" if self.options.padding == "zero" else "reflect"
        for layer in self.layers.children():
            image = layer(pad(image, [self.options.pad] * 4, mode=mode))
        return image
