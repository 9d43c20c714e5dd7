"""Mammograms before and after tampering, and what was added and taken away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medrobust.leaderboard.figures import COLOURS, drawing_style, panel_grid, png_bytes, svg_text
from medrobust.leaderboard.mammo_tamper.readings import truths
from medrobust.leaderboard.mammo_tamper.rule import attacked, injected
from medrobust.leaderboard.mammo_tamper.stopping import checkpoints, stop
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Figure, Table
from medrobust.leaderboard.text import visible
from medrobust.provenance import CHANGED

EACH = 2
"""How many injected and how many removed images are shown: the first of those kept, so that none is picked for its looks."""

MODIFIED = "modified"
SPAN = 255 / 2
"""Steps of a picture's grey levels in one unit of the image's intensity, from -1 to 1."""

Arrays = Mapping[str, np.ndarray]


def panels(section: Section) -> list[Table | Figure]:
    """A figure a condition of one attack, and one of one image of each kind under every attack, from the first model that kept pictures."""
    figures: list[Table | Figure] = []
    for condition in section.conditions:
        kept = {name: found for name in attacked(section) if (found := _kept(section, name, condition))}
        if not kept:
            continue
        name = shown(section, condition, tuple(kept))
        rows = two_of_each(section, condition, name, kept[name])
        if not rows:
            continue
        figures.append(_of_one_attack(section, f"{condition}, attack {name}", rows, len(figures) + 1))
        if len(kept) > 1:
            figures.append(_of_all_attacks(section, condition, rows, kept, len(figures) + 1))
    return figures


def _kept(section: Section, attack: str, condition: str) -> dict[str, Arrays]:
    """Case to its arrays: `image` and `attacked` (H, W) uint8, and `truth`, above 0 inside the outline of a lesion, where that is known.

    Pictures with a scale of their own are not on the grey levels of these panels.
    """
    for model in section.models:
        found = {case: picture.arrays for case, picture in section.pictures_of(model, attack, condition).items()}
        found = {case: arrays for case, arrays in found.items() if {"image", "attacked"} <= set(arrays) and "scale" not in arrays}
        if found:
            return found
    return {}


def shown(section: Section, condition: str, names: Sequence[str]) -> str:
    """The attack to show: the one at which the declared rule stops, else the last, of those with pictures."""
    here = stop(checkpoints(section, condition)).here
    return here if here in names else names[-1]


def two_of_each(section: Section, condition: str, attack: str, kept: Mapping[str, Arrays]) -> dict[str, tuple[str, Arrays]]:
    """Case to what was done to it and its arrays, injected images first; of cases whose truth is known."""
    known = truths(section, condition)
    cases = [case for case in kept if case in known]
    put = injected(attack, np.array([known[case] for case in cases], dtype=bool)).tolist()
    found: dict[str, tuple[str, Arrays]] = {}
    for way, word in ((True, "injected"), (False, "removed")):
        chosen = [case for case, one in zip(cases, put, strict=True) if one is way][:EACH]
        found |= {case: (word, kept[case]) for case in chosen}
    return found


def _of_one_attack(section: Section, place: str, rows: Mapping[str, tuple[str, Arrays]], number: int) -> Figure:
    limit = _limit([arrays for _, arrays in rows.values()])
    heads = ("original", MODIFIED, f"difference ±{limit:.2g}")
    words = (
        f"{place}: up to {EACH} healthy images with malignant features injected and {EACH} cancerous ones with them removed, the first of those "
        f"kept. {_how()} Difference: {MODIFIED} less original, red where brighter, blue where darker, in the image's intensity from -1 to 1."
    )
    with drawing_style():
        drawing, axes = panel_grid(len(rows) * len(heads), len(heads), 2.0, 2.0 * _shape(rows[next(iter(rows))][1]))
        for row, (case, (word, arrays)) in enumerate(rows.items()):
            for column, (head, axis) in enumerate(zip(heads, axes[row * len(heads) :], strict=False)):
                _frame(axis, head if not row else "", f"{visible(case)}\n{word}" if not column else "")
                if column < 2:
                    _image(axis, arrays, modified=column == 1)
                else:
                    axis.imshow(difference(arrays), cmap="RdBu_r", vmin=-limit, vmax=limit)
                _outline(axis, arrays)
        svg, png = svg_text(drawing), png_bytes(drawing, CHANGED)
    points = {case: {"done": word, "outlined": _outlined(arrays)} for case, (word, arrays) in rows.items()}
    return Figure(f"panels-{number}", "Images before and after tampering", words, section.data_label, svg, points, png)


def _of_all_attacks(
    section: Section, condition: str, rows: Mapping[str, tuple[str, Arrays]], kept: Mapping[str, Mapping[str, Arrays]], number: int
) -> Figure:
    """The first image of each kind, one column an attack."""
    words = f"{condition}: one image of each kind, as it was and as each attack left it. {_how()}"
    done = {case: word for case, (word, _) in rows.items()}
    cases = [next(case for case in done if done[case] == word) for word in dict.fromkeys(done.values())]
    heads = ("original", *kept)
    with drawing_style():
        drawing, axes = panel_grid(len(cases) * len(heads), len(heads), 1.5, 1.5 * _shape(rows[cases[0]][1]))
        for row, case in enumerate(cases):
            for column, (head, axis) in enumerate(zip(heads, axes[row * len(heads) :], strict=False)):
                arrays = rows[case][1] if not column else kept[head].get(case)
                _frame(axis, visible(head) if not row else "", f"{visible(case)}\n{rows[case][0]}" if not column else "")
                if arrays is None:
                    axis.text(0.5, 0.5, "not kept", ha="center", va="center", transform=axis.transAxes, style="italic", fontsize=7)
                    continue
                _image(axis, arrays, modified=column > 0)
                _outline(axis, arrays)
        svg, png = svg_text(drawing), png_bytes(drawing, CHANGED)
    points = {case: {name: case in of for name, of in kept.items()} for case in cases}
    return Figure(f"panels-{number}", "One image under every attack", words, section.data_label, svg, points, png)


def _how() -> str:
    return f"Every tampered image says so: {MODIFIED}. Green: outline of the lesion of the original, where it is known."


def _limit(rows: Sequence[Arrays]) -> float:
    """The scale of differences that all rows share."""
    return max(1 / SPAN, *(float(np.percentile(np.abs(difference(arrays)), 99.5)) for arrays in rows))


def difference(arrays: Arrays) -> np.ndarray:
    """Tampered less clean, (H, W), in the image's intensity."""
    return np.asarray((arrays["attacked"].astype(float) - arrays["image"].astype(float)) / SPAN)


def _shape(arrays: Arrays) -> float:
    """Height over width of an image, with room for a line of text."""
    height, width = arrays["image"].shape
    return float(height / width)


def _frame(axis: Any, head: str, side: str) -> None:
    axis.set(xticks=[], yticks=[])
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.set_title(head, fontsize=8)
    axis.set_ylabel(side, fontsize=7)


def _image(axis: Any, arrays: Arrays, modified: bool) -> None:
    axis.imshow(arrays["attacked" if modified else "image"], cmap="gray", vmin=0, vmax=255)
    if modified:
        box = {"facecolor": "#000000", "alpha": 0.75, "linewidth": 0, "pad": 1.5}
        axis.text(0.98, 0.98, MODIFIED, ha="right", va="top", transform=axis.transAxes, color="#ffd24a", fontsize=7, weight="bold", bbox=box)


def _outlined(arrays: Arrays) -> bool:
    return "truth" in arrays and bool((arrays["truth"] > 0).any())


def _outline(axis: Any, arrays: Arrays) -> None:
    if _outlined(arrays):
        axis.contour(arrays["truth"] > 0, levels=[0.5], colors=[COLOURS[2]], linewidths=0.8)
