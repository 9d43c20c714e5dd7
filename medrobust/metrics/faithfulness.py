"""Whether what a map calls relevant is what the target's answer hangs on: its probability while the volume is deleted, or put back, in that order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.imaging.relevance import ranking, region_scores
from medrobust.metrics.classification import predicted, probabilities
from medrobust.metrics.localisation import at_least_one
from medrobust.metrics.maps import column, explained_of, regions_of
from medrobust.types import Outcome, Target


@dataclass(frozen=True)
class Deletion:
    """Area under the probability of the predicted class as the volume is set to 0, the most relevant part first; in [0, 1].

    One region a step, or `steps` equal shares of the regions, or of a voxel map's voxels; equal relevance in the order of labels, or of voxels.
    With n points from the whole volume to the blank one, area = (sum - first / 2 - last / 2) / (n - 1).

    Source: Petsiuk et al. 2018, arXiv:1806.07421, section 4.3, deletion.

    steps: at most, at least 1; each is one forward pass.
    chunk: volumes asked at once, at least 1; it changes no value.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "deletion"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    steps: int = 20
    chunk: int = field(default=8, compare=False)

    def __post_init__(self) -> None:
        at_least_one(self.steps, "steps")
        at_least_one(self.chunk, "chunk")

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return column([area(curve(outcome, row, self.steps, self.chunk, insert=False)) for row in range(len(outcome.batch))])


@dataclass(frozen=True)
class Insertion:
    """Area under the probability of the predicted class as the volume is put back into a blank one, the most relevant part first; in [0, 1].

    Steps and area as for deletion.

    Source: Petsiuk et al. 2018, arXiv:1806.07421, section 4.3, insertion, into a blank volume instead of a blurred one: 0 is the background of
    skull-stripped, min-max scaled sequences, and a blurred tumour is still a tumour.

    steps: at most, at least 1; each is one forward pass.
    chunk: volumes asked at once, at least 1; it changes no value.
    """

    task: ClassVar[str] = "classification"
    name: ClassVar[str] = "insertion"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    steps: int = 20
    chunk: int = field(default=8, compare=False)

    def __post_init__(self) -> None:
        at_least_one(self.steps, "steps")
        at_least_one(self.chunk, "chunk")

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return column([area(curve(outcome, row, self.steps, self.chunk, insert=True)) for row in range(len(outcome.batch))])


def area(points: Tensor) -> float:
    """Area under n points at equal distances over [0, 1], by trapezoids."""
    return float((points.sum() - points[0] / 2 - points[-1] / 2) / (len(points) - 1))


def curve(outcome: Outcome, row: int, steps: int, chunk: int, *, insert: bool) -> Tensor:
    """Probability of the class predicted for case `row` after 0, 1, ... steps, (n,) float64."""
    explained = explained_of(outcome)
    due = schedule(explained.relevance[row], regions_of(explained, row), steps).to(outcome.batch.image.device)
    answer = int(predicted(outcome.prediction[[row]]))
    return torch.cat([probabilities(asked)[:, answer] for asked in ask(outcome, row, due, chunk, insert=insert)]).cpu()


def ask(outcome: Outcome, row: int, due: Tensor, chunk: int, *, insert: bool) -> Iterator[Tensor]:
    """The target's predictions for case `row` after each step, at most `chunk` at once; `due`: the step at which a voxel's turn comes, (*space)."""
    target = target_of(outcome)
    for done in torch.split(torch.arange(int(due.max()) + 1, device=due.device), chunk):
        turned = due <= done.view(-1, *[1] * due.ndim)  # (m, *space)
        batch = outcome.batch.select([row] * len(done))
        image = batch.image * (turned if insert else ~turned)[:, None]
        yield target(image, replace(batch, image=image))


def schedule(relevance: Tensor, regions: Tensor | None, steps: int) -> Tensor:
    """The step, 1, ..., S, at which each voxel's turn comes, (*space) int64; S is `steps`, or fewer where there are fewer regions or voxels."""
    labels = torch.arange(relevance.numel()).view(relevance.shape) if regions is None else regions
    scores = relevance.flatten() if regions is None else region_scores(relevance, regions)
    order = ranking(scores)
    step = torch.empty_like(order)
    step[order] = 1 + torch.arange(len(order)) * min(steps, len(order)) // len(order)
    return step[labels]


def target_of(outcome: Outcome) -> Target:
    """Whom to ask; ValueError where there is nobody."""
    if outcome.target is None:
        msg = "found no target, expected one: this metric asks it about changed volumes"
        raise ValueError(msg)
    return outcome.target
