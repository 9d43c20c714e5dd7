"""The files of a leaderboard, from run directories or committed folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from medrobust.errors import SpecError
from medrobust.files import replacing, write_json, write_text
from medrobust.leaderboard.evidence import Evidence, joined
from medrobust.leaderboard.page import Page, page
from medrobust.leaderboard.render.csv_table import csv_text
from medrobust.leaderboard.render.html import html_text
from medrobust.leaderboard.render.json_table import json_text
from medrobust.leaderboard.render.latex import latex_text
from medrobust.leaderboard.render.markdown import markdown_text
from medrobust.leaderboard.sources import ROWS, load
from medrobust.leaderboard.tables import Figure
from medrobust.registry import near
from medrobust.store import LOCK

FILES: dict[str, tuple[str, Callable[[Page], str]]] = {
    "md": ("leaderboard.md", markdown_text),
    "csv": ("leaderboard.csv", csv_text),
    "tex": ("leaderboard.tex", latex_text),
    "json": ("leaderboard.json", json_text),
    "html": ("index.html", html_text),
}


VALIDITY = "validity.json"


def assemble(runs: Sequence[Path]) -> Page:
    """One page of all runs."""
    return page(together(runs))


def together(runs: Sequence[Path]) -> Evidence:
    """All runs as one, judged."""
    if not runs:
        msg = "leaderboard: found no run, expected at least one run directory or committed folder"
        raise SpecError(msg)
    return joined([load(run) for run in runs])


def build(runs: list[Path], out: Path | None = None) -> Path:
    """Write index.html, leaderboard.{md,csv,tex,json}, a png of each picture of images, and what was found by the checks that compare cells.

    Returns the path of index.html. Of one run directory these findings are written there too, as validity.json; where no such check applies, nowhere.

    runs: run directories, or folders that `commit` wrote. out: `leaderboard/` of the first run by default, of a
    committed folder that folder itself. Equal evidence gives equal bytes.
    """
    judged = together(runs)
    found = page(judged)
    first = Path(runs[0])
    folder = out or (first if (first / "cells.json").is_file() else first / "leaderboard")
    write(found, folder)
    alone = [runs[0]] if len(runs) == 1 and (runs[0] / LOCK).is_file() else []
    for place in (folder, *alone):
        write_verdicts(judged, place / VALIDITY)
    return folder / FILES["html"][0]


def write(found: Page, folder: Path) -> None:
    """The page in every form, and its pictures of images. A page that has an index of leaderboards above it leads there, and to its rows."""
    index, rows = folder.parent / FILES["html"][0], folder / ROWS[0]
    if index.is_file():
        found = replace(found, index=f"../{index.name}", rows=rows.name if rows.is_file() else "")
    for name, form in FILES.values():
        write_text(folder / name, form(found))
    for outer, chapter in enumerate(found.chapters, 1):
        for part in chapter.parts:
            if isinstance(part, Figure) and part.png:
                with replacing(folder / f"d{outer}-{part.name}.png") as temporary:
                    temporary.write_bytes(part.png)


def write_verdicts(judged: Evidence, path: Path) -> None:
    """One entry a column; no file where there is none, and none that an earlier build left."""
    if judged.verdicts:
        write_json(path, {"columns": [verdict.plain() for verdict in judged.verdicts]})
    else:
        path.unlink(missing_ok=True)


def text(found: Page, form: str) -> str:
    """The page in one form: md, csv, tex, json or html."""
    if form not in FILES:
        msg = f"format: no '{form}'; {near(form, list(FILES))}"
        raise SpecError(msg)
    return FILES[form][1](found)
