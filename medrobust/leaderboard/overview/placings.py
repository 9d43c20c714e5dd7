"""The conditions of a section, each with its entrants placed; worked out once, for the overview and for tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from medrobust.leaderboard.mammo_tamper.once import once
from medrobust.leaderboard.overview.headlines import HEADLINES, Headline
from medrobust.leaderboard.overview.placing import Placed, missed_trials
from medrobust.leaderboard.overview.security import budgets, norm_of
from medrobust.leaderboard.overview.trials import trials
from medrobust.leaderboard.section import Model, Section


@dataclass(frozen=True, eq=False)
class Group:
    """Conditions that share a norm, which are budgets of one sweep; or all others, whose norm is empty.

    conditions: all of them. placed: those with entrants. known: epsilon and its unit, by condition.
    """

    norm: str
    conditions: tuple[str, ...]
    placed: tuple[Placed, ...]
    known: Mapping[str, tuple[float, str]]

    @property
    def shown(self) -> tuple[Placed, ...]:
        return tuple(one for one in self.placed if one.shown)


@once
def placings(section: Section) -> tuple[Group, ...]:
    """None for a track without a headline."""
    headline = HEADLINES.get(section.track)
    if headline is None:
        return ()
    made = [_groups(part, headline) for part in (by_target(section) if not headline.attacked else [section])]
    if len(made) < 2:
        return made[0] if made else ()
    everything = [group for groups in made for group in groups]
    conditions = tuple(condition for group in everything for condition in group.conditions)
    return (Group("", conditions, tuple(one for group in everything for one in group.placed), {}),)


def by_target(section: Section) -> list[Section]:
    """Explainers are compared with others of the same target: a section a target, whose name its conditions then bear where there are several."""
    models = tuple(dict.fromkeys(Model(record.target, record.defense) for record in section.records if record.explains))
    if len(models) < 2:
        return [section]
    parts = []
    for model in models:
        own = [record for record in section.records if (record.target, record.defense) == model]
        parts.append(replace(section, records=tuple(replace(record, condition=f"{record.condition}, {model}") for record in own)))
    return parts


def _groups(section: Section, headline: Headline) -> tuple[Group, ...]:
    known = budgets(section.records)
    norms = {record.condition: norm for record in section.records if (norm := norm_of(record))}
    found: dict[str, list[str]] = {}
    for condition in section.conditions:
        found.setdefault(norms.get(condition, ""), []).append(condition)
    made = []
    for norm, conditions in found.items():
        missed = missed_trials(section, headline, conditions, bool(norm))
        placed = tuple(
            Placed(section, headline, one, missed.get(one.condition), math.isfinite(known.get(one.condition, (0.0,))[0]))
            for one in trials(section, headline, conditions, shared=bool(norm))
        )
        made.append(Group(norm, tuple(conditions), placed, known))
    return tuple(made)
