"""Training of classifiers: varied volumes, validation and kept checkpoints, resumption, and the figures of a card."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from medrobust.data.augment import flipped, rescaled, shifted
from medrobust.errors import MedrobustError, SpecError
from medrobust.randomness import CaseRandom
from medrobust.targets import zoo
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.resnet import ResNet
from medrobust.testing.volumes import CASES, VolumeData
from medrobust.training import classification
from medrobust.training.decoded import decoded
from medrobust.training.loop import Schedule, batches, train
from medrobust.training.make import Maker
from medrobust.training.objectives import CrossEntropy
from medrobust.training.recipe import Named, Recipe
from medrobust.training.tasks import training_of
from medrobust.training.watch import Validation, Watch
from medrobust.types import Batch, Case

ARCHITECTURE = {"depth": 10, "widths": [4, 4, 4, 4], "stem": 3, "stem_stride": 2, "max_pool": False}
SCHEDULE = Schedule(steps=6, batch=2, warmup=2, learning_rate=1e-2)
DATA = VolumeData()


def fresh() -> ClassificationTarget:
    torch.manual_seed(0)
    return ClassificationTarget(ResNet(**ARCHITECTURE).build(), "fresh")  # type: ignore[arg-type]


def watch(target: ClassificationTarget, folder: Path, schedule: Schedule = SCHEDULE, every: int = 2, keep: int = 0, by: str = "loss") -> Watch:
    return Watch(folder, schedule.steps, Validation(every, by), keep, lambda: classification.validate(target, DATA, "cpu"))


def run(
    target: ClassificationTarget, folder: Path | None, seen: Watch | None = None, stop: int = 10**9, schedule: Schedule = SCHEDULE
) -> dict[str, Tensor]:
    def report(step: int, loss: float) -> None:
        if step == stop:
            raise KeyboardInterrupt

    train(target, target.network, CrossEntropy(), DATA, schedule, folder, report, seen)
    return {name: tensor.clone() for name, tensor in target.network.state_dict().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


volumes = st.integers(0, 99).map(lambda seed: torch.rand(2, 3, 5, 6, 4, generator=torch.Generator().manual_seed(seed)))


@given(volumes, st.integers(0, 999), st.sets(st.integers(0, 2)))
@settings(deadline=None)
def test_a_flip_mirrors_whole_volumes_along_the_given_axes(image: Tensor, seed: int, axes: set[int]) -> None:
    found = flipped(image, tuple(axes), CaseRandom.of([seed, seed + 1]))
    for one, original in zip(found, image, strict=True):
        allowed = [original.flip([axis + 1 for axis in axes if bits >> axis & 1]) for bits in range(8)]
        assert any(torch.equal(one, each) for each in allowed)


def test_a_flip_comes_in_half_of_the_cases_along_each_axis_by_itself() -> None:
    image = torch.arange(8.0).view(1, 1, 2, 2, 2)
    counts = torch.zeros(8)
    for seed in range(200):
        counts[int(flipped(image, (0, 1, 2), CaseRandom.of([seed]))[0, 0, 0, 0, 0])] += 1
    assert (counts > 8).all()
    assert all(torch.equal(flipped(image, (), CaseRandom.of([seed])), image) for seed in range(9))


@given(volumes, st.integers(0, 999), st.integers(0, 7))
@settings(deadline=None)
def test_a_shift_moves_whole_voxels_and_lets_zeros_in(image: Tensor, seed: int, most: int) -> None:
    found = shifted(image, most, CaseRandom.of([seed, seed + 1]))
    steps = CaseRandom.of([seed, seed + 1]).integers(-most, most + 1, 3)
    for one, original, (a, b, c) in zip(found, image, steps.tolist(), strict=True):
        padded = nn.functional.pad(original, (7,) * 6)
        assert torch.equal(one, padded[:, 7 - a : 12 - a, 7 - b : 13 - b, 7 - c : 11 - c])


@given(volumes, st.integers(0, 999))
@settings(deadline=None)
def test_other_gains_keep_the_background_and_go_no_further_than_they_may(image: Tensor, seed: int) -> None:
    image = image * (image > 0.3)
    found = rescaled(image, 0.2, 0.1, 0.0, CaseRandom.of([seed, seed + 1]))
    assert torch.equal(found == 0, image == 0) or bool((found[(found == 0) & (image > 0)] == 0).all())
    assert (found[image == 0] == 0).all()
    assert (found <= image * 1.2 + 0.1 + 1e-6).all()
    assert (found >= (image * 0.8 - 0.1).clamp_min(0) * (image > 0) - 1e-6).all()
    assert torch.allclose(rescaled(image, 0, 0, 0, CaseRandom.of([1, 2])), image)
    one = image[0, 0] > 0
    slope = (found[0, 0][one] - found[0, 0][one].roll(1)) / (image[0, 0][one] - image[0, 0][one].roll(1))
    assert torch.allclose(slope, slope.median().expand_as(slope), rtol=1e-2, atol=1e-2)


def test_each_volume_is_varied_by_its_own_stream_alone() -> None:
    image = DATA.load(CASES).image
    whole = CrossEntropy(noise=0.1).varied(image, CaseRandom.of([1, 2, 3, 4]))
    part = CrossEntropy(noise=0.1).varied(image[2:3], CaseRandom.of([3]))
    assert torch.equal(whole[2:3], part)
    assert not torch.equal(whole[2:3], CrossEntropy(noise=0.1).varied(image[2:3], CaseRandom.of([5])))
    assert torch.equal(image, DATA.load(CASES).image)
    assert torch.equal(CrossEntropy((), 0, 0, 0, 0).varied(image, CaseRandom.of([1, 2, 3, 4])), image)


def test_the_objective_is_the_mean_cross_entropy_of_the_varied_volumes() -> None:
    target, batch = fresh(), DATA.load(CASES)
    target.network.eval()
    (loss,) = CrossEntropy().losses(target, batch, CaseRandom.of([1, 2, 3, 4]))
    image = CrossEntropy().varied(batch.image, CaseRandom.of([1, 2, 3, 4]))
    probability = target(image, batch)[:, 0]
    expected = -torch.where(batch.truth == 1, probability, 1 - probability).log().mean()
    torch.testing.assert_close(loss, expected)
    assert loss.requires_grad


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flips": (3,)}, "flips: found"),
        ({"flips": (0, 0)}, "flips: found"),
        ({"gain": 1.0}, "gain: found 1.0"),
        ({"noise": -0.1}, "noise: found -0.1"),
        ({"shift": -1}, "shift: found -1"),
        ({"offset": math.nan}, "offset: found nan"),
    ],
)
def test_variations_out_of_range_are_one_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CrossEntropy(**options)  # type: ignore[arg-type]


def test_batches_of_volumes_come_as_they_were_loaded() -> None:
    for _, batch, _ in batches(DATA, SCHEDULE, 0):
        assert torch.equal(batch.image, DATA.load(batch.cases).image)
        assert torch.equal(batch.truth, DATA.load(batch.cases).truth)


@dataclass(frozen=True)
class Elsewhere(VolumeData):
    task: ClassVar[str] = "registration"


def test_a_task_without_a_training_is_one_line() -> None:
    with pytest.raises(SpecError, match="no training for task 'registration'; did you mean reconstruction"):
        next(batches(Elsewhere(), SCHEDULE, 0))


@dataclass(frozen=True)
class Unlabelled(VolumeData):
    def cases(self, split: str) -> Sequence[Case]:
        return ()


def test_a_split_without_cases_is_one_line() -> None:
    with pytest.raises(MedrobustError, match="no case in split 'train'"):
        next(batches(Unlabelled(), SCHEDULE, 0))
    with pytest.raises(MedrobustError, match="no case in split 'val'"):
        classification.validate(fresh(), Unlabelled(), "cpu")


def test_training_lowers_the_loss_and_tells_the_grades_apart(tmp_path: Path) -> None:
    target, schedule = fresh(), Schedule(steps=40, batch=4, learning_rate=2e-2, warmup=4)
    target.network.eval()
    before = classification.validate(target, DATA, "cpu")
    seen = watch(target, tmp_path, schedule, every=10)
    run(target, tmp_path, seen, schedule=schedule)
    after = classification.validate(target, DATA, "cpu")
    assert after["loss"] < 0.5 * before["loss"]
    assert after["auc"] == 1.0


def test_the_weights_of_the_best_look_are_the_model(tmp_path: Path) -> None:
    target = fresh()
    losses = iter([0.5, 0.2, 0.4])
    seen = Watch(tmp_path, 6, Validation(2), 2, lambda: {"loss": next(losses)})
    state = run(target, tmp_path, seen)
    assert seen.best() == {"step": 4, "loss": 0.2}
    assert same(state, load_file(tmp_path / "kept" / "step-000004.safetensors"))
    assert not same(state, load_file(tmp_path / "kept" / "step-000006.safetensors"))
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-000004.safetensors"]
    last = {
        name.removeprefix("network."): each for name, each in load_file(tmp_path / "checkpoint.safetensors").items() if name.startswith("network.")
    }
    assert same(last, load_file(tmp_path / "kept" / "step-000006.safetensors"))


def test_the_best_area_wins_where_it_is_asked_for_and_ties_go_to_the_lower_loss(tmp_path: Path) -> None:
    figures = iter([{"loss": 0.1, "auc": 0.6}, {"loss": 0.9, "auc": 0.8}, {"loss": 0.7, "auc": 0.8}])
    seen = Watch(tmp_path, 6, Validation(2, "auc"), 0, lambda: next(figures))
    run(fresh(), tmp_path, seen)
    assert seen.best() == {"step": 6, "loss": 0.7, "auc": 0.8}


def test_kept_checkpoints_hold_the_weights_and_what_they_scored(tmp_path: Path) -> None:
    target = fresh()
    run(target, tmp_path, watch(target, tmp_path, every=0, keep=4))
    names = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert names == [f"step-00000{step}.{kind}" for step in (4, 6) for kind in ("json", "safetensors")]
    for step in (4, 6):
        path = tmp_path / "kept" / f"step-00000{step}.safetensors"
        kept = zoo.untrained("resnet", ARCHITECTURE, path)
        said = json.loads(path.with_suffix(".json").read_text())
        assert said == {"step": step, **classification.validate(kept, DATA, "cpu")}
    assert same(dict(target.network.state_dict()), load_file(tmp_path / "kept" / "step-000006.safetensors"))


def test_looking_and_keeping_change_no_weight(tmp_path: Path) -> None:
    undisturbed, target = run(fresh(), None), fresh()
    run(target, tmp_path, watch(target, tmp_path, every=0, keep=1))
    assert same(undisturbed, dict(target.network.state_dict()))


@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_an_interrupted_training_ends_with_the_weights_and_looks_of_an_undisturbed_one(tmp_path: Path, stop: int) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    target = fresh()
    undisturbed = run(target, one, watch(target, one, keep=3))
    target = fresh()
    with pytest.raises(KeyboardInterrupt):
        run(target, other, watch(target, other, keep=3), stop=stop)
    target = fresh()
    assert same(run(target, other, watch(target, other, keep=3)), undisturbed)
    assert (one / "validation.jsonl").read_text() == (other / "validation.jsonl").read_text()
    kept = sorted(path.name for path in (one / "kept").iterdir())
    assert kept == sorted(path.name for path in (other / "kept").iterdir())
    assert all((one / "kept" / name).read_bytes() == (other / "kept" / name).read_bytes() for name in kept)


def test_a_look_that_was_interrupted_is_made_up_for(tmp_path: Path) -> None:
    def interrupted() -> dict[str, float]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(fresh(), tmp_path, Watch(tmp_path, 6, Validation(2), 0, interrupted))
    target = fresh()
    run(target, tmp_path, watch(target, tmp_path))
    steps = [json.loads(line)["step"] for line in (tmp_path / "validation.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6]


def test_looks_beyond_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    target = fresh()
    seen = watch(target, tmp_path)
    run(target, tmp_path, seen)
    (tmp_path / "checkpoint.safetensors").unlink()
    seen.resume(target.network, 0)
    assert seen.best() is None


class Lookup(nn.Module):
    """Answers each of the bench's volumes with its own logit."""

    def __init__(self, logits: Sequence[float]) -> None:
        super().__init__()
        self.known = {round(float(one.double().sum()), 3): logit for one, logit in zip(DATA.load(CASES).image, logits, strict=True)}

    def forward(self, image: Tensor) -> Tensor:
        return torch.tensor([[self.known[round(float(one.double().sum()), 3)]] for one in image])


