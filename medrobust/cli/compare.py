"""`medrobust compare`: two runs, or two cells, case by case, and what moved a rank."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from medrobust.leaderboard.differences import Difference
    from medrobust.leaderboard.moves import Move, Side

LEVEL = 0.05


def command(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run, a committed folder, or one cell as RUN/cells/DIGEST.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What to compare it with.")],
    every_label: Annotated[bool, typer.Option("--all", help="Query budgets q=... too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show B less A for every metric of every cell that both hold, paired by case, with 95 % intervals clustered by patient.

    p: permutation test that flips patients, adjusted by Holm over the cells of a metric. Then tier and rank of every entrant on both sides, and what
    lies behind a change: whose numbers changed under which attack, and what became invalid or missing.
    """
    from medrobust.leaderboard.differences import differences, side
    from medrobust.leaderboard.moves import moves
    from medrobust.leaderboard.overview.build import overviews

    sides = side(first), side(second)
    found = differences(*sides, every_label)
    whole = all(path.parent.name != "cells" for path in (first, second))
    ranks = moves(*map(overviews, sides)) if whole else ()
    if as_json:
        print(json.dumps({"differences": [one.plain() for one in found], "ranks": [one.plain() for one in ranks]}, indent=2))  # noqa: T201
        return
    console = Console()
    for cell in dict.fromkeys(one.cell for one in found):
        console.print(Text(f"\n{cell}", style="bold"))
        console.print(_grid([one for one in found if one.cell == cell]))
    same = sum(one.equal == one.cases for one in found)
    if whole:
        _show_moves(ranks, console)
    console.print(Text(f"\n{same} of {len(found)} metrics are equal in every shared case"))


def _grid(found: list[Difference]) -> Table:
    from medrobust.leaderboard.text import visible

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    grid.add_column("metric", overflow="fold")
    for name in ("A", "B", "B - A", "95 % interval", "p (Holm)", "cases"):
        grid.add_column(name, justify="right")
    for one in found:
        metric = " ".join(part for part in (one.metric, one.label, f"({one.unit})" if one.unit else "") if part)
        ends = "one patient" if math.isnan(one.low) else f"[{one.low:.3g}, {one.high:.3g}]"
        alone = one.only_first + one.only_second
        cases = f"{one.cases}" + (f" ({alone} unshared)" if alone else "")
        numbers = [f"{one.first:.4g}", f"{one.second:.4g}", f"{one.difference:+.3g}" if one.difference else "0"]
        change = Text(numbers[2], style="bold" if one.adjusted <= LEVEL else "")
        p = Text("1" if one.adjusted == 1 else f"{one.adjusted:.2g}")
        grid.add_row(Text(visible(metric)), *map(Text, numbers[:2]), change, Text(ends, style="dim"), p, Text(cases))
    return grid


def _show_moves(found: Sequence[Move], console: Console) -> None:
    """Who moved and why; who did not is counted."""
    from medrobust.leaderboard.text import visible

    moved = [one for one in found if one.moved]
    console.print(Text("\nWhat moved a rank", style="bold"))
    if not found:
        console.print(Text("no ranking of one data set is in both"))
    for one in moved:
        where = f"{one.entrant}, {one.condition} ({one.data})"
        console.print(Text(visible(where), style="bold"))
        console.print(Text(f"  {_stood(one.first)} -> {_stood(one.second)}"))
        for line in one.why:
            console.print(Text(f"  {visible(line)}", style="dim"))
    if found:
        console.print(Text(f"{len(found) - len(moved)} of {len(found)} entrants have the tier and ranks they had"))


def _stood(side: Side | None) -> str:
    return "not there" if side is None else f"{side.text} (worst case {side.worst})"
