"""The whole page as JSON: numbers in natural units, and the points of every figure."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from medrobust.leaderboard.page import Page
from medrobust.leaderboard.render.json_numbers import entry_plain, rounded
from medrobust.leaderboard.render.json_overview import overview_plain
from medrobust.leaderboard.tables import Figure, Table


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
        "overviews": [overview_plain(one) for one in page.overviews],
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


def figure_plain(figure: Figure) -> dict[str, Any]:
    return {"name": figure.name, "title": figure.title, "description": figure.description, "points": rounded(figure.points)}
