"""What is registered, read from entry points and files alone: no plugin is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import yaml

from medrobust import registry
from medrobust.errors import SpecError


def owner(point: EntryPoint) -> str:
    """The distribution that an entry point comes from."""
    return point.dist.name if point.dist else "unknown"


def kind_named(kind: str) -> str:
    """A registry kind, also by its singular; SpecError with near names where there is none."""
    for known in registry.KINDS:
        if kind in (known, known.removesuffix("s")):
            return known
    msg = f"list: no kind '{kind}'; {registry.near(kind, list(registry.KINDS))}"
    raise SpecError(msg)


def entries(kind: str) -> list[dict[str, str]]:
    """One row a name: `name`, `distribution` and `object`; specs and zoo models also say what they are."""
    if kind == "specs":
        return [{"name": path.stem, "distribution": owner(point), **described(path, "track", "title")} for point, path in specs()]
    if kind == "zoo":
        return [
            {"name": path.parent.name, "distribution": owner(point), **described(path, "target", "defense", "architecture", "digest")}
            for point, path in cards()
        ]
    return [{"name": name, "distribution": owner(point), "object": point.value} for name, point in registry.available(kind).items()]


def specs() -> Iterator[tuple[EntryPoint, Path]]:
    """Every shipped benchmark spec."""
    for point in registry.available("specs").values():
        for folder in folders(point):
            yield from ((point, path) for path in sorted(folder.glob("*.yaml")))


def cards() -> Iterator[tuple[EntryPoint, Path]]:
    """The card of every zoo model."""
    for point in registry.available("zoo").values():
        for folder in folders(point):
            yield from ((point, path) for path in sorted(folder.glob("*/card.yaml")))


def folders(point: EntryPoint) -> list[Path]:
    """Where the package that an entry point names lies; none where it cannot be found."""
    try:
        found = importlib.util.find_spec(point.value)
    except ImportError:
        return []
    return [Path(place) for place in found.submodule_search_locations or ()] if found else []


def described(path: Path, *fields: str) -> dict[str, str]:
    """Some fields of a YAML file as text; one that cannot be read says so in the first field."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        return {fields[0]: f"unreadable: {' '.join(str(error).split())}", **dict.fromkeys(fields[1:], "")}
    return {field: str(content.get(field, "")) if isinstance(content, dict) else "" for field in fields}
