"""Studies and answers of made-up readers, for the tests of reader studies."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medrobust.reader_study.key import TAMPERED, Key, Shown, read_key
from medrobust.reader_study.make import Made, make
from medrobust.reader_study.returned import FORMAT, Reader, Returned
from medrobust.reader_study.subjects import Subject, Version

SALT = "5a" * 32
Rule = Callable[[Shown, np.random.Generator], tuple[int, int]]
Steps = tuple[int | None, ...]


def subjects(count: int = 16, size: tuple[int, int] = (24, 20), steps: Steps = (35000, 70000), per_patient: int = 1) -> list[Subject]:
    """Every other one cancerous; a tampered image differs in one corner."""
    rng = np.random.default_rng(0)
    found = []
    for index in range(count):
        truth, plane = index % 2, rng.integers(0, 200, size, dtype=np.uint8)
        changed = plane.copy()
        changed[:6, :6] = 255
        way = ("inject", "remove")[truth]
        versions = tuple(Version(f"step {step}" if step else "tampered", step, way, 1 - truth, changed, f"said of {index}") for step in steps)
        found.append(Subject(f"case-{index}", f"patient-{index // per_patient}", truth, plane, versions))
    return found


def made(folder: Path, pairs: int = 6, singles: int = 8, seed: int = 1, **options: Any) -> tuple[Made, Key]:
    given = options.pop("subjects", None) or subjects()
    study = make(given, {"made": "up"}, folder, pairs, singles, seed, **{"salt": SALT, **options})
    return study, read_key(study.key)


def fooled(shown: Shown, rng: np.random.Generator) -> tuple[int, int]:
    """Believes what an image shows, and sees little of the tampering."""
    seen = shown.target if shown.version == TAMPERED else shown.truth
    return int(np.clip(30 + 40 * seen + rng.normal() * 20, 0, 100)), int(np.clip(40 + 15 * (shown.version == TAMPERED) + rng.normal() * 25, 0, 100))


def answers(key: Key, name: str = "R1", rule: Rule = fooled, seed: int = 0, **who: Any) -> dict[str, Any]:
    """A whole returned file as plain data, with a right checksum."""
    rng = np.random.default_rng(seed)
    rows = []
    for image, shown in key.images.items():
        malignancy, tampering = rule(shown, rng)
        rows.append({"image": image, "malignancy": malignancy, "tampering": tampering, "item_ms": int(rng.integers(3000, 30000))})
    reader = {"name": name, "role": "radiologist", "years": 12, "volume": 5000, **who}
    return sealed({"format": FORMAT, "study": key.study, "commitment": key.commitment, "reader": reader, "answers": rows})


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the checksum that a page would give it."""
    rows = content["answers"]
    ratings = {row["image"]: {scale: row[scale] for scale in ("malignancy", "tampering") if row.get(scale) is not None} for row in rows}
    seconds = {row["image"]: row["item_ms"] / 1000 for row in rows}
    one = Returned(Path("x"), content["study"], content["commitment"], Reader(**content["reader"]), ratings, seconds, None)
    return {**content, "checksum": one.sum()}


def csv_text(content: Mapping[str, Any]) -> str:
    fields = {"format": content["format"], "study": content["study"], "commitment": content["commitment"], **content["reader"]}
    head = [f"# {name}: {'' if value is None else value}" for name, value in {**fields, "checksum": content["checksum"]}.items()]
    names = ("image", "malignancy", "tampering", "item_ms")
    rows = [",".join("" if row.get(name) is None else str(row[name]) for name in names) for row in content["answers"]]
    return "\n".join([*head, ",".join(names), *rows]) + "\n"


def imrmc_text(content: Mapping[str, Any]) -> str:
    name = content["reader"]["name"]
    rows = [f"{name},{row['image']},{scale},{row[scale]}" for row in content["answers"] for scale in ("malignancy", "tampering")]
    return "\n".join([f"study: {content['study']}", f"commitment: {content['commitment']}", "NR: 1", "BEGIN DATA:", "truth,x,truth,1", *rows]) + "\n"


def write(path: Path, content: Mapping[str, Any]) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
