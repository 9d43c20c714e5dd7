"""The variational network, through MONAI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from medrobust.imaging.kspace import fft2c


@dataclass(frozen=True)
class VarNet:
    """Data consistency in k-space and a U-Net on the complex image, by turns: MONAI's end-to-end VarNet for one coil.

    Source: Sriram et al. 2020, arXiv:2004.06688, with one coil's sensitivity, which is 1 by definition, in place of an estimate.

    cascades: number of turns, 12 in the paper.
    channels: width of the first level of each U-Net, 1, 2, 4 and 8 times as many below; at least 1.
    """

    task: ClassVar[str] = "reconstruction"
    cascades: int = 6
    channels: int = 8

    def __post_init__(self) -> None:
        for name, value in (("cascades", self.cascades), ("channels", self.channels)):
            if value < 1:
                msg = f"{name}: found {value}, expected at least 1"
                raise ValueError(msg)

    def build(self) -> nn.Module:
        return VarNetNetwork(self.cascades, self.channels)


class VarNetNetwork(nn.Module):
    """Zero-filled complex (n, 1, H, W) and mask to magnitude (n, 1, H, W), in the input's units."""

    def __init__(self, cascades: int, channels: int) -> None:
        super().__init__()
        from monai.apps.reconstruction.networks.nets.complex_unet import ComplexUnet
        from monai.apps.reconstruction.networks.nets.varnet import VariationalNetworkModel

        features = [channels * factor for factor in (1, 1, 2, 4, 8, 1)]
        self.model = VariationalNetworkModel(OneCoil(), ComplexUnet(features=features), cascades)

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
        kspace = torch.view_as_real((fft2c(zero_filled) * mask).contiguous())
        image: Tensor = self.model(kspace, mask[..., None].expand(len(kspace), 1, 1, -1, 1))
        return image[:, None]


class OneCoil(nn.Module):
    """The sensitivity of a single coil, 1 everywhere; MONAI's estimate takes one mask for a whole batch, this needs none."""

    def forward(self, kspace: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - the signature of MONAI's sensitivity models
        return torch.stack([torch.ones_like(kspace[..., 0]), torch.zeros_like(kspace[..., 0])], dim=-1)
