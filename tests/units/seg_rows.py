"""Made-up rows of the track `seg-deform`, whose every number can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pandas as pd

from medrobust.digests import digest
from medrobust.leaderboard.evidence import COLUMNS, Evidence, Record, evidence

ORGANS = ("pancreas", "kidneys", "liver", "spleen")
CLEAN = {"pancreas": 0.80, "kidneys": 0.94, "liver": 0.95, "spleen": 0.94}
SUBJECTS, SLICES = 10, 3


@dataclass(frozen=True)
class Effect:
    """What an attack does.

    falls: relative fall of each organ's Dice, in the order of ORGANS. moved: share of the fall that is gone by the moved truth.
    p: in standard deviations. missing: slices of each subject, from its first, whose pancreas is missed. odd: further fall of every second subject.
    """

    falls: tuple[float, float, float, float]
    moved: float = 0.0
    p: float = 0.08
    missing: int = 0
    odd: float = 0.0


EFFECTS = {
    "xi=0.5": Effect((0.10, 0.05, 0.10, 0.15), 0.5, 0.060),
    "xi=1.0": Effect((0.20, 0.10, 0.35, 0.45), 0.4, 0.065),
    "xi=2.0": Effect((0.40, 0.35, 0.80, 0.75), 0.25, 0.074, missing=2, odd=0.02),
    "xi=2 D only": Effect((0.10, 0.10, 0.10, 0.10), 0.9, 0.056),
    "pgd": Effect((0.50, 0.50, 0.50, 0.50), 0.0, 0.09),
    "random-field": Effect((0.15, 0.15, 0.15, 0.15), 0.8, 0.075),
    "random D only": Effect((0.10, 0.10, 0.10, 0.10), 0.9, 0.056),
}
MODELS = (("seg-unet", "none"), ("seg-unet", "adversarial"))


def level(subject: int) -> float:
    """How much easier a subject is than the average one; sums to zero."""
    return 0.01 * (subject - (SUBJECTS - 1) / 2) / SUBJECTS


def clean_dice(organ: str, subject: int) -> float:
    return CLEAN[organ] + level(subject)


def attacked_dice(effect: Effect, organ: str, subject: int, strength: float = 1.0) -> float:
    """By the paper's ruler; a defended model feels half."""
    return clean_dice(organ, subject) * (1 - strength * (effect.falls[ORGANS.index(organ)] + effect.odd * (subject % 2)))


def rows_of(one: Record, effects: dict[str, Effect]) -> list[dict[str, object]]:
    names = {name: getattr(one, name) for name in ("track", "data", "split", "target", "defense", "attack", "condition", "seed")}
    strength = 1.0 if one.defense == "none" else 0.5
    effect = effects.get(one.attack)
    found: list[dict[str, object]] = []
    for subject in range(SUBJECTS):
        whose = f"s{subject:02d}"

        def add(metric: str, label: str, value: float, case: str = whose, unit: str = "", patient: str = whose) -> None:
            found.append({**names, "patient": patient, "case": case, "metric": metric, "label": label, "value": value, "unit": unit})

        before = {organ: clean_dice(organ, subject) for organ in ORGANS}
        after = {organ: attacked_dice(effect, organ, subject, strength) for organ in ORGANS} if effect else before
        for metric in ("dice", *(("dice-warped", "dice-floor") if effect else ())):
            moved = effect.moved if effect and metric != "dice" else 0.0
            values = {organ: after[organ] + moved * (before[organ] - after[organ]) for organ in ORGANS}
            if metric == "dice-floor":
                values = {organ: 1 - moved * (before[organ] - after[organ]) for organ in ORGANS}
            for organ, value in values.items():
                add(metric, organ, value)
            add(metric, "", sum(values.values()) / len(ORGANS))
        for organ in (*ORGANS, ""):
            add("surface-distance", organ, 1.0 + (2.0 if effect else 0.0), unit="mm")
        for index in range(SLICES):
            case = f"{whose}#{index:03d}"
            for organ in ORGANS:
                add("missed-organ", organ, float(organ == "pancreas" and effect is not None and index < effect.missing), case)
            if effect:
                add("perceptibility", "", effect.p, case)
                add("displacement", "mean", 1.5, case, "mm")
                add("displacement", "max", 6.0, case, "mm")
                add("folding", "", 0.0, case)
                add("shading", "min", -40.0, case, "HU")
                add("shading", "max", 60.0, case, "HU")
                add("image-ssim", "", 0.97, case)
    return found


def made(
    effects: dict[str, Effect] | None = None,
    models: tuple[tuple[str, str], ...] = MODELS,
    changes: dict[str, dict[str, object]] | None = None,
    label: str = "phantom: abdominal CT",
) -> Evidence:
    """All cells of all models. changes: fields of records, by `target defense attack`."""
    effects = EFFECTS if effects is None else effects
    records, found = [], []
    for target, defense in models:
        for attack in ("none", *effects):
            one = Record(
                digest=digest([target, defense, attack]),
                track="seg-deform",
                data="abdomen-phantom",
                split="test",
                data_label=label,
                condition="all",
                seed=0,
                target=target,
                defense=defense,
                attack=attack,
                cases=SUBJECTS * SLICES,
                cost={"forward passes": 30.0, "gradient passes": 0.0, "seconds": 3.0},
            )
            one = replace(one, **(changes or {}).get(f"{target} {defense} {attack}", {}))  # type: ignore[arg-type]
            records.append(one)
            found += rows_of(one, effects)
    return evidence("seg-deform@01234567", pd.DataFrame(found)[list(COLUMNS)], records)
