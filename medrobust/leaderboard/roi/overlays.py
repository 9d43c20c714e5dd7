"""Slices through tumours: the volume, the truth, and where each explainer looks."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.figures import COLOURS, drawing_style, panel_grid, png_bytes, svg_text
from medrobust.leaderboard.pictures import Picture
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Figure, Table
from medrobust.leaderboard.text import visible

T1CE, FLAIR = 1, 3


def overlays(section: Section) -> list[Table | Figure]:
    """One figure a condition and model of which pictures were kept."""
    figures: list[Table | Figure] = []
    for condition in section.conditions:
        for model in section.models:
            kept = {name: section.pictures_of(model, name, condition) for name in section.explainers}
            kept = {name: pictures for name, pictures in kept.items() if pictures}
            if kept:
                figures.append(_figure(section, condition, model, kept, len(figures)))
    return figures


def _figure(section: Section, condition: str, model: Model, kept: dict[str, dict[str, Picture]], number: int) -> Figure:
    cases = list(dict.fromkeys(case for pictures in kept.values() for case in pictures))
    first = {case: next(pictures[case] for pictures in kept.values() if case in pictures) for case in cases}
    heads = ["T1ce", "FLAIR", *kept]
    with drawing_style():
        drawing, axes = panel_grid(len(cases) * len(heads), len(heads), 1.35, 1.45)
        for row, case in enumerate(cases):
            for column, head in enumerate(heads):
                axis = axes[row * len(heads) + column]
                axis.set(xticks=[], yticks=[])
                for spine in axis.spines.values():
                    spine.set_visible(False)
                if not row:
                    axis.set_title(visible(head).replace(" ", "\n", 1), fontsize=8)
                if not column:
                    axis.set_ylabel(visible(case), fontsize=7)
                image, truth = (first[case].arrays[name] for name in ("image", "truth"))
                channel = T1CE if head == "T1ce" else FLAIR
                axis.imshow(image[min(channel, len(image) - 1)], cmap="gray", vmin=0, vmax=255)
                if head in kept and case in kept[head]:
                    _heat(axis, kept[head][case].arrays["relevance"])
                if truth.any() and head != "T1ce":
                    axis.contour(truth, levels=[0.5], colors=[COLOURS[2]], linewidths=0.9)
        svg, png = svg_text(drawing), png_bytes(drawing)
    words = (
        f"{model}, {condition}: one slice of each of the first {len(cases)} volumes of the split, where the tumour is largest. Green: outline of the "
        "tumour. Red: where each explainer looks, from the least relevant place of the slice (clear) to the most (red)."
    )
    points = {case: {name: case in pictures for name, pictures in kept.items()} for case in cases}
    return Figure(f"overlays-{number + 1}", "Where each explainer looks", words, section.data_label, svg, points, png)


def _heat(axis: object, relevance: np.ndarray) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    fade = LinearSegmentedColormap.from_list("heat", [f"{COLOURS[6]}00", f"{COLOURS[6]}d0"])
    axis.imshow(relevance, cmap=fade, vmin=0, vmax=255)  # type: ignore[attr-defined]
