"""How a model fails: scores by attack and condition, structures missed, and the cases that lose most."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from medrobust.leaderboard.evidence import Record
from medrobust.leaderboard.measure import Quantity, measure
from medrobust.leaderboard.overview.headlines import Headline
from medrobust.leaderboard.overview.standing import Overview, Standing
from medrobust.leaderboard.overview.trials import place
from medrobust.leaderboard.report.content import Case
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Line, Table
from medrobust.leaderboard.text import number
from medrobust.store import MARKER

CLEAN, WORST, ALL = "clean images", "worst case", "worst case, every attack made on it"
MOST = 5
"""Cases in the table of worst cases."""
MISSED = re.compile(r"missed|lost")
INTERVALS = "95 % intervals in brackets, over patients."


def clean_scores(section: Section, model: Model) -> Table | None:
    """Every metric of its clean cells, a line each, a column a condition; None where there is no clean cell."""
    conditions = [condition for condition in section.conditions if section.cells(model, "none", condition)]
    cells = {record.digest for condition in conditions for record in section.cells(model, "none", condition)}
    pairs = section.rows[section.rows["cell"].isin(cells)][["metric", "label", "unit"]].drop_duplicates()
    named = sorted((str(metric), str(label), str(unit)) for metric, label, unit in pairs.itertuples(index=False))
    lines = tuple(
        Line((metric, label, unit), tuple(measure(section, model, "none", condition, Quantity(metric, label)).entry for condition in conditions))
        for metric, label, unit in named
        if metric != MARKER
    )
    columns = tuple(Column(condition, digits=4) for condition in conditions)
    caption = f"Mean over cases of every metric, without an attack. {INTERVALS}"
    return Table("clean", "Clean scores", caption, section.data_label, ("metric", "label", "unit"), columns, lines, group=0) if lines else None


def by_attack(overview: Overview, standings: Sequence[Standing], records: Sequence[Record]) -> Table:
    """The headline: clean, every attack made on the model, the worst case; a column a condition."""
    column = overview.headline
    columns = tuple(replace(column, name=one.condition) for one in standings)
    made = [i for i in range(len(overview.attacks)) if any(one.by_attack[i].note != "not run" for one in standings)]
    shown = [(overview.attacks[i], [one.by_attack[i] for one in standings]) for i in made]
    last = [(WORST, [one.worst for one in standings])] if overview.attacks else []
    if any(one.own is not None for one in standings):
        last.append((ALL, [one.own or one.worst for one in standings]))
    threats = {record.attack: record.threat for record in records}
    known = any(threats.values())
    lines = tuple(
        Line((name, *([threats.get(name, "")] if known else [])), tuple(replace(entry, best=False) for entry in entries))
        for name, entries in [(CLEAN, [one.clean for one in standings]), *shown, *last]
    )
    compared = "; ".join(f"{condition}: {', '.join(names)}" for condition, names in overview.compared if names)
    over = f" Worst case: of each case the worst under the attacks that every entrant was put through ({compared})." if compared else ""
    caption = f"{column.name} of this model by attack, a column a condition.{over} {INTERVALS}"
    name = "attacks" + (f"-{overview.group}" if overview.group else "")
    title = f"{column.name[:1].upper()}{column.name[1:]} under attack"
    return Table(name, title, caption, overview.data_label, ("attack", "threat") if known else ("attack",), columns, lines, group=0)


def missed_structures(section: Section, model: Model) -> Table | None:
    """Share of cases in which a structure is missed altogether, by attack; None where no metric says so."""
    names = [name for name in dict.fromkeys(map(str, section.rows["metric"])) if MISSED.search(name)]
    pairs = [(name, label) for name in names for label in section.labels(name)]
    attacks = dict.fromkeys(record.attack for record in section.records)
    columns = tuple(Column(f"{name} {label}".strip(), "", "%", 100, 1, better=False) for name, label in pairs)
    lines = tuple(
        Line(
            (condition, "clean" if attack == "none" else attack),
            tuple(measure(section, model, attack, condition, Quantity(name, label)).entry for name, label in pairs),
        )
        for condition in section.conditions
        for attack in attacks
        if section.cells(model, attack, condition)
    )
    lines = tuple(line for line in lines if any(entry.estimate is not None for entry in line.entries))
    if not lines:
        return None
    caption = f"Share of cases that hold a structure in which the model finds nothing of it. {INTERVALS}"
    return Table("missed", "Structures missed altogether", caption, section.data_label, ("condition", "attack"), columns, lines)


def worst_cases(section: Section, model: Model, headline: Headline) -> tuple[Case, ...]:
    """The cases that lose most of the headline, a line each, under the attack or replay that takes most.

    Of equal losses those that more attacks bring about, then more replays. What stands for clean images is the headline's to say.
    """
    rows = headline.rows(section)
    believed = [r for r in section.records if (r.target, r.defense) == model and r.measured and r.level != "invalid" and not r.explains]
    values = {cell: group.groupby("case")["value"].mean().to_dict() for cell, group in rows.groupby("cell")}
    patients = dict(zip(rows["case"], rows["patient"], strict=True))
    placed = [(record, place(record, section, headline)) for record in believed]
    worst: dict[str, tuple[tuple[float, int, int], Case]] = {}
    for clean in (record for record, where in placed if where and not where.attack):
        near = [(record, where) for record, where in placed if (record.condition, record.seed) == (clean.condition, clean.seed)]
        attacks = {record.attack: values.get(record.digest, {}) for record, where in near if where and where.attack}
        replays = {record.attack: values.get(record.digest, {}) for record, _ in near if record.source is not None}
        for case, before in ((str(name), value) for name, value in values.get(clean.digest, {}).items()):
            after, again = ({name: held[case] for name, held in made.items() if case in held} for made in (attacks, replays))
            if after or again:
                found = _loss(headline, (case, str(patients[case]), clean.condition), before, after, again)
                worst[case] = max(worst.get(case, found), found, key=lambda one: one[0])
    most = sorted(worst.values(), key=lambda one: (*(-size for size in one[0]), one[1].case))
    return tuple(case for (loss, _, _), case in most[:MOST] if loss > 0)


def _loss(
    headline: Headline, names: tuple[str, str, str], before: float, attacks: Mapping[str, float], replays: Mapping[str, float]
) -> tuple[tuple[float, int, int], Case]:
    """How much is lost, to how many attacks and to how many replays; and the case."""
    sign = 1.0 if headline.better else -1.0
    after = {**attacks, **replays}
    hardest = min(after, key=lambda name: sign * after[name])
    loss = sign * (before - after[hardest])
    alike, again = (sum(sign * (before - value) >= loss for value in made.values()) for made in (attacks, replays))
    by = f"{alike} of {len(attacks)}" + (f", {again} of {len(replays)} replays" if replays else "")
    return (loss, alike, again), Case(*names, hardest, _value(before, headline), _value(after[hardest], headline), by if headline.rate else "")


def _value(value: float, headline: Headline) -> str:
    """A rate's one case is yes or no."""
    if headline.each:
        return "yes" if value else "no"
    return f"{number(value, headline.column)} {headline.column.shown}".rstrip()
