"""Every registered plugin, whole or broken."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from medrobust import registry
from medrobust.cli.catalog import owner


def points() -> list[tuple[str, EntryPoint]]:
    """Every entry point of every kind, those hidden behind another of their name too."""
    return [(kind, point) for kind in registry.KINDS for point in sorted(entry_points(group=f"medrobust.{kind}"), key=lambda each: each.name)]


def fault(kind: str, point: EntryPoint) -> str:
    """Why a plugin cannot be used, in one line; empty where it can. Imports it; whatever it raises is the answer."""
    first = registry.available(kind)[point.name]
    if first != point:
        return f"hidden: {owner(first)} registers the same name"
    try:
        point.load()
    except (Exception, SystemExit) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""
