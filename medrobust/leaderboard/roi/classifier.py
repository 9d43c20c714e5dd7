"""The target itself on clean volumes: what a map can at best be about."""

from __future__ import annotations

from medrobust.leaderboard.layout import MODEL_HEADS, any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, entry, measure, missing
from medrobust.leaderboard.roi.rule import INTERVALS
from medrobust.leaderboard.roi.scores import scores
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Table, Validity
from medrobust.stats import auc_interval, clustered_rate

COLUMNS = (
    Column("AUC", digits=3, better=True),
    Column("accuracy", "", "%", 100, 1, better=True),
    Column("undecided", "", "%", 100, 1),
    Column("saturated", "", "%", 100, 1),
    Column("tumour cut off", "", "%", 100, 2),
)


def classifier(section: Section) -> list[Table]:
    """Area under the ROC curve, accuracy, and how many answers are undecided or saturated."""
    rates = [Quantity(name, estimator=clustered_rate) for name in ("correct", "undecided", "saturated")]
    quantities = [*rates, Quantity("lost-tumour")]
    labelled = [
        (
            (condition, model.target, model.defense),
            [area(section, model, condition), *(measure(section, model, "none", condition, quantity) for quantity in quantities)],
        )
        for condition in section.conditions
        for model in section.models
        if section.cells(model, "none", condition)
    ]
    found = lines(labelled, COLUMNS, 1)
    caption = (
        "The classifier on clean volumes, high against low grade. Undecided: a probability within .05 of one half. Saturated: within 10⁻⁴ of 0 or 1. "
        f"Cut off: the share of the tumour outside the centre crop, mean over volumes. {INTERVALS}"
    )
    return [Table("classifier", "The classifier", caption, section.data_label, MODEL_HEADS, COLUMNS, found)] if any_number(found) else []


def area(section: Section, model: Model, condition: str) -> Measured:
    """Area under the ROC curve of the clean scores, patients resampled."""
    records = section.cells(model, "none", condition)
    validity = section.validity(records)
    if validity.level == "missing":
        return Measured(missing(validity))
    found = scores(section, model, condition)
    if found["high"].nunique() < 2:
        return Measured(Entry(note=UNMEASURED, validity=Validity("missing", (UNMEASURED,))))
    interval = auc_interval(found["score"].to_numpy(dtype=float), found["high"].to_numpy(dtype=bool), found["patient"].to_numpy(dtype=str))
    return Measured(entry(interval, sum(record.cases for record in records), validity))
