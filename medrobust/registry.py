"""Names to plugins, from entry points; stateless."""

from __future__ import annotations

import dataclasses
import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from medrobust.errors import SpecError

KINDS = ("data", "targets", "attacks", "explainers", "defenses", "metrics", "objectives", "budgets", "tasks", "specs", "zoo")


def available(kind: str) -> dict[str, EntryPoint]:
    """Every registered name of a kind; nothing is imported. Of two distributions with one name the first on the path wins."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=f"medrobust.{kind}"):
        found.setdefault(point.name, point)
    return dict(sorted(found.items()))


def near(name: str, names: list[str]) -> str:
    """The known names closest to `name`, as the end of an error line."""
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(sorted(names)) or 'none'}"


def load(kind: str, name: str) -> Any:
    """The object behind a name. A plugin that cannot be imported is an error that names its distribution."""
    points = available(kind)
    if name not in points:
        msg = f"{kind}: no '{name}'; {near(name, list(points))}"
        raise SpecError(msg)
    point = points[name]
    try:
        return point.load()
    except Exception as error:
        owner = point.dist.name if point.dist else "unknown distribution"
        msg = f"{kind}: '{name}' of {owner} cannot be imported ({point.value}): {type(error).__name__}: {error}"
        raise SpecError(msg) from error


def build(kind: str, name: str, options: dict[str, Any], where: str = "") -> Any:
    """The plugin `name` with `options` as its fields; every misspelt or refused option is one line.

    where: the place in the user's file, such as `attacks[2]`.
    """
    plugin = load(kind, name)
    prefix = f"{where or kind}: {name}"
    fields = {field.name for field in dataclasses.fields(plugin) if field.init}
    for option in options:
        if option not in fields:
            msg = f"{prefix}: no field '{option}'; {near(option, sorted(fields))}"
            raise SpecError(msg)
    try:
        return plugin(**options)
    except (TypeError, ValueError) as error:
        msg = f"{prefix}: {error}"
        raise SpecError(msg) from error
