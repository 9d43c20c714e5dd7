"""The false-negative adversarial feature: a small random walk of bright pixels, added to the fully sampled image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from medrobust.imaging.kspace import standardise, undersample, with_phase
from medrobust.types import Batch

REFERENCE_PIXELS = 320 * 320
"""Losses are sums of squares over this many pixels, whatever the image's size, so that the paper's thresholds apply."""


@dataclass(frozen=True)
class Feature:
    """n features, one an image.

    delta: intensity added, (n, 1, H, W), in the image's units; a pixel visited twice keeps its last value.
    support: the pixels visited, (n, 1, H, W) bool.
    start: row and column where the walk begins, (n, 2).
    """

    delta: Tensor
    support: Tensor
    start: Tensor


def walk(start: Tensor, moves: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Pixels visited by a 4-neighbour walk that is clipped to the box from `low` to `high`, (2,) row and column each, (n, steps, 2).

    start: (n, 2) row and column. moves: (n, steps - 1) in 0..3: down, up, right, left.

    Source: feature generator of Cheng et al., MIDL 2020.
    """
    directions = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])
    positions = [inside(start, low, high)]
    for step in directions[moves].unbind(1):
        positions.append(inside(positions[-1] + step, low, high))
    return torch.stack(positions, 1)


def inside(positions: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`positions` (..., 2) moved to the nearest pixel of the box."""
    return torch.maximum(torch.minimum(positions, high), low)


def render(positions: Tensor, values: Tensor, height: int, width: int, count: Tensor | None = None) -> Feature:
    """Draw walks on empty images.

    positions: (n, steps, 2). values: (n, steps) in the image's units. count: steps of each walk that are taken, (n,); all where None.
    """
    n, steps = values.shape
    order = torch.arange(1, steps + 1).expand(n, steps)
    if count is not None:
        order = order * (order <= count[:, None])
    flat = positions[..., 0] * width + positions[..., 1]
    last = torch.zeros(n, height * width, dtype=torch.long).scatter_reduce(1, flat, order, "amax")
    kept = (order == last.gather(1, flat)) & (order > 0)
    drawn = torch.zeros(n, height * width, dtype=values.dtype).scatter_add(1, flat, values * kept)
    shape = (n, 1, height, width)
    return Feature(drawn.view(shape), (last > 0).view(shape), positions[:, 0])


def region_of(support: Tensor) -> Tensor:
    """The feature and its ring of 4-neighbours, (n, 1, H, W) bool, each image by itself.

    The released code computes the ring over the stacked batch and keeps its largest component, which loses most of it; this does not.
    """
    region = support.clone()
    region[..., 1:, :] |= support[..., :-1, :]
    region[..., :-1, :] |= support[..., 1:, :]
    region[..., :, 1:] |= support[..., :, :-1]
    region[..., :, :-1] |= support[..., :, 1:]
    return region


def input_scale(image: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the zero-filled magnitude of `image`, the unit of the adversarial loss, (n, 1, 1, 1) each."""
    return standardise(undersample(with_phase(image, batch.context["phase"]), batch.context["mask"]).abs())


def feature_loss(prediction: Tensor, image: Tensor, region: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
    """Squared error inside the region over the reference image's 102,400 pixels, in input standard deviations, (n,).

    Source: Cheng et al., MIDL 2020: a feature counts as erased at 1e-3 or more. Target and output are clamped to +-6 as there.
    """
    mean, std = scale
    error = ((prediction - mean) / std).clamp(-6, 6) - ((image - mean) / std).clamp(-6, 6)
    return (error * region).square().flatten(1).sum(1) / REFERENCE_PIXELS


def information_loss(image: Tensor, clean: Tensor, batch: Batch) -> Tensor:
    """How much of the feature the measurement still holds, D(x_zf(x + delta), x_zf(x)), (n,).

    Squared difference of the two zero-filled magnitudes over 102,400 pixels, both in the clean one's standard deviations; the measurement preserves
    the feature at 1e-4 or more. Source: Cheng et al., MIDL 2020, information preservation.
    """
    phase, mask = batch.context["phase"], batch.context["mask"]
    before = undersample(with_phase(clean, phase), mask).abs()
    after = undersample(with_phase(image, phase), mask).abs()
    _, std = standardise(before)
    return ((after - before) / std).square().flatten(1).sum(1) / REFERENCE_PIXELS


def components_connected(support: Tensor) -> Tensor:
    """Whether each image's support is one 4-connected piece, (n,) bool; an empty one is."""
    reached = torch.zeros_like(support)
    flat = support.flatten(1)
    first = flat.to(torch.uint8).argmax(1)
    reached.view(len(support), -1)[torch.arange(len(support)), first] = flat.any(1)
    for _ in range(int(flat.sum(1).max()) if len(support) else 0):
        reached = region_of(reached) & support
    return (reached == support).flatten(1).all(1)


def patch(maps: Tensor, centre: Tensor, radius: int) -> Tensor:
    """Windows of side 2 radius + 1 around `centre` (n, 2) of maps (n, 1, H, W), zero outside, (n, side, side)."""
    padded = pad(maps[:, 0], (radius, radius, radius, radius))
    side = torch.arange(2 * radius + 1, device=centre.device)
    rows, columns = centre[:, :1] + side, centre[:, 1:] + side
    return padded[torch.arange(len(maps), device=centre.device)[:, None, None], rows[:, :, None], columns[:, None, :]]
