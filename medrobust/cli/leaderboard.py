"""`medrobust leaderboard`: tables and one page from runs, or from what was committed of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from medrobust.errors import SpecError

HEADLINES = (
    *("attack-rate", "clean", "defense", "localisation", "flips", "models", "attacks", "ruler", "readers", "detection", "stopping", "robust"),
    "certified",
)
"""Tables that are shown where there is no room for all."""


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories, or committed folders with cells.json.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the files; without it the first run's leaderboard/, or the committed folder.")] = None,
    form: Annotated[str, typer.Option("--format", help="Print md, csv, tex, json or html instead of writing files.")] = "",
    commit: Annotated[Path | None, typer.Option(help="First write RUN's rows and cells, small and sorted, into this folder; draw from it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Write index.html and leaderboard.{md,csv,tex,json}, and show the first tables."""
    from medrobust.leaderboard import build
    from medrobust.leaderboard.build import assemble, text
    from medrobust.leaderboard.render.terminal import print_table
    from medrobust.leaderboard.sources import commit as keep

    if commit:
        if len(runs) != 1:
            msg = f"--commit: found {len(runs)} runs, expected one"
            raise SpecError(msg)
        keep(runs[0], commit)
        runs = [commit]
    if as_json or form:
        print(text(assemble(runs), form or "json"), end="")  # noqa: T201 - the command's output
        return
    path, page = build(runs, out), assemble(runs)
    console = Console()
    for chapter in page.chapters:
        for table in [table for table in chapter.tables if table.name in HEADLINES] or chapter.tables[:1]:
            print_table(table, console)
    console.print()
    if page.missing:
        console.print(Text(f"{len(page.missing)} of {page.total} cells have no numbers yet", style="yellow"))
    console.print(Text(f"page: {path}"), soft_wrap=True)
