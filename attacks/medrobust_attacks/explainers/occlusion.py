"""Occlusion: how far the predicted class falls when a cube of the volume is covered."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.asking import ask, at_once, predicted, probability
from medrobust_attacks.fnaf.finite_differences import at_least

Cube = tuple[slice, ...]


@dataclass(frozen=True)
class Occlusion:
    """Cover one cube after the other in every sequence, and give a voxel the mean fall in the probability of the predicted class over its cubes.

    Source: Zeiler & Fergus 2014, arXiv:1311.2901, section 4.2, with overlapping cubes averaged as captum does. A cube that covers nothing but
    its own value is not asked about.

    size: edge of a cube in voxels, at least 1; cubes end at the volume's border.
    stride: voxels from one cube to the next, at least 1 and at most `size`.
    value: intensity of a covered voxel.
    chunk: volumes built at once, at least 1; changes nothing but memory.
    """

    threat: ClassVar[str] = "black-box"
    size: int = 16
    stride: int = 8
    value: float = 0.0
    chunk: int = field(default=8, compare=False)

    def __post_init__(self) -> None:
        at_least((("size", self.size, 1), ("stride", self.stride, 1), ("chunk", self.chunk, 1)))
        if self.stride > self.size:
            msg = f"stride: found {self.stride}, expected at most the cube's edge of {self.size} voxels, so that every voxel is covered"
            raise ValueError(msg)

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - nothing here is drawn
        """Explain every case by itself, `chunk` cubes at a time."""
        cubes = list(product(*(windows(length, self.size, self.stride) for length in batch.image.shape[2:])))
        return Explained(torch.stack([self._map(target, batch, case, cubes) for case in range(len(batch))]))

    def _map(self, target: Target, batch: Batch, case: int, cubes: list[Cube]) -> Tensor:
        image, size = batch.image[case], at_once(target, self.chunk)
        clean = ask(target, batch, case, image[None])
        label = predicted(clean)
        total, covers = torch.zeros_like(image[0]), torch.zeros_like(image[0])
        for cube in cubes:
            covers[cube] += 1
        asked = [cube for cube in cubes if bool((image[:, *cube] != self.value).any())]
        images = image.repeat(size, *[1] * image.ndim)
        for start in range(0, len(asked), size):
            some = asked[start : start + size]
            for version, cube in zip(images, some, strict=False):
                version[:, *cube] = self.value
            falls = probability(clean, label) - probability(ask(target, batch, case, images[: len(some)]), label)
            for version, cube, fall in zip(images, some, falls, strict=False):
                total[cube] += fall
                version[:, *cube] = image[:, *cube]
        return total / covers


def windows(length: int, size: int, stride: int) -> list[slice]:
    """Stretches of `size` voxels that begin every `stride` voxels and cover `length`; the last may be shorter."""
    return [slice(start, start + size) for start in range(0, stride * math.ceil(max(0, length - size) / stride) + 1, stride)]
