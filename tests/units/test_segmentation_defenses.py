"""Robust trainings of segmenters: which slices are attacked, by what and how far, what is learnt from them, and that nothing else is moved."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache as cached
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medrobust.data.abdomen_phantom import AbdomenPhantom
from medrobust.digests import canonical
from medrobust.errors import SpecError
from medrobust.fitting import fitted, identity
from medrobust.imaging.deformation import warp_labels
from medrobust.randomness import CaseRandom
from medrobust.targets import zoo
from medrobust.targets.seg_unet import SegUNet
from medrobust.targets.segmentation import SegmentationTarget, entropy
from medrobust.testing.bench import Bench
from medrobust.training.loop import train
from medrobust.training.objectives import Objective
from medrobust.training.patches import Patches
from medrobust.training.recipe import Named, recipe
from medrobust.training.schedule import Schedule
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.deformation.budget import DeformationBudget, perceptibility
from medrobust_attacks.deformation.deform_shade import DeformShade
from medrobust_attacks.deformation.networks import Critic, Generator
from medrobust_attacks.deformation.recipe import DeformationTraining
from medrobust_attacks.segmentation.pgd import PGD
from medrobust_defenses import deformation_robust
from medrobust_defenses.attacked_slices import AttackedSlices
from medrobust_defenses.deformation_robust import DeformationRobust, known
from medrobust_defenses.pgd_training import PGDTraining, answering

BENCH = Bench.suited(None, "segmentation")
TINY = DeformationTraining(Generator((4, 6), latent=3, grid=4), Critic((4, 6)), steps=3, batch=2, interval=3, validate=2)
STILL = Patches(size=500, gain=0, offset=0, noise=0)
SMALL = {"name": "abdomen-phantom", "options": {"train": 1, "val": 1, "test": 1, "size": 32, "slices": 8}}


def streams(n: int, start: int = 0) -> CaseRandom:
    return CaseRandom.of([1000 * start + case for case in range(n)])


def silent(*_: object) -> None:
    pass


@dataclass(frozen=True)
class Shift:
    """Moves slices down by whole pixels, and the truth with them; adds a random number of HU."""

    by: int

    def __call__(self, target: Target, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:
        return Attacked(batch.image.roll(self.by, 2) + rng.uniform(1, 2, 1, 1, 1), batch.truth.roll(self.by, 2))


@dataclass(frozen=True)
class Shade:
    """Leaves anatomy where it is, and adds HU."""

    by: float

    def __call__(self, target: Target, batch: Batch, budget: DeformationBudget, rng: CaseRandom) -> Attacked:
        return Attacked(batch.image + self.by)


# Slices, some of them attacked


def attacked_by(before: Batch, after: Batch, case: int) -> int:
    """By how many pixels a slice was moved; truth and image must agree on it."""
    ways = [by for by in (0, 1, 2) if torch.equal(after.truth[case], before.truth[case].roll(by, 1))]
    assert len(ways) == 1
    added = after.image[case] - before.image[case].roll(ways[0], 1)
    low, high = (1, 2) if ways[0] else (0, 0)
    assert low - 1e-4 <= float(added.min())
    assert float(added.max()) <= high + 1e-4
    return ways[0]


def test_a_share_of_the_slices_is_attacked_each_by_one_of_the_attacks_with_its_truth() -> None:
    batch = BENCH.batch()
    kept = batch.image.clone()
    mixing = AttackedSlices((Shift(1), Shift(2)), 0.6, DeformationBudget(), STILL)
    ways = [attacked_by(batch, mixing.mixed(BENCH.target(), batch, streams(4, draw)), case) for draw in range(100) for case in range(4)]
    shares = [ways.count(by) / len(ways) for by in (0, 1, 2)]
    assert shares == pytest.approx([0.4, 0.3, 0.3], abs=0.06)
    assert torch.equal(batch.image, kept)
    every = replace(mixing, share=1.0).mixed(BENCH.target(), batch, streams(4))
    assert 0 not in [attacked_by(batch, every, case) for case in range(4)]


def test_what_becomes_of_a_slice_depends_on_no_other() -> None:
    mixing, batch = AttackedSlices((Shift(1), Shift(2)), 0.7, DeformationBudget(), STILL), BENCH.batch()
    together = mixing.mixed(BENCH.target(), batch, streams(4))
    for row in range(4):
        alone = mixing.mixed(BENCH.target(), batch.select([row]), CaseRandom.of([row]))
        assert torch.equal(alone.image[0], together.image[row])
        assert torch.equal(alone.truth[0], together.truth[row])


def test_an_attack_that_moves_nothing_leaves_the_truth() -> None:
    batch = BENCH.batch()
    after = AttackedSlices((Shade(7),), 1.0, DeformationBudget(), STILL).mixed(BENCH.target(), batch, streams(4))
    assert torch.equal(after.truth, batch.truth)
    assert torch.equal(after.image, batch.image + 7)


def test_the_loss_is_that_of_patches_of_the_mixed_slices() -> None:
    batch, target = BENCH.batch(), BENCH.target()
    (found,) = AttackedSlices((Shift(2),), 1.0, DeformationBudget(), STILL).losses(target, batch, streams(4))
    logs = target(AttackedSlices((Shift(2),), 1.0, DeformationBudget(), STILL).mixed(target, batch, streams(4)).image, batch)
    moved = batch.truth.roll(2, 2)
    onehot = nn.functional.one_hot(moved[:, 0], 5).movedim(-1, 1).double()
    chance = logs.double().exp()
    dice = 2 * (chance * onehot).sum((0, 2, 3)) / (chance + onehot).sum((0, 2, 3))
    assert float(found.detach()) == pytest.approx(float((entropy(logs, moved).mean() + 1 - dice[1:].mean()).detach()), rel=1e-4)
    (unmoved,) = STILL.losses(target, batch, streams(4))
    assert float(found.detach()) != pytest.approx(float(unmoved.detach()), rel=1e-4)


# The generators


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A user's cache of this test alone, and a zoo that holds the bench's target as `bench`."""
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    monkeypatch.setattr(zoo, "load", lambda name: {"bench": BENCH.target()}[name])
    known.cache_clear()
    yield tmp_path
    known.cache_clear()


