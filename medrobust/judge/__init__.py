"""Validity checks: is a number to be believed? One small pure function a check, of one cell or of the cells of a column."""

from medrobust.judge.cell import CHECKS, judge
from medrobust.judge.check import LEVELS, Check, Finding, Verdict
from medrobust.judge.columns import COLUMN_CHECKS, ColumnCheck, ColumnFinding, ColumnVerdict, concerned, judge_columns
from medrobust.judge.described import Described, described
from medrobust.judge.evidence import Evidence, Probed

__all__ = [
    "CHECKS",
    "COLUMN_CHECKS",
    "LEVELS",
    "Check",
    "ColumnCheck",
    "ColumnFinding",
    "ColumnVerdict",
    "Described",
    "Evidence",
    "Finding",
    "Probed",
    "Verdict",
    "concerned",
    "described",
    "judge",
    "judge_columns",
]
