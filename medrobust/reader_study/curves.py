"""ROC curves of every reader: originals, tampered images under both labels, and detection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.figures import COLOURS, INK, drawing_style, legend, panel_grid, png_bytes, svg_text
from medrobust.leaderboard.tables import Figure
from medrobust.leaderboard.text import visible
from medrobust.reader_study.areas import OneReader
from medrobust.reader_study.key import Key
from medrobust.reader_study.returned import contained
from medrobust.stats.placements import Scored


def roc(sample: Scored) -> NDArray[np.float64]:
    """Corners of the empirical curve, (k, 2): false and true positive rate from (0, 0) to (1, 1), one a distinct score."""
    levels = np.unique(sample.scores)[::-1]
    rates = [[(sample.scores[kind] >= level).mean() for kind in (~sample.positive, sample.positive)] for level in levels]
    return np.array([[0.0, 0.0], *rates])


def curves(key: Key, readers: Sequence[OneReader]) -> Figure:
    """One panel a question, one line a reader."""
    panels = [("original images", [one.samples.originals for one in readers])]
    panels += [("modified, labelled as before", [one.samples.tampered["original"] for one in readers])]
    panels += [("modified, labelled as intended", [one.samples.tampered["target"] for one in readers])]
    conditions = key.conditions if len(key.conditions) > 1 else ("",)
    panels += [(f"detection {contained(name, 30)}".strip(), [one.samples.detection[name] for one in readers]) for name in conditions]
    points: dict[str, dict[str, list[list[float]]]] = {}
    with drawing_style():
        drawing, axes = panel_grid(len(panels), 3, 2.7, 2.6)
        for axis, (title, samples) in zip(axes, panels, strict=True):
            axis.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle="--")
            points[title] = {}
            for index, (one, sample) in enumerate(zip(readers, samples, strict=True)):
                if sample.positive.any() and not sample.positive.all():
                    corners = roc(sample)
                    points[title][one.name] = corners.round(6).tolist()
                    axis.plot(*corners.T, color=COLOURS[index % len(COLOURS)], linewidth=1.5, label=visible(one.name))
            axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
            axis.set_title(visible(title))
            axis.grid(visible=True)
        legend(drawing, axes)
        svg, png = svg_text(drawing), png_bytes(drawing)
    description = "True against false positive rate of each reader: cancer rating on original and on modified images, modification rating."
    return Figure("roc", "ROC curves", description, f"reader study {key.study}", svg, points, png)
