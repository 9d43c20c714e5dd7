"""Digitised film mammograms of mini-MIAS, with its circles."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from medrobust.data.mammogram import AGAINST_ALL, AGAINST_NORMAL, MASS, Mammogram, Outline, Rule
from medrobust.data.mammogram_file import read_grey, read_rows
from medrobust.data.mammogram_set import MammogramSet, Pixels, known_options
from medrobust.errors import DataError
from medrobust.types import Batch, Case

EDGE = 1024
"""Pixels along an edge of the published images, in which the tables count."""

KINDS = {"CIRC": "mass", "SPIC": "mass", "MISC": "mass", "CALC": "cluster", "ARCH": "distortion", "ASYM": "asymmetry"}
PATHOLOGY = {"": "normal", "B": "benign", "M": "malignant"}
ROW = re.compile(r"(mdb\d{3})\s+([FGD])\s+([A-Z]{4})(?:\s+([BM]))?(?:\s+(\d+)\s+(\d+)\s+(\d+)|\s+\*NOTE \d\*)?")
COLUMNS = ("Name", "Abnormality", "Type", "x", "y", "r")


@dataclass(frozen=True)
class Films:
    """What the table says of one image. pathology: the worst of its lesions'. lost: whether a lesion has no circle. lesions: those that have."""

    pathology: str = "normal"
    mass: bool = False
    lost: bool = False
    lesions: tuple[Outline, ...] = ()


@dataclass(frozen=True)
class MiniMIAS:
    """Mammograms of mini-MIAS, all MLO, as networks see them, in [-1, 1]; truth 1 cancerous, 0 healthy by a named rule.

    Source: Suckling et al. 1994, The Mammographic Image Analysis Society Digital Mammogram Database; preprocessing as Becker et al. 2019,
    doi:10.1016/j.ejrad.2019.108649. Research only.

    folder: with the table, Info.txt as published or labels_converted.csv, and the images; no part of the digest.
        Splits are those of its `splits.yaml` where it has one, which names pairs (`pair001` is mdb001 and mdb002) or images, else drawn:
    images: sub-folder of mdb001.pgm or .png and so on, 1024 pixels an edge or reduced evenly; no part of the digest.
    size: rows and columns. labels: `pathology` (malignant against normal, benign left out), `malignant` (against all else) or `mass`.
    views: MLO is all there is. val, test: share of pairs in each split, drawn with `seed`; train is the rest; a pair is one patient's two breasts.
    title: how results are labelled; no part of the digest.
    """

    folder: str
    images: str = ""
    size: tuple[int, int] = (256, 256)
    labels: str = "pathology"
    views: tuple[str, ...] = ("CC", "MLO")
    val: float = 0.1
    test: float = 0.25
    seed: int = 0
    title: str = "mini-MIAS"

    task: ClassVar[str] = "classification"
    rules: ClassVar[Mapping[str, Rule]] = {"pathology": AGAINST_NORMAL, "malignant": AGAINST_ALL, **MASS}

    def __post_init__(self) -> None:
        known_options(self.title, self.size, self.labels, self.rules, self.views, self.val, self.test)

    @property
    def digest(self) -> str:
        """Identity of names, bytes, labels, splits and frame, 12 hexadecimal digits."""
        return self._set.digest

    @property
    def label(self) -> str:
        return self._set.described(self.title)

    def cases(self, split: str) -> Sequence[Case]:
        """Every image of the split with a label, in the order of their names. Raises DataError."""
        return self._set.cases(split)

    def load(self, cases: Sequence[Case]) -> Batch:
        """Image (n, 1, h, w) in [-1, 1], truth (n,), and the context `lesion` and `breast` (n, 1, h, w) and `outlined` (n,)."""
        return self._set.load(cases)

    @cached_property
    def _set(self) -> MammogramSet:
        root = Path(self.folder).expanduser()
        return MammogramSet(root, self._find, self._read, self.size, self.labels, self.rules, self.views, self.val, self.test, self.seed)

    @cached_property
    def _table(self) -> tuple[Path, Mapping[str, Films]]:
        return read_table(Path(self.folder).expanduser())

    def _find(self) -> dict[str, Mammogram]:
        table, films = self._table
        folder = table.parent / self.images
        paths = {path.stem: path for path in sorted(folder.glob("mdb*")) if path.suffix in (".pgm", ".png")}
        for name in sorted(paths.keys() ^ films.keys()):
            if name in paths:
                msg = f"{paths[name]}: found an image without a label, expected a row '{name}' in {table.name}"
            else:
                msg = f"{table}: {name}: found a label without an image, expected {folder / name}.pgm or .png"
            raise DataError(msg)
        found = {}
        for name, path in paths.items():
            number, film = int(name.removeprefix("mdb")), films[name]
            patient, side = f"pair{(number + 1) // 2:03d}", "R" if number % 2 else "L"
            found[name] = Mammogram(
                name, patient, path, side, "MLO", pathology=film.pathology, mass=film.mass, outlined=not film.lost, sides=(table,)
            )
        return found

    def _read(self, one: Mammogram) -> Pixels:
        pixels = read_grey(one.image)
        if pixels.shape[0] != pixels.shape[1] or EDGE % pixels.shape[0]:
            msg = f"{one.image}: found {pixels.shape[0]} x {pixels.shape[1]} pixels, expected {EDGE} x {EDGE} or a whole part of it"
            raise DataError(msg)
        scale = pixels.shape[0] / EDGE
        lesions = self._table[1][one.name].lesions
        return pixels, [Outline(lesion.kind, (lesion.points + 0.5) * scale - 0.5, pathology=lesion.pathology) for lesion in lesions]


