"""`medrobust status`: how far a run is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from medrobust.cli.output import show
from medrobust.store import CellFolder, open_run


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the cells of RUN: status, cases on disk, seconds, and why one failed."""
    rows = [described(folder) for folder in open_run(run).cells()]
    if as_json:
        show(rows, as_json=True)
        return
    show([{name: value for name, value in row.items() if name != "error"} for row in rows], as_json=False, title=str(run))
    for row in rows:
        if row["error"]:
            typer.echo(f"{row['cell']} {row['name']}: {row['error']}")
    counts = Counter(row["status"] for row in rows)
    typer.echo(f"{len(rows)} cells: " + ", ".join(f"{number} {status}" for status, number in counts.items()))


def described(folder: CellFolder) -> dict[str, str]:
    """One line; a running cell that no live worker holds is `interrupted`."""
    state = folder.state()
    status = "interrupted" if state.status == "running" and not folder.is_held() else state.status
    return {
        "cell": folder.digest,
        "name": folder.cell.name,
        "status": status,
        "cases": f"{state.cases}/{folder.cell.cases}",
        "seconds": f"{state.seconds:.1f}",
        "error": state.error,
    }
