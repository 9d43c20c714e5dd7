"""`medrobust report`: one model's page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medrobust.leaderboard.section import Model


def command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Run directories, or committed folders with cells.json.")],
    target: Annotated[str, typer.Option(help="The model, by its name in the tables.")],
    defense: Annotated[str, typer.Option(help="Its defense, where the target has several; `none` for the plain one.")] = "",
    out: Annotated[Path | None, typer.Option(help="File to write; without it report-NAME.html here.")] = None,
) -> None:
    """Write one html file on one model: what it is, how it fails, how sure we are, and what was not tested. It prints well."""
    from medrobust.files import write_text
    from medrobust.leaderboard.build import together
    from medrobust.leaderboard.render.report_html import report_text
    from medrobust.leaderboard.report.build import chosen, report
    from medrobust.provenance import file_name

    evidence = together(runs)
    model = chosen(evidence, target, defense)
    path = out or Path(f"report-{file_name(str(model).replace(' + ', '+'))}.html")
    write_text(path, report_text(report(evidence, model, measured(runs))))
    typer.echo(f"report: {path}")


def measured(runs: Sequence[Path]) -> dict[Model, str]:
    """Digests of the targets that run directories were planned with; committed folders do not hold them."""
    from medrobust.leaderboard.section import Model
    from medrobust.store import LOCK, open_run

    found: dict[Model, str] = {}
    for run in runs:
        if (run / LOCK).is_file():
            for name, digest in open_run(run).lock["lock"].get("targets", {}).items():
                target, _, defense = str(name).rpartition("+")
                found[Model(target, defense)] = str(digest)
    return found
