"""The compressed breast of a made-up woman: outline, thickness, pectoral muscle, power-law parenchyma and vessels, in units of log attenuation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates
from scipy.special import expit

from medrobust.imaging.smooth import Array, smooth_field

SHAPE = (512, 408)
"""Rows and columns of a view."""

Line = NDArray[np.floating]

PIXEL = 0.45
"""Edge in mm of a pixel: the field is 230 x 184 mm, that of a detector of 24 x 18 cm."""

FAT, GLAND = 0.046, 0.034
"""Attenuation of fat, and what gland has more than fat, per mm at about 20 keV (0.46 and 0.80 per cm)."""

MUSCLE, SKIN = 0.034, 0.10
BETA = 3.0
"""Exponent of the parenchyma's power spectrum, 1 / f^BETA."""

RAYS, REACH = (480, 240), 240.0
"""Rays all round and steps along each of a field that is drawn out towards the nipple; mm along a ray."""


@dataclass(frozen=True)
class Breast:
    """One breast under compression, chest wall in column 0.

    inside: mm under the skin (*SHAPE), 0 outside. thickness: mm of tissue (*SHAPE). whole, missing: log attenuation of fat of the full thickness, and
    of most of what the thin rim lacks of it (*SHAPE). muscle: mm of pectoral muscle (*SHAPE). muscle_outline: its corners in pixels, x before y.
    nipple: row and column in mm. depth: mm from chest wall to nipple. polar: where each pixel lies in a field over `RAYS`, (2, *SHAPE).
    """

    inside: Array
    thickness: Array
    whole: float
    missing: Array
    muscle: Array
    muscle_outline: NDArray[np.float64] | None
    nipple: tuple[float, float]
    depth: float
    polar: Array

    @classmethod
    def drawn(cls, random: Generator, depth: float, compressed: float, oblique: bool) -> Breast:
        depth = depth * random.uniform(0.95, 1.05)
        edge, row = _edge_oblique(random, depth) if oblique else _edge_craniocaudal(random, depth)
        nipple_height, nipple_width = random.uniform(3, 7), random.uniform(4, 6)
        edge = edge + nipple_height * np.exp(-(((_rows() - row) / nipple_width) ** 4))
        columns = (np.arange(SHAPE[1]) + 0.5) * PIXEL
        mask = columns[None] < edge[:, None]
        # skin ends neither at the chest wall nor, in MLO, at the upper edge of the film
        padded = np.pad(np.pad(mask, ((0, 1), (1, 1)))[:, 1:], ((0, 0), (60, 0)), mode="edge")
        padded = np.pad(padded, ((60, 0), (0, 0)), mode="edge" if oblique else "constant")
        inside = (distance_transform_edt(padded)[60:-1, 60:-1] * PIXEL).astype(np.float32) * mask
        rim = np.clip(inside / (compressed / 2), 0, 1)
        thickness = (compressed * np.sqrt(1 - (1 - rim) ** 2)).astype(np.float32)
        muscle, outline = _pectoral(random, thickness) if oblique else (np.zeros(SHAPE, np.float32), None)
        missing = np.float32(random.uniform(0.66, 0.82) * FAT) * (np.float32(compressed) - thickness)
        return cls(inside, thickness, FAT * compressed, missing, muscle, outline, (row, depth), depth, _rays(random, row, depth))

    @property
    def covered(self) -> Array:
        """How far the pectoral muscle stands before the gland, (*SHAPE) in [0, 1]."""
        found: Array = np.clip(self.muscle / (0.5 * self.muscle.max() + 1), 0, 1)
        return found

    def towards_nipple(self, field: Array) -> Array:
        """A field over rays from the nipple and steps along them, (*RAYS), where it lies in the view, (*SHAPE)."""
        found: Array = map_coordinates(field, self.polar, order=1, mode="nearest", output=np.float32)
        return found

    def place(self, random: Generator, gland: Array, reach: float) -> tuple[float, float]:
        """Row and column in mm of a lesion: off the muscle, `reach` mm and a margin off skin and film edges, denser places likelier."""
        y, x = _grid()
        free = (self.inside > reach + 8) & (self.muscle <= 0) & (x > reach + 4) & (y > reach + 6) & (y < SHAPE[0] * PIXEL - reach - 6)
        while not free.any():
            free = self.inside > 0.7 * self.inside.max()
        odds = np.cumsum((free * (0.25 + gland)).ravel(), dtype=np.float64)
        found = int(np.searchsorted(odds, random.uniform() * odds[-1], side="right"))
        return (found // SHAPE[1] + 0.5) * PIXEL, (found % SHAPE[1] + 0.5) * PIXEL


def _rays(random: Generator, row: float, column: float) -> Array:
    """Ray and step of every pixel, (2, *SHAPE), seen from a little before the nipple; rays wave by some mm."""
    y, x = _grid()
    wave = 2.5 * smooth_field(random, (2, *SHAPE), 16)
    dy, dx = y - row + wave[0], column + 14 - x + wave[1]
    angle, far = np.arctan2(dy, dx), np.hypot(dy, dx)
    return np.stack([(angle / np.pi + 1) / 2 * (RAYS[0] - 1), far / REACH * (RAYS[1] - 1)]).astype(np.float32)


def _grid() -> tuple[Line, Line]:
    """Rows (h, 1) and columns (1, w) in mm."""
    y, x = ((np.arange(length) + 0.5) * PIXEL for length in SHAPE)
    return y[:, None], x[None]


def _rows() -> Line:
    return _grid()[0][:, 0]


def _edge_craniocaudal(random: Generator, depth: float) -> tuple[Line, float]:
    """Depth in mm of the skin at every row, and the nipple's row: half a superellipse."""
    middle = SHAPE[0] * PIXEL / 2 + random.normal(0, 5)
    half = float(np.clip(depth * random.uniform(0.82, 0.98), 62, 106))
    off = (_rows() - middle) / half
    off = np.abs(off + 0.06 * random.normal() * (1 - off**2))
    power = random.uniform(2.0, 2.5)
    return depth * np.clip(1 - off**power, 0, None) ** (1 / random.uniform(1.75, 2.1)), middle


def _edge_oblique(random: Generator, depth: float) -> tuple[Line, float]:
    """Depth of the skin at every row, and the nipple's row: from the armpit down to the nipple, then round to the fold."""
    height = SHAPE[0] * PIXEL
    row = height * random.uniform(0.54, 0.66)
    fold = min(row + depth * random.uniform(0.72, 0.95), height * random.uniform(0.94, 1.04))
    armpit = depth * random.uniform(0.34, 0.52)
    rows = _rows()
    above = armpit + (depth - armpit) * np.sin(np.pi / 2 * np.clip(rows / row, 0, 1)) ** random.uniform(1.5, 2.3)
    below = depth * np.clip(1 - np.clip((rows - row) / (fold - row), 0, None) ** random.uniform(2.1, 2.6), 0, None) ** 0.55
    return np.where(rows < row, above, below), row


def _pectoral(random: Generator, thickness: Array) -> tuple[Array, NDArray[np.float64]]:
    """Millimetres of muscle (*SHAPE), and its outline: a wedge from the upper edge to the chest wall, its border slightly bowed."""
    top, length, bow = random.uniform(44, 70), random.uniform(105, 155), random.uniform(-0.05, 0.16)
    y, x = _grid()
    down = np.clip(y / length, 0, 1)
    border = np.where(y < length, top * (1 - down) * (1 + bow * 4 * down), -np.inf)
    cover = expit((border - x) / 0.8) * (border > x - 4)
    fibres = power_law(random, SHAPE, 2.4)
    thick = random.uniform(0.55, 0.8) * (0.8 + 0.35 * (1 - down)) * (1 + 0.035 * fibres)
    steps = np.linspace(0, 1, 24)
    curve = np.stack([top * (1 - steps) * (1 + bow * 4 * steps), length * steps], 1)
    outline = np.vstack([[0.0, 0.0], curve]) / PIXEL
    return (cover * thick * thickness).astype(np.float32), outline


def power_law(random: Generator, shape: tuple[int, int], beta: float, stretch: float = 1.0, lowest: float = 1.0) -> Array:
    """Noise (*shape) of power spectrum 1 / f^beta, mean 0 and variance 1.

    stretch: of what is seen, along the second axis. lowest: frequency in periods of the first axis; below it there is nothing.
    """
    white = np.fft.rfft2(random.standard_normal(shape, dtype=np.float32))
    field = np.fft.irfft2(white * _amplitude(shape, beta, stretch, lowest), s=shape)
    scaled: Array = (field / field.std()).astype(np.float32)
    return scaled


@lru_cache(maxsize=16)
def _amplitude(shape: tuple[int, int], beta: float, stretch: float, lowest: float) -> Line:
    """Root of the power at each frequency, (h, w // 2 + 1)."""
    fy, fx = np.fft.fftfreq(shape[0])[:, None] * shape[0], np.fft.rfftfreq(shape[1])[None] * shape[0] * stretch
    frequency = np.hypot(fy, fx)
    frequency[frequency < lowest] = np.inf
    found: Line = frequency ** (-beta / 2)
    return found


def fat(random: Generator, strands: Array) -> Array:
    """Attenuation of the fatty ground per mm (*SHAPE), with septa and ligaments in it."""
    found: Array = FAT + np.float32(GLAND) * (np.float32(random.uniform(0.11, 0.20)) * strands + np.float32(0.025) * power_law(random, SHAPE, BETA))
    return found


def parenchyma(random: Generator, breast: Breast, strands: Array, dense: float) -> Array:
    """Glandular share of the thickness (*SHAPE) in [0, 1], largest in about the share `dense` of the breast's area.

    A cone behind the nipple, under a layer of fat, broken up by strands and by fields of power-law spectrum, one of them drawn out to the nipple.
    """
    y, x = _grid()
    row, column = breast.nipple
    up = random.uniform(-6, 14)
    across, along = (y - row + up * (1 - x / column)) / (0.62 * breast.depth), (x - random.uniform(0.44, 0.6) * column) / (0.52 * breast.depth)
    cone = 1.1 - np.hypot(across, along) ** 1.5
    layer = expit((breast.inside - random.uniform(7, 13)) / 2.5)
    field = 0.75 * power_law(random, SHAPE, BETA) + 0.65 * breast.towards_nipple(power_law(random, RAYS, BETA, 2.5))
    score = 1.5 * cone + 0.8 * field + 0.35 * strands - 2.6 * (1 - layer) - 1.5 * breast.covered
    area = (breast.inside > 0) & (breast.muscle <= 0)
    level = np.quantile(score[area][::7], 1 - dense)
    soft = expit((score - level) / 0.6)
    filled = random.uniform(0.50, 0.66) + 0.16 * field + 0.13 * strands
    share: Array = np.clip(soft * filled * layer, 0, 1).astype(np.float32)
    return share


def ligaments(random: Generator, breast: Breast) -> Array:
    """Ridges in [0, 1] (*SHAPE), long along rays from the nipple, thin across."""
    total = np.zeros(SHAPE, np.float32)
    for stretch, width, lowest in ((2.0, 0.16, 14.0), (5.0, 0.22, 26.0)):
        field = breast.towards_nipple(power_law(random, RAYS, 4.0, stretch, lowest))
        total += np.float32(0.5) * np.exp(-((field / np.float32(width)) ** 2))
    total *= np.clip(0.55 + 0.4 * smooth_field(random, (2, *SHAPE), 7)[0], 0.1, 1)
    return total * (1 - 0.7 * breast.covered)


def vessels(random: Generator, breast: Breast) -> Array:
    """Log attenuation (*SHAPE) of a few vessels that run from the chest wall towards the nipple."""
    found = np.zeros(SHAPE, np.float32)
    row, column = breast.nipple
    for _ in range(int(random.integers(2, 6))):
        start = np.array([row + random.uniform(-0.9, 0.9) * breast.depth, 0.0])
        end = np.array([row + random.normal(0, 0.22) * breast.depth, column * random.uniform(0.55, 0.92)])
        bend = random.normal(0, 6, size=(3, 2)) * [1, 0.5]
        knots = start + np.linspace(0, 1, 5)[:, None] * (end - start)
        knots[1:-1] += bend
        width = random.uniform(0.7, 1.3)
        found += stroke(knots, width, width * 0.6) * np.float32(random.uniform(0.10, 0.17) * width)
    return found * (breast.inside > 2)


def stroke(knots: NDArray[np.float64], start: float, end: float) -> Array:
    """A smooth line through knots (k, 2) of row and column in mm, (*SHAPE) in [0, 1]; start, end: half width in mm at its ends."""
    count = int(np.linalg.norm(np.diff(knots, axis=0), axis=1).sum() / PIXEL) + 2
    steps = np.linspace(0, len(knots) - 1, count)
    line = np.stack([_spline(knots[:, axis], steps) for axis in range(2)], 1) / PIXEL - 0.5
    widths = np.interp(steps, [0, len(knots) - 1], [start, end]) / PIXEL
    found = np.zeros(SHAPE, np.float32)
    reach = int(np.ceil(2.5 * max(start, end) / PIXEL)) + 1
    offsets = np.arange(-reach, reach + 1)
    for (at_row, at_column), width in zip(line, widths, strict=True):
        top, left = int(np.rint(at_row)) - reach, int(np.rint(at_column)) - reach
        if not (0 <= top < SHAPE[0] - 2 * reach and 0 <= left < SHAPE[1] - 2 * reach):
            continue
        dy, dx = offsets + top + reach - at_row, offsets + left + reach - at_column
        bump = np.exp(-(dy / width) ** 2 / 1.5)[:, None] * np.exp(-(dx / width) ** 2 / 1.5)[None]
        window = found[top : top + 2 * reach + 1, left : left + 2 * reach + 1]
        np.maximum(window, bump, out=window, casting="same_kind")
    return found


def _spline(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Catmull-Rom through values at 0, 1, ..."""
    padded = np.concatenate([[2 * values[0] - values[1]], values, [2 * values[-1] - values[-2]]])
    index = np.clip(at.astype(int), 0, len(values) - 2)
    t = at - index
    a, b, c, d = (padded[index + shift] for shift in range(4))
    found: NDArray[np.float64] = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    return found
