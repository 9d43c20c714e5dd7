"""Training a segmenter on patches of slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Target


@dataclass(frozen=True)
class Patches:
    """Name the organ of every pixel of patches, which are shown brighter or darker and with noise.

    Source: trained on patches as in Chen et al. 2019, arXiv:1909.11167, section 3, which gives neither their size nor the loss; cross-entropy and
    soft Dice together as in Isensee et al. 2021, doi:10.1038/s41592-020-01008-z.

    size: edge of a patch in pixels, at least 16; a smaller slice is taken whole.
    centred: share of the patches whose middle is a pixel of some organ, each organ as likely as another; the others lie anywhere. In [0, 1].
    dice: weight of the soft Dice loss over the organs of a batch, beside the cross-entropy, at least 0.
    gain: a patch's z-scores are multiplied by U(1 - gain, 1 + gain); in [0, 1). offset: U(-offset, offset) HU is added, at least 0.
    noise: largest standard deviation in HU of what is added to a pixel; drawn for each patch, at least 0.
    """

    size: int = 96
    centred: float = 0.5
    dice: float = 1.0
    gain: float = 0.05
    offset: float = 15.0
    noise: float = 10.0

    def __post_init__(self) -> None:
        limits = {"size": (16, None), "centred": (0, 1.0), "dice": (0, None), "gain": (0, 1.0), "offset": (0, None), "noise": (0, None)}
        for name, (least, below) in limits.items():
            value = getattr(self, name)
            if not least <= value < float("inf") or (below is not None and value > below):
                msg = f"{name}: found {value}, expected a finite number, at least {least}" + (f" and at most {below:g}" if below else "")
                raise ValueError(msg)

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The loss of one patch of each slice."""
        patches = self.varied(self.cut(batch, rng), rng)
        yield self.of(target(patches.image, patches), patches)

    def of(self, logs: Tensor, patches: Batch) -> Tensor:
        """The loss of an answer, log-probabilities (n, k + 1, H, W), a scalar."""
        loss = -logs.gather(1, patches.truth).mean()
        return loss + self.dice * soft_dice_loss(logs, patches.truth) if self.dice else loss

    def cut(self, batch: Batch, rng: CaseRandom) -> Batch:
        """One patch of each slice."""
        height, width = (min(self.size, length) for length in batch.image.shape[-2:])
        draws = rng.uniform(0, 1, 5).tolist()
        corners = [self._corner(truth[0], (height, width), each) for truth, each in zip(batch.truth, draws, strict=True)]
        image, truth = (
            torch.stack([slices[row, :, top : top + height, left : left + width] for row, (top, left) in enumerate(corners)])
            for slices in (batch.image, batch.truth)
        )
        return Batch(image, truth, batch.cases, batch.context)

    def varied(self, batch: Batch, rng: CaseRandom) -> Batch:
        """The patches with another gain, offset and noise each."""
        image, middle = batch.image, batch.context["mean"].view(-1, 1, 1, 1)
        gain, offset, noise = (
            rng.uniform(low, high, 1, 1, 1).to(image)
            for low, high in ((1 - self.gain, 1 + self.gain), (-self.offset, self.offset), (0.0, self.noise))
        )
        grain = noise * rng.normal(*image.shape[1:]).to(image) if self.noise else 0.0
        return Batch(middle + gain * (image - middle) + offset + grain, batch.truth, batch.cases, batch.context)

    def _corner(self, truth: Tensor, shape: tuple[int, int], draws: list[float]) -> tuple[int, int]:
        """First row and column of a patch of `shape`, by five numbers drawn from [0, 1)."""
        about, organ, which, *place = draws
        room = [int(length) - edge for length, edge in zip(truth.shape, shape, strict=True)]
        shown = torch.unique(truth[truth > 0])
        if about < self.centred and len(shown):
            pixels = (truth == shown[int(organ * len(shown))]).nonzero()
            middle = pixels[int(which * len(pixels))].tolist()
            top, left = (min(max(at - edge // 2, 0), most) for at, edge, most in zip(middle, shape, room, strict=True))
        else:
            top, left = (int(share * (most + 1)) for share, most in zip(place, room, strict=True))
        return top, left


def soft_dice_loss(logs: Tensor, truth: Tensor) -> Tensor:
    """1 - mean over the organs of the soft Dice of a whole batch; logs: log-probabilities (n, k + 1, H, W), truth (n, 1, H, W)."""
    from monai.losses.dice import DiceLoss

    # a softmax of log-probabilities is the probabilities themselves
    loss: Tensor = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)(logs, truth)
    return loss
