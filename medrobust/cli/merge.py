"""`medrobust merge`: join the run directories of shards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medrobust.cli.output import show
from medrobust.errors import CELLS_FAILED
from medrobust.merge import merge


def command(
    runs: Annotated[list[Path], typer.Argument(help="Run directories of one suite.")],
    out: Annotated[Path, typer.Option(help="The joined run directory; may be one of RUNS.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the missing cells as JSON.")] = False,
) -> None:
    """Join RUNS into one run directory; list the cells that are finished in none of them, and exit 2 where there are any."""
    merged = merge(runs, out)
    rows = [{"cell": digest, "name": merged.run.cell(digest).cell.name, "why": reason} for digest, reason in merged.missing.items()]
    if rows or as_json:
        show(rows, as_json=as_json, title=f"missing in {out}")
    if not as_json:
        total = len(merged.run.digests)
        typer.echo(f"{out}: {total - len(rows)} of {total} cells are finished, {len(merged.copied)} of them copied now")
    if rows:
        raise typer.Exit(CELLS_FAILED)
