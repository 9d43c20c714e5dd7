"""The entrants of one condition: numbers, tiers, what they cost, and how the condition's own ranking was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from medrobust.leaderboard.measure import flagged, missing
from medrobust.leaderboard.overview.comparing import Comparison, compare, state
from medrobust.leaderboard.overview.headlines import Headline, labelled
from medrobust.leaderboard.overview.intervals import entries
from medrobust.leaderboard.overview.standing import Standing
from medrobust.leaderboard.overview.trials import Trials, trials
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Entry, Validity, worst
from medrobust.leaderboard.text import number
from medrobust.stats.board import Board
from medrobust.stats.bootstrap import Floats
from medrobust.stats.ranking import Ranking, rank

COSTS = {"forward passes": "queries", "gradient passes": "gradients", "seconds": "seconds", "megabytes": "megabytes"}
UNATTACKED = Entry(note="not attacked", validity=Validity("missing", ("not attacked",)))


@dataclass(frozen=True, eq=False)
class Placed:
    """One condition.

    shown: whether its entrants stand on the page; a budget without a bound is a point of curves alone. missed: structures missed, likewise laid out.
    """

    section: Section
    headline: Headline
    trials: Trials
    missed: Trials | None = None
    shown: bool = True

    @cached_property
    def comparison(self) -> Comparison:
        return compare(self.trials, self.headline.attacked)

    @cached_property
    def worst(self) -> Floats:
        """The worst value of each case, clean and over the compared attacks, (entrants, n), NaN where one has none; without attacks the clean values.

        Of an entrant that is not ranked over those of them that it has, and where it has none, over its own.
        """
        return self.over([list(self._counted(entrant)) for entrant in range(len(self.trials.entrants))])

    def over(self, attacks: Sequence[Sequence[int]]) -> Floats:
        """The worst value of each case, clean and over these attacks of each entrant, (entrants, n); NaN of an entrant without any.

        Clean values count, where they are whole and to be believed: leaving an image alone is within every budget, and an attack that starts
        elsewhere may never ask for it.
        """
        values = self.trials.values
        groups: dict[tuple[int, ...], list[int]] = {}
        for entrant, own in enumerate(attacks):
            groups.setdefault((*((0,) if own and self.trials.sound[0, entrant] else ()), *own), []).append(entrant)
        found = np.full(values.shape[1:], np.nan)
        for own, alike in groups.items():
            if own:
                found[alike] = self.pick(values[np.ix_(own, alike)], axis=0)
        return found

    @property
    def pick(self) -> Callable[..., Floats]:
        """What takes the worst of several values."""
        return np.min if self.headline.better else np.max

    def _counted(self, entrant: int) -> tuple[int, ...]:
        """Compared attacks that have numbers to be believed, and where an entrant has none of them, its own."""
        if not self.headline.attacked:
            return (0,)
        return self._believed(entrant, self.comparison.attacks) or self.own(entrant)

    def own(self, entrant: int) -> tuple[int, ...]:
        """Every attack on this entrant that has numbers to be believed."""
        return self._believed(entrant, range(1, len(self.trials.attacks)))

    def _believed(self, entrant: int, attacks: Sequence[int]) -> tuple[int, ...]:
        levels = (self.trials.validity[attack][entrant].level for attack in attacks)
        held = self.trials.held
        return tuple(attack for attack, level in zip(attacks, levels, strict=True) if level not in {"missing", "invalid"} and held[attack, entrant])

    @cached_property
    def board(self) -> Board | None:
        """The worst case of everyone who is ranked; None where there is nobody to be compared with, or one patient alone."""
        ranked = list(self.comparison.ranked)
        if len(ranked) < 2 or len(np.unique(self.trials.patients)) < 2:
            return None
        return Board.of(self.worst[ranked], self.trials.patients, self.headline.better)

    @cached_property
    def ranking(self) -> Ranking | None:
        return rank(self.board) if self.board else None

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Entrants as they are shown: by rank, then those that are not ranked, as planned."""
        ranked = self.comparison.ranked
        if self.ranking is not None:
            ranks = self.ranking.ranks.tolist()
            ranked = tuple(entrant for _, entrant in sorted(zip(ranks, ranked, strict=True)))
        placed = set(ranked)
        return (*ranked, *(entrant for entrant in range(len(self.trials.entrants)) if entrant not in placed))

    @cached_property
    def by_attack(self) -> list[list[Entry]]:
        """Entries of every attack, clean images first, and entrant."""
        found = [self.entries(self.trials.values[attack], self.trials.validity[attack]) for attack in range(len(self.trials.attacks))]
        planned = self.trials.planned
        return [
            [one if planned[attack, entrant] else missing(Validity("missing", ("not in the plan",))) for entrant, one in enumerate(line)]
            for attack, line in enumerate(found)
        ]

    def entries(self, values: Floats, validity: Sequence[Validity]) -> list[Entry]:
        """Means of lines of values, (k, n), as the track takes them."""
        return entries(values, self.trials.patients, validity, self.trials.size, self.headline.rate)

    @cached_property
    def worst_entries(self) -> list[Entry]:
        """Worst cases, flagged where they are not what the others' are."""
        counted = [self._counted(entrant) for entrant in range(len(self.trials.entrants))]
        validity = [worst([self.trials.validity[attack][entrant] for attack in own]) for entrant, own in enumerate(counted)]
        found = self.entries(self.worst, validity)
        return [self._flagged(entrant, one, counted[entrant]) for entrant, one in enumerate(found)]

    def _flagged(self, entrant: int, found: Entry, counted: tuple[int, ...]) -> Entry:
        if not counted:
            tried = self.trials.planned[1:, entrant].any()
            return Entry(note="no valid attack", validity=Validity("missing", ("no valid attack",))) if tried else UNATTACKED
        compared = self.comparison.attacks
        for attack in compared:
            if attack not in counted:
                found = flagged(found, f"partial: worst case without {self.trials.attacks[attack]}, which {state(self.trials, attack, entrant)}")
        if compared and not set(counted) & set(compared):
            found = flagged(found, f"partial: worst case over {', '.join(self.trials.attacks[attack] for attack in counted)} alone")
        own = self.own_entries[entrant]
        if own is None or own.estimate is None:
            return found
        column = self.headline.column
        words = f"over all {len(self.own(entrant))} attacks made on it: {number(own.estimate, column)} {column.shown}".rstrip()
        level = "info" if found.validity.level == "ok" else found.validity.level
        return replace(found, validity=Validity(level, (*found.validity.reasons, words)))

    @cached_property
    def own_values(self) -> Floats:
        """The worst value of each case over every attack of an entrant, (entrants, n)."""
        return self.over([self.own(entrant) for entrant in range(len(self.trials.entrants))])

    @cached_property
    def own_entries(self) -> list[Entry | None]:
        """Worst cases over every attack of an entrant; None where they are the compared ones."""
        if not self.headline.attacked:
            return [None] * len(self.trials.entrants)
        own = [self.own(entrant) for entrant in range(len(self.trials.entrants))]
        further = [entrant for entrant, attacks in enumerate(own) if attacks and set(attacks) != set(self._counted(entrant))]
        validity = [worst([self.trials.validity[attack][entrant] for attack in own[entrant]]) for entrant in further]
        found = dict(zip(further, self.entries(self.own_values[further], validity), strict=True))
        return [found.get(entrant) for entrant in range(len(self.trials.entrants))]

    def standings(self) -> list[Standing]:
        """Everyone, in order."""
        patients = len(np.unique(self.trials.patients))
        places = {entrant: place for place, entrant in enumerate(self.comparison.ranked)}
        lacking = _missed(self)
        return [self._standing(entrant, places.get(entrant), lacking[entrant], patients) for entrant in self.order]

    def _standing(self, entrant: int, place: int | None, lacking: Entry | None, patients: int) -> Standing:
        model, ranking = self.trials.entrants[entrant], self.ranking if place is not None else None
        by_attack = tuple(line[entrant] for line in self.by_attack)
        own = self.worst_entries[entrant]
        reason = self.comparison.reasons.get(entrant)
        records = dict.fromkeys(record.digest for line in self.trials.records for record in line[entrant])
        found = Standing(
            target=model.target,
            defense=model.defense,
            condition=self.trials.condition,
            tier=None,
            low_rank=None,
            high_rank=None,
            best=None,
            clean=by_attack[0],
            worst=own if self.headline.attacked else UNATTACKED,
            by_attack=by_attack[1:],
            missed=lacking,
            patients=patients,
            cases=own.cases or by_attack[0].cases,
            validity=together(by_attack[0].validity, worst([own.validity, *([lacking.validity] if lacking else [])]), reason),
            cost=costs([self.section.by_digest[digest].cost for digest in records]),
            own=self.own_entries[entrant],
        )
        if place is None or ranking is None:
            return found
        low, high = int(ranking.low_rank[place]), int(ranking.high_rank[place])
        return replace(found, tier=int(ranking.tier[place]), low_rank=low, high_rank=high, best=_number(float(ranking.best[place])))


