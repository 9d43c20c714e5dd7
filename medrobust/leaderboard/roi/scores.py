"""What the target said of every clean volume, and what it should have said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from medrobust.leaderboard.measure import Measured, case_names, entry, missing
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Entry, Validity
from medrobust.stats import Sample, mean

if TYPE_CHECKING:
    import pandas as pd

LEAST = 1e-7
"""Probabilities are kept this far from 0 before their logarithm is taken."""


def scores(section: Section, model: Model, condition: str) -> pd.DataFrame:
    """One line a case of the clean cells: `case`, `patient`, `score` of the high grade, and `high`, whether the truth is a high grade.

    The truth is read off the score and whether it was right: from .5 on the answer is a high grade.
    """
    keys = ["cell", "seed", "patient", "case"]
    said, right = (section.frame(model, "none", condition, name)[[*keys, "value"]] for name in ("score", "correct"))
    both = said.rename(columns={"value": "score"}).merge(right.rename(columns={"value": "correct"}), on=keys)
    return both.assign(high=(both["score"] >= 0.5) == (both["correct"] > 0.5))


def cross_entropy(section: Section, model: Model, condition: str) -> Measured:
    """Mean of -log of the probability given to the truth, in nats."""
    validity = section.validity(section.cells(model, "none", condition))
    if validity.level == "missing":
        return Measured(missing(validity))
    found = scores(section, model, condition)
    if found.empty:
        return Measured(Entry(note=UNMEASURED, validity=Validity("missing", (UNMEASURED,))))
    given = np.where(found["high"], found["score"], 1 - found["score"])
    sample = Sample.of(-np.log(given.clip(LEAST)), found["patient"].to_numpy(dtype=str), case_names(found))
    return Measured(entry(mean(sample), len(sample.values), validity), sample)
