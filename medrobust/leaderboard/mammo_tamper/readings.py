"""What readers and tamper detectors said of every image, and which images are cancerous."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.mammo_tamper.once import once
from medrobust.leaderboard.mammo_tamper.rule import CANCEROUS, CORRECT, SCORE, TAMPERED
from medrobust.leaderboard.measure import missing
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Entry, Validity, worst
from medrobust.stats import Scored

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Readings:
    """Scores of one model, on clean images or on those of one attack.

    sample: with `positive` for images that were cancerous before anything was done to them; None where there is nothing to read.
    owed: how many images there should be. validity: of the cells, `missing` where they are not done.
    """

    sample: Scored | None
    owed: int
    validity: Validity

    def among(self, cases: NDArray[np.str_]) -> Scored:
        """The sample of these cases alone, in the order of their names."""
        assert self.sample is not None  # noqa: S101 - asked of what was found
        return chosen(self.sample, np.isin(self.sample.cases, cases))

    def lacking(self) -> Entry:
        """The entry where there is nothing to read."""
        return missing(self.validity)


@once
def detectors(section: Section) -> tuple[Model, ...]:
    """Models with any score of tampering."""
    return _having(section, TAMPERED)


@once
def readers(section: Section) -> tuple[Model, ...]:
    """Models with any score of cancer that are no tamper detectors."""
    return tuple(model for model in _having(section, SCORE) if model not in detectors(section))


def _having(section: Section, metric: str) -> tuple[Model, ...]:
    rows = section.rows[section.rows["metric"] == metric]
    found = set(zip(rows["target"], rows["defense"], strict=True))
    return tuple(model for model in section.models if tuple(model) in found)


@once
def truths(section: Section, condition: str) -> dict[str, bool]:
    """Case to whether it is cancerous, as the first reader that read it has it."""
    found: dict[str, bool] = {}
    for model in readers(section):
        found = {**own_truths(section, model, condition), **found}
    return found


@once
def own_truths(section: Section, model: Model, condition: str) -> dict[str, bool]:
    """Case to whether it is cancerous, read off a reader's clean score and whether it was right."""
    frames = [section.frame(model, "none", condition, metric) for metric in (SCORE, CORRECT)]
    said, right = (dict(zip(zip(frame["cell"], frame["case"], strict=True), frame["value"], strict=True)) for frame in frames)
    return {key[1]: (value >= CANCEROUS) == (right[key] > 0.5) for key, value in said.items() if key in right}


@once
def readings(section: Section, model: Model, attack: str, condition: str) -> Readings:
    """Of cases whose truth is known; of a case read under several seeds the mean."""
    records = section.cells(model, attack, condition)
    validity = section.validity(records)
    metric = TAMPERED if model in detectors(section) else SCORE
    if validity.level == "missing":
        return Readings(None, 0, validity)
    known = truths(section, condition)
    disputed = [case for case, truth in own_truths(section, model, condition).items() if truth is not known[case]]
    if disputed:
        reason = f"{len(disputed)} images are cancerous to one reader's rows and healthy to another's ({min(disputed)}, ...)"
        validity = Validity("invalid", (*validity.reasons, reason))
    found = _read(section.frame(model, attack, condition, metric), known)
    if found is None:
        return Readings(None, 0, Validity("missing", (UNMEASURED,)))
    return Readings(found, max(record.cases for record in records), validity)


def _read(frame: pd.DataFrame, known: Mapping[str, bool]) -> Scored | None:
    frame = frame[frame["case"].isin(known.keys())]
    if frame.empty:
        return None
    mean = frame.groupby(["case", "patient"], sort=True)["value"].mean().reset_index()
    cases = mean["case"].to_numpy(dtype=str)
    return Scored.of(mean["value"].to_numpy(dtype=float), [known[case] for case in cases.tolist()], cases, mean["patient"].to_numpy(dtype=str))


def chosen(sample: Scored, which: NDArray[np.bool_]) -> Scored:
    """Some of the cases."""
    return Scored(sample.scores[which], sample.positive[which], sample.cases[which], sample.patients[which])


def shared(*found: Readings) -> NDArray[np.str_]:
    """Cases that all have, by name; none where any has nothing."""
    names = [one.sample.cases if one.sample is not None else np.zeros(0, dtype=str) for one in found]
    held = names[0]
    for other in names[1:]:
        held = np.intersect1d(held, other)
    return np.unique(held)


def together(*found: Readings) -> Validity:
    """Of several; `missing` where any is."""
    absent = [one.validity for one in found if one.sample is None]
    return absent[0] if absent else worst([one.validity for one in found])


def both_forms(clean: Readings, tampered: Readings) -> Readings:
    """Images before and after, as a tamper detector sees them: `positive` where tampered. Each keeps its patient; only cases in both forms."""
    validity, cases = together(clean, tampered), shared(clean, tampered)
    if validity.level == "missing" or not len(cases):
        return Readings(None, 0, validity if validity.level == "missing" else Validity("missing", (UNMEASURED,)))
    before, after = clean.among(cases), tampered.among(cases)
    names = np.array([f"{case} {form}" for form in ("original", "tampered") for case in cases.tolist()])
    patients = np.concatenate([before.patients, after.patients])
    sample = Scored.of(np.concatenate([before.scores, after.scores]), np.arange(len(names)) >= len(cases), names, patients)
    return Readings(sample, clean.owed + tampered.owed, validity)


def part(found: Readings, which: NDArray[np.bool_]) -> Readings:
    """Some of the cases, which then owe no others."""
    if found.sample is None:
        return found
    return replace(found, sample=chosen(found.sample, which), owed=int(which.sum()))
