"""An overview as JSON: everything but the pixels of pictures, which the page has; their digests are here."""

from __future__ import annotations

import hashlib
from typing import Any

from medrobust.leaderboard.overview.standing import Curves, Matrix, Overview, Shown, Standing
from medrobust.leaderboard.render.json_numbers import entry_plain, nine, rounded
from medrobust.leaderboard.tables import Column
from medrobust.stats import Detectable
from medrobust.stats.detectable import POWER


def overview_plain(overview: Overview) -> dict[str, Any]:
    """In the order of the page."""
    headline = overview.headline
    return {
        "track": overview.track,
        "data": overview.data,
        "data_label": overview.data_label,
        "group": overview.group,
        "patients": overview.patients,
        "cases": overview.cases,
        "headline": {"name": headline.name, "unit": headline.unit, "higher_is_better": headline.better},
        "attacks": list(overview.attacks),
        "compared": [{"condition": condition, "attacks": list(attacks)} for condition, attacks in overview.compared],
        "method": overview.method,
        "standings": [_standing(one, overview) for one in overview.standings],
        "agreement": [{"schemes": schemes, "tau": nine(tau)} for schemes, tau in overview.agreement],
        "detectable": [{"condition": condition, **_detectable(one)} for condition, one in overview.detectable.items()],
        "sensitivity": [{"changed": changed, "winner": winner, "same": same} for changed, winner, same in overview.sensitivity],
        "findings": [dict(one) for one in overview.findings],
        "curves": [_curves(one) for one in overview.curves],
        "matrices": [_matrix(one) for one in overview.matrices],
        "heat": overview.heat and rounded({**vars(overview.heat), "values": [list(row) for row in overview.heat.values]}),
        "shown": [_shown(one) for one in overview.shown],
    }


def _detectable(one: Detectable) -> dict[str, Any]:
    ends = {"lowest": one.lowest, "typical": one.typical, "highest": one.highest, "standard_errors": one.critical}
    return {"power": POWER, **rounded(ends), "pairs": one.pairs}


def _standing(one: Standing, overview: Overview) -> dict[str, Any]:
    column, missed = overview.headline, Column("missed structures")
    return {
        "target": one.target,
        "defense": one.defense,
        "condition": one.condition,
        "tier": one.tier,
        "low_rank": one.low_rank,
        "high_rank": one.high_rank,
        "best": nine(one.best),
        "clean": entry_plain(column, one.clean),
        "worst": entry_plain(column, one.worst),
        "own": one.own and entry_plain(column, one.own),
        "by_attack": dict(zip(overview.attacks, (entry_plain(column, entry) for entry in one.by_attack), strict=True)),
        "missed": one.missed and entry_plain(missed, one.missed),
        "patients": one.patients,
        "cases": one.cases,
        "validity": one.validity.level,
        "reasons": list(one.validity.reasons),
        "cost": rounded(dict(one.cost)),
    }


def _curves(one: Curves) -> dict[str, Any]:
    drawn = [
        {
            "name": curve.name,
            "attack": curve.attack,
            "points": [{"x": nine(point.x), "label": point.label, **entry_plain(one.column, point.entry)} for point in curve.points],
        }
        for curve in one.curves
    ]
    return {"title": one.title, "unit": one.unit, "curves": drawn}


def _matrix(one: Matrix) -> dict[str, Any]:
    cells = [[entry and entry_plain(one.column, entry) for entry in row] for row in one.cells]
    return {"name": one.name, "title": one.title, "caption": one.caption, "rows": list(one.rows), "columns": list(one.columns), "cells": cells}


def _shown(one: Shown) -> dict[str, Any]:
    names = {"target": one.target, "defense": one.defense, "condition": one.condition, "attack": one.attack, "case": one.case}
    images = [{"caption": caption, "sha256": hashlib.sha256(png).hexdigest()} for caption, png in one.images]
    return {**names, "facts": dict(one.facts), "images": images}
