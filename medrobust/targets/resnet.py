"""The 3-D ResNet, through MONAI: the classifier that the relevance-map papers explain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

LAYERS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks of each of the four layers; depth 50 has bottleneck blocks, the others basic ones."""


@dataclass(frozen=True)
class ResNet:
    """Residual network of 3-D convolutions with batch normalisation, global average pooling and one linear layer.

    Source: Hara et al. 2018, arXiv:1711.09577, as MONAI has it; ResNet-50 at 128^3 with four sequences is the classifier of Rajapaksa and
    Khalvati 2022, doi:10.3389/fradi.2022.1061402.

    depth: 10, 18, 34 or 50.
    widths: channels of the four layers, each at least 1; a bottleneck block of depth 50 puts out 4 times as many.
    stem: edge of the first convolution's kernel in voxels, odd, at least 1.
    stem_stride: stride of the first convolution, at least 1.
    max_pool: halve the volume once more after the first convolution.
    shortcut: A (subsampled and padded with zeros; no gradient flows through) or B (1x1x1 convolution), where a block changes the shape.
    channels: sequences of a volume, at least 1.
    classes: logits, at least 1; a single one is for class 1 against class 0.
    standardised: the linear layer standardises the pooled features first, in evaluation by kept statistics; not published, it lets few cases suffice.
    """

    task: ClassVar[str] = "classification"
    depth: int = 50
    widths: tuple[int, int, int, int] = (64, 128, 256, 512)
    stem: int = 7
    stem_stride: int = 1
    max_pool: bool = True
    shortcut: str = "B"
    channels: int = 4
    classes: int = 1
    standardised: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        for name, allowed in (("depth", tuple(LAYERS)), ("shortcut", ("A", "B"))):
            if getattr(self, name) not in allowed:
                msg = f"{name}: found {getattr(self, name)!r}, expected one of {', '.join(map(str, allowed))}"
                raise ValueError(msg)
        if len(self.widths) != 4 or min(self.widths) < 1:
            msg = f"widths: found {list(self.widths)}, expected four numbers of channels, each at least 1"
            raise ValueError(msg)
        for name in ("stem", "stem_stride", "channels", "classes"):
            if getattr(self, name) < 1:
                msg = f"{name}: found {getattr(self, name)}, expected at least 1"
                raise ValueError(msg)
        if self.stem % 2 == 0:
            msg = f"stem: found {self.stem}, expected an odd number of voxels"
            raise ValueError(msg)

    def build(self) -> nn.Module:
        """Volume (n, channels, D, H, W) to logits (n, classes); any size from 1 voxel up."""
        from monai.networks.nets.resnet import ResNet as MonaiResNet

        from medrobust.targets.networks.convolution import with_fast_convolutions
        from medrobust.targets.networks.standardised import StandardisedLinear

        network = MonaiResNet(
            "bottleneck" if self.depth == 50 else "basic",
            list(LAYERS[self.depth]),
            list(self.widths),
            n_input_channels=self.channels,
            conv1_t_size=self.stem,
            conv1_t_stride=self.stem_stride,
            no_max_pool=not self.max_pool,
            shortcut_type=self.shortcut,
            num_classes=self.classes,
        )
        if self.standardised:
            network.fc = StandardisedLinear(network.fc.in_features, self.classes)
        return with_fast_convolutions(network)
