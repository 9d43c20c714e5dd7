"""Rows on the screen: a table for people, as wide as the screen and no wider, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

GAP = 2
LEAST = 24
"""Longer words than this are broken before a table is given up."""

Row = Mapping[str, str | Text]


def show(rows: Sequence[dict[str, str]], *, as_json: bool, title: str = "", by: Sequence[str] = ()) -> None:
    """Print rows of equal keys to standard output; text is printed as it is, never read as markup.

    by: columns that become headings, such as of a target, where the screen has no room for all of them.
    """
    if as_json:
        print(json.dumps(list(rows), indent=2))  # noqa: T201 - the command's output
        return
    console = Console()
    if not rows:
        console.print(Text(f"{title}: none" if title else "none"))
        return
    if title:
        console.print(Text(title, style="italic"))
    if not by or fitted(rows, console.width, rows[0]):
        print_rows(console, rows)
        return
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in by), []).append({name: value for name, value in row.items() if name not in by})
    widths = fitted([row for group in groups.values() for row in group], console.width)
    for names, group in groups.items():
        console.print(Text("\n" + ", ".join(f"{column} {name}" for column, name in zip(by, names, strict=True)), style="bold"))
        print_rows(console, group, widths)


def print_rows(
    console: Console, rows: Sequence[Row], widths: Sequence[int] | None = None, whole: Collection[str] = (), right: Collection[str] = ()
) -> None:
    """A table; where words cannot be broken so that it fits, each row's first value with the others named below it.

    widths: of the columns; found where they are not given. whole: columns that are never broken. right: those set to the right.
    """
    widths = widths or fitted(rows, console.width, whole)
    if widths is None:
        for row in rows:
            (_, first), *others = row.items()
            console.print(Text(str(first), style="bold"))
            console.print(Padding(Text(", ".join(f"{name} {value}" for name, value in others)), (0, 0, 0, GAP)))
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    for column, width in zip(rows[0], widths, strict=True):
        table.add_column(column, overflow="fold", width=width, justify="right" if column in right else "left")
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else Text(value) for value in row.values()))
    console.print(table)


def fitted(rows: Sequence[Row], width: int, whole: Collection[str] = ()) -> list[int] | None:
    """Widths of the columns, in characters, at which a table is no wider than `width`; None where there are none.

    Columns are broken between words first, the widest first, then within words longer than `LEAST`; `whole` ones never.
    """
    columns = {name: [name, *(str(row[name]) for row in rows)] for name in rows[0]}
    natural = [max(map(cell_len, values)) for values in columns.values()]
    words = [max(cell_len(word) for value in values for word in value.split() or [""]) for values in columns.values()]
    least = [size if name in whole else word for name, size, word in zip(columns, natural, words, strict=True)]
    room = width - GAP * (len(columns) - 1)
    for floor in (least, [min(size, LEAST) if name not in whole else size for name, size in zip(columns, least, strict=True)]):
        if sum(floor) <= room:
            return narrowed(natural, floor, room)
    return None


def narrowed(natural: Sequence[int], floor: Sequence[int], room: int) -> list[int]:
    """Widths that `room` holds, at least `floor`, taken from the widest column."""
    found = list(natural)
    while sum(found) > room:
        widest = max((index for index in range(len(found)) if found[index] > floor[index]), key=lambda index: found[index])
        found[widest] -= 1
    return found