@given(st.lists(st.sampled_from([-2.0, -0.5, 0.5, 2.0]), min_size=4, max_size=4))
@settings(max_examples=15, deadline=None)
def test_figures_are_those_of_an_independent_reference(logits: list[float]) -> None:
    target = ClassificationTarget(Lookup(logits), "x")
    figures = classification.figures(target, DATA, "cpu")
    truth = [1, 0, 1, 0]
    assert figures["auc@test"] == pytest.approx(roc_auc_score(truth, logits))
    assert figures["accuracy@test"] == sum((logit > 0) == bool(label) for logit, label in zip(logits, truth, strict=True)) / 4
    losses = [math.log1p(math.exp(-logit if label else logit)) for logit, label in zip(logits, truth, strict=True)]
    assert figures["loss@val"] == pytest.approx(sum(losses) / 4, rel=1e-5)
    for name in ("auc@val", "auc@test", "accuracy@test"):
        assert 0 <= figures[f"{name} low"] <= figures[name] <= figures[f"{name} high"] <= 1
    assert classification.validate(target, DATA, "cpu") == {"loss": figures["loss@val"], "auc": figures["auc@val"]}


@dataclass(frozen=True)
class Counted(VolumeData):
    """The bench's volumes, which may each be read once."""

    loads: ClassVar[list[str]] = []

    def load(self, cases: Sequence[Case]) -> Batch:
        assert not {case.case for case in cases} & set(self.loads), "read again"
        self.loads.extend(case.case for case in cases)
        return super().load(cases)


