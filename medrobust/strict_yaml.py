"""YAML read strictly: plain data alone, a key that stands twice is an error, and every value knows its line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import yaml

from medrobust.errors import SpecError

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """content: plain data. lines: place of a value, such as ("targets", 0, "name") -> line, from 1."""

    content: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Place) -> int:
        """The line of a value, or of the nearest one that holds it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def parse(text: str, name: str) -> Document:
    """The one document in `text`; `name` is what errors call it. Raises SpecError, one line a mistake."""
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            msg = f"{name}: found an empty file, expected a spec"
            raise SpecError(msg)
        lines: dict[Place, int] = {}
        twice = _walk(node, (), lines)
        if twice:
            raise SpecError("\n".join(f"{name}:{line}: {dotted(place)}: found the same key twice, expected it once" for place, line in twice))
        return Document(loader.construct_document(node), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        msg = f"{name}:{line}: {error.problem or error.context}; expected YAML"
        raise SpecError(msg) from error
    except yaml.YAMLError as error:
        msg = f"{name}: {' '.join(str(error).split())}; expected YAML"
        raise SpecError(msg) from error
    except RecursionError as error:
        msg = f"{name}: found an alias that holds itself, expected plain data"
        raise SpecError(msg) from error


def dotted(place: Place) -> str:
    """A place in words, such as `targets[0].name`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.removeprefix(".") or "spec"


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int]) -> list[tuple[Place, int]]:
    """Note the line of every value; the places that stand twice."""
    lines[place] = node.start_mark.line + 1
    twice: list[tuple[Place, int]] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*place, str(key.value))
            if here in lines:
                twice.append((here, key.start_mark.line + 1))
            twice += _walk(value, here, lines)
            lines[here] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            twice += _walk(value, (*place, index), lines)
    return twice
