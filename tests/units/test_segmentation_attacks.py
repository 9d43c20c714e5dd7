"""What the deformation attack is compared with: budgets kept and spent, the best query returned, each case alone, and the control drawn fairly."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from medrobust import registry
from medrobust.guard import Guarded
from medrobust.imaging.deformation import displacement, warp, warp_labels
from medrobust.targets.segmentation import SegmentationTarget
from medrobust.testing.bench import Bench
from medrobust.testing.slices import Densities
from medrobust.types import Attacked, Batch
from medrobust_attacks.deformation.budget import DeformationBudget, perceptibility
from medrobust_attacks.segmentation.bias_field import BiasField
from medrobust_attacks.segmentation.cospgd import CosPGD
from medrobust_attacks.segmentation.fgsm import FGSM
from medrobust_attacks.segmentation.pgd import PGD
from medrobust_attacks.segmentation.random_field import RandomField
from medrobust_attacks.segmentation.segpgd import SegPGD

BUDGET = DeformationBudget()
BENCH = Bench(BUDGET, size=32, task="segmentation")
STEPWISE = [PGD(steps=5), SegPGD(steps=5), CosPGD(steps=5), PGD(steps=3, random_start=False), CosPGD(steps=2, restarts=2)]
GRADIENT = [FGSM(), *STEPWISE, BiasField(steps=5)]
RANDOM = [RandomField(), RandomField(parts="field"), RandomField(parts="shading"), RandomField(knots=2, draws=3)]
BUDGETS = [
    BUDGET,
    DeformationBudget(p=0.02),
    DeformationBudget(p=0.5, displacement=3.0, shading=20.0),
    DeformationBudget(p=0.3, folding=0.0, displacement=60.0),
    DeformationBudget(displacement=0.0),
]
Segmentation = Any


def batch() -> Batch:
    """The bench's slices with a margin of air, under subjects of their own deviation, the last with coarse rows."""
    clean = BENCH.batch()
    image = clean.image.clone()
    image[..., :3] = -1000
    spacing = clean.context["spacing"].clone()
    spacing[3] = torch.tensor([6.0, 1.5])
    return replace(clean, image=image).with_context(std=torch.tensor([90.0, 120.0, 150.0, 200.0]), spacing=spacing)


def attacked(attack: Segmentation, budget: DeformationBudget = BUDGET, clean: Batch | None = None, seed: int = 0) -> tuple[Attacked, Guarded]:
    clean = batch() if clean is None else clean
    target = Guarded(BENCH.target(), attack.threat)
    return attack(target, clean, budget, BENCH.random(clean.cases, seed)), target


@dataclass(frozen=True, eq=False)
class Witness:
    """A target that keeps what it is asked."""

    target: Any
    images: list[Tensor] = field(default_factory=list)

    def __call__(self, image: Tensor, clean: Batch) -> Tensor:
        self.images.append(image.detach().clone())
        return self.target(image, clean)

    def loss(self, image: Tensor, clean: Batch) -> Tensor:
        self.images.append(image.detach().clone())
        return self.target.loss(image, clean)


@pytest.mark.parametrize("name", ["fgsm", "pgd", "segpgd", "cospgd", "bias-field", "random-field"])
def test_they_are_registered(name: str) -> None:
    attack = registry.load("attacks", name)()
    assert attack.task == "segmentation"
    assert attack.threat == ("black-box" if name == "random-field" else "white-box")


