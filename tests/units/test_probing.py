from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from medrobust.budgets import IntensityRange, MaximumNorm, Norm
from medrobust.judge import Probed
from medrobust.probing import CASES, AskedGradients, certain, dependence, grey, probe
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.bench import Bench
from medrobust.types import Attack, Attacked, Batch, Budget, Case


@dataclass(frozen=True)
class Asks:
    threat: str = "white-box"
    expectation: ClassVar[int] = 1

    def __call__(self, *_: object) -> Attacked:
        raise NotImplementedError


class Net(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, image: Tensor) -> Tensor:
        mean = self.change(image).mean((1, 2, 3))
        return torch.stack([mean, -mean], 1)


@pytest.fixture
def batch() -> Batch:
    image = torch.linspace(0, 1, 5 * 36)[: CASES * 36].view(CASES, 1, 6, 6)
    return Batch(image, torch.zeros(CASES, dtype=torch.int64), tuple(Case(f"{i}", f"{i}", f"{i}") for i in range(CASES)))


def target(change: Callable[[Tensor], Tensor] = lambda image: image) -> ClassificationTarget:
    return ClassificationTarget(Net(change).eval(), "0" * 12)


WHITE: Attack = Asks()
BLACK: Attack = Asks("black-box")


def test_an_honest_target_shows_nothing(batch: Batch) -> None:
    found = probe(target(), batch, WHITE, Norm(epsilon=0.01))
    assert found == Probed(normalised=False, certain=0.0, reached=True, broken=0.0, zero=0.0, flat=0.0, grey=found.grey)
    assert found.grey is not None
    assert found.grey < 1


@pytest.mark.parametrize("task", ["reconstruction", "segmentation", "classification"])
def test_targets_of_every_task_are_asked(task: str) -> None:
    bench = Bench.suited(object(), task)
    found = probe(bench.target(), bench.batch(), WHITE, bench.budget)
    assert (found.moved, found.autograd, found.reached, found.broken) == (0.0, 0, True, 0.0)


def test_gradients_are_asked_for_before_white_box_attacks_alone(batch: Batch) -> None:
    for attack in (BLACK, Asks("no-box"), None):
        found = probe(target(lambda image: image.detach()), batch, attack)
        assert (found.reached, found.broken, found.zero, found.flat) == (None, None, None, None)
    assert probe(target(lambda image: image.detach()), batch, WHITE) == Probed(normalised=False, certain=0.0, reached=False)


def test_a_graph_that_only_the_loss_carries_does_not_reach(batch: Batch) -> None:
    bench = Bench()
    whole = bench.target()

    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = whole.network

        def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
            return self.inner(zero_filled.detach(), mask)  # type: ignore[no-any-return]

    cut = replace(whole, network=Cut().eval())  # type: ignore[type-var]
    seen = bench.batch()
    assert cut.loss(seen.image.requires_grad_(), seen).requires_grad
    assert probe(cut, bench.batch(), WHITE).reached is False


def test_random_draws_show_and_leave_generators_as_they_were(batch: Batch) -> None:
    before = torch.get_rng_state()
    found = probe(target(lambda image: image + torch.randn_like(image)), batch)
    assert found.moved > 0.01
    assert torch.equal(torch.get_rng_state(), before)
    assert probe(target(), batch).moved == 0


def test_gradients_asked_for_inside_an_answer_are_counted_however_they_are_asked_for(batch: Batch) -> None:
    def grad(image: Tensor) -> Tensor:
        with torch.enable_grad():
            own = image.detach().clone().requires_grad_()
            (slope,) = torch.autograd.grad(own.square().sum(), own)
        return image + slope

    def backward(image: Tensor) -> Tensor:
        with torch.enable_grad():
            own = image.detach().clone().requires_grad_()
            own.square().sum().backward()
            torch.autograd.backward(own.exp().sum())
        return image

    def functional(image: Tensor) -> Tensor:
        torch.func.grad(lambda own: own.square().sum())(image.detach().clone())
        return image

    for attack in (None, BLACK, WHITE):
        counts = [probe(target(change), batch, attack).autograd for change in (grad, backward, functional)]
        assert counts == [2, 4, 2], "one or two a case, and two cases"


def test_the_count_stays_in_its_block_and_thread() -> None:
    def ask() -> None:
        own = torch.ones(3, requires_grad=True)
        own.square().sum().backward()

    with AskedGradients() as inside:
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
    ask()
    assert inside.count == 0
    with AskedGradients() as again:
        ask()
    assert (inside.count, again.count) == (0, 1)


def test_cases_that_are_answered_alike_alone_and_together_depend_on_nothing(batch: Batch) -> None:
    assert dependence(target(), batch) == 0
    assert dependence(target(lambda image: image - image.mean()), batch) > 0.05


def test_the_test_of_dependence_leaves_generators_as_they_were(batch: Batch) -> None:
    before = torch.get_rng_state()
    assert dependence(target(lambda image: image + torch.rand_like(image)), batch) > 0
    assert torch.equal(torch.get_rng_state(), before)


def test_logits_that_are_probabilities_show(batch: Batch) -> None:
    softmax = ClassificationTarget(nn.Sequential(Net(lambda image: image), nn.Softmax(1)).eval(), "0" * 12)
    assert probe(softmax, batch).normalised is True
    assert probe(target(), batch).normalised is False
    one = ClassificationTarget(nn.Sequential(nn.Flatten(), nn.Linear(36, 1), nn.Sigmoid()).eval(), "0" * 12)
    assert probe(one, batch).normalised is None


@pytest.mark.parametrize(
    ("change", "shares"),
    [
        (lambda image: image.round(), (0.0, 1.0, 1.0)),
        (lambda image: image[..., :1, :1], (0.0, 35 / 36, 0.0)),
        (lambda image: image + (image - image.detach()).abs().sqrt(), (1.0, 0.0, 0.0)),
    ],
)
def test_gradients_that_vanish_or_break_show(batch: Batch, change: Callable[[Tensor], Tensor], shares: tuple[float, ...]) -> None:
    found = probe(target(change), batch, WHITE)
    assert (found.broken, found.zero, found.flat) == pytest.approx(shares)


def test_certain_is_what_float32_rounds_to_one() -> None:
    assert certain(torch.tensor([[1.0, 0.0], [0.999, 0.001]])) == 0.5
    assert certain(torch.tensor([[1e-9], [1e-6], [1 - 1e-6], [1.0]])) == 0.5


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Norm(norm="linf", epsilon=0.25), 0.5),
        (MaximumNorm(0.25), 0.5),
        (Norm(norm="l2", epsilon=1.0), 0.5),
        (Norm(epsilon="inf"), None),
        (IntensityRange(), None),
        (None, None),
    ],
)
def test_grey_is_where_half_the_contrast_is_allowed(budget: Budget | None, expected: float | None) -> None:
    image = torch.tensor([0.0, 1.0]).repeat(8).view(1, 1, 4, 4)  # 16 pixels, each half of the range from its mean: length 2
    found = grey(budget, torch.cat([image, image.repeat(1, 1, 1, 1)]))
    assert found == (None if expected is None else pytest.approx(expected))
    if isinstance(budget, Norm) and budget.bounded:
        assert bool((budget.radius(image) * 2 >= (image - 0.5).abs().max()).all())


def test_the_probe_is_small_and_its_passes_are_nobody_s(batch: Batch) -> None:
    asked = []
    probe(target(lambda image: asked.append(len(image)) or image), batch, WHITE)  # type: ignore[func-returns-value]
    assert sum(asked) == 2 * 4 + 2, "two cases: three answers, one loss, and both at once for their logits"
