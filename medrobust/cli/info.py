"""`medrobust info`: what a plugin, zoo model or spec is, in its own words."""

from __future__ import annotations

import dataclasses
import inspect
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from medrobust import registry
from medrobust.cli import catalog
from medrobust.cli.output import show
from medrobust.errors import SpecError


def command(
    name: Annotated[str, typer.Argument(help="A registered name, such as unet, fnaf-random or recon-unet.")],
    kind: Annotated[str, typer.Option(help="Only this kind, where a name is registered in several.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what a name stands for: docstring, fields with defaults and source, or a model's card."""
    kinds = (catalog.kind_named(kind),) if kind else registry.KINDS
    found = merged([each for one in kinds for each in described(one, name)])
    if not found:
        known = sorted({entry["name"] for each in kinds for entry in catalog.entries(each)})
        msg = f"info: no '{name}'; {registry.near(name, known)}"
        raise SpecError(msg)
    if as_json:
        print(json.dumps(found, indent=2))  # noqa: T201 - the command's output
        return
    for entry in found:
        render(entry)


def described(kind: str, name: str) -> list[dict[str, Any]]:
    """Everything of one kind that bears the name."""
    if kind in ("specs", "zoo"):
        files = catalog.specs() if kind == "specs" else catalog.cards()
        named = [(point, path) for point, path in files if name == (path.stem if kind == "specs" else path.parent.name)]
        return [{"kind": kind, "name": name, "distribution": catalog.owner(point), "text": read(path), "fields": []} for point, path in named]
    points = registry.available(kind)
    if name not in points:
        return []
    plugin = registry.load(kind, name)
    origin = {"kind": kind, "name": name, "distribution": catalog.owner(points[name]), "object": points[name].value}
    text = f"{plugin.__name__}: {inspect.getdoc(plugin) or 'no docstring'}"
    return [{**origin, "text": text, "fields": fields(plugin)}]


def merged(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is registered under several kinds, once, with all its kinds."""
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        key = entry.get("object", f"{entry['kind']} {entry['distribution']}")
        found[key] = {**entry, "kind": f"{found[key]['kind']}, {entry['kind']}"} if key in found else entry
    return list(found.values())


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8").rstrip()


def fields(plugin: Any) -> list[dict[str, str]]:
    """Name, type and default of every field a spec may set."""
    if not dataclasses.is_dataclass(plugin):
        return []
    rows = []
    for field in dataclasses.fields(plugin):
        if field.init:
            kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", str(field.type))
            rows.append({"field": field.name, "type": kind, "default": default(field)})
    return rows


def default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return repr(field.default_factory()) if field.default_factory is not dataclasses.MISSING else "required"


def render(entry: dict[str, Any]) -> None:
    console = Console()
    console.print(f"[bold]{escape(entry['name'])}[/bold]  {entry['kind']}, {escape(entry['distribution'])}", highlight=False)
    if "object" in entry:
        console.print(Text(entry["object"], style="dim"))
    console.print(Text(f"\n{entry['text']}\n"))
    if entry["fields"]:
        show(entry["fields"], as_json=False)
        console.print()
