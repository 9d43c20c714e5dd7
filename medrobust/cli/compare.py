"""`medrobust compare`: two runs, or two cells, case by case, and what moved a rank."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from medrobust.cli.output import print_rows
from medrobust.leaderboard.text import visible

if TYPE_CHECKING:
    from medrobust.leaderboard.differences import Difference
    from medrobust.leaderboard.moves import Move, Side

LEVEL = 0.05
HEADS = ("metric", "A", "B", "B - A", "95 % interval", "p (Holm)")


def command(
    first: Annotated[Path, typer.Argument(metavar="A", help="A run, a committed folder, or one cell as RUN/cells/DIGEST.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="What to compare it with.")],
    every_label: Annotated[bool, typer.Option("--all", help="Query budgets q=... too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show B less A for every metric of every cell that both hold, paired by case, with 95 % intervals clustered by patient.

    p: permutation test that flips patients, adjusted by Holm over the valid cells of a metric. Cells on other data are not paired: their
    intervals draw each side's patients, and they have no p. Then tier and rank of every entrant on both sides, and what lies behind a change:
    whose numbers changed under which attack, and what became invalid or missing. --json adds Hodges-Lehmann estimates, Wilcoxon's and McNemar's test.
    """
    from medrobust.leaderboard.differences import differences, side
    from medrobust.leaderboard.moves import moves
    from medrobust.leaderboard.overview.build import overviews
    from medrobust.leaderboard.pairs import pairs, unpaired

    sides = side(first), side(second)
    found = differences(*sides, every_label)
    cells = pairs(*sides)
    notes = unpaired(cells)
    whole = all(path.parent.name != "cells" for path in (first, second))
    ranks = moves(overviews(sides[0]), overviews(sides[1]), cells) if whole else ()
    if as_json:
        said = {"differences": [one.plain() for one in found], "ranks": [one.plain() for one in ranks], "notes": list(notes)}
        print(json.dumps(said, indent=2))  # noqa: T201 - the command's output
        return
    console = Console(highlight=False)
    for note in notes:
        console.print(Text(visible(note), style="bold yellow"))
    for heading, lines in _blocks(found).items():
        console.print(Text(f"\n{visible(heading)}", style="bold"))
        if not lines[0].believed:
            console.print(Text(visible(f"invalid, not to be believed: {'; '.join(lines[0].reasons)}"), style="yellow"))
        print_rows(console, [_row(one) for one in lines], whole=HEADS[1:], right=HEADS[1:])
    if whole:
        _show_moves(ranks, console)
    paired = [one for one in found if one.paired]
    same = sum(one.equal == one.cases for one in paired)
    console.print(Text(f"\n{same} of {len(paired)} metrics are equal in every shared case" if paired else "\nno metric is paired by case"))


def _blocks(found: Sequence[Difference]) -> dict[str, list[Difference]]:
    """The metrics of each cell that are of as many cases, under a heading that says how many."""
    blocks: dict[str, list[Difference]] = {}
    for one in found:
        if one.paired:
            alone = one.only_first + one.only_second
            counted = f"{one.cases} cases of {one.patients} patients" + (f", {alone} unshared cases left out" if alone else "")
        else:
            counted = f"not paired, {one.only_first} cases in A, {one.only_second} in B"
        blocks.setdefault(f"{one.cell} ({counted})", []).append(one)
    return blocks


def _row(one: Difference) -> dict[str, str | Text]:
    ends = "one patient" if one.patients < 2 else "all alike" if math.isnan(one.low) else f"[{one.low:.3g}, {one.high:.3g}]"
    p = "invalid" if not one.believed else "" if not one.paired else "1" if one.adjusted == 1 else f"{one.adjusted:.2g}"
    change = Text(f"{one.difference:+.3g}" if one.difference else "0", style="bold" if one.believed and one.adjusted <= LEVEL else "")
    values = (visible(f"{one.metric} {one.label}".strip()), f"{one.first:.4g}", f"{one.second:.4g}", change, Text(ends, style="dim"), p)
    return dict(zip(HEADS, values, strict=True))


def _show_moves(found: Sequence[Move], console: Console) -> None:
    """Who moved and why; who did not is counted."""
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
