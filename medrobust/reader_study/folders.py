"""Subjects from two folders of PNG or DICOM files and a csv of truths, for who has no run."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medrobust.errors import DataError
from medrobust.reader_study.subjects import Subject, Version, grey

NEEDED = ("image", "truth")
KNOWN = (*NEEDED, "tampered", "patient", "direction", "checkpoint", "condition")


def from_folders(originals: Path, tampered: Path, truths: Path) -> tuple[list[Subject], dict[str, Any]]:
    """One subject a distinct `image` of the csv, one version a line.

    Columns: image (file in `originals`), truth (0 or 1); optional: tampered (file in `tampered`, the same name without it), patient (the image's name
    without it), direction (inject or remove; by truth without it), checkpoint (a training step), condition (a name).
    """
    found: dict[str, Subject] = {}
    for number, line in enumerate(_lines(truths), 2):
        where = f"{truths}:{number}"
        truth = _choice(line, "truth", ("0", "1"), where)
        way = _choice(line, "direction", ("inject", "remove", ""), where) or ("remove" if truth == "1" else "inject")
        step = line.get("checkpoint", "")
        if step and not (step.isascii() and step.isdigit()):
            msg = f"{where}: checkpoint: found '{step[:40]}', expected a whole number or nothing"
            raise DataError(msg)
        name = line["image"]
        before, after = read(inside(originals, name, where)), read(inside(tampered, line.get("tampered") or name, where))
        if before.shape != after.shape:
            msg = f"{where}: image: found {before.shape} and tampered {after.shape} pixels, expected the same"
            raise DataError(msg)
        span = float(min(before.min(), after.min())), float(max(before.max(), after.max()))
        condition = line.get("condition") or (f"step {step}" if step else "tampered")
        version = Version(condition, int(step) if step else None, way, int(way == "inject"), grey(after, span), f"{condition}: {way} in {name}")
        known = found.setdefault(name, Subject(name, line.get("patient") or name, int(truth), grey(before, span), ()))
        if known.truth != int(truth) or condition in {one.condition for one in known.versions}:
            msg = f"{where}: image: found '{name}' of condition '{condition}' again or with another truth, expected each once"
            raise DataError(msg)
        found[name] = Subject(name, known.patient, known.truth, known.original, (*known.versions, version))
    if not found:
        msg = f"{truths}: found no line, expected one an image"
        raise DataError(msg)
    return list(found.values()), {"folder": originals.resolve().name, "tampered": tampered.resolve().name, "truths": _sha(truths)}


def _lines(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            heads = [head.strip() for head in reader.fieldnames or ()]
            lines = [{head: (value or "").strip() for head, value in zip(heads, line.values(), strict=False)} for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        msg = f"{path}: {error}; expected a readable csv in UTF-8"
        raise DataError(msg) from error
    if not set(NEEDED) <= set(heads) <= set(KNOWN):
        msg = f"{path}: found columns {', '.join(heads) or 'none'}; expected {', '.join(NEEDED)} and any of {', '.join(KNOWN[2:])}"
        raise DataError(msg)
    return lines


def _choice(line: dict[str, str], name: str, allowed: tuple[str, ...], where: str) -> str:
    if (found := line.get(name, "")) not in allowed:
        msg = f"{where}: {name}: found '{found[:40]}', expected {' or '.join(one or 'nothing' for one in allowed)}"
        raise DataError(msg)
    return found


def inside(folder: Path, name: str, where: str) -> Path:
    """A file of the folder itself."""
    path = folder / name
    if not name or not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        msg = f"{where}: found '{name[:80]}', expected the name of a file in {folder}"
        raise DataError(msg)
    return path


def read(path: Path) -> NDArray[np.float64]:
    """The pixels of a grey PNG or of a DICOM file with one frame, (H, W), white high."""
    try:
        plane = _png(path) if path.suffix.lower() == ".png" else _dicom(path)
    except Exception as error:  # both libraries raise whatever they like on a broken file
        msg = f"{path}: {' '.join(str(error).split())[:200]}; expected a readable PNG or DICOM file"
        raise DataError(msg) from error
    if plane.ndim != 2 or min(plane.shape) < 8:
        msg = f"{path}: found pixels of shape {plane.shape}, expected one grey plane of 8 x 8 or more"
        raise DataError(msg)
    return plane


def _png(path: Path) -> NDArray[np.float64]:
    from PIL import Image

    with Image.open(path) as image:
        image.load()
        levels = np.asarray(image, dtype=np.float64)
    if levels.ndim == 3 and (levels == levels[..., :1]).all():  # grey saved as colour
        levels = levels[..., 0]
    return levels


def _dicom(path: Path) -> NDArray[np.float64]:
    from pydicom import dcmread

    data = dcmread(path)
    plane = np.asarray(data.pixel_array, dtype=np.float64)
    return -plane if data.PhotometricInterpretation == "MONOCHROME1" else plane


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
