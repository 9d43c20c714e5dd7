"""Whether tampering is noticed: every test image as it was taken and as it was tampered with, told apart by each detector."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.mammo_tamper.areas import against_chance, area
from medrobust.leaderboard.mammo_tamper.once import once
from medrobust.leaderboard.mammo_tamper.readings import Readings, both_forms, detectors, part, readings, truths
from medrobust.leaderboard.mammo_tamper.rule import AREAS, DETECTOR_HEADS, FALSE_ALARMS, P, attacked, injected, percent, threshold
from medrobust.leaderboard.measure import entry
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.stats import Sample, clustered_rate

KINDS = ("tampered image", "original image")
COLUMNS = (
    Column("AUC", digits=3),
    P,
    Column("AUC, injected", digits=3),
    Column("AUC, removed", digits=3),
    percent("found at 5 % false alarms"),
    percent("false alarms"),
)


def detection(section: Section) -> list[Table]:
    """One line a detector and attack."""
    found = tuple(
        Line((condition, str(model), attack), row(section, model, attack, condition))
        for condition in section.conditions
        for model in detectors(section)
        for attack in attacked(section)
        if section.cells(model, attack, condition)
    )
    if not found:
        return []
    caption = (
        "Area under the ROC curve (AUC) of telling tampered images from originals, all test images in both forms: .5 is guessing, 1 finds every "
        "one. p: DeLong's test against .5, patients as clusters (0.0000 is below 0.00005). Injected, removed: the images of one direction against "
        f"their own originals. Found: share of tampered images that raise an alarm where at most {100 * FALSE_ALARMS:g} % of these clean images do; "
        f"the threshold comes from the same clean images and is held fixed in the intervals. False alarms: the share that do. {AREAS}"
    )
    return [Table("detection", "Is tampering noticed", caption, section.data_label, DETECTOR_HEADS, COLUMNS, found, 1)]


@once
def row(section: Section, model: Model, attack: str, condition: str) -> tuple[Entry, ...]:
    """One detector under one attack."""
    clean, tampered = (readings(section, model, name, condition) for name in ("none", attack))
    both = both_forms(clean, tampered)
    found, missed = _by_direction(section, attack, condition, clean, tampered)
    return area(both, KINDS), against_chance(both, KINDS), area(found, KINDS), area(missed, KINDS), *alarms(clean, tampered)


@once
def detected(section: Section, model: Model, attack: str, condition: str) -> Entry:
    """AUC of one detector under one attack."""
    return area(both_forms(*(readings(section, model, name, condition) for name in ("none", attack))), KINDS)


def _by_direction(section: Section, attack: str, condition: str, clean: Readings, tampered: Readings) -> list[Readings]:
    """Both forms of the images that were injected, and of those that were removed."""
    known = truths(section, condition)
    halves = []
    for way in (True, False):
        sides = []
        for one in (clean, tampered):
            cases = one.sample.cases.tolist() if one.sample is not None else []
            sides.append(part(one, injected(attack, np.array([known[case] for case in cases], dtype=bool)) == way))
        halves.append(both_forms(*sides))
    return halves


def alarms(clean: Readings, tampered: Readings) -> tuple[Entry, Entry]:
    """Share of tampered and of clean images above the threshold of the clean ones."""
    if clean.sample is None or tampered.sample is None:
        none = (clean if clean.sample is None else tampered).lacking()
        return none, none
    limit = threshold(clean.sample.scores, FALSE_ALARMS)
    found, false = (_rate(one, limit) for one in (tampered, clean))
    return found, false


def _rate(found: Readings, limit: float) -> Entry:
    assert found.sample is not None  # noqa: S101 - asked of what was found
    sample = Sample.of((found.sample.scores > limit).astype(float), found.sample.patients)
    return entry(clustered_rate(sample), found.owed, found.validity)
