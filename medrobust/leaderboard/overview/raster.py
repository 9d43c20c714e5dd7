"""Planes as small PNG: grey, with labels in colour, or above and below zero."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.figures import COLOURS
from medrobust.provenance import CHANGED

Plane = NDArray[np.generic]
BELOW, ABOVE, GROUND = (58, 134, 214), (210, 74, 80), (247, 247, 245)
"""Colours of what was taken away, of what was added, and of no change."""
OUTLINE = (255, 221, 0)


def grey(plane: Plane, changed: bool = False) -> bytes:
    """(H, W) uint8, 0 is black. changed: a statement that it is not as acquired goes with it."""
    return _png(plane.astype(np.uint8), None, changed)


def outlined(plane: Plane, inside: Plane, changed: bool = False) -> bytes:
    """(H, W) uint8 in grey with the border of a region, (H, W) of 0 and others, drawn over it in yellow."""
    held = np.pad(inside != 0, 1)
    around = np.zeros_like(held[1:-1, 1:-1])
    low, middle, high = slice(None, -2), slice(1, -1), slice(2, None)
    for rows, columns in ((low, middle), (high, middle), (middle, low), (middle, high)):
        around |= held[rows, columns]
    border = around & ~held[1:-1, 1:-1]
    colours = [*((level, level, level) for level in range(255)), OUTLINE]
    return _png(np.where(border, 255, np.minimum(plane.astype(np.uint8), 254)).astype(np.uint8), colours, changed)


def labels(plane: Plane) -> bytes:
    """(H, W) of 0 for background, which is black, and 1, 2, ... in the colours of the figures."""
    colours = [(0, 0, 0), *(_rgb(COLOURS[index % len(COLOURS)]) for index in range(255))]
    return _png(plane.astype(np.uint8), colours, changed=False)


def signed(plane: Plane, limit: float) -> bytes:
    """(H, W) numbers; blue at -limit, red at limit, pale at zero."""
    share = np.clip(plane.astype(np.float64) / (limit or 1.0), -1, 1)
    ends = np.linspace(-1, 1, 255)[:, None]
    colour = np.where(ends < 0, BELOW, ABOVE)
    colours = np.rint(np.asarray(GROUND) + np.abs(ends) * (colour - np.asarray(GROUND))).astype(int)
    return _png(np.rint(127 + 127 * share).astype(np.uint8), [tuple(one) for one in colours.tolist()], changed=True)


def _rgb(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return red, green, blue


def _png(plane: NDArray[np.uint8], colours: Sequence[tuple[int, ...]] | None, changed: bool) -> bytes:
    from PIL import Image, PngImagePlugin

    image = Image.fromarray(np.ascontiguousarray(plane))
    if colours is not None:
        image.putpalette([part for colour in colours for part in colour])
    said = PngImagePlugin.PngInfo()
    if changed:
        said.add_text("Description", CHANGED)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, pnginfo=said)
    return buffer.getvalue()
