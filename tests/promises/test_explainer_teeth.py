"""Every promise of an explainer is seen to fail on an explainer that breaks it, and to hold on one that keeps it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from medrobust.guard import unguarded
from medrobust.randomness import CaseRandom
from medrobust.targets.weights import read, write
from medrobust.testing import BrokenPromise, Promise, explainer_promises
from medrobust.types import Batch, Explained, Target

PROMISES = {promise.number: promise for promise in explainer_promises()}
EDGE, CUBES = 8, 8
ONE = torch.arange(16) // EDGE
REGIONS = 4 * ONE[:, None, None] + 2 * ONE[:, None] + ONE


@dataclass(frozen=True)
class Good:
    """Relevance of each of eight cubes: how far the answer moves where the cube is filled with a constant.

    Source: none; made for the tests.

    value: largest intensity of the constant.
    """

    threat: ClassVar[str] = "black-box"
    queries: ClassVar[int] = CUBES + 1
    value: float = 0.5

    def draw(self, batch: Batch, rng: CaseRandom) -> Tensor:
        return rng.uniform(0, self.value, 1, 1, 1, 1)

    def scores(self, target: Target, batch: Batch, rng: CaseRandom) -> Tensor:
        """(n, cubes)."""
        filled, clean = self.draw(batch, rng), target(batch.image, batch)
        moved = [target(torch.where(cube == REGIONS, filled, batch.image), batch) for cube in range(CUBES)]
        return torch.stack([(one - clean).abs().amax(1) for one in moved], 1)

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:
        return Explained(self.scores(target, batch, rng)[:, REGIONS], REGIONS.repeat(len(batch), 1, 1, 1))


class GoodOfVoxels(Good):
    """Squared slope of the answer at each voxel. Source: none. value: unused."""

    threat = "white-box"
    queries, gradients = 1, 1

    def __call__(self, target, batch, rng):
        image = batch.image.clone().requires_grad_()
        (slope,) = torch.autograd.grad(target(image, batch).sum(), image)
        return Explained(slope.square().sum(1))


class GoodInside(Good):
    """Runs the network itself, and says so. Source: none. value: of the constant."""

    threat = "white-box"

    def scores(self, target, batch, rng):
        target.count(forward=(CUBES + 1) * len(batch))
        with torch.no_grad():
            return super().scores(lambda image, _: torch.cat([target.network(one[None]) for one in image]).sigmoid(), batch, rng)


@dataclass(frozen=True)
class GoodTrained:
    """A trained gain for each voxel's intensity, three epochs long.

    Source: none; made for the tests.

    rate: of learning.
    weights: the gain of each sequence; empty before it is trained.
    """

    threat: ClassVar[str] = "white-box"
    rate: float = 0.1
    weights: Mapping[str, Tensor] = field(default_factory=dict, compare=False)

    @property
    def recipe(self):
        return {"name": "gain", "rate": self.rate}

    def splits(self):
        return ("train",)

    def start(self, seed):
        return torch.rand(4, generator=torch.Generator().manual_seed(seed))

    def step(self, target, data, gain):
        batch = data.load([data.cases(split)[0] for split in self.splits()][:1])
        gain = gain.clone().requires_grad_()
        loss = target(batch.image * gain.view(-1, 1, 1, 1), batch).sum()
        return gain.detach() - self.rate * torch.autograd.grad(loss, gain)[0].clamp(-1, 1), float(loss.detach())

    def checkpoint(self, folder):
        return folder / "checkpoint.safetensors"

    def fit(self, target, data, seed, folder, report):
        path, gain, done = self.checkpoint(folder), self.start(seed), 0
        if path.is_file():
            kept = read(path)
            gain, done = kept["gain"], int(kept["done"])
        for epoch in range(done, 3):
            gain, loss = self.step(target, data, gain)
            report(epoch + 1, 3, loss)
            write(path, {"gain": gain, "done": torch.tensor(epoch + 1)}, half=False)
        return {"gain": gain}

    def __call__(self, target, batch, rng):
        return Explained((batch.image * self.weights["gain"].view(-1, 1, 1, 1)).sum(1))


class BareTensor(Good):
    def __call__(self, *args):
        return super().__call__(*args).relevance


class WrongDtype(Good):
    def __call__(self, *args):
        explained = super().__call__(*args)
        return replace(explained, relevance=explained.relevance.double())


class KeepsChannel(Good):
    def __call__(self, *args):
        explained = super().__call__(*args)
        return replace(explained, relevance=explained.relevance[:, None])


class NotANumber(Good):
    def __call__(self, *args):
        explained = super().__call__(*args)
        return replace(explained, relevance=explained.relevance / 0)


class KeepsGraph(Good):
    def __call__(self, *args):
        explained = super().__call__(*args)
        return replace(explained, relevance=explained.relevance.requires_grad_())


class LabelsFromOne(Good):
    def __call__(self, *args):
        explained = super().__call__(*args)
        return replace(explained, regions=explained.regions + 1)


class LabelsWithGaps(Good):
    def __call__(self, *args):
        explained = super().__call__(*args)
        return replace(explained, regions=explained.regions * 2)


class SmoothedMap(Good):
    """Smooth the map, and keep the regions."""

    def __call__(self, *args):
        explained = super().__call__(*args)
        smooth = torch.nn.functional.avg_pool3d(explained.relevance[:, None], 3, 1, 1)[:, 0]
        return replace(explained, relevance=smooth)


class ReadsTorchGenerator(Good):
    def draw(self, batch, rng):
        return self.value * torch.rand(len(batch), 1, 1, 1, 1)


class MovesNumpyGenerator(Good):
    def draw(self, batch, rng):
        np.random.random()  # noqa: NPY002 - the fault
        return super().draw(batch, rng)


class MovesPythonGenerator(Good):
    def draw(self, batch, rng):
        random.random()  # noqa: S311 - the fault
        return super().draw(batch, rng)


class OneStreamForAll(Good):
    def draw(self, batch, rng):
        return self.value * torch.rand(len(batch), 1, 1, 1, 1, generator=rng.generators[0])


class ScalesByTheBatch(Good):
    def scores(self, *args):
        scores = super().scores(*args)
        return scores / scores.max()


class MutatesImage(Good):
    def scores(self, target, batch, rng):
        batch.image.clamp_(0, 0.9)
        return super().scores(target, batch, rng)


class MutatesContext(Good):
    def scores(self, target, batch, rng):
        batch.context["tumour"].logical_not_()
        return super().scores(target, batch, rng)


class ReturnsASequence(Good):
    def __call__(self, target, batch, rng):
        return Explained(batch.image[:, 2])


class ReturnsItsOwnRegions(Good):
    """The partition is kept for later, and handed out itself."""

    kept: ClassVar[Tensor] = REGIONS.repeat(4, 1, 1, 1)

    def __call__(self, target, batch, rng):
        return Explained(self.scores(target, batch, rng)[:, REGIONS], self.kept[: len(batch)])


class Trains(Good):
    def scores(self, target, *rest):
        with torch.no_grad():
            unguarded(target).network.convolution.weight.mul_(1.01)
        return super().scores(target, *rest)


class SwitchesMode(Good):
    def scores(self, target, *rest):
        scores = super().scores(target, *rest)
        unguarded(target).network.dropout.train()
        return scores


class LeavesHook(Good):
    def scores(self, target, *rest):
        unguarded(target).network.layer4.register_forward_hook(lambda *_: None)
        return super().scores(target, *rest)


class LeavesGradient(GoodOfVoxels):
    """Squared slope of the answer at each voxel. Source: none."""

    def __call__(self, target, batch, rng):
        target.network(batch.image).sum().backward() if next(target.network.parameters()).requires_grad else None
        return super().__call__(target, batch, rng)


class StaysFrozen(Good):
    def scores(self, target, *rest):
        unguarded(target).network.requires_grad_(False)
        return super().scores(target, *rest)


@dataclass
class Thawed:
    """Source: none."""

    threat: ClassVar[str] = "black-box"


@dataclass(frozen=True)
class HoldsATensor:
    """Source: none."""

    threat: ClassVar[str] = "black-box"
    start: Tensor = torch.zeros(1)


@dataclass(frozen=True)
class ComparesWeights(GoodTrained):
    """Source: none."""

    weights: Mapping[str, Tensor] = field(default_factory=dict)


class NamelessRecipe(GoodTrained):
    recipe = {"rate": 0.1}  # noqa: RUF012 - the fault


class RecipeOfTensors(GoodTrained):
    recipe = {"name": "gain", "start": torch.zeros(1)}  # noqa: RUF012 - the fault


@dataclass(frozen=True)
class NoSource(Good):
    """Relevance of cubes.

    value: largest intensity of the constant.
    """


@dataclass(frozen=True)
class SilentField(Good):
    """Relevance of cubes.

    Source: none.

    value: largest intensity of the constant.
    """

    cubes: int = 8


class UsesGradients(GoodOfVoxels):
    threat = "black-box"


class ReachesInside(GoodInside):
    threat = "black-box"


class UnknownThreat(Good):
    threat = "grey-box"


class HidesPasses(GoodInside):
    def scores(self, target, batch, rng):
        scores = super().scores(target, batch, rng)
        target.count(forward=-len(batch))
        return scores


class DeclaresFewer(Good):
    queries = CUBES


class DeclaresNoGradient(GoodOfVoxels):
    gradients = 0


class TrainsByChance(GoodTrained):
    def start(self, seed):
        return torch.rand(4, generator=torch.Generator().manual_seed(torch.randint(9**9, (), generator=COIN).item()))


COIN = torch.Generator().manual_seed(0)


class MovesTorchGenerator(GoodTrained):
    def start(self, seed):
        return super().start(seed) + 0 * torch.rand(4)


class IgnoresItsSeed(GoodTrained):
    def start(self, seed):
        return super().start(0)


class TrainsNothing(GoodTrained):
    def fit(self, *args):
        super().fit(*args)
        return {}


class ReturnsANumber(GoodTrained):
    def fit(self, *args):
        return {"gain": float(super().fit(*args)["gain"].mean())}


class Diverges(GoodTrained):
    def fit(self, *args):
        return {"gain": super().fit(*args)["gain"] / 0}


class StartsAgain(GoodTrained):
    def checkpoint(self, folder):
        return folder / f"{random.random()}.safetensors"  # noqa: S311 - the fault


class ForgetsTheEpoch(GoodTrained):
    """Go on from the weights, and count from the start."""

    def fit(self, target, data, seed, folder, report):
        path = self.checkpoint(folder)
        if path.is_file():
            write(path, {**read(path), "done": torch.tensor(1)}, half=False)
        return super().fit(target, data, seed, folder, report)


class Silent(GoodTrained):
    def fit(self, target, data, seed, folder, report):
        return super().fit(target, data, seed, folder, lambda *_: None)


class TrainsTheTarget(GoodTrained):
    def step(self, target, data, gain):
        with torch.no_grad():
            target.network.head.weight.mul_(1.01)
        return super().step(target, data, gain)


class ThawsTheTarget(GoodTrained):
    def step(self, target, data, gain):
        target.network.requires_grad_(True)
        return super().step(target, data, gain)


class LooksAtTheTest(GoodTrained):
    def splits(self):
        return ("train", "test")


BROKEN = [
    ("E1", BareTensor(), "found Tensor"),
    ("E1", WrongDtype(), "float64"),
    ("E1", KeepsChannel(), r"found \(4, 1, 16, 16, 16\)"),
    ("E1", NotANumber(), "not finite"),
    ("E1", KeepsGraph(), "graph"),
    ("E2", LabelsFromOne(), "labels from 1 to 8, expected labels 0 to 7"),
    ("E2", LabelsWithGaps(), "labels from 0 to 14, expected labels 0 to 7"),
    ("E2", SmoothedMap(), "relevance runs from .* within region 0"),
    ("E3", ReadsTorchGenerator(), "global generator"),
    ("E3", MovesNumpyGenerator(), "global generator"),
    ("E3", MovesPythonGenerator(), "global generator"),
    ("E4", OneStreamForAll(), "relevance differs"),
    ("E4", ScalesByTheBatch(), "relevance differs"),
    ("E5", MutatesImage(), "image differs"),
    ("E5", MutatesContext(), "tumour"),
    ("E5", ReturnsASequence(), "shares memory"),
    ("E5", ReturnsItsOwnRegions(), "regions differs by 1 once an earlier map was changed"),
    ("E6", Trains(), "weight convolution"),
    ("E6", SwitchesMode(), "training mode of dropout"),
    ("E6", LeavesHook(), "hooks of layer4"),
    ("E6", LeavesGradient(), "grad of"),
    ("E6", StaysFrozen(), "requires_grad of"),
    ("E7", Thawed(), "not frozen"),
    ("E7", HoldsATensor(), "TypeError"),
    ("E7", ComparesWeights(), "enter equality"),
    ("E7", NamelessRecipe(), "expected a mapping with a name"),
    ("E7", RecipeOfTensors(), "no plain data"),
    ("E8", NoSource(), "Source"),
    ("E8", SilentField(), "cubes"),
    ("E9", UsesGradients(), "asks for more"),
    ("E9", ReachesInside(), "asks for more"),
    ("E9", UnknownThreat(), "grey-box"),
    ("E10", HidesPasses(), "36 volumes went through the network, 32 were reported"),
    ("E10", DeclaresFewer(), "declares 8 queries a case and took 9"),
    ("E10", DeclaresNoGradient(), "declares 0 gradients a case and took 1"),
    ("E11", TrainsByChance(), "between two trainings under one seed"),
    ("E11", MovesTorchGenerator(), "global generator"),
    ("E11", IgnoresItsSeed(), "the same under another seed"),
    ("E11", TrainsNothing(), "found no weights"),
    ("E11", ReturnsANumber(), "cannot be kept"),
    ("E11", Diverges(), "cannot be kept"),
    ("E12", StartsAgain(), "from the beginning"),
    ("E12", ForgetsTheEpoch(), "between a training that was stopped and one that was not"),
    ("E12", Silent(), "never reported its last step"),
    ("E13", TrainsTheTarget(), "weight head"),
    ("E13", ThawsTheTarget(), "requires_grad of"),
    ("E13", LooksAtTheTest(), "split 'test'"),
]


@pytest.mark.parametrize("explainer", [Good(), GoodOfVoxels(), GoodInside(), GoodTrained()], ids=lambda explainer: type(explainer).__name__)
@pytest.mark.parametrize("promise", explainer_promises(), ids=str)
def test_a_good_explainer_keeps(promise: Promise, explainer: object) -> None:
    promise(explainer)


@pytest.mark.parametrize(("number", "explainer", "found"), BROKEN, ids=[f"{number}-{type(each).__name__}" for number, each, _ in BROKEN])
def test_a_broken_explainer_is_caught(number: str, explainer: object, found: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^{number} .*({found})"):
        PROMISES[number](explainer)


def test_every_promise_has_been_seen_to_fail() -> None:
    assert {number for number, _, _ in BROKEN} == set(PROMISES)
