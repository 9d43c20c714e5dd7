"""`medrobust train`: make a shipped model again from the embedded data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(help="A model with a recipe; `medrobust train list` names them.")],
    out: Annotated[Path, typer.Option(help="Where the model's folder goes.")] = Path("models"),
    checkpoints: Annotated[Path, typer.Option(help="Where checkpoints go; the same command again continues from them.")] = Path("checkpoints"),
    steps: Annotated[int | None, typer.Option(help="Batches to train; the recipe's by default.", min=1)] = None,
    seed: Annotated[int | None, typer.Option(help="Of initial weights, order and draws; the recipe's by default. Names the folder.", min=0)] = None,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    keep_every: Annotated[int, typer.Option(help="Keep a checkpoint with its validation figures every so many batches; 0 keeps none.", min=0)] = 0,
    start: Annotated[Path | None, typer.Option(help="Folder of the models that a recipe starts from; the shipped ones by default.")] = None,
) -> None:
    """Train a model as its recipe says, measure it on the test split, and write weights and card."""
    from medrobust.targets.zoo import recipes

    if name == "list":
        for known in recipes():
            typer.echo(known)
        return
    from rich.console import Console

    from medrobust.training.make import Maker

    maker = Maker.of(name, steps, device, threads, seed)
    label = name if seed is None else f"{name}-seed{seed}"
    console = Console()
    console.print(f"{label}: {maker.description()}")
    began = time.perf_counter()
    try:
        with maker.progress(console) as report:
            chosen = maker.train(checkpoints / label, start, report, keep_every)
    except KeyboardInterrupt:
        console.print(f"interrupted; the same command continues from {checkpoints / label}")
        raise typer.Exit(130) from None
    if chosen is not None:
        console.print("weights of " + ", ".join(f"{figure} {value:.4g}" for figure, value in chosen.items()) + " on the validation split")
    console.print(f"trained in {time.perf_counter() - began:.0f} s; measuring on the test split")
    shipped = maker.shipped_figures()
    card = maker.save(out / label, chosen)
    for figure, value in card.figures.items():
        console.print(f"  {figure:18s} {value:.4f}" + (f"   shipped {shipped[figure]:.4f}" if figure in shipped else ""))
    console.print(f"{out / label}")
