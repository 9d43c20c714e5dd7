"""Static figures as SVG: deterministic, without fonts or scripts, in the page's own text colour by day and by night."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from medrobust.leaderboard.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

from medrobust.leaderboard.tables import Figure

COLOURS = ("#3a86d6", "#e07b28", "#2ba36b", "#c2569e", "#a58a18", "#7d74dd", "#d2504a", "#3f9fb5")
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
MARKERS = "os^DvPX*"
INK = "#010203"
STYLE = "<style>svg{color:#1c2330}@media (prefers-color-scheme:dark){svg{color:#e4e8ef}}</style>"
SETTINGS = {
    "svg.hashsalt": "medrobust",
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "image.interpolation": "none",
    "image.composite_image": False,
    "legend.frameon": False,
}


@dataclass(frozen=True)
class Curve:
    """One line. points: (x, estimate, low, high), in the order drawn."""

    name: str
    points: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Panel:
    """Curves on shared axes."""

    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True)
class Cloud:
    """Points (x, y) by series."""

    title: str
    series: tuple[tuple[str, tuple[tuple[float, float], ...]], ...]


@dataclass(frozen=True)
class Map:
    """Counts over a square, row 0 on top; no counts where nothing was measured."""

    title: str
    counts: tuple[tuple[int, ...], ...]


@contextmanager
def drawing_style() -> Iterator[None]:
    import matplotlib as mpl

    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def panel_grid(panels: int, across: int, width: float, height: float) -> tuple[Drawing, list[Any]]:
    """A drawing of `across` panels a row and its axes, those not needed switched off."""
    from matplotlib.figure import Figure as Drawing
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    across = max(1, min(across, panels))
    down = max(1, math.ceil(panels / across))
    drawing = Drawing(figsize=(across * width, down * height + 0.5), layout=ConstrainedLayoutEngine(h_pad=0.09, w_pad=0.08))
    axes = [axis for row in drawing.subplots(down, across, squeeze=False) for axis in row]
    for axis in axes[panels:]:
        axis.set_axis_off()
    return drawing, axes[:panels]


def svg_text(drawing: Drawing) -> str:
    """Without date, doctype and generator and to a hundredth of a point, so that equal numbers give equal bytes."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r"(\d\.\d\d)\d+", r"\1", re.sub(r"[ \t]*\n[ \t]*", "\n", text))
    head = text.index(">") + 1
    return text[:head] + STYLE + text[head:]


def png_bytes(drawing: Drawing, said: str = "") -> bytes:
    """Black on white at 150 dots an inch, without date and generator. said: what its text chunk says of the pictures in it; none where empty."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=150, facecolor="white", metadata={"Software": None, **({"Description": said} if said else {})})
    return buffer.getvalue()


def legend(drawing: Drawing, axes: list[Any]) -> None:
    """One legend below all panels."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        drawing.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=min(4, len(handles)))


def curves(
    name: str,
    title: str,
    description: str,
    data: str,
    panels: tuple[Panel, ...],
    axis_name: str,
    mark: float | None,
    value: str = "attack rate (%)",
    log: bool = True,
) -> Figure:
    """Lines with bands over a logarithmic axis, or a plain one, in percent; `mark` is a dashed vertical line, `value` what is in percent."""
    panels = tuple(panel for panel in panels if any(curve.points for curve in panel.curves))
    names = list(dict.fromkeys(curve.name for panel in panels for curve in panel.curves))
    ticks = sorted({x for panel in panels for curve in panel.curves for x, *_ in curve.points})
    with drawing_style():
        drawing, axes = panel_grid(len(panels), 3, 3.3, 2.5)
        for axis, panel in zip(axes, panels, strict=True):
            for curve in panel.curves:
                if curve.points:
                    _line(axis, curve, names.index(curve.name))
            if mark is not None:
                axis.axvline(mark, color=INK, linewidth=0.8, linestyle="--")
            axis.set(xscale="log" if log else "linear", ylim=(-3, 103), ylabel=value, xlabel=axis_name)
            axis.set_title(visible(panel.title))
            if log:
                _plain(axis.xaxis, ticks)
            axis.grid(visible=True)
        legend(drawing, axes)
        svg = svg_text(drawing)
    points = {panel.title: {curve.name: [list(point) for point in curve.points] for curve in panel.curves} for panel in panels}
    return Figure(name, title, description, data, svg, points)


