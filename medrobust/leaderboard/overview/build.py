"""Overviews from evidence: one a data set, and one a norm where its conditions are budgets of several."""

from __future__ import annotations

import math
from collections.abc import Sequence

from medrobust.judge import ColumnVerdict
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.overview.choices import detectable, tried
from medrobust.leaderboard.overview.headlines import HEADLINES, Headline
from medrobust.leaderboard.overview.matrices import significance, transfers
from medrobust.leaderboard.overview.places import heat_map
from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.placings import Group, placings
from medrobust.leaderboard.overview.security import allowed, curves
from medrobust.leaderboard.overview.showing import shown
from medrobust.leaderboard.overview.standing import Overview
from medrobust.leaderboard.section import Model, Section, sections


def overviews(evidence: Evidence) -> tuple[Overview, ...]:
    """One a data set and condition group; none for a track without a headline, and none where nothing of it was measured."""
    return of_sections(sections(evidence), evidence.verdicts)


def of_sections(found: Sequence[Section], verdicts: Sequence[ColumnVerdict] = ()) -> tuple[Overview, ...]:
    """The same of evidence that is sorted by data set already. verdicts: of the checks that compare cells."""
    return tuple(one for section in found for one in _of(section, verdicts))


def _of(section: Section, verdicts: Sequence[ColumnVerdict]) -> list[Overview]:
    return [_overview(section, group, verdicts) for group in placings(section) if any(one.trials.size for one in group.shown)]


def _overview(section: Section, group: Group, verdicts: Sequence[ColumnVerdict]) -> Overview:
    headline, norm, ranked = HEADLINES[section.track], group.norm, group.shown
    attacks = tuple(dict.fromkeys(attack for one in group.placed for attack in one.trials.attacks if attack))
    several = len(ranked) > 1
    maps = [matrix for one in ranked if (matrix := significance(one, several)) is not None]
    return Overview(
        track=section.track,
        data=section.data,
        data_label=section.data_label,
        patients=int(section.rows["patient"].nunique()),
        cases=max((record.cases for record in section.records), default=0),
        headline=headline.column,
        attacks=attacks,
        standings=tuple(standing for one in ranked for standing in one.standings()),
        method=method(ranked, headline),
        agreement=tuple(pair for one in ranked for pair in agreement(one, several)),
        detectable=detectable(ranked),
        sensitivity=tuple(line for one in ranked for line in tried(one, several, bool(norm))),
        curves=curves(group.placed, norm, group.known) if norm else (),
        matrices=(*maps, *transfers(section, headline, tuple(one.trials.condition for one in ranked))),
        heat=heat_map(section, group.conditions) if section.track == "recon-fnaf" else None,
        shown=shown(ranked),
        findings=findings(section, group.conditions, verdicts),
        group=norm,
        compared=tuple((one.trials.condition, tuple(one.trials.attacks[attack] for attack in one.comparison.attacks)) for one in ranked),
        allowed=allowed(section.records, group.conditions),
    )


def findings(section: Section, conditions: Sequence[str], verdicts: Sequence[ColumnVerdict]) -> tuple[dict[str, str], ...]:
    """What the checks that compare cells found of cells of these conditions."""
    here = {record.digest for record in section.records if record.condition in conditions}
    found = []
    for verdict in verdicts:
        for one in verdict.findings:
            if here.intersection(one.cells):
                entrant = str(Model(verdict.target, verdict.defense))
                found.append({"check": one.id, "level": one.level, "entrant": entrant, "message": one.message})
    return tuple(found)


def agreement(placed: Placed, several: bool) -> tuple[tuple[str, float], ...]:
    """Kendall's tau of every two ranking schemes; a pair that has none, because one scheme ranks all alike, is left out."""
    if placed.ranking is None:
        return ()
    where = f"{placed.trials.condition}: " if several else ""
    return tuple((f"{where}{pair}", tau) for pair, tau in placed.ranking.agreement if not math.isnan(tau))


def method(placed: Sequence[Placed], headline: Headline) -> str:
    """How worst cases, tiers and rank intervals were found."""
    parts = [f"{headline.column.name}: {headline.said}."]
    if headline.attacked:
        parts.append(_worst_cases(placed))
    parts += [f"Left out for everyone{_where(one, placed)}: {'; '.join(one.comparison.left_out)}." for one in placed if one.comparison.left_out]
    parts.append(
        "An entrant that lacks a value or has an invalid cell among these is shown with the reason and not ranked; a metric that is undefined for a "
        "missed structure has its worst value."
    )
    parts += list(dict.fromkeys(one.ranking.method for one in placed if one.ranking is not None))
    return " ".join(parts)


def _worst_cases(placed: Sequence[Placed]) -> str:
    over: dict[tuple[str, ...], list[str]] = {}
    for one in placed:
        over.setdefault(tuple(one.trials.attacks[attack] for attack in one.comparison.attacks), []).append(one.trials.condition)
    named = [", ".join(attacks) or "none" for attacks in over]
    if len(over) > 1:
        named = [f"{attacks} ({', '.join(at)})" for attacks, at in zip(named, over.values(), strict=True)]
    return f"Worst case: of each case the worst value, clean or under any attack that every attacked entrant was put through: {'; '.join(named)}."


def _where(one: Placed, placed: Sequence[Placed]) -> str:
    return f" ({one.trials.condition})" if len(placed) > 1 else ""