def test_decoded_cases_are_read_once_and_are_what_they_were(tmp_path: Path) -> None:
    Counted.loads.clear()
    with decoded(Counted(), tmp_path) as data:
        assert (data.task, data.digest, data.label) == (DATA.task, DATA.digest, DATA.label)
        for rows in ([2, 0], [0, 1, 2, 3], [3]):
            cases = [data.cases("train")[row] for row in rows]
            found, expected = data.load(cases), DATA.load(cases)
            assert found.cases == expected.cases
            assert torch.equal(found.image, expected.image)
            assert torch.equal(found.truth, expected.truth)
            assert found.context.keys() == expected.context.keys()
            assert all(torch.equal(found.context[name], expected.context[name]) for name in found.context)
    assert sorted(Counted.loads) == [case.case for case in CASES]
    assert not list(tmp_path.iterdir())


def recipe(**fields: object) -> Recipe:
    named = {"objective": Named(name="cross-entropy"), "data": Named(name="glioma-phantom")}
    return Recipe(**{"architecture": "resnet", "options": ARCHITECTURE, "target": "roi-toy", **named, **fields})  # type: ignore[arg-type]


def maker(schedule: Schedule = SCHEDULE, **fields: object) -> Maker:
    made = recipe(**fields)
    torch.manual_seed(0)
    return Maker("toy", made, schedule, "cpu", ResNet(**ARCHITECTURE).build())  # type: ignore[arg-type]


