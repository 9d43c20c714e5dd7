"""What each model does on clean slices."""

from __future__ import annotations

from medrobust.leaderboard.layout import MODEL_HEADS, any_number, by_model, lines
from medrobust.leaderboard.measure import Quantity
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.seg_deform.rule import DICE, INTERVALS, organs, percent
from medrobust.leaderboard.tables import Column, Table
from medrobust.stats import clustered_rate


def clean(section: Section) -> list[Table]:
    """Dice of each organ and their mean, organs missed, and surface distance, one line a model."""
    names = organs(section)
    missed = Quantity("missed-organ", label=None, estimator=clustered_rate)
    quantities = [*(Quantity(DICE, organ) for organ in (*names, "")), missed, Quantity("surface-distance")]
    columns = (
        *(percent(organ, better=True) for organ in names),
        percent("mean", better=True),
        Column("missed organs", "", "%", 100, 2, better=False),
        Column("surface distance", "mm", "mm", digits=2, better=False),
    )
    found = lines(by_model(section, "none", quantities), columns, 1)
    caption = (
        "Clean slices: Dice over all slices of a subject, mean over subjects. Missed organs: share of organs shown by a slice of which the answer "
        f"has not one pixel. Surface distance: mean over organs. {INTERVALS} Bold: not measurably worse than the best of its condition (paired by "
        "subject)."
    )
    return [Table("clean", "Clean slices", caption, section.data_label, MODEL_HEADS, columns, found)] if any_number(found) else []
