"""What a metric of maps is checked on: volumes with a tumour, a target that sees nothing else, and a map that is right or spoilt by degrees."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from medrobust.guard import BLACK_BOX, Guarded
from medrobust.imaging.relevance import region_scores
from medrobust.randomness import CaseRandom, derive
from medrobust.types import Attacked, Batch, Explained, Outcome, Target

if TYPE_CHECKING:
    from medrobust.testing.bench import Bench

SURE = 0.97
EDGE = 4


@dataclass(frozen=True)
class SeesTumours:
    """A classifier that is always right, and the surer the brighter the tumour: (n, 1)."""

    task: str = "classification"
    digest: str = "0123456789ab"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        tumour = batch.context["tumour"]
        seen = (image * tumour).flatten(1).sum(1) / (image.shape[1] * tumour.flatten(1).sum(1)).clamp_min(1)
        return probability(batch, (2 * seen).clamp_max(1))

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        return (self(image, batch)[:, 0] - batch.truth).abs()

    def to(self, device: torch.device | str) -> Target:  # noqa: ARG002 - it holds no tensor
        return self


def explained_outcome(bench: Bench, fade: float, rows: list[int], *, tumour: bool = True) -> Outcome:
    """Cases `rows` with a prediction faded by `fade` towards .5, and a map of regions that from .5 on says the opposite of the truth.

    Under another seed the map moves by as much as `fade`; on shuffled weights it stays by as much. tumour: cases have one; else all masks are empty.
    """
    batch = bench.batch().select(rows)
    if not tumour:
        batch = batch.with_context(tumour=torch.zeros_like(batch.context["tumour"]))
    regions = torch.stack([cubes(bench.size)] * len(rows))
    own = torch.stack([ranks((1 - 2 * fade) * share(one, mask[0])) for one, mask in zip(regions, batch.context["tumour"], strict=True)])

    def again(*, seed: int = 0, randomised: bool = False) -> Explained:
        streams = CaseRandom.of([derive("again", seed, randomised, case.case) for case in batch.cases])
        kept = fade if randomised else 1 - fade * bool(seed)
        return painted(kept * own + (1 - kept) * streams.uniform(0, 1, own.shape[1]), regions)

    prediction = probability(batch, torch.full((len(rows),), 1 - fade))
    return Outcome(batch, Attacked(batch.image.clone()), prediction, painted(own, regions), Guarded(SeesTumours(), BLACK_BOX), again)


def probability(batch: Batch, certainty: Tensor) -> Tensor:
    """Probability of class 1, (n, 1): .5 at certainty 0, nearly the truth at certainty 1."""
    return (0.5 + (2 * batch.truth - 1) * (SURE - 0.5) * certainty)[:, None]


def cubes(size: int) -> Tensor:
    """A partition into cubes of at most `EDGE` voxels an edge, (size, size, size) int64."""
    count = math.ceil(size / EDGE)
    one = torch.arange(size) // EDGE
    return (one[:, None, None] * count + one[:, None]) * count + one


def share(regions: Tensor, mask: Tensor) -> Tensor:
    """Share of tumour in each region, (K,), and far less for its label, so that no two are equal."""
    scores = region_scores(mask, regions)
    return scores - 1e-3 * torch.arange(len(scores)) / len(scores)


def ranks(scores: Tensor) -> Tensor:
    """Scores evenly spread over [0, 1], in the same order, (K,) float32."""
    return scores.argsort().argsort().float() / (len(scores) - 1)


def painted(scores: Tensor, regions: Tensor) -> Explained:
    """The map of scores (n, K)."""
    return Explained(torch.stack([one[labels] for one, labels in zip(scores, regions, strict=True)]), regions)
