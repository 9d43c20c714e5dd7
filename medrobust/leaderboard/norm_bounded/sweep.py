"""The headline over a growing budget: the numbers behind the security curves."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.norm_bounded.rule import INTERVALS
from medrobust.leaderboard.overview.placings import placings
from medrobust.leaderboard.overview.security import curves
from medrobust.leaderboard.overview.standing import Curves
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table, Validity


def sweep(section: Section) -> list[Table]:
    """One line an attack and model, one column a budget; a table a norm and unit, and none below two budgets."""
    drawn = [axes for group in placings(section) if group.norm for axes in curves(group.placed, group.norm, group.known)]
    return [table for number, axes in enumerate(drawn) if any_number((table := _table(section, axes, number)).lines)]


def _table(section: Section, drawn: Curves, number: int) -> Table:
    budgets = dict(sorted({point.x: point.label for curve in drawn.curves for point in curve.points}.items()))
    columns = tuple(Column(label, drawn.column.unit, drawn.column.shown, drawn.column.scale, drawn.column.digits) for label in budgets.values())
    lines = []
    for curve in drawn.curves:
        at = {point.x: point.entry for point in curve.points}
        lines.append(Line((curve.attack, curve.name), tuple(at.get(x, NOT_RUN) for x in budgets)))
    caption = (
        f"{drawn.column.name} as the budget grows ({drawn.unit}). Worst case: over the attacks that all models of a budget were put through. A "
        f"number that rises with the budget says that the attack did not find what it could. {INTERVALS}"
    )
    name = "budgets" if not number else f"budgets-{number + 1}"
    return Table(name, drawn.title, caption, section.data_label, ("attack", "model"), columns, tuple(lines), fold=True)


NOT_RUN = Entry(note="not run", validity=Validity("missing", ("not in the plan",)))