def objective(**options: Any) -> DeformationRobust:
    return DeformationRobust(against="bench", data=SMALL, training=TINY, **{"xi": (1.0, 2.5), **options})


def test_generators_are_those_of_the_attack_one_for_each_xi(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    phantom = AbdomenPhantom(**SMALL["options"])  # type: ignore[arg-type]
    for xi in (1.0, 2.5):
        attack = DeformShade(replace(TINY, loss=replace(TINY.loss, xi=xi)))
        fitted(attack, BENCH.target(), phantom, 4, silent)
    there = sorted(path.name for path in (cache / "fits").iterdir())
    monkeypatch.setattr(DeformShade, "fit", lambda *_: pytest.fail("trained again"))
    next(objective(seed=4).losses(BENCH.target(), BENCH.batch(), streams(4)))
    assert sorted(path.name for path in (cache / "fits").iterdir()) == there
    assert len(there) == 2


def test_generators_are_trained_at_the_first_step_and_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = objective(seed=5)
    first = float(next(wanted.losses(BENCH.target(), BENCH.batch(), streams(4))).detach())
    trained = known(wanted.attacks, "bench", canonical(SMALL), 5, "cpu")
    names = [identity(attack, BENCH.target(), AbdomenPhantom(**SMALL["options"]).digest, 5) for attack in wanted.attacks]  # type: ignore[arg-type]
    assert sorted(path.name for path in (cache / "fits").iterdir()) == sorted(names)
    assert all(attack.weights for attack in trained)
    monkeypatch.setattr(deformation_robust, "fitted", lambda *_: pytest.fail("asked again"))
    assert float(next(wanted.losses(BENCH.target(), BENCH.batch(), streams(4))).detach()) == first


def test_an_objective_that_has_its_generators_is_the_same_plain_data(cache: Path) -> None:
    used, fresh = objective(), objective()
    before = repr(used)
    next(used.losses(BENCH.target(), BENCH.batch(), streams(4)))
    assert repr(used) == before
    assert used == fresh == pickle.loads(pickle.dumps(used))  # noqa: S301 - our own bytes
    assert hash(used) == hash(fresh)
    assert used != objective(seed=1)
    assert used != replace(used, data={"name": "openkbp"})


def test_an_unknown_model_or_data_set_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SpecError, match="data: no 'abdomen'"):
        next(replace(objective(), data={"name": "abdomen"}).losses(BENCH.target(), BENCH.batch(), streams(4)))
    monkeypatch.undo()
    with pytest.raises(SpecError, match="zoo: no 'seg-nothing'"):
        next(replace(objective(), against="seg-nothing").losses(BENCH.target(), BENCH.batch(), streams(4)))


