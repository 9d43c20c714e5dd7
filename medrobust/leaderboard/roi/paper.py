"""The tables of Rajapaksa and Khalvati 2022 (both papers), each number beside ours, with the data that each was measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medrobust.leaderboard.measure import Quantity, measure
from medrobust.leaderboard.printed import ABOUT, QUIET, both, interleaved, numbers
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Line, Table

BEST = Quantity("dice-grouping")
NONE = Entry(note="not printed", validity=QUIET)


def roi(section: Section) -> list[Table]:
    """Best grouping and ranks by method, cumulative ranks, and the grid of sequence, perturbation and superpixels."""
    printed = numbers("roi")
    data = f"paper: {printed['measured_on']}; ours: {section.data_label}"
    return [_methods(section, printed, data), _cumulative(section, printed, data), _grid(section, printed, data)]


def _methods(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    names = ("best grouping", "rank 1", "rank 2", "rank 3")
    quantities = [BEST, *(Quantity("dice-rank", rank) for rank in "123")]
    lines = []
    for condition in _plain(section, printed):
        for method, values in printed["methods"].items():
            known = [values["best"], *values.get("ranks", [None] * 3)]
            ours = _ours(section, printed, method, condition, quantities)
            lines.append(Line((condition, method), interleaved([_paper(one) for one in known], ours)))
    caption = f"Dice at best grouping (an oracle) and of ranks 1 to 3 alone (no truth used), mean over volumes. {ABOUT}"
    columns = both(*(Column(name, digits=2) for name in names))
    return Table("paper-methods", "Beside the papers: methods", caption, data, ("condition", "method"), columns, tuple(lines))


def _cumulative(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    quantities = [Quantity("dice-cumulative", rank) for rank in "12345"]
    lines = []
    for condition in _plain(section, printed):
        for method, values in printed["cumulative"].items():
            ours = _ours(section, printed, method, condition, quantities)
            lines.append(Line((condition, method), interleaved([_paper(one) for one in values], ours)))
    columns = both(*(Column("1" if rank == "1" else f"1 to {rank}", digits=2) for rank in "12345"))
    caption = f"Dice of the highest ranks together, no truth used. {ABOUT}"
    return Table("paper-cumulative", "Beside the papers: cumulative ranks", caption, data, ("condition", "method"), columns, tuple(lines))


def _grid(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    lines = []
    for sequence, kinds in printed["grid"].items():
        for kind, values in kinds.items():
            conditions = [f"{sequence} {segments}" for segments in printed["segments"]]
            ours = [_ours(section, printed, kind, condition, [BEST])[0] for condition in conditions]
            lines.append(Line((sequence, kind), interleaved([_paper(one) for one in values], ours)))
    columns = both(*(Column(f"n = {segments}", digits=2) for segments in printed["segments"]))
    caption = f"Dice at best grouping (an oracle) by sequence cut into superpixels, perturbation, and number of superpixels asked for. {ABOUT}"
    return Table("paper-grid", "Beside the papers: superpixels", caption, data, ("sequence", "perturbation"), columns, tuple(lines))


def _plain(section: Section, printed: Mapping[str, Any]) -> list[str]:
    """Conditions of the section that are no square of the grid; the grid's own where there is nothing else."""
    grid = {f"{sequence} {segments}" for sequence in printed["grid"] for segments in printed["segments"]}
    return [condition for condition in section.conditions if condition not in grid] or ["T2w 100"]


def _paper(value: float | None) -> Entry:
    return NONE if value is None else Entry(value, validity=QUIET)


def _ours(section: Section, printed: Mapping[str, Any], method: str, condition: str, quantities: Sequence[Quantity]) -> list[Entry]:
    """Of the first model that was explained; the method's first explainer that the section has."""
    known = printed["explainers"][method]
    explainer = next((one for one in known if one in section.explainers), known[0])
    model = next((one for one in section.models if section.cells(one, explainer, condition)), None)
    if model is None:
        return [Entry(note="not run") for _ in quantities]
    entries = [measure(section, model, explainer, condition, quantity).entry for quantity in quantities]
    return [Entry(note=UNMEASURED) if entry.note == UNMEASURED else entry for entry in entries]
