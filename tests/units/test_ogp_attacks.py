"""Masks as attacks: their budget, the trained one, its control of equal distance, gradient ascent, and what is measured of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor

from medrobust.guard import BLACK_BOX, Guarded
from medrobust.testing.bench import Bench
from medrobust.types import Attacked, Batch, Outcome
from medrobust_attacks.perturbation.attack import GlobalPerturbationAttack
from medrobust_attacks.perturbation.budget import MaskBudget, mean_change
from medrobust_attacks.perturbation.generator import Generator
from medrobust_attacks.perturbation.global_mask import GlobalPerturbation
from medrobust_attacks.perturbation.gradient import MaskGradient
from medrobust_attacks.perturbation.metrics import Flip, ImageL1, ProbabilityChange, flipped
from medrobust_attacks.perturbation.random_mask import RandomMask, blanked

BENCH = Bench(MaskBudget(), size=12, task="classification")
SETTINGS = GlobalPerturbation(Generator((4, 4)))
WEIGHTS = SETTINGS.generator.build(3, 4).state_dict()
TRAINED = GlobalPerturbationAttack(training=SETTINGS, weights=WEIGHTS)
CONTROL = RandomMask(training=SETTINGS, weights=WEIGHTS)
BUDGETS = [MaskBudget(), MaskBudget(mean_change=0.01), MaskBudget(highest=1.5, mean_change=0.02)]


def attacked(
    attack: GlobalPerturbationAttack | RandomMask | MaskGradient, budget: MaskBudget, batch: Batch, seed: int = 0
) -> tuple[Attacked, Guarded]:
    target = Guarded(BENCH.target(), attack.threat)
    return attack(target, batch, budget, BENCH.random(batch.cases, seed)), target


@pytest.mark.parametrize("budget", BUDGETS, ids=repr)
@pytest.mark.parametrize("attack", [TRAINED, CONTROL, MaskGradient(steps=4)], ids=lambda attack: type(attack).__name__)
def test_attacks_stay_in_the_budget_and_ask_what_they_say(attack: GlobalPerturbationAttack | RandomMask | MaskGradient, budget: MaskBudget) -> None:
    batch = BENCH.batch()
    found, target = attacked(attack, budget, batch)
    assert budget.audit(batch, found) == ("",) * 4
    assert (found.image != batch.image).flatten(1).any(1).all()
    assert target.passes.forward == 4 * attack.queries
    assert target.passes.gradient == 4 * attack.gradients
    one, _ = attacked(attack, budget, batch.select([2]))
    assert torch.allclose(found.image[2], one.image[0], atol=1e-6)


@pytest.mark.parametrize("activation", ["linear", "1+tanh"])
def test_a_mask_that_adds_intensity_is_brought_into_the_budget(activation: str) -> None:
    adding = replace(SETTINGS, generator=Generator((4, 4), activation=activation, bias=1.0))
    batch = BENCH.batch()
    found, _ = attacked(GlobalPerturbationAttack(training=adding, weights=WEIGHTS), MaskBudget(), batch)
    assert MaskBudget().audit(batch, found) == ("",) * 4


def test_the_control_takes_as_much_from_each_sequence_in_a_place_of_its_own() -> None:
    batch = BENCH.batch()
    trained, control = (attacked(attack, MaskBudget(), batch)[0].image for attack in (TRAINED, CONTROL))
    one, other = ((image - batch.image).abs().flatten(2).double().mean(2) for image in (trained, control))
    assert torch.allclose(one, other, rtol=1e-5)
    elsewhere = attacked(CONTROL, MaskBudget(), batch, seed=1)[0].image
    assert not torch.equal(control, elsewhere)
    assert torch.equal(control, attacked(CONTROL, MaskBudget(), batch)[0].image)
    partly = ((control > 0) & (control < batch.image)).flatten(2).sum(2)
    assert (partly <= 1).all(), "voxels are blanked or kept, but for the last one"
    assert ((control < batch.image).flatten(2).sum(2) > 1).all()


@given(st.integers(0, 10**6), st.lists(st.floats(0, 1.2), min_size=2, max_size=2))
def test_blanking_begins_where_the_field_is_highest_and_ends_when_enough_is_taken(seed: int, shares: list[float]) -> None:
    generator = torch.Generator().manual_seed(seed)
    image, where = torch.rand(2, 3, 4, generator=generator), torch.rand(3, 4, generator=generator)
    taken = torch.tensor(shares).double() * image.flatten(1).double().sum(1)
    found = blanked(image, where, taken)
    lost = (image - found).flatten(1).double().sum(1)
    assert torch.allclose(lost, torch.minimum(taken, image.flatten(1).double().sum(1)), atol=1e-5)
    for channel in range(2):
        touched = found[channel] < image[channel]
        if touched.any() and not touched.all():
            assert where[touched].min() > where[~touched & (image[channel] > 0)].max()


def test_gradient_ascent_raises_the_loss_and_returns_its_best_query() -> None:
    batch, target = BENCH.batch(), BENCH.target()
    clean = target.loss(batch.image, batch)
    for budget in BUDGETS:
        found, _ = attacked(MaskGradient(steps=6), budget, batch)
        loss = target.loss(found.image, batch)
        assert (loss > clean).all()
        assert torch.allclose(loss, found.trace["loss"].amax(1), rtol=1e-5)
        assert found.trace["loss"].shape == (4, 6)
        assert torch.allclose(found.trace["loss"][:, 0], clean, rtol=1e-5)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.sampled_from(BUDGETS))
def test_the_projection_is_the_nearest_image_of_the_budget(seed: int, budget: MaskBudget) -> None:
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(2, 1, 2, 3, generator=generator)
    image = clean + 0.4 * torch.randn(2, 1, 2, 3, generator=generator)
    found = budget.project(image, clean)
    kept = Attacked(found)
    assert budget.audit(Batch(clean, torch.zeros(2), ()), kept) == ("", "")
    assert torch.allclose(budget.project(found, clean), found, atol=1e-6)
    for i in range(2):
        assert float((found[i] - image[i]).norm()) <= nearest(image[i], clean[i], budget) + 1e-4


def nearest(image: Tensor, clean: Tensor, budget: MaskBudget) -> float:
    """Distance to the budget by sequential quadratic programming over the parts that are added and taken away."""
    x, c = image.flatten().double().numpy(), clean.flatten().double().numpy()
    n = len(x)
    limit = np.inf if budget.mean_change is None else budget.mean_change * n
    bounds = [(0, (budget.highest - 1) * one) for one in c] + [(0, one) for one in c]
    constraints = [{"type": "ineq", "fun": lambda v: limit - v.sum()}] if np.isfinite(limit) else []
    found = minimize(lambda v: ((c + v[:n] - v[n:] - x) ** 2).sum(), np.zeros(2 * n), bounds=bounds, constraints=constraints, method="SLSQP")
    return float(np.sqrt(max(found.fun, 0)))


def test_the_audit_finds_what_leaves_the_budget() -> None:
    batch, budget = BENCH.batch(), MaskBudget(mean_change=0.05)

    def audit(image: Tensor, **more: object) -> str:
        return budget.audit(batch, Attacked(image, **more))[1]  # type: ignore[arg-type]

    image = batch.image.clone()
    assert audit(image) == ""
    assert "beyond its range, allowed 0 to 1 times its value" in audit(image + 1e-3)
    assert "beyond its range" in audit(image - 1e-3)
    assert "found a mean change of" in audit(image * 0.2)
    assert audit(image, truth=1 - batch.truth) == "truth or acquisition were changed, only the image may be"
    assert audit(image, context={"brain": batch.context["brain"]}) == "truth or acquisition were changed, only the image may be"
    assert MaskBudget().audit(batch, Attacked(image * 0)) == ("",) * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [({"highest": 0.9}, "highest: found 0.9"), ({"mean_change": 0.0}, "mean_change: found 0.0"), ({"mean_change": float("nan")}, "found nan")],
)
def test_impossible_budgets_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskBudget(**options)


@pytest.mark.parametrize("options", [{"steps": 1}, {"step": 0.0}, {"share": 1.5}])
def test_impossible_searches_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}: found {next(iter(options.values()))}"):
        MaskGradient(**options)  # type: ignore[arg-type]


def test_flips_are_told_apart_by_the_class_that_was_predicted_before() -> None:
    before, after = torch.tensor([0.9, 0.9, 0.1, 0.1, 0.5]), torch.tensor([0.8, 0.2, 0.2, 0.7, 0.49])
    found = flipped(before, after)
    assert found["HGG->LGG"].nan_to_num(-1).tolist() == [0, 1, -1, -1, 1]
    assert found["LGG->HGG"].nan_to_num(-1).tolist() == [-1, -1, 0, 1, -1]


def test_metrics_compare_with_the_clean_answer_and_image() -> None:
    batch = BENCH.batch()
    target = Guarded(BENCH.target(), BLACK_BOX)
    image = batch.image.clone()
    image[:, 1] *= 0.5
    clean = target(batch.image, batch)[:, 0]
    prediction = torch.stack([1 - clean, clean], 1)[:, [0]].clone()
    outcome = Outcome(batch, Attacked(image), prediction, target=target)
    flip = Flip()(outcome)
    assert flip[""].tolist() == [1, 1, 1, 1]
    assert (flip["HGG->LGG"].isnan() == (clean < 0.5)).all()
    assert torch.allclose(ProbabilityChange()(outcome), (1 - 2 * clean).abs())
    distance = ImageL1()(outcome)
    assert torch.allclose(distance["T1ce"], batch.image[:, 1].flatten(1).mean(1) / 2)
    assert distance["FLAIR"].tolist() == [0] * 4
    assert torch.allclose(distance[""], distance["T1ce"] / 4)
    assert torch.allclose(distance[""], mean_change(image, batch.image))
    two = Outcome(batch, Attacked(image), torch.cat([1 - prediction, prediction], 1), target=target)
    assert torch.equal(Flip()(two)[""], flip[""]), "softmax over two classes"
    with pytest.raises(ValueError, match="outcome without its target"):
        Flip()(Outcome(batch, Attacked(image), prediction))
