"""The tables of a paper, each number beside ours, with the data that each was measured on."""

from __future__ import annotations

from collections.abc import Callable

from medrobust.errors import SpecError
from medrobust.leaderboard.mammo_tamper.paper import mammo
from medrobust.leaderboard.recon_fnaf.paper import fnaf
from medrobust.leaderboard.roi.paper import roi
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.seg_deform.paper import seg
from medrobust.leaderboard.tables import Table
from medrobust.registry import near

PAPERS: dict[str, Callable[[Section], list[Table]]] = {"fnaf": fnaf, "mammo": mammo, "roi": roi, "seg": seg}


def tables(paper: str, section: Section) -> list[Table]:
    """Every table of a paper beside what a section holds. Raises SpecError for a paper that is not known."""
    if paper not in PAPERS:
        msg = f"paper: no '{paper}'; {near(paper, list(PAPERS))}"
        raise SpecError(msg)
    return PAPERS[paper](section)
