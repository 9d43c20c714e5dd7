"""Analytic mammograms, half of them with a bright mass, and a classifier that looks for it: the 2-D test bench of task `classification`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from medrobust.types import Attacked, Batch, Case, Outcome

CASES = tuple(Case(f"image{row}", f"patient{row}", f"image{row}") for row in range(4))
LEAST = 32


@dataclass(frozen=True)
class MammogramData:
    """Four breasts of four patients, chest wall on the left, air at -1: the second and the last have a mass and are cancerous (class 1).

    size: height and width in pixels, a multiple of 4, at least 32.
    """

    task: ClassVar[str] = "classification"
    size: int = 32

    @property
    def digest(self) -> str:
        return "bench3333333"

    @property
    def label(self) -> str:
        return f"bench: analytic mammograms, {self.size}x{self.size}"

    def cases(self, split: str) -> Sequence[Case]:  # noqa: ARG002 - every split holds the same four
        return CASES

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named cases: image (n, 1, H, W) in [-1, 1], truth (n,), and the context's lesion, outlined and breast."""
        rows = [CASES.index(case) for case in cases]
        image, lesion, breast = (torch.stack(parts) for parts in zip(*(mammogram(row, self.size) for row in rows), strict=True))
        outlined = torch.ones(len(rows), dtype=torch.bool)
        truth = torch.tensor([row % 2 for row in rows])
        return Batch(image, truth, tuple(cases), {"lesion": lesion, "outlined": outlined, "breast": breast})


def mammogram(row: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Case `row`: image from -1 to 1, and masks of mass and breast; (1, size, size) float32 each."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(0, 1, size), indexing="ij")
    breast = ((x / (0.7 + 0.03 * row)).square() + (y / 0.85).square() < 1).float()
    texture = 0.5 + 0.08 * torch.sin((7 + row) * x + 5 * y) * torch.cos(6 * y) + 0.04 * torch.sin(17 * x + 11 * y + row)
    lesion = ((x - 0.3 - 0.02 * row).square() + (y / 2 - 0.05 * row + 0.1).square() < 0.11**2).float() * (row % 2)
    image = breast * (texture + 0.35 * lesion)
    return (2 * image / image.max() - 1)[None], lesion[None], breast[None]


class MassReader(nn.Module):
    """Images (n, 1, H, W) to one logit (n, 1): the brighter the brightest against the mean, the higher; dropout would show."""

    def __init__(self) -> None:
        super().__init__()
        self.smooth = nn.Conv2d(1, 1, 3, padding=1, padding_mode="replicate")
        self.normalisation = nn.BatchNorm2d(1)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(2, 1)
        with torch.no_grad():
            self.smooth.weight.fill_(1 / 9)
            self.smooth.bias.zero_()  # type: ignore[union-attr]
            self.head.weight.copy_(torch.tensor([[6.0, -2.0]]))
            self.head.bias.fill_(-4.0)

    def forward(self, image: Tensor) -> Tensor:
        features = self.normalisation(self.smooth(image))
        output: Tensor = self.head(self.dropout(torch.cat([features.amax((2, 3)), features.mean((2, 3))], 1)))
        return output


def tampered_outcome(batch: Batch, fade: float, *, changed: bool, outlined: bool) -> Outcome:
    """The batch answered with a certainty that fades, to .5 at 1.

    changed: a mass was dimmed and a bright square put into the middle of each image. outlined: lesions keep their outlines; else all are empty.
    """
    if not outlined:
        batch = batch.with_context(lesion=torch.zeros_like(batch.context["lesion"]), outlined=torch.zeros_like(batch.context["outlined"]))
    image = batch.image.clone()
    if changed:
        middle = image.shape[-1] // 2
        image = image - 0.3 * batch.context["lesion"]
        image[:, :, middle : middle + 3, middle - 8 : middle - 5] += 0.2
    answer = 0.5 + (2 * batch.truth - 1) * 0.47 * (1 - fade)
    return Outcome(batch, Attacked(image.clamp(-1, 1)), answer[:, None])
