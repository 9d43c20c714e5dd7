"""What a study may show: a case as it was, and as an attack changed it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medrobust.errors import StoreError

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Version:
    """A changed image of a case.

    condition: name of what changed it, such as an attack's in the tables. checkpoint: training step of the generator, None where there is none.
    direction: `inject`, `remove` or empty. target: class that it was meant to show. pixels: (H, W). statement: what a file of it would have to say.
    """

    condition: str
    checkpoint: int | None
    direction: str
    target: int
    pixels: Pixels
    statement: str


@dataclass(frozen=True, eq=False)
class Subject:
    """A case. truth: class of the original image, 1 cancerous. original: (H, W). versions: one a condition, none twice."""

    case: str
    patient: str
    truth: int
    original: Pixels
    versions: tuple[Version, ...]


def grey(plane: NDArray[Any], span: tuple[float, float]) -> Pixels:
    """Values of `span` as 0 to 255. Both images of a case need the same span, else their brightness tells them apart."""
    low, high = span
    scaled = (np.asarray(plane, dtype=np.float64) - low) / max(high - low, 1e-12) * 255
    return scaled.clip(0, 255).round().astype(np.uint8)


def from_run(path: Path, attacks: Sequence[str] = (), target: str = "", condition: str = "") -> tuple[list[Subject], dict[str, Any]]:
    """Every case of the run's stored attacks, and what the key says of their source; each attack is a condition."""
    from medrobust.store import open_run
    from medrobust.tampered import images, stored_cells

    run = open_run(path)
    cells = stored_cells(run, attacks, target, condition)
    found: dict[str, Subject] = {}
    for folder in cells:
        assert folder.cell.attack is not None  # noqa: S101 - `stored_cells` gives no other
        step = _step(folder.cell.attack.options)
        for one in images(folder):
            name = one.case.case
            if one.truth not in (0, 1):
                msg = f"{folder.stored}: case '{name}': found no truth of 0 or 1, expected a run of a classification task"
                raise StoreError(msg)
            before = found.setdefault(name, Subject(name, one.case.patient, one.truth, grey(one.clean, one.span), ()))
            target_class = {"inject": 1, "remove": 0}.get(one.statement.direction, 1 - one.truth)
            made = (one.statement.attack, step, one.statement.direction, target_class)
            version = Version(*made, grey(one.attacked, one.span), one.statement.text)
            found[name] = Subject(name, before.patient, before.truth, before.original, (*before.versions, version))
    described = [{"cell": each.digest, "attack": each.cell.columns["attack"], "images": each.state().artifact} for each in cells]
    return list(found.values()), {"run": path.resolve().name, "data": cells[0].cell.data_label, "cells": described}


def _step(options: Mapping[str, Any]) -> int | None:
    """The training step whose generators an attack used: its option `step`, or where that is not set the last one of its training."""
    training = options.get("training")
    last = training.get("steps") if isinstance(training, Mapping) else None
    step = last if options.get("step") is None else options["step"]
    return step if isinstance(step, int) else None