def lively() -> DeformShade:
    """Not trained, moves and shades a lot."""
    network = replace(TINY.generator, start=10.0).build(3)
    return DeformShade(TINY, dict(network.state_dict()))


def test_slices_of_the_generator_are_within_the_budget_and_their_truth_is_warped() -> None:
    batch, budget = BENCH.batch(), DeformationBudget(p=0.3)
    mixed = objective(share=1.0, budget=budget)._on((lively(),)).mixed(BENCH.target(), batch, streams(4))
    rng = streams(4)
    rng.uniform(0, 1), rng.integers(0, 1)  # what was drawn before the attack
    alone = lively()(BENCH.target(), batch, budget, rng)
    assert alone.field is not None
    assert torch.equal(mixed.truth, warp_labels(batch.truth, alone.field))
    assert not torch.equal(mixed.truth, batch.truth)
    spent = perceptibility(mixed.image, batch)
    assert float(spent.max()) <= 0.3 * 1.0001
    assert float(spent.min()) > 0.1


def test_as_a_defense_it_trains_generators_against_the_target_on_the_data_and_keeps_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, str, str, int]] = []
    original = DeformShade.fit

    def fit(self: DeformShade, target: Target, data: Any, seed: int, folder: Path, report: Any) -> Any:
        asked.append((self.training.loss.xi, target.digest, data.digest, seed))
        return original(self, target, data, seed, folder, report)

    monkeypatch.setattr(DeformShade, "fit", fit)
    defense = objective(seed=7, patches=Patches(size=24), schedule=Schedule(steps=2, batch=2))
    target = BENCH.target()
    before = state(target)
    one, other = (defense(target, BENCH.data(), torch.Generator().manual_seed(seed)) for seed in (0, 1))
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(target).items())
    assert asked == [(xi, BENCH.target().digest, BENCH.data().digest, 7) for _ in range(2) for xi in (1.0, 2.5)]
    assert not (cache / "fits").exists()
    assert one.digest != other.digest, "the seed of the training is drawn from the stream it is given"
    assert not torch.equal(state(one)["head.weight"], before["head.weight"])


def test_as_a_defense_it_takes_shipped_generators(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deformation_robust, "shipped", lambda name: dict(lively().weights))
    monkeypatch.setattr(DeformShade, "fit", lambda *_: pytest.fail("trained again"))
    objective(patches=Patches(size=24), schedule=Schedule(steps=1, batch=2))(BENCH.target(), BENCH.data(), torch.Generator())


# Patches, some of them attacked


def state(target: Target) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in target.network.state_dict().items()}  # type: ignore[attr-defined]


def trainable() -> SegmentationTarget:
    """The bench's target as it stands within a training, with a spread of intensities from subject to subject."""
    target = BENCH.target()
    assert isinstance(target, SegmentationTarget)
    target.network.train().requires_grad_(True)
    return target


