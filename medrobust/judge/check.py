"""What a check is, and what becomes of all that are made of one cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from medrobust.judge.evidence import Evidence

LEVELS = ("ok", "info", "warn", "invalid")

Finding = str | None
"""What is wrong, empty where nothing is, None where the check does not apply."""


@dataclass(frozen=True)
class Check:
    """A numbered check of one cell, how bad it is to fail it, and what it needs to see."""

    id: str
    level: str
    find: Callable[[Evidence], Finding]
    on: str = "every cell"


@dataclass(frozen=True)
class Verdict:
    """What the checks found: the worst level, the checks that applied, and one finding a failed check."""

    level: str
    checked: tuple[str, ...]
    findings: tuple[Mapping[str, str], ...]

    def plain(self) -> dict[str, Any]:
        """validity.json."""
        return {"level": self.level, "checked": list(self.checked), "findings": [dict(finding) for finding in self.findings]}


def run_checks(evidence: Evidence, checks: Iterable[Check]) -> Verdict:
    """Every check that applies."""
    results = [(check, check.find(evidence)) for check in checks]
    findings = tuple({"id": check.id, "level": check.level, "message": found} for check, found in results if found)
    level = worst_level(finding["level"] for finding in findings)
    return Verdict(level, tuple(dict.fromkeys(check.id for check, found in results if found is not None)), findings)


def worst_level(levels: Iterable[str]) -> str:
    """The worst of them, `ok` of none."""
    return max(levels, key=LEVELS.index, default="ok")


def some(cases: Iterable[str], what: str = "case") -> str:
    """A count with a few names, such as `3 cases (a, b, ...)`."""
    names = sorted(cases)
    return f"{len(names)} {what}{'' if len(names) == 1 else 's'} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
