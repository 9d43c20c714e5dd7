"""What a picture holds, drawn: the image before and after, what changed, the answers, and the truth."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medrobust.imaging.window import WINDOW
from medrobust.leaderboard.overview import raster

CLEAN_ANSWER, ANSWER = "answer to the clean image", "answer to the attacked image"
Arrays = Mapping[str, np.ndarray]
Images = list[tuple[str, bytes]]


def images(arrays: Arrays) -> Images:
    """(caption, png) of what a picture holds, in the order clean, attacked, difference, answers, truth.

    A truth of one structure is outlined on the image and left out where it is empty; one of several is a picture of its own.
    """
    found: Images = []
    truth = arrays.get("truth")
    alone = truth is not None and "before" not in arrays and int(truth.max()) <= 1 and truth.shape == arrays["image"].shape[-2:]
    inside = truth if truth is not None and alone and truth.any() else None
    said = "" if inside is None else ", truth outlined"
    if "image" in arrays:
        found.append((f"clean{said}", _over(_plane(arrays["image"]), inside)))
    if "attacked" in arrays:
        found.append((f"attacked{said}", _over(arrays["attacked"], inside, changed=True)))
        found.append(_difference(arrays))
    if "relevance" in arrays:
        found.append((f"where it looks{said}", _over(arrays["relevance"], inside)))
    for name, caption in (("before", CLEAN_ANSWER), ("after", ANSWER)):
        if name in arrays:
            found.append((caption, raster.labels(arrays[name])))
    for name, caption in (("answered", CLEAN_ANSWER), ("answer", ANSWER)):
        if name in arrays:
            found.append((caption, raster.grey(arrays[name], changed=name == "answer")))
    if truth is not None and not alone:
        found.append(("truth", raster.labels(truth)))
    if "moved" in arrays and (arrays["moved"] != arrays["truth"]).any():
        found.append(("truth, moved with the image", raster.labels(arrays["moved"])))
    return found


def _over(plane: np.ndarray, inside: np.ndarray | None, changed: bool = False) -> bytes:
    return raster.grey(plane, changed) if inside is None else raster.outlined(plane, inside, changed)


def _plane(image: np.ndarray) -> np.ndarray:
    """Of several channels the last."""
    return image if image.ndim == 2 else image[-1]


def _difference(arrays: Arrays) -> tuple[str, bytes]:
    """With its own scale, in the data's units where they are known, else in grey levels of the picture."""
    if "difference" in arrays:
        limit = float(arrays["scale"])
        return f"difference, \u00b1{limit:.3g}", raster.signed(arrays["difference"], 127)
    steps = arrays["attacked"].astype(float) - _plane(arrays["image"]).astype(float)
    limit = float(np.abs(steps).max())
    if "shading" in arrays:
        return f"difference, \u00b1{limit * (WINDOW[1] - WINDOW[0]) / 255:.0f} HU", raster.signed(steps, limit)
    return f"difference, \u00b1{limit:.0f} of 255 grey levels", raster.signed(steps, limit)
