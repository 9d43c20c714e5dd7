"""Abdominal CT of made-up subjects: soft organs whose densities overlap, in Hounsfield units, with the organs outlined."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from medrobust.imaging.smooth import Array, smooth_field

WIDTH = 384.0
"""Edge in mm of a slice."""

DEPTH = 192.0
"""Millimetres from the lowest to the highest slice: from below the kidneys to the dome of the liver."""

PANCREAS, KIDNEYS, LIVER, SPLEEN = 1, 2, 3, 4
AIR, LUNG = -1000.0, -850.0


@dataclass(frozen=True)
class Abdomen:
    """One subject: image (*shape) int16 in HU, labels (*shape) uint8 of pancreas 1, kidneys 2, liver 3, spleen 4, spacing in mm of each axis.

    Axes run to the patient's left, back and head.
    """

    image: NDArray[np.int16]
    labels: NDArray[np.uint8]
    spacing: tuple[float, float, float]


@dataclass(frozen=True)
class Densities:
    """Mean HU of each tissue of one subject, in the portal-venous phase: organs overlap from subject to subject, and with muscle and bowel."""

    fat: float
    muscle: float
    liver: float
    spleen: float
    cortex: float
    medulla: float
    pancreas: float
    vessel: float
    bowel: float
    fluid: float
    spongy: float
    compact: float

    @classmethod
    def drawn(cls, random: Generator) -> Densities:
        """Of one subject: contrast agent moves all that is perfused together, the rest is each organ's own."""
        phase = random.normal(0, 1)
        usual = {
            "fat": (-105, 6, 0), "muscle": (58, 6, 3), "liver": (104, 13, 8), "spleen": (116, 9, 9), "cortex": (172, 14, 14),
            "medulla": (138, 16, 10), "pancreas": (88, 12, 8), "vessel": (146, 12, 16), "bowel": (74, 10, 6), "fluid": (16, 8, 0),
            "spongy": (190, 35, 0), "compact": (620, 80, 0),
        }  # fmt: skip
        return cls(**{name: random.normal(mean, spread) + gain * phase for name, (mean, spread, gain) in usual.items()})


def shape_of(size: int, slices: int) -> tuple[int, int, int]:
    """The volume's shape: a square slice of `size` voxels an edge, and the slices."""
    return size, size, slices


def abdomen(random: Generator, size: int, slices: int) -> Abdomen:
    """One random subject.

    random: the only source of randomness; noise is drawn last, so that anatomy does not hang on the grid. size: voxels along an edge of `WIDTH`.
    slices: over `DEPTH`.

    Anatomy is solid geometry in millimetres, laid out as in a supine adult, under a random scale, tilt and a smooth deformation of about 6 mm, each
    organ moved and stretched by itself and given a rough surface. The pancreas is a lobulated band 15 to 26 mm thick, bent over the spine, between
    stomach, bowel and vessels of nearly its own density. Image: tissue with texture, blurred by the scanner, noise of a reconstruction filter (rising
    with frequency, then cut off), more of it in the middle, a table below.
    """
    shape = shape_of(size, slices)
    spacing = (WIDTH / size, WIDTH / size, DEPTH / slices)
    body = Body.drawn(random, shape, spacing)
    densities = Densities.drawn(random)
    covers = organs(random, body)
    image = tissues(random, body, covers, densities)
    labels = np.zeros(shape, np.uint8)
    best = np.full(shape, 0.5, np.float32)
    for label, name in ((LIVER, "liver"), (SPLEEN, "spleen"), (KIDNEYS, "kidneys"), (PANCREAS, "pancreas")):
        labels[covers[name] > best] = label
        best = np.maximum(best, covers[name])
    return Abdomen(scanned(random, image, body), labels, spacing)


