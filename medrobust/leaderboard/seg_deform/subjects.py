"""Subjects side by side: what each scored on clean slices, and what it scored under an attack."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import DICE
from medrobust.leaderboard.tables import Validity, worst

Key = tuple[int, str, str]


@dataclass(frozen=True)
class Beside:
    """Subjects that have a clean Dice and every metric asked for under the attack.

    keys: seed, patient and case, in order. values: (n, 1 + metrics), the clean Dice first.
    """

    keys: tuple[Key, ...]
    values: NDArray[np.float64]

    @property
    def patients(self) -> NDArray[np.str_]:
        return np.array([patient for _, patient, _ in self.keys], dtype=str)


def beside_clean(section: Section, model: Model, attack: str, condition: str, label: str, *metrics: str) -> Beside:
    """One organ, or the mean of all without a label. A model is clean under any seed: where there are several, their mean counts."""
    every: dict[tuple[str, str], list[float]] = {}
    for (_, patient, case), value in _values(section, model, "none", condition, DICE, label).items():
        every.setdefault((patient, case), []).append(value)
    clean = {place: sum(values) / len(values) for place, values in every.items()}
    under = [_values(section, model, attack, condition, metric, label) for metric in metrics]
    shared = sorted(key for key in set.intersection(*map(set, under)) if key[1:] in clean)
    rows = [[clean[key[1:]], *(values[key] for values in under)] for key in shared]
    return Beside(tuple(shared), np.array(rows, dtype=float).reshape(-1, 1 + len(metrics)))


def _values(section: Section, model: Model, attack: str, condition: str, metric: str, label: str) -> dict[Key, float]:
    frame = section.frame(model, attack, condition, metric, label)
    seeds, patients, cases, values = (frame[name].tolist() for name in ("seed", "patient", "case", "value"))
    return dict(zip(zip(seeds, patients, cases, strict=True), values, strict=True))


def owed(section: Section, model: Model, attack: str, condition: str, label: str) -> int:
    """How many subjects there should be, over all seeds."""
    return len(section.cells(model, attack, condition)) * section.owed(condition, DICE, label)


def both_valid(section: Section, model: Model, attack: str, condition: str) -> Validity:
    """Of the clean cells and the attacked ones; `missing` where either is."""
    found = [section.validity(section.cells(model, name, condition)) for name in ("none", attack)]
    lacking = [one for one in found if one.level == "missing"]
    return lacking[0] if lacking else worst(found)