def together(clean: Validity, attacked: Validity, reason: Validity | None) -> Validity:
    """What is known of an entrant: of its clean images, its worst case, and why it is not ranked."""
    parts = [one for one in (reason, clean, attacked) if one is not None]
    found = worst(parts)
    if reason is not None and reason.level == "missing":
        return Validity(found.level, (*reason.reasons, *found.reasons))
    return found


def costs(known: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Totals of what every cell has recorded."""
    found = {name: [cost[key] for cost in known if key in cost] for key, name in COSTS.items()}
    return {name: sum(values) for name, values in found.items() if values and len(values) == len(known)}


def _missed(placed: Placed) -> list[Entry | None]:
    """Share of structures that are missed under any compared attack; of explainers, that they miss."""
    found = placed.missed
    if found is None:
        return [None] * len(placed.trials.entrants)
    names, counted = placed.trials.attacks, placed.comparison.attacks or ((0,) if not placed.headline.attacked else ())
    own = [index for index, attack in enumerate(found.attacks) if attack in {names[place] for place in counted}]
    place = {entrant: index for index, entrant in enumerate(found.entrants)}
    if not own:
        return [None] * len(placed.trials.entrants)
    values = found.values[own].max(axis=0)
    validity = [worst([found.validity[attack][entrant] for attack in own]) for entrant in range(len(found.entrants))]
    shares = entries(values, found.patients, validity, found.size, rate=True)
    kept = [one if one.estimate is not None else None for one in shares]
    return [kept[place[entrant]] if entrant in place else None for entrant in placed.trials.entrants]


def missed_trials(section: Section, headline: Headline, conditions: Sequence[str], shared: bool) -> dict[str, Trials]:
    """Structures missed, by condition; nothing where the track knows none."""
    if not headline.missed or not (section.rows["metric"] == headline.missed).any():
        return {}
    found = trials(section, replace(headline, rows=labelled(headline.missed)), conditions, shared)
    return {one.condition: one for one in found}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


