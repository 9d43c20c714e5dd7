"""What each track is ranked by: one number an entrant and case, in one direction. A track that is not listed has no overview."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medrobust.leaderboard.mammo_tamper.readings import readers, truths
from medrobust.leaderboard.mammo_tamper.rule import CANCEROUS, SCORE
from medrobust.leaderboard.recon_fnaf.rule import HIT
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column

if TYPE_CHECKING:
    import pandas as pd

Rows = Callable[[Section], "pd.DataFrame"]
"""Rows of a section with the columns `cell`, `seed`, `patient`, `case`, `label` and `value`, the value being what is ranked by."""


@dataclass(frozen=True)
class Headline:
    """One track's rule.

    column: how its numbers read, and which direction is better. rows: where they come from. rate: values are 0 and 1.
    said: what it is, in a sentence. attacked: False where entrants are explainers, which nobody attacks.
    control: what stands for clean images is the control that adds nothing. missed: the metric of structures missed altogether, 0 and 1.
    each: of a rate, what is true of a case that counts.
    others: further metrics by which the winner might be another.
    """

    column: Column
    rows: Rows
    said: str
    rate: bool = False
    attacked: bool = True
    control: bool = False
    missed: str = ""
    each: str = ""
    others: tuple[tuple[str, Headline], ...] = ()

    @property
    def better(self) -> bool:
        return self.column.better is not False


def of(metric: str, label: str = "") -> Rows:
    """Rows of one metric and label as they are."""

    def rows(section: Section) -> pd.DataFrame:
        found = section.rows
        found = found[found["metric"] == metric]
        return found[found["label"] == label]

    return rows


def labelled(metric: str) -> Rows:
    """Rows of one metric under every label but none."""

    def rows(section: Section) -> pd.DataFrame:
        found = section.rows
        return found[(found["metric"] == metric)]

    return rows


def kept_features(limit: float) -> Rows:
    """1 where the adversarial loss stays below `limit`, the feature is there to be seen; else 0."""

    def rows(section: Section) -> pd.DataFrame:
        found = of("fnaf-loss")(section)
        return found.assign(value=(found["value"] < limit).astype(float))

    return rows


def read_rightly(section: Section) -> pd.DataFrame:
    """1 where a reader's score lies on the side of what the image was before it was tampered with; else 0. Detectors read nothing."""
    import numpy as np
    import pandas as pd

    found = of(SCORE)(section)
    models = {tuple(model) for model in readers(section)}
    able = [pair in models for pair in zip(found["target"], found["defense"], strict=True)]
    found = found[np.array(able, dtype=bool)]
    parts = []
    for condition, part in found.groupby("condition", sort=False):
        cancerous = part["case"].map(truths(section, str(condition)))
        part = part[cancerous.notna()]
        right = (part["value"] >= CANCEROUS) == cancerous[cancerous.notna()].astype(bool)
        parts.append(part.assign(value=right.astype(float)))
    return pd.concat(parts) if parts else found


def percent(name: str) -> Column:
    """A share, of which more is better."""
    return Column(name, "", "%", 100, 1, better=True)


def _dice(missed: str = "missed-organ", others: tuple[tuple[str, Headline], ...] = ()) -> Headline:
    said = "Dice, mean over organs, of each subject against the truth that did not move"
    return Headline(percent("Dice"), of("dice"), said, missed=missed, others=others)


FEATURES = Headline(
    percent("images without a hit"),
    kept_features(HIT),
    f"share of images in which no feature is lost (adversarial loss below {HIT:g} sigma squared); clean: the control that adds no feature",
    rate=True,
    each="feature kept",
    control=True,
    others=tuple((f"a hit from {limit:g} on", Headline(percent("images"), kept_features(limit), "", rate=True)) for limit in (HIT / 2, 2 * HIT)),
)
GROUPING = Headline(
    Column("Dice at best grouping", digits=3, better=True),
    of("dice-grouping"),
    "Dice at best grouping against the whole tumour, an oracle that says where to stop; entrants are explainers, and nobody attacks them",
    attacked=False,
    missed="missed",
    others=(("Dice of rank 1", Headline(Column("rank 1", better=True), of("dice-rank", "1"), "")),),
)
MOVED = Headline(percent("Dice"), of("dice-warped"), "")
READ = Headline(
    percent("accuracy"),
    read_rightly,
    f"share of images read rightly at a score of {CANCEROUS:g}, by what they were before tampering; the area under the ROC curve belongs to a "
    "set of images, not to one, and so cannot be taken at the worst of each: it is in the tables below",
    rate=True,
    each="read rightly",
)
CORRECT = Headline(percent("accuracy"), of("correct"), "share of cases whose most probable class is the true one", rate=True, each="right")
SSIM = Headline(
    Column("SSIM", digits=4, better=True),
    of("ssim"),
    "SSIM of each reconstructed volume against the image that was measured, perturbed as it was",
    others=(("NMSE", Headline(Column("NMSE", digits=5, better=False), of("nmse"), "")),),
)

HEADLINES: Mapping[str, Headline] = {
    "cls-linf": CORRECT,
    "mammo-tamper": READ,
    "recon-fnaf": FEATURES,
    "recon-l2": SSIM,
    "roi": GROUPING,
    "seg-deform": _dice(others=(("moved truth", MOVED),)),
    "seg-linf": _dice(),
}
