"""Four-sequence brain volumes with a glioma of either grade, from the MNI152 tissue maps that nilearn carries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit

from medrobust.imaging.anatomy import Anatomy, brain, millimetres
from medrobust.imaging.distractors import distractors
from medrobust.imaging.head import CONTRASTS
from medrobust.imaging.smooth import Array, distance, ellipsoid, smooth_field

FIELD_OF_VIEW = 192.0
"""Edge in mm of the cube that holds the whole brain."""

NECROSIS, OEDEMA, ENHANCING = 1, 2, 4  # BraTS labels; 1 is also non-enhancing tumour
SUPRATENTORIAL = 60.0  # lowest atlas plane on which a tumour is centred


@dataclass(frozen=True)
class Glioma:
    """One subject, skull-stripped: image (4, *shape) int16 of T1w, T1ce, T2w, FLAIR with background 0, labels (*shape) uint8 as BraTS, spacing in mm.

    Axes run to the patient's left, back and head, as in BraTS.
    """

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    spacing: float


@dataclass(frozen=True)
class Tumour:
    """Coverage in [0, 1] (*shape) of the whole tumour and, for a high grade, of what the rim encloses and of the necrosis in it.

    nearness: the whole tumour with a margin, from which distractors stay away.
    """

    whole: Array
    core: Array
    necrosis: Array
    nearness: Array


def shape_of(size: int) -> tuple[int, int, int]:
    """The volume's shape: a little wider than the cube of `size` voxels that holds the brain, as BraTS volumes are wider than the papers' crop."""
    return (size + size // 8, size + size // 8, size)


def glioma(random: Generator, high_grade: bool, size: int) -> Glioma:
    """One random subject.

    random: the only source of randomness; as many numbers are drawn for either grade. size: voxels along an edge of `FIELD_OF_VIEW`.

    Anatomy: MNI152 under a random affine and smooth deformation (about 4 mm). Whole tumour: an ellipsoid of 20 to 34 mm radius with a
    rough surface, centred in supratentorial white matter; it, the distractors and the noise know nothing of the grade, which sets the tissue within:
    a T2- and FLAIR-bright swelling without enhancement in both, which is all of a low grade; in a high one it lies, as oedema, around
    a necrotic core in a T1ce-bright rim. What tells the grades apart is thus a part of the tumour, and no tissue is a low grade's alone.
    Signal: tissue contrast x texture x receive bias, Rician noise at a white-matter SNR of 20 to 40, arbitrary scale per sequence.
    """
    shape, spacing = shape_of(size), FIELD_OF_VIEW / size
    grid = millimetres(shape, spacing)
    anatomy = brain(random, grid)
    tumour = _tumour(random, grid, anatomy, spacing)
    signal = _healthy(random, anatomy)
    distractors(random, signal, grid, anatomy, 1 - tumour.nearness, spacing)
    swelling = _swelling(random)
    high = _high_grade(random, tumour, swelling)
    signal += tumour.whole * ((high if high_grade else swelling) - signal)
    image = _acquire(random, signal, anatomy.depth > 0)
    labels = np.where(tumour.whole > 0.5, OEDEMA if high_grade else NECROSIS, 0)
    if high_grade:
        labels = np.where((labels > 0) & (tumour.core > 0.5), np.where(tumour.necrosis > 0.5, NECROSIS, ENHANCING), labels)
    return Glioma(image, np.where(anatomy.depth > 0, labels, 0).astype(np.uint8), spacing)


def _tumour(random: Generator, grid: Array, anatomy: Anatomy, spacing: float) -> Tumour:
    shape = anatomy.depth.shape
    place, radius, metric = random.uniform(), random.uniform(20, 34), ellipsoid(random)
    surface, inner = smooth_field(random, shape, 9), smooth_field(random, shape, 16)
    margin, rim = random.uniform(0.10, 0.30), random.uniform(4, 7)
    candidates = np.flatnonzero((anatomy.white > 0.5) & (anatomy.depth > 12) & (anatomy.height > SUPRATENTORIAL))
    centre = grid.reshape(3, -1)[:, candidates[int(place * len(candidates))]]
    inside = 1 - distance(grid, centre, metric) / radius + 0.24 * surface
    inside = inside / inside.max()
    sharp = radius / (0.4 * spacing)
    enclosed = inside + 0.06 * inner
    return Tumour(
        whole=expit(sharp * inside),
        core=expit(sharp * (enclosed - margin)),
        necrosis=expit(sharp * (enclosed - min(margin + max(rim, 1.2 * spacing) / radius, 0.7))),
        nearness=expit(sharp * (inside + 0.2)),
    )


def _healthy(random: Generator, anatomy: Anatomy) -> Array:
    """Noise-free signal of each sequence without a tumour, (4, *shape); a subject varies contrasts by a few per cent."""
    names = ("AXT1", "AXT1POST", "AXT2", "AXFLAIR")
    base = np.array([[getattr(CONTRASTS[name], tissue) for tissue in ("white", "grey", "csf")] for name in names])
    values = base * (1 + 0.05 * random.standard_normal(base.shape))
    tissues = np.stack([anatomy.white, anatomy.grey, anatomy.csf])
    signal: Array = np.tensordot(values.astype(np.float32), tissues, axes=1)
    return signal


def _swelling(random: Generator) -> Array:
    """Signal of a low-grade tumour, and of a high grade's oedema, the same all through, (4, 1, 1, 1)."""
    t1, t2, flair = random.uniform(0.36, 0.54), random.uniform(0.62, 0.78), random.uniform(0.66, 0.80)
    return np.array([t1, t1 + 0.02, t2, flair], np.float32)[:, None, None, None]


def _high_grade(random: Generator, tumour: Tumour, oedema: Array) -> Array:
    """Signal of a high-grade tumour, (4, *shape): oedema (4, 1, 1, 1), an uneven enhancing rim, necrosis."""
    shape = tumour.whole.shape
    enhancement, uneven = random.uniform(0.85, 1.15), smooth_field(random, shape, 16)
    rim = np.array([0.48, enhancement, 0.62, 0.72], np.float32)
    necrosis = np.array([0.22, 0.26, random.uniform(0.80, 0.95), random.uniform(0.35, 0.60)], np.float32)
    signal = np.broadcast_to(oedema, (4, *shape)).copy()
    signal += tumour.core * (rim[:, None, None, None] - signal)
    signal[1] += (tumour.core - tumour.necrosis) * 0.12 * uneven
    signal += tumour.necrosis * (necrosis[:, None, None, None] - signal)
    return signal


def _acquire(random: Generator, signal: Array, brain: NDArray[np.bool_]) -> NDArray[np.int16]:
    """Texture, bias, Rician noise and an arbitrary scale per sequence, (4, *shape); 0 outside the brain."""
    shape = brain.shape
    bias = 0.08 * smooth_field(random, shape, 2)
    image = np.zeros(signal.shape, np.int16)
    for index, sequence in enumerate(signal):
        texture = 1 + 0.04 * smooth_field(random, shape, 12) + 0.03 * smooth_field(random, shape, 28)
        clean = np.clip(sequence * texture, 0, None) * np.exp(bias + 0.05 * smooth_field(random, shape, 2))
        sigma = 0.6 / random.uniform(20, 40)
        noise = sigma * random.standard_normal((2, *shape), dtype=np.float32)
        scale = random.uniform(300, 1200)
        image[index] = np.where(brain, np.clip(np.rint(scale * np.hypot(clean + noise[0], noise[1])), 1, 32767), 0)
    return image
