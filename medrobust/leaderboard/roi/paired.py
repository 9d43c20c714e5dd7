"""Each explainer against the lines that never ask the model, and against the best explainer, volume by volume."""

from __future__ import annotations

from medrobust.leaderboard.layout import Labelled, any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, contrast
from medrobust.leaderboard.roi.rule import HEADS, INTERVALS, by_explainer
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Table
from medrobust.stats import paired_difference

LINE = "free: "
"""How the names of explainers begin that never ask the model."""

COLUMNS = (
    Column("best grouping over the best free line", digits=3),
    Column("best grouping behind the best explainer", digits=3),
    Column("rank 1 over the best free line", digits=3),
    Column("rank 1 behind the best explainer", digits=3),
)
QUANTITIES = (Quantity("dice-grouping"), Quantity("dice-rank", "1"))


def paired(section: Section) -> list[Table]:
    """Paired differences in Dice: no explainer is better than a line that knows no model because its interval happens to lie higher."""
    measured = by_explainer(section, QUANTITIES)
    found: list[Labelled] = []
    for place in dict.fromkeys(labels[:2] for labels, _ in measured):
        here = [(labels, row) for labels, row in measured if labels[:2] == place]
        free, asking = ([one for one in here if one[0][2].startswith(LINE) == is_free] for is_free in (True, False))
        if free and len(asking) > 1:
            found += [(labels, [side for which in range(len(QUANTITIES)) for side in _sides(row, which, free, asking)]) for labels, row in asking]
    if not any_number(lines(found, COLUMNS, 2)):
        return []
    caption = (
        "Mean difference in Dice over the same volumes. Best free line: of those that never ask the model, the one with the highest mean of this "
        "quantity, so that the comparison is strict. Behind the best explainer: the highest mean among explainers less this one's, 0 for the best. "
        f"An interval that holds 0 tells nothing apart. {INTERVALS}"
    )
    return [Table("paired", "Paired differences", caption, section.data_label, HEADS, COLUMNS, lines(found, COLUMNS, 2), 2, fold=True)]


def _sides(row: list[Measured], which: int, free: list[Labelled], asking: list[Labelled]) -> tuple[Measured, Measured]:
    line, best = (_best(group, which) for group in (free, asking))
    return Measured(contrast(row[which], line, paired_difference)), Measured(contrast(best, row[which], paired_difference))


def _best(group: list[Labelled], which: int) -> Measured:
    """The highest of a column; the first where none is measured."""
    able = [row[which] for _, row in group if row[which].entry.estimate is not None]
    return max(able, key=lambda one: one.entry.estimate or 0.0) if able else group[0][1][which]
