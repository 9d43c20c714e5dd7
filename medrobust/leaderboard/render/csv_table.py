"""Every number of every table as one long csv, in natural units."""

from __future__ import annotations

import csv
import io

from medrobust.leaderboard.overview.as_table import as_table
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.tables import Entry, Table
from medrobust.leaderboard.text import visible

HEAD = ("data", "table", "line", "column", "estimate", "low", "high", "unit", "patients", "cases", "expected", "note", "validity", "reasons")


def csv_text(page: Page) -> str:
    """One line an entry; `line` joins the labels of its row as `head=label`."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEAD)
    for overview in page.overviews:
        writer.writerows(_lines(as_table(overview)))
    for chapter in page.chapters:
        for table in chapter.tables:
            writer.writerows(_lines(table))
    return stream.getvalue()


def _lines(table: Table) -> list[list[str]]:
    found = []
    for line in table.lines:
        name = "; ".join(f"{head}={label}" for head, label in zip(table.heads, line.labels, strict=True))
        for column, entry in zip(table.columns, line.entries, strict=True):
            words = [table.data, table.name, name, column.name]
            ends = [plain(value) for value in (entry.estimate, entry.low, entry.high)]
            counts = [str(entry.patients), str(entry.cases), str(entry.expected)]
            found.append([*map(safe, words), *ends, safe(column.unit), *counts, *map(safe, _state(entry))])
    return found


def _state(entry: Entry) -> tuple[str, str, str]:
    return entry.note, entry.validity.level, "; ".join(entry.validity.reasons)


def plain(value: float | None) -> str:
    """Nine significant digits; empty where there is none."""
    return "" if value is None else f"{value:.9g}"


def safe(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    shown = visible(text)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown
