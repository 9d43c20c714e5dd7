"""`medrobust reader-study`: make a blinded study as one page, and score the files that readers return."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from medrobust.errors import SpecError

app = typer.Typer(help="Make a blinded reader study, and score what comes back.", no_args_is_help=True)


@app.command()
def make(
    out: Annotated[Path, typer.Option(help="Folder for study.html, to hand out, and sealed/key.json, to keep.")],
    run: Annotated[Path | None, typer.Argument(help="A run directory with stored images of a 2-D classification task.")] = None,
    attack: Annotated[list[str] | None, typer.Option(help="An attack of the run, by its name; may be repeated. All without it.")] = None,
    target: Annotated[str, typer.Option(help="Where images depend on the target: which one.")] = "",
    condition: Annotated[str, typer.Option(help="Where the run has several: which one.")] = "",
    originals: Annotated[Path | None, typer.Option(help="Instead of a run: a folder of PNG or DICOM files.")] = None,
    tampered: Annotated[Path | None, typer.Option(help="With --originals: the folder of the same images, tampered.")] = None,
    truths: Annotated[
        Path | None, typer.Option(help="With --originals: a csv of image, truth (0 or 1) and, where known, tampered, patient, direction, checkpoint.")
    ] = None,
    pairs: Annotated[int, typer.Option(help="Screens that show original and tampered side by side.", min=0)] = 20,
    singles: Annotated[int, typer.Option(help="Screens that show one image, original or tampered.", min=0)] = 20,
    seed: Annotated[int | None, typer.Option(help="Of the draw; random without it. Who knows it can repeat the draw.", min=0)] = None,
    title: Annotated[str, typer.Option(help="On top of the page.")] = "Reading mammograms",
) -> None:
    """Write a study from the stored images of RUN, or from two folders. Readers get study.html alone; the key says what each image is."""
    from medrobust.reader_study.folders import from_folders
    from medrobust.reader_study.make import make as make_study
    from medrobust.reader_study.subjects import from_run

    if run is not None and not (originals or tampered or truths):
        subjects, source = from_run(run, attack or [], target, condition)
    elif run is None and originals and tampered and truths:
        subjects, source = from_folders(originals, tampered, truths)
    else:
        msg = "reader-study make: expected either a RUN, or --originals, --tampered and --truths"
        raise SpecError(msg)
    made = make_study(subjects, source, out, pairs, singles, seed, title)
    for line in made.lines:
        typer.echo(line)
    typer.echo(f"page: {made.page} (for readers)")
    typer.echo(f"key: {made.key} (keep it sealed: who reads it is not blinded)")


@app.command()
def score(
    key: Annotated[Path, typer.Argument(help="The sealed key of the study.")],
    returned: Annotated[list[Path], typer.Argument(help="Returned files (json, csv, iMRMC text), or folders of them.", metavar="RETURNED")],
    out: Annotated[Path | None, typer.Option(help="Folder for tables, ROC figures and iMRMC text; nothing is written without it.")] = None,
    allow_incomplete: Annotated[bool, typer.Option("--allow-incomplete", help="Score what there is of files with missing ratings.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Check returned files against the key, and print AUC of originals, of tampered images under both labels, and of detection, a reader a line."""
    from rich.console import Console
    from rich.text import Text

    from medrobust.leaderboard.render.terminal import print_table
    from medrobust.reader_study.score import score as score_study

    scored = score_study(key, returned, allow_incomplete=allow_incomplete)
    if as_json:
        typer.echo(scored.json_text, nl=False)
    else:
        console = Console()
        for note in scored.notes:
            console.print(Text(note, style="yellow"))
        for table in scored.tables:
            print_table(table, console)
            console.print(Text(table.caption, style="dim"))
    if out is not None:
        scored.write(out)
        typer.echo(f"written: {out}", err=as_json)
