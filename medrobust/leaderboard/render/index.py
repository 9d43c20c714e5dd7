"""One page over all leaderboards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medrobust.leaderboard.asked import THREATS
from medrobust.leaderboard.overview.standing import Overview
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.render.answer import why_unranked
from medrobust.leaderboard.render.html import document
from medrobust.leaderboard.tables import Column
from medrobust.leaderboard.text import whole

MOST = 3
"""How many conditions, and how many names of a first tier, the index lists; their page has all."""


@dataclass(frozen=True)
class Leader:
    """Who stands first under one condition. names: all of the first tier. numbers: their worst cases, or what nobody attacks, with intervals."""

    condition: str
    names: tuple[str, ...]
    headline: Column
    numbers: tuple[str, ...]


@dataclass(frozen=True)
class IndexEntry:
    """One data set of one leaderboard. title: of the folder. address: of the page, relative to the index. why: nobody leads, where nobody does."""

    title: str
    address: str
    track: str
    data_label: str
    patients: int
    cases: int
    entrants: int
    leaders: tuple[Leader, ...]
    why: str = ""


def index_entries(title: str, address: str, page: Page) -> tuple[IndexEntry, ...]:
    """What the index says of a page: one entry an overview, and one a data set that has none."""
    seen = {(one.track, one.data_label) for one in page.overviews}
    entries = [_of_overview(title, f"{address}#o{i}", one) for i, one in enumerate(page.overviews, 1)]
    bare = [chapter for chapter in page.chapters if (chapter.track, chapter.data_label) not in seen]
    return (*entries, *(IndexEntry(title, address, one.track, one.data_label, one.patients, one.cases, 0, ()) for one in bare))


def index_text(entries: Sequence[IndexEntry]) -> str:
    """The index as one html file without a script, grouped by track in the order given."""
    tracks = tuple((track, tuple(entry for entry in entries if entry.track == track)) for track in dict.fromkeys(entry.track for entry in entries))
    return document("index.html.j2", tracks=tracks, MOST=MOST, threats=THREATS)


def _of_overview(title: str, address: str, one: Overview) -> IndexEntry:
    entrants = len({(standing.target, standing.defense) for standing in one.standings})
    conditions = dict.fromkeys(standing.condition for standing in one.standings)
    leaders = tuple(leader for condition in conditions if (leader := _leader(one, condition)) is not None)
    return IndexEntry(title, address, one.track, one.data_label, one.patients, one.cases, entrants, leaders, "" if leaders else why_unranked(one))


def _leader(one: Overview, condition: str) -> Leader | None:
    first = [standing for standing in one.standings if standing.condition == condition and standing.tier == 1]
    if not first:
        return None
    numbers = [standing.worst if one.attacks else standing.clean for standing in first]
    return Leader(condition, tuple(standing.name for standing in first), one.headline, tuple(whole(entry, one.headline) for entry in numbers))
