"""How sure one can be of a model's numbers: what they rest on, and what the checks have to say."""

from __future__ import annotations

from collections.abc import Sequence

from medrobust.leaderboard.evidence import Record
from medrobust.leaderboard.overview.standing import Overview, Standing
from medrobust.leaderboard.report.content import Doubt
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import LEVELS, Column, Entry
from medrobust.leaderboard.text import number, whole
from medrobust.stats.detectable import POWER


def place(record: Record) -> str:
    """A cell in words, its model left out."""
    seed = f", seed {record.seed}" if record.seed else ""
    return f"{record.condition}, {'clean' if record.attack == 'none' else record.attack}{seed}"


def doubts(overviews: Sequence[Overview], model: Model, records: Sequence[Record]) -> tuple[Doubt, ...]:
    """Findings of cells, each reason once with its cells, and of the checks that compare cells; the worst first."""
    found: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for reason in record.reasons if record.measured else ():
            found.setdefault((record.level if record.level in LEVELS else "invalid", reason), []).append(place(record))
    for overview in overviews:
        for one in overview.findings:
            if one.get("entrant") == str(model):
                found.setdefault((one["level"], f"{one['check']}: {one['message']}"), [])
    said = [Doubt(level, reason, tuple(about)) for (level, reason), about in found.items()]
    return tuple(sorted(said, key=lambda one: -LEVELS.index(one.level)))


def sure(section: Section, model: Model, overviews: Sequence[Overview], standings: Sequence[Standing]) -> tuple[tuple[str, str], ...]:
    """What intervals and ranks rest on."""
    records = [record for record in section.records if (record.target, record.defense) == model]
    levels = [record.level for record in records if record.measured]
    rows = section.rows[section.rows["cell"].isin({record.digest for record in records})]
    facts = [
        ("patients", str(rows["patient"].nunique())),
        ("cells measured", f"{len(levels)} of {len(records)}"),
        ("cells by validity", ", ".join(f"{levels.count(level)} {level}" for level in LEVELS if level in levels)),
        ("seeds", ", ".join(map(str, sorted({record.seed for record in records})))),
    ]
    for overview in overviews:
        column = overview.headline
        unit = "points" if column.shown == "%" else column.shown
        for condition, least in overview.detectable.items():
            where = f", {condition}" if len(overview.detectable) > 1 else ""
            low, typical, high = (number(one, column) for one in (least.lowest, least.typical, least.highest))
            shown = f"{typical} {unit}".rstrip() + (f", from {low} to {high} by pair" if low != high else "")
            name = f"true difference of {column.name} that tells a typical pair of entrants apart in {100 * POWER:g} % of such test sets{where}"
            facts.append((name, shown))
    for one in standings:
        alike = sum(other.condition == one.condition and other.tier is not None for overview in overviews for other in overview.standings)
        facts.append((f"rank, {one.condition}" if len(standings) > 1 else "rank", rank(one, alike)))
    return tuple((name, text) for name, text in facts if text)


def rank(standing: Standing, ranked: int) -> str:
    """Tier and rank interval among so many, or that there is none."""
    if standing.tier is None:
        return "not ranked: " + ("; ".join(standing.validity.reasons) or "nobody to be compared with")
    low, high = standing.low_rank, standing.high_rank
    ends = f"rank {low}" if low == high else f"rank {low} to {high} (95 % interval)"
    best = "" if standing.best is None else f", best in {100 * standing.best:.0f} % of resamples"
    return f"tier {standing.tier}, {ends} of {ranked}{best}"


def _said(entry: Entry, column: Column) -> str:
    return f"{whole(entry, column)} {column.shown if entry.estimate is not None else ''}".rstrip()


def short(overviews: Sequence[Overview], standings: Sequence[Standing], records: Sequence[Record]) -> tuple[str, ...]:
    """What a reader in a hurry has to know, a sentence each."""
    found = []
    several = len(standings) > 1
    for overview in overviews:
        column = overview.headline
        for one in (standing for standing in standings if standing in overview.standings):
            clean, worst = (_said(entry, column) for entry in (one.clean, one.worst))
            over = f" and {worst} in the worst case" if overview.attacks else ""
            over += f", {_said(one.own, column)} over every attack made on it" if one.own is not None else ""
            missed = one.missed.estimate if one.missed is not None else None
            under = " under at least one of these attacks" if overview.attacks else ""
            lost = "" if missed is None else f" {100 * missed:.1f} % of structures are missed altogether{under}."
            where = f"{one.condition}: " if several else ""
            found.append(f"{where}{column.name[:1].upper()}{column.name[1:]} is {clean} on clean images{over}.{lost}")
    invalid = sum(record.measured and record.level == "invalid" for record in records)
    missing = sum(not record.measured for record in records)
    if invalid:
        found.append(f"{invalid} of {len(records)} cells are not to be believed; the reasons are below.")
    if missing:
        found.append(f"{missing} of {len(records)} cells have no numbers.")
    return tuple(found)
