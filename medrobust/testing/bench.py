"""A tiny, fixed test bench: phantoms, a target, a budget and a data set of one task, made afresh at every call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medrobust.budgets import MaximumNorm, Norm
from medrobust.imaging.masks import RandomMask
from medrobust.randomness import CaseRandom, derive
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.targets.segmentation import SegmentationTarget
from medrobust.testing.mammograms import MammogramData, MassReader
from medrobust.testing.slices import Densities, SliceData
from medrobust.testing.volumes import Reader, VolumeData
from medrobust.types import Attacked, Batch, Budget, Case, Metric, Outcome, Target

CASES = tuple(Case(f"bench{volume}#{slice_:03d}", f"patient{volume}", f"bench{volume}") for volume in range(2) for slice_ in range(2))


@dataclass(frozen=True)
class Bench:
    """What a promise is checked on; a white field is the default.

    budget: what attacks are given.
    objective: the metric per case that an attack raises; None for `target.loss`.
    size: edge of the phantoms in pixels or voxels.
    task: of data and target, `reconstruction` (slices), `classification` (volumes of four sequences) or `segmentation` (CT slices).
    images: `mammograms` for classification of these; empty for the task's usual ones.
    """

    budget: Budget = MaximumNorm(0.1)
    objective: Metric | None = None
    size: int = 64
    task: str = "reconstruction"
    images: str = ""

    @classmethod
    def suited(cls, plugin: object, task: str = "reconstruction") -> Bench:
        """The default bench of the plugin's task, or of `task` where the plugin names none; that of reconstruction where the task has no bench.

        A plugin of its task's less usual images says so: `images: ClassVar[str] = "mammograms"`.
        """
        return cls(**SUITED.get(getattr(plugin, "images", "") or getattr(plugin, "task", task), {}))

    @classmethod
    def normed(cls, plugin: object) -> tuple[Bench, ...]:
        """One bench of each kind of images that a norm-bounded plugin is made for, with a budget that suits them: of all where it names neither."""
        task, images = getattr(plugin, "task", ""), getattr(plugin, "images", "")
        benches = {name: cls(**{**SUITED.get(name, {}), "budget": budget}) for name, budget in NORMED.items()}
        return tuple(bench for name, bench in benches.items() if (name == images if images else task in ("", bench.task)))

    def batch(self) -> Batch:
        """Four cases: slices of two patients with phase, 2x mask and lesions in [0, 1], volumes in [0, 1], CT slices in HU, mammograms in [-1, 1]."""
        data = self.data()
        return data.load(data.cases("test"))

    def target(self) -> BenchTarget:
        """A smoothing reconstructor or a rim reader in evaluation mode: dropout would show if it were switched on."""
        with torch.random.fork_rng(devices=()):
            return TARGETS[self.images or self.task]()

    def data(self) -> BenchSet:
        return DATA[self.images or self.task](self.size)

    def random(self, cases: Sequence[Case], seed: int = 0) -> CaseRandom:
        """One stream a case, the same wherever the case stands in a batch."""
        return CaseRandom.of([derive(seed, case.case) for case in cases])

    def judge(self, target: Target, batch: Batch, attacked: Attacked) -> Tensor:
        """The objective of what an attack returned, (n,)."""
        with torch.no_grad():
            seen = Outcome(batch, attacked, torch.empty(0)).attacked_batch
            if self.objective is None:
                return target.loss(attacked.image, seen)
            values = self.objective(Outcome(batch, attacked, target(attacked.image, seen)))
        return values if isinstance(values, Tensor) else values[""]


@dataclass(frozen=True)
class BenchData:
    """Analytic phantoms: a bright ellipse with texture and one small lesion; no randomness but the masks'.

    size: height and width in pixels.
    """

    task: ClassVar[str] = "reconstruction"
    size: int = 64

    @property
    def digest(self) -> str:
        return "bench0000000"

    @property
    def label(self) -> str:
        return f"bench: analytic phantoms, {self.size}x{self.size}"

    def cases(self, split: str) -> Sequence[Case]:  # noqa: ARG002 - every split holds the same four
        return CASES

    def load(self, cases: Sequence[Case]) -> Batch:
        """The named cases; the second lesion box of each is NaN, as is every box of the last case."""
        rows = [CASES.index(case) for case in cases]
        image = torch.stack([phantom(row, self.size) for row in rows])
        masks = torch.stack([RandomMask(2, 0.2).draw(self.size, seed=row) for row in rows])
        boxes = torch.full((len(rows), 2, 4), math.nan)
        for i, row in enumerate(rows):
            if row < len(CASES) - 1:
                boxes[i, 0] = torch.tensor([*lesion_corner(row, self.size), 6, 6])
        maximum = torch.stack([torch.stack([phantom(j, self.size).max() for j in (row // 2 * 2, row // 2 * 2 + 1)]).max() for row in rows])
        nominal = torch.tensor([[2.0, 0.2]]).repeat(len(rows), 1)
        angle = torch.linspace(-1, 1, self.size)
        phase = torch.stack([(0.3 * (row + 1) * angle[:, None] + 0.5 * angle[None, :] ** 2)[None] for row in rows])
        return Batch(image, image, tuple(cases), {"phase": phase, "mask": masks, "maximum": maximum, "boxes": boxes, "nominal": nominal})


def lesion_corner(row: int, size: int) -> tuple[int, int]:
    return size // 2 - 6 + row, size // 2 + 2 - row


def phantom(row: int, size: int) -> Tensor:
    """Case `row`, (1, size, size) in [0, 1]."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    inside = torch.sigmoid(40 * (0.75 - (x / (0.8 + 0.04 * row)).square() - (y / 0.95).square()))
    texture = 0.5 + 0.1 * torch.sin((5 + row) * x) * torch.cos(6 * y) + 0.04 * torch.sin(19 * x + 13 * y + row)
    image = inside * texture
    top, left = lesion_corner(row, size)
    image[top : top + 6, left : left + 6] += 0.2
    return image[None]


