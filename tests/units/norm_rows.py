"""Hand-made rows of norm-bounded tracks: what each entrant answers to each case, given as text of 1 and 0, or as numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from medrobust.digests import digest
from medrobust.leaderboard.evidence import COLUMNS, Evidence, Record, evidence

Values = str | Sequence[float]
Cells = Mapping[tuple[str, str, str], Values]
"""(entrant such as `net + jpeg`, attack, condition) to one value a case; a case `-` of a text has none."""

EPSILON = "8/255"
COST = {"forward passes": 40.0, "gradient passes": 20.0, "seconds": 2.0}


def record(track: str, entrant: str, attack: str, condition: str, cases: int, **fields: Any) -> Record:
    target, _, defense = entrant.partition(" + ")
    made = Record(
        digest=digest([track, entrant, attack, condition]),
        track=track,
        data="made",
        split="test",
        data_label="made: by hand",
        condition=condition,
        seed=0,
        target=target,
        defense=defense or "none",
        attack=attack,
        cases=cases,
        cost=COST,
        budget={} if attack == "none" else {"name": "norm", "norm": "linf", "epsilon": condition},
        threat="" if attack == "none" else "white-box",
    )
    return replace(made, **fields)


def rows(one: Record, metric: str, values: Values, label: str = "", patients: Sequence[str] = (), unit: str = "") -> list[dict[str, Any]]:
    """One row a case; patients: whose each is, by default each its own."""
    names = {name: getattr(one, name) for name in ("track", "data", "split", "target", "defense", "attack", "condition", "seed")}
    found = []
    for index, value in enumerate(values):
        if value != "-":
            whose = patients[index] if patients else f"p{index:02d}"
            found.append({**names, "patient": whose, "case": f"c{index:02d}", "metric": metric, "label": label, "value": float(value), "unit": unit})
    return found


def made(
    cells: Cells,
    track: str = "cls-linf",
    metric: str = "correct",
    changes: Mapping[tuple[str, str, str], Mapping[str, Any]] | None = None,
    patients: Sequence[str] = (),
    further: Sequence[tuple[Record, list[dict[str, Any]]]] = (),
) -> Evidence:
    """Evidence of these cells. changes: fields of records. further: more cells with their rows."""
    records, found = [], []
    for (entrant, attack, condition), values in cells.items():
        one = record(track, entrant, attack, condition, len(values), **(changes or {}).get((entrant, attack, condition), {}))
        records.append(one)
        found += rows(one, metric, values, patients=patients)
    for one, more in further:
        if one not in records:
            records.append(one)
        found += more
    return evidence("made@01234567", pd.DataFrame(found)[list(COLUMNS)], records)


def board(answers: Mapping[str, Mapping[str, Values]], condition: str = EPSILON) -> Cells:
    """Entrant to attack to values, all of one condition."""
    return {(entrant, attack, condition): values for entrant, attacks in answers.items() for attack, values in attacks.items()}
