"""SegPGD, CosPGD and PGD step by step against plain numpy in double precision, and the splines against scipy's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Case
from medrobust_attacks.deformation.budget import DeformationBudget
from medrobust_attacks.segmentation.cospgd import CosPGD
from medrobust_attacks.segmentation.gradient_ascent import GradientAscent
from medrobust_attacks.segmentation.pgd import PGD
from medrobust_attacks.segmentation.segpgd import SegPGD
from medrobust_attacks.segmentation.splines import surface

Array = NDArray[np.float64]
CASES, SIZE, CLASSES, STEPS = 3, 6, 5, 7
PIXELS = SIZE * SIZE
P = 0.2


@dataclass(frozen=True, eq=False)
class Mixing:
    """Logits that are a random linear map of all pixels of the slice, so that the weight of each pixel bends the slope everywhere.

    mix: (classes * pixels, pixels). bias: (classes * pixels,). images: what was asked, in order.
    """

    mix: Tensor
    bias: Tensor
    images: list[Tensor] = field(default_factory=list)

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        self.images.append(image.detach().clone())
        z_score = (image - batch.context["mean"].view(-1, 1, 1, 1)) / batch.context["std"].view(-1, 1, 1, 1)
        return (z_score.flatten(1) @ self.mix.T + self.bias).view(-1, CLASSES, SIZE, SIZE).log_softmax(1)


def problem(seed: int) -> tuple[Mixing, Batch]:
    random = torch.Generator().manual_seed(seed)
    mix = 0.4 * torch.randn(CLASSES * PIXELS, PIXELS, generator=random)
    std = torch.tensor([80.0, 150.0, 400.0])
    image = 30 + std.view(-1, 1, 1, 1) * torch.randn(CASES, 1, SIZE, SIZE, generator=random)
    truth = torch.randint(0, CLASSES, (CASES, 1, SIZE, SIZE), generator=random)
    context = {"mean": torch.full((CASES,), 30.0), "std": std, "spacing": torch.ones(CASES, 2)}
    cases = tuple(Case(f"{i}", "p", "g") for i in range(CASES))
    return Mixing(mix, torch.randn(CLASSES * PIXELS, generator=random)), Batch(image, truth, cases, context)


def probabilities(target: Mixing, image: Array, batch: Batch) -> Array:
    """(n, classes, pixels)."""
    z_score = (image.reshape(CASES, -1) - 30) / batch.context["std"].double().numpy()[:, None]
    logits = (z_score @ target.mix.double().numpy().T + target.bias.double().numpy()).reshape(CASES, CLASSES, PIXELS)
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def one_hot(batch: Batch) -> Array:
    """(n, classes, pixels)."""
    return np.asarray(batch.truth.flatten(2).numpy() == np.arange(CLASSES)[None, :, None], dtype=np.float64)


def alike(found: Array, truth: Array, step: int) -> Array:
    return np.ones((CASES, PIXELS))


def published_segpgd(found: Array, truth: Array, step: int) -> Array:
    grown = step / (2 * STEPS)
    right = found.argmax(1) == truth.argmax(1)
    return np.where(right, 1 - grown, grown)


def published_cospgd(found: Array, truth: Array, step: int) -> Array:
    lengths = np.sqrt((found**2).sum(1)) * np.sqrt((truth**2).sum(1))
    return np.asarray((found * truth).sum(1) / lengths)


Rule = Callable[[Array, Array, int], Array]
RULES: list[tuple[type[GradientAscent], Rule]] = [(PGD, alike), (SegPGD, published_segpgd), (CosPGD, published_cospgd)]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("attack", "rule"), RULES, ids=["pgd", "segpgd", "cospgd"])
def test_every_step_is_that_of_the_published_rule(attack: type[GradientAscent], rule: Rule, seed: int) -> None:
    target, batch = problem(seed)
    found = attack(steps=STEPS, step=0.4)(target, batch, DeformationBudget(p=P), CaseRandom.of(range(CASES)))
    clean, truth = batch.image.double().numpy().reshape(CASES, -1), one_hot(batch)
    edge = P * batch.context["std"].double().numpy()[:, None]
    asked = [image.double().numpy().reshape(CASES, -1) for image in target.images]
    assert len(asked) == STEPS + 1
    assert np.all(np.abs(asked[0] - clean) <= edge * (1 + 1e-5))
    for step in range(STEPS):
        now = probabilities(target, asked[step], batch)
        loss = -np.log((now * truth).sum(1)).mean(1)
        np.testing.assert_allclose(found.trace["loss"][:, step].numpy(), loss, rtol=1e-4)
        weight = rule(now, truth, step)
        pull = (weight[:, None] * (now - truth)).reshape(CASES, -1)  # slope of the weighted cross-entropy in the logits
        slope = pull @ target.mix.double().numpy()
        due = np.clip(asked[step] + 0.4 * edge * np.sign(slope), clean - edge, clean + edge)
        certain = np.abs(slope) > 1e-4 * np.abs(slope).max()
        assert certain.mean() > 0.9
        np.testing.assert_allclose(asked[step + 1][certain], due[certain], atol=1e-2)


def test_the_rules_differ_where_pixels_mix() -> None:
    images = []
    for attack, _ in RULES:
        target, batch = problem(1)
        attack(steps=STEPS, step=0.4)(target, batch, DeformationBudget(p=P), CaseRandom.of(range(CASES)))
        images.append(target.images[-1])
    assert all((images[i] != images[j]).flatten(1).any(1).all() for i in range(3) for j in range(i))


def test_weights_of_random_log_probabilities() -> None:
    _, batch = problem(5)
    logs = torch.randn(CASES, CLASSES, SIZE, SIZE, generator=torch.Generator().manual_seed(6)).log_softmax(1)
    found, truth = logs.exp().flatten(2).double().numpy(), one_hot(batch)
    for attack, rule in RULES:
        for step in (0, 3, STEPS - 1):
            weights = attack(steps=STEPS).weights(logs, batch.truth, step)
            np.testing.assert_allclose(weights.flatten(1).numpy(), rule(found, truth, step), rtol=1e-5)


@pytest.mark.parametrize(("height", "width", "knots"), [(11, 17, 1), (16, 9, 4), (5, 32, 7)])
def test_a_surface_is_scipys_uniform_cubic_spline(height: int, width: int, knots: int) -> None:
    control = torch.randn(2, 3, knots + 3, knots + 3, generator=torch.Generator().manual_seed(0))
    breaks = np.arange(-3, knots + 4)
    rows, columns = ((np.arange(length) + 0.5) / length * knots for length in (height, width))
    due = BSpline(breaks, BSpline(breaks, control.double().numpy(), 3, axis=2)(rows), 3, axis=3)(columns)
    np.testing.assert_allclose(surface(control, height, width).numpy(), due, atol=1e-5)
