"""Madry's adversarial training: a classifier learns from images as it finds them hardest within a norm."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from torch import Tensor

from medrobust import registry
from medrobust.budgets import Norm
from medrobust.digests import canonical
from medrobust.errors import SpecError
from medrobust.options import typed
from medrobust.randomness import CaseRandom
from medrobust.training.loop import Schedule
from medrobust.types import Batch, Data, Target
from medrobust_attacks.norm_bounded.ball import ascent, noise, reach
from medrobust_attacks.segmentation.gradient_ascent import require_steps
from medrobust_attacks.segmentation.gradient_ascent import share as share_of
from medrobust_defenses.attacked_slices import part, require_share
from medrobust_defenses.fine_tuning import classifier, fine_tuned
from medrobust_defenses.pgd_training import answering

NAME = "madry"


@runtime_checkable
class Varies(Protocol):
    """An objective that says how it shows an image."""

    def varied(self, image: Tensor, rng: CaseRandom) -> Tensor: ...


@dataclass(frozen=True)
class Madry:
    """Train on images that are attacked first: from a random start, ascending steps on the cross-entropy of the network as it stands.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1, and its training on CIFAR-10 (epsilon 8/255, 7 steps, every image attacked, the last
    point is learnt from). The steps see the network frozen and in evaluation mode (kept statistics of batch normalisation, no dropout) and leave
    it as it was; the update that follows is in training mode. Pang et al. 2021, arXiv:2010.00467, compare the two modes of the inner steps:
    evaluation mode gives better clean accuracy at no less robustness.

    budget: what attacked images are brought into; a bounded norm, with the range of valid intensities.
    steps: ascending steps, at least 1. step: length of one as a share of epsilon, in (0, 1]; None for 2.5 / steps, at most 1.
    share: probability that an image is attacked, in (0, 1].
    shown: name and options of the objective that varies images before they are attacked.
    schedule: how long to train when used as a defense.
    """

    task: ClassVar[str] = "classification"
    budget: Norm = Norm(epsilon="8/255", low=0.0, high=1.0)
    steps: int = 7
    step: float | None = None
    share: float = 1.0
    shown: Mapping[str, Any] = field(default_factory=lambda: {"name": "cross-entropy"}, hash=False)
    schedule: Schedule = Schedule(steps=800, batch=16, learning_rate=1e-3)

    def __post_init__(self) -> None:
        require_steps(self.steps, self.step)
        require_share(self.share)
        if not self.budget.bounded:
            msg = f"budget: found epsilon {self.budget.epsilon}, expected a finite one"
            raise ValueError(msg)
        if not isinstance(self.shown.get("name"), str) or set(self.shown) - {"name", "options"}:
            msg = f"shown: found {dict(self.shown)}, expected a name and, where there are any, options"
            raise ValueError(msg)
        self._variation()

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:
        """A copy of a classifier, trained on from its weights."""
        return fine_tuned(classifier(target, NAME), data, self, self.schedule, {"defense": NAME, **asdict(self)}, rng)

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The mean cross-entropy of the varied images, attacked."""
        image = self._variation().varied(batch.image.cpu(), rng).to(batch.image.device)
        attacked = self.attacked(target, Batch(image, batch.truth, batch.cases), rng)
        yield target.loss(attacked.image, attacked).mean()

    def attacked(self, target: Target, batch: Batch, rng: CaseRandom) -> Batch:
        """The images, some of them attacked; the target is left as it was."""
        rows = (rng.uniform(0, 1) < self.share).nonzero().flatten().tolist()
        if not rows:
            return batch
        image = batch.image.clone()
        with answering(target):
            image[rows] = self._ascended(target, batch.select(rows), part(rng, rows))
        return Batch(image, batch.truth, batch.cases)

    def _ascended(self, target: Target, batch: Batch, rng: CaseRandom) -> Tensor:
        """Where the steps end, (n, c, *space)."""
        clean = batch.image
        stride = share_of(self.step, self.steps) * reach(self.budget, clean)
        image = noise(self.budget, clean, rng)
        for _ in range(self.steps):
            image.requires_grad_(True)
            (slope,) = torch.autograd.grad(target.loss(image, batch).sum(), image)
            image = self.budget.project(image.detach() + stride * ascent(slope, self.budget.norm), clean)
        return image

    def _variation(self) -> Varies:
        return variation(canonical(self.shown))


@cache
def variation(shown: str) -> Varies:
    """The objective whose variations are shown. shown: name and options as JSON.

    Raises ValueError where it varies nothing, SpecError where its name or options are wrong.
    """
    chosen = json.loads(shown)
    name = chosen["name"]
    if name not in registry.available("objectives"):
        msg = f"shown: no '{name}' among objectives; {registry.near(name, list(registry.available('objectives')))}"
        raise SpecError(msg)
    found = registry.build("objectives", name, typed(registry.load("objectives", name), chosen.get("options", {}), f"shown: {name}"), "shown")
    if not isinstance(found, Varies):
        msg = f"shown: found the objective '{name}', expected one that varies images, such as cross-entropy or image-cross-entropy"
        raise ValueError(msg)
    return found
