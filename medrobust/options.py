"""A plugin's options, checked against its fields' types before it is built."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError

from medrobust import registry
from medrobust.cell import Configured
from medrobust.digests import canonical, plain
from medrobust.errors import SpecError

UNSET = object()


def configure(kind: str, name: str, options: Mapping[str, Any], where: str, label: str = "") -> tuple[Configured, Any]:
    """The plugin with its whole configuration, and the built plugin.

    where: the place in the user's file, which begins every error line. Raises SpecError.
    """
    plugin = registry.load(kind, name) if name in registry.available(kind) else None
    if plugin is None:
        msg = f"{where}: no '{name}' among {kind}; {registry.near(name, list(registry.available(kind)))}"
        raise SpecError(msg)
    if not isinstance(plugin, type) or not dataclasses.is_dataclass(plugin):
        msg = f"{where}: {name} is not a dataclass, expected a frozen dataclass whose fields are its options"
        raise SpecError(msg)
    built = registry.build(kind, name, typed(plugin, options, f"{where}: {name}"), where)
    known = [field for field in dataclasses.fields(built) if field.init]
    fields = {field.name: getattr(built, field.name) for field in known}
    try:
        canonical(fields)
    except (TypeError, ValueError) as error:
        msg = f"{where}: {name}: {error}; expected options that are plain finite data"
        raise SpecError(msg) from error
    neutral = tuple(field.name for field in known if not field.compare or fields[field.name] == field.metadata.get("neutral", UNSET))
    return Configured(name, label or name, plain(fields), None, neutral), built


def typed(plugin: type, options: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Every known option in its field's type, a list as a tuple where the field is one; unknown ones are left as they are."""
    try:
        hints = get_type_hints(plugin)
    except NameError:
        return dict(options)
    mistakes, values = [], dict(options)
    for name, value in options.items():
        if name in hints:
            try:
                values[name] = _convert(hints[name], value)
            except ValidationError as error:
                expected = error.errors()[0]["msg"].removeprefix("Input should be ")
                mistakes.append(f"{where}: {name}: found {json.dumps(value, default=str)[:60]}, expected {expected}")
    if mistakes:
        raise SpecError("\n".join(mistakes))
    return values


def _convert(hint: Any, value: Any) -> Any:
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True, strict=True))
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation):
        return value
    except (PydanticUserError, TypeError):  # the type brings its own configuration, such as a pydantic model or a dataclass
        adapter = TypeAdapter(hint)
    return adapter.validate_json(json.dumps(value, default=str))


def wanted_budget(attack: Any, budget: type) -> str:
    """The kind of budget that an attack's `__call__` is annotated with, by its registered name; empty where `budget` is one, or where any will do."""
    try:
        hint = get_type_hints(type(attack).__call__).get("budget")
    except NameError:
        return ""
    if not isinstance(hint, type) or not dataclasses.is_dataclass(hint) or issubclass(budget, hint):
        return ""
    home = f"{hint.__module__}:{hint.__qualname__}"
    names = [name for name, point in registry.available("budgets").items() if point.value == home]
    return f"'{names[0]}'" if names else hint.__name__
