"""`medrobust validate`: check a spec down to every option."""

from __future__ import annotations

from typing import Annotated

import typer


def command(spec: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped spec.")]) -> None:
    """Check every field, name and option of SPEC; one line a mistake. Files of data and weights are read by `plan`."""
    from medrobust.resolve import resolve

    resolved = resolve(spec)
    attacks, targets = len(resolved.spec.attacks), len(resolved.targets)
    typer.echo(f"{spec}: good; {len(resolved.conditions)} conditions, {targets} targets, {len(resolved.defenses)} defenses, {attacks} attacks")
