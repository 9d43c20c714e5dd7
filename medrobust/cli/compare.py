"""`medrobust compare`: two runs, or two cells, case by case."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from medrobust.leaderboard.differences import Difference


def command(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run, a committed folder, or one cell as RUN/cells/DIGEST.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What to compare it with.")],
    every_label: Annotated[bool, typer.Option("--all", help="Query budgets q=... too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show B less A for every metric of every cell that both hold, paired by case, with 95 % intervals clustered by patient."""
    from medrobust.leaderboard.differences import differences, side

    found = differences(side(first), side(second), every_label)
    if as_json:
        print(json.dumps([one.plain() for one in found], indent=2))  # noqa: T201 - the command's output
        return
    console = Console()
    for cell in dict.fromkeys(one.cell for one in found):
        console.print(Text(f"\n{cell}", style="bold"))
        console.print(_grid([one for one in found if one.cell == cell]))
    same = sum(one.equal == one.cases for one in found)
    console.print(Text(f"\n{same} of {len(found)} metrics are equal in every shared case"))


def _grid(found: list[Difference]) -> Table:
    from medrobust.leaderboard.text import visible

    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    grid.add_column("metric", overflow="fold")
    for name in ("A", "B", "B - A", "95 % interval", "cases"):
        grid.add_column(name, justify="right")
    for one in found:
        metric = " ".join(part for part in (one.metric, one.label, f"({one.unit})" if one.unit else "") if part)
        ends = "one patient" if math.isnan(one.low) else f"[{one.low:.3g}, {one.high:.3g}]"
        apart = one.low > 0 or one.high < 0
        alone = one.only_first + one.only_second
        cases = f"{one.cases}" + (f" ({alone} unshared)" if alone else "")
        numbers = [f"{one.first:.4g}", f"{one.second:.4g}", f"{one.difference:+.3g}" if one.difference else "0"]
        change = Text(numbers[2], style="bold" if apart else "")
        grid.add_row(Text(visible(metric)), *map(Text, numbers[:2]), change, Text(ends, style="dim"), Text(cases))
    return grid
