"""Input transformations through ART, on images in [0, 1]: the one file of the defenses that imports it."""

from __future__ import annotations

import numpy as np
from art.defences.preprocessor import FeatureSqueezing, JpegCompression, SpatialSmoothing
from numpy.typing import NDArray

Unit = NDArray[np.float32]
"""Images in [0, 1], (n, c, h, w) or (n, c, d, h, w)."""

BYTE = 255


def jpeg(image: Unit, quality: int) -> Unit:
    """Each image, or slice of a volume, stored as 8-bit JPEG and read again; three channels as one colour image, others each as a grey one.

    ART cuts grey values to whole ones; rounded first, they are the nearest.
    """
    stored, _ = JpegCompression((0, BYTE), quality=quality, channels_first=True)(np.rint(image * BYTE))
    return np.asarray(stored / BYTE, np.float32)


def bit_depth(image: Unit, bits: int) -> Unit:
    """Every intensity rounded to one of 2 ** bits levels from 0 to 1."""
    squeezed, _ = FeatureSqueezing((0.0, 1.0), bit_depth=bits)(image)
    return np.asarray(squeezed, np.float32)


def median(image: Unit, window: int) -> Unit:
    """Every pixel the median of the window about it, slice by slice; edges are mirrored."""
    smoothed, _ = SpatialSmoothing(window_size=window, channels_first=True, clip_values=(0.0, 1.0))(image)
    return np.asarray(smoothed, np.float32)
