"""The promises of registered plugins, checked one by one; whatever a plugin raises is a row."""

from __future__ import annotations

from typing import Any

import yaml

from medrobust import registry
from medrobust.cli.catalog import owner
from medrobust.errors import SpecError
from medrobust.options import configure
from medrobust.testing.bench import Bench
from medrobust.testing.discover import PROMISES, benches_for
from medrobust.testing.promise import BrokenPromise, Promise


def options(pairs: list[str]) -> dict[str, Any]:
    """`NAME=VALUE`, the value read as YAML."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            msg = f"--option: found '{pair}', expected NAME=VALUE"
            raise SpecError(msg)
        found[name.strip()] = yaml.safe_load(value)
    return found


def named(name: str) -> list[tuple[str, str]]:
    """Kind and name of every plugin with promises that bears the name, or that the distribution of that name registers."""
    known = [(kind, point) for kind in PROMISES for point in registry.available(kind).values()]
    found = [(kind, point.name) for kind, point in known if point.name == name]
    found = found or [(kind, point.name) for kind, point in known if owner(point) == name]
    if not found:
        names = sorted({point.name for _, point in known} | {owner(point) for _, point in known})
        msg = f"plugin check: no '{name}' among {', '.join(PROMISES)} or distributions; {registry.near(name, names)}"
        raise SpecError(msg)
    return found


def verdicts(name: str, fields: dict[str, Any]) -> list[dict[str, str]]:
    """One row a plugin and promise: `kept`, or `broken` with what was found."""
    return [row for kind, each in named(name) for row in rows(kind, each, fields)]


def rows(kind: str, name: str, fields: dict[str, Any]) -> list[dict[str, str]]:
    try:
        _, plugin = configure(kind, name, fields, "--option")
        benches = benches_for(kind, plugin)
    except Exception as error:
        return [row(kind, name, "", "can be built and asked", str(error) or type(error).__name__)]
    return [row(kind, name, promise.number, promise.sentence, broken(promise, plugin, benches)) for promise in PROMISES[kind]()]


def row(kind: str, name: str, number: str, sentence: str, found: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "promise": number, "sentence": sentence, "state": "broken" if found else "kept", "found": found}


def broken(promise: Promise, plugin: object, benches: tuple[Bench, ...]) -> str:
    """What is wrong on the first bench where something is, empty where the promise is kept on all."""
    try:
        for bench in benches:
            promise(plugin, bench)
    except BrokenPromise as error:
        return str(error).removeprefix(f"{promise.number} {type(plugin).__name__} {promise.sentence}: ")
    except Exception as error:
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""