@dataclass(frozen=True)
class Body:
    """The frame of one subject.

    at: anatomical coordinates in mm of every voxel, (3, *shape): x to the left from the spine's middle, y to the back from the belly's middle, z to
    the head from the lowest slice; deformed. depth: mm under the skin, negative outside. spacing: mm of each axis. wall: mm from the skin to the
    abdominal cavity: fat and muscle. place: undeformed millimetres.
    """

    at: Array
    place: Array
    depth: Array
    spacing: tuple[float, float, float]
    fat: Array
    muscle: float

    @classmethod
    def drawn(cls, random: Generator, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Body:
        axes = [((np.arange(n) + 0.5) * step).astype(np.float32) for n, step in zip(shape, spacing, strict=True)]
        place = np.stack(np.meshgrid(axes[0] - WIDTH / 2, axes[1] - WIDTH / 2, axes[2], indexing="ij")).astype(np.float32)
        tilt, scale = random.normal(0, 0.04), np.exp(random.normal(0, 0.06, size=3)).astype(np.float32)
        shift = np.array([random.normal(0, 6), random.normal(0, 6), random.uniform(-10, 10)], np.float32)
        turned = np.stack([np.cos(tilt) * place[0] - np.sin(tilt) * place[1], np.sin(tilt) * place[0] + np.cos(tilt) * place[1], place[2]])
        at = (turned - shift[:, None, None, None]) / scale[:, None, None, None]
        at += 6.0 * np.stack([smooth_field(random, shape, 4) for _ in range(3)])
        half = np.array([170.0, 122.0]) * np.exp(random.normal(0, 0.05, size=2))
        narrow = 1 - 0.0006 * (at[2] - 96)
        radius = ((np.abs(at[0]) / (half[0] * narrow)) ** 2.4 + (np.abs(at[1]) / (half[1] * narrow)) ** 2.4) ** (1 / 2.4)
        depth = (1 - radius) * half.min()
        thick = random.uniform(8, 26)
        fat = thick * (1 + 0.35 * np.tanh(at[1] / 60)).astype(np.float32)
        return cls(at, place, depth.astype(np.float32), spacing, fat, random.uniform(9, 14))

    @property
    def shape(self) -> tuple[int, int, int]:
        found: tuple[int, int, int] = self.depth.shape
        return found

    def soft(self, inside: Array) -> Array:
        """Coverage in [0, 1] from mm inside a surface, over about a voxel."""
        cover: Array = expit(inside / (0.35 * self.spacing[0]))
        return cover

    def egg(self, random: Generator, centre: tuple[float, float, float], radii: tuple[float, float, float], wander: float, rough: float) -> Array:
        """Millimetres inside an ellipsoid that is moved by about `wander` mm, stretched by 8 % and roughened by `rough` mm."""
        middle = np.array(centre) + random.normal(0, wander, size=3)
        half = np.array(radii) * np.exp(random.normal(0, 0.08, size=3))
        far = np.sqrt(sum(((self.at[axis] - middle[axis]) / half[axis]) ** 2 for axis in range(3)))
        inside: Array = ((1 - far) * np.exp(np.log(half).mean())).astype(np.float32)
        return inside + np.float32(rough) * smooth_field(random, self.shape, 10)

    def tube(self, points: NDArray[np.float64], radii: NDArray[np.float64]) -> Array:
        """Millimetres inside a tube of varying radius (k,) along the polyline through points (k, 3)."""
        steps = np.linspace(0, len(points) - 1, 12 * (len(points) - 1) + 1)
        line = np.stack([np.interp(steps, np.arange(len(points)), points[:, axis]) for axis in range(3)], 1)
        thick = np.interp(steps, np.arange(len(points)), radii)
        inside = np.full(self.shape, -np.inf, np.float32)
        for (x, y, z), radius in zip(line, thick, strict=True):
            far = np.sqrt((self.at[0] - x) ** 2 + (self.at[1] - y) ** 2 + (self.at[2] - z) ** 2)
            np.maximum(inside, (radius - far).astype(np.float32), out=inside)
        return inside

    def column(self, x: float, y: float, half: tuple[float, float]) -> Array:
        """Millimetres inside an upright elliptic column."""
        far = np.hypot((self.at[0] - x) / half[0], (self.at[1] - y) / half[1])
        inside: Array = ((1 - far) * np.sqrt(half[0] * half[1])).astype(np.float32)
        return inside


def organs(random: Generator, body: Body) -> dict[str, Array]:
    """Coverage in [0, 1] (*shape) of everything that lies in the abdominal cavity; what touches keeps a gap of a few mm of fat."""
    cavity = body.depth - body.fat - body.muscle - 2
    dome = 186 - ((np.abs(body.at[0]) - 66) ** 2 + (body.at[1] - 4) ** 2) / 190 + random.normal(0, 5)
    below = (dome - body.at[2]).astype(np.float32)
    inner = np.minimum(cavity, below - 3)

    kidneys, medulla = np.full(body.shape, -np.inf, np.float32), np.full(body.shape, -np.inf, np.float32)
    for side, height in ((-1, 74.0), (1, 88.0)):
        x = side * 64.0
        whole = body.egg(random, (x, 54, height), (28, 26, 54), 4, 1.0)
        sinus = body.egg(random, (x - side * 21, 46, height), (19, 13, 24), 2, 1.0)
        kidney = np.minimum(whole, -sinus)
        np.maximum(kidneys, kidney, out=kidneys)
        np.maximum(medulla, np.minimum(kidney - 6.5, 4 * smooth_field(random, body.shape, 22) + 1), out=medulla)
    liver = np.maximum(body.egg(random, (-76, -4, 132), (66, 74, 64), 4, 1.5), body.egg(random, (-8, -52, 146), (74, 33, 38), 6, 1.5))
    gallbladder = body.egg(random, (-56, -52, 92), (15, 17, 22), 5, 0.8)
    spleen = body.egg(random, (98, 36, 136), (28, 44, 46), 5, 1.2)
    stomach = body.egg(random, (54, -42, 140), (46, 36, 42), 7, 2.0)
    pancreas = _pancreas(random, body)
    aorta, cava = body.column(9, 34, (10, 10)), body.column(-22, 31, (12, 9))
    wander = random.normal(0, 4, size=(6, 3))
    splenic = np.array([[88, 32, 132], [62, 22, 121], [20, 0, 107], [-14, -4, 104], [-34, -6, 114], [-54, -4, 128]]) + wander
    veins = np.maximum(body.tube(splenic, np.full(6, 4.8)), body.column(-12, 6, (6, 6)) - np.maximum(body.at[2] - 104, 0))
    bowel = _bowel(random, body)

    kidneys = np.minimum(kidneys, inner)
    vessels = np.maximum(np.maximum(aorta, cava), veins)
    spleen = np.minimum.reduce([spleen, inner, -kidneys - 3])
    liver = np.minimum.reduce([liver, inner, -kidneys - 3, -gallbladder - 0.5, -spleen - 3, -np.maximum(aorta, cava) - 2])
    pancreas = np.minimum.reduce([pancreas, inner, -liver - 2.5, -spleen - 2.5, -kidneys - 2.5, -vessels - 0.5])
    stomach = np.minimum.reduce([stomach, inner, -liver - 2.5, -spleen - 2.5, -pancreas - 2, -kidneys - 3])
    solid = np.maximum.reduce([kidneys, liver, spleen, pancreas, stomach, vessels, gallbladder])
    bowel = np.minimum.reduce([bowel, inner, -solid - 1.5])
    inside = {
        "kidneys": kidneys, "medulla": np.minimum(medulla, kidneys), "liver": liver, "gallbladder": np.minimum(gallbladder, inner), "spleen": spleen,
        "stomach": stomach, "pancreas": pancreas, "vessels": vessels, "bowel": bowel, "cavity": cavity, "lung": np.minimum(cavity, -below),
    }  # fmt: skip
    return {name: body.soft(mm) for name, mm in inside.items()} | {"stomach depth": stomach, "bowel depth": bowel}


def _pancreas(random: Generator, body: Body) -> Array:
    """A band from the duodenum over the spine to the spleen; lobules roughen its surface, and fat lies between them."""
    points = np.array([[-44.0, 4, 84], [-36, -2, 94], [-10, -20, 103], [24, -16, 110], [54, 4, 117], [80, 20, 124]])
    points = points + random.normal(0, 5, size=points.shape) + random.normal(0, 5, size=3)
    radii = np.array([11.5, 13, 8, 9.5, 9, 8]) * np.exp(random.normal(0, 0.14))
    return body.tube(points, radii) + np.float32(2.2) * smooth_field(random, body.shape, 26)


def _bowel(random: Generator, body: Body) -> Array:
    """Millimetres inside loops: duodenum, colon and small bowel."""
    loops = [
        (np.array([[-48.0, -24, 112], [-66, -4, 98], [-62, 8, 76], [-24, 14, 62], [26, 8, 64]]), 11.0),
        (np.array([[-104.0, 10, -10], [-106, 6, 40], [-100, -12, 78]]), 20.0),
        (np.array([[-100.0, -20, 78], [-50, -66, 62], [10, -74, 56], [64, -62, 70], [100, -10, 96]]), 18.0),
        (np.array([[104.0, 10, 96], [112, 26, 50], [106, 22, -10]]), 16.0),
    ]
    inside = np.full(body.shape, -np.inf, np.float32)
    for points, radius in loops:
        moved = points + random.normal(0, 6, size=points.shape)
        np.maximum(inside, body.tube(moved, radius * np.exp(random.normal(0, 0.12, size=len(points)))), out=inside)
    for _ in range(9):
        start = np.array([random.uniform(-70, 70), random.uniform(-60, 5), random.uniform(-10, 62)])
        points = start + np.cumsum(np.vstack([np.zeros(3), random.normal(0, 26, size=(3, 3)) * [1, 0.7, 0.6]]), 0)
        np.maximum(inside, body.tube(points, np.full(4, random.uniform(10, 14))), out=inside)
    return inside


def tissues(random: Generator, body: Body, covers: dict[str, Array], hu: Densities) -> Array:
    """HU of every voxel before the scanner, (*shape)."""
    image = np.full(body.shape, AIR, np.float32)

    def paint(cover: Array, value: Array | float) -> None:
        np.add(image, cover * (value - image), out=image)

    def texture(knots: int, amount: float) -> Array:
        return np.float32(amount) * smooth_field(random, body.shape, knots)

    paint(body.soft(body.depth), 30.0)
    paint(body.soft(body.depth - 2), hu.fat + texture(20, 6))
    paint(body.soft(body.depth - body.fat), hu.muscle + texture(24, 10))
    paint(covers["cavity"], hu.fat + texture(16, 9))
    for x, y, half in ((34, 58, (17, 17)), (-34, 58, (17, 17)), (30, 96, (26, 18)), (-30, 96, (26, 18))):
        paint(body.soft(body.column(x, y, half)) * body.soft(body.depth - 5), hu.muscle + texture(24, 10))
    _bones(body, paint, hu, texture(30, 60))
    for name in ("bowel", "stomach"):
        depth = covers[f"{name} depth"]
        stuff = texture(9, 1.0)
        contents = np.where(stuff > 0.5, hu.fluid + 45, hu.fluid) + texture(30, 14)
        gas = body.soft(np.minimum(depth - 3, 9 * (stuff - 0.55) - 0.25 * (body.at[1] + 40)))
        paint(covers[name], hu.bowel + texture(24, 8))
        paint(body.soft(depth - 3), contents)
        paint(gas, -880.0)
    lobules = texture(34, 1.0)
    values: tuple[tuple[str, Any], ...] = (
        ("gallbladder", hu.fluid),
        ("liver", hu.liver + texture(14, 4)),
        ("spleen", hu.spleen + texture(14, 4)),
        ("kidneys", hu.cortex + texture(20, 5)),
        ("medulla", hu.medulla),
        ("pancreas", hu.pancreas + np.minimum(lobules, 0.3) * 22),
        ("vessels", hu.vessel),
    )
    for name, value in values:
        paint(covers[name], value)
    branches = body.soft(2.2 - 9 * np.abs(texture(9, 1.0)) - 6 * np.abs(texture(9, 1.0)))
    paint(branches * covers["liver"], hu.vessel)
    paint(covers["lung"], LUNG + texture(28, 40))
    return image


def _bones(body: Body, paint: Callable[[Array, Array | float], None], hu: Densities, marrow: Array) -> None:
    """Spine with discs, its canal and processes, and ribs in the upper wall."""
    vertebra = body.column(0, 62, (22, 17))
    disc = body.soft(5 - np.abs((body.at[2] + 8) % 34 - 17))
    paint(body.soft(vertebra), hu.compact - disc * (hu.compact - 95))
    paint(body.soft(vertebra - 2.5), hu.spongy + marrow - disc * (hu.spongy + marrow - 85))
    for x, y, half in ((0, 104, (5, 16)), (22, 84, (16, 5)), (-22, 84, (16, 5))):
        process = body.column(x, y, half)
        paint(body.soft(process) * (1 - 0.6 * disc), hu.compact)
        paint(body.soft(process - 2.5), hu.spongy + marrow)
    paint(body.soft(body.column(0, 84, (9, 9))), 25.0)
    angle = np.arctan2(body.at[1], np.abs(body.at[0]))
    height = (body.at[2] - 150 + 70 * (1 - angle)) % 30 - 15
    rib = np.minimum.reduce([5 - np.abs(body.depth - body.fat - 6), 6 - np.abs(height), body.at[2] - 96 - 20 * np.cos(angle), 140 * (angle + 0.9)])
    paint(body.soft(rib.astype(np.float32)), hu.compact)
    paint(body.soft(rib.astype(np.float32) - 2.5), hu.spongy + marrow)


def scanned(random: Generator, image: Array, body: Body) -> NDArray[np.int16]:
    """The scanner's blur, table and noise; int16 HU clipped to [-1024, 3071]."""
    low = np.hypot(body.place[0] / 190, (body.place[1] - 20) / 124)
    table = np.maximum(0, 1 - np.abs(low - 1) * 70) * (body.place[1] > 60) * (body.depth < -2)
    blurred = gaussian_filter(image + table * 820, (0.45, 0.45, 0.25))
    size = image.shape[0]
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    ramp = frequency * np.exp(-((frequency / 0.28) ** 2))
    white = random.standard_normal(image.shape, dtype=np.float32)
    noise = np.fft.irfft2(np.fft.rfft2(white, axes=(0, 1)) * ramp[..., None], s=image.shape[:2], axes=(0, 1))
    noise *= random.uniform(9, 20) / noise.std()
    thick = 0.5 + np.clip(body.depth, 0, None) / 90
    image_hu: NDArray[np.int16] = np.clip(np.rint(blurred + noise * thick), -1024, 3071).astype(np.int16)
    return image_hu
