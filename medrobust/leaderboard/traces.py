"""Points joined in order on plain axes, with interval bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medrobust.leaderboard.figures import COLOURS, MARKERS, drawing_style, legend, panel_grid, svg_text
from medrobust.leaderboard.tables import Figure
from medrobust.leaderboard.text import visible


@dataclass(frozen=True)
class Trace:
    """One series. points: (x, estimate, low, high), in the order joined."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


def traces(name: str, title: str, description: str, data: str, panels: Mapping[str, tuple[Trace, ...]], axis_names: tuple[str, str]) -> Figure:
    """One panel a key."""
    names = list(dict.fromkeys(trace.name for drawn in panels.values() for trace in drawn))
    with drawing_style():
        drawing, axes = panel_grid(len(panels), 2, 4.6, 3.2)
        for axis, (heading, drawn) in zip(axes, panels.items(), strict=True):
            for trace in drawn:
                if trace.points:
                    index = names.index(trace.name)
                    x, y, low, high = (list(values) for values in zip(*trace.points, strict=True))
                    colour = COLOURS[index % len(COLOURS)]
                    axis.vlines(x, low, high, color=colour, linewidth=0.6)  # as they are: an interval need not hold its estimate
                    axis.plot(x, y, color=colour, marker=MARKERS[index % len(MARKERS)], markersize=4, linewidth=1.0, label=visible(trace.name))
            axis.set(xlabel=axis_names[0], ylabel=axis_names[1])
            axis.set_title(visible(heading))
            axis.grid(visible=True)
        legend(drawing, axes)
        svg = svg_text(drawing)
    points = {heading: {trace.name: [list(point) for point in trace.points] for trace in drawn} for heading, drawn in panels.items()}
    return Figure(name, title, description, data, svg, points)
