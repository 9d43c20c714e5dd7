"""The table of all checks, as the documentation prints it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from medrobust.judge.cell import CHECKS
from medrobust.judge.columns import COLUMN_CHECKS


@dataclass(frozen=True)
class Described:
    """One check.

    scope: `cell` or `column`. holds: what must be so. on: what it needs to see.
    """

    id: str
    level: str
    scope: str
    holds: str
    on: str


def described() -> list[Described]:
    """Every check by its number, the gravest first."""
    cells = [Described(check.id, check.level, "cell", sentence(check.find), check.on) for check in CHECKS]
    columns = [Described(check.id, check.level, "column", sentence(check.find), check.on) for check in COLUMN_CHECKS]
    grave = ("invalid", "warn", "info")
    return sorted([*cells, *columns], key=lambda one: (one.id, grave.index(one.level)))


def sentence(find: object) -> str:
    """The first paragraph of a docstring."""
    return " ".join((inspect.getdoc(find) or "").partition("\n\n")[0].split())
