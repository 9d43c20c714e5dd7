"""Rows on the screen: a table for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text


def show(rows: Sequence[dict[str, str]], *, as_json: bool, title: str = "") -> None:
    """Print rows of equal keys to standard output; text is printed as it is, never read as markup."""
    if as_json:
        print(json.dumps(list(rows), indent=2))  # noqa: T201 - the command's output
        return
    console = Console()
    if not rows:
        console.print(Text(f"{title}: none" if title else "none"))
        return
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in rows[0]:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(value) for value in row.values()))
    console.print(table)
