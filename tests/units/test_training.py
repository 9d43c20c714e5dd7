"""Training: resumed to the same weights, stopped when it diverges, and the FNAF-robust objective."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from medrobust import registry
from medrobust.cli.app import call
from medrobust.data.augment import band, mirror, redraw_masks
from medrobust.data.phantom import MRIPhantom
from medrobust.errors import MedrobustError, SpecError
from medrobust.metrics.reconstruction import SSIM
from medrobust.randomness import CaseRandom, derive
from medrobust.targets import zoo
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.targets.unet import UNet
from medrobust.training.loop import Schedule, batches, train
from medrobust.training.make import LATER, Maker
from medrobust.training.objectives import Supervised, ssim
from medrobust.training.recipe import Recipe, recipe
from medrobust.training.tasks import training_of
from medrobust.types import Attacked, Batch, Case, Outcome
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_defenses.fnaf_robust import FNAFRobust

DATA = MRIPhantom(train=2, val=1, test=1, slices=3, size=64)
SCHEDULE = Schedule(steps=6, batch=2, warmup=2)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDROBUST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def fresh() -> ReconstructionTarget:
    torch.manual_seed(0)
    return ReconstructionTarget(UNet(4, 2).build(), "fresh")


def run(target: ReconstructionTarget, schedule: Schedule, folder: Path | None, stop: int = 10**9, objective: object = None) -> dict[str, Tensor]:
    def report(step: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    train(target, target.network, objective or Supervised(), DATA, schedule, folder, report)  # type: ignore[arg-type]
    return dict(target.network.state_dict())


def test_an_interrupted_training_ends_with_the_weights_of_an_undisturbed_one(tmp_path: Path) -> None:
    undisturbed = run(fresh(), SCHEDULE, None)
    with pytest.raises(KeyboardInterrupt):
        run(fresh(), SCHEDULE, tmp_path, stop=3)
    kept = load_file(tmp_path / "checkpoint.safetensors")
    assert not torch.equal(kept["network.head.0.weight"], undisturbed["head.0.weight"])
    resumed = run(fresh(), SCHEDULE, tmp_path)
    assert resumed.keys() == undisturbed.keys()
    assert all(torch.equal(resumed[name], undisturbed[name]) for name in undisturbed)


def test_the_start_is_averaged_in_as_far_as_the_schedule_says(tmp_path: Path) -> None:
    begun, ended = dict(fresh().network.state_dict()), run(fresh(), SCHEDULE, None)
    averaging = replace(SCHEDULE, start_share=0.25)
    averaged = run(fresh(), averaging, None)
    assert not torch.allclose(averaged["head.0.weight"], ended["head.0.weight"])
    assert all(torch.allclose(averaged[name], 0.25 * begun[name] + 0.75 * ended[name], atol=1e-6) for name in ended)
    with pytest.raises(KeyboardInterrupt):
        run(fresh(), averaging, tmp_path, stop=3)
    other = fresh()
    with torch.no_grad():
        for parameter in other.network.parameters():
            parameter.zero_()
    resumed = run(other, averaging, tmp_path)
    assert all(torch.equal(resumed[name], averaged[name]) for name in averaged), "the checkpoint knows what it began with"
    again = run(fresh(), averaging, tmp_path)
    assert all(torch.equal(again[name], averaged[name]) for name in averaged), "a training that is over is averaged once"


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_of_the_start_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="start_share: found"):
        Schedule(start_share=share)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"steps": 7}, "steps: found 6, expected 7"),
        ({"seed": 1}, "seed: found 0, expected 1"),
        ({"start_share": 0.5}, r"start_share: found 0\.0, expected 0\.5"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path, changed: dict[str, float], found: str) -> None:
    schedule = replace(SCHEDULE, steps=6)
    with pytest.raises(KeyboardInterrupt):
        run(fresh(), schedule, tmp_path, stop=2)
    with pytest.raises(MedrobustError, match=rf"checkpoint\.safetensors: {found}; it is of another training"):
        run(fresh(), replace(schedule, **changed), tmp_path)  # type: ignore[arg-type]
    with pytest.raises(MedrobustError, match="objective: found Supervised"):
        run(fresh(), schedule, tmp_path, objective=FNAFRobust())
    assert run(fresh(), schedule, tmp_path)


def test_a_step_s_batch_depends_on_the_seed_and_the_step_alone() -> None:
    def at(first: int, seed: int) -> Batch:
        return next(batches(DATA, Schedule(steps=6, batch=2, seed=seed), first))[1]

    later = next(batch for step, batch, _ in batches(DATA, Schedule(steps=6, batch=2), 0) if step == 4)
    assert torch.equal(at(4, 0).image, later.image)
    assert torch.equal(at(4, 0).context["mask"], later.context["mask"])
    assert not torch.equal(at(4, 1).image, later.image) or not torch.equal(at(4, 1).context["mask"], later.context["mask"])


def test_an_epoch_shows_every_slice_once() -> None:
    seen = [case.case for _, batch, _ in batches(DATA, Schedule(steps=3, batch=2), 0) for case in batch.cases]
    assert sorted(seen) == sorted(case.case for case in DATA.cases("train"))


def test_a_band_is_measured_as_the_band_of_the_whole_measurement() -> None:
    from medrobust.imaging.kspace import undersample, with_phase

    batch = DATA.load(DATA.cases("train")[:2])
    cut = band(batch, 16, CaseRandom.of([5, 6]))
    whole = undersample(with_phase(batch.image, batch.context["phase"]), batch.context["mask"])
    part = undersample(with_phase(cut.image, cut.context["phase"]), cut.context["mask"])
    for i in range(2):
        start = next(s for s in range(49) if torch.equal(batch.image[i, :, s : s + 16], cut.image[i]))
        assert torch.allclose(part[i], whole[i, :, start : start + 16], atol=1e-9, rtol=1e-5)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    losses: list[float] = []
    target = fresh()
    schedule = Schedule(steps=60, batch=2, learning_rate=2e-2, warmup=5)
    train(target, target.network, Supervised(), DATA, schedule, None, lambda step, loss: losses.append(loss))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_a_diverging_training_stops_with_one_line_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    class Diverging:
        def __init__(self, factor: float) -> None:
            self.factor = factor

        def losses(self, target: ReconstructionTarget, batch: Batch, rng: CaseRandom) -> object:
            yield target(batch.image, batch).mean() * self.factor

    with pytest.raises(KeyboardInterrupt):
        run(fresh(), SCHEDULE, tmp_path, stop=3, objective=Diverging(1))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()

    with pytest.raises(MedrobustError, match=r"training diverged: loss .* at step 3"):
        run(fresh(), SCHEDULE, tmp_path, objective=Diverging(torch.inf))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_the_differentiable_ssim_is_the_reported_one() -> None:
    batch = DATA.load(DATA.cases("train"))
    noisy = (batch.image + 0.1 * batch.image.mean() * torch.randn(batch.image.shape, generator=torch.Generator().manual_seed(0))).clamp_min(0)
    one = batch.select([0])
    reported = SSIM()(Outcome(one, Attacked(one.image), noisy[:1]))
    assert float(ssim(noisy[:1], one.image, one.image.amax().view(1))) == pytest.approx(float(reported), abs=1e-4)


def clean_batch() -> Batch:
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    mask = torch.rand(2, 1, 1, 64, generator=torch.Generator().manual_seed(2)) < 0.5
    return Batch(image, image, (Case("a", "a", "a"), Case("b", "b", "b")), {"phase": torch.zeros(2, 1, 64, 64), "mask": mask})


class Recorder(nn.Module):
    """Answers with the zero-filled magnitude, scaled by a weight, and remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.shown: list[Tensor] = []

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
        self.shown.append(zero_filled.detach().abs())
        return self.weight * zero_filled.abs()


