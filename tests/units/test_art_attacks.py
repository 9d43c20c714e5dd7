"""What the adapter keeps ART from: other units, other ranges, other budgets, shared randomness, and tasks it cannot attack."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from medrobust.budgets import Norm, length
from medrobust.guard import Guarded
from medrobust.metrics.classification import predicted
from medrobust.randomness import CaseRandom
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing import Bench
from medrobust.testing.mammograms import MassReader
from medrobust.types import Attacked, Batch
from medrobust_attacks.art.alone import closed, seeded
from medrobust_attacks.art.apgd import APGD
from medrobust_attacks.art.autoattack import AutoAttack
from medrobust_attacks.art.carlini_wagner import CarliniWagner
from medrobust_attacks.art.estimator import limits
from medrobust_attacks.art.fgsm import FGSM
from medrobust_attacks.art.mim import MIM
from medrobust_attacks.art.pgd import PGD
from medrobust_attacks.art.square import Square

ANY = (FGSM(), FGSM(keep="last"), PGD(steps=4, restarts=2), PGD(steps=3, keep="last"), MIM(steps=4))
CW = CarliniWagner(steps=2, searches=2, constant=1.0)
FLAT = (Square(iterations=8), Square(iterations=8, keep="last"), AutoAttack(steps=3, square=5))
ALONE = (APGD(steps=4), APGD(steps=4, keep="last"), CW, replace(CW, keep="last"))
IMAGES = ("reconstruction", "classification", "segmentation", "mammograms")
SHOWN = {"ids": lambda one: f"{type(one).__name__}-{one.keep}"}


def bench(images: str) -> Bench:
    return next(one for one in Bench.normed(object()) if images in (one.images, one.task) and (one.images or images != "mammograms"))


def linear(height: int, width: int) -> ClassificationTarget:
    """A linear reader of random weights, one logit."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return ClassificationTarget(nn.Sequential(nn.Flatten(), nn.Linear(height * width, 1)).requires_grad_(False).eval(), "0" * 12)


def attacked(attack: Any, target: Any, batch: Batch, budget: Norm) -> Attacked:
    return attack(Guarded(target, attack.threat), batch, budget, CaseRandom.of(range(len(batch))))


@pytest.mark.parametrize("images", IMAGES)
@pytest.mark.parametrize("attack", [*ANY, *ALONE, *FLAT], **SHOWN)
def test_the_true_change_is_within_the_budget(attack: Any, images: str) -> None:
    one = bench(images)
    if attack not in ANY and (one.task != "classification" or (images != "mammograms" and attack in FLAT)):
        return
    batch = one.batch()
    unit = " HU" if images == "segmentation" else ""
    low, high = float(batch.image.min()), float(batch.image.max())
    for budget in (
        *([] if isinstance(attack, Square) else [Norm("l2", "2 %")]),
        Norm("linf", f"20{unit}" if unit else 0.02),
        Norm("linf", "1 %", low, high),
        Norm("linf" if isinstance(attack, Square) else "l2", "3 %", low + 0.1 * (high - low), high),  # some clean pixels lie outside of the range
        Norm("linf", 0.03, low, None),
    )[: 2 if images == "classification" and attack in ALONE else None]:
        found = attacked(attack, one.target(), batch, budget)
        assert budget.audit(batch, found) == ("",) * len(batch)
        assert found.image.dtype == torch.float32


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("attack", [FGSM(keep="last"), PGD(steps=4, keep="last"), MIM(steps=4, keep="last")], **SHOWN)
def test_the_budget_is_spent(attack: Any, norm: str) -> None:
    one, budget = bench("reconstruction"), Norm(norm, "1 %")
    batch = one.batch()
    moved = length(attacked(attack, one.target(), batch, budget).image - batch.image, norm)
    torch.testing.assert_close(moved, budget.radius(batch.image), rtol=1e-3, atol=0)


