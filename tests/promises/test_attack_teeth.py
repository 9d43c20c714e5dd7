"""Every promise of an attack is seen to fail on an attack that breaks it, and to hold on one that keeps it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch

from medrobust.guard import unguarded
from medrobust.randomness import CaseRandom
from medrobust.testing import Bench, BrokenPromise, Promise, attack_promises
from medrobust.types import Attacked, Batch, Budget, Target

PROMISES = {promise.number: promise for promise in attack_promises()}


@dataclass(frozen=True)
class Good:
    """Keep, for each image, the noise draw within the budget that raises the loss most.

    Source: none; made for the tests.

    amplitude: largest change of a pixel, in intensity units.
    """

    threat: ClassVar[str] = "black-box"
    amplitude: float = 0.05

    def draw(self, batch: Batch, rng: CaseRandom) -> torch.Tensor:
        return rng.uniform(-self.amplitude, self.amplitude, *batch.image.shape[1:])

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        with torch.no_grad():
            worst, highest, losses = batch.image.clone(), target.loss(batch.image, batch), []
            losses.append(highest)
            for _ in range(2):
                noisy = batch.image + self.draw(batch, rng)
                losses.append(target.loss(noisy, batch))
                worst = torch.where((losses[-1] > highest).view(-1, 1, 1, 1), noisy, worst)
                highest = torch.maximum(highest, losses[-1])
        return Attacked(worst, trace={"loss": torch.stack(losses, 1)})


class WrongDtype(Good):
    def __call__(self, *args):
        attacked = super().__call__(*args)
        return replace(attacked, image=attacked.image.double())


class WrongShape(Good):
    def __call__(self, *args):
        attacked = super().__call__(*args)
        return replace(attacked, image=attacked.image[:, 0])


class NotANumber(Good):
    def __call__(self, *args):
        attacked = super().__call__(*args)
        return replace(attacked, image=attacked.image * float("nan"))


class FloatRegion(Good):
    def __call__(self, *args):
        return replace(super().__call__(*args), region=torch.ones(4, 1, 64, 64))


class SharedContext(Good):
    def __call__(self, *args):
        return replace(super().__call__(*args), context={"mask": torch.ones(1, 1, 1, 64, dtype=torch.bool)})


class KeepsGraph(Good):
    def __call__(self, *args):
        attacked = super().__call__(*args)
        return replace(attacked, image=attacked.image.requires_grad_())


class LeavesBudget(Good):
    def draw(self, batch, rng):
        return 10 * super().draw(batch, rng)


class DoesNothing(Good):
    def __call__(self, target, batch, budget, rng):
        return Attacked(batch.image.clone())


class TrainedToDoNothing(DoesNothing):
    """Trained for all cases at once, which excuses a case that loses, and not all of them."""

    weights: ClassVar[dict[str, torch.Tensor]] = {"gain": torch.zeros(1)}
    recipe: ClassVar[dict[str, str]] = {"name": "nothing"}

    def fit(self, *args):
        return self.weights


class ReturnsTheLast(Good):
    """Forget the better query: the last of two draws, the second a tenth of the first."""

    def __call__(self, target, batch, budget, rng):
        noise = self.draw(batch, rng)
        with torch.no_grad():
            losses = torch.stack([target.loss(batch.image + noise * scale, batch) for scale in (1.0, 0.1)], 1)
        return Attacked(batch.image + 0.1 * noise, trace={"loss": losses})


class Boasts(Good):
    """Report losses that no query had."""

    def __call__(self, *args):
        attacked = super().__call__(*args)
        return replace(attacked, trace={"loss": 2 * attacked.trace["loss"]})


class ReadsTorchGenerator(Good):
    def draw(self, batch, rng):
        return self.amplitude * (2 * torch.rand_like(batch.image) - 1)


class MovesNumpyGenerator(Good):
    def draw(self, batch, rng):
        np.random.random()  # noqa: NPY002 - the fault
        return super().draw(batch, rng)


class MovesPythonGenerator(Good):
    def draw(self, batch, rng):
        random.random()  # noqa: S311 - the fault
        return super().draw(batch, rng)


class OneStreamForAll(Good):
    """Draw for the whole batch from the first case's generator."""

    def draw(self, batch, rng):
        return self.amplitude * (2 * torch.rand(batch.image.shape, generator=rng.generators[0]) - 1)


class ScalesByTheBatch(Good):
    def draw(self, batch, rng):
        return super().draw(batch, rng) * batch.image.max()


