"""Madry's training: what its inner steps see and leave, that it learns to do without what an attack can turn, and the shipped readers made by it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medrobust import registry
from medrobust.budgets import Norm, length
from medrobust.errors import SpecError
from medrobust.guard import Fingerprint
from medrobust.randomness import CaseRandom
from medrobust.targets import zoo
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.bench import Bench
from medrobust.testing.mammograms import MammogramData
from medrobust.training.loop import Schedule
from medrobust.training.recipe import recipe
from medrobust.types import Attacked, Batch, Case
from medrobust_defenses.madry import Madry

REAL = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "extras" / "pneumoniamnist.npz"
STILL: dict[str, Any] = {"name": "cross-entropy", "options": {"flips": [], "shift": 0, "gain": 0.0, "offset": 0.0, "noise": 0.0}}
RANGES = {"linf": Norm("linf", 0.1, -1.0, 1.0), "l2": Norm("l2", 1.5, -1.0, 1.0)}


def batch() -> Batch:
    data = MammogramData()
    return data.load(data.cases("train"))


def target() -> ClassificationTarget:
    found = Bench(images="mammograms", task="classification", size=32).target()
    assert isinstance(found, ClassificationTarget)
    return found


def streams(count: int = 4, first: int = 0) -> CaseRandom:
    return CaseRandom.of(range(first, first + count))


@pytest.mark.parametrize("budget", RANGES.values(), ids=list(RANGES))
def test_attacked_images_are_within_the_budget_and_harder_than_any_random_start(budget: Norm) -> None:
    clean, madry = batch(), Madry(budget, shown=STILL)
    found = madry.attacked(target(), clean, streams())
    assert madry.budget.audit(clean, Attacked(found.image)) == ("",) * 4
    start = replace(madry, steps=1, step=1e-6).attacked(target(), clean, streams())
    hard, drawn, easy = (target().loss(one.image, one) for one in (found, start, clean))
    assert bool((hard > drawn).all() and (hard > easy).all())
    assert float(length(found.image - clean.image, budget.norm).min()) > 0.8 * float(budget.epsilon)


def test_the_steps_are_those_of_the_paper() -> None:
    clean, madry, model = batch(), Madry(RANGES["linf"], steps=3, step=0.5, shown=STILL), target()
    rng = streams()
    rng.uniform(0, 1)  # which images are attacked
    image = (clean.image + 0.1 * rng.uniform(-1, 1, *clean.image.shape[1:])).clamp(-1, 1)
    for _ in range(3):
        image = image.detach().requires_grad_(True)
        nn.functional.binary_cross_entropy_with_logits(model.network(image)[:, 0], clean.truth.float(), reduction="sum").backward()
        assert image.grad is not None
        image = torch.max(torch.min(image.detach() + 0.05 * image.grad.sign(), clean.image + 0.1), clean.image - 0.1).clamp(-1, 1)
    assert torch.allclose(madry.attacked(target(), clean, streams()).image, image, atol=1e-6)


@dataclass
class Seen:
    """In which mode and with which flags a network was asked."""

    training: list[bool] = field(default_factory=list)
    thawed: list[bool] = field(default_factory=list)


def watched(model: ClassificationTarget) -> Seen:
    seen, forward = Seen(), model.network.forward

    def noted(image: Tensor) -> Tensor:
        seen.training.append(any(part.training for part in model.network.modules()))
        seen.thawed.append(any(parameter.requires_grad for parameter in model.network.parameters()))
        found: Tensor = forward(image)
        return found

    model.network.forward = noted  # type: ignore[method-assign]
    return seen


def test_the_inner_steps_see_evaluation_mode_and_the_update_sees_training_mode() -> None:
    model = target()
    model.network.train().requires_grad_(True)
    seen = watched(model)
    list(Madry(RANGES["linf"], steps=3, shown=STILL).losses(model, batch(), streams()))
    assert seen.training == [False, False, False, True]
    assert seen.thawed == [False, False, False, True]


def test_the_network_is_left_as_it_was_and_keeps_the_updates_statistics_alone() -> None:
    model = target()
    model.network.train()
    before = Fingerprint.of(model)
    Madry(RANGES["linf"], shown=STILL).attacked(model, batch(), streams())
    assert not before.changes(Fingerprint.of(model))


def test_what_is_learnt_from_a_case_depends_on_no_other_and_a_share_is_left_clean() -> None:
    clean, madry = batch(), Madry(RANGES["linf"], share=0.5, shown=STILL)
    whole = madry.attacked(target(), clean, streams())
    touched = [not torch.equal(one, other) for one, other in zip(whole.image, clean.image, strict=True)]
    assert 0 < sum(touched) < 4
    for row in range(4):
        assert torch.equal(madry.attacked(target(), clean.select([row]), streams(1, row)).image[0], whole.image[row])


def test_images_are_varied_before_they_are_attacked() -> None:
    model, shown = target(), []
    ask = model.network.forward
    model.network.forward = lambda image: (shown.append(image.detach()), ask(image))[1]  # type: ignore[method-assign]
    mirror = {"name": "image-cross-entropy", "options": {"flips": [0], "turn": 0.0, "shift": 0.0, "scale": 0.0, "gain": 0.0}}
    list(Madry(Norm(epsilon=1e-6, low=-1.0, high=1.0), shown=mirror).losses(model, batch(), streams()))
    same = [torch.allclose(one, other, atol=1e-4) for one, other in zip(shown[-1], batch().image, strict=True)]
    flipped = [torch.allclose(one.flip(1), other, atol=1e-4) for one, other in zip(shown[-1], batch().image, strict=True)]
    assert [one != other for one, other in zip(same, flipped, strict=True)] == [True] * 4
    assert any(flipped)


@dataclass(frozen=True)
class Features:
    """Two pixels: one is the class at full strength but lies in a tenth of all cases, the other is always the class, faintly enough to be turned.

    Source: the example of Tsipras et al. 2019, arXiv:1805.12152, section 2.1.
    """

    task = "classification"
    digest = "features0000"
    label = "two features"

    def cases(self, split: str) -> list[Case]:
        return [Case(f"{split}{index}", f"{split}{index}", f"{split}{index}") for index in range(200)]

    def load(self, cases: list[Case]) -> Batch:
        number = torch.tensor([int(case.case.lstrip("trainvles")) for case in cases])
        truth = number % 2
        sign = 2.0 * truth - 1
        strong = torch.where(number % 20 < 2, -sign, sign)
        image = torch.stack([0.5 + 0.4 * strong, 0.5 + 0.05 * sign], 1)[:, None, None]
        return Batch(image, truth, tuple(cases))


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[1.0, 8.0]]))
            self.layer.bias.fill_(-4.5)

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.layer(image.flatten(1))
        return found


def accuracy(model: ClassificationTarget, seen: Batch) -> float:
    with torch.no_grad():
        return float(((model(seen.image, seen)[:, 0] > 0.5) == seen.truth.bool()).double().mean())


def test_training_gives_up_what_an_attack_can_turn() -> None:
    data = Features()
    plain = ClassificationTarget(Linear(), "0" * 12)
    madry = Madry(Norm(epsilon=0.1, low=0.0, high=1.0), steps=3, shown=STILL, schedule=Schedule(steps=120, batch=20, learning_rate=0.2, warmup=0))
    hardened = madry(plain, data, torch.Generator().manual_seed(0))
    assert isinstance(hardened, ClassificationTarget)
    test = data.load(data.cases("test"))
    robust = [accuracy(model, madry.attacked(model, test, streams(200))) for model in (plain, hardened)]
    assert robust[1] == pytest.approx(0.9)
    assert robust[0] < 0.8
    strong, weak = hardened.network.layer.weight[0].tolist()  # type: ignore[union-attr, index]
    assert abs(weak) < strong
    assert torch.equal(plain.network.layer.weight, Linear().layer.weight)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("make", "error", "line"),
    [
        (lambda: Madry(Norm(epsilon="inf", low=0.0, high=1.0)), ValueError, "budget: found epsilon inf, expected a finite one"),
        (lambda: Madry(share=0.0), ValueError, "share"),
        (lambda: Madry(steps=0), ValueError, "steps"),
        (lambda: Madry(step=1.5), ValueError, "step"),
        (lambda: Madry(shown={"options": {}}), ValueError, "shown: found .*, expected a name"),
        (lambda: Madry(shown={"name": "cross-entrpy"}), SpecError, "shown: no 'cross-entrpy' among objectives; .*cross-entropy"),
        (lambda: Madry(shown={"name": "supervised"}), ValueError, "shown: found the objective 'supervised', expected one that varies images"),
        (lambda: Madry(shown={"name": "cross-entropy", "options": {"shift": "2"}}), SpecError, "shown: cross-entropy: shift"),
        (lambda: Madry()(Bench().target(), Bench().data(), torch.Generator()), TypeError, "madry: found a target of type ReconstructionTarget"),
    ],
)
def test_impossible_settings_are_refused_in_one_line(make: Callable[[], object], error: type[Exception], line: str) -> None:
    with pytest.raises(error, match=line) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_it_is_registered_as_a_defense_and_as_an_objective() -> None:
    assert registry.load("defenses", "madry") is registry.load("objectives", "madry") is Madry


@pytest.mark.parametrize("name", ["pneumonia-resnet-madry", "mammo-resnet-2-128-madry"])
def test_the_card_names_the_plain_reader_and_the_defense(name: str) -> None:
    card, made = zoo.card(name), recipe(name)
    assert (card.target, card.defense, card.training["start"]) == (made.target, "madry", made.start)
    assert zoo.card(made.start).target == card.target
    assert isinstance(made.build_objective(), Madry)
    assert card.options == made.options == zoo.card(made.start).options
    assert card.training["objective"] == json.loads(made.objective.model_dump_json())
    assert zoo.load(name).digest == card.digest != zoo.card(made.start).digest


def test_the_shipped_reader_of_radiographs_stands_what_the_plain_one_does_not() -> None:
    if not REAL.exists():
        pytest.skip(f"needs the subset of PneumoniaMNIST in {REAL}")
    data = registry.build("data", "medmnist", {"file": str(REAL)}, "data")
    seen = data.load(data.cases("test")[:100])
    attack = Madry(steps=10)
    models = [zoo.load(name) for name in ("pneumonia-resnet", "pneumonia-resnet-madry")]
    plain, robust = (accuracy(model, attack.attacked(model, seen, streams(100))) for model in models)
    assert plain < 0.1
    assert robust > 0.6


def test_the_shipped_reader_of_mammograms_stands_what_the_plain_one_does_not() -> None:
    made = recipe("mammo-resnet-2-128-madry")
    attack, data = made.build_objective(), made.build_data()
    assert isinstance(attack, Madry)
    seen = data.load(data.cases("val")[:24])
    models = [zoo.load(name) for name in ("mammo-resnet-2-128", "mammo-resnet-2-128-madry")]
    plain, robust = (accuracy(model, attack.attacked(model, seen, streams(24))) for model in models)
    assert plain < 0.6
    assert robust > 0.7
