"""Lesion boxes drawn on fastMRI knees and brains, in the two published tables, as boxes in image coordinates."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from medrobust.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FASTMRI_PLUS = ("file", "slice", "study_level", "x", "y", "width", "height", "label")
CALIVA = ("filename", "slice", "numBBs", "labels", "coords")


@dataclass(frozen=True)
class Box:
    """A lesion box [row, row + height) x [column, column + width), in pixels.

    file: name without `.h5`. slice: index from 0. label: finding, such as `Meniscus Tear`.
    """

    file: str
    slice: int
    row: float
    column: float
    height: float
    width: float
    label: str

    def flipped(self, rows: int) -> Box:
        """The box over the up/down-flipped image of that many rows; its own inverse."""
        return replace(self, row=rows - self.row - self.height)

    def moved(self, rows: float, columns: float) -> Box:
        return replace(self, row=self.row + rows, column=self.column + columns)

    def clipped(self, rows: int, columns: int) -> Box | None:
        """The part inside an image (rows, columns); None where nothing is."""
        top, left = max(self.row, 0.0), max(self.column, 0.0)
        bottom, right = min(self.row + self.height, float(rows)), min(self.column + self.width, float(columns))
        return replace(self, row=top, column=left, height=bottom - top, width=right - left) if bottom > top and right > left else None


@dataclass(frozen=True)
class Annotations:
    """The boxes of one table, as drawn: over the up/down-flipped reconstruction.

    dropped: rows or boxes left out at reading, reason to count.
    """

    drawn: tuple[Box, ...]
    dropped: Mapping[str, int]

    @property
    def most(self) -> int:
        """The largest number of boxes on any slice."""
        return max(map(len, self._by_slice.values()), default=0)

    def boxes(self, file: str, index: int, rows: int, columns: int) -> tuple[Box, ...]:
        """Boxes of one slice in coordinates of its stored image (rows, columns), clipped to it; those outside are left out."""
        clipped = (box.flipped(rows).clipped(rows, columns) for box in self._by_slice.get((file, index), ()))
        return tuple(box for box in clipped if box is not None)

    def placed(self, rows: int = 320, columns: int = 320) -> tuple[tuple[Box, ...], Mapping[str, int]]:
        """All boxes in images of one size, and every reason for which one was left out with its count."""
        clipped = [box.flipped(rows).clipped(rows, columns) for box in self.drawn]
        kept = tuple(box for box in clipped if box is not None)
        outside = {"outside the image": len(clipped) - len(kept)} if len(clipped) > len(kept) else {}
        return kept, {**self.dropped, **outside}

    @cached_property
    def _by_slice(self) -> Mapping[tuple[str, int], tuple[Box, ...]]:
        table: dict[tuple[str, int], tuple[Box, ...]] = {}
        for box in self.drawn:
            key = (box.file, box.slice)
            table[key] = (*table.get(key, ()), box)
        return table


def read_annotations(path: Path | str) -> Annotations:
    """Read a table of boxes, told from its header line. Raises DataError in one line with the csv's line number.

    Sources: fastMRI+ (Zhao et al. 2022, doi:10.1038/s41597-022-01255-z), slices from 0, study-level rows without a box;
    Caliva et al. 2020, arXiv:2011.00070, slices from 1, `coords` numpy text of [x0 x1 y0 y1] rows.
    Both drew over images flipped up/down: row = H - y - height.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = tuple(reader.fieldnames or ())
            rule = {FASTMRI_PLUS: _fastmri_plus, CALIVA: _caliva}.get(columns)
            if rule is None:
                msg = f"{path}:1: found columns {', '.join(columns) or 'none'}, expected {','.join(FASTMRI_PLUS)} or {','.join(CALIVA)}"
                raise DataError(msg)
            return _collect(path, reader, rule)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path}: found a file that cannot be read ({error}), expected a csv of lesion boxes"
        raise DataError(msg) from error


def _collect(path: Path, reader: csv.DictReader[str], rule: Callable[[Mapping[str, str]], Iterator[Box | str]]) -> Annotations:
    drawn: list[Box] = []
    dropped: Counter[str] = Counter()
    line = reader.line_num + 1
    for row in reader:
        try:
            if None in row or None in row.values():
                msg = f"found {len([value for value in row.values() if value is not None])} fields, expected {len(reader.fieldnames or ())}"
                raise ValueError(msg)
            for item in rule(row):
                if isinstance(item, str):
                    dropped[item] += 1
                elif item.height <= 0 or item.width <= 0:
                    dropped["zero size"] += 1
                else:
                    drawn.append(item)
        except ValueError as error:
            msg = f"{path}:{line}: {error}"
            raise DataError(msg) from error
        line = reader.line_num + 1
    return Annotations(tuple(drawn), dict(dropped))


def _fastmri_plus(row: Mapping[str, str]) -> Iterator[Box | str]:
    if row["study_level"].strip() not in {"Yes", "No"}:
        msg = f"study_level: found {row['study_level']!r}, expected Yes or No"
        raise ValueError(msg)
    if row["study_level"].strip() == "Yes":
        yield "study level"
        return
    x, y, width, height = (_number(name, row[name]) for name in ("x", "y", "width", "height"))
    yield Box(_stem(row["file"]), _index(row["slice"], 0), y, x, height, width, row["label"].strip())


def _caliva(row: Mapping[str, str]) -> Iterator[Box | str]:
    count, labels = _index(row["numBBs"], 0, "numBBs"), re.findall(r"'([^']*)'", row["labels"])
    values = [_number("coords", text) for text in re.sub(r"[\[\]]", " ", row["coords"]).split()]
    if len(labels) != count or len(values) != 4 * count:
        msg = f"found {len(labels)} labels and {len(values)} coordinates, expected {count} and {4 * count} as numBBs says"
        raise ValueError(msg)
    for label, (x0, x1, y0, y1) in zip(labels, zip(*[iter(values)] * 4, strict=True), strict=True):
        yield Box(_stem(row["filename"]), _index(row["slice"], 1), y0, x0, y1 - y0, x1 - x0, label.strip())


def _stem(name: str) -> str:
    stem = name.strip().removesuffix(".h5")
    if not stem:
        msg = "file: found nothing, expected a file name"
        raise ValueError(msg)
    return stem


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        msg = f"{name}: found {text!r}, expected a number"
        raise ValueError(msg)
    return value


def _index(text: str, first: int, name: str = "slice") -> int:
    if not text.strip().isdecimal() or int(text) < first:
        msg = f"{name}: found {text!r}, expected an integer of at least {first}"
        raise ValueError(msg)
    return int(text) - first
