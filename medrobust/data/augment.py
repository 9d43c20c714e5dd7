"""Changes of a batch for training: new sampling masks, mirrored or shifted anatomy, other gains and noise."""

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


def flipped(image: Tensor, axes: tuple[int, ...], rng: CaseRandom) -> Tensor:
    """Each volume (n, c, *space) mirrored along each of the spatial `axes`, counted from 0, with probability one half."""
    for axis, chosen in zip(axes, rng.integers(0, 2, len(axes)).T, strict=True):
        flip = (chosen == 1).view(-1, *[1] * (image.ndim - 1))
        image = torch.where(flip, image.flip(axis + 2), image)
    return image


def shifted(image: Tensor, most: int, rng: CaseRandom) -> Tensor:
    """Each volume (n, c, *space) moved by up to `most` whole voxels along each axis; what comes in is 0."""
    space = image.shape[2:]
    moved = torch.zeros_like(image)
    for one, out, steps in zip(image, moved, rng.integers(-most, most + 1, len(space)).tolist(), strict=True):
        source = tuple(slice(max(-step, 0), max(size - max(step, 0), 0)) for step, size in zip(steps, space, strict=True))
        place = tuple(slice(max(step, 0), max(size - max(-step, 0), 0)) for step, size in zip(steps, space, strict=True))
        out[(slice(None), *place)] = one[(slice(None), *source)]
    return moved


def rescaled(image: Tensor, gain: float, offset: float, noise: float, rng: CaseRandom) -> Tensor:
    """Each sequence (n, c, *space) times U(1 - gain, 1 + gain), plus U(-offset, offset), plus N(0, noise) a voxel; 0 stays 0, nothing goes below."""
    channels = (image.shape[1], *[1] * (image.ndim - 2))
    varied = image * rng.uniform(1 - gain, 1 + gain, *channels) + rng.uniform(-offset, offset, *channels)
    if noise:
        varied = varied + noise * rng.normal(*image.shape[1:])
    return varied.clamp_min(0) * (image > 0)
