"""The track's words and fixed numbers: what a reader's answer is, what a detector's alarm is, and when the training of the attack should stop."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column
from medrobust.stats.bootstrap import Floats

SCORE, CORRECT, TAMPERED = "score", "correct", "tamper-score"
GRID, LOCAL, CHANGE, INSIDE, TEXTURE = "grid-index", "local-grid-index", "change", "change-in-lesion", "texture"
SHARE, AREA = "change", "area"
"""Labels of `change-in-lesion`: share of the change that lies in the lesion, and share of the breast that the lesion covers."""

CANCEROUS = 0.5
"""From this score on a reader calls an image cancerous."""

CHANCE = 0.5
FALSE_ALARMS = 0.05
SPECIFICITY = 0.9
INJECT, REMOVE = "inject", "remove"

INTERVALS = "95 % intervals in brackets, from 2000 bootstrap resamples of patients."
AREAS = "95 % intervals in brackets; those of AUC are DeLong's with patients as clusters, others from 2000 bootstrap resamples of patients."
HEADS = ("condition", "reader", "attack")
DETECTOR_HEADS = ("condition", "detector", "attack")
P = Column("p", digits=4)


@dataclass(frozen=True)
class Stopping:
    """When to stop training the attack, declared before any of it was measured.

    Of the checkpoints whose grid index, tampered less clean, has an upper 95 % bound below `limit`, the one whose images are closest to real ones
    by the kernel distance; of equally close ones, and where there is no such distance, the last.

    Source: this project; Becker et al. 2019 stopped where they saw grids: by their text at 160 000 steps of the first experiment, of which their code
    has 63 600, and at 45 000 of the second.

    limit: dB, above 0.
    """

    limit: float = 3.0


STOP = Stopping()


def percent(name: str, better: bool | None = None) -> Column:
    """A column of shares, as percent."""
    return Column(name, "", "%", 100, 1, better)


def points(name: str) -> Column:
    """A column of differences of shares, in percentage points."""
    return Column(name, "", "points", 100, 1)


def step(attack: str) -> int | None:
    """The step of the checkpoint that made the images, from a name such as `tamper@4000`."""
    found = re.fullmatch(r"[^@]*@(\d{1,12})", attack)
    return int(found[1]) if found else None


def attacked(section: Section) -> tuple[str, ...]:
    """Every attack of the section by its step, those without one last, in the order of the plan."""
    names = dict.fromkeys(record.attack for record in section.records if record.attack != "none" and not record.explains)
    return tuple(sorted(names, key=lambda name: math.inf if (at := step(name)) is None else at))


def one_way(attack: str) -> str:
    """`inject` or `remove` for an attack that does the same to every image, by how its name begins; else nothing, each goes by its truth."""
    return next((way for way in (INJECT, REMOVE) if attack.startswith(way)), "")


def injected(attack: str, cancerous: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which images had malignant features injected, (n,); those of all others were removed."""
    way = one_way(attack)
    return np.full(len(cancerous), way == INJECT) if way else ~cancerous


def threshold(scores: Floats | Sequence[float], share: float) -> float:
    """The lowest score with at most `share` of the scores above it; an alarm is a score above it. (n,), at least one."""
    ordered = np.sort(np.asarray(scores, dtype=np.float64))
    return float(ordered[len(ordered) - 1 - math.floor(share * len(ordered) + 1e-9)])
