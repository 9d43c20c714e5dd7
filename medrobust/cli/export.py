"""`medrobust export`: what was measured, in the forms that other programs read."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    """What is written."""

    csv = "csv"
    parquet = "parquet"
    tex = "tex"
    challenger = "challenger"
    eee = "eee"


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories, or committed folders with cells.json.")],
    form: Annotated[Form, typer.Option("--format", help="Rows as csv or parquet, tables as tex, challengeR's csv, Every Eval Ever's json.")],
    out: Annotated[Path, typer.Option(help="File to write; a folder for eee.")],
    metric: Annotated[str, typer.Option(help="For challenger: a metric, or `headline`, what the track is ranked by.")] = "headline",
    label: Annotated[str | None, typer.Option(help="For challenger: the metric's label, such as an organ; else the mean over labels.")] = None,
    organization: Annotated[str, typer.Option(help="For eee: who provides the results.")] = "unknown",
    developer: Annotated[str, typer.Option(help="For eee: who made the models that medrobust does not ship; the store wants it known.")] = "unknown",
) -> None:
    """Write every row (csv, parquet), every table (tex), one value a task, case and algorithm (challenger), or a file a model (eee, schema 0.3.0).

    Cells that are not to be believed are marked in csv and parquet, NA in challenger and left out of eee.
    """
    from medrobust.leaderboard.evidence import joined
    from medrobust.leaderboard.sources import load

    found = joined([load(run) for run in runs])
    if form in (Form.csv, Form.parquet):
        from medrobust.leaderboard.export import rows

        written = (rows.write_csv if form is Form.csv else rows.write_parquet)(found, out)
        typer.echo(f"{out}: {written} rows of {found.rows['cell'].nunique()} cells")
    elif form is Form.tex:
        from medrobust.files import write_text
        from medrobust.leaderboard.page import page
        from medrobust.leaderboard.render.latex import latex_text

        tables = page(found)
        write_text(out, latex_text(tables))
        typer.echo(f"{out}: {sum(len(chapter.tables) for chapter in tables.chapters)} tables")
    elif form is Form.challenger:
        from medrobust.leaderboard.export import challenger

        challenge = challenger.challenge(found, metric, label)
        challenger.write(challenge, out)
        for line in challenge.said(out):
            typer.echo(line)
    else:
        from medrobust.leaderboard.export import eee

        made = eee.export(found, time.time(), organization, developer)
        eee.write(made, out)
        for path in made.files:
            typer.echo(out / path)
        for line in made.left:
            typer.echo(f"left out: {line}")
