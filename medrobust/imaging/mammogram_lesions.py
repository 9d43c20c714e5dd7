"""What may lie in a made-up breast: smooth and spiculated masses, clustered microcalcifications and coarse benign ones, outlined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import expit

from medrobust.imaging.mammogram_anatomy import PIXEL, SHAPE
from medrobust.imaging.smooth import Array

MASS, CLUSTER, CALCIFICATION, SPICULATED = "Mass", "Cluster", "Calcification", "Spiculated Region"
"""INbreast's names of what is outlined."""


@dataclass(frozen=True)
class Finding:
    """One outline. name: as INbreast has it. points: (k, 2) in pixels, x before y; one point is a dot."""

    name: str
    points: NDArray[np.float64]


@dataclass(frozen=True)
class Lesion:
    """The kind and looks that both views of a breast share.

    radius: mm of the mass. contrast: log attenuation per cm of thickness beyond its surroundings'.
    spiculated, smooth, clustered: what it consists of. obscured: whether tissue hides part of its margin.
    """

    radius: float
    contrast: float
    spiculated: bool = False
    smooth: bool = False
    clustered: bool = False
    obscured: bool = False

    @property
    def reach(self) -> float:
        """Millimetres from the middle to what it reaches at most, nearly."""
        return self.radius * (2.2 if self.spiculated else 1.1)


def spiculated_mass(random: Generator, log: Array, at: tuple[float, float], lesion: Lesion) -> list[Finding]:
    """Add an irregular core with spicules that radiate about 1.5 to 3 radii; outline the core, and the region that spicules reach."""
    radius = lesion.radius * random.uniform(0.93, 1.07)
    far, angle = _polar(at)
    shape = _wavy(random, angle, 0.10, 7)
    edge = radius * shape
    log += _lump(far, edge, 1.1) * np.float32(lesion.contrast * 2 * radius / 10)
    count = int(random.integers(14, 26))
    lengths = radius * random.uniform(1.5, 2.7, count) + 2.5
    halo = np.zeros(SHAPE, np.float32)
    for turn, length in zip((np.arange(count) + random.uniform(-0.35, 0.35, count)) / count * 2 * np.pi, lengths, strict=True):
        _spicule(random, halo, at, turn, 0.5 * radius, length)
    log += halo * np.float32(lesion.contrast * random.uniform(0.36, 0.54))
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    around = np.interp(turns, np.arange(count) / count * 2 * np.pi, lengths, period=2 * np.pi)
    core = np.interp(turns, *_by_angle(angle, edge), period=2 * np.pi)
    return [Finding(MASS, _points(at, turns, core)), Finding(SPICULATED, _points(at, turns, around))]


def smooth_mass(random: Generator, log: Array, at: tuple[float, float], lesion: Lesion) -> list[Finding]:
    """Add an oval, well-circumscribed mass; of an obscured one tissue hides about half of the margin."""
    radius = lesion.radius * random.uniform(0.93, 1.07)
    far, angle = _polar(at)
    stretch, tilt = random.uniform(1.0, 1.4), random.uniform(0, np.pi)
    oval = 1 / np.sqrt((np.cos(angle - tilt) ** 2) / stretch + (np.sin(angle - tilt) ** 2) * stretch)
    edge = radius * oval * (_wavy(random, angle, 0.035, 3) if lesion.obscured else 1.0)
    lump = _lump(far, edge, 0.45)
    if lesion.obscured:
        hidden = expit((np.cos(angle - random.uniform(0, 2 * np.pi)) - 0.1) / 0.2)
        lump = lump * (1 - hidden) + _lump(far, edge * 1.12, 0.28 * radius) * hidden
    log += lump * np.float32(lesion.contrast * 2 * radius / 10)
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    return [Finding(MASS, _points(at, turns, np.interp(turns, *_by_angle(angle, edge), period=2 * np.pi)))]


def cluster(random: Generator, log: Array, at: tuple[float, float], lesion: Lesion) -> list[Finding]:
    """Add 8 to 22 microcalcifications of 0.5 to 1.1 mm, uneven in size and shape, within some mm; outline where they lie."""
    spread = max(0.42 * lesion.radius, 2.4)
    count = int(random.integers(8, 23))
    offsets = random.normal(0, 1, size=(count, 2)) * spread
    for dy, dx in offsets:
        _speck(random, log, (at[0] + dy, at[1] + dx), random.uniform(0.25, 0.55), random.uniform(0.5, 1.2))
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    reach = np.full(24, float(np.hypot(*offsets.T).max()) + 1.0)
    return [Finding(CLUSTER, _points(at, turns, reach))]


