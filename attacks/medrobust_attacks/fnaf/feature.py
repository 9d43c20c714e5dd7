"""The false-negative adversarial feature: a small random walk of bright pixels, added to the fully sampled image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from medrobust.imaging.kspace import standardise, undersample, with_phase
from medrobust.types import Batch

REFERENCE_PIXELS = 320 * 320
"""Losses are sums of squares over this many pixels, whatever the image's size, so that the paper's thresholds apply."""


CROSS = torch.tensor([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])


@dataclass(frozen=True)
class Feature:
    """Walks drawn on images, (...) of them; its tensors live on the CPU.

    positions: row and column of the pixels visited, (..., steps, 2).
    values: intensity added to each, (..., steps), in the image's units; one pixel has one value, however often it is visited.
    height, width: of the images, in pixels.
    """

    positions: Tensor
    values: Tensor
    height: int
    width: int

    @classmethod
    def stack(cls, features: Sequence[Feature]) -> Feature:
        """Features of the same n images side by side, (n, len(features))."""
        positions, values = (torch.stack(each, 1) for each in zip(*[(one.positions, one.values) for one in features], strict=True))
        return cls(positions, values, features[0].height, features[0].width)

    def __getitem__(self, index: slice | tuple[Tensor, ...]) -> Feature:
        return Feature(self.positions[index], self.values[index], self.height, self.width)

    def flatten(self) -> Feature:
        """(n, trials) features as (n * trials,), those of one image beside each other."""
        return Feature(self.positions.flatten(0, 1), self.values.flatten(0, 1), self.height, self.width)

    @property
    def start(self) -> Tensor:
        """Row and column where each walk begins, (..., 2)."""
        return self.positions[..., 0, :]

    @property
    def delta(self) -> Tensor:
        """Intensity added, (..., 1, H, W)."""
        return self.added_to(torch.zeros(*self.values.shape[:-1], 1, self.height, self.width, dtype=self.values.dtype))

    @property
    def support(self) -> Tensor:
        """The pixels visited, (..., 1, H, W) bool."""
        return self._marked(self.positions)

    @property
    def region(self) -> Tensor:
        """The pixels visited and their ring of 4-neighbours, `region_of(support)`, (..., 1, H, W) bool."""
        edge = torch.tensor([self.height - 1, self.width - 1])
        return self._marked(inside(self.positions[..., None, :] + CROSS, torch.zeros_like(edge), edge).flatten(-3, -2))

    def added_to(self, image: Tensor) -> Tensor:
        """`image` (..., 1, H, W) with the features."""
        flat, pixels = image.flatten(-3), self._pixels(self.positions).to(image.device)
        return flat.scatter(-1, pixels, flat.gather(-1, pixels) + self.values.to(flat)).view(image.shape)

    def window(self) -> tuple[Tensor, int, int]:
        """First row and column (..., 2), height and width of a part of each image that holds the region.

        As large as a walk of so many steps and its ring can become, whichever way it went, or as the image.
        """
        side = 2 * self.values.shape[-1] + 1
        size = torch.tensor([min(side, self.height), min(side, self.width)])
        corner = inside(self.start - side // 2, torch.zeros_like(size), torch.tensor([self.height, self.width]) - size)
        return corner, int(size[0]), int(size[1])

    def within(self, corner: Tensor, height: int, width: int) -> Feature:
        """The same features on the parts of the images that begin at `corner` (..., 2)."""
        return Feature(self.positions - corner[..., None, :], self.values, height, width)

    def _marked(self, positions: Tensor) -> Tensor:
        shape = positions.shape[:-2]
        empty = torch.zeros(*shape, self.height * self.width, dtype=torch.bool)
        return empty.scatter_(-1, self._pixels(positions), True).view(*shape, 1, self.height, self.width)

    def _pixels(self, positions: Tensor) -> Tensor:
        return positions[..., 0] * self.width + positions[..., 1]


def walk(start: Tensor, moves: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Pixels visited by a 4-neighbour walk that is clipped to the box from `low` to `high`, (2,) row and column each, (..., steps, 2).

    start: (..., 2) row and column. moves: (..., steps - 1) in 0..3: down, up, right, left.

    Source: feature generator of Cheng et al., MIDL 2020.
    """
    directions = torch.tensor([[1, 0], [-1, 0], [0, 1], [0, -1]])
    positions = [inside(start, low, high)]
    for step in directions[moves].unbind(-2):
        positions.append(inside(positions[-1] + step, low, high))
    return torch.stack(positions, -2)


def inside(positions: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """`positions` (..., 2) moved to the nearest pixel of the box."""
    return torch.maximum(torch.minimum(positions, high), low)


def render(positions: Tensor, values: Tensor, height: int, width: int, count: Tensor | None = None) -> Feature:
    """Features of walks, in which a pixel visited twice keeps its last value.

    positions: (..., steps, 2). values: (..., steps) in the image's units. count: steps that are taken of each, 1 or more, (...); all where None.
    """
    steps = values.shape[-1]
    if count is not None:
        taken = torch.minimum(torch.arange(steps), count[..., None] - 1)
        positions, values = positions.gather(-2, taken[..., None].expand_as(positions)), values.gather(-1, taken)
    pixels = positions[..., 0] * width + positions[..., 1]
    visits = (pixels * steps + torch.arange(steps)).sort(-1).values  # by pixel, then by time
    last = visits.gather(-1, torch.searchsorted(visits, (pixels + 1) * steps) - 1) % steps
    return Feature(positions, values.gather(-1, last), height, width)


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