class Smoother(nn.Module):
    """Zero-filled complex (n, 1, H, W) and mask to a smoothed magnitude (n, 1, H, W): bright, narrow structures fade."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, 1, 3, padding=1)
        self.dropout = nn.Dropout(0.5)
        self.gain = nn.Parameter(torch.tensor(0.8), requires_grad=False)
        with torch.no_grad():
            self.convolution.weight.copy_(torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16)
            self.convolution.bias.zero_()  # type: ignore[union-attr]

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:  # noqa: ARG002 - one signature for all reconstructors
        magnitude = zero_filled.abs()
        output: Tensor = magnitude + self.gain * self.dropout(self.convolution(magnitude) - magnitude)
        return output


BenchSet = BenchData | VolumeData | SliceData | MammogramData
BenchTarget = ReconstructionTarget | ClassificationTarget | SegmentationTarget

DATA: dict[str, Callable[[int], BenchSet]] = {
    "reconstruction": BenchData,
    "classification": VolumeData,
    "segmentation": SliceData,
    "mammograms": MammogramData,
}
TARGETS: dict[str, Callable[[], BenchTarget]] = {
    "reconstruction": lambda: ReconstructionTarget(Smoother().eval(), digest="0123456789ab"),
    "classification": lambda: ClassificationTarget(Reader().eval(), digest="0123456789ab"),
    "segmentation": lambda: SegmentationTarget(Densities().eval(), digest="0123456789ab"),
    "mammograms": lambda: ClassificationTarget(MassReader().eval(), digest="0123456789ab"),
}
SUITED: dict[str, dict[str, Any]] = {
    "classification": {"size": 16, "task": "classification"},
    "segmentation": {"size": 32, "task": "segmentation", "budget": MaximumNorm(40.0)},
    "mammograms": {"size": 32, "task": "classification", "images": "mammograms"},
}
"""What differs from the default bench."""
NORMED = {
    "reconstruction": Norm("l2", "2 %"),
    "classification": Norm("linf", 0.02, 0.0, 1.0),
    "segmentation": Norm("linf", "20 HU"),
    "mammograms": Norm("linf", "8/255", -1.0, 1.0),
}
"""Budgets of norm-bounded attacks: both norms, with and without a range of intensities."""
