"""Trainable plugins on the bench: trained once for the promises of what they do, and the promises of the training itself."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from medrobust.digests import digest
from medrobust.errors import WeightsError
from medrobust.fitting import Report, shown
from medrobust.guard import frozen
from medrobust.targets.card import WEIGHTS
from medrobust.targets.weights import read, write
from medrobust.testing.bench import Bench
from medrobust.testing.observe import changed, difference, global_generators, network_state
from medrobust.types import Batch, Case, Data, Target, Trainable

T = TypeVar("T")
SPLITS = ("train", "val")


class StoppedError(Exception):
    """The training was interrupted on purpose."""


@dataclass(frozen=True, eq=False)
class Watched:
    """A data set that notes which splits it is asked for."""

    inner: Data
    asked: list[str]
    task: ClassVar[str] = "classification"

    @property
    def digest(self) -> str:
        return self.inner.digest

    @property
    def label(self) -> str:
        return self.inner.label

    def cases(self, split: str) -> Sequence[Case]:
        self.asked.append(split)
        return self.inner.cases(split)

    def load(self, cases: Sequence[Case]) -> Batch:
        return self.inner.load(cases)


def trained(plugin: T, bench: Bench) -> T:
    """The plugin with weights trained on the bench; itself where it is not trainable, or trained already."""
    if not isinstance(plugin, Trainable) or plugin.weights:
        return plugin
    done: Any = replace(plugin, weights=weights_of(plugin, bench))  # type: ignore[type-var]
    return done  # type: ignore[no-any-return]


def weights_of(plugin: Trainable, bench: Bench, seed: int = 0) -> Mapping[str, Tensor]:
    """Weights trained on the bench; trained once for equal plugins."""
    return _kept(typing.cast("Any", plugin), bench, seed)


@lru_cache(maxsize=8)
def _kept(plugin: Any, bench: Bench, seed: int) -> Mapping[str, Tensor]:
    return trained_anew(plugin, bench, seed)


def trained_anew(plugin: Trainable, bench: Bench, seed: int = 0) -> Mapping[str, Tensor]:
    """Weights trained in a folder of their own."""
    with TemporaryDirectory() as folder:
        return fit(plugin, bench, Path(folder), seed)


def fit(
    plugin: Trainable, bench: Bench, folder: Path, seed: int = 0, report: Report | None = None, target: Target | None = None
) -> dict[str, Tensor]:
    """Trained weights as the harness keeps them: written to the folder and read back. target: the bench's where None."""
    target = target or bench.target()
    with frozen(target):
        weights = plugin.fit(shown(plugin, target), bench.data(), seed, folder, report or silent)
    write(folder / WEIGHTS, weights, half=False)
    return read(folder / WEIGHTS)


def silent(step: int, steps: int, loss: float) -> None:
    """A report that nobody reads."""


def trains_by_its_seed(plugin: object, bench: Bench) -> str:
    """Where the same seed gives other weights, another seed the same, or a global generator is moved; empty where nothing does."""
    if not isinstance(plugin, Trainable):
        return ""
    untouched = global_generators()
    try:
        first = weights_of(plugin, bench)
        again = trained_anew(plugin, bench)
    except (WeightsError, AttributeError, ValueError, TypeError) as error:
        return f"what it trains cannot be kept: {' '.join(str(error).split())[:200]}"
    if global_generators() != untouched:
        return "a global generator was moved: draw from `seed` alone"
    if not first:
        return "found no weights, expected tensors by name"
    found = difference(first, again)
    if found:
        return f"{found} between two trainings under one seed"
    return "" if difference(first, weights_of(plugin, bench, 1)) else "the weights are the same under another seed"


def resumes(plugin: object, bench: Bench) -> str:
    """How a training that was stopped in its last step and begun again in its folder differs from one that was not; empty where it does not."""
    if not isinstance(plugin, Trainable):
        return ""
    steps: list[int] = []

    def stop(step: int, total: int, loss: float) -> None:  # noqa: ARG001 - the signature of a report
        steps.append(step)
        if step >= total:
            raise StoppedError

    with TemporaryDirectory() as name:
        folder = Path(name)
        try:
            fit(plugin, bench, folder, report=stop)
        except StoppedError:
            begun, steps = steps, []
        else:
            return "it never reported its last step: report(steps done, steps in all, loss)"
        after = fit(plugin, bench, folder, report=lambda step, *_: steps.append(step))
    found = difference(weights_of(plugin, bench), after, 1e-5)
    if found:
        return f"{found} between a training that was stopped and one that was not"
    return "" if steps and steps[0] > begun[0] else "it starts from the beginning again: keep checkpoints in the folder"


def trains_beside_the_target(plugin: object, bench: Bench) -> str:
    """What the training does to the target, or which data it sees but the splits train and val; empty where nothing is wrong."""
    if not isinstance(plugin, Trainable):
        return ""
    target, data = bench.target(), Watched(bench.data(), [])
    with TemporaryDirectory() as folder, frozen(target):
        before = network_state(target.network)
        plugin.fit(shown(plugin, target), data, 0, Path(folder), silent)
        found = changed(before, network_state(target.network))
    others = sorted(set(data.asked) - set(SPLITS))
    return found or (f"it asked for the split '{others[0]}', expected {' and '.join(SPLITS)} alone" if others else "")


def has_a_recipe(plugin: object, _: Bench) -> str:
    """What keeps the recipe from being an identity that has a name and no weights; empty where nothing does."""
    if not isinstance(plugin, Trainable):
        return ""
    recipe = plugin.recipe
    if not isinstance(recipe, Mapping) or not isinstance(recipe.get("name"), str):
        return f"recipe is {recipe!r:.100}, expected a mapping with a name"
    try:
        digest(recipe)
    except (TypeError, ValueError) as error:
        return f"recipe is no plain data: {error}"
    return ""