class MutatesImage(Good):
    def __call__(self, target, batch, budget, rng):
        attacked = super().__call__(target, batch, budget, rng)
        batch.image.copy_(attacked.image)
        return attacked


class MutatesContext(Good):
    def __call__(self, target, batch, budget, rng):
        batch.context["mask"].fill_(True)
        return super().__call__(target, batch, budget, rng)


class ReturnsTheInput(Good):
    def __call__(self, target, batch, budget, rng):
        return Attacked(batch.image)


class Trains(Good):
    def __call__(self, target, *rest):
        with torch.no_grad():
            unguarded(target).network.convolution.weight.mul_(1.01)
        return super().__call__(target, *rest)


class SwitchesMode(Good):
    def __call__(self, target, *rest):
        attacked = super().__call__(target, *rest)
        unguarded(target).network.dropout.train()
        return attacked


class LeavesHook(Good):
    def __call__(self, target, *rest):
        unguarded(target).network.convolution.register_forward_hook(lambda *_: None)
        return super().__call__(target, *rest)


class LeavesGradient(Good):
    def __call__(self, target, batch, *rest):
        unguarded(target).loss(batch.image, batch).sum().backward()
        return super().__call__(target, batch, *rest)


class ThawsEveryParameter(Good):
    """Freeze for speed, then forget that one parameter had been frozen before."""

    def __call__(self, target, *rest):
        unguarded(target).network.requires_grad_(False)
        attacked = super().__call__(target, *rest)
        unguarded(target).network.requires_grad_(True)
        return attacked



class NotADataclass:
    """Source: none."""

    threat = "black-box"


@dataclass
class Thawed:
    """Source: none."""

    threat: ClassVar[str] = "black-box"


@dataclass(frozen=True)
class HoldsATensor:
    """Source: none."""

    threat: ClassVar[str] = "black-box"
    start: torch.Tensor = torch.zeros(1)


@dataclass(frozen=True)
class ConvertsTwice(Good):
    """Source: none."""

    millimetres: float = 2.0

    def __post_init__(self):
        object.__setattr__(self, "millimetres", self.millimetres / 2)


@dataclass(frozen=True)
class NoSource(Good):
    """Raise the loss.

    amplitude: largest change of a pixel.
    """


@dataclass(frozen=True)
class SilentField(Good):
    """Raise the loss.

    Source: none.

    amplitude: largest change of a pixel.
    """

    draws: int = 3


class UsesGradients(Good):
    def draw(self, batch, rng):
        return super().draw(batch, rng)

    def __call__(self, target, batch, budget, rng):
        image = batch.image.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(target.loss(image, batch).sum(), image)
        return Attacked((image + 0.05 * gradient.sign()).detach())


class ReachesInside(Good):
    def __call__(self, target, *rest):
        target.network.eval()
        return super().__call__(target, *rest)


class UnknownThreat(Good):
    threat = "grey-box"


class HidesQueries(Good):
    def __call__(self, *args):
        attacked = super().__call__(*args)
        return replace(attacked, trace={"loss": attacked.trace["loss"].amax(1, keepdim=True)})


class RepeatsTheLast(Good):
    """Fill a trace up with what was said last, as if it had been asked."""

    def __call__(self, *args):
        attacked = super().__call__(*args)
        losses = attacked.trace["loss"]
        return replace(attacked, trace={"loss": torch.cat([losses, losses[:, -1:]], 1)})


class SaysWhereItStopped(Good):
    """The promise kept: no number where nothing was asked."""

    def __call__(self, *args):
        attacked = super().__call__(*args)
        losses = attacked.trace["loss"]
        return replace(attacked, trace={"loss": torch.cat([losses, losses[:, -1:] * torch.nan], 1)})


class NeverAsks(Good):
    """The promise kept: noise that no target had a say in."""

    threat: ClassVar[str] = "no-box"

    def __call__(self, target, batch, budget, rng):
        return Attacked(batch.image + self.draw(batch, rng))


class AsksAllTheSame(Good):
    threat: ClassVar[str] = "no-box"


class ReadsTheNetwork(NeverAsks):
    def __call__(self, target, batch, *rest):
        return Attacked(batch.image + 0.01 * next(target.network.parameters()).sum())


class GoesByTheTarget(NeverAsks):
    """Reach the weights behind the guard's back."""

    def __call__(self, target, batch, *rest):
        return Attacked(batch.image + 0.01 * next(unguarded(target).network.parameters()).detach().sum())


