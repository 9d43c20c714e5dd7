"""Features found on one model, replayed on every other."""

from __future__ import annotations

from medrobust.leaderboard.layout import Labelled, any_number, lines
from medrobust.leaderboard.measure import Measured, measure
from medrobust.leaderboard.recon_fnaf.rule import HIT, INTERVALS, RATE
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Table, Validity


def transfer(section: Section) -> list[Table]:
    """One line a source model, one column a target model; the diagonal is the attack on its own model."""
    columns = tuple(Column(str(model), "", "%", 100, 1) for model in section.models)
    replays: dict[tuple[str, str, Model, Model], str] = {}
    for record in section.records:
        source = section.by_digest.get(record.source) if record.source else None
        if source:
            replays[record.condition, source.attack, Model(source.target, source.defense), Model(record.target, record.defense)] = record.attack
    labelled: list[Labelled] = []
    for condition in section.conditions:
        for attack in section.attacks:
            for source_model in section.models:
                if any(key[:3] == (condition, attack, source_model) for key in replays):
                    row = [_one(section, condition, attack, source_model, model, replays) for model in section.models]
                    labelled.append(((condition, attack, *source_model), row))
    found = lines(labelled, columns, 2)
    if not any_number(found):
        return []
    caption = (
        f"Features found on the model of the line, replayed with their place and sampling mask on the model of the column: share of cases "
        f"with a loss of at least {HIT:g} σ². Where both are one model it is the attack itself. {INTERVALS}"
    )
    heads = ("condition", "attack", "found on", "its defense")
    return [Table("transfer", "Transfer", caption, section.data_label, heads, columns, found, 2)]


def _one(section: Section, condition: str, attack: str, source: Model, model: Model, replays: dict[tuple[str, str, Model, Model], str]) -> Measured:
    if source == model:
        return measure(section, model, attack, condition, RATE)
    name = replays.get((condition, attack, source, model))
    if name is None:
        return Measured(Entry(note="not run", validity=Validity("missing", ("not in the plan",))))
    return measure(section, model, name, condition, RATE)
