"""A report from evidence: the leaderboard's own numbers, cut to one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from medrobust.errors import SpecError
from medrobust.leaderboard import shipped
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.overview.as_table import as_table
from medrobust.leaderboard.overview.headlines import HEADLINES
from medrobust.leaderboard.overview.standing import Curves, Overview
from medrobust.leaderboard.page import Chapter, Page, page
from medrobust.leaderboard.report.belief import doubts, place, short, sure
from medrobust.leaderboard.report.content import Part, Report
from medrobust.leaderboard.report.harm import by_attack, clean_scores, missed_structures, worst_cases
from medrobust.leaderboard.report.identity import card_lines, figures, note
from medrobust.leaderboard.report.untested import gaps
from medrobust.leaderboard.section import Model, Section, sections
from medrobust.leaderboard.tables import Line, Table
from medrobust.registry import near

HEADS = ("target", "reader", "detector", "model")
"""Label columns that name a model."""
CLEAN = "clean"
"""The table of clean scores, where a track has one."""


def chosen(evidence: Evidence, target: str, defense: str = "") -> Model:
    """The model asked for: a target with its defense, by `defense` or as one name such as `recon-unet + fnaf-robust`.

    Raises SpecError with near names where there is none.
    """
    known = list(dict.fromkeys(Model(record.target, record.defense) for record in evidence.records))
    named = [model for model in known if str(model) == target and defense in ("", model.defense)]
    alike = [model for model in known if model.target == target and defense in ("", model.defense)]
    found = named or alike
    if len(found) == 1:
        return found[0]
    if not found:
        what = f"target '{target}'" + (f" with defense '{defense}'" if defense else "")
        names = [model.defense for model in known if model.target == target]
        hint = near(defense, names) if defense and names else near(target, list(dict.fromkeys([*(m.target for m in known), *map(str, known)])))
        msg = f"report: no {what} in {evidence.suite}; {hint}"
        raise SpecError(msg)
    msg = f"report: {target} has the defenses {', '.join(model.defense for model in found)}, expected --defense to name one"
    raise SpecError(msg)


def report(evidence: Evidence, model: Model, digests: Mapping[Model, str] | None = None) -> Report:
    """Everything known of one model.

    digests: of the targets that were measured, where that is known; a card with another one is not this model's.
    """
    whole, cards = page(evidence), shipped.cards()
    digest = (digests or {}).get(model)
    card = cards.get(model)
    if card is not None and digest not in (None, card.digest):
        card = None
    own = [record for record in evidence.records if (record.target, record.defense) == model]
    found = [section for section in sections(evidence) if model in section.models]
    return Report(
        suite=evidence.suite,
        model=model,
        card=card_lines(card),
        card_note=note(card, digest),
        figures=figures(card),
        parts=tuple(_part(section, model, whole, evidence.suite) for section in found),
        attacks=tuple(dict.fromkeys((record.attack, record.config) for record in own if record.config and record.source is None)),
        environments=tuple(dict(items) for items in dict.fromkeys(tuple(record.environment.items()) for record in own if record.environment)),
        digests=tuple((record.digest, f"{record.data_label}, {place(record)}") for record in own),
    )


def _part(section: Section, model: Model, whole: Page, suite: str) -> Part:
    """One data set."""
    own = [record for record in section.records if (record.target, record.defense) == model]
    overviews = [one for one in whole.overviews if (one.track, one.data, one.data_label) == (section.track, section.data, section.data_label)]
    mine = {id(one): [s for s in one.standings if (s.target, s.defense) == model] for one in overviews}
    standings = [standing for one in overviews for standing in mine[id(one)]]
    headline = HEADLINES.get(section.track)
    chapter = chapter_of(whole, section)
    alone = len(section.models) == 1
    tables = {one.name: table for one in chapter.tables if (table := cut(one, model, alone)) is not None}
    clean = tables.pop(CLEAN, None)
    return Part(
        track=section.track,
        data=section.data,
        split=section.split,
        data_label=section.data_label,
        patients=chapter.patients,
        cases=chapter.cases,
        conditions=tuple(dict.fromkeys(record.condition for record in own)),
        short=short(overviews, standings, own),
        clean=clean or clean_scores(section, model),
        attacks=tuple(by_attack(one, mine[id(one)], own) if mine[id(one)] else as_table(one) for one in overviews if mine[id(one)] or alone),
        curves=_curves(overviews, model),
        missed=missed_structures(section, model),
        headline=(headline.each or headline.column.name) if headline else "",
        worst=worst_cases(section, model, headline) if headline and headline.attacked else (),
        shown=tuple(one for overview in overviews for one in overview.shown if alone or (one.target, one.defense) == model),
        tables=tuple(tables.values()),
        sure=sure(section, model, overviews, standings),
        method=tuple(dict.fromkeys(one.method for one in overviews if one.method)),
        doubts=doubts(overviews, model, own),
        gaps=gaps(section, model, suite, shipped.specs(section.track)),
    )


def chapter_of(whole: Page, section: Section) -> Chapter:
    """The leaderboard's chapter on a data set."""
    place = (section.track, section.data, section.data_label, section.split)
    return next(one for one in whole.chapters if (one.track, one.data, one.data_label, one.split) == place)


def _curves(overviews: Sequence[Overview], model: Model) -> tuple[Curves, ...]:
    """Security curves of this model alone."""
    own = [replace(one, curves=tuple(c for c in one.curves if c.name == str(model))) for overview in overviews for one in overview.curves]
    return tuple(one for one in own if one.curves)


def cut(table: Table, model: Model, alone: bool) -> Table | None:
    """The lines of a leaderboard's table that are about the model; None where there are none, and of a paper's tables and of folded detail.

    alone: the data set has no other model, so that a table which names none is about this one.
    """
    if table.fold or table.name.startswith("paper-"):
        return None
    named = [index for index, head in enumerate(table.heads) if head in HEADS]
    if not named:
        return table if alone else None
    lines = tuple(line for line in table.lines if any(_is(table, line, index, model) for index in named))
    return slim(replace(table, lines=lines), named) if lines else None


def slim(table: Table, named: Sequence[int]) -> Table:
    """Without the label columns that say the same of every line: whose report it is, and its one condition."""
    about = {*named, *(i for i, head in enumerate(table.heads) if head in ("condition", "defense"))}
    gone = [i for i in about if len({line.labels[i] for line in table.lines}) == 1]
    kept = [i for i in range(len(table.heads)) if i not in gone]
    if not kept:
        kept = [0]
    lines = tuple(replace(line, labels=tuple(line.labels[i] for i in kept)) for line in table.lines)
    return replace(table, heads=tuple(table.heads[i] for i in kept), lines=lines, group=sum(i < table.group for i in kept))


def _is(table: Table, line: Line, index: int, model: Model) -> bool:
    """Whether a label names the model, its defense beside it or in the same words."""
    if "defense" in table.heads and table.heads[index] == "target":
        return (line.labels[index], line.labels[table.heads.index("defense")]) == tuple(model)
    return line.labels[index] == str(model)
