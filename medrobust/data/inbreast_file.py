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
    table = _csv(path) if path.suffix == ".csv" else _excel(path)
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        msg = f"{path}: found no column '{missing[0]}', expected {', '.join(COLUMNS)}"
        raise DataError(msg)
    rows: dict[str, Listed] = {}
    for row in table.fillna("").to_dict("records"):
        name = re.sub(r"\.0$", "", str(row["File Name"]).strip())
        if not name:  # the sums under the rows of the xls
            continue
        where = f"{path}: {name}"
        if name in rows:
            msg = f"{where}: found the image twice, expected each once"
            raise DataError(msg)
        side = str(row["Laterality"]).strip().upper()
        if side not in ("L", "R"):
            msg = f"{where}: Laterality: found '{side}', expected L or R"
            raise DataError(msg)
        mass = str(row["Mass"]).strip().upper() == "X" if "Mass" in table.columns else None
        rows[name] = Listed(side, view_of(str(row["View"])), birads_number(row["Bi-Rads"], where), mass)
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


def _csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep=";", dtype=str, encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError, pd.errors.ParserError) as error:
        msg = f"{path}: found no table that can be read ({' '.join(str(error).split())}), expected columns separated by ';'"
        raise DataError(msg) from error


def _excel(path: Path) -> pd.DataFrame:
    try:
        return pd.read_excel(path, dtype=str)
    except ImportError as error:
        msg = f"{path}: found an Excel file and no package that reads it, expected one (pip install xlrd), or the table saved as INbreast.csv"
        raise DataError(msg) from error
    except Exception as error:  # its reader raises whatever it likes
        msg = f"{path}: found no table that can be read ({' '.join(str(error).split())}), expected one of INbreast"
        raise DataError(msg) from error
