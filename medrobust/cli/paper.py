"""`medrobust paper`: a paper's tables, each number beside ours."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from medrobust.errors import SpecError


def command(
    table: Annotated[str, typer.Argument(help="The paper: fnaf, mammo, roi or seg.")],
    runs: Annotated[list[Path], typer.Argument(help="Run directories, or committed folders with cells.json.", metavar="RUN")],
    form: Annotated[str, typer.Option("--format", help="Print md, csv, tex or json instead of tables.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Print what the paper reports beside what the runs measured, with the data that each was measured on."""
    from medrobust.leaderboard.build import text
    from medrobust.leaderboard.evidence import joined
    from medrobust.leaderboard.page import paper_page
    from medrobust.leaderboard.render.terminal import print_table
    from medrobust.leaderboard.sources import load

    page = paper_page(table, joined([load(run) for run in runs]))
    if form == "html":
        msg = "format: no 'html' for a paper; the page that `medrobust leaderboard` writes holds these tables"
        raise SpecError(msg)
    if as_json or form:
        print(text(page, form or "json"), end="")  # noqa: T201 - the command's output
        return
    console = Console()
    for chapter in page.chapters:
        for one in chapter.tables:
            print_table(one, console)
            console.print(Text(one.caption, style="dim"))
