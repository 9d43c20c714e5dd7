"""Classifiers of images, through MONAI: a residual and a densely connected network, differently built readers of one mammogram."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from torch import nn

LAYERS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
"""Blocks of each of the four layers, basic ones."""

POOLINGS = {"mean": nn.AdaptiveAvgPool2d, "max": nn.AdaptiveMaxPool2d}


@dataclass(frozen=True)
class ResNet2D:
    """Residual network of 2-D convolutions with batch normalisation, global pooling and one linear layer.

    Source: He et al. 2016, arXiv:1512.03385, as MONAI has it: a stem that halves the image, and halves it once more by pooling.

    depth: 10, 18 or 34. widths: channels of the four layers, each at least 1.
    pooling: mean or max over what is left of the image; a lesion of a few pixels stands out in a maximum and drowns in a mean.
    stem: edge of the first convolution's kernel in pixels, odd, at least 1. classes: logits, at least 1; a single one is for class 1 against class 0.
    channels: of the image, such as 3 colours; told by the stem's weights, so no field of the identity.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    depth: int = 18
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    pooling: str = "mean"
    stem: int = 7
    classes: int = 1
    channels: int = field(default=1, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        one_of("depth", self.depth, tuple(LAYERS))
        one_of("pooling", self.pooling, tuple(POOLINGS))
        numbers("widths", self.widths, 4)
        for name in ("stem", "classes", "channels"):
            if getattr(self, name) < 1:
                msg = f"{name}: found {getattr(self, name)}, expected at least 1"
                raise ValueError(msg)
        if self.stem % 2 == 0:
            msg = f"stem: found {self.stem}, expected an odd number of pixels"
            raise ValueError(msg)

    def build(self) -> nn.Module:
        """Image (n, channels, H, W) to logits (n, classes); any size from 1 pixel up."""
        from monai.networks.nets.resnet import ResNet as MonaiResNet

        network: nn.Module = MonaiResNet(
            "basic",
            list(LAYERS[self.depth]),
            list(self.widths),
            spatial_dims=2,
            n_input_channels=self.channels,
            conv1_t_size=self.stem,
            conv1_t_stride=2,
            num_classes=self.classes,
        )
        network.avgpool = POOLINGS[self.pooling](1)
        return network


@dataclass(frozen=True)
class DenseNet2D:
    """Densely connected network of 2-D convolutions with batch normalisation, global pooling and one linear layer.

    Source: Huang et al. 2017, arXiv:1608.06993, as MONAI has it; the published DenseNet-121 has 64 features, growth 32 and blocks of 6, 12, 24, 16.

    features: channels of the stem, at least 1. growth: channels that a layer adds, at least 1. blocks: layers of each block, each at least 1.
    pooling: mean or max over what is left of the image. classes: logits, at least 1; a single one is for class 1 against class 0.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    features: int = 64
    growth: int = 32
    blocks: tuple[int, ...] = (6, 12, 24, 16)
    pooling: str = "mean"
    classes: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(self.blocks))
        one_of("pooling", self.pooling, tuple(POOLINGS))
        numbers("blocks", self.blocks, len(self.blocks) or 1)
        for name in ("features", "growth", "classes"):
            if getattr(self, name) < 1:
                msg = f"{name}: found {getattr(self, name)}, expected at least 1"
                raise ValueError(msg)

    def build(self) -> nn.Module:
        """Image (n, 1, H, W) to logits (n, classes); H and W at least 2 ** (blocks + 1) pixels."""
        from monai.networks.nets.densenet import DenseNet

        network: nn.Module = DenseNet(
            spatial_dims=2,
            in_channels=1,
            out_channels=self.classes,
            init_features=self.features,
            growth_rate=self.growth,
            block_config=self.blocks,
        )
        network.get_submodule("class_layers").register_module("pool", POOLINGS[self.pooling](1))
        return network


def one_of(name: str, value: object, known: Sequence[object]) -> None:
    """Raise ValueError for a value that is not known."""
    if value not in known:
        msg = f"{name}: found {value!r}, expected one of {', '.join(map(str, known))}"
        raise ValueError(msg)


def numbers(name: str, values: Sequence[int], count: int) -> None:
    """Raise ValueError unless there are `count` numbers, each at least 1."""
    if len(values) != count or min(values) < 1:
        msg = f"{name}: found {list(values)}, expected {count} numbers, each at least 1"
        raise ValueError(msg)
