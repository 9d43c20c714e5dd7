"""Head phantoms with documented MR physics, from the MNI152 tissue maps that nilearn carries."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel
import nilearn
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates, zoom

FIELD_OF_VIEW = 240.0
"""Edge of a slice in mm."""

Array = NDArray[np.float64]
Pixels = tuple[int, int, int, int]


@dataclass(frozen=True)
class Contrast:
    """Relative signal of each tissue in one acquisition, in [0, 1.2]; fat is the brightest tissue of a T1-weighted head.

    Values follow the usual order of tissues on 1.5-3 T brain protocols; every subject varies them by a few per cent.
    """

    csf: float
    grey: float
    white: float
    skull: float
    fat: float
    vessel: float
    lesion: float


CONTRASTS = {
    "AXT1": Contrast(csf=0.15, grey=0.50, white=0.75, skull=0.06, fat=1.00, vessel=0.30, lesion=0.40),
    "AXT1POST": Contrast(csf=0.15, grey=0.52, white=0.75, skull=0.06, fat=1.00, vessel=1.10, lesion=1.10),
    "AXT2": Contrast(csf=1.00, grey=0.62, white=0.42, skull=0.05, fat=0.75, vessel=0.10, lesion=0.85),
    "AXFLAIR": Contrast(csf=0.12, grey=0.65, white=0.50, skull=0.05, fat=0.70, vessel=0.20, lesion=0.95),
}


@dataclass(frozen=True)
class Lesion:
    """A planted lesion and its box in pixels, row and column of the upper left corner."""

    slice: int
    row: int
    column: int
    height: int
    width: int


@dataclass(frozen=True)
class Head:
    """One subject: complex slices (s, size, size) with receiver noise, the acquisition they mimic, and planted lesions."""

    image: NDArray[np.complex64]
    acquisition: str
    lesions: tuple[Lesion, ...]


@cache
def atlas() -> tuple[NDArray[np.float32], ...]:
    """Grey matter, white matter, brain (probabilities) and distance outside the brain in mm; axes left-right, posterior-anterior, feet-head."""
    folder = Path(nilearn.__file__).parent / "datasets" / "data"

    def read(name: str) -> NDArray[np.float32]:
        path = folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
        return (np.asarray(nibabel.load(path).dataobj) / 255).astype(np.float32)

    brain = (read("t1") > 0).astype(np.float32)
    outside: NDArray[np.float32] = distance_transform_edt(brain == 0).astype(np.float32)
    return read("gm"), read("wm"), brain, outside


def smooth_noise(random: Generator, shape: tuple[int, ...], knots: int) -> Array:
    """Unit-variance noise with about `knots` bumps along each axis, cubic between random knots."""
    coarse = random.standard_normal(tuple(knots + 3 for _ in shape))
    fine: Array = zoom(coarse, [n / knots for n in shape], order=3)
    return fine[tuple(slice(n // (2 * knots), n // (2 * knots) + n) for n in shape)]


def head(random: Generator, slices: int, size: int, lesion_fraction: float) -> Head:
    """One random subject.

    random: the only source of randomness. size: pixels along an edge. lesion_fraction: share of slices with one or two lesions.

    Anatomy: MNI152 under a random affine and smooth deformation (about 4 mm), cortical boundary roughened below the atlas's resolution.
    Signal: tissue contrast x fine texture x receive bias. Phase: second-order polynomial plus smooth noise, as of B0 and coil.
    Noise: complex Gaussian, white-matter SNR 25 to 50.
    """
    acquisition = str(random.choice(sorted(CONTRASTS)))
    base = CONTRASTS[acquisition]
    contrast = {tissue: value * (1 + 0.06 * random.standard_normal()) for tissue, value in vars(base).items()}
    heights = np.linspace(58, 128, slices) + random.uniform(-4, 4)
    coordinates = _coordinates(random, heights, size)
    scale = 2e-4 * random.uniform(0.7, 1.4)
    snr = random.uniform(25, 50)
    images, lesions = [], []
    for index in range(slices):
        magnitude, found = _slice(random, coordinates[:, index], contrast, lesion_fraction)
        lesions += [Lesion(index, *box) for box in found]
        noise = base.white / snr * (random.standard_normal((size, size)) + 1j * random.standard_normal((size, size))) / np.sqrt(2)
        images.append(scale * (magnitude * np.exp(1j * _phase(random, size)) + noise))
    return Head(np.stack(images).astype(np.complex64), acquisition, tuple(lesions))


def _coordinates(random: Generator, heights: Array, size: int) -> Array:
    """Atlas coordinates of every pixel, (3, slices, size, size): affine plus a smooth deformation; anterior is up."""
    millimetres = (np.arange(size) + 0.5) / size * FIELD_OF_VIEW - FIELD_OF_VIEW / 2
    up, across = np.meshgrid(-millimetres, millimetres, indexing="ij")
    angle = np.deg2rad(random.normal(0, 4))
    stretch = random.normal(1, 0.05, size=2)
    x = stretch[0] * (np.cos(angle) * across - np.sin(angle) * up) + 98
    y = stretch[1] * (np.sin(angle) * across + np.cos(angle) * up) + 116
    tilt = random.normal(0, 0.06, size=2)
    planes = []
    for height in heights:
        z = height + tilt[0] * across + tilt[1] * up
        planes.append(np.stack([x, y, z]))
    plane = np.stack(planes, axis=1)
    warp = np.stack([smooth_noise(random, (size, size), 5) for _ in range(3)])
    drift = np.stack([smooth_noise(random, (size, size), 5) for _ in range(3)])
    along = np.linspace(0, 1, len(heights))[None, :, None, None]
    return plane + 3.0 * (warp[:, None] * (1 - along) + drift[:, None] * along) + 0.8 * smooth_noise(random, (size, size), 14)


def _slice(random: Generator, coordinates: Array, contrast: dict[str, float], lesion_fraction: float) -> tuple[Array, list[Pixels]]:
    """Noise-free magnitude of one slice (size, size) and its lesion boxes."""
    size = coordinates.shape[-1]
    grey, white, brain, outside = (map_coordinates(volume, coordinates, order=1, mode="nearest") for volume in atlas())
    rough = smooth_noise(random, (size, size), max(size // 8, 4)) + 0.6 * smooth_noise(random, (size, size), max(size // 4, 4))
    sharpness = 14.0
    wm = _sigmoid(sharpness * (white - 0.5 + 0.10 * rough))
    gm = _sigmoid(sharpness * (white + grey - 0.5 - 0.10 * rough)) * (1 - wm)
    inside = _sigmoid(3.0 * (brain - 0.5) * 4)
    table = 1.2 * smooth_noise(random, (size, size), 6)
    inner, outer, skin = 3.0 + 0.4 * table, 8.5 + table, 14.5 + 1.5 * table
    head_csf = (1 - inside) * _sigmoid(2 * (inner - outside))
    skull = (1 - inside) * _sigmoid(2 * (outside - inner)) * _sigmoid(2 * (outer - outside))
    fat = (1 - inside) * _sigmoid(2 * (outside - outer)) * _sigmoid(2 * (skin - outside))
    signal = inside * (contrast["white"] * wm + contrast["grey"] * gm + contrast["csf"] * np.clip(1 - wm - gm, 0, 1))
    signal += contrast["csf"] * head_csf + contrast["skull"] * skull + contrast["fat"] * fat
    signal = _vessels(random, signal, inside * (1 - wm), contrast["vessel"])
    signal, boxes = _lesions(random, signal, wm * inside, contrast["lesion"], lesion_fraction)
    texture = 1 + 0.03 * smooth_noise(random, (size, size), max(size // 6, 4)) + 0.02 * smooth_noise(random, (size, size), max(size // 3, 4))
    bias = np.exp(0.15 * smooth_noise(random, (size, size), 2))
    return np.clip(signal * texture * bias, 0, None), boxes


def _vessels(random: Generator, signal: Array, where: Array, value: float) -> Array:
    """Cut vessels: 12 to 30 discs of 0.4 to 1.2 mm radius in grey matter and CSF."""
    size = signal.shape[0]
    rows, columns = np.nonzero(where > 0.6)
    if not len(rows):
        return signal
    cover = np.zeros_like(signal)
    for index in random.integers(len(rows), size=random.integers(12, 30)):
        radius = random.uniform(0.4, 1.2) * size / FIELD_OF_VIEW
        cover = np.maximum(cover, _disc(size, rows[index], columns[index], radius, radius, 0.0))
    return signal * (1 - cover) + value * cover


def _lesions(random: Generator, signal: Array, where: Array, value: float, fraction: float) -> tuple[Array, list[Pixels]]:
    """One or two elliptical white-matter lesions of 1 to 2.5 mm radius in a share of slices; boxes are row, column, height, width."""
    present, count = random.uniform() < fraction, int(random.integers(1, 3))
    rows, columns = np.nonzero(gaussian_filter(where, 2) > 0.9)
    boxes: list[Pixels] = []
    if not present or not len(rows):
        return signal, boxes
    size = signal.shape[0]
    for index in random.integers(len(rows), size=count):
        radii = random.uniform(1.0, 2.5, size=2) * size / FIELD_OF_VIEW
        cover = _disc(size, rows[index], columns[index], radii[0], radii[1], random.uniform(0, np.pi))
        strength = random.uniform(0.5, 1.0)
        signal = signal * (1 - strength * cover) + strength * value * cover
        inside = np.nonzero(cover > 0.25)
        top, left = int(inside[0].min()), int(inside[1].min())
        boxes.append((top, left, int(inside[0].max()) - top + 1, int(inside[1].max()) - left + 1))
    return signal, boxes


def _disc(size: int, row: int, column: int, radius_a: float, radius_b: float, angle: float) -> Array:
    """Coverage in [0, 1] of an ellipse with a one-pixel soft edge."""
    r, c = np.mgrid[:size, :size]
    down, across = r - row, c - column
    a = (np.cos(angle) * down + np.sin(angle) * across) / radius_a
    b = (-np.sin(angle) * down + np.cos(angle) * across) / radius_b
    cover: Array = np.clip((1 - np.hypot(a, b)) * min(radius_a, radius_b) + 0.5, 0, 1)
    return cover


def _phase(random: Generator, size: int) -> Array:
    """Smooth phase in radians: offset, gradient, curvature, and low-frequency noise."""
    grid = np.linspace(-1, 1, size)
    r, c = np.meshgrid(grid, grid, indexing="ij")
    linear, quadratic = random.normal(0, 0.6, size=2), random.normal(0, 0.5, size=3)
    polynomial = linear @ np.stack([r, c]).reshape(2, -1) + quadratic @ np.stack([r * r, r * c, c * c]).reshape(3, -1)
    return random.uniform(-np.pi, np.pi) + polynomial.reshape(size, size) + 0.3 * smooth_noise(random, (size, size), 3)


def _sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-np.clip(x, -40, 40)))
    return y
