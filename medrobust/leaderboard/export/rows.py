"""Every row with what is known of its cell: one line a case, metric and label."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medrobust.files import replacing
from medrobust.leaderboard.evidence import COLUMNS, Evidence

if TYPE_CHECKING:
    import pandas as pd

KNOWN = ("data_label", "threat", "validity", "reasons")
"""Columns that the cell adds; `validity` is ok, info, warn or invalid, and rows of invalid cells are not to be averaged."""


def long(evidence: Evidence) -> pd.DataFrame:
    """The rows as they are, names unchanged, with `cell` and the columns `KNOWN`."""
    records = {record.digest: record for record in evidence.records}
    owners = [records[cell] for cell in evidence.rows["cell"]]
    known = {
        "data_label": [record.data_label for record in owners],
        "threat": [record.threat for record in owners],
        "validity": [record.level for record in owners],
        "reasons": ["; ".join(record.reasons) for record in owners],
    }
    return evidence.rows[[*COLUMNS, "cell"]].assign(**known)


def write_csv(evidence: Evidence, path: Path) -> int:
    """Values at nine significant digits; names as they are, a spreadsheet may take one that begins with `=` for a formula. Returns how many."""
    table = long(evidence)
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.9g", lineterminator="\n", encoding="utf-8")
    return len(table)


def write_parquet(evidence: Evidence, path: Path) -> int:
    """The same with types. Returns how many."""
    table = long(evidence)
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)
    return len(table)