@pytest.fixture
def bench_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recipe, "build_data", lambda self: DATA)


@pytest.mark.usefixtures("bench_data")
def test_a_classifier_is_made_with_a_card_that_says_what_it_is(tmp_path: Path) -> None:
    made = maker(validation={"every": 2, "by": "auc"})
    chosen = made.train(tmp_path / "checkpoints", None, lambda step, loss: None, keep_every=3)
    card = made.save(tmp_path / "toy", chosen)
    assert card.task == "classification"
    assert card.intensity == training_of("classification").intensity
    assert card.training["volumes"] == 4
    assert "slices" not in card.training
    assert card.training["schedule"].keys() == {"steps", "batch", "learning_rate", "warmup", "gradient_norm", "bfloat16", "seed"}
    assert card.training["validation"]["by"] == "auc"
    assert card.training["validation"]["chosen"]["step"] in (2, 4, 6)
    assert {"auc@val", "auc@test", "auc@test low", "auc@test high", "accuracy@test", "loss@val"} <= card.figures.keys()
    again = ClassificationTarget(made.network, "x")
    assert not list((tmp_path / "checkpoints").glob(".decoded*"))
    assert card.figures["loss@val"] == pytest.approx(classification.validate(again, DATA, "cpu")["loss"], abs=1e-6)
    assert sorted(path.name for path in (tmp_path / "checkpoints" / "kept").iterdir())[0] == "step-000003.json"


