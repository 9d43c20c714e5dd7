"""Changes of a batch for training: new sampling masks and mirrored anatomy."""

from __future__ import annotations

import torch
from torch import Tensor

from medrobust.imaging.masks import RandomMask
from medrobust.randomness import CaseRandom
from medrobust.types import Batch


def redraw_masks(batch: Batch, rules: tuple[tuple[float, float], ...], rng: CaseRandom) -> Batch:
    """A fresh mask for each slice, of a rule (acceleration, centre fraction) drawn uniformly."""
    picked, seeds = rng.integers(0, len(rules)), rng.integers(0, 999_999_999)
    width = batch.image.shape[-1]
    masks = [RandomMask(*rules[int(rule)]).draw(width, int(seed)) for rule, seed in zip(picked, seeds, strict=True)]
    return batch.with_context(mask=torch.stack(masks), nominal=torch.tensor([rules[int(rule)] for rule in picked]))


def band(batch: Batch, rows: int, rng: CaseRandom) -> Batch:
    """A random band of `rows` rows of each slice. Masks leave out columns, so the measurement of a band is exactly the band of the measurement."""
    starts = rng.integers(0, batch.image.shape[-2] - rows + 1)

    def cut(maps: Tensor) -> Tensor:
        return torch.stack([one[:, int(start) : int(start) + rows] for one, start in zip(maps, starts, strict=True)])

    image = cut(batch.image)
    return Batch(image, image, batch.cases, {**batch.context, "phase": cut(batch.context["phase"])})


def mirror(batch: Batch, rng: CaseRandom) -> Batch:
    """Each slice mirrored left to right with probability one half; boxes are dropped."""
    flip = (rng.integers(0, 2) == 1).view(-1, 1, 1, 1)
    image = torch.where(flip, batch.image.flip(-1), batch.image)
    phase = torch.where(flip, batch.context["phase"].flip(-1), batch.context["phase"])
    context = {**batch.context, "phase": phase}
    context.pop("boxes", None)
    return Batch(image, image, batch.cases, context)
