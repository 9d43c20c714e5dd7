"""Everyone against everyone: what is told apart, and whose attacks carry over to whom."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.evidence import Record
from medrobust.leaderboard.measure import missing
from medrobust.leaderboard.overview.headlines import Headline
from medrobust.leaderboard.overview.intervals import entries
from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.standing import Matrix
from medrobust.leaderboard.overview.trials import Values
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Validity

MOST = 24
P = Column("p value", digits=4)
ALPHA = 0.05


def significance(placed: Placed, several: bool) -> Matrix | None:
    """p of every pair of ranked entrants, adjusted for all pairs; the first by rank where they are many."""
    ranking = placed.ranking
    if ranking is None:
        return None
    ranked = {entrant: place for place, entrant in enumerate(placed.comparison.ranked)}
    chosen = [entrant for entrant in placed.order if entrant in ranked][:MOST]
    names = tuple(str(placed.trials.entrants[entrant]) for entrant in chosen)
    p = ranking.tests.adjusted
    patients = len(np.unique(placed.trials.patients))
    cells = tuple(
        tuple(
            None if row == column else Entry(float(p[ranked[row], ranked[column]]), patients=patients, cases=placed.trials.size)
            for column in chosen
        )
        for row in chosen
    )
    where = f", {placed.trials.condition}" if several else ""
    part = f" The {MOST} of {len(ranked)} that stand highest." if len(ranked) > MOST else ""
    caption = (
        f"p value of the difference between two entrants' {placed.headline.column.name} in the worst case, in the order of their ranks: "
        f"{ranking.tests.method}. Below {ALPHA:g} the two are told apart.{part}"
    )
    return Matrix("significance", f"Who is told apart{where}", caption, names, names, cells, P, 0.0, 2 * ALPHA)


def transfers(section: Section, headline: Headline, conditions: tuple[str, ...]) -> tuple[Matrix, ...]:
    """One a condition and attack whose images were replayed; the diagonal is the attack on its own model."""
    replays: dict[tuple[str, str], dict[tuple[Model, Model], list[Record]]] = {}
    for record in section.records:
        source = section.by_digest.get(record.source) if record.source else None
        if source is not None and record.condition in conditions:
            pair = Model(source.target, source.defense), Model(record.target, record.defense)
            replays.setdefault((record.condition, source.attack), {}).setdefault(pair, []).append(record)
    if not replays:
        return ()
    several = len(conditions) > 1
    table = Values.of(headline.rows(section))
    found = [_transfer(section, headline, table, condition, attack, pairs, several) for (condition, attack), pairs in replays.items()]
    return tuple(one for one in found if any(entry is not None and entry.estimate is not None for row in one.cells for entry in row))


def _transfer(
    section: Section,
    headline: Headline,
    table: Values,
    condition: str,
    attack: str,
    pairs: dict[tuple[Model, Model], list[Record]],
    several: bool,
) -> Matrix:
    rows = tuple(dict.fromkeys(source for source, _ in pairs))[:MOST]
    judged = {model for _, model in pairs} | set(rows)
    columns = tuple(model for model in section.models if model in judged)[:MOST]
    cells = tuple(
        tuple(
            _entry(section, headline, table, section.cells(row, attack, condition) if row == column else pairs.get((row, column), []))
            for column in columns
        )
        for row in rows
    )
    known = [value for row in cells for entry in row for value in (entry.estimate,) if value is not None]
    low, high = (0.0, 1.0) if headline.column.shown == "%" else (min(known, default=0.0), max(known, default=1.0))
    where = f", {condition}" if several else ""
    caption = (
        f"Images that {attack} made on the model of the row, shown to the model of the column: its {headline.column.name}. On the diagonal the "
        f"attack on its own model. {'Low' if headline.better else 'High'} away from the diagonal: the attack carries over."
    )
    names = tuple(map(str, rows)), tuple(map(str, columns))
    return Matrix("transfer", f"Transfer of {attack}{where}", caption, *names, cells, headline.column, low, high)


def _entry(section: Section, headline: Headline, table: Values, records: list[Record]) -> Entry:
    validity = section.validity(records)
    codes = [table.cells[record.digest] for record in records if record.digest in table.cells]
    mine = np.isin(table.cell, codes)
    if validity.level == "missing" or not mine.any():
        return missing(validity if validity.level == "missing" else Validity("missing", ("not measured",)))
    values = table.value[mine][None]
    return entries(values, table.patient[mine].astype(str), [validity], values.shape[1], headline.rate)[0]
