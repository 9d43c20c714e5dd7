"""Expectation over a target's draws: the slope that is averaged tends to the true one, and an attack that averages does the harm that it should."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from medrobust.budgets import Norm
from medrobust.guard import WHITE_BOX, Guarded
from medrobust.metrics.classification import predicted
from medrobust.randomness import CaseRandom
from medrobust.run import unreported
from medrobust.targets.classification import entropy
from medrobust.types import Batch, Case
from medrobust_attacks.art.fgsm import FGSM
from medrobust_attacks.art.mim import MIM
from medrobust_attacks.art.pgd import PGD
from medrobust_attacks.norm_bounded.apgd import APGD
from medrobust_attacks.norm_bounded.autoattack import AutoAttack
from medrobust_attacks.norm_bounded.objectives import margin
from medrobust_attacks.norm_bounded.search import Search

SIDE, N = 24, 6


@dataclass(frozen=True, eq=False)
class Trembling:
    """A linear reader of three classes whose logits are exact, and whose slope has Gaussian noise of standard deviation `sigma` in every pixel."""

    weight: Tensor
    sigma: float
    task: str = "classification"
    digest: str = "0123456789ab"
    stochastic: ClassVar[bool] = True

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        return self.logits(image).softmax(1)

    def logits(self, image: Tensor) -> Tensor:
        flat = image.flatten(1)
        noise = self.sigma * torch.randn(len(flat), *self.weight.shape)
        return flat @ self.weight.T + torch.einsum("np,nkp->nk", flat - flat.detach(), noise)

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        return entropy(self.logits(image), batch.truth)

    def to(self, device: torch.device | str) -> Trembling:
        return self


def problem(sigma: float) -> tuple[Trembling, Batch]:
    """The reader, right of every image."""
    random = torch.Generator().manual_seed(0)
    target = Trembling(0.05 * torch.randn(3, SIDE * SIDE, generator=random), sigma)
    image = torch.rand(N, 1, SIDE, SIDE, generator=random)
    said = predicted((image.flatten(1) @ target.weight.T).softmax(1))
    return target, Batch(image, said, tuple(Case(f"{i}", f"{i}", f"{i}") for i in range(N)))


@pytest.mark.parametrize("objective", [None, margin], ids=["loss", "margin"])
def test_the_averaged_slope_tends_to_the_true_one_as_one_over_the_root_of_the_draws(objective: Any) -> None:
    errors = []
    chosen = {} if objective is None else {"objective": objective}
    still, batch = problem(0.0)
    _, true = Search(Guarded(still, WHITE_BOX, N), batch, **chosen).slope(batch.image)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(99)
        for draws in (1, 4, 16, 64):
            target = Guarded(problem(1.0)[0], WHITE_BOX, N)
            value, found = Search(target, batch, expectation=draws, **chosen).slope(batch.image)
            assert (target.passes.forward, target.passes.gradient) == (draws * N, draws * N)
            assert torch.allclose(value, Search(Guarded(still, WHITE_BOX, N), batch, **chosen).ask(batch.image), rtol=1e-4, atol=1e-5)
            errors.append(float((found - true).square().mean().sqrt()))
    for draws, error in zip((1, 4, 16, 64), errors, strict=True):
        assert error == pytest.approx(errors[0] / math.sqrt(draws), rel=0.1)
    assert errors[0] > 5 * float(true.square().mean().sqrt()), "one slope is little but noise"


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [PGD, APGD], ids=lambda attack: attack.__module__)
def test_averaging_over_draws_does_the_harm_that_one_slope_misses(attack: Any, norm: str) -> None:
    still, batch = problem(0.0)
    target, budget = problem(1.0)[0], Norm(norm, 0.02 if norm == "linf" else 0.4, 0.0, 1.0)
    clean, harm = still.loss(batch.image, batch), []
    for of, expectation in ((target, 1), (target, 16), (still, 1)):
        guarded = Guarded(of, WHITE_BOX)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(99)
            found = attack(steps=10, expectation=expectation)(guarded, batch, budget, CaseRandom.of(range(N)))
        assert unreported(found, guarded.passes.forward / N, expectation) == ""
        harm.append(float((still.loss(found.image, batch) - clean).mean()))
    once, averaged, without_noise = harm
    assert 1.8 * once < averaged < 1.001 * without_noise


@pytest.mark.parametrize("options", [{}, {"keep": "last"}], ids=str)
@pytest.mark.parametrize("attack", [FGSM, PGD, MIM, APGD, AutoAttack], ids=lambda attack: f"{attack.__module__}")
def test_a_target_that_draws_nothing_is_attacked_alike_at_twice_the_cost(attack: Any, options: dict[str, str]) -> None:
    if options and attack in (APGD, AutoAttack):
        return
    few = {} if attack is FGSM else {"steps": 4, "square": 5} if attack is AutoAttack else {"steps": 4}
    target, batch = problem(0.0)
    found, asked = [], []
    for expectation in (1, 2):
        made, guarded = attack(**few, **options, expectation=expectation), Guarded(target, WHITE_BOX)
        found.append(made(guarded, batch, Norm("linf", 1e-4), CaseRandom.of(range(N))))
        asked.append((guarded.passes.forward, guarded.passes.gradient))
        if attack is not AutoAttack:
            assert asked[-1] == (N * made.queries, N * made.gradients)
    assert asked[1] == (2 * asked[0][0], 2 * asked[0][1])
    assert attack(**few, expectation=5).queries == 5 * attack(**few).queries
    assert attack(**few, expectation=5).gradients == 5 * attack(**few).gradients
    assert torch.equal(found[0].image, found[1].image)
    for name, trace in found[0].trace.items():
        torch.testing.assert_close(found[1].trace[name], trace, rtol=0, atol=0, equal_nan=True)


def test_queries_hidden_behind_an_expectation_are_found() -> None:
    target, batch = problem(1.0)
    guarded = Guarded(target, WHITE_BOX)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(99)
        found = PGD(steps=3, expectation=4)(guarded, batch, Norm("linf", 0.01), CaseRandom.of(range(N)))
    passes = guarded.passes.forward / N
    assert passes == 16
    assert unreported(found, passes, 4) == ""
    assert unreported(found, passes, 3) == "asked the target 16 times a case, its trace holds 4 queries of 3 answers"
    assert unreported(found, passes + 1, 4) == "asked the target 17 times a case, its trace holds 4 queries of 4 answers"
    assert unreported(found, passes) == "asked the target 16 times a case, its trace holds 4 queries"


@pytest.mark.parametrize("attack", [FGSM, PGD, MIM, APGD, AutoAttack], ids=lambda attack: f"{attack.__module__}")
def test_less_than_one_answer_is_refused(attack: Any) -> None:
    with pytest.raises(ValueError, match=r"^expectation: found 0, expected 1 or more$"):
        attack(expectation=0)
