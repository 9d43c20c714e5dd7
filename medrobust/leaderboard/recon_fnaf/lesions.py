"""Whether lesions that are really there survive reconstruction of clean images, standard against robust."""

from __future__ import annotations

from dataclasses import replace

from medrobust.leaderboard.layout import MODEL_HEADS, any_number, by_model, lines
from medrobust.leaderboard.measure import Measured, contrast, measure
from medrobust.leaderboard.recon_fnaf.rule import BOLD, CONTRAST, INTERVALS, KEPT, LESION
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.stats import mcnemar, paired_difference, wilson

COLUMNS = (
    Column("kept", "", "%", 100, 1, better=True),
    Column("kept (Wilson)", "", "%", 100, 1),
    Column("retained contrast", digits=3, better=True),
)
PAIRED = (
    Column("kept, plain", "", "%", 100, 1),
    Column("kept, defended", "", "%", 100, 1),
    Column("difference", "", "points", 100, 1),
    Column("saved", digits=0),
    Column("lost", digits=0),
    Column("McNemar p", digits=4),
)


def lesions(section: Section) -> list[Table]:
    """Kept rate of every model, then pairs of plain and defended models lesion by lesion."""
    labelled = [(labels, [kept, Measured(_wilson(kept)), retained]) for labels, (kept, retained) in by_model(section, "none", [LESION, CONTRAST])]
    found = lines(labelled, COLUMNS, 1)
    if not any_number(found):
        return []
    caption = (
        f"A lesion in a slice counts as kept where at least {KEPT:g} of its contrast is retained. The second interval is Wilson's, which takes "
        f"lesions for independent. {INTERVALS} {BOLD}"
    )
    tables = [Table("lesions", "Lesion preservation", caption, section.data_label, MODEL_HEADS, COLUMNS, found)]
    paired = tuple(
        Line((condition, *defended), _paired(section, plain, defended, condition))
        for condition in section.conditions
        for plain, defended in section.defended
    )
    if any_number(paired):
        note = (
            "The same lesions under the plain and the defended model. Saved: lost by the plain one alone; lost: by the defended one alone. "
            "McNemar's exact test takes lesions for independent; the interval of the difference is clustered by patient."
        )
        tables.append(Table("lesions-paired", "Lesions, plain against defended", note, section.data_label, MODEL_HEADS, PAIRED, paired))
    return tables


def _wilson(kept: Measured) -> Entry:
    if kept.sample is None:
        return kept.entry
    low, high = wilson(round(float(kept.sample.values.sum())), len(kept.sample.values))
    return replace(kept.entry, low=low, high=high, best=False)


def _paired(section: Section, plain: Model, defended: Model, condition: str) -> tuple[Entry, ...]:
    first, second = (measure(section, model, "none", condition, LESION) for model in (plain, defended))
    if first.sample is None or second.sample is None:
        lacking = first.entry if first.sample is None else second.entry
        return first.entry, second.entry, lacking, lacking, lacking, lacking
    difference = contrast(second, first, paired_difference)
    found = mcnemar(second.sample, first.sample)
    counts = [replace(difference, estimate=value, low=None, high=None) for value in (float(found.first_only), float(found.second_only), found.p)]
    return first.entry, second.entry, difference, *counts
