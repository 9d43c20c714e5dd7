"""Whether lesions that are really there survive reconstruction of clean images, standard against robust."""

from __future__ import annotations

from dataclasses import replace

from medrobust.leaderboard.layout import MODEL_HEADS, any_number, by_model, lines
from medrobust.leaderboard.measure import Measured, contrast, measure
from medrobust.leaderboard.recon_fnaf.rule import BOLD, CONTRAST, INTERVALS, KEPT, LESION
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.stats import Sample, paired_difference, wilson

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
    keys = ["seed", "patient", "case", "label"]
    one, two = (section.frame(model, "none", condition, "lesion-contrast", None)[[*keys, "value"]] for model in (plain, defended))
    both = one.merge(two, on=keys)
    before, after = both["value_x"] >= KEPT, both["value_y"] >= KEPT
    saved, lost = int((~before & after).sum()), int((before & ~after).sum())
    patients = both["patient"].to_numpy(dtype=str)
    kept_after, kept_before = (Measured(first.entry, Sample.of(kept, patients)) for kept in (after, before))
    difference = contrast(kept_after, kept_before, paired_difference)
    counts = [replace(difference, estimate=value, low=None, high=None) for value in (float(saved), float(lost), _mcnemar(saved, lost))]
    return first.entry, second.entry, difference, *counts


def _mcnemar(saved: int, lost: int) -> float:
    """Two-sided exact p of as uneven a split of the lesions that differ. Source: McNemar 1947."""
    from scipy import stats

    return float(stats.binomtest(saved, saved + lost).pvalue) if saved + lost else 1.0
