"""The shipped readers of mammograms and tamper detectors: what their cards say, and that three readers of one size differ."""

from __future__ import annotations

import pytest
import torch

from medrobust.budgets import IntensityRange
from medrobust.fitting import fitted, told
from medrobust.randomness import CaseRandom
from medrobust.resolve import resolve
from medrobust.stats import auc
from medrobust.targets import zoo
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.mammograms import MammogramData
from medrobust.training.recipe import recipe
from medrobust.training.tasks import training_of
from medrobust_attacks.cyclegan.tampered import NOBODY

LARGE = ("mammo-resnet", "mammo-resnet-2", "mammo-densenet")
SMALL = tuple(f"{name}-128" for name in LARGE)
DETECTORS = ("mammo-spectral-128", "mammo-detector-128")
READERS = LARGE + SMALL


@pytest.mark.parametrize("name", READERS + DETECTORS)
def test_the_card_is_of_these_data_and_of_the_recipe(name: str) -> None:
    card, made = zoo.card(name), recipe(name)
    assert card.training["data_digest"] == made.build_data().digest
    assert card.options == made.options
    schedule = vars(made.build_schedule())
    assert card.training["schedule"] == {field: schedule[field] for field in card.training["schedule"]}
    assert card.training["validation"]["chosen"]["step"] <= schedule["steps"]
    assert card.intensity == training_of("mammograms").intensity
    assert card.training["images"] > card.training["patients"] == 720


@pytest.mark.parametrize("name", READERS + DETECTORS)
def test_a_reader_reads_better_than_chance(name: str) -> None:
    figures = zoo.card(name).figures
    assert 0.5 < figures["auc@test low"] < figures["auc@test"] < figures["auc@test high"]


def test_the_shipped_generators_turn_every_small_reader_round_and_are_noticed_on_patients_that_neither_has_seen() -> None:
    (condition,) = resolve("mammo-tamper-demo").conditions
    data, source = condition.dataset, condition.fit_dataset
    assert data is not None
    assert source is not None
    batch = data.load(data.cases("test"))
    last = next(attack.plugin for attack in condition.attacks if attack.label == "tamper@10000")
    attack = fitted(last, zoo.load(SMALL[0]), source, 0, told("cyclegan"))
    image = attack(NOBODY, batch, IntensityRange(), CaseRandom.of([0] * len(batch.cases))).image
    for name in SMALL:
        target = zoo.load(name)
        with torch.inference_mode():
            before, after = (auc(target(one, batch)[:, 0], batch.truth) for one in (batch.image, image))
        assert after < 0.5 < before, name
    for name in DETECTORS:
        target = zoo.load(name)
        with torch.inference_mode():
            clean, tampered = (target(one, batch)[:, 0] for one in (batch.image, image))
        assert auc(torch.cat([clean, tampered]), torch.arange(2 * len(image)) >= len(image)) > 0.5, name


@pytest.mark.parametrize("names", [LARGE, SMALL], ids=["256", "128"])
def test_three_readers_differ_in_how_they_are_built_or_seeded(names: tuple[str, ...]) -> None:
    cards = [zoo.card(name) for name in names]
    assert len({card.digest for card in cards}) == 3
    assert len({(card.architecture, str(card.options)) for card in cards}) == 3
    assert len({card.training["schedule"]["seed"] for card in cards}) == 3


@pytest.mark.parametrize("name", READERS + DETECTORS)
def test_a_reader_gives_one_probability_an_image_of_either_size(name: str) -> None:
    target = zoo.load(name)
    assert isinstance(target, ClassificationTarget)
    data = MammogramData(64)
    batch = data.load(data.cases("test"))
    with torch.inference_mode():
        square, tall = target(batch.image, batch), target(torch.nn.functional.pad(batch.image, (0, 0, 0, 32), value=-1.0), batch)
    for answer in (square, tall):
        assert answer.shape == (4, 1)
        assert bool(((answer >= 0) & (answer <= 1)).all())
