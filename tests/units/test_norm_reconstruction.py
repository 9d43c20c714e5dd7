"""Norm-bounded attacks on a reconstructor: what is owed is the image that was measured, perturbed as it is."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from medrobust.budgets import Norm
from medrobust.guard import Guarded
from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.types import Attack, Batch, Case
from medrobust_attacks.art.fgsm import FGSM
from medrobust_attacks.art.pgd import PGD
from medrobust_attacks.norm_bounded.apgd import APGD
from medrobust_attacks.norm_bounded.random_noise import RandomNoise
from medrobust_attacks.norm_bounded.square import Square


class Magnitude(nn.Module):
    def forward(self, zero_filled: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return zero_filled.abs()


def acquired() -> Batch:
    image = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(16) % 2 == 0).expand(2, 1, 1, 16)
    return Batch(image, image, (Case("a", "p", "a"), Case("b", "q", "b")), {"phase": torch.zeros_like(image), "mask": mask})


ATTACKS = [FGSM(), PGD(steps=3), PGD(steps=3, keep="last"), APGD(steps=3), Square(queries=5), RandomNoise(), RandomNoise(keep="last")]


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_reconstruction_owes_the_perturbed_image(attack: Attack) -> None:
    batch, budget = acquired(), Norm("l2", "2 %", low=0.0)
    target = Guarded(ReconstructionTarget(Magnitude(), "magnitude"), attack.threat)
    attacked = attack(target, batch, budget, CaseRandom.of([0, 1]))
    assert attacked.truth is not None
    assert torch.equal(attacked.truth, attacked.image)
    assert not torch.equal(attacked.image, batch.image)
    assert budget.audit(batch, attacked) == ("", "")


def test_a_classifier_owes_the_label_it_owed_before() -> None:
    batch = Batch(torch.rand(1, 1, 8, 8), torch.tensor([1]), (Case("a", "p", "a"),))
    target = Guarded(ClassificationTarget(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)), "linear"), PGD.threat)
    assert PGD(steps=2)(target, batch, Norm(), CaseRandom.of([0])).truth is None
