"""`medrobust plan`: what a spec would compute, and what it costs."""

from __future__ import annotations

from typing import Annotated

import typer

from medrobust.cli.output import show


def command(
    spec: Annotated[str, typer.Argument(help="A YAML file, or the name of a shipped spec.")],
    limit: Annotated[int | None, typer.Option(min=1, help="First N cases only.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every cell of SPEC with its cases and model passes; nothing is computed. Embedded data are made on first use."""
    from medrobust.plan import plan
    from medrobust.store import run_digest

    planned = plan(spec, limit)
    rows = []
    for cell in planned.cells:
        cost = planned.costs[cell.digest]
        rows.append(
            {
                "cell": cell.digest,
                "condition": cell.condition,
                "target": cell.columns["target"],
                "defense": cell.columns["defense"],
                "attack": cell.columns["attack"],
                "cases": str(cell.cases),
                "forward": count(cost.forward),
                "gradient": count(cost.gradient),
            }
        )
    show(rows, as_json=as_json, title=f"{planned.resolved.spec.suite}@{run_digest(planned.cells)}", by=("target", "defense"))
    if not as_json:
        typer.echo(f"{len(planned.cells)} cells, {total([cost.forward for cost in planned.costs.values()])} forward and ", nl=False)
        typer.echo(f"{total([cost.gradient for cost in planned.costs.values()])} gradient passes of one case each")


def count(passes: int | None) -> str:
    return "unknown" if passes is None else str(passes)


def total(passes: list[int | None]) -> str:
    """The sum, as a lower bound where a part is unknown."""
    known = sum(each for each in passes if each is not None)
    return f"{known:,}" if None not in passes else f"at least {known:,}"
