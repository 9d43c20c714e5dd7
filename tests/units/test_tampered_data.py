"""Images as taken and tampered with, as one data set: what is changed, by which generators, and under which names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from medrobust import registry
from medrobust.budgets import IntensityRange
from medrobust.data.mammogram_phantom import MammogramPhantom
from medrobust.errors import DataError
from medrobust.randomness import CaseRandom
from medrobust_attacks.cyclegan.discriminator import Discriminator
from medrobust_attacks.cyclegan.generator import Generator
from medrobust_attacks.cyclegan.recipe import CycleTraining
from medrobust_attacks.cyclegan.tampered import MARK, NOBODY, Tampered

OPTIONS: dict[str, Any] = {"train": 4, "val": 4, "test": 6, "size": (64, 64)}
SOURCE = {"name": "mammogram-phantom", "options": OPTIONS}
TRAINING = CycleTraining(Generator(2, blocks=1), Discriminator(2), steps=2, constant=1, checkpoints=(1,), interval=2, validate=1)


@pytest.fixture(scope="module", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDROBUST_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def data(own_cache: None) -> Tampered:
    return Tampered(SOURCE, TRAINING, steps=(1, 2))


def test_it_is_registered() -> None:
    assert registry.load("data", "tampered") is Tampered


def test_every_image_is_there_as_taken_and_tampered_with_and_belongs_to_its_patient(data: Tampered) -> None:
    source = MammogramPhantom(**OPTIONS).cases("test")
    cases = data.cases("test")
    assert [case.case for case in cases[::2]] == [case.case for case in source]
    assert [case.case for case in cases[1::2]] == [case.case + MARK for case in source]
    assert all(one.patient == other.patient and one.group != other.group for one, other in zip(cases[::2], cases[1::2], strict=True))


def test_class_1_is_what_the_attack_makes_at_the_step_that_the_name_says_and_class_0_is_untouched(data: Tampered) -> None:
    cases = data.cases("test")
    batch, source = data.load(cases), MammogramPhantom(**OPTIONS)
    clean = source.load(source.cases("test"))
    assert batch.truth.tolist() == [0, 1] * len(clean)
    assert torch.equal(batch.image[::2], clean.image)
    seen = set()
    for row, case in enumerate(source.cases("test")):
        one = clean.select([row])
        made = {step: data._attack(step)(NOBODY, one, IntensityRange(), CaseRandom.of([0])).image for step in (1, 2)}
        assert not torch.equal(made[1], made[2])
        step = data._steps[data._turn(cases[2 * row + 1])]
        assert torch.equal(batch.image[2 * row + 1 : 2 * row + 2], made[step]), case
        assert not torch.equal(made[step], one.image)
        seen.add(step)
    assert seen == {1, 2}


def test_generators_are_trained_where_they_are_first_asked_for_in_inference_mode_too(
    data: Tampered, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = data.cases("test")
    expected = data.load(cases)
    capsys.readouterr()
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    fresh = Tampered(SOURCE, TRAINING, steps=(1, 2))
    with torch.inference_mode():
        found = fresh.load(cases)
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" loss ")[0] for line in said] == [f"training cyclegan first: step {step}/2" for step in (1, 2)]
    assert torch.equal(found.image, expected.image)
    assert torch.equal(fresh.load(cases).image, expected.image)


def test_order_and_batch_change_nothing(data: Tampered) -> None:
    cases = list(data.cases("test"))
    whole = data.load(cases)
    backwards = data.load(cases[::-1])
    assert torch.equal(backwards.image.flip(0), whole.image)
    assert torch.equal(data.load([cases[3]]).image, whole.image[3:4])


def test_its_identity_is_that_of_images_recipe_and_steps(data: Tampered) -> None:
    same = Tampered({"options": OPTIONS, "name": "mammogram-phantom"}, TRAINING, steps=(1, 2))
    assert same.digest == data.digest
    images = {**SOURCE, "options": {**OPTIONS, "seed": 1}}
    others = [Tampered(SOURCE, TRAINING), Tampered(SOURCE, TRAINING, (1, 2), seed=1), Tampered(images, TRAINING, (1, 2))]
    assert len({data.digest, *(other.digest for other in others)}) == 4
    assert Tampered(SOURCE, TRAINING).digest == Tampered(SOURCE, TRAINING, (2,)).digest, "the last step is what no step means"
    assert data.label.endswith("each as taken and tampered with")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": (3,)}, r"^step: found 3, expected one that training.checkpoints keeps: 1, 2$"),
        ({"data": {"folder": "x"}}, r"^data: found \{'folder': 'x'\}, expected a name and, where there are any, options$"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tampered(**{"data": SOURCE, "training": TRAINING, **options})


def test_data_of_another_task_is_one_line() -> None:
    with pytest.raises(DataError, match=r"^tampered: found data 'abdomen-phantom' of task segmentation, expected classification$"):
        Tampered({"name": "abdomen-phantom"}, TRAINING).cases("test")


def test_a_classifier_is_trained_on_it_from_the_cache(data: Tampered, tmp_path: Path) -> None:
    from medrobust.training.classification import figures

    found = figures(NOBODY, _Scored(data), "cpu")
    assert found["auc@test"] > 0.9, "a truth that is the class of the case, not that of the patient"


class _Scored:
    """The data set with images that say their class, one logit each."""

    task = "classification"

    def __init__(self, data: Tampered) -> None:
        self.data, self.digest, self.label = data, data.digest, data.label

    def cases(self, split: str) -> Any:
        return self.data.cases(split)

    def load(self, cases: Any) -> Any:
        from dataclasses import replace

        batch = self.data.load(cases)
        return replace(batch, image=batch.truth[:, None].float() * 2 - 1)
