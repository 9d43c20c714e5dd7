"""Numbers as JSON has them: nine significant digits, and a word for what it has no number for."""

from __future__ import annotations

import math
from typing import Any

from medrobust.leaderboard.tables import Column, Entry


def entry_plain(column: Column, entry: Entry) -> dict[str, Any]:
    """Only what is known: an entry without a number has a note."""
    plain: dict[str, Any] = {"column": column.name, "estimate": nine(entry.estimate), "low": nine(entry.low), "high": nine(entry.high)}
    plain |= {"patients": entry.patients, "cases": entry.cases, "expected": entry.expected, "best": entry.best, "validity": entry.validity.level}
    return plain | ({"note": entry.note} if entry.note else {}) | ({"reasons": list(entry.validity.reasons)} if entry.validity.reasons else {})


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return nine(value) if isinstance(value, float) else value


def nine(value: float | None) -> float | str | None:
    """Nine significant digits; an open end as the word that JSON has no number for."""
    if value is None or math.isinf(value):
        return None if value is None else ("infinity" if value > 0 else "-infinity")
    return float(f"{value:.9g}")
