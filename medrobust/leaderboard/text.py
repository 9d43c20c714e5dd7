"""Names and numbers as text: nothing hidden, nothing that depends on the machine."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from medrobust.leaderboard.tables import MISSING, Column, Entry, Line, Table, Validity


def visible(text: str) -> str:
    """Control, direction and other invisible characters as escapes, so that no name can reorder or hide its neighbours."""
    return "".join(_escape(character) if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} else character for character in text)


def _escape(character: str) -> str:
    return " " if character in "\n\t\r" else f"\\u{ord(character):04x}"


def number(value: float, column: Column) -> str:
    """In the unit in which people read the column; rounded from twelve digits, so that the last bit of a sum cannot show."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    text = f"{float(f'{value * column.scale:.12g}'):.{column.digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def estimate(entry: Entry, column: Column) -> str:
    """The number, or why there is none."""
    return entry.note or "missing" if entry.estimate is None else number(entry.estimate, column)


def interval(entry: Entry, column: Column) -> str:
    """`[low, high]`, or nothing."""
    if entry.spread is not None:
        return f"± {number(entry.spread, column)}"
    if entry.estimate is None or entry.low is None or entry.high is None:
        return ""
    return f"[{number(entry.low, column)}, {number(entry.high, column)}]"


def whole(entry: Entry, column: Column) -> str:
    """Estimate and interval on one line."""
    return f"{estimate(entry, column)} {interval(entry, column)}".strip()


def head(column: Column) -> str:
    """Name and unit of a column."""
    return f"{column.name} ({column.shown})" if column.shown else column.name


def notes(table: Table) -> tuple[str, ...]:
    """Every reason of a table once, in the order in which a reader meets them; their numbers start at 1."""
    return tuple(dict.fromkeys(reason for line in table.lines for entry in line.entries for reason in remarks(entry.validity)))


def remarks(validity: Validity) -> tuple[str, ...]:
    """Reasons that need a note: of a missing entry only a failure, the rest its text says already."""
    return tuple(reason for reason in validity.reasons if validity.level != MISSING or reason.startswith("failed"))


def marks(validity: Validity, known: Sequence[str]) -> str:
    """Numbers of the notes, such as `1, 3`."""
    return ", ".join(str(known.index(reason) + 1) for reason in remarks(validity))


def state(line: Line, known: Sequence[str]) -> str:
    """Validity of a line in words, such as `warn, partial (2)`."""
    noted = marks(line.validity, known)
    return line.validity.level + (", partial" if line.partial else "") + (f" ({noted})" if noted else "")


def counts(line: Line) -> str:
    """Cases and patients of a line, as a range where its entries differ; nothing where it has no number."""
    measured = [entry for entry in line.entries if entry.estimate is not None and entry.cases]
    parts = [[entry.cases for entry in measured], [entry.patients for entry in measured if entry.patients]]
    return " / ".join(_range(values) for values in parts if values)


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
