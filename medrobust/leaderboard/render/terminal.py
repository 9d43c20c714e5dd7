"""Tables on a terminal: side by side where they fit, else one number a line."""

from __future__ import annotations

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as Grid
from rich.text import Text

from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Line, Table, Validity
from medrobust.leaderboard.text import counts, estimate, head, interval, marks, notes, state, visible

COLOURS = {"ok": "green", "info": "blue", "warn": "yellow", "invalid": "red"}
UNPLANNED = ("not in the plan",)


def print_table(table: Table, console: Console) -> None:
    """Title, data label, table, numbered notes; names are printed as they are, never read as markup."""
    known = notes(table)
    console.print(Text(f"\n{visible(table.title)}", style="bold"))
    console.print(Text(visible(table.data), style="magenta"))
    shapes = (wide(table, known), narrow(table, known), long(table, known))
    room = console.options.update(max_width=10_000)
    console.print(next((shape for shape in shapes[:2] if Measurement.get(console, room, shape).maximum <= console.width), shapes[2]))
    for number, note in enumerate(known, 1):
        console.print(Text(f"{number}. {visible(note)}", style="dim"))


def wide(table: Table, known: tuple[str, ...]) -> Grid:
    """One line a line of the table, each number above its interval."""
    grid = _grid()
    for name in table.heads:
        grid.add_column(Text(visible(name)))
    _add_numbers(grid, table)
    grid.add_column("n", justify="right")
    grid.add_column("validity")
    for line in table.lines:
        grid.add_row(*map(_label, line.labels), *_numbers(line, table, known), Text(counts(line), style="dim"), _state(line, known))
    return grid


def narrow(table: Table, known: tuple[str, ...]) -> Grid:
    """The same with all labels in one column, below each other where they are long."""
    grid = _grid()
    grid.add_column(Text(visible("\n".join(table.heads[:2]))))
    _add_numbers(grid, table)
    grid.add_column("validity")
    for line in table.lines:
        grid.add_row(_stacked(line), *_numbers(line, table, known), _state(line, known))
    return grid


def long(table: Table, known: tuple[str, ...]) -> Grid:
    """One line a number."""
    grid = _grid()
    grid.add_column(Text(visible(", ".join(table.heads))), overflow="fold")
    grid.add_column("what", overflow="fold")
    grid.add_column("value", justify="right", no_wrap=True)
    grid.add_column("validity")
    for line in table.lines:
        pairs = zip(line.entries, table.columns, strict=True)
        for index, (entry, column) in enumerate((entry, column) for entry, column in pairs if not _void(entry)):
            label = _joined(line) if index == 0 else Text("")
            grid.add_row(label, Text(visible(head(column))), _number(entry, column, known, " "), _validity(entry.validity, known))
    return grid


def _void(entry: Entry) -> bool:
    """Nothing that anybody meant to measure."""
    return entry.note == UNMEASURED or entry.validity.reasons == UNPLANNED


def _grid() -> Grid:
    return Grid(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))


def _add_numbers(grid: Grid, table: Table) -> None:
    for column in table.columns:
        grid.add_column(Text(visible(column.name) + (f"\n({column.shown})" if column.shown else "")), justify="right")


def _numbers(line: Line, table: Table, known: tuple[str, ...]) -> list[Text]:
    return [_number(entry, column, known, "\n") for entry, column in zip(line.entries, table.columns, strict=True)]


def _stacked(line: Line) -> Text:
    first, *others = [visible(label) for label in line.labels if label != "none"]
    return Text(" ".join([first, *others[:1]]) + ("\n" + " " * (len(first) + 1) + " ".join(others[1:]) if others[1:] else ""))


def _label(label: str) -> Text:
    return Text(visible(label), style="dim" if label == "none" else "")


def _joined(line: Line) -> Text:
    return Text(visible(" ".join(label for label in line.labels if label != "none")))


def _number(entry: Entry, column: Column, known: tuple[str, ...], between: str) -> Text:
    if entry.estimate is None:
        return Text(visible(estimate(entry, column)), style="dim italic")
    noted = marks(entry.validity, known)
    style = "red strike" if entry.validity.level == "invalid" else "bold green" if entry.best else ""
    text = Text(estimate(entry, column), style=style)
    text.append(f" ({noted})" if noted and between == "\n" else "", style="not bold not strike dim")
    if interval(entry, column):
        text.append(between + interval(entry, column), style="not bold not strike dim")
    return text


def _state(line: Line, known: tuple[str, ...]) -> Text:
    return Text(state(line, known), style=COLOURS.get(line.validity.level, "dim"))


def _validity(validity: Validity, known: tuple[str, ...]) -> Text:
    noted = marks(validity, known)
    return Text(validity.level + (f" ({noted})" if noted else ""), style=COLOURS.get(validity.level, "dim"))
