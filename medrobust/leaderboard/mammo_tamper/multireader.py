"""All machine readers together: their mean areas on originals and on tampered images, readers and cases taken as drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medrobust.leaderboard.mammo_tamper.areas import absent, noted, one_class, without_width
from medrobust.leaderboard.mammo_tamper.once import once
from medrobust.leaderboard.mammo_tamper.readings import Readings, readers, readings, shared, together
from medrobust.leaderboard.measure import entry, flagged
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Entry, Validity, worst
from medrobust.stats import Effect, Interval, obuchowski_rockette


@dataclass(frozen=True)
class Together:
    """Mean areas over readers, their difference, originals less modified, and its p."""

    originals: Entry
    modified: Entry
    difference: Entry
    p: Entry


@once
def all_readers(section: Section, attack: str, condition: str) -> Together | None:
    """By Obuchowski and Rockette, of undefended readers; one whose cells are missing or invalid is left out and said to be. None below two."""
    plain = [model for model in readers(section) if model.defense == "none" and section.cells(model, attack, condition)]
    read = {model: (readings(section, model, "none", condition), readings(section, model, attack, condition)) for model in plain}
    able = {model: pair for model, pair in read.items() if usable(pair)}
    if len(able) < 2:
        return None
    out = [str(model) for model in plain if model not in able]
    return _mean(able, f"mean without {', '.join(out)}, which cannot be used" if out else "")


def usable(pair: tuple[Readings, Readings]) -> bool:
    """Whether both can be read, can be believed, and have images of both kinds in common."""
    cases = shared(*pair)
    return together(*pair).level not in ("missing", "invalid") and len(cases) > 0 and not one_class(pair[0].among(cases))


def _mean(able: dict[Model, tuple[Readings, Readings]], left_out: str) -> Together:
    rows = [
        (form, str(model), sample)
        for index, form in enumerate(("originals", "modified"))
        for model, pair in able.items()
        for sample in [pair[index].among(shared(*pair))]
    ]
    columns = [np.concatenate([getattr(sample, name) for _, _, sample in rows]) for name in ("scores", "positive", "cases", "patients")]
    forms, names = (np.repeat([row[which] for row in rows], [len(row[2].cases) for row in rows]) for which in (0, 1))
    found = obuchowski_rockette(columns[0], columns[1], forms, names, columns[2], columns[3])
    owed = max(one.owed for pair in able.values() for one in pair)
    validity = worst([together(*pair) for pair in able.values()])

    uneven = "" if len({tuple(sample.cases.tolist()) for *_, sample in rows}) == 1 else "readers have not all read the same images"

    def shown(one: Interval) -> Entry:
        kept = without_width(entry(one, owed, validity))
        if kept.estimate is None:
            return absent("no mean")
        kept = noted(noted(kept, uneven), "" if kept.low is not None else found.note)
        return flagged(kept, left_out) if left_out else kept

    (originals, modified), change = found.effects, found.differences[0]
    return Together(shown(originals.area), shown(modified.area), shown(change.area), _p(change, owed, validity))


def _p(change: Effect, owed: int, validity: Validity) -> Entry:
    counted = entry(Interval(change.p, np.nan, np.nan, change.area.patients, change.area.cases), owed, validity)
    return counted if counted.estimate is not None else absent("no test")
