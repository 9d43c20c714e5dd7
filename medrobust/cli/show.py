"""`medrobust show`: a cell of a run in full, or a run's cells in short."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Any

import typer

from medrobust.cli import output
from medrobust.errors import StoreError
from medrobust.files import read_json
from medrobust.registry import near
from medrobust.store import FINISHED, CellFolder, Run, open_run


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    cell: Annotated[str, typer.Argument(help="The beginning of a cell's digest, or its name.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show identity, cost, validity and mean values of a cell; without CELL those of every finished one in short."""
    opened = open_run(run)
    if cell:
        found = described(chosen(opened, cell))
        if as_json:
            typer.echo(json.dumps(found, indent=1))
        else:
            for name, value in found.items():
                typer.echo(f"{name}: {value if isinstance(value, str | int | float) else json.dumps(value, indent=1)}")
        return
    rows = [{"cell": folder.digest, "name": folder.cell.name, **short(folder)} for folder in opened.cells() if folder.state().status in FINISHED]
    output.show(rows, as_json=as_json, title=str(run))


def chosen(run: Run, name: str) -> CellFolder:
    """The one cell whose digest begins with `name`, or that bears it."""
    folders = run.cells()
    found = [folder for folder in folders if folder.digest.startswith(name) or folder.cell.name == name]
    if len(found) != 1:
        hint = near(name, [folder.cell.name for folder in folders]) if not found else f"found {len(found)}, expected one"
        msg = f"{run.path}: no single cell '{name}'; {hint}"
        raise StoreError(msg)
    return found[0]


def described(folder: CellFolder) -> dict[str, Any]:
    """Everything its files say, rows as means."""
    files = {name: read_json(folder.path / f"{name}.json") for name in ("validity", "env") if (folder.path / f"{name}.json").exists()}
    return {**read_json(folder.path / "cell.json"), "identity": folder.cell.identity, **files, "means": means(folder)}


def means(folder: CellFolder) -> dict[str, str]:
    """metric (with its label) -> mean over cases with their number."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in folder.rows():
        values[f"{row['metric']} {row['label']}".strip()].append(row["value"])
    return {name: f"{sum(found) / len(found):.6g} (n={len(found)})" for name, found in values.items()}


def short(folder: CellFolder) -> dict[str, str]:
    """Status, worst validity level and unlabelled means."""
    validity = read_json(folder.path / "validity.json")["level"]
    unlabelled = {row["metric"] for row in folder.rows() if not row["label"]}
    return {"validity": validity, "means": ", ".join(f"{name} {text.split()[0]}" for name, text in means(folder).items() if name in unlabelled)}
