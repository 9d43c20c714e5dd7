"""The whole page as JSON: numbers in natural units, and the points of every figure."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from medrobust.leaderboard.page import Page
from medrobust.leaderboard.tables import Column, Entry, Figure, Table


def json_text(page: Page) -> str:
    """Indented, in the order of the page."""
    return json.dumps(page_plain(page), indent=1, ensure_ascii=True, allow_nan=False) + "\n"


def page_plain(page: Page) -> dict[str, Any]:
    return {
        "suite": page.suite,
        "cells": page.total,
        "missing": [asdict(one) for one in page.missing],
        "invalid": [asdict(one) for one in page.invalid],
        "attacks": [{"name": name, "config": config} for name, config in page.attacks],
        "environments": [dict(one) for one in page.environments],
        "digests": dict(page.digests),
        "chapters": [
            {
                "track": chapter.track,
                "data": chapter.data,
                "split": chapter.split,
                "data_label": chapter.data_label,
                "patients": chapter.patients,
                "cases": chapter.cases,
                "tables": [table_plain(table) for table in chapter.tables],
                "figures": [figure_plain(part) for part in chapter.parts if isinstance(part, Figure)],
            }
            for chapter in page.chapters
        ],
    }


def table_plain(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "title": table.title,
        "caption": table.caption,
        "data": table.data,
        "columns": [{"name": column.name, "unit": column.unit, "higher_is_better": column.better} for column in table.columns],
        "lines": [
            {
                **dict(zip(table.heads, line.labels, strict=True)),
                "validity": line.validity.level,
                "entries": [entry_plain(column, entry) for column, entry in zip(table.columns, line.entries, strict=True)],
            }
            for line in table.lines
        ],
    }


def entry_plain(column: Column, entry: Entry) -> dict[str, Any]:
    """Only what is known: an entry without a number has a note."""
    plain: dict[str, Any] = {"column": column.name, "estimate": _nine(entry.estimate), "low": _nine(entry.low), "high": _nine(entry.high)}
    plain |= {"patients": entry.patients, "cases": entry.cases, "expected": entry.expected, "best": entry.best, "validity": entry.validity.level}
    return plain | ({"note": entry.note} if entry.note else {}) | ({"reasons": list(entry.validity.reasons)} if entry.validity.reasons else {})


def figure_plain(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "title": figure.title, "description": figure.description, "points": _rounded(figure.points)}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return _nine(value) if isinstance(value, float) else value


def _nine(value: float | None) -> float | str | None:
    """Nine significant digits; an open end as the word that JSON has no number for."""
    if value is None or math.isinf(value):
        return None if value is None else ("infinity" if value > 0 else "-infinity")
    return float(f"{value:.9g}")
