"""Detection as a defense: how many images that fool a reader also pass each detector."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.mammo_tamper.areas import absent, without_width
from medrobust.leaderboard.mammo_tamper.rates import rate_difference
from medrobust.leaderboard.mammo_tamper.readings import detectors, readers, readings, shared, together
from medrobust.leaderboard.mammo_tamper.rule import CANCEROUS, FALSE_ALARMS, INTERVALS, attacked, percent, points, threshold
from medrobust.leaderboard.measure import entry, missing
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Entry, Line, Table
from medrobust.stats import Sample, clustered_rate

COLUMNS = (percent("fooled"), percent("of these passed"), percent("fooled and unnoticed"), points("difference"), percent("false alarms"))
HEADS = ("condition", "reader", "detector", "attack")


def defense(section: Section) -> list[Table]:
    """One line a reader, detector and attack."""
    found = tuple(
        Line((condition, str(reader), str(detector), attack), row(section, reader, detector, attack, condition))
        for condition in section.conditions
        for reader in readers(section)
        for detector in detectors(section)
        for attack in attacked(section)
        if section.cells(reader, attack, condition) and section.cells(detector, attack, condition)
    )
    if not any_number(found):
        return []
    caption = (
        "Fooled: share of tampered images whose untouched form the reader gets right and whose tampered form it gets wrong (its score crosses "
        f"{CANCEROUS:g} away from the original truth). Of these passed: share of them that the detector lets through, its threshold set so that at "
        f"most {100 * FALSE_ALARMS:g} % of these clean images raise an alarm. Fooled and unnoticed: share of all tampered images that do both. "
        "Difference: what the detector changes, image by image. False alarms: share of clean images that raise one; the price. The threshold is "
        f"held fixed in the intervals. {INTERVALS}"
    )
    return [Table("defense", "Detection as a defense", caption, section.data_label, HEADS, COLUMNS, found, 2)]


def row(section: Section, reader: Model, detector: Model, attack: str, condition: str) -> tuple[Entry, ...]:
    """One reader behind one detector under one attack, on images that both have in both forms."""
    said, seen = ([readings(section, model, name, condition) for name in ("none", attack)] for model in (reader, detector))
    four = (*said, *seen)
    validity, cases = together(*four), shared(*four)
    if validity.level == "missing":
        return (missing(validity),) * len(COLUMNS)
    if not len(cases):
        return (absent(UNMEASURED),) * len(COLUMNS)
    before, after, quiet, loud = (one.among(cases) for one in four)
    assert seen[0].sample is not None  # noqa: S101 - nothing is missing
    limit = threshold(seen[0].sample.scores, FALSE_ALARMS)
    right = (before.scores >= CANCEROUS) == before.positive
    fooled = right & ((after.scores >= CANCEROUS) != after.positive)
    unnoticed = fooled & (loud.scores <= limit)
    owed = max(one.owed for one in four)

    def rate(which: np.ndarray, among: np.ndarray, expected: int) -> Entry:
        return without_width(entry(clustered_rate(Sample.of(which[among].astype(float), before.patients[among])), expected, validity))

    every = np.ones(len(cases), dtype=bool)
    passed = rate(unnoticed, fooled, 0) if fooled.any() else absent("none fooled")
    change = without_width(entry(rate_difference(unnoticed.astype(float), fooled.astype(float), before.patients), owed, validity))
    return rate(fooled, every, owed), passed, rate(unnoticed, every, owed), change, rate(quiet.scores > limit, every, owed)