def spread() -> Batch:
    return BENCH.batch().with_context(std=torch.tensor([60.0, 90, 120, 150]))


@pytest.mark.parametrize(("steps", "step"), [(1, None), (3, None), (5, 0.1)])
def test_attacked_patches_lie_in_the_box_of_their_subject_and_raise_the_loss(steps: int, step: float | None) -> None:
    target, batch = trainable(), spread()
    with torch.no_grad():
        target.network.head.weight.mul_(0.3)  # type: ignore[operator, union-attr]
    after = PGDTraining(p=0.1, steps=steps, step=step, share=1.0).attacked(target, batch, streams(4))
    far = (after.image - batch.image).abs().flatten(1).amax(1)
    assert (far <= 0.1 * batch.context["std"] * 1.0001).all()
    assert torch.allclose(far, 0.1 * batch.context["std"], rtol=1e-3)
    assert torch.equal(after.truth, batch.truth)
    assert not after.image.requires_grad
    with answering(target):
        noise = replace(batch, image=batch.image + 0.1 * batch.context["std"].view(-1, 1, 1, 1) * streams(4, 9).uniform(-1, 1, 1, 32, 32))
        assert (target.loss(after.image, batch) > target.loss(noise.image, batch) + 1e-3).all()


def test_one_step_from_the_random_start_is_the_sign_of_the_slope_in_evaluation_mode() -> None:
    target, batch = trainable(), spread()
    still = deepcopy(target)
    still.network.eval()
    found = PGDTraining(p=0.1, steps=1, step=0.5, share=1.0).attacked(target, batch, streams(4))
    rng = streams(4)
    rng.uniform(0, 1)
    edge = 0.1 * batch.context["std"].view(-1, 1, 1, 1)
    start = (batch.image + edge * rng.uniform(-1, 1, 1, 32, 32)).requires_grad_(True)
    still.loss(start, batch).sum().backward()  # type: ignore[no-untyped-call]
    assert start.grad is not None
    wanted = torch.clamp(start.detach() + 0.5 * edge * start.grad.sign(), batch.image - edge, batch.image + edge)
    assert torch.allclose(found.image, wanted, atol=1e-3)


def test_attacking_leaves_the_network_as_it_was() -> None:
    target, batch = trainable(), spread()
    target.network.normalisation.eval()  # type: ignore[union-attr]
    target.network.smooth.weight.requires_grad_(False)  # type: ignore[union-attr]
    before, modes = state(target), [part.training for part in target.network.modules()]
    flags = [parameter.requires_grad for parameter in target.network.parameters()]
    with torch.random.fork_rng(devices=()):
        global_state = torch.get_rng_state()
        PGDTraining(share=1.0).attacked(target, batch, streams(4))
        assert torch.equal(torch.get_rng_state(), global_state), "no dropout was drawn"
    assert all(torch.equal(tensor, before[name]) for name, tensor in state(target).items()), "batch statistics count too"
    assert [part.training for part in target.network.modules()] == modes
    assert [parameter.requires_grad for parameter in target.network.parameters()] == flags
    assert all(parameter.grad is None for parameter in target.network.parameters())
    with answering(target):
        assert not any(part.training for part in target.network.modules())
        assert not any(parameter.requires_grad for parameter in target.network.parameters())
    with pytest.raises(RuntimeError, match="dimensions"):
        PGDTraining(share=1.0).attacked(target, replace(batch, truth=batch.truth[:, :, :5, :3, None]), streams(4))
    assert [part.training for part in target.network.modules()] == modes


@dataclass(frozen=True, eq=False)
class Counting(SegmentationTarget):
    """Notes how many patches were shown at once, and in which mode."""

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        SHOWN.append((len(image), self.network.training))
        return super().__call__(image, batch)