@pytest.mark.usefixtures("bench_data")
def test_without_a_look_the_last_weights_are_the_model(tmp_path: Path) -> None:
    made = maker(dataclasses.replace(SCHEDULE, weight_decay=0.1))
    assert made.train(tmp_path / "checkpoints", None, lambda step, loss: None) is None
    card = made.save(tmp_path / "toy")
    assert "validation" not in card.training
    assert card.training["schedule"]["weight_decay"] == 0.1
    assert not (tmp_path / "checkpoints" / "validation.jsonl").exists()


def test_weight_decay_shrinks_the_weights() -> None:
    plain = run(fresh(), None)
    decayed = run(fresh(), None, schedule=dataclasses.replace(SCHEDULE, weight_decay=10.0))
    assert decayed["conv1.weight"].norm() < 0.8 * plain["conv1.weight"].norm()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": {"steps": 0}}, "schedule: steps: found 0, expected a finite number, at least 1"),
        ({"schedule": {"batch": 0}}, "schedule: batch: found 0"),
        ({"schedule": {"warmup": -1}}, "schedule: warmup: found -1"),
        ({"schedule": {"rows": -1}}, "schedule: rows: found -1"),
        ({"schedule": {"weight_decay": -0.1}}, "schedule: weight_decay: found -0.1"),
        ({"schedule": {"learning_rate": 0}}, "schedule: learning_rate: found 0.*above 0"),
        ({"schedule": {"learning_rate": math.inf}}, "schedule: learning_rate: found"),
        ({"schedule": {"gradient_norm": 0}}, "schedule: gradient_norm: found 0"),
        ({"schedule": {"masks": []}}, "schedule: masks: found none"),
        ({"schedule": {"masks": [[0.5, 0.08]]}}, "schedule: .*0.5"),
        ({"schedule": {"steps": "many"}}, 'schedule: steps: found "many", expected a valid integer'),
        ({"schedule": {"stepps": 3}}, "schedule: no field 'stepps'; did you mean steps?"),
        ({"validation": {"every": -1}}, "validation: every: found -1, expected at least 0"),
        ({"validation": {"by": "accuracy"}}, "validation: by: found 'accuracy', expected one of loss, auc, dice"),
        ({"validation": {"evry": 1}}, "validation: no field 'evry'; did you mean every?"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_one_line(fields: dict[str, object], message: str) -> None:
    made = recipe(**fields)
    with pytest.raises(SpecError, match=message) as caught:
        (made.build_schedule(), made.build_validation())
    assert "\n" not in str(caught.value)
