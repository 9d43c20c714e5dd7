"""Standings as a plain table, for forms that hold nothing else."""

from __future__ import annotations

from medrobust.leaderboard.overview.standing import Overview, Standing
from medrobust.leaderboard.tables import Column, Entry, Line, Table, Validity

HEADS = ("condition", "entrant", "tier", "ranks")
UNRANKED = "-"
WORST = "worst case, shared attacks"
MISSED = Column("missed structures", "", "%", 100, 1)


def as_table(overview: Overview) -> Table:
    """One line an entrant and condition, in the order of the overview: clean, worst case, and structures missed where they are known."""
    headline = overview.headline
    named = [Column(name, headline.unit, headline.shown, headline.scale, headline.digits) for name in ("clean", WORST)]
    columns = [*(named if overview.attacks else named[:1]), *([MISSED] if any(one.missed for one in overview.standings) else [])]
    lines = tuple(Line(_labels(one), _entries(one, columns)) for one in overview.standings)
    name = "overview" + (f"-{overview.group}" if overview.group else "")
    return Table(name, f"Overview: {headline.name}", overview.method, overview.data_label, HEADS, tuple(columns), lines)


def _labels(one: Standing) -> tuple[str, ...]:
    tier = UNRANKED if one.tier is None else str(one.tier)
    low, high = one.low_rank, one.high_rank
    ranks = UNRANKED if low is None or high is None else str(low) if low == high else f"{low} to {high}"
    return one.condition, one.name, tier, ranks


def _entries(one: Standing, columns: list[Column]) -> tuple[Entry, ...]:
    found = {"clean": one.clean, WORST: one.worst, MISSED.name: one.missed or Entry(note="not known", validity=Validity("missing"))}
    return tuple(found[column.name] for column in columns)
