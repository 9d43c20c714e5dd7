"""Analytic CT slices with two organs, and a segmenter that tells them by their density: the test bench of task `segmentation`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from medrobust.types import Attacked, Batch, Case, Outcome

CASES = tuple(Case(f"slice{volume}#{index:03d}", f"patient{volume}", f"slice{volume}") for volume in range(2) for index in range(2))
ORGANS = ("pancreas", "kidneys", "liver", "spleen")
HU = (-100.0, 20.0, 80.0, 140.0, 200.0)
"""Density of what is no organ, and of each organ."""

PLACES = ((-0.35, -0.3, 0.22), (0.45, -0.35, 0.24), (-0.3, 0.4, 0.3), (0.4, 0.45, 0.2))
"""Row, column and radius of each organ, of a half slice."""


@dataclass(frozen=True)
class SliceData:
    """Four slices of two patients, each with four round organs of their own density in fat.

    size: height and width in pixels, at least 16.
    """

    task: ClassVar[str] = "segmentation"
    size: int = 32

    @property
    def digest(self) -> str:
        return "bench2222222"

    @property
    def label(self) -> str:
        return f"bench: analytic slices, {self.size}x{self.size}"

    @property
    def organs(self) -> tuple[str, ...]:
        return ORGANS

    def cases(self, split: str) -> Sequence[Case]:  # noqa: ARG002 - every split holds the same four
        return CASES

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named cases: image (n, 1, H, W) in HU, truth (n, 1, H, W), and the context's mean, std and spacing."""
        rows = [CASES.index(case) for case in cases]
        images, truths = zip(*(section(row, self.size) for row in rows), strict=True)
        n = len(rows)
        context = {"mean": torch.zeros(n), "std": torch.full((n,), 120.0), "spacing": torch.tensor([[3.0, 2.0]]).repeat(n, 1)}
        return Batch(torch.stack(images), torch.stack(truths), tuple(cases), context)


def section(row: int, size: int) -> tuple[Tensor, Tensor]:
    """Case `row`: image (1, size, size) in HU with a fine texture, labels (1, size, size)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    labels = torch.zeros(size, size, dtype=torch.int64)
    for label, (top, left, radius) in enumerate(PLACES, 1):
        labels[(y - top - 0.03 * row).square() + (x - left + 0.04 * row).square() < radius**2] = label
    texture = 6 * torch.sin((9 + row) * x + 4 * y) * torch.cos(7 * y)
    return (torch.tensor(HU)[labels] + texture)[None], labels[None]


class Densities(nn.Module):
    """Slices (n, 1, H, W) in standard deviations of 120 HU to logits (n, 5, H, W): the nearer an organ's density, the higher; dropout would show."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate")
        self.normalisation = nn.BatchNorm2d(1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Conv2d(1, len(HU), 1)
        with torch.no_grad():
            self.smooth.weight.fill_(0.05)
            self.smooth.weight[0, 0, 1, 1] = 0.6
            self.smooth.bias.zero_()  # type: ignore[union-attr]
            # -(x - m)^2 / 2w^2 less its square term, which all classes share
            middle, width = torch.tensor(HU) / 120, 0.15
            self.head.weight.copy_((middle / width**2).view(-1, 1, 1, 1))
            self.head.bias.copy_(-middle.square() / (2 * width**2))  # type: ignore[union-attr]

    def forward(self, z_score: Tensor) -> Tensor:
        output: Tensor = self.head(self.dropout(self.normalisation(self.smooth(z_score))))
        return output


def segmented_outcome(batch: Batch, fade: float, *, moved: bool, organs: bool) -> Outcome:
    """The batch answered in part: the last share `fade` of each organ's rows is not found.

    moved: the slices were shifted by a pixel, and the truth with them. organs: slices keep their organs; else there is none.
    """
    if not organs:
        batch = Batch(batch.image, torch.zeros_like(batch.truth), batch.cases, batch.context)
    attacked = Attacked(batch.image.clone())
    if moved:
        field = torch.zeros(len(batch), 2, *batch.image.shape[2:])
        field[:, 0] = 1
        index = torch.arange(batch.image.shape[2]).add(1).clamp_max(batch.image.shape[2] - 1)
        attacked = Attacked(batch.image[:, :, index] + 5, batch.truth[:, :, index], field=field)
    truth = batch.truth if attacked.truth is None else attacked.truth
    found = torch.stack([torch.stack([faded(labels[0], fade)]) for labels in truth])
    logs = torch.where(nn.functional.one_hot(found[:, 0], len(HU)).movedim(-1, 1) > 0, -0.1, -4.0)
    return Outcome(batch, attacked, logs)


def faded(labels: Tensor, fade: float) -> Tensor:
    """Labels (H, W) with the last rows of each organ taken away, a share `fade` of its rows."""
    kept = labels.clone()
    for label in range(1, len(HU)):
        rows = (labels == label).any(1).nonzero().flatten().tolist()
        for row in rows[len(rows) - round(fade * len(rows)) :]:
            kept[row][labels[row] == label] = 0
    return kept
