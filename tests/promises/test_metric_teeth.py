"""Every promise of a metric is seen to fail on a metric that breaks it, and to hold on one that keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from medrobust.testing import BrokenPromise, Promise, metric_promises
from medrobust.types import Outcome

PROMISES = {promise.number: promise for promise in metric_promises()}


@dataclass(frozen=True)
class Good:
    """Mean squared error of each case.

    Source: none; made for the tests.
    """

    name: ClassVar[str] = "mse"
    unit: ClassVar[str] = "intensity^2"
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = float("inf")
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome):
        return (outcome.prediction - outcome.truth).square().flatten(1).mean(1)


class GoodPerGroup(Good):
    """Normalised mean squared error of a group. Source: none."""

    per = "group"

    def __call__(self, outcome):
        return ((outcome.prediction - outcome.truth).square().sum() / outcome.truth.square().sum())[None]


class GoodLabelled(Good):
    """Error in the first and second lesion box, NaN where there is none. Source: none."""

    def __call__(self, outcome):
        boxes = outcome.batch.context["boxes"]
        return {f"lesion {i + 1}": torch.where(boxes[:, i].isnan().any(1), torch.nan, super(GoodLabelled, self).__call__(outcome)) for i in range(2)}


class WordyWorst(Good):
    worst = "bad"


class UnknownPer(Good):
    per = "pixel"


class Reduces(Good):
    def __call__(self, outcome):
        return super().__call__(outcome).mean()


class PythonFloats(Good):
    def __call__(self, outcome):
        return {"": super().__call__(outcome).tolist()}


class ScalesByTheBatch(Good):
    def __call__(self, outcome):
        return super().__call__(outcome) / outcome.truth.max()


class FirstSliceOfTheGroup(GoodPerGroup):
    def __call__(self, outcome):
        return Good.__call__(self, outcome)[:1]


class WrongWay(Good):
    higher_is_better = True


class NoDirection(Good):
    def __getattribute__(self, name):
        if name == "higher_is_better":
            raise AttributeError(name)
        return super().__getattribute__(name)


class GoodWithoutDirection(Good):
    """Mean prediction, of which neither more nor less is better. Source: none."""

    higher_is_better = None

    def __call__(self, outcome):
        return outcome.prediction.flatten(1).mean(1)


class GoodOfMaps(Good):
    """Share of the relevance that lies in the tumour, NaN where there is none. Source: none."""

    task = "classification"
    higher_is_better = True
    worst = 0.0

    def __call__(self, outcome):
        relevance, tumour = outcome.explained.relevance, outcome.batch.context["tumour"][:, 0]
        inside = (relevance * tumour).flatten(1).sum(1) / relevance.flatten(1).sum(1)
        return torch.where(tumour.flatten(1).any(1), inside, torch.nan)


class MapsWrongWay(GoodOfMaps):
    higher_is_better = False
    worst = 1.0


class MapsWithoutTumour(GoodOfMaps):
    def __call__(self, outcome):
        value = super().__call__(outcome)
        return torch.where(value.isnan(), torch.inf, value)


class ScalesMapsByTheBatch(GoodOfMaps):
    def __call__(self, outcome):
        return super().__call__(outcome) * outcome.batch.image.sum()


class NormalisesMaps(GoodOfMaps):
    def __call__(self, outcome):
        outcome.explained.relevance.div_(2)
        return super().__call__(outcome)


class LikesSteadyMaps(GoodOfMaps):
    """Prefer a map that stays on shuffled weights."""

    def __call__(self, outcome):
        moved = outcome.again(randomised=True).relevance - outcome.explained.relevance
        return 1 / (1 + moved.square().flatten(1).mean(1))


class WorseThanWorst(Good):
    worst = 0.0


class InfiniteWithoutRegion(Good):
    def __call__(self, outcome):
        value = super().__call__(outcome)
        return value if outcome.attacked.region is not None else value / 0


class NeverDefined(Good):
    def __call__(self, outcome):
        return super().__call__(outcome) * torch.nan


class ClipsPrediction(Good):
    def __call__(self, outcome):
        outcome.prediction.clamp_(0, 0.5)
        return super().__call__(outcome)


class NormalisesTruth(Good):
    def __call__(self, outcome):
        outcome.attacked.image.div_(2)
        return super().__call__(outcome)


@dataclass
class Thawed:
    """Source: none."""


@dataclass(frozen=True)
class NoSource(Good):
    """Mean squared error."""


BROKEN = [
    ("M1", WordyWorst(), "worst is 'bad'"),
    ("M1", UnknownPer(), "'pixel'"),
    ("M2", Reduces(), r"is \(\)"),
    ("M2", PythonFloats(), "list"),
    ("M3", ScalesByTheBatch(), "differs"),
    ("M3", FirstSliceOfTheGroup(), "differs"),
    ("M4", WrongWay(), "faded further"),
    ("M1", NoDirection(), "higher_is_better is missing"),
    ("M3", ScalesMapsByTheBatch(), "differs"),
    ("M4", WorseThanWorst(), "declared worst"),
    ("M4", MapsWrongWay(), "faded further"),
    ("M4", LikesSteadyMaps(), "faded further"),
    ("M5", MapsWithoutTumour(), "no box"),
    ("M5", InfiniteWithoutRegion(), "no region"),
    ("M5", NeverDefined(), "every value is NaN"),
    ("M6", ClipsPrediction(), "prediction differs"),
    ("M6", NormalisesTruth(), "image differs"),
    ("M6", NormalisesMaps(), "relevance differs"),
    ("M7", Thawed(), "not frozen"),
    ("M8", NoSource(), "Source"),
]


@pytest.mark.parametrize(
    "metric", [Good(), GoodPerGroup(), GoodLabelled(), GoodWithoutDirection(), GoodOfMaps()], ids=lambda metric: type(metric).__name__
)
@pytest.mark.parametrize("promise", metric_promises(), ids=str)
def test_a_good_metric_keeps(promise: Promise, metric: Good) -> None:
    promise(metric)


@pytest.mark.parametrize(("number", "metric", "found"), BROKEN, ids=[f"{number}-{type(metric).__name__}" for number, metric, _ in BROKEN])
def test_a_broken_metric_is_caught(number: str, metric: object, found: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^{number} .*{found}"):
        PROMISES[number](metric)


def test_every_promise_has_been_seen_to_fail() -> None:
    assert {number for number, _, _ in BROKEN} == set(PROMISES)