class Hounsfield(nn.Module):
    """A reader of images in HU, from -1000 to 1000."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = MassReader()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.reader(image / 1000)
        return answer


@pytest.mark.parametrize("attack", [*ANY, *ALONE, *FLAT], **SHOWN)
def test_an_image_in_hu_is_never_clamped_to_0_1(attack: Any) -> None:
    batch = bench("mammograms").batch()
    batch = replace(batch, image=batch.image * 1000)
    target, budget = ClassificationTarget(Hounsfield().eval(), "0" * 12), Norm("linf", "20 HU")
    found = attacked(attack, target, batch, budget).image
    assert float((found - batch.image).abs().max()) <= 20.001
    assert float(found.min()) < -900
    assert float(found.max()) > 900
    assert limits(budget) is None
    assert closed(budget) is None


def test_a_range_is_the_budgets_own() -> None:
    assert limits(Norm("linf", 1, -1000, 3000)) == (-1000, 3000)
    assert limits(Norm("linf", 1, 0.0)) == (0.0, np.inf)
    assert closed(Norm("linf", 1, 0.0)) is None
    assert closed(Norm("linf", 1, -1000, 3000)) == (0.0, 1.0)


@pytest.mark.parametrize("attack", [FGSM(), PGD(steps=4), MIM(steps=4), APGD(steps=4), Square(iterations=60), CW, AutoAttack(steps=4)], **SHOWN)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_without_a_bound_every_case_is_fooled(attack: Any, norm: str) -> None:
    """By a linear reader, whose slope is right everywhere."""
    if norm not in getattr(attack, "norms", (norm,)):
        return
    target = linear(32, 32)
    batch = bench("mammograms").batch()
    batch = replace(batch, truth=predicted(target(batch.image, batch)))
    found = attacked(attack, target, batch, Norm(norm, "inf", -1.0, 1.0))
    assert bool((predicted(target(found.image, batch)) != batch.truth).all())


@pytest.mark.parametrize("attack", [PGD(steps=6), APGD(steps=6), Square(iterations=10), CW], **SHOWN)
def test_a_query_that_succeeded_is_returned(attack: Any) -> None:
    one = bench("mammograms")
    batch, target = one.batch(), one.target()
    for epsilon in ("2/255", "16/255", "64/255"):
        found = attacked(attack, target, batch, Norm("linf", epsilon, -1.0, 1.0))
        with torch.no_grad():
            wrong = predicted(target(found.image, batch)) != batch.truth
        assert wrong.tolist() == (found.trace["success"] > 0).any(1).tolist()


@pytest.mark.parametrize("attack", [APGD(steps=3), CW, replace(CW, keep="last")], **SHOWN)
def test_a_case_that_is_wrong_when_clean_is_left_as_it_is(attack: Any) -> None:
    one = bench("mammograms")
    batch = replace(one.batch(), truth=1 - one.batch().truth)
    target = Guarded(one.target(), attack.threat)
    with torch.no_grad():
        wrong = predicted(one.target()(batch.image, batch)) != batch.truth
    assert wrong.sum() == 2
    batch = batch.select(wrong.nonzero()[:, 0].tolist())
    found = attack(target, batch, Norm("linf", 0.1), CaseRandom.of(range(len(batch))))
    assert target.passes.forward == len(batch)
    torch.testing.assert_close(found.image, batch.image, rtol=0, atol=0)
    assert found.trace["loss"].shape == (len(batch), attack.queries)


def test_the_generators_of_numpy_and_python_are_put_back_even_after_an_error() -> None:
    def ask() -> None:
        with seeded(3):
            np.random.rand(5)  # noqa: NPY002 - what ART draws from
            random.random()  # noqa: S311
            raise KeyError

    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    with pytest.raises(KeyError):
        ask()
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert random.getstate() == before[1]


@pytest.mark.parametrize("attack", [PGD(steps=2), APGD(steps=3), Square(iterations=4)], **SHOWN)
def test_a_random_case_depends_on_its_own_stream_alone(attack: Any) -> None:
    one = bench("mammograms")
    batch, target = one.batch(), one.target()
    budget = Norm("linf", "4/255", -1.0, 1.0)
    whole = attack(Guarded(target, attack.threat), batch, budget, CaseRandom.of([7, 8, 9, 10]))
    alone, other = (attack(Guarded(target, attack.threat), batch.select([1]), budget, CaseRandom.of([seed])) for seed in (8, 9))
    torch.testing.assert_close(whole.image[1:2], alone.image, rtol=0, atol=0)
    torch.testing.assert_close(whole.trace["loss"][1:2], alone.trace["loss"], rtol=0, atol=0)
    assert not torch.equal(alone.trace["loss"], other.trace["loss"])


@pytest.mark.parametrize("images", ["reconstruction", "segmentation"])
@pytest.mark.parametrize(("attack", "instead"), [(APGD(), "apgd"), (Square(), "square"), (CarliniWagner(), "apgd"), (AutoAttack(), "autoattack")])
def test_a_task_that_art_cannot_attack_is_one_line_that_names_what_can(attack: Any, instead: str, images: str) -> None:
    one = bench(images)
    with pytest.raises(ValueError, match=rf"^found task {one.task}, expected classification; attack '{instead}' takes every task$"):
        attacked(attack, one.target(), one.batch(), one.budget)


@pytest.mark.parametrize(("attack", "instead"), [(Square(), "square"), (AutoAttack(), "autoattack")])
def test_volumes_that_art_cannot_attack_are_one_line_that_names_what_can(attack: Any, instead: str) -> None:
    one = bench("classification")
    with pytest.raises(ValueError, match=rf"^found images of 3 axes, ART expects 2; attack '{instead}' takes any number$"):
        attacked(attack, one.target(), one.batch(), one.budget)


@pytest.mark.parametrize(("shape", "edge"), [((24, 8), 12), ((20, 28), 21), ((4, 4), 4), ((3, 3), 3)])
@pytest.mark.parametrize(("attack", "instead"), [(Square(iterations=3), "square"), (AutoAttack(steps=2, square=3), "autoattack")])
def test_images_that_arts_square_does_not_fit_into_are_one_line(attack: Any, instead: str, shape: tuple[int, int], edge: int) -> None:
    one, budget = bench("mammograms"), Norm("linf", 0.001)
    batch = one.batch()
    batch = replace(batch, image=batch.image[:, :, : shape[0], : shape[1]])
    target = linear(*shape)
    line = f"found images of {shape[0]} x {shape[1]}, ART expects sides above the {edge} of its first square; attack '{instead}' takes any"
    with pytest.raises(ValueError, match=rf"^{line}$"):
        attacked(attack, target, batch, budget)
    if instead == "autoattack":
        assert bool(attacked(attack, target, batch, Norm("l2", 0.001)).image.isfinite().all()), "in L2 it tries no square"


def test_the_smallest_images_that_arts_square_fits_into_are_attacked() -> None:
    one = bench("mammograms")
    for height, width in ((5, 5), (21, 24), (28, 28)):
        batch = one.batch()
        batch = replace(batch, image=batch.image[:, :, :height, :width])
        target = linear(height, width)
        batch = replace(batch, truth=predicted(target(batch.image, batch)))
        for seed in range(20):
            rng = CaseRandom.of(range(seed, seed + len(batch)))
            found = Square(iterations=3)(Guarded(target, "black-box"), batch, Norm("linf", 1e-6), rng)
            assert found.trace["loss"].shape == (len(batch), 13)


def test_arts_square_in_l2_is_one_line_that_names_what_can() -> None:
    one = bench("mammograms")
    line = "found a budget in l2, expected linf: ART is wrong there; attack 'square' takes every norm"
    with pytest.raises(ValueError, match=rf"^{line}$"):
        attacked(Square(), one.target(), one.batch(), Norm("l2", 0.5))


def test_arts_autoattack_in_l2_asks_no_square() -> None:
    one, attack = bench("mammograms"), AutoAttack(steps=3, square=50)
    batch = one.batch()
    batch = replace(batch, truth=predicted(one.target()(batch.image, batch)))
    box, ball = (attacked(attack, one.target(), batch, Norm(norm, 1e-6)).trace["loss"] for norm in ("linf", "l2"))
    assert (box.shape[1], ball.shape[1]) == (attack.queries, attack.most(2, "l2")) == (attack.queries, attack.queries - 3 * 51 - 1)
    longest = [int((~losses.isnan()).sum(1).amax()) for losses in (box, ball)]
    assert longest[0] > longest[1] + 100


@pytest.mark.parametrize(
    ("attack", "options", "message"),
    [
        (FGSM, {"keep": "first"}, "keep: found 'first'"),
        (PGD, {"steps": 0}, "steps: found 0"),
        (PGD, {"restarts": 2, "random_start": False}, "restarts: found 2"),
        (PGD, {"restarts": 2, "keep": "last"}, "restarts: found 2"),
        (MIM, {"decay": -1.0}, "decay: found -1.0"),
        (APGD, {"restarts": 0}, "restarts: found 0"),
        (Square, {"share": 0.0}, "share: found 0"),
        (Square, {"share": 1.0}, r"^share: found 1.0, expected a number in \(0, 1\); attack 'square' takes 1$"),
        (CarliniWagner, {"constant": 0.0}, "constant: found 0.0, expected a number above 0"),
        (CarliniWagner, {"confidence": -1.0}, "confidence: found -1.0, expected a number from 0"),
        (AutoAttack, {"square": 0}, "square: found 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_said(attack: type, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        attack(**options)


def test_queries_and_gradients_are_what_is_asked() -> None:
    one = bench("segmentation")
    for attack in ANY:
        target = Guarded(one.target(), attack.threat)
        attack(target, one.batch(), one.budget, CaseRandom.of(range(4)))
        assert (target.passes.forward, target.passes.gradient) == (4 * attack.queries, 4 * attack.gradients)


@pytest.mark.parametrize("attack", [*ALONE, *FLAT], **SHOWN)
def test_what_stops_early_never_asks_more_than_it_says(attack: Any) -> None:
    one = bench("mammograms")
    for epsilon in ("1/255", "40/255"):
        target = Guarded(one.target(), attack.threat)
        found = attack(target, one.batch(), Norm("linf", epsilon, -1.0, 1.0), CaseRandom.of(range(4)))
        assert found.trace["loss"].shape[1] == attack.queries
        assert target.passes.forward <= 4 * attack.queries
        assert target.passes.gradient <= 4 * attack.gradients


def test_three_classes_add_the_ratio_of_logits() -> None:
    one = bench("mammograms")

    class Third(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.reader = MassReader()

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            answer = self.reader(image)
            return torch.cat([-answer, answer, 0.1 * answer - 3], 1)

    target, attack = ClassificationTarget(Third().eval(), "0" * 12), AutoAttack(steps=3, square=4)
    found = attacked(attack, target, one.batch(), Norm("linf", "1/255", -1.0, 1.0))
    assert found.trace["loss"].shape[1] == attack.most(3, "linf") > attack.queries
