"""Slices under attack: clean slice, truth and answer; attacked slice, displacement, shading and answer.

Source: the layout of Chen et al. 2019, figure 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medrobust.imaging.window import STRIDE, WINDOW
from medrobust.leaderboard.figures import COLOURS, drawing_style, panel_grid, png_bytes, svg_text
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.seg_deform.rule import ORDERS, attacked, organs
from medrobust.leaderboard.tables import Figure, Table
from medrobust.leaderboard.text import visible

CLEAN = ("image", "truth", "before")
CHANGED = ("attacked", "field", "shading", "after")
HEADS = {
    "image": "I₀\nclean slice",
    "truth": "truth",
    "before": "S₀\nanswer",
    "attacked": "I_DV\nattacked",
    "field": "D\ndisplacement",
    "shading": "V\nshading",
    "after": "S_DV\nanswer",
}
TYPICAL = ("xi=2.0", "xi=2")
"""The attack whose slices are shown where there are several: the strength at which the paper takes D and V apart."""

LINES = 8
"""Pixels from line to line of the grid that is warped."""

Arrays = Mapping[str, np.ndarray]


def panels(section: Section) -> list[Table | Figure]:
    """A figure a condition and model of which pictures were kept, and one of every attack on one slice of the plain model."""
    figures: list[Table | Figure] = []
    for condition in section.conditions:
        for model in section.models:
            kept = {name: section.pictures_of(model, name, condition) for name in attacked(section)}
            slices = {name: {case: picture.arrays for case, picture in of.items() if "after" in picture.arrays} for name, of in kept.items()}
            slices = {name: of for name, of in slices.items() if of}
            if slices:
                figures.append(_of_one_attack(section, f"{model}, {condition}", slices, len(figures) + 1))
            if len(slices) > 1 and model.defense == "none":
                figures.append(_of_all_attacks(section, f"{model}, {condition}", slices, len(figures) + 1))
    return figures


def typical(slices: Mapping[str, Mapping[str, Arrays]]) -> str:
    """The attack to show: the paper's if it is there, else the first that moves anything, else the first."""
    moving = [name for name, of in slices.items() if any("field" in arrays for arrays in of.values())]
    return next(name for name in (*TYPICAL, *moving, *slices) if name in slices)


def _of_one_attack(section: Section, place: str, slices: Mapping[str, Mapping[str, Arrays]], number: int) -> Figure:
    name = typical(slices)
    words = (
        f"{place}, attack {name}: of each of the first {len(slices[name])} subjects of the split the slice that shows most of the organs. "
        f"{_how(section)}"
    )
    return _figure(section, f"panels-{number}", "Slices under attack", words, slices[name], (*CLEAN, *CHANGED))


def _of_all_attacks(section: Section, place: str, slices: Mapping[str, Mapping[str, Arrays]], number: int) -> Figure:
    case = next(iter(slices[typical(slices)]))
    rows = {name: of[case] for name, of in slices.items() if case in of}
    words = f"{place}, slice {case}: one row an attack. {_how(section)}"
    return _figure(section, f"panels-{number}", "One slice under every attack", words, rows, CHANGED)


def _how(section: Section) -> str:
    low, high = WINDOW
    colours = f" Colours: {', '.join(organs(section))}, as in the legend." if organs(section) in ORDERS else " One colour an organ."
    return (
        f"Slices from {low:g} (black) to {high:g} HU (white). D: lines that were straight before anatomy moved. V: what was added after, in HU, on "
        f"the scale above it. White: outline of the truth, moved like the image on the right.{colours}"
    )


