"""INbreast on disk: its table of BI-RADS, its names of files, and its outlines in OsiriX property lists."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
import pandas as pd

from medrobust.data.mammogram import Outline, birads_number
from medrobust.data.mammogram_file import one_of, read_rows, text_rows
from medrobust.errors import DataError

NAME = re.compile(r"([^_]+)_([^_]+)_MG_([LR])_([A-Z]+)_ANON")
"""Image, patient, side and view in the name of a DICOM file, such as `20586908_6c613a14b80a8591_MG_R_CC_ANON.dcm`."""

VIEWS = {"ML": "MLO"}  # as the set and some devices abbreviate it
COLUMNS = ("File Name", "Laterality", "View", "Bi-Rads")


@dataclass(frozen=True)
class Listed:
    """One row of the table. birads: as a number, 4 of 4a. mass: None where the table has no column of masses."""

    laterality: str
    view: str
    birads: int
    mass: bool | None


def view_of(word: str) -> str:
    """CC, MLO or what else a file says, in capitals."""
    word = word.strip().upper()
    return VIEWS.get(word, word)


def read_table(folder: Path) -> tuple[Path, dict[str, Listed]]:
    """`INbreast.csv`, separated by semicolons, or `INbreast.xls`; image to its row. Raises DataError in one line."""
    path = next((folder / name for name in ("INbreast.csv", "INbreast.xls", "INbreast.xlsx") if (folder / name).exists()), None)
    if path is None:
        msg = f"{folder}: found no INbreast.csv and no INbreast.xls, expected one of them"
        raise DataError(msg)
    table = read_rows(path, COLUMNS, ";") if path.suffix == ".csv" else _excel(path)
    rows: dict[str, Listed] = {}
    for row in table:
        name = re.sub(r"\.0$", "", row["File Name"])
        if not name:  # the sums under the rows of the xls
            continue
        where = f"{path}: {name}"
        if name in rows:
            msg = f"{where}: found the image twice, expected each once"
            raise DataError(msg)
        side = one_of(where, "Laterality", row["Laterality"].upper(), ("L", "R"))
        mass = row["Mass"].upper() == "X" if "Mass" in row else None
        rows[name] = Listed(side, view_of(row["View"]), birads_number(row["Bi-Rads"], where), mass)
    return path, rows


def read_outlines(path: Path) -> list[Outline]:
    """The outlines of `AllXML/IMAGE.xml`. Raises DataError in one line."""
    found = []
    for region in _regions(path):
        points = [_point(path, text) for text in region.get("Point_px") or region.get("ROIPoints") or ()]
        if points:
            found.append(Outline(str(region.get("Name", "")).strip().lower(), np.array(points)))
    return found


def _regions(path: Path) -> list[Mapping[str, Any]]:
    """Regions of the one image, wherever the list has them."""
    try:
        with path.open("rb") as file:
            stored = plistlib.load(file, fmt=plistlib.FMT_XML)
        if "Images" in stored:
            return [region for image in stored["Images"] for region in image["ROIs"]]
        return list(stored["ROIs"]) if "ROIs" in stored else [stored] if "ROIPoints" in stored else []
    except (OSError, ExpatError, ValueError, KeyError, TypeError, AttributeError, plistlib.InvalidFileException) as error:
        msg = f"{path}: found no OsiriX list that can be read ({' '.join(str(error).split())}), expected Images with their ROIs"
        raise DataError(msg) from error


def _point(path: Path, text: object) -> tuple[float, float]:
    """x and y of '(x, y)' or '{x, y}'."""
    match = re.fullmatch(r"[({]\s*(-?[\d.]+(?:[eE][-+]?\d+)?)\s*,\s*(-?[\d.]+(?:[eE][-+]?\d+)?)\s*[)}]", str(text).strip())
    if match is None:
        msg = f"{path}: found the point '{text}', expected one such as (x, y)"
        raise DataError(msg)
    return float(match[1]), float(match[2])


def _excel(path: Path) -> list[dict[str, str]]:
    try:
        table = pd.read_excel(path, dtype=str)
    except ImportError as error:
        msg = f"{path}: found an Excel file and no package that reads it, expected one (pip install xlrd), or the table saved as INbreast.csv"
        raise DataError(msg) from error
    except Exception as error:  # its reader raises whatever it likes
        msg = f"{path}: found no table that can be read ({' '.join(str(error).split())}), expected one of INbreast"
        raise DataError(msg) from error
    return text_rows(path, table, COLUMNS)