SHOWN: list[tuple[int, bool]] = []


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_an_update_costs_one_pass_and_for_what_is_attacked_one_a_step(share: float) -> None:
    SHOWN.clear()
    target = Counting(trainable().network, "x")
    for draw in range(20):
        list(PGDTraining(steps=3, share=share, patches=STILL).losses(target, BENCH.batch(), streams(4, draw)))
    assert SHOWN.count((4, True)) == 20, "the update itself sees all patches in training mode"
    passes = sum(n for n, training in SHOWN if not training)
    assert (passes == 240) if share == 1 else (0.3 * 240 < passes < 0.7 * 240)


def test_the_update_is_on_attacked_and_on_clean_patches() -> None:
    target, batch = trainable(), BENCH.batch()
    target.network.dropout.p = 0.0  # type: ignore[union-attr]
    (loss,) = PGDTraining(share=0.5, patches=STILL).losses(deepcopy(target), batch, streams(4))
    rng = streams(4)
    cut = STILL.varied(STILL.cut(batch, rng), rng)
    seen = PGDTraining(share=0.5, patches=STILL).attacked(target, cut, rng)
    changed = [not torch.equal(*pair) for pair in zip(seen.image, batch.image, strict=True)]
    assert 0 < sum(changed) < 4
    assert float(loss.detach()) == pytest.approx(float(STILL.of(target(seen.image, seen), seen).detach()), rel=1e-5)
    assert loss.requires_grad


def test_what_becomes_of_a_patch_depends_on_no_other() -> None:
    attack, batch, target = PGDTraining(share=0.7), spread(), trainable()
    together = attack.attacked(target, batch, streams(4))
    for row in range(4):
        alone = attack.attacked(target, batch.select([row]), CaseRandom.of([row]))
        assert torch.allclose(alone.image[0], together.image[row], atol=1e-3)


# Trainings


def trained(objective: Objective, steps: int, folder: Path | None = None, stop: int | None = None, seed: int = 0) -> SegmentationTarget:
    """A small network after that many steps, interrupted once where `stop` says so."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = SegUNet(widths=(6, 6, 8, 8, 8)).build()
    target = SegmentationTarget(network, "training")
    schedule = Schedule(steps=steps, batch=4, learning_rate=0.01, warmup=2, seed=seed)

    def until(step: int, _: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    if stop:
        with pytest.raises(KeyboardInterrupt):
            train(target, network, objective, BENCH.data(), schedule, folder, until)
        with torch.random.fork_rng(devices=()):
            network = SegUNet(widths=(6, 6, 8, 8, 8)).build()
        target = SegmentationTarget(network, "training")
    train(target, network, objective, BENCH.data(), schedule, folder, silent)
    return target


@pytest.mark.parametrize("name", ["deform-robust", "pgd-training"])
def test_a_training_resumes_to_equal_weights(name: str, cache: Path, tmp_path: Path) -> None:
    patches = Patches(size=24)
    chosen: Objective = objective(patches=patches) if name == "deform-robust" else PGDTraining(steps=2, patches=patches)
    whole, resumed = trained(chosen, 4), trained(chosen, 4, tmp_path / "checkpoints", stop=2)
    for one, other in zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    plain = trained(patches, 4)
    assert not torch.equal(next(iter(state(plain).values())), next(iter(state(whole).values())))


def under_pgd(target: SegmentationTarget, p: float) -> float:
    """Mean cross-entropy of the bench's slices under an attack of many steps."""
    target.network.requires_grad_(False)
    batch = BENCH.batch()
    attacked = PGD(steps=10)(target, batch, DeformationBudget(p=p), streams(4))
    return float(target.loss(attacked.image, batch).mean())