def read_table(folder: Path) -> tuple[Path, dict[str, Films]]:
    """`Info.txt` as published, whatever stands around its rows, or `labels_converted.csv`; image to what is said. Raises DataError in one line."""
    path = next((folder / name for name in ("Info.txt", "info.txt", "labels_converted.csv") if (folder / name).exists()), None)
    if path is None:
        msg = f"{folder}: found no Info.txt and no labels_converted.csv, expected one of them"
        raise DataError(msg)
    rows = _converted(path) if path.suffix == ".csv" else _published(path)
    if not rows:
        msg = f"{path}: found no row of an image, expected some such as 'mdb001 G CIRC B 535 425 197'"
        raise DataError(msg)
    films: dict[str, Films] = {}
    for name, kind, severity, circle in rows:
        films[name] = _with(films.get(name, Films()), f"{path}: {name}", kind, severity, circle)
    return path, films


Row = tuple[str, str, str, tuple[float, float, float] | None]


def _published(path: Path) -> list[Row]:
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        msg = f"{path}: found a table that cannot be read ({error.strerror}), expected one"
        raise DataError(msg) from error
    rows: list[Row] = []
    for number, line in enumerate(lines, 1):
        if not line.strip().startswith("mdb"):
            continue
        match = ROW.fullmatch(line.strip())
        if match is None:
            msg = f"{path}:{number}: found '{line.strip():.60}', expected a row such as 'mdb001 G CIRC B 535 425 197'"
            raise DataError(msg)
        circle = (float(match[5]), float(match[6]), float(match[7])) if match[5] else None
        rows.append((match[1], match[3], match[4] or "", circle))
    return rows


def _converted(path: Path) -> list[Row]:
    rows: list[Row] = []
    for row in read_rows(path, COLUMNS):
        try:
            circle = (float(row["x"]), float(row["y"]), float(row["r"])) if row["x"] and row["r"] else None
        except ValueError as error:
            msg = f"{path}: {row['Name']}: found the circle '{row['x']} {row['y']} {row['r']}', expected three numbers"
            raise DataError(msg) from error
        rows.append((row["Name"], row["Abnormality"], row["Type"], circle))
    return rows


def _with(film: Films, where: str, kind: str, severity: str, circle: tuple[float, float, float] | None) -> Films:
    """The image with one more row; y counts from the bottom. Raises DataError for a row that contradicts itself."""
    if kind == "NORM" and not severity:
        return film
    if kind not in KINDS or severity not in ("B", "M"):
        msg = f"{where}: found '{kind} {severity}', expected NORM, or one of {', '.join(KINDS)} with B or M"
        raise DataError(msg)
    pathology = PATHOLOGY[severity]
    worst = "malignant" if "malignant" in (pathology, film.pathology) else pathology
    lesions = film.lesions
    if circle is not None:
        x, y, radius = circle
        turns = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        points = np.stack([x + radius * np.cos(turns), EDGE - y + radius * np.sin(turns)], 1) - 0.5
        lesions = (*lesions, Outline(KINDS[kind], points, pathology=pathology))
    return Films(worst, film.mass or KINDS[kind] == "mass", film.lost or circle is None, lesions)
