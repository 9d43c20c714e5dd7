"""Whatever a norm-bounded attack asks about is an image: no pixel that is not finite, in either norm, at any size."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medrobust import registry
from medrobust.budgets import Norm
from medrobust.errors import SpecError
from medrobust.guard import Guarded
from medrobust.metrics.classification import predicted
from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.discover import budget_for
from medrobust.types import Batch, Case

FEW: dict[str, dict[str, Any]] = {
    "art-apgd": {"steps": 8},
    "art-autoattack": {"steps": 3, "square": 60},
    "art-cw": {"steps": 3, "searches": 2},
    "art-square": {"iterations": 60},
    "apgd": {"steps": 8},
    "square": {"queries": 100},
    "autoattack": {"steps": 3, "square": 60},
}
IN_A_BOX_ALONE = ("art-square",)


def norm_bounded() -> list[str]:
    """Every registered attack that searches a norm's ball."""
    names = []
    for name in registry.available("attacks"):
        try:
            if isinstance(budget_for(registry.load("attacks", name)()), Norm):
                names.append(name)
        except SpecError:
            continue
    return names


@dataclass(frozen=True, eq=False)
class Listening(ClassificationTarget):
    """Keeps of every question whether all of its pixels are finite."""

    finite: list[bool] = field(default_factory=list)

    def logits(self, image: Tensor) -> Tensor:
        self.finite.append(bool(image.isfinite().all()))
        return super().logits(image)


def problem(size: int, classes: int = 3) -> tuple[Listening, Batch]:
    """A linear reader, right of two images."""
    random = torch.Generator().manual_seed(size)
    image = torch.rand(2, 1, size, size, generator=random)
    reader = nn.Linear(size * size, classes)
    reader.weight.data = torch.randn(classes, size * size, generator=random) / size
    target = Listening(nn.Sequential(nn.Flatten(), reader).requires_grad_(False).eval(), "0" * 12)
    truth = predicted(target.logits(image).softmax(1))
    return target, Batch(image, truth, (Case("a", "p", "g"), Case("b", "p", "g")))


def test_the_attacks_are_all_there() -> None:
    assert {*FEW, "art-fgsm", "art-pgd", "art-mim", "random-noise"} <= set(norm_bounded())


@pytest.mark.parametrize("epsilon", [1e-3, 0.5], ids=["nothing falls", "all fall"])
@pytest.mark.parametrize("size", [28, 64])
@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", norm_bounded())
def test_every_query_is_finite(name: str, norm: str, size: int, epsilon: float) -> None:
    if norm == "l2" and name in IN_A_BOX_ALONE:
        return
    attack = registry.build("attacks", name, FEW.get(name, {}))
    target, batch = problem(size)
    guarded = Guarded(target, attack.threat)
    with torch.random.fork_rng(devices=()), torch.set_grad_enabled(guarded.white_box):
        found = attack(guarded, batch, Norm(norm, epsilon, 0.0, 1.0), CaseRandom.of([1, 2]))
    assert len(target.finite) > 1
    assert all(target.finite)
    assert bool(found.image.isfinite().all())