@cached
def tuned(objective: Objective) -> SegmentationTarget:
    """A network of two small layers, trained for some steps."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(1, 12, 5, padding=2, padding_mode="replicate"), nn.ReLU(), nn.Conv2d(12, 5, 1))
    target = SegmentationTarget(network, "training")
    train(target, network, objective, BENCH.data(), Schedule(steps=40, batch=4, learning_rate=0.1, warmup=2), None, silent)
    return target


def test_pgd_training_withstands_pgd_better_than_plain_training() -> None:
    patches = Patches(size=24)
    plain, robust = tuned(patches), tuned(PGDTraining(p=0.3, steps=2, share=1.0, patches=patches))
    assert under_pgd(robust, 0.3) < 0.75 * under_pgd(plain, 0.3)


def test_training_on_moved_slices_withstands_them_better_than_plain_training() -> None:
    patches = Patches(size=24)
    mixing = AttackedSlices((lively(),), 0.7, DeformationBudget(p=0.3), patches)
    plain, robust = tuned(patches), tuned(mixing)
    unseen = replace(mixing, share=1.0).mixed(plain, BENCH.batch(), streams(4, 77))
    one, other = (float(target.loss(unseen.image, unseen).mean().detach()) for target in (plain, robust))
    assert other < 0.85 * one


# What is asked for


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeformationRobust(xi=()), r"xi: found \[\], expected one or more"),
        (lambda: DeformationRobust(xi=(1.0, -1.0)), "xi: found"),
        (lambda: DeformationRobust(xi=(float("nan"),)), "xi: found"),
        (lambda: DeformationRobust(share=0.0), r"share: found 0.0, expected a number in \(0, 1\]"),
        (lambda: DeformationRobust(data={}), "data: found {}, expected a name"),
        (lambda: DeformationRobust(data={"name": "openkbp", "folder": "x"}), "data: found"),
        (lambda: PGDTraining(p=0.0), "p: found 0.0, expected a number above 0"),
        (lambda: PGDTraining(p=float("inf")), "p: found inf"),
        (lambda: PGDTraining(steps=0), "steps: found 0"),
        (lambda: PGDTraining(step=1.5), "step: found 1.5"),
        (lambda: PGDTraining(share=1.1), "share: found 1.1"),
    ],
)
def test_impossible_settings_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("defense", [DeformationRobust(), PGDTraining()], ids=["deform-robust", "pgd-training"])
def test_a_target_of_another_task_is_refused(defense: Any) -> None:
    with pytest.raises(TypeError, match=r"found a target of type .*Reconstruction.*, expected a segmentation network"):
        defense(Bench().target(), Bench().data(), torch.Generator())


@pytest.mark.parametrize(("model", "kind"), [("seg-unet-deform", DeformationRobust), ("seg-unet-pgd", PGDTraining)])
def test_a_recipe_trains_on_the_plain_model_and_takes_its_last_weights(model: str, kind: type) -> None:
    plain, robust = recipe("seg-unet"), recipe(model)
    made = robust.build_objective()
    assert isinstance(made, kind)
    assert (robust.architecture, robust.options, robust.data, robust.target) == (plain.architecture, plain.options, plain.data, plain.target)
    assert (robust.start, robust.defense) == ("seg-unet", robust.objective.name)
    assert robust.build_validation().every == 0
    assert robust.build_schedule().learning_rate < plain.build_schedule().learning_rate
    if isinstance(made, DeformationRobust):
        assert (made.against, made.data["name"]) == (robust.start, robust.data.name)


def test_a_recipe_s_options_may_be_nested_and_are_checked() -> None:
    plain = recipe("seg-unet-deform")

    def build(options: dict[str, Any]) -> Any:
        return plain.model_copy(update={"objective": Named(name="deform-robust", options=options)}).build_objective()

    made = build({"training": {"steps": 7, "generator": {"widths": [4, 6], "grid": 4}}, "budget": {"p": 0.05}, "xi": [2]})
    assert made.training == DeformationTraining(Generator((4, 6), grid=4), steps=7)
    assert (made.budget.p, made.xi, made.attacks[0].training.loss.xi) == (0.05, (2.0,), 2.0)
    with pytest.raises(SpecError, match=r"deform-robust: share: found \"half\", expected a valid number"):
        build({"share": "half"})
