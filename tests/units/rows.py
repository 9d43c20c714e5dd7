"""Synthetic rows of the track `recon-fnaf`, from one seed: what a leaderboard is tried on without measuring anything."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from medrobust.digests import digest
from medrobust.leaderboard.evidence import COLUMNS, Evidence, Record, evidence

ENVIRONMENT = {"medrobust": "0.1.0", "numpy": "2.0.0", "torch": "2.13.0", "python": "3.11", "processor": "a processor", "threads": "1"}
QUERIES = (1, 2, 5, 11)
MODELS = {
    ("zero-filled", "none"): (-3.2, 0.60, 0.07),
    ("recon-unet", "none"): (-2.75, 0.80, 0.03),
    ("recon-unet", "fnaf-robust"): (-3.3, 0.797, 0.0303),
    ("recon-irim", "none"): (-2.95, 0.82, 0.028),
}


@dataclass(frozen=True)
class Plan:
    """How much of everything."""

    models: tuple[tuple[str, str], ...] = tuple(MODELS)
    attacks: tuple[str, ...] = ("fnaf-random", "fnaf-fd-paper", "fnaf-gradient")
    conditions: tuple[str, ...] = ("4x", "8x")
    patients: int = 12
    slices: int = 4
    transfer: bool = True
    label: str = "phantom: MNI152 head, 320x320"
    data: str = "mri-phantom"
    seed: int = 0


def records(plan: Plan) -> list[Record]:
    """Clean, attacked and replayed cells, in the order of a plan."""
    found: list[Record] = []
    for condition in plan.conditions:
        for target, defense in plan.models:
            found += [record(plan, condition, target, defense, attack) for attack in ("none", *plan.attacks)]
        for source in [r for r in found if plan.transfer and r.condition == condition and r.attack in plan.attacks[:1]]:
            name = source.target if source.defense == "none" else f"{source.target}+{source.defense}"
            others = [model for model in plan.models if model != (source.target, source.defense)]
            found += [record(plan, condition, *model, f"{source.attack} from {name}", source.digest) for model in others]
    return found


def record(plan: Plan, condition: str, target: str, defense: str, attack: str, source: str | None = None) -> Record:
    passes = {"none": 0.0, "fnaf-gradient": 11.0}.get(attack, 0.0)
    forward = 0.0 if attack == "none" or source else 11.0
    cases = plan.patients * plan.slices
    return Record(
        digest=digest([plan.data, condition, target, defense, attack, plan.seed]),
        track="recon-fnaf",
        data=plan.data,
        split="test",
        data_label=plan.label,
        condition=condition,
        seed=plan.seed,
        target=target,
        defense=defense,
        attack=attack,
        cases=cases,
        source=source,
        cost={"seconds": 0.03 * cases * (1 + forward + 2 * passes), "forward passes": forward * cases, "gradient passes": passes * cases},
        environment=ENVIRONMENT,
    )


def rows_of(plan: Plan, one: Record) -> pd.DataFrame:
    """All rows of a cell, with effects of patient and case that every model shares, so that comparisons are paired."""
    rng = np.random.default_rng(int(digest([one.condition, one.target, one.defense, one.attack]), 16))
    shared = np.random.default_rng(plan.seed)
    level, quality, error = MODELS.get((one.target, one.defense), (-3.0, 0.7, 0.05))
    n = plan.patients * plan.slices
    patients = [f"patient {i // plan.slices:02d}" for i in range(n)]
    cases = [f"vol{i // plan.slices:02d}.h5#{i % plan.slices:03d}" for i in range(n)]
    by_patient = shared.normal(0, 0.12, plan.patients)
    harder = 0.06 if one.condition == "8x" else 0.0
    base = {"track": one.track, "data": one.data, "split": one.split, "target": one.target, "defense": one.defense, "attack": one.attack}
    base |= {"condition": one.condition, "seed": one.seed}
    rows: list[dict[str, object]] = []

    def add(metric: str, values: np.ndarray, label: str = "", unit: str = "", names: list[str] = cases, whose: list[str] = patients) -> None:
        for case, patient, value in zip(names, whose, values, strict=True):
            rows.append({**base, "patient": patient, "case": case, "metric": metric, "label": label, "value": float(value), "unit": unit})

    if one.attack == "none":
        volumes, whose = [f"vol{i:02d}.h5" for i in range(plan.patients)], [f"patient {i:02d}" for i in range(plan.patients)]
        noise = by_patient / 10
        add("ssim", quality - harder + noise + rng.normal(0, 0.003, plan.patients), names=volumes, whose=whose)
        add("nmse", (error + harder / 5) * np.exp(noise + rng.normal(0, 0.02, plan.patients)), names=volumes, whose=whose)
        add("psnr", 30 + 10 * (quality - 0.7 - harder + noise), unit="dB", names=volumes, whose=whose)
        add("lesion-contrast", np.clip(quality - 0.25 + by_patient.repeat(plan.slices) + rng.normal(0, 0.15, n), 0, 1.2), "lesion 1")
    else:
        bonus = {"fnaf-gradient": 0.15, "fnaf-fd-paper": -0.06}.get(one.attack, 0.0) - (0.1 if one.source else 0.0)
        loss = 10 ** (level + bonus + harder + by_patient.repeat(plan.slices) + rng.normal(0, 0.12, n))
        add("fnaf-loss", loss, unit="sigma^2")
        if one.source is None:
            for query in QUERIES:
                add("fnaf-loss", loss * (query / QUERIES[-1]) ** 0.25, f"q={query}", "sigma^2")
            add("feature-location", 160 + rng.normal(0, 22, n).clip(-60, 60), "row", "pixel")
            add("feature-location", 165 + rng.normal(0, 18, n).clip(-60, 55), "column", "pixel")
        add("information", 10 ** rng.normal(-3.3, 0.2, n), unit="sigma^2")
    add("within-budget", np.ones(n))
    return pd.DataFrame(rows)


def synthetic(plan: Plan | None = None, changes: dict[str, dict[str, object]] | None = None) -> Evidence:
    """Evidence of the plan; `changes` sets fields of records, such as {"8x recon-unet none fnaf-random": {"level": "warn"}}."""
    plan = plan or Plan()
    made = []
    for one in records(plan):
        name = f"{one.condition} {one.target} {one.defense} {one.attack}"
        made.append(replace(one, **(changes or {}).get(name, {})))
    frames = [rows_of(plan, one) for one in made]
    whole = pd.concat(frames, ignore_index=True)[list(COLUMNS)]
    return evidence("recon-fnaf@01234567", whole, made)


def write_committed(found: Evidence, folder: Path) -> Path:
    """The evidence as a committed folder, rows as parquet."""
    folder.mkdir(parents=True)
    cells = [{**vars(one), "reasons": list(one.reasons), "environment": 0} for one in found.records]
    (folder / "cells.json").write_text(json.dumps({"suite": found.suite, "environments": [ENVIRONMENT], "cells": cells}), encoding="utf-8")
    found.rows[list(COLUMNS)].to_parquet(folder / "rows.parquet")
    return folder
