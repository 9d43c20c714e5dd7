"""`medrobust plugin`: start a plugin, list all, check that one keeps its promises."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medrobust.cli.output import show
from medrobust.errors import USAGE

app = typer.Typer(help="Start, list and check plugins.", no_args_is_help=True)


@app.command()
def new(
    kind: Annotated[str, typer.Argument(help="attack, explainer, defense, metric or target.")],
    name: Annotated[str, typer.Argument(help="Name to register, in lower case with hyphens, such as rician-noise.")],
    out: Annotated[Path | None, typer.Option(help="Folder to make; medrobust-NAME here without it.")] = None,
) -> None:
    """Write a complete distribution with one plugin that works, and the test of its promises."""
    from medrobust.cli.scaffold import scaffold

    folder = scaffold(kind, name, out)
    typer.echo(f"{folder}: install it with `pip install -e {folder}`, test it with `pytest {folder}`, check it with `medrobust plugin check {name}`")


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List every plugin; a broken one is a row with its error."""
    from medrobust.cli.catalog import owner
    from medrobust.cli.health import fault, points

    rows = [{"kind": kind, "name": point.name, "distribution": owner(point), "state": fault(kind, point) or "ok"} for kind, point in points()]
    show(rows, as_json=as_json)


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A registered name, or a distribution, whose every plugin is checked.")],
    option: Annotated[list[str] | None, typer.Option(help="A field of the plugin, NAME=VALUE; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the promises of one plugin, or of a whole distribution; exit 1 where one is broken."""
    from medrobust.cli.verdicts import options, verdicts

    rows = verdicts(name, options(option or []))
    show(rows, as_json=as_json)
    if any(row["state"] != "kept" for row in rows):
        raise typer.Exit(USAGE)
