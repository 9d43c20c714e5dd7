"""One mammogram of a set: where it lies, whose it is, what is known of it, and which label a rule gives it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medrobust.errors import DataError

MINOR = ("calcification", "point")
"""How kinds begin whose outlines make no image cancerous where another kind is outlined: single calcifications and unnamed dots."""


@dataclass(frozen=True)
class Outline:
    """A lesion's outline, as points or as a mask.

    kind: mass, calcification or another word, lower case. points: (k, 2) in pixels of the file, x before y; one or two are dots.
    mask: (h, w) of the file's pixels, or of as many as lie the same way; None where there are points.
    birads, pathology: of the lesion by itself, where the set says them; None and empty where it does not.
    """

    kind: str
    points: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 2)))
    mask: NDArray[np.bool_] | None = None
    birads: int | None = None
    pathology: str = ""


@dataclass(frozen=True)
class Mammogram:
    """One image as its set describes it.

    name: unique in the set. image: its file. sides: further files from which its outlines come.
    laterality: L or R. view: CC, MLO or another.
    birads: 0 to 6; None where the set has none. pathology: malignant, benign or normal; empty where unknown.
    mass: whether a mass is annotated; None where the set does not say. listed: whether any lesion is; None likewise.
    outlined: whether the lesions' outlines are known, also that there is none. split: to which the set itself gives the patient, or None.
    """

    name: str
    patient: str
    image: Path
    laterality: str
    view: str
    birads: int | None = None
    pathology: str = ""
    mass: bool | None = None
    listed: bool | None = None
    outlined: bool = True
    split: str | None = None
    sides: tuple[Path, ...] = ()

    @property
    def suspicious(self) -> bool:
        """Whether splits count the image as cancerous, whatever the label rule: malignant, else BI-RADS 4 and above."""
        return self.pathology == "malignant" if self.pathology else (self.birads or 0) >= 4


@dataclass(frozen=True)
class Rule:
    """How an image comes by its label.

    label: 1 cancerous, 0 healthy, None left out. counts: whether an outline is of a lesion that makes a cancerous image so.
    says: in words, for the label of results.
    """

    label: Callable[[Mammogram], int | None]
    counts: Callable[[Outline], bool]
    says: str


def birads_number(stated: object, where: str) -> int:
    """BI-RADS as a number, of '4a', 5, 5.0 or 'BI-RADS 2'. Raises DataError naming `where`."""
    match = re.fullmatch(r"(?:BI-?RADS\s*)?([0-6])(?:\.0)?\s*[abc]?", str(stated).strip(), re.IGNORECASE)
    if match is None:
        msg = f"{where}: found BI-RADS '{stated}', expected 0 to 6, such as 2 or 4a"
        raise DataError(msg)
    return int(match[1])


def _birads(one: Mammogram) -> int:
    if one.birads is None:
        msg = f"{one.image}: found no BI-RADS, expected one for the label rule"
        raise DataError(msg)
    return one.birads


def _at_least_3(one: Mammogram) -> int | None:
    return int(_birads(one) >= 3) if _birads(one) else None


def _at_least_4(one: Mammogram) -> int | None:
    return None if _birads(one) in (0, 3) else int(_birads(one) >= 4)


def _mass(one: Mammogram) -> int:
    return int(bool(one.mass))


def _listed(one: Mammogram) -> int:
    return int(bool(one.listed))


def _against_normal(one: Mammogram) -> int | None:
    return {"malignant": 1, "normal": 0}.get(one.pathology)


def _against_all(one: Mammogram) -> int:
    return int(one.pathology == "malignant")


def _counts_3(one: Outline) -> bool:
    return one.birads is None or one.birads >= 3


def _counts_4(one: Outline) -> bool:
    return one.birads is None or one.birads >= 4


def _counts_mass(one: Outline) -> bool:
    return one.kind in ("mass", "spiculated region")


def _counts_malignant(one: Outline) -> bool:
    return one.pathology in ("", "malignant")


def _counts_any(one: Outline) -> bool:  # noqa: ARG001 - every outline does
    return True


BIRADS: Mapping[str, Rule] = {
    "birads>=3": Rule(_at_least_3, _counts_3, "BI-RADS 3 and above cancerous, 0 left out"),
    "birads>=4 drop 3": Rule(_at_least_4, _counts_4, "BI-RADS 4 and above cancerous, 3 and 0 left out"),
}
MASS: Mapping[str, Rule] = {"mass": Rule(_mass, _counts_mass, "any mass cancerous")}
AGAINST_NORMAL = Rule(_against_normal, _counts_malignant, "malignant cancerous, benign left out")
AGAINST_ALL = Rule(_against_all, _counts_malignant, "malignant cancerous, all else healthy")
LISTED = Rule(_listed, _counts_any, "any listed lesion cancerous")


def counted(outlines: list[Outline], rule: Rule) -> list[Outline]:
    """Of a cancerous image's outlines those that make it so by the rule; single calcifications only where nothing else is outlined."""
    found = [one for one in outlines if rule.counts(one)]
    return [one for one in found if not one.kind.startswith(MINOR)] or found
