"""Tiny volumes with a tumour, and a classifier that looks at it: the test bench of task `classification`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from medrobust.types import Batch, Case

CASES = tuple(Case(f"volume{row}", f"volume{row}", f"volume{row}") for row in range(4))


@dataclass(frozen=True)
class VolumeData:
    """Four heads of four patients in four sequences, each with one tumour: of high grade (class 1) where it has a bright rim in the second.

    size: edge in voxels, at least 12.
    """

    task: ClassVar[str] = "classification"
    size: int = 16

    @property
    def digest(self) -> str:
        return "bench1111111"

    @property
    def label(self) -> str:
        return f"bench: analytic heads, {self.size}x{self.size}x{self.size}"

    def cases(self, split: str) -> Sequence[Case]:  # noqa: ARG002 - every split holds the same four
        return CASES

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named cases: image (n, 4, D, H, W) in [0, 1], truth (n,), and the context's tumour, brain and lost fraction."""
        rows = [CASES.index(case) for case in cases]
        volumes = [volume(row, self.size) for row in rows]
        tumour, brain = (torch.stack([parts[i] for parts in volumes]) for i in (1, 2))
        truth = torch.tensor([grade(row) for row in rows])
        return Batch(
            torch.stack([parts[0] for parts in volumes]), truth, tuple(cases), {"tumour": tumour, "brain": brain, "lost": torch.zeros(len(rows))}
        )


def grade(row: int) -> int:
    return (row + 1) % 2


def volume(row: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Case `row`: image (4, size, size, size), each sequence from 0 to 1; tumour and brain (1, size, size, size)."""
    z, y, x = torch.meshgrid(*[torch.linspace(-1, 1, size)] * 3, indexing="ij")
    brain = (z / 0.9).square() + (y / 0.95).square() + (x / 0.8).square() < 1
    distance = ((z - 0.1 * row + 0.1).square() + (y + 0.2).square() + (x - 0.3 + 0.15 * row).square()).sqrt()
    tumour, core = distance < 0.42, distance < 0.25
    texture = 0.05 * torch.sin((5 + row) * x + 3 * y) * torch.cos(4 * z)
    sequences = []
    for base, inside in ((0.6, -0.2), (0.55, -0.15), (0.4, 0.4), (0.45, 0.35)):
        sequences.append((base + texture) * brain + inside * tumour)
    if grade(row):
        sequences[1] = sequences[1] + 0.5 * (tumour & ~core)
    image = torch.stack([sequence.clamp_min(0) / sequence.max() for sequence in sequences])
    return image.float(), tumour[None], brain[None]


class Reader(nn.Module):
    """Volumes (n, 4, D, H, W) to one logit (n, 1): the more rim, the higher; dropout would show if it were switched on."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv3d(4, 2, 3, padding=1)
        self.normalisation = nn.BatchNorm3d(2)
        self.layer4 = nn.ReLU()  # the name under which class activation maps look for the last features
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(2, 1)
        with torch.no_grad():
            self.convolution.weight.zero_()
            self.convolution.weight[0, :, 1, 1, 1] = torch.tensor([-1.0, 1.0, 0.0, 0.0])
            self.convolution.weight[1] = torch.tensor([0.2, 0.1, 1.0, -0.4])[:, None, None, None] / 27
            self.convolution.bias.copy_(torch.tensor([-0.1, 0.0]))  # type: ignore[union-attr]
            self.head.weight.copy_(torch.tensor([[400.0, -2.0]]))
            self.head.bias.fill_(-1.0)

    def forward(self, image: Tensor) -> Tensor:
        features = self.layer4(self.normalisation(self.convolution(image)))
        output: Tensor = self.head(self.dropout(features.mean((2, 3, 4))))
        return output
