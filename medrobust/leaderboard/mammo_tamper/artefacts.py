"""What the attack left in its images: measured on images alone, so that every model's cell holds the same, and the first is read."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.mammo_tamper.areas import absent, without_width
from medrobust.leaderboard.mammo_tamper.distances import Images, Pair, distance, features
from medrobust.leaderboard.mammo_tamper.once import once
from medrobust.leaderboard.mammo_tamper.readings import detectors, readers, truths
from medrobust.leaderboard.mammo_tamper.rule import AREA, CHANGE, GRID, INSIDE, SHARE, TEXTURE, injected
from medrobust.leaderboard.measure import Measured, Quantity, contrast, entry, measure
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Entry, worst
from medrobust.stats import paired_difference


@once
def measured_on(section: Section, metric: str, attack: str, condition: str) -> Model | None:
    """The first model, readers first, whose cell of the attack holds the metric."""
    models = (*readers(section), *detectors(section))
    return next((model for model in models if not section.frame(model, attack, condition, metric, None).empty), None)


@once
def grid(section: Section, attack: str, condition: str, metric: str = GRID) -> tuple[Entry, Entry, Entry]:
    """Grid index of clean and of tampered images, and tampered less clean, image by image. metric: of the whole image or of its worst part."""
    model = measured_on(section, metric, attack, condition)
    if model is None:
        none = _nothing(section, metric, attack, condition)
        return none, none, none
    before, after = (measure(section, model, name, condition, Quantity(metric, per_case=True)) for name in ("none", attack))
    return before.entry, after.entry, without_width(contrast(after, before, paired_difference))


def changes(section: Section, attack: str, condition: str) -> tuple[Entry, Entry, Entry]:
    """Mean change of a pixel, share of the change that lies in the lesion, and the share that lies there by area."""
    found = []
    for metric, label in ((CHANGE, ""), (INSIDE, SHARE), (INSIDE, AREA)):
        model = measured_on(section, metric, attack, condition)
        one = Measured(absent(UNMEASURED)) if model is None else measure(section, model, attack, condition, Quantity(metric, label))
        found.append(without_width(one.entry))
    return found[0], found[1], found[2]


@once
def pairs(section: Section, attack: str, condition: str) -> dict[bool, Pair]:
    """Injected images beside true cancerous ones under True, removed ones beside true healthy ones under False; only where there are both.

    With the attack `none`, untouched healthy images beside cancerous ones under True, and the other way round under False.
    """
    model = measured_on(section, TEXTURE, attack, condition)
    real = None if model is None else features(section, model, "none", condition)
    made = None if model is None else features(section, model, attack, condition)
    if real is None or made is None:
        return {}
    known = truths(section, condition)
    real, made = (one.where(np.isin(one.cases, list(known))) for one in (real, made))
    cancer = _truth(real, known)
    way = injected(attack, _truth(made, known))
    sides = {True: (made.where(way), real.where(cancer)), False: (made.where(~way), real.where(~cancer))}
    return {which: Pair.of(*both) for which, both in sides.items() if min(len(side.cases) for side in both) > 1}


def _truth(images: Images, known: dict[str, bool]) -> np.ndarray:
    return np.array([known[case] for case in images.cases.tolist()], dtype=bool)


@once
def closeness(section: Section, attack: str, condition: str) -> Entry:
    """Mean over both directions of the kernel distance to real images."""
    model = measured_on(section, TEXTURE, attack, condition)
    found = pairs(section, attack, condition)
    if model is None:
        return _nothing(section, TEXTURE, attack, condition)
    if not found:
        return absent("too few images")
    validity = worst([section.validity(section.cells(model, name, condition)) for name in ("none", attack)])
    return without_width(entry(distance(list(found.values())), 0, validity))


def _nothing(section: Section, metric: str, attack: str, condition: str) -> Entry:
    """Why no cell has this metric, as the first model that the attack was planned on tells."""
    model = next((model for model in section.models if section.cells(model, attack, condition)), None)
    return absent("not run") if model is None else measure(section, model, attack, condition, Quantity(metric, None)).entry
