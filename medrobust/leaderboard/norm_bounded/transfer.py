"""Images made on one model, shown to every other."""

from __future__ import annotations

from medrobust.leaderboard.norm_bounded.rule import INTERVALS
from medrobust.leaderboard.overview.headlines import HEADLINES
from medrobust.leaderboard.overview.matrices import transfers
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table, Validity

NONE = Entry(note="not run", validity=Validity("missing", ("not in the plan",)))


def transfer(section: Section) -> list[Table]:
    """A table an attack and budget: one line a source model, one column a judged model."""
    headline = HEADLINES[section.track]
    column = headline.column
    made = []
    for number, matrix in enumerate(transfers(section, headline, section.conditions), 1):
        columns = tuple(Column(name, column.unit, column.shown, column.scale, column.digits) for name in matrix.columns)
        lines = tuple(Line((name,), tuple(entry or NONE for entry in row)) for name, row in zip(matrix.rows, matrix.cells, strict=True))
        name = "transfer" if number == 1 else f"transfer-{number}"
        made.append(Table(name, matrix.title, f"{matrix.caption} {INTERVALS}", section.data_label, ("found on",), columns, lines))
    return made