class TrainsOnTheTarget(NeverAsks):
    """Asks nothing afterwards, but learnt from the target."""

    weights: ClassVar[dict[str, torch.Tensor]] = {}
    recipe: ClassVar[dict[str, str]] = {"name": "copy"}

    def __call__(self, target, batch, *rest):
        return Attacked(batch.image + 0.01 * self.weights["gain"])

    def fit(self, target, *rest):
        return {"gain": next(unguarded(target).network.parameters()).detach().sum().view(1)}


@dataclass(frozen=True)
class LearntFromTheTarget(TrainsOnTheTarget):
    """Source: none.

    weights: what was learnt.
    """

    weights: dict[str, torch.Tensor] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class AskedInTraining(LearntFromTheTarget):
    """Source: none."""

    def fit(self, target, data, *rest):
        batch = data.load(data.cases("train"))
        return {"gain": target.loss(batch.image, batch).sum().view(1)}


class FlatTrace(Good):
    def __call__(self, *args):
        attacked = super().__call__(*args)
        return replace(attacked, trace={"loss": attacked.trace["loss"].flatten()})


BROKEN = [
    ("A1", WrongDtype(), "float64"),
    ("A1", WrongShape(), r"image is \(4, 64, 64\)"),
    ("A1", NotANumber(), "NaN"),
    ("A1", FloatRegion(), "region"),
    ("A1", SharedContext(), "1 rows for 4 cases"),
    ("A1", KeepsGraph(), "graph"),
    ("A2", LeavesBudget(), "allowed 0.1"),
    ("A3", DoesNothing(), "clean images"),
    ("A3", TrainedToDoNothing(), "clean images"),
    ("A3", ReturnsTheLast(), "best queries"),
    ("A3", Boasts(), "best queries"),
    ("A4", ReadsTorchGenerator(), "global generator"),
    ("A4", MovesNumpyGenerator(), "global generator"),
    ("A4", MovesPythonGenerator(), "global generator"),
    ("A5", OneStreamForAll(), "differs"),
    ("A5", ScalesByTheBatch(), "differs"),
    ("A6", MutatesImage(), "image differs"),
    ("A6", MutatesContext(), "mask"),
    ("A6", ReturnsTheInput(), "shares memory"),
    ("A7", Trains(), "weight convolution"),
    ("A7", SwitchesMode(), "training mode of dropout"),
    ("A7", LeavesHook(), "hooks of convolution"),
    ("A7", LeavesGradient(), "grad of"),
    ("A7", ThawsEveryParameter(), "requires_grad of gain"),
    ("A8", NotADataclass(), "not a dataclass"),
    ("A8", Thawed(), "not frozen"),
    ("A8", HoldsATensor(), "TypeError"),
    ("A8", ConvertsTwice(), "came back from JSON"),
    ("A9", NoSource(), "Source"),
    ("A9", SilentField(), "draws"),
    ("A10", UsesGradients(), "asks for more"),
    ("A10", ReachesInside(), "asks for more"),
    ("A10", UnknownThreat(), "grey-box"),
    ("A10", AsksAllTheSame(), "answers no no-box probe"),
    ("A10", ReadsTheNetwork(), "closed to no-box probes"),
    ("A10", GoesByTheTarget(), "between two targets"),
    ("A10", LearntFromTheTarget(), "between two targets"),
    ("A10", AskedInTraining(), "answers no no-box probe"),
    ("A11", HidesQueries(), "12 images were asked"),
    ("A11", RepeatsTheLast(), "12 images were asked, .* holds 16 queries of 4 cases"),
    ("A11", FlatTrace(), "expected"),
]


@pytest.mark.parametrize("promise", attack_promises(), ids=str)
def test_a_good_attack_keeps(promise: Promise) -> None:
    promise(Good())


@pytest.mark.parametrize("promise", [promise for promise in attack_promises() if promise.number != "A9"], ids=str)
def test_a_good_attack_that_never_asks_keeps(promise: Promise) -> None:
    promise(NeverAsks())


def test_a_trace_may_say_where_a_case_was_left_alone() -> None:
    for number in ("A3", "A5", "A11"):
        PROMISES[number](SaysWhereItStopped(), Bench())


@pytest.mark.parametrize(("number", "attack", "found"), BROKEN, ids=[f"{number}-{type(attack).__name__}" for number, attack, _ in BROKEN])
def test_a_broken_attack_is_caught(number: str, attack: object, found: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^{number} .*{found}"):
        PROMISES[number](attack, Bench())


def test_every_promise_has_been_seen_to_fail() -> None:
    assert {number for number, _, _ in BROKEN} == set(PROMISES)
