"""`medrobust list`: what is registered."""

from __future__ import annotations

from typing import Annotated

import typer

from medrobust.cli import catalog
from medrobust.cli.output import show
from medrobust.registry import KINDS


def command(
    kind: Annotated[str, typer.Argument(help=f"One of {', '.join(KINDS)}; counts of all where left out.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what is registered: name, distribution and object. Nothing is imported."""
    if kind:
        named = catalog.kind_named(kind)
        show(catalog.entries(named), as_json=as_json, title=named)
        return
    show([{"kind": each, "registered": str(len(catalog.entries(each)))} for each in KINDS], as_json=as_json)
