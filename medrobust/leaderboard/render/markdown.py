"""Tables as GitHub reads them."""

from __future__ import annotations

import re

from medrobust.leaderboard.overview.as_table import as_table
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.leaderboard.text import counts, head, marks, notes, state, visible, whole


def markdown_text(page: Page) -> str:
    """A heading a data set and table; numbered notes below each table."""
    blocks = [f"# {escaped(page.suite)}"]
    for overview in page.overviews:
        blocks += [f"## {escaped(overview.track)} on {escaped(overview.data_label)} at a glance", table_text(as_table(overview))]
    for chapter in page.chapters:
        blocks.append(f"## {escaped(chapter.track)} on {escaped(chapter.data_label)}")
        blocks.append(f"{chapter.patients} patients, {chapter.cases} cases, split {escaped(chapter.split)}.")
        blocks += [table_text(table) for table in chapter.tables]
    for title, cells in (("Cells without numbers", page.missing), ("Cells that are not to be believed", page.invalid)):
        if cells:
            listed = [f"- {escaped(one.name)}: {escaped(one.status)} {escaped(one.reason)}".rstrip() for one in cells]
            blocks.append("\n".join([f"## {title}\n", *listed]))
    return "\n\n".join(blocks) + "\n"


def table_text(table: Table) -> str:
    """One table with its heading, data label, caption and notes."""
    known = notes(table)
    heads = [*map(escaped, table.heads), *(escaped(head(column)) for column in table.columns), "cases / patients", "validity"]
    rule = ["---"] * len(table.heads) + ["---:"] * (len(table.columns) + 1) + ["---"]
    rows = ["| " + " | ".join(cells) + " |" for cells in (heads, rule, *(_cells(line, table.columns, known) for line in table.lines))]
    under = [f"{i}. {escaped(note)}" for i, note in enumerate(known, 1)]
    parts = [f"### {escaped(table.title)}", f"*Data: {escaped(table.data)}.* {escaped(table.caption)}", "\n".join(rows), "\n".join(under)]
    return "\n\n".join(part for part in parts if part)


def _cells(line: Line, columns: tuple[Column, ...], known: tuple[str, ...]) -> list[str]:
    numbers = [_number(entry, column, known) for entry, column in zip(line.entries, columns, strict=True)]
    return [*map(escaped, line.labels), *numbers, counts(line), state(line, known)]


def _number(entry: Entry, column: Column, known: tuple[str, ...]) -> str:
    text = whole(entry, column).replace("[", "\\[").replace("]", "\\]")
    if entry.validity.level == "invalid":
        return f"~~{text}~~ invalid ({marks(entry.validity, known)})"
    noted = marks(entry.validity, known)
    return (f"**{text}**" if entry.best else text) + (f" ({noted})" if noted else "")


def escaped(text: str) -> str:
    """Text that Markdown and the HTML inside it leave as it is."""
    safe = visible(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]|~#!$])", r"\\\1", safe)