def test_the_robust_objective_takes_a_clean_and_an_adversarial_step_on_the_same_slices() -> None:
    network = Recorder()
    clean = clean_batch()
    clean = clean.with_context(mask=torch.ones_like(clean.context["mask"]))
    objective = FNAFRobust(least_steps=10, most_steps=11)
    losses = list(objective.losses(ReconstructionTarget(network, "x"), clean, CaseRandom.of([1, 2])))
    assert len(losses) == 2
    assert torch.allclose(network.shown[0], clean.image, atol=1e-5)
    changed = (network.shown[1] - clean.image).abs() > 1e-4
    sigma = FeatureBudget().sigma(clean.image)
    assert (changed.flatten(1).sum(1) <= 10).all()
    assert ((network.shown[1] - clean.image).flatten(1).amax(1) / sigma >= 3).all()
    assert all(loss.requires_grad for loss in losses)


def test_feature_sizes_are_drawn_from_the_stated_range() -> None:
    clean = clean_batch()
    objective = FNAFRobust(least_steps=30, most_steps=100)
    sizes = [int(objective._draw(clean, CaseRandom.of([i, i + 500]))[1].sum()) for i in range(10)]
    assert len(set(sizes)) > 3


def test_the_worst_of_several_draws_is_trained_on() -> None:
    clean = clean_batch()
    target = ReconstructionTarget(Recorder().requires_grad_(False), "x")
    one, several = FNAFRobust(), FNAFRobust(draws=6)

    def loss(objective: FNAFRobust) -> Tensor:
        return objective._loss(target, clean, *objective._features(target, clean, CaseRandom.of([3, 4])))

    assert (loss(several) >= loss(one)).all()
    assert (loss(several) > loss(one)).any()


