"""How far images were really changed, measured anew from what each attack returned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.norm_bounded.rule import ATTACK_HEADS
from medrobust.leaderboard.overview.headlines import HEADLINES, of
from medrobust.leaderboard.overview.intervals import entries
from medrobust.leaderboard.overview.trials import Trials, trials
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Line, Table, Validity

LINF, L2, SSIM, WITHIN = "change-linf", "change-l2", "image-ssim", "within-budget"
WORDS = {LINF: "L-infinity", L2: "L2"}
NONE = Entry(note=UNMEASURED, validity=Validity("missing", (UNMEASURED,)))


def norms(section: Section) -> list[Table]:
    """One line a budget, model and attack: the largest and the mean change in either norm, likeness to the clean image, and budgets kept."""
    units = dict(section.rows[["metric", "unit"]].drop_duplicates().itertuples(index=False, name=None))
    known = [name for name in (LINF, L2) if name in units]
    columns = [Column(f"{what} {WORDS[name]}", units[name], units[name], digits=5) for name in known for what in ("largest", "mean")]
    columns += [Column("image SSIM", digits=4)] * (SSIM in units) + [Column("within budget", "", "%", 100, 1)] * (WITHIN in units)
    if not known:
        return []
    tables = {name: _trials(section, name) for name in (*known, SSIM, WITHIN) if name in units}
    lines = []
    for condition, found in tables[known[0]].items():
        for at, attack in enumerate(found.attacks):
            for model in found.entrants if attack else ():
                if found.records[at][found.entrants.index(model)]:
                    cells = [_cell(tables, name, condition, attack, model) for name in tables]
                    flat = [entry for name, pair in zip(tables, cells, strict=True) for entry in (pair if name in known else pair[1:])]
                    lines.append(Line((condition, *model, attack), tuple(flat)))
    if not any_number(lines):
        return []
    caption = (
        "What was really changed, measured anew in float64 between the clean image and what the attack returned, over all channels and pixels, in "
        "the data's own units; largest: over all cases. Image SSIM: of the attacked image and the clean one, mean over cases. Within budget: share "
        "of cases."
    )
    table = Table("norms", "How far images were changed", caption, section.data_label, ATTACK_HEADS, tuple(columns), tuple(lines), 3, fold=True)
    return [table]


def _trials(section: Section, metric: str) -> dict[str, Trials]:
    rule = replace(HEADLINES[section.track], rows=of(metric), rate=metric == WITHIN)
    return {one.condition: one for one in trials(section, rule, section.conditions)}


def _cell(tables: dict[str, dict[str, Trials]], name: str, condition: str, attack: str, model: Model) -> Sequence[Entry]:
    """(largest, mean) of one cell."""
    found = tables[name].get(condition)
    if found is None or attack not in found.attacks or model not in found.entrants:
        return NONE, NONE
    at, entrant = found.attacks.index(attack), found.entrants.index(model)
    values = found.values[at, entrant]
    (mean,) = entries(values[None], found.patients, [found.validity[at][entrant]], 0, rate=name == WITHIN)
    if mean.estimate is None:
        return mean, mean
    return replace(mean, estimate=float(np.nanmax(values)), low=None, high=None), mean