def _figure(section: Section, name: str, title: str, words: str, rows: Mapping[str, Arrays], columns: Sequence[str]) -> Figure:
    """One row a key, one column an array; all rows share the scale of V."""
    limit = max(1.0, *(float(np.percentile(np.abs(arrays["shading"].astype(float)), 99.5)) for arrays in rows.values()))
    labels = max(int(arrays[which].max()) for arrays in rows.values() for which in ("truth", "moved", "before", "after"))
    with drawing_style():
        drawing, axes = panel_grid(len(rows) * len(columns), len(columns), 1.45, 1.2)
        for row, (head, arrays) in enumerate(rows.items()):
            for column, which in enumerate(columns):
                axis = axes[row * len(columns) + column]
                axis.set(xticks=[], yticks=[])
                for spine in axis.spines.values():
                    spine.set_visible(False)
                if not row:
                    axis.set_title(HEADS[which] + (f" ±{limit:.0f} HU" if which == "shading" else ""), fontsize=8)
                if not column:
                    axis.set_ylabel(visible(head).replace("#", "\n#", 1), fontsize=7)
                _draw(axis, arrays, which, limit, max(labels, 1))
        _legend(drawing, section)
        svg, png = svg_text(drawing), png_bytes(drawing)
    points = {head: {which: bool(which in arrays) for which in columns} for head, arrays in rows.items()}
    return Figure(name, title, words, section.data_label, svg, points, png)


def _draw(axis: Any, arrays: Arrays, which: str, limit: float, labels: int) -> None:
    """One array of a slice, cut to the body, in pixels of the whole slice."""
    top, bottom, left, right = _body(arrays)
    extent = (left - 0.5, right - 0.5, bottom - 0.5, top - 0.5)
    axis.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    if which == "field":
        _grid(axis, arrays, (bottom, right))
        return
    plane = arrays[which][top:bottom, left:right]
    if which in ("image", "attacked"):
        axis.imshow(plane, cmap="gray", vmin=0, vmax=255, extent=extent)
    elif which == "shading":
        axis.imshow(plane, cmap="RdBu_r", vmin=-limit, vmax=limit, extent=extent)
    else:
        from matplotlib.colors import ListedColormap

        axis.imshow(plane, cmap=ListedColormap(["#000000", *_colours(labels)]), vmin=0, vmax=labels, extent=extent)
    if which in ("before", "after"):
        _outline(axis, arrays["truth" if which == "before" else "moved"])


def _body(arrays: Arrays) -> tuple[int, int, int, int]:
    """First row, row after the last, first column and column after the last that are not black, before or after."""
    seen = (arrays["image"] > 0) | (arrays["attacked"] > 0) | (arrays["truth"] > 0)
    found = [np.flatnonzero(seen.any(axis)) for axis in (1, 0)]
    rows, columns = (where if len(where) else np.arange(length) for where, length in zip(found, seen.shape, strict=True))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _grid(axis: Any, arrays: Arrays, until: tuple[int, int]) -> None:
    """Lines of the clean slice where they are in the attacked one: along them x + field(x) is a whole multiple of `LINES`."""
    if "field" not in arrays:
        axis.text(0.5, 0.5, "nothing\nmoves", ha="center", va="center", transform=axis.transAxes, style="italic", fontsize=7)
        return
    field = arrays["field"].astype(float)
    rows, columns = (np.arange(length) * float(STRIDE) for length in field.shape[1:])
    for moved, length in ((rows[:, None] + field[0], until[0]), (columns + field[1], until[1])):
        if np.ptp(moved) > 0:
            axis.contour(columns, rows, moved, levels=np.arange(0, length + LINES, LINES), colors=[COLOURS[0]], linewidths=0.5)


def _outline(axis: Any, truth: np.ndarray) -> None:
    """The outline of each organ, in pixels of the whole slice."""
    for label in np.unique(truth[truth > 0]):
        axis.contour(truth == label, levels=[0.5], colors=["#ffffff"], linewidths=0.5)


def _colours(count: int) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(count)]


def _legend(drawing: Any, section: Section) -> None:
    """What the colours are, where the order of the labels is known."""
    from matplotlib.patches import Patch

    names = organs(section)
    if names in ORDERS:
        handles = [Patch(color=colour, label=visible(organ)) for colour, organ in zip(_colours(len(names)), names, strict=True)]
        drawing.legend(handles=handles, loc="outside lower center", ncols=len(names), fontsize=7)
