"""PGD adversarial training: learn from patches as the network that is trained finds them hardest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.guard import frozen, modules
from medrobust.randomness import CaseRandom
from medrobust.targets.segmentation import entropy
from medrobust.training.loop import Schedule
from medrobust.training.patches import Patches
from medrobust.types import Batch, Data, Target
from medrobust_attacks.segmentation.gradient_ascent import require_steps
from medrobust_attacks.segmentation.gradient_ascent import share as share_of
from medrobust_defenses.attacked_slices import part, require_share
from medrobust_defenses.fine_tuning import fine_tuned, segmenter

NAME = "pgd-training"


@dataclass(frozen=True)
class PGDTraining:
    """Train on patches of which a share is attacked first: signed steps that raise the cross-entropy of the network as it stands, in a box.

    Source: Madry et al. 2018, arXiv:1706.06083, section 2.1, which trains on attacked images alone; clean ones beside them as in Goodfellow et al.
    2015, arXiv:1412.6572, section 6. The steps are those of the attack `pgd`: from a random start, and the last point is trained on. They see the
    network as it answers (batch statistics of the training, no dropout) and leave it as it is, so that an update costs `steps` passes more.

    p: half edge of the box in standard deviations of the subject, above 0.
    steps: signed steps, at least 1. step: how far a pixel moves at once, as a share of p, in (0, 1]; None for 2.5 / steps, at most 1.
    share: probability that a patch is attacked, in (0, 1].
    patches: what is cut from slices, and the loss. schedule: how long to train when used as a defense.
    """

    task: ClassVar[str] = "segmentation"
    p: float = 0.09
    steps: int = 3
    step: float | None = None
    share: float = 0.5
    patches: Patches = Patches()
    schedule: Schedule = Schedule(steps=800, batch=8, learning_rate=5e-4)

    def __post_init__(self) -> None:
        if not 0 < self.p < math.inf:
            msg = f"p: found {self.p}, expected a number above 0"
            raise ValueError(msg)
        require_steps(self.steps, self.step)
        require_share(self.share)

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:
        """A copy of a segmentation target, trained on from its weights."""
        return fine_tuned(segmenter(target, NAME), data, self, self.schedule, {"defense": NAME, **asdict(self)}, rng)

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The loss of one patch of each slice."""
        patches = self.attacked(target, self.patches.varied(self.patches.cut(batch, rng), rng), rng)
        yield self.patches.of(target(patches.image, patches), patches)

    def attacked(self, target: Target, patches: Batch, rng: CaseRandom) -> Batch:
        """The patches, some of them attacked; the target is left as it was."""
        rows = (rng.uniform(0, 1) < self.share).nonzero().flatten().tolist()
        if not rows:
            return patches
        image = patches.image.clone()
        with answering(target):
            image[rows] = self._ascended(target, patches.select(rows), part(rng, rows))
        return Batch(image, patches.truth, patches.cases, patches.context)

    def _ascended(self, target: Target, patches: Batch, rng: CaseRandom) -> Tensor:
        """Where the steps end, (n, 1, H, W) in HU."""
        edge = self.p * patches.context["std"].view(-1, 1, 1, 1)
        low, high = patches.image - edge, patches.image + edge
        image = patches.image + edge * rng.uniform(-1, 1, *patches.image.shape[1:]).to(edge)
        for _ in range(self.steps):
            image.requires_grad_(True)
            (slope,) = torch.autograd.grad(entropy(target(image, patches), patches.truth).sum(), image)
            image = (image.detach() + share_of(self.step, self.steps) * edge * slope.sign()).clamp(low, high)
        return image


@contextmanager
def answering(target: Target) -> Iterator[None]:
    """The target's networks in evaluation mode and frozen; every part's mode and every parameter's flag is restored after."""
    parts = [(part, part.training) for network in modules(target) for part in network.modules()]
    with ExitStack() as stack:
        stack.enter_context(frozen(target))
        for one, mode in parts:
            stack.callback(setattr, one, "training", mode)
            one.training = False
        yield