def _line(axis: Any, curve: Curve, index: int) -> None:
    x, y, low, high = (list(values) for values in zip(*curve.points, strict=True))
    colour = COLOURS[index % len(COLOURS)]
    axis.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.plot(x, y, color=colour, marker=MARKERS[index % len(MARKERS)], markersize=3.5, linewidth=1.4, label=visible(curve.name))


def number(value: float) -> str:
    """A positive number as an axis shows it: 11, 0.01, 10⁻⁴, 5·10⁻⁴."""
    if value >= 0.01:
        return f"{value:g}"
    exponent = math.floor(math.log10(value) + 1e-9)
    power = f"10{str(exponent).translate(SUPERSCRIPT)}"
    return power if math.isclose(value, 10.0**exponent) else f"{value / 10.0**exponent:g}·{power}"


def _plain(side: Any, values: Sequence[float]) -> None:
    """Ticks as plain numbers: all values where they are few, powers of ten where they are many or apart."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    powers = [10.0**k for k in range(math.ceil(math.log10(min(values)) - 1e-9), math.floor(math.log10(max(values)) + 1e-9) + 1)]
    side.set_major_locator(FixedLocator(powers if len(powers) > 1 and not 2 < len(values) < 8 else list(values)))
    side.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    side.set_minor_locator(NullLocator())


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Limits a little beyond the values, on a logarithmic axis."""
    return 10 ** (math.log10(min(values)) - 0.15), 10 ** (math.log10(max(values)) + 0.15)


def clouds(
    name: str, title: str, description: str, data: str, panels: tuple[Cloud, ...], axis_names: tuple[str, str], marks: tuple[float, float]
) -> Figure:
    """Points on logarithmic axes; where a panel has more than 240, every k-th of each series is drawn, in the order of its cases."""
    panels = tuple(panel for panel in panels if any(points for _, points in panel.series))
    names = list(dict.fromkeys(series for panel in panels for series, _ in panel.series))
    with drawing_style():
        drawing, axes = panel_grid(len(panels), 3, 3.3, 2.6)
        limits = [_decades([point[i] for panel in panels for _, points in panel.series for point in points] + [marks[i]]) for i in (0, 1)]
        for axis, panel in zip(axes, panels, strict=True):
            step = math.ceil(sum(len(points) for _, points in panel.series) / 240)
            for series, points in panel.series:
                few = points[::step]
                index = names.index(series)
                style = {"s": 9, "alpha": 0.65, "linewidths": 0, "color": COLOURS[index % len(COLOURS)], "marker": MARKERS[index % len(MARKERS)]}
                axis.scatter([x for x, _ in few], [y for _, y in few], label=visible(series), **style)
            axis.set(xscale="log", yscale="log", xlabel=axis_names[0], ylabel=axis_names[1])
            axis.set_title(visible(panel.title))
            axis.axvline(marks[0], color=INK, linewidth=0.8, linestyle="--")
            axis.axhline(marks[1], color=INK, linewidth=0.8, linestyle="--")
            axis.set(xlim=limits[0], ylim=limits[1])
            _plain(axis.xaxis, limits[0])
            _plain(axis.yaxis, limits[1])
            axis.grid(visible=True)
        legend(drawing, axes)
        svg = svg_text(drawing)
    return Figure(name, title, description, data, svg, {panel.title: {series: len(points) for series, points in panel.series} for panel in panels})


def maps(name: str, title: str, description: str, data: str, drawn: tuple[Map, ...], box: tuple[int, int], across: int = 4) -> Figure:
    """Squares of counts, each scaled to its own maximum, in a colour that fades into the page."""
    from matplotlib.colors import LinearSegmentedColormap

    fade = LinearSegmentedColormap.from_list("fade", [f"{COLOURS[0]}00", f"{COLOURS[0]}ff"])
    with drawing_style():
        drawing, axes = panel_grid(len(drawn), across, 2.4, 2.3)
        for axis, one in zip(axes, drawn, strict=True):
            axis.set_title(visible(one.title).replace(", ", "\n", 1), fontsize=8)
            if not one.counts:
                axis.set_axis_off()
                axis.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axis.transAxes, style="italic")
                continue
            axis.imshow(one.counts, cmap=fade, vmin=0, extent=(box[0], box[1], box[1], box[0]))
            ticks = [box[0], sum(box) / 2, box[1]] if one is drawn[0] else []
            axis.set(xticks=ticks, yticks=ticks)
            axis.tick_params(labelsize=7)
            for spine in axis.spines.values():
                spine.set_visible(True)
        svg = svg_text(drawing)
    return Figure(name, title, description, data, svg, {one.title: [list(row) for row in one.counts] for one in drawn})
