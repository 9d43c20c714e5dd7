"""Readers on clean images: what there is to lose."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.layout import PAIRED, any_number, lines
from medrobust.leaderboard.mammo_tamper.areas import absent, area, one_class
from medrobust.leaderboard.mammo_tamper.readings import readers, readings
from medrobust.leaderboard.mammo_tamper.rule import AREAS, CANCEROUS, CORRECT, SPECIFICITY, percent, threshold
from medrobust.leaderboard.measure import Measured, Quantity, entry, measure
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Table
from medrobust.stats import Sample, clustered_rate

HEADS = ("condition", "reader")


def clean(section: Section) -> list[Table]:
    """One line a reader."""
    groups = tuple(sorted(label for label in section.labels(CORRECT) if label))
    columns = (
        Column("AUC", digits=3),
        percent("accuracy", better=True),
        *(percent(f"accuracy, {label}") for label in groups),
        percent("sensitivity at 90 % specificity"),
    )
    rates = [Quantity(CORRECT, label, estimator=clustered_rate, per_case=not label) for label in ("", *groups)]
    labelled = [
        (
            (condition, str(model)),
            [
                Measured(area(readings(section, model, "none", condition))),
                *(measure(section, model, "none", condition, rate) for rate in rates),
                Measured(sensitivity(section, model, condition)),
            ],
        )
        for condition in section.conditions
        for model in readers(section)
        if section.cells(model, "none", condition)
    ]
    found = lines(labelled, columns, 1)
    if not any_number(found):
        return []
    caption = (
        f"Readers on untouched test images. AUC: of telling cancerous from healthy ones. Accuracy: at a score of {CANCEROUS:g}. Sensitivity: share "
        f"of cancerous images above the threshold that at most {100 * (1 - SPECIFICITY):.0f} % of these healthy ones exceed, held fixed in its "
        f"interval. {AREAS} Bold: accuracy not measurably worse than the best of its condition "
        f"({PAIRED})."
    )
    return [Table("clean", "Readers on clean images", caption, section.data_label, HEADS, columns, found)]


def sensitivity(section: Section, model: Model, condition: str) -> Entry:
    """At the specificity of the track."""
    found = readings(section, model, "none", condition)
    sample = found.sample
    if sample is None:
        return found.lacking()
    lack = one_class(sample)
    if lack:
        return absent(lack)
    limit = threshold(sample.scores[~sample.positive], 1 - SPECIFICITY)
    above = (sample.scores[sample.positive] > limit).astype(np.float64)
    return entry(clustered_rate(Sample.of(above, sample.patients[sample.positive])), 0, found.validity)
