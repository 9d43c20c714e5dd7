"""The relevance map: how far the classifier's answer moves when one superpixel is perturbed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from scipy.ndimage import find_objects
from torch import Tensor, nn

from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.local.calls import NotLocalError
from medrobust.targets.local.forward import LocalForward
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.asking import ask, at_once, opened, predicted, probability
from medrobust_attacks.explainers.partitioned import Partitioned
from medrobust_attacks.explainers.perturbation import PERTURBATIONS, Perturb, Perturbed, one_by_one
from medrobust_attacks.fnaf.finite_differences import at_least


@dataclass(frozen=True)
class RelevanceMap(Partitioned):
    """Perturb one superpixel after the other: its relevance is the change in the probability of the predicted class, in [0, 1].

    Source: Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, Algorithm 1. The paper's scaling of each map to 0..100 is left out: it
    changes no rank.

    sequence, segments, compactness, iterations, half: the superpixels, see `medrobust.imaging.superpixels.Superpixels`.
    perturbation: what is done to a superpixel in every sequence: blank (0), or min or max (its own minimum or maximum in that sequence).
    chunk: volumes built at once, at least 1; changes nothing but memory.
    local: recompute only what a superpixel reaches in the network, where the network allows it and nothing stands before it; the answers are
        those of whole passes to rounding, at less than half the cost. It is what the network itself is needed for: False asks for outputs alone.
    """

    threat: ClassVar[str] = "white-box"
    gradients: ClassVar[int] = 0
    perturbation: str = "blank"
    chunk: int = field(default=8, compare=False)
    local: bool = field(default=True, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least((("chunk", self.chunk, 1),))
        if self.perturbation not in PERTURBATIONS:
            msg = f"perturbation: found {self.perturbation!r}, expected one of {', '.join(PERTURBATIONS)}"
            raise ValueError(msg)

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:  # noqa: ARG002 - nothing here is drawn
        """Explain every case by itself, `chunk` superpixels at a time."""
        regions = self.regions(batch)
        return Explained(relevance_under(target, batch, regions, PERTURBATIONS[self.perturbation], self.chunk, local=self.local), regions)


def relevance_of(target: Target, batch: Batch, regions: Tensor, perturb: Perturb, chunk: int, *, local: bool = True) -> Tensor:
    """`relevance_under` a perturbation that is a function of volume and masks, such as a trained one."""
    return relevance_under(target, batch, regions, one_by_one(perturb, chunk), chunk, local=local)


def relevance_under(target: Target, batch: Batch, regions: Tensor, perturbed: Perturbed, chunk: int, *, local: bool = True) -> Tensor:
    """Relevance of every voxel's superpixel, (n, *space) float32: |p(perturbed) - p| of the predicted class.

    regions: (n, *space) int64, labels of a case 0, ..., K - 1. perturbed: what is done to them. chunk: volumes built at once.
    local: recompute parts of the network where that can be done.
    A superpixel that the perturbation leaves as it is has relevance 0 and is not asked about.
    """
    maps = []
    for case, labels in enumerate(regions):
        versions = Versions.of(batch, case, labels, perturbed(batch.image[case], labels))
        answers = in_part(target, versions, chunk) if local else None
        answers = in_whole(target, versions, at_once(target, chunk)) if answers is None else answers
        likely = probability(answers, predicted(answers[:1]))
        scores = torch.zeros(int(labels.max()) + 1, device=labels.device)
        scores[versions.moved] = (likely[1:] - likely[0]).abs()
        maps.append(scores[labels])
    return torch.stack(maps)


@dataclass(frozen=True, eq=False)
class Versions:
    """A case, and versions of it with one superpixel perturbed each.

    labels: the superpixel of each voxel (*space). values: of each voxel where its own is perturbed, (c, *space).
    moved: the superpixels that this changes. boxes: the smallest box around each of them.
    """

    batch: Batch
    case: int
    labels: Tensor
    values: Tensor
    moved: list[int]
    boxes: list[tuple[slice, ...]]

    @classmethod
    def of(cls, batch: Batch, case: int, labels: Tensor, values: Tensor) -> Versions:
        changed = (values != batch.image[case]).any(0).flatten().float()
        moved = torch.bincount(labels.flatten(), changed).nonzero().flatten().tolist()
        found = find_objects(labels.cpu().numpy() + 1)
        return cls(batch, case, labels, values, moved, [found[label] for label in moved])

    @property
    def image(self) -> Tensor:
        """The case itself, (c, *space)."""
        return self.batch.image[self.case]

    def __len__(self) -> int:
        return len(self.moved)

    def patch(self, index: int) -> Tensor:
        """What version `index` holds in its box, (c, *box); elsewhere it is the case itself."""
        box = self.boxes[index]
        return torch.where(self.labels[box] == self.moved[index], self.values[:, *box], self.image[:, *box])


def in_whole(target: Target, versions: Versions, chunk: int) -> Tensor:
    """The target's answers to a case and its versions, (1 + versions, k), by whole passes; `chunk` volumes at once."""
    clean, images = versions.image, versions.image.repeat(chunk, *[1] * versions.image.ndim)
    answers = [ask(target, versions.batch, versions.case, clean[None])]
    for start in range(0, len(versions), chunk):
        rows = range(start, min(start + chunk, len(versions)))
        for row, image in zip(rows, images[: len(rows)], strict=True):
            image[:, *versions.boxes[row]] = versions.patch(row)
        answers.append(ask(target, versions.batch, versions.case, images[: len(rows)]))
        for row, image in zip(rows, images[: len(rows)], strict=True):
            image[:, *versions.boxes[row]] = clean[:, *versions.boxes[row]]
    return torch.cat(answers)


def in_part(target: Target, versions: Versions, chunk: int) -> Tensor | None:
    """The same answers to rounding, from the parts of the network that each superpixel reaches; None where that cannot be done.

    It cannot where something stands between image and network, such as a defense, or where a change in one place moves an activation everywhere.
    """
    guarded = opened(target)
    classifier = guarded.target
    if not isinstance(classifier, ClassificationTarget) or versions.labels.ndim != 3 or not len(versions):
        return None
    try:
        local = LocalForward(guarded.network, versions.image[None])
    except NotLocalError:
        return None
    boxes = torch.tensor([[(axis.start, axis.stop) for axis in box] for box in versions.boxes])
    answer = local(boxes, versions.patch, chunk)
    guarded.count(forward=1 + answer.share * len(versions))
    return replace(classifier, network=nn.Identity())(torch.cat([local.clean_logits, answer.logits]), versions.batch)
