"""What every table beside a paper shares: the printed numbers, and how they stand beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

from medrobust.leaderboard.tables import PRINTED, Column, Entry, Validity

OTHER = "Different data: compare orderings and effect sizes, not values."
ABOUT = f"{OTHER} Ours with 95 % intervals from 2000 bootstrap resamples of patients."
QUIET = Validity(PRINTED)


def numbers(paper: str) -> dict[str, Any]:
    """What the paper printed, from the package's own file."""
    import yaml

    return dict(yaml.safe_load((files("medrobust.leaderboard") / f"paper_{paper}.yaml").read_text(encoding="utf-8")))


def both(*columns: Column) -> tuple[Column, ...]:
    """Each column twice: the paper's and ours."""
    return tuple(replace(column, name=f"{column.name}, {who}") for column in columns for who in ("paper", "ours"))


def interleaved(paper: Sequence[Entry], ours: Sequence[Entry]) -> tuple[Entry, ...]:
    """Each number of the paper with ours after it."""
    return tuple(entry for pair in zip(paper, ours, strict=True) for entry in pair)
