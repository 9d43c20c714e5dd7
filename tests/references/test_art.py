"""Norm-bounded attacks through the adapter against ART called directly on the same network, and against a textbook's loop."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from art.attacks.evasion import (
    AutoProjectedGradientDescent,
    CarliniL2Method,
    FastGradientMethod,
    MomentumIterativeMethod,
    ProjectedGradientDescent,
    SquareAttack,
)
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from medrobust.budgets import Norm, length
from medrobust.guard import Guarded, frozen
from medrobust.metrics.classification import Correct, Score
from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.image_classifiers import ResNet2D
from medrobust.targets.resnet import ResNet
from medrobust.types import Attacked, Batch, Case, Outcome
from medrobust_attacks.art.alone import SEEDS
from medrobust_attacks.art.apgd import APGD
from medrobust_attacks.art.carlini_wagner import CarliniWagner
from medrobust_attacks.art.fgsm import FGSM
from medrobust_attacks.art.mim import MIM
from medrobust_attacks.art.pgd import PGD
from medrobust_attacks.art.square import Square

CLASSES, N, STEPS = 3, 4, 8
ART_NORM = {"linf": np.inf, "l2": 2}
BUDGETS = {"linf": Norm("linf", 0.03, 0.0, 1.0), "l2": Norm("l2", 1.5, 0.0, 1.0)}


class Problem:
    """A network of random weights, whose own answers are the truth, and four images in [0, 1]."""

    def __init__(self, network: nn.Module, *shape: int) -> None:
        for part in network.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.running_var.fill_(0.5)
        self.network = network.eval().requires_grad_(False)
        with torch.no_grad():
            self.network.fc.weight.mul_(3)
        image = torch.rand(N, *shape, generator=torch.Generator().manual_seed(1))
        cases = tuple(Case(f"{i}", f"{i}", f"{i}") for i in range(N))
        self.batch = Batch(image, self.network(image).argmax(1), cases)
        self.target = ClassificationTarget(self.network, "0" * 12)

    def estimator(self) -> PyTorchClassifier:
        """ART's own, of the same network."""
        shape, loss = tuple(self.batch.image.shape[1:]), nn.CrossEntropyLoss()
        return PyTorchClassifier(self.network, loss, shape, CLASSES, clip_values=(0.0, 1.0), device_type="cpu")

    def ours(self, attack: Any, budget: Norm, micro_batch: int = N) -> Attacked:
        return attack(Guarded(self.target, attack.threat, micro_batch), self.batch, budget, self.random())

    def random(self) -> CaseRandom:
        return CaseRandom.of(range(N))

    def arrays(self) -> tuple[Any, Any]:
        return self.batch.image.numpy(), np.eye(CLASSES, dtype=np.float32)[self.batch.truth.numpy()]

    def rows(self, image: Tensor) -> Tensor:
        """What the harness writes of an image: whether the answer is right, and its score; (2, n)."""
        attacked = Attacked(image)
        with torch.no_grad():
            outcome = Outcome(self.batch, attacked, self.target(image, self.batch))
        return torch.stack([Correct()(outcome), Score()(outcome)])


def flat() -> Problem:
    torch.manual_seed(0)
    return Problem(ResNet2D(depth=10, widths=(4, 6, 8, 8), classes=CLASSES).build(), 1, 32, 32)


def deep() -> Problem:
    torch.manual_seed(0)
    network = ResNet(depth=10, widths=(4, 6, 8, 8)).build()
    network.fc = nn.Linear(network.fc.in_features, CLASSES)
    return Problem(network, 4, 16, 16, 16)


def linear() -> Problem:
    torch.manual_seed(0)
    return Problem(nn.Sequential(OrderedDict(flat=nn.Flatten(), fc=nn.Linear(32 * 32, CLASSES))), 1, 32, 32)


@pytest.fixture(params=[flat, deep], ids=["2-D", "3-D"])
def problem(request: pytest.FixtureRequest) -> Problem:
    with torch.random.fork_rng(devices=()):
        return request.param()


