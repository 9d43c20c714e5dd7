"""Whether what is injected looks like a lesion to readers, and whether what is removed is gone: the share called cancerous, before and after."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.mammo_tamper.areas import absent, without_width
from medrobust.leaderboard.mammo_tamper.rates import rate_difference
from medrobust.leaderboard.mammo_tamper.readings import Readings, readers, readings, shared, together
from medrobust.leaderboard.mammo_tamper.rule import CANCEROUS, HEADS, INJECT, INTERVALS, REMOVE, attacked, one_way, percent, points
from medrobust.leaderboard.measure import entry, flagged
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.stats import Sample, clustered_rate, mean

NAMES = (("healthy, untouched", "healthy, injected"), ("cancerous, untouched", "cancerous, removed"))
SHARES = tuple(column for names in NAMES for column in (*map(percent, names), points("difference")))
MEANS = tuple(Column(column.name, digits=3) for column in SHARES)
UNSHOWN = ("injection not shown to add what this reader takes for cancer", "removal not shown to take away what this reader takes for cancer")


def lesions(section: Section) -> list[Table]:
    """One line a reader and attack: shares, and, folded, mean scores."""
    cells = [
        ((condition, str(model), attack), readings(section, model, "none", condition), readings(section, model, attack, condition))
        for condition in section.conditions
        for model in readers(section)
        for attack in attacked(section)
        if section.cells(model, attack, condition)
    ]
    shares, means = (
        tuple(Line(labels, row(clean, tampered, labels[2], called)) for labels, clean, tampered in cells) for called in (True, False)
    )
    if not any_number(shares):
        return []
    data = section.data_label
    caption = (
        f"Share of images that a reader calls cancerous (a score of {CANCEROUS:g} or more). Injected: malignant features put into healthy images, "
        "which should raise it. Removed: malignant features taken out of cancerous images, which should lower it. Difference: tampered less "
        f"untouched, image by image; where its interval reaches 0 that is noted. {INTERVALS}"
    )
    further = f"Mean score, the reader's probability of cancer, of the same images. Difference: tampered less untouched, image by image. {INTERVALS}"
    return [
        Table("lesions", "Lesions put in and taken out", caption, data, HEADS, SHARES, shares, 1),
        Table("lesions-scores", "Scores of lesions put in and taken out", further, data, HEADS, MEANS, means, 1, fold=True),
    ]


def row(clean: Readings, tampered: Readings, attack: str, called: bool) -> tuple[Entry, ...]:
    """Healthy images and cancerous ones, each untouched, tampered and the difference; shares called cancerous or mean scores."""
    return tuple(one for cancerous in (False, True) for one in _half(clean, tampered, cancerous, attack, called))


def _half(clean: Readings, tampered: Readings, cancerous: bool, attack: str, called: bool) -> tuple[Entry, Entry, Entry]:
    validity, cases = together(clean, tampered), shared(clean, tampered)
    if validity.level == "missing" or not len(cases):
        none = (clean if clean.sample is None else tampered).lacking() if validity.level == "missing" else absent("no image in both forms")
        return none, none, none
    if one_way(attack) == (INJECT if cancerous else REMOVE):
        none = absent("not done")
        return none, none, none
    before, after = clean.among(cases), tampered.among(cases)
    kept = before.positive == cancerous
    if not kept.any():
        none = absent(f"no {'cancerous' if cancerous else 'healthy'} image")
        return none, none, none
    owed = int(kept.sum()) + max(clean.owed, tampered.owed) - len(cases)
    patients = before.patients[kept]
    values = [(one.scores[kept] >= CANCEROUS).astype(np.float64) if called else one.scores[kept] for one in (before, after)]
    estimate = clustered_rate if called else mean
    sides = [without_width(entry(estimate(Sample.of(value, patients)), owed, validity)) for value in values]
    change = rate_difference(values[1], values[0], patients) if called else mean(Sample.of(values[1] - values[0], patients))
    return sides[0], sides[1], _shown(without_width(entry(change, owed, validity)), cancerous)


def _shown(change: Entry, cancerous: bool) -> Entry:
    """Marked where the change is not certain to go the way it was meant to."""
    end = change.high if cancerous else change.low
    sure = end is not None and (end < 0 if cancerous else end > 0)
    return change if sure else flagged(change, UNSHOWN[cancerous])
