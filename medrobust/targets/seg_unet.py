"""The 2-D U-Net, through MONAI: the segmenter that the deformation and intensity attack was made against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

NORMS = ("batch", "instance")


@dataclass(frozen=True)
class SegUNet:
    """U-Net of two 3x3 convolutions a level, maximum pooling and transposed convolutions, as MONAI's BasicUNet has it.

    Source: Ronneberger et al. 2015, arXiv:1505.04597; Chen et al. 2019, arXiv:1909.11167, section 3, attacks such a network trained on patches
    and gives no widths.

    widths: channels of the five levels from the finest to the coarsest, each at least 1; H and W need not divide by 16, but are at least 16.
    classes: organs and background, at least 2. norm: batch or instance normalisation after each convolution.
    dropout: probability that an activation is dropped in training, in [0, 1).
    """

    task: ClassVar[str] = "segmentation"
    widths: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512)
    classes: int = 5
    norm: str = "batch"
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        if len(self.widths) != 5 or min(self.widths) < 1:
            msg = f"widths: found {list(self.widths)}, expected five numbers of channels, each at least 1"
            raise ValueError(msg)
        if self.classes < 2:
            msg = f"classes: found {self.classes}, expected at least 2"
            raise ValueError(msg)
        if self.norm not in NORMS:
            msg = f"norm: found {self.norm!r}, expected one of {', '.join(NORMS)}"
            raise ValueError(msg)
        if not 0 <= self.dropout < 1:
            msg = f"dropout: found {self.dropout}, expected a number in [0, 1)"
            raise ValueError(msg)

    def build(self) -> nn.Module:
        """Slice (n, 1, H, W) to logits (n, classes, H, W)."""
        from monai.networks.nets.basic_unet import BasicUNet

        network: nn.Module = BasicUNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=self.classes,
            features=(*self.widths, self.widths[0]),
            norm=(self.norm, {"affine": True}),
            act=("LeakyReLU", {"negative_slope": 0.1, "inplace": True}),
            dropout=self.dropout,
        )
        return network