def calcifications(random: Generator, log: Array, places: list[tuple[float, float]]) -> list[Finding]:
    """Add coarse, round, benign calcifications of 1 to 3 mm; each is a dot."""
    for place in places:
        _speck(random, log, place, random.uniform(0.5, 1.4), random.uniform(0.7, 1.4))
    return [Finding(CALCIFICATION, np.array([[x, y]]) / PIXEL - 0.5) for y, x in places]


def _spicule(random: Generator, halo: Array, at: tuple[float, float], turn: float, start: float, end: float) -> None:
    """Add a slightly bent line that thins out between two distances from the middle, of height up to 1; the strongest line counts."""
    window, y, x = _window(at, end)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    part = np.clip((along - start) / (end - start), 0, 1)
    bent = across - random.normal(0, 0.12) * end * part**2
    width = random.uniform(0.8, 1.2) * (1 - 0.6 * part)
    line = np.exp(-((bent / width) ** 2)) * (1 - part**3) * (along > start) * random.uniform(0.6, 1.0)
    np.maximum(halo[window], line.astype(np.float32), out=halo[window])


def _speck(random: Generator, log: Array, at: tuple[float, float], radius: float, strength: float) -> None:
    window, y, x = _window(at, 1.3 * radius + 2)
    oval = 1 + 0.25 * np.cos(2 * (np.arctan2(y, x) - random.uniform(0, np.pi)))
    log[window] += (expit((radius * oval - np.hypot(y, x)) / 0.16) * strength).astype(np.float32)


def _window(at: tuple[float, float], reach: float) -> tuple[tuple[slice, slice], NDArray[np.floating], NDArray[np.floating]]:
    """The part of the view within `reach` mm of a place, and mm from the place along its rows (h, 1) and columns (1, w)."""
    rows, columns = (slice(max(0, int((middle - reach) / PIXEL)), int((middle + reach) / PIXEL) + 2) for middle in at)
    y, x = np.arange(SHAPE[0])[rows], np.arange(SHAPE[1])[columns]
    return (rows, columns), ((y + 0.5) * PIXEL - at[0])[:, None], ((x + 0.5) * PIXEL - at[1])[None]


def _polar(at: tuple[float, float]) -> tuple[Array, Array]:
    """Millimetres from a place, and the angle there, 0 along columns, (*SHAPE)."""
    y = ((np.arange(SHAPE[0]) + 0.5) * PIXEL - at[0]).astype(np.float32)[:, None]
    x = ((np.arange(SHAPE[1]) + 0.5) * PIXEL - at[1]).astype(np.float32)[None]
    return np.hypot(y, x), np.arctan2(y, x)


def _wavy(random: Generator, angle: Array, amount: float, orders: int) -> Array:
    """A closed curve's radius around 1, by angle: harmonics from the second on."""
    found = np.ones_like(angle)
    for order in range(2, orders + 2):
        found += np.float32(amount * random.normal() / np.sqrt(order - 1)) * np.cos(order * angle + np.float32(random.uniform(0, 2 * np.pi)))
    return np.clip(found, 0.6, 1.5)


def _lump(far: Array, edge: Array | float, soft: float) -> Array:
    """Thickness of a ball over its diameter, by distance from its middle, its edge softened over `soft` mm, in [0, 1]."""
    ball = np.sqrt(np.clip(1 - (far / (edge * 1.05)) ** 2, 0, 1))
    found: Array = ((0.35 + 0.65 * ball) * expit((edge - far) / soft)).astype(np.float32)
    return found


def _by_angle(angle: Array, values: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values of a function of the angle alone at increasing angles in [0, 2 pi)."""
    turns, first = np.unique(np.mod(angle[::4, ::4].astype(np.float64), 2 * np.pi), return_index=True)
    return turns, values[::4, ::4].ravel()[first].astype(np.float64)


def _points(at: tuple[float, float], turns: NDArray[np.float64], radii: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.stack([at[1] + radii * np.cos(turns), at[0] + radii * np.sin(turns)], 1) / PIXEL - 0.5
    return np.clip(found, 0, np.array(SHAPE)[::-1] - 1)