@pytest.mark.parametrize(
    ("attack", "options", "found"),
    [
        (PGD, {"steps": 0}, "steps: found 0, expected 1 or more"),
        (SegPGD, {"step": 0.0}, "step: found 0.0"),
        (CosPGD, {"step": 1.5}, r"step: found 1.5, expected a number in \(0, 1\], or none"),
        (PGD, {"restarts": 0}, "restarts: found 0"),
        (PGD, {"restarts": 2, "random_start": False}, "restarts: found 2 from the clean slice, expected 1"),
        (BiasField, {"steps": 0}, "steps: found 0"),
        (BiasField, {"knots": 0}, "knots: found 0"),
        (BiasField, {"bound": float("nan")}, "bound: found nan"),
        (RandomField, {"knots": 0}, "knots: found 0"),
        (RandomField, {"draws": 0}, "draws: found 0"),
        (RandomField, {"parts": "warp"}, "parts: found 'warp', expected 'both', 'field' or 'shading'"),
    ],
)
def test_impossible_options_are_refused(attack: type, options: dict[str, Any], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        attack(**options)


@pytest.mark.parametrize("budget", BUDGETS, ids=repr)
@pytest.mark.parametrize("attack", [*GRADIENT, *RANDOM], ids=repr)
def test_they_keep_the_budget_and_ask_what_they_say(attack: Segmentation, budget: DeformationBudget) -> None:
    clean = batch()
    found, target = attacked(attack, budget, clean)
    assert budget.audit(clean, found) == ("",) * 4
    assert (target.passes.forward, target.passes.gradient) == (4 * attack.queries, 4 * attack.gradients)
    if budget.displacement or getattr(attack, "parts", "both") != "field":
        assert (found.image != clean.image).flatten(1).any(1).all()


@pytest.mark.parametrize("attack", [*GRADIENT, *RANDOM], ids=repr)
def test_each_case_stands_alone_and_repeats(attack: Segmentation) -> None:
    clean = batch()
    whole, again = (attacked(attack, clean=clean)[0] for _ in range(2))
    assert torch.equal(whole.image, again.image)
    for order in ([2], [3, 0, 1]):
        part, _ = attacked(attack, clean=clean.select(order))
        assert torch.allclose(part.image, whole.image[order], atol=1e-3)
        if whole.field is not None and whole.truth is not None:
            assert torch.allclose(part.field, whole.field[order], atol=1e-4)
            assert torch.equal(part.truth, whole.truth[order])


@pytest.mark.parametrize("attack", [*GRADIENT, RANDOM[-1]], ids=repr)
def test_the_trace_holds_the_targets_own_loss_of_every_query_and_the_best_is_returned(attack: Segmentation) -> None:
    clean, target = batch(), BENCH.target()
    witness = Witness(target)
    found = attack(witness, clean, BUDGET, BENCH.random(clean.cases))
    seen = clean if found.truth is None else replace(clean, truth=found.truth)
    assert found.trace["loss"].shape == (4, len(witness.images))
    assert torch.equal(found.trace["loss"].amax(1), target.loss(found.image, seen))
    if found.truth is None:
        assert torch.equal(found.trace["loss"], torch.stack([target.loss(image, clean) for image in witness.images], 1))


@pytest.mark.parametrize("attack", GRADIENT, ids=repr)
def test_gradient_attacks_raise_the_loss_of_every_case(attack: Segmentation) -> None:
    clean, target = batch(), BENCH.target()
    before, after = (target.loss(image, clean) for image in (clean.image, attacked(attack, clean=clean)[0].image))
    assert (after > 1.2 * before).all()


def test_the_box_is_p_standard_deviations_of_each_subject_and_nearly_all_of_it_is_spent() -> None:
    clean = BENCH.batch().with_context(std=torch.tensor([90.0, 120.0, 150.0, 200.0]))
    one, _ = attacked(FGSM(), clean=clean)
    assert torch.allclose((one.image - clean.image).abs().flatten(1).amax(1), 0.09 * clean.context["std"], rtol=1e-4)
    assert torch.allclose(perceptibility(one.image, clean), torch.tensor(0.09), rtol=1e-4)
    many, _ = attacked(PGD(), clean=clean)
    assert (perceptibility(many.image, clean) > 0.9 * 0.09).all()
    assert ((many.image - clean.image).abs().flatten(1).amax(1) <= 0.09 * clean.context["std"] * (1 + 1e-4)).all()


def test_one_full_step_from_the_clean_slice_is_the_fast_gradient_sign_method() -> None:
    clean, target = batch(), BENCH.target()
    one, many = (attacked(attack, clean=clean)[0] for attack in (FGSM(), PGD(steps=1, step=1.0, random_start=False)))
    assert torch.equal(one.image, many.image)
    assert torch.equal(one.trace["loss"], many.trace["loss"])
    image = clean.image.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(target.loss(image, clean).sum(), image)
    due = clean.image + 0.09 * clean.context["std"].view(-1, 1, 1, 1) * slope.sign()
    assert torch.allclose(one.image[slope != 0], due[slope != 0], atol=1e-3)
    assert (slope != 0).flatten(1).float().mean(1).min() > 0.8, "the rest is air, whose slope is lost in rounding"


def test_a_step_that_lowers_the_loss_is_not_returned() -> None:
    clean, target = batch(), Misled(BENCH.target())
    found = FGSM()(target, clean, BUDGET, BENCH.random(clean.cases))
    assert torch.equal(found.image, clean.image)
    assert found.image.data_ptr() != clean.image.data_ptr()


@dataclass(frozen=True, eq=False)
class Misled:
    """A target whose gradient points the wrong way."""

    target: Any

    def __call__(self, image: Tensor, clean: Batch) -> Tensor:
        logs = self.target(image, clean)
        return 2 * logs.detach() - logs


@pytest.mark.parametrize("attack", [PGD, SegPGD, CosPGD, BiasField])
def test_more_steps_and_more_starts_are_no_worse(attack: type) -> None:
    options = {} if attack is BiasField else {"random_start": False}
    losses = [attacked(attack(steps=steps, step=0.3, **options))[0].trace["loss"].amax(1) for steps in (1, 4, 20)]
    if attack is SegPGD:  # its weights depend on the number of steps
        assert (losses[2] > losses[0]).all()
    else:
        assert (losses[0] <= losses[1]).all()
        assert (losses[1] <= losses[2]).all()
    if attack is not BiasField:
        one, three = (attacked(attack(steps=3, restarts=restarts))[0].trace["loss"] for restarts in (1, 3))
        assert torch.equal(one, three[:, :4])
        assert (three.amax(1) >= one.amax(1)).all()


def test_only_random_starts_depend_on_the_seed() -> None:
    for attack in (PGD(steps=2), RandomField()):
        one, other = (attacked(attack, seed=seed)[0].image for seed in (0, 1))
        assert not torch.equal(one, other)
    for attack in (PGD(steps=2, random_start=False), FGSM(), BiasField(steps=2)):
        one, other = (attacked(attack, seed=seed)[0].image for seed in (0, 1))
        assert torch.equal(one, other)


def test_a_bias_field_multiplies_attenuation_smoothly_within_its_bound() -> None:
    clean = batch()
    found, _ = attacked(BiasField(steps=8, knots=3), clean=clean)
    change = found.image - clean.image
    assert (change[..., :3] == 0).all(), "air stays air"
    ratio = (change / (clean.image + 1000))[..., 3:]
    assert (ratio.abs().flatten(1).amax(1) > 0.005).all()
    assert ratio.diff(dim=2).abs().max() < 0.3 * ratio.abs().max(), "smooth, whatever the anatomy"
    assert ratio.diff(dim=3).abs().max() < 0.3 * ratio.abs().max()
    assert torch.allclose(perceptibility(found.image, clean), torch.tensor(0.09), rtol=1e-4)
    wide, _ = attacked(BiasField(steps=4, bound=0.05), DeformationBudget(p=3.0), clean)
    most = ((wide.image - clean.image) / (clean.image + 1000))[..., 3:].abs().flatten(1).amax(1)
    assert torch.allclose(most, torch.tensor(0.05), rtol=1e-3)


def test_a_bias_field_beats_every_random_one_at_equal_p() -> None:
    clean, attack, target = batch(), BiasField(), BENCH.target()
    found, _ = attacked(attack, clean=clean)
    random = torch.Generator().manual_seed(3)
    for _ in range(40):
        control = 2 * torch.rand(4, 1, 7, 7, generator=random) - 1
        image = clean.image + attack._change(control, clean, BUDGET)
        assert torch.allclose(perceptibility(image, clean), torch.tensor(0.09), rtol=1e-4)
        assert (found.trace["loss"].amax(1) > target.loss(image, clean)).all()


def test_a_slice_of_air_alone_has_no_bias() -> None:
    clean = batch()
    clean = replace(clean, image=torch.full_like(clean.image, -1000.0))
    found, _ = attacked(BiasField(steps=2), clean=clean)
    assert torch.equal(found.image, clean.image)
    assert found.trace["loss"].isfinite().all()


@pytest.mark.parametrize("p", [0.01, 0.05, 0.09])
@pytest.mark.parametrize("attack", RANDOM, ids=repr)
def test_a_random_field_spends_p_exactly(attack: RandomField, p: float) -> None:
    clean = batch()
    found, _ = attacked(attack, DeformationBudget(p=p), clean)
    assert torch.allclose(perceptibility(found.image, clean), torch.tensor(p), rtol=1e-3)


def test_a_random_field_moves_the_truth_with_the_image() -> None:
    clean = BENCH.batch()
    moved, both = (attacked(RandomField(parts=parts), clean=clean)[0] for parts in ("field", "both"))
    for found in (moved, both):
        assert torch.equal(found.truth, warp_labels(clean.truth, found.field))
        assert (found.truth != clean.truth).flatten(1).any(1).all()
    assert torch.equal(moved.image, warp(clean.image, moved.field))
    still, _ = attacked(RandomField(parts="shading"), clean=clean)
    assert still.truth is None
    assert still.field is None


def test_the_parts_are_of_one_draw_and_share_p() -> None:
    clean = batch()
    both, moved, still = (attacked(RandomField(parts=parts), clean=clean)[0] for parts in ("both", "field", "shading"))
    carried = warp(clean.image, both.field)
    for one, other in ((both.field, moved.field), (both.image - carried, still.image - clean.image)):
        assert torch.allclose(torch.cosine_similarity(one.flatten(1), other.flatten(1)), torch.tensor(1.0), atol=1e-5)
    shares = torch.stack([perceptibility(carried, clean), perceptibility(clean.image + both.image - carried, clean)])
    assert (shares < 0.09).all()
    assert (shares >= 0.045 * (1 - 1e-3)).all()
    assert torch.allclose(shares[0], shares[1], rtol=0.2)


def test_a_random_field_is_as_long_in_millimetres_along_either_axis() -> None:
    """Rows of 6 mm and columns of 1.5 mm: in pixels it is four times as long along columns."""
    one = batch().select([3])
    fields = torch.cat([attacked(RandomField(parts="field"), clean=one, seed=seed)[0].field for seed in range(30)])
    rows, columns = fields.square().mean((0, 2, 3)).sqrt()
    assert 3 < columns / rows < 5


def test_limits_bind_where_p_is_out_of_reach() -> None:
    clean = batch()
    tight = DeformationBudget(p=2.0, displacement=2.5, shading=15.0)
    found, _ = attacked(RandomField(), tight, clean)
    longest = displacement(found.field, clean.context["spacing"]).flatten(1).amax(1)
    highest = (found.image - warp(clean.image, found.field)).abs().flatten(1).amax(1)
    assert (torch.maximum(longest / 2.5, highest / 15) > 0.999).all()
    assert (perceptibility(found.image, clean) < 2).all()


def test_of_several_random_fields_the_worst_is_kept_against_the_truth_moved_alike() -> None:
    clean, target = batch(), BENCH.target()
    found, _ = attacked(RandomField(draws=6), clean=clean)
    assert found.trace["loss"].shape == (4, 6)
    first, _ = attacked(RandomField(), clean=clean)
    assert not first.trace
    assert torch.allclose(target.loss(first.image, replace(clean, truth=first.truth)), found.trace["loss"][:, 0])
    assert len(found.trace["loss"].argmax(1).unique()) > 1, "cases keep draws of their own"


def test_a_network_that_batches_is_attacked_as_one_that_does_not() -> None:
    clean = batch()
    target = SegmentationTarget(Densities().eval(), "0123456789ab")
    for attack in (PGD(steps=3), CosPGD(steps=3), BiasField(steps=3)):
        one, four = (attack(Guarded(target, attack.threat, size), clean, BUDGET, BENCH.random(clean.cases)) for size in (1, 4))
        assert torch.allclose(one.image, four.image, atol=1e-3)
