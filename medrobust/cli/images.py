"""`medrobust images`: the attacked images that a run has stored, as files that say what they are."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Form(StrEnum):
    """What is written."""

    png = "png"
    dicom = "dicom"


def command(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    attack: Annotated[str, typer.Option(help="The attack, by its name in the tables; needed where the run stored several.")] = "",
    form: Annotated[Form, typer.Option("--as", help="16-bit grey PNG, or DICOM secondary capture.")] = Form.png,
    target: Annotated[str, typer.Option(help="Where images depend on the target: which one.")] = "",
    condition: Annotated[str, typer.Option(help="Where the run has several: which one.")] = "",
    limit: Annotated[int | None, typer.Option(help="At most so many cases.", min=1)] = None,
) -> None:
    """Write the stored images of an attack. Each carries a statement in its tags or metadata that it was modified, and has one beside it."""
    from medrobust.errors import StoreError
    from medrobust.provenance import file_name, write_dicom, write_png
    from medrobust.store import open_run
    from medrobust.tampered import images, stored_cells

    cells = stored_cells(open_run(run), [attack] if attack else [], target, condition)
    if len(cells) > 1:
        names = ", ".join(cell.cell.columns["attack"] for cell in cells)
        msg = f"{run}: found stored images of {names}, expected --attack to name one"
        raise StoreError(msg)
    written = 0
    for written, one in enumerate(images(cells[0], limit), 1):
        path = out / f"{file_name(one.case.case)}.{'png' if form is Form.png else 'dcm'}"
        if form is Form.png:
            write_png(path, one.attacked, one.span, one.statement)
        else:
            write_dicom(path, one.attacked, one.span, one.statement, written)
    where = "metadata" if form is Form.png else "tags"
    typer.echo(f"{out}: {written} modified images of {cells[0].cell.columns['attack']}; each says so in its {where} and in the json beside it")
