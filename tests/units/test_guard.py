from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medrobust.guard import BLACK_BOX, NO_BOX, WHITE_BOX, Fingerprint, Guarded, frozen, micro_batch, modules, unguarded
from medrobust.targets import zoo
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.types import Batch, Case, Target

N = 5


@pytest.fixture
def target() -> Target:
    return zoo.untrained("unet", {"channels": 4, "pools": 2})


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(N, 1, 32, 32, generator=generator)
    mask = torch.rand(N, 1, 1, 32, generator=generator) < 0.5
    cases = tuple(Case(str(index), str(index), str(index)) for index in range(N))
    return Batch(image, image, cases, {"phase": torch.zeros_like(image), "mask": mask})


@pytest.mark.parametrize("size", [1, 2, 3, 4, 64])
def test_answers_do_not_depend_on_the_micro_batch(target: Target, batch: Batch, size: int) -> None:
    expected = Guarded(target, micro_batch=1)(batch.image, batch)
    torch.testing.assert_close(Guarded(target, micro_batch=size)(batch.image, batch), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(target(batch.image, batch), expected, rtol=0, atol=1e-5)


def test_on_a_cpu_a_case_is_answered_to_the_last_bit_whatever_stands_beside_it(target: Target, batch: Batch) -> None:
    guarded = Guarded(target, micro_batch=micro_batch("cpu"))
    together = guarded(batch.image, batch)
    for index in range(N):
        alone = guarded(batch.image[[index]], batch.select([index]))
        assert torch.equal(alone[0], together[index])


def gradient(guarded: Guarded, batch: Batch) -> torch.Tensor:
    image = batch.image.clone().requires_grad_()
    (slope,) = torch.autograd.grad(guarded.loss(image, batch).sum(), image)
    return slope


def test_gradients_do_not_depend_on_what_stands_beside_a_case(target: Target, batch: Batch) -> None:
    guarded = Guarded(target)
    together = gradient(guarded, batch)
    assert torch.equal(gradient(guarded, batch.select([3]))[0], together[3])
    torch.testing.assert_close(gradient(Guarded(target, micro_batch=64), batch), together, rtol=1e-3, atol=1e-6)


def test_forward_and_gradient_passes_are_counted_per_case(target: Target, batch: Batch) -> None:
    guarded = Guarded(target)
    guarded(batch.image, batch)
    assert (guarded.passes.forward, guarded.passes.gradient) == (N, 0)
    gradient(guarded, batch)
    assert (guarded.passes.forward, guarded.passes.gradient) == (2 * N, N)


def test_a_copy_on_another_device_counts_into_the_same_total(target: Target, batch: Batch) -> None:
    guarded = Guarded(target)
    guarded.to("cpu")(batch.image, batch)
    assert guarded.passes.forward == N


def test_a_black_box_never_carries_a_graph(target: Target, batch: Batch) -> None:
    image = batch.image.clone().requires_grad_()
    for answer in (Guarded(target, BLACK_BOX)(image, batch), Guarded(target, BLACK_BOX).loss(image, batch)):
        assert not answer.requires_grad
        assert answer.grad_fn is None
    assert Guarded(target, WHITE_BOX).loss(image, batch).requires_grad


def test_a_target_that_asks_for_gradients_of_its_own_is_answered_for_and_shows_a_black_box_none(batch: Batch) -> None:
    class Optimises(nn.Module):
        def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
            with torch.enable_grad():
                step = torch.zeros_like(zero_filled, requires_grad=True)
                (slope,) = torch.autograd.grad((zero_filled + step).abs().square().sum(), step)
                return zero_filled - 0.1 * slope

    optimises = ReconstructionTarget(Optimises().eval(), "0" * 12)
    image = batch.image.clone().requires_grad_()
    assert not Guarded(optimises, BLACK_BOX)(image, batch).requires_grad
    with torch.no_grad():
        assert not Guarded(optimises, WHITE_BOX)(image, batch).requires_grad
    assert Guarded(optimises, WHITE_BOX)(image, batch).requires_grad


@pytest.mark.parametrize("threat", [BLACK_BOX, NO_BOX])
def test_what_stands_behind_the_guard_is_closed_to_those_who_may_not_see_it(target: Target, threat: str) -> None:
    assert Guarded(target, WHITE_BOX).target is target
    with pytest.raises(AttributeError, match=f"closed to {threat} probes"):
        _ = Guarded(target, threat).target
    assert unguarded(Guarded(target, threat)) is unguarded(target) is target


def test_a_gradient_with_respect_to_the_acquisition_is_also_given(target: Target, batch: Batch) -> None:
    phase = torch.zeros_like(batch.image).requires_grad_()
    loss = Guarded(target).loss(batch.image, batch.with_context(phase=phase)).sum()
    assert torch.autograd.grad(loss, phase)[0].abs().sum() > 0


def test_an_answer_without_a_graph_is_an_ordinary_tensor(target: Target, batch: Batch) -> None:
    answer = Guarded(target, BLACK_BOX)(batch.image, batch)
    assert not answer.is_inference()
    weight = torch.ones(1, requires_grad=True)
    (answer * weight).sum().backward()
    assert weight.grad is not None


def test_parameters_are_frozen_inside_and_restored_after(target: Target) -> None:
    (network,) = modules(target)
    first, second, *_ = network.parameters()
    first.requires_grad_(True)
    second.requires_grad_(False)
    with frozen(target):
        assert not any(parameter.requires_grad for parameter in network.parameters())
    assert first.requires_grad
    assert not second.requires_grad


def test_the_networks_of_a_wrapped_target_are_found(tiny: Path, target: Target) -> None:
    import tiny_plugins

    assert modules(tiny_plugins.Smoothed(target)) == modules(target)
    assert modules(Guarded(target)) == modules(target)


def retrain(network: nn.Module) -> None:
    next(network.parameters()).data.add_(1e-3)


@pytest.mark.parametrize(
    ("change", "expected"),
    [(retrain, "weights"), (nn.Module.train, "mode"), (lambda network: network.register_forward_hook(lambda *_: None), "hooks")],
)
def test_a_fingerprint_sees_what_was_changed(target: Target, change: object, expected: str) -> None:
    assert callable(change)
    before = Fingerprint.of(target)
    assert before.changes(Fingerprint.of(target)) == ""
    change(modules(target)[0])
    assert before.changes(Fingerprint.of(target)) == expected