def test_as_a_defense_it_returns_another_target_and_leaves_the_first_alone() -> None:
    target = fresh()
    target.network.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in target.network.state_dict().items()}
    defense = FNAFRobust(schedule=Schedule(steps=2, batch=2))
    hardened = defense(target, DATA, torch.Generator().manual_seed(0))
    again = defense(target, DATA, torch.Generator().manual_seed(0))
    assert all(torch.equal(before[name], tensor) for name, tensor in target.network.state_dict().items())
    assert hardened.digest not in ("fresh", target.digest)
    assert not torch.equal(hardened.network.head[0].weight, target.network.head[0].weight)  # type: ignore[attr-defined]
    assert torch.equal(hardened.network.head[0].weight, again.network.head[0].weight)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", zoo.recipes())
def test_every_shipped_recipe_is_whole(name: str) -> None:
    made = recipe(name)
    made.build_objective()
    made.build_schedule()
    made.build_validation()
    task = registry.load("targets", made.architecture).task
    assert made.build_data().task == task
    assert training_of(task).unit


def test_an_unknown_recipe_is_named_with_near_ones() -> None:
    with pytest.raises(SpecError, match="did you mean recon-unet"):
        recipe("recon-unett")


@pytest.mark.parametrize("options", [{"draws": 0}, {"least_steps": 5, "most_steps": 5}])
def test_robust_options_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        FNAFRobust(**options)  # type: ignore[arg-type]


def test_every_shipped_card_of_a_reconstructor_says_the_schedule_that_its_recipe_gives() -> None:
    for name in sorted(set(zoo.recipes()) & set(zoo.names())):
        said = zoo.card(name).training["schedule"]
        idle = training_of(zoo.card(name).task).idle
        assert said == json.loads(json.dumps({key: value for key, value in vars(recipe(name).build_schedule()).items() if key in said}))
        assert set(said) | set(idle) >= set(vars(Schedule())) - set(LATER)


def test_the_batches_of_a_reconstructor_s_training_are_those_it_always_had() -> None:
    """Masks first, then the mirror, then the band, all from the step's own streams."""
    for rows in (0, 16):
        schedule = Schedule(steps=2, batch=2, rows=rows)
        for step, batch, _ in batches(DATA, schedule, 0):
            rng = CaseRandom.of([derive(0, step, i) for i in range(2)])
            expected = mirror(redraw_masks(DATA.load(batch.cases), schedule.masks, rng), rng)
            expected = band(expected, rows, rng) if rows else expected
            assert torch.equal(batch.image, expected.image)
            assert batch.context.keys() == expected.context.keys()
            assert all(torch.equal(batch.context[name], expected.context[name]) for name in expected.context)


def test_a_trained_reconstructor_s_card_keeps_its_fields(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recipe, "build_data", lambda self: DATA)
    made = Maker("toy", recipe("recon-unet"), SCHEDULE, "cpu", UNet(8).build())
    assert made.train(tmp_path / "checkpoints", None, lambda step, loss: None) is None
    card = made.save(tmp_path / "toy")
    shipped = zoo.card("recon-unet")
    assert card.intensity == shipped.intensity
    assert card.training.keys() == shipped.training.keys() - {"note"}
    assert card.training["schedule"].keys() == shipped.training["schedule"].keys()
    assert card.figures.keys() == shipped.figures.keys()


def test_another_seed_is_another_training_with_a_name_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, again, other = (Maker.of("recon-unet", 1, "cpu", torch.get_num_threads(), seed) for seed in (None, 0, 1))
    assert [maker.schedule.seed for maker in (first, again, other)] == [0, 0, 1]
    weights = [torch.cat([value.flatten() for value in maker.network.state_dict().values()]) for maker in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Maker, "train", lambda *_: None)
        patch.setattr(Maker, "save", lambda self, folder, _: zoo.card("recon-unet"))
        call(["train", "recon-unet", "--steps", "1", "--seed", "1", "--out", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("recon-unet-seed1: unet")
    assert "".join(said).endswith("recon-unet-seed1")