@pytest.mark.parametrize("norm", BUDGETS)
@pytest.mark.parametrize("name", ["fgsm", "pgd", "mim"])
def test_what_art_returns_is_what_we_return(problem: Problem, name: str, norm: str) -> None:
    budget = BUDGETS[norm]
    eps = float(budget.epsilon)
    options: dict[str, Any] = {"norm": ART_NORM[norm], "eps": eps, "batch_size": N}
    loop = {"max_iter": STEPS, "eps_step": eps * 0.25, "verbose": False, **options}
    attack, direct = {
        "fgsm": (FGSM(keep="last"), lambda one: FastGradientMethod(one, eps_step=eps, **options)),
        "pgd": (PGD(keep="last", steps=STEPS, step=0.25, random_start=False), lambda one: ProjectedGradientDescent(one, **loop)),
        "mim": (MIM(keep="last", steps=STEPS, step=0.25), lambda one: MomentumIterativeMethod(one, decay=1.0, **loop)),
    }[name]
    expected = torch.from_numpy(direct(problem.estimator()).generate(*problem.arrays()))
    found = problem.ours(attack, budget).image
    torch.testing.assert_close(found, expected, rtol=0, atol=4e-6)
    torch.testing.assert_close(problem.rows(found), problem.rows(expected), rtol=0, atol=1e-5)
    assert float(length(found - problem.batch.image, norm).min()) > 0.5 * eps


@pytest.mark.parametrize("norm", BUDGETS)
def test_pgd_is_the_textbooks(problem: Problem, norm: str) -> None:
    budget, batch = BUDGETS[norm], problem.batch
    eps, step = float(budget.epsilon), 0.25 * float(budget.epsilon)
    image = batch.image.clone()
    for _ in range(STEPS):
        image.requires_grad_(True)
        (slope,) = torch.autograd.grad(cross_entropy(problem.network(image), batch.truth, reduction="sum"), image)
        if norm == "linf":
            change = (image.detach() + step * slope.sign()).clamp(0, 1) - batch.image
            image = batch.image + change.clamp(-eps, eps)
        else:
            across = tuple(range(1, slope.ndim))
            change = (image.detach() + step * slope / slope.norm(2, across, keepdim=True)).clamp(0, 1) - batch.image
            image = batch.image + change * (eps / change.norm(2, across, keepdim=True)).clamp_max(1)
    found = problem.ours(PGD(keep="last", steps=STEPS, step=0.25, random_start=False), budget).image
    torch.testing.assert_close(found, image, rtol=0, atol=4e-6)


def seed_of(row: int) -> int:
    """What a case begins ART's generators at."""
    return int(CaseRandom.of([row]).integers(0, SEEDS))


@pytest.mark.parametrize(
    ("attack", "direct", "eps", "made"),
    [
        (
            APGD(keep="last", steps=2),
            lambda one, eps: AutoProjectedGradientDescent(one, np.inf, eps, 2 * eps, 2, nb_random_init=1, batch_size=1, verbose=False),
            0.02,
            linear,  # whose answers turn wrong: where they do not, ART returns the start
        ),
        (
            Square(keep="last", iterations=15),
            lambda one, eps: SquareAttack(one, np.inf, max_iter=15, eps=eps, batch_size=1, verbose=False),
            0.02,
            flat,
        ),
        (
            CarliniWagner(keep="last", steps=5, searches=3, constant=10.0),
            lambda one, _: CarliniL2Method(one, binary_search_steps=3, max_iter=5, initial_const=10.0, verbose=False),
            1.0,
            linear,  # of a random residual network ART's finds nothing
        ),
    ],
    ids=["apgd", "square", "cw"],
)
def test_an_attack_of_one_case_is_arts_from_the_same_seed(attack: Any, direct: Callable[..., Any], eps: float, made: Callable[[], Problem]) -> None:
    with torch.random.fork_rng(devices=()):
        problem = made()
    found = problem.ours(attack, Norm("linf", eps, 0.0, 1.0), 1).image[:2]
    before = np.random.get_state(), random.getstate()  # noqa: NPY002 - what ART draws from
    try:
        for row, (image, truth) in zip(range(2), zip(*problem.arrays(), strict=True), strict=False):
            one = direct(problem.estimator(), eps)
            np.random.seed(seed_of(row))  # noqa: NPY002
            random.seed(seed_of(row))
            expected = torch.from_numpy(one.generate(image[None].copy(), truth[None]))
            torch.testing.assert_close(found[row : row + 1], expected, rtol=0, atol=1e-5)
        assert float((found - problem.batch.image[:2]).abs().max()) > 1e-3
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


def test_a_frozen_target_gives_the_same_image(problem: Problem) -> None:
    problem.network.requires_grad_(True)
    free = problem.ours(PGD(steps=3), BUDGETS["linf"]).image
    assert all(one.grad is None for one in problem.network.parameters())
    with frozen(problem.target):
        torch.testing.assert_close(problem.ours(PGD(steps=3), BUDGETS["linf"]).image, free, rtol=0, atol=0)
