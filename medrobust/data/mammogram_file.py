"""Grey images and tables of the mammography sets, as files that may be damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.io import imread

from medrobust.errors import DataError


def read_grey(path: Path) -> NDArray[np.int32]:
    """A grey image (h, w) of a PNG, PGM or TIFF file. Raises DataError in one line."""
    try:
        found: NDArray[np.int32] = np.asarray(imread(path))
    except Exception as error:  # readers raise whatever they like
        msg = f"{path}: found no image that can be read ({' '.join(str(error).split())}), expected a grey one"
        raise DataError(msg) from error
    if found.ndim != 2 or found.dtype.kind not in "ui":
        msg = f"{path}: found shape {found.shape} of {found.dtype}, expected a grey image of whole numbers"
        raise DataError(msg)
    return found.astype(np.int32)


def read_rows(path: Path, columns: Sequence[str], separator: str = ",") -> list[dict[str, str]]:
    """The rows of a csv as text, blanks around names and values off, missing ones empty. Raises DataError in one line."""
    try:
        table = pd.read_csv(path, sep=separator, dtype=str, encoding="utf-8-sig", skipinitialspace=True)
    except (OSError, UnicodeDecodeError, ValueError, pd.errors.ParserError) as error:
        msg = f"{path}: found no table that can be read ({' '.join(str(error).split())}), expected columns separated by '{separator}'"
        raise DataError(msg) from error
    return text_rows(path, table, columns)


def text_rows(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> list[dict[str, str]]:
    """A table's rows as text, likewise. Raises DataError where a column is missing."""
    table.columns = pd.Index([str(name).strip() for name in table.columns])
    missing = [name for name in columns if name not in table.columns]
    if missing:
        msg = f"{path}: found no column '{missing[0]}', expected {', '.join(columns)}"
        raise DataError(msg)
    return [{str(name): str(value).strip() for name, value in row.items()} for row in table.fillna("").to_dict("records")]


def one_of(where: str, field: str, found: str, known: Sequence[str]) -> str:
    """The word, where it is a known one. Raises DataError."""
    if found not in known:
        msg = f"{where}: {field}: found '{found}', expected one of {', '.join(known)}"
        raise DataError(msg)
    return found
