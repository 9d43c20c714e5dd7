"""Attacks and explainers that are trained: fitted once for each target, data and seed, and kept."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from medrobust import claims, registry
from medrobust.data.cache import user_cache
from medrobust.digests import digest
from medrobust.files import write_text
from medrobust.guard import NO_BOX, Guarded, frozen
from medrobust.targets.card import WEIGHTS
from medrobust.targets.weights import decode, read, write
from medrobust.types import Data, Target, Trainable

Report = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all and the loss."""

FITS = "fits"
LINES = 20
WAIT = 2.0
T = TypeVar("T")


def identity(plugin: Trainable, target: Target, data_digest: str, seed: int) -> str:
    """What trained weights depend on, 12 hexadecimal digits: plugins of one recipe share theirs, and those of a no-box plugin serve every target."""
    return digest({"recipe": plugin.recipe, **asked(plugin, target), "data": data_digest, "seed": seed})


def asked(plugin: Trainable, target: Target) -> dict[str, str]:
    """The target as part of an identity; nothing for a no-box plugin, which never asks it."""
    return {} if unasked(plugin) else {"target": target.digest}


def unasked(plugin: object) -> bool:
    """Whether a plugin never asks its target."""
    return getattr(plugin, "threat", "") == NO_BOX


def shown(plugin: object, target: Target) -> Target:
    """The target as a training may see it: one that answers nothing where the plugin is no-box."""
    return Guarded(target, NO_BOX) if unasked(plugin) else target


def fitted(plugin: T, target: Target, data: Data | None, seed: int, report: Report) -> T:
    """The plugin with trained weights: shipped ones, else those in the user's cache, else trained now; itself where it is not trained.

    Of several processes that want the same weights one trains and the others wait. An interrupted training continues from its checkpoint.
    """
    if not isinstance(plugin, Trainable) or data is None:
        return plugin
    name = identity(plugin, target, data.digest, seed)
    weights = shipped(name)
    if weights is None:
        folder = user_cache() / FITS / name
        while not (folder / WEIGHTS).is_file():
            _train(plugin, target, data, seed, folder, report)
        weights = read(folder / WEIGHTS)
    done: Any = replace(plugin, weights=weights)  # type: ignore[type-var]
    return done  # type: ignore[no-any-return]


def shipped(name: str) -> dict[str, Tensor] | None:
    """The weights of that identity among those that come with a zoo, or None."""
    for point in registry.available("zoo").values():
        path = files(point.value) / FITS / name / WEIGHTS
        if path.is_file():
            return decode(path.read_bytes(), str(path))
    return None


def told(name: str) -> Report:
    """A line on standard error every twentieth of a training that stands in the way of something else, so that nobody takes it for a standstill."""

    def line(step: int, steps: int, loss: float) -> None:
        if step % max(1, steps // LINES) == 0 or step == steps:
            print(f"training {name} first: step {step}/{steps} loss {loss:.4f}", file=sys.stderr, flush=True)  # noqa: T201 - a data set has no console

    return line


def _train(plugin: Trainable, target: Target, data: Data, seed: int, folder: Path, report: Report) -> None:
    """Train and keep, unless another process is at it: then wait a little."""
    claim = claims.acquire(folder)
    if claim is None:
        time.sleep(WAIT)
        return
    with claim, frozen(target):
        if (folder / WEIGHTS).is_file():  # by who held the claim until just now
            return
        weights: Mapping[str, Tensor] = plugin.fit(shown(plugin, target), data, seed, folder, report)
        about = {"recipe": plugin.recipe, **asked(plugin, target), "data": data.digest, "data_label": data.label, "seed": seed}
        write_text(folder / "fit.json", json.dumps(about, indent=1) + "\n")
        write(folder / WEIGHTS, weights, half=True)
