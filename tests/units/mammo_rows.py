"""Made-up rows of the track `mammo-tamper`: patients with two images each, readers, tamper detectors and checkpoints of an attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from medrobust.digests import digest
from medrobust.leaderboard.evidence import COLUMNS, Evidence, Record, evidence

PATIENTS, VIEWS = 16, ("CC", "MLO")
FEATURES = (*(f"band {number:02d}" for number in range(1, 12)), "mean", "sd", "skewness", "kurtosis", "slope")
READERS = ("mammo-resnet", "mammo-resnet-2", "mammo-densenet")
DETECTORS = ("mammo-spectral", "mammo-detector")
Change = Callable[[dict[str, object]], dict[str, object] | None]


@dataclass(frozen=True)
class Effect:
    """What an attack does.

    shift: how far it moves a reader's score towards what is intended. seen: how far it raises a detector's score. grid: rise of the grid index, dB.
    near: share of the way from an image's own kind to the other that its texture goes.
    """

    shift: float
    seen: float
    grid: float
    near: float


EFFECTS = {
    "tamper@4000": Effect(0.7, 0.6, 12.0, 0.9),
    "tamper@1000": Effect(0.1, 0.05, 0.2, 0.2),
    "tamper@2000": Effect(0.3, 0.2, 1.0, 0.8),
    "tamper@3000": Effect(0.45, 0.4, 2.0, 0.5),
}


@dataclass(frozen=True)
class Image:
    """One test image. Odd patients have cancer."""

    patient: str
    case: str
    cancerous: bool
    number: int


def images() -> list[Image]:
    found = [(f"p{patient:02d}", view, patient % 2 == 1) for patient in range(PATIENTS) for view in VIEWS]
    return [Image(patient, f"{patient} {view}", cancerous, number) for number, (patient, view, cancerous) in enumerate(found)]


@cache
def noise(*key: object) -> float:
    """The same draw from [-1, 1] for the same words."""
    return float(np.random.default_rng(int(digest(list(key)), 16)).uniform(-1, 1))


def score(reader: str, image: Image, effect: Effect | None) -> float:
    clean = (0.7 if image.cancerous else 0.3) + 0.28 * noise(reader, image.case)
    return clean if effect is None else float(np.clip(clean + (-effect.shift if image.cancerous else effect.shift), 0.01, 0.99))


def tamper_score(detector: str, image: Image, effect: Effect | None) -> float:
    clean = 0.3 + 0.25 * noise(detector, image.case, effect and effect.seen)
    return clean if effect is None else min(clean + effect.seen, 0.99)


@cache
def texture(image: Image, effect: Effect | None) -> np.ndarray:
    own = np.random.default_rng(image.number).normal(size=len(FEATURES))
    place = 2.0 * image.cancerous
    return own + (place if effect is None else place + effect.near * (2.0 - 2 * place))


def values(model: str, image: Image, effect: Effect | None) -> dict[tuple[str, str], float]:
    """(metric, label) to value."""
    if model in DETECTORS:
        return {("tamper-score", ""): tamper_score(model, image, effect)}
    said = score(model, image, effect)
    found = {("score", ""): said}
    if effect is None:
        found["correct", ""] = float((said >= 0.5) == image.cancerous)
    found["grid-index", ""] = 0.5 * noise("grid", image.case) + (0.0 if effect is None else effect.grid + 0.1 * noise("more", image.case))
    found["local-grid-index", ""] = 2 * found["grid-index", ""]
    found |= {("texture", name): value for name, value in zip(FEATURES, texture(image, effect).tolist(), strict=True)}
    if effect:
        found["change", ""] = 0.05 * effect.shift + 0.001 * noise("change", image.case)
        if image.cancerous:
            found |= {("change-in-lesion", "change"): 0.6 + 0.01 * noise("in", image.case), ("change-in-lesion", "area"): 0.1}
    return found


def made(
    effects: dict[str, Effect] | None = None,
    models: tuple[str, ...] = (*READERS, *DETECTORS),
    changes: dict[str, dict[str, object]] | None = None,
    kept: Change | None = None,
    planned: Callable[[str, str], bool] = lambda model, attack: True,
    label: str = "phantom: mammograms",
) -> Evidence:
    """All cells of all models.

    changes: fields of records, by `model attack`. kept: a row as it is to be, None to drop it. planned: of (model, attack).
    """
    effects = EFFECTS if effects is None else effects
    records, found = [], []
    for model in models:
        for attack in ("none", *effects):
            if not planned(model, attack):
                continue
            one = Record(
                digest=digest([model, attack]),
                track="mammo-tamper",
                data="mammogram-phantom",
                split="test",
                data_label=label,
                condition="256x256",
                seed=0,
                target=model,
                defense="none",
                attack=attack,
                cases=len(images()),
                cost={"forward passes": 0.0, "gradient passes": 0.0, "seconds": 3.2},
            )
            records.append(replace(one, **(changes or {}).get(f"{model} {attack}", {})))  # type: ignore[arg-type]
            names = {name: getattr(one, name) for name in ("track", "data", "split", "target", "defense", "attack", "condition", "seed")}
            for image in images():
                of = {**names, "patient": image.patient, "case": image.case, "unit": ""}
                for (metric, tag), value in values(model, image, effects.get(attack)).items():
                    row: dict[str, object] | None = {**of, "metric": metric, "label": tag, "value": value}
                    row = kept(row) if kept and row else row
                    found += [row] if row else []
    return evidence("mammo-tamper@01234567", pd.DataFrame(found)[list(COLUMNS)], records)
