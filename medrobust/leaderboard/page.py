"""Everything a leaderboard shows, as data: what `build` renders into files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medrobust.leaderboard import generic, mammo_tamper, norm_bounded, recon_fnaf, roi, seg_deform, shipped
from medrobust.leaderboard.evidence import Evidence, Record
from medrobust.leaderboard.glossary import Glossary, glossary
from medrobust.leaderboard.overview.build import of_sections
from medrobust.leaderboard.overview.standing import Overview
from medrobust.leaderboard.paper import tables as paper_tables
from medrobust.leaderboard.report.identity import card_lines
from medrobust.leaderboard.section import Model, Section, sections
from medrobust.leaderboard.tables import Figure, Table

Part = Callable[[Section], "list[Table] | list[Table | Figure]"]
TRACKS: dict[str, tuple[Part, ...]] = {
    "cls-linf": norm_bounded.CLASSIFICATION,
    "mammo-tamper": mammo_tamper.PARTS,
    "recon-fnaf": recon_fnaf.PARTS,
    "recon-l2": norm_bounded.RECONSTRUCTION,
    "roi": roi.PARTS,
    "seg-deform": seg_deform.PARTS,
    "seg-linf": norm_bounded.SEGMENTATION,
}
PAPERS = {"mammo-tamper": "mammo", "recon-fnaf": "fnaf", "roi": "roi", "seg-deform": "seg"}


@dataclass(frozen=True)
class Chapter:
    """All tables and figures of one data set, in order."""

    track: str
    data: str
    split: str
    data_label: str
    patients: int
    cases: int
    parts: tuple[Table | Figure, ...]

    @property
    def tables(self) -> tuple[Table, ...]:
        return tuple(part for part in self.parts if isinstance(part, Table))


@dataclass(frozen=True)
class Missing:
    """A cell without numbers, and why."""

    name: str
    status: str
    reason: str


@dataclass(frozen=True)
class Page:
    """A whole leaderboard.

    missing: cells that are not done. invalid: cells that are, and are not to be believed.
    total: how many cells were planned.
    attacks: name and configuration of every attack. environments: what the numbers were made with, one mapping a machine.
    digests: cells and what they are. overviews: each data set at a glance, shown first.
    title: what the suite calls itself, empty where no shipped spec has its name. words: what the page's words mean.
    models: of each entrant that ships, what its card says. index, rows: addresses, relative to the page, of the page over all leaderboards and of the
    rows, where they lie beside it; else empty.
    """

    suite: str
    chapters: tuple[Chapter, ...]
    total: int
    missing: tuple[Missing, ...]
    invalid: tuple[Missing, ...]
    attacks: tuple[tuple[str, str], ...]
    environments: tuple[tuple[tuple[str, str], ...], ...]
    digests: tuple[tuple[str, str], ...]
    overviews: tuple[Overview, ...] = ()
    title: str = ""
    words: Glossary = ()
    models: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    index: str = ""
    rows: str = ""


def page(evidence: Evidence) -> Page:
    """The leaderboard of all evidence; a track without tables of its own gets the mean of every metric."""
    found = sections(evidence)
    return _page(evidence, [_chapter(section, _parts(section)) for section in found], of_sections(found, evidence.verdicts))


def paper_page(paper: str, evidence: Evidence) -> Page:
    """A paper's tables alone, beside every data set of the evidence; cells that are not there are said not to have been run."""
    return _page(evidence, [_chapter(section, paper_tables(paper, section)) for section in sections(evidence)])


def _page(evidence: Evidence, chapters: Sequence[Chapter], overviews: tuple[Overview, ...] = ()) -> Page:
    records = evidence.records
    return Page(
        suite=evidence.suite,
        chapters=tuple(chapters),
        total=len(records),
        missing=tuple(Missing(_name(r), r.status, r.error) for r in records if not r.measured),
        invalid=tuple(Missing(_name(r), r.level, "; ".join(r.reasons)) for r in records if r.measured and r.level == "invalid"),
        attacks=tuple(dict.fromkeys((r.attack, r.config) for r in records if r.config and r.source is None)),
        environments=tuple(dict.fromkeys(tuple(r.environment.items()) for r in records if r.environment)),
        digests=tuple((record.digest, _name(record)) for record in records),
        overviews=overviews,
        title=_title(evidence),
        words=glossary(records),
        models=_models(evidence),
    )


def _title(evidence: Evidence) -> str:
    """The titles of the shipped specs whose suites these are; none where one of them is a stranger's."""
    known = {name: title for track in dict.fromkeys(record.track for record in evidence.records) for name, title in shipped.specs(track).items()}
    titles = [known.get(part.partition("@")[0].strip(), "") for part in evidence.suite.split(" + ")]
    return "; ".join(dict.fromkeys(titles)) if all(titles) else ""


def _models(evidence: Evidence) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Cards of the shipped models that bear these names, in the order of the plan."""
    cards = shipped.cards()
    models = dict.fromkeys(Model(record.target, record.defense) for record in evidence.records)
    return tuple((str(model), card_lines(cards[model])) for model in models if model in cards)


def _parts(section: Section) -> list[Table | Figure]:
    parts: list[Table | Figure] = [part for build in TRACKS.get(section.track, (generic.means,)) for part in build(section)]
    if section.track in PAPERS:
        beside = paper_tables(PAPERS[section.track], section)
        parts += [table for table in beside if any(entry.cases for line in table.lines for entry in line.entries)]
    return parts


def _chapter(section: Section, parts: Sequence[Table | Figure]) -> Chapter:
    cases = max((record.cases for record in section.records), default=0)
    return Chapter(section.track, section.data, section.split, section.data_label, section.rows["patient"].nunique(), cases, tuple(parts))


def _name(record: Record) -> str:
    defense = "" if record.defense == "none" else f" + {record.defense}"
    return f"{record.condition} {record.target}{defense}, {record.attack if record.attack != 'none' else 'clean'}"
