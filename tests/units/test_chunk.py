from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from medrobust.chunk import TOGETHER, VALUES, chunked, fitting
from medrobust.guard import BLACK_BOX, WHITE_BOX, Guarded, singly
from medrobust.targets import zoo
from medrobust.types import Batch, Case, Target

N = 2 * TOGETHER + 3


@pytest.fixture
def one_thread() -> object:
    """As the harness computes."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def images(*shape: int, n: int = N) -> Batch:
    image = torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))
    return Batch(image, torch.arange(n) % 2, tuple(Case(f"{i}", f"{i}", f"{i}") for i in range(n)))


@pytest.fixture
def batch() -> Batch:
    return images(1, 28, 28)


@pytest.fixture
def target() -> Target:
    return zoo.load("pneumonia-resnet")


@dataclass(frozen=True, eq=False)
class Changed:
    """A classifier whose answer to a whole pass is changed by `change`."""

    target: Target
    change: Callable[[Tensor], Tensor]
    task: str = "classification"
    digest: str = "0" * 12

    def logits(self, image: Tensor) -> Tensor:
        return self.change(self.target.logits(image))  # type: ignore[attr-defined, no-any-return]

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        return self.logits(image).sigmoid()

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        return self.logits(image)[:, 0]

    def to(self, device: torch.device | str) -> Target:
        return self


def put(target: Target, batch: Batch, threat: str) -> Guarded:
    return chunked(target, threat, "cpu", lambda: batch.select([0]))


def slopes(guarded: Guarded, batch: Batch) -> Tensor:
    image = batch.image.clone().requires_grad_()
    return torch.autograd.grad(guarded.loss(image, batch).sum(), image)[0]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("size", [1, 2, TOGETHER - 1, TOGETHER, TOGETHER + 1, N])
def test_a_classifier_answers_to_the_last_bit_whatever_the_batch(target: Target, batch: Batch, size: int) -> None:
    guarded = put(target, batch, WHITE_BOX)
    assert (guarded.micro_batch, guarded.filled) == (TOGETHER, True)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(size)).tolist()
    parts = [batch.select(order[start : start + size]) for start in range(0, N, size)]
    answers, slope = torch.cat([guarded(part.image, part) for part in parts]), torch.cat([slopes(guarded, part) for part in parts])
    assert torch.equal(answers, guarded(batch.image, batch)[order])
    assert torch.equal(slope, slopes(guarded, batch)[order])
    torch.testing.assert_close(slopes(Guarded(target), batch)[order], slope, rtol=1e-3, atol=1e-6)


def test_filled_passes_are_counted_as_the_cases_that_were_asked_for(target: Target, batch: Batch) -> None:
    guarded = put(target, batch, WHITE_BOX)
    slopes(guarded, batch)
    assert (guarded.passes.forward, guarded.passes.gradient) == (N, N)


def test_whose_answer_depends_on_its_place_is_asked_one_by_one(target: Target, batch: Batch) -> None:
    by_place = Changed(target, lambda logits: logits + 1e-6 * torch.arange(len(logits))[:, None])
    assert put(by_place, batch, BLACK_BOX).micro_batch == 1
    assert put(Changed(target, lambda logits: logits), batch, BLACK_BOX).micro_batch == TOGETHER


def test_whose_gradient_alone_depends_on_its_place_is_asked_one_by_one_where_gradients_are(target: Target, batch: Batch) -> None:
    class Uneven(torch.autograd.Function):
        @staticmethod
        def forward(context: object, logits: Tensor) -> Tensor:
            return logits.clone()

        @staticmethod
        def backward(context: object, slope: Tensor) -> Tensor:
            return slope * (1 + torch.arange(len(slope))[:, None])

    uneven = Changed(target, Uneven.apply)
    assert put(uneven, batch, WHITE_BOX).micro_batch == 1
    assert put(uneven, batch, BLACK_BOX).micro_batch == TOGETHER


def test_a_stochastic_target_is_asked_one_by_one_and_no_generator_moves(target: Target, batch: Batch) -> None:
    drawing = Changed(target, lambda logits: logits + 0.01 * torch.randn_like(logits))
    before = torch.random.get_rng_state()
    assert put(drawing, batch, WHITE_BOX).micro_batch == 1
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_larger_an_image_the_fewer_share_a_pass() -> None:
    assert fitting(images(1, 128, 128, n=1)) == TOGETHER
    assert fitting(images(4, 64, 64, 64, n=1)) == 4
    assert fitting(images(1, VALUES // 4 + 1, 1, n=1)) == 2
    assert fitting(images(1, VALUES + 1, 1, n=1)) == 1


def test_who_asks_case_by_case_fills_nothing_up_and_is_counted_with_the_rest(target: Target, batch: Batch) -> None:
    sizes: list[int] = []

    def noted(logits: Tensor) -> Tensor:
        sizes.append(len(logits))
        return logits

    guarded = put(Changed(target, noted), batch, WHITE_BOX)
    sizes.clear()
    one = batch.select([0])
    guarded(one.image, one)
    singly(guarded)(one.image, one)
    assert sizes == [TOGETHER, 1]
    assert guarded.passes.forward == 2


def test_no_case_is_loaded_for_a_target_that_is_asked_one_by_one_anyway() -> None:
    def first() -> Batch:
        pytest.fail("loaded a case")

    assert chunked(zoo.untrained("unet", {"channels": 4, "pools": 2}), WHITE_BOX, "cpu", first).micro_batch == 1
