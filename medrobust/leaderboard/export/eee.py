"""One json file a model in the schema of Every Eval Ever, for its store of evaluations.

Source: eval.schema.json of the package every-eval-ever 0.3.0 (github.com/evaleval/every_eval_ever, MIT); paths
`data/COLLECTION/DEVELOPER/MODEL/UUID4.json` as its validator demands them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrobust.digests import canonical
from medrobust.errors import SpecError
from medrobust.files import write_text
from medrobust.leaderboard import shipped
from medrobust.leaderboard.evidence import Evidence, Record
from medrobust.leaderboard.export.direction import higher_is_better
from medrobust.leaderboard.measure import estimator
from medrobust.leaderboard.section import Model
from medrobust.stats import Sample, clustered_rate
from medrobust.stats.bootstrap import LEVEL, RESAMPLES
from medrobust.store import MARKER
from medrobust.targets.card import Card

if TYPE_CHECKING:
    import pandas as pd

VERSION = "0.3.0"
METHOD = "bootstrap over patients, percentile interval widened for few patients"
RATE_METHOD = f"{METHOD}, never narrower than Wilson's score interval of the effective number of independent cases"
QUERY = re.compile(r"q=\d+")
RESERVED = re.compile(r"data|con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)
"""Names that the store, or Windows, keeps for itself."""


@dataclass(frozen=True)
class Export:
    """What is written.

    files: path below the output folder to its content. left: what the schema has no place for, one line each.
    """

    files: Mapping[str, dict[str, Any]]
    left: tuple[str, ...]


def export(evidence: Evidence, made: float, organization: str, developer: str = "unknown") -> Export:
    """One file a model, one result a cell, metric and label.

    made: when, in seconds since 1970. organization: who provides the results. developer: of models that are not shipped with medrobust.
    Left out: invalid cells, metrics without a direction, and the query labels `q=...`.
    """
    ways, left = directions(evidence)
    files: dict[str, dict[str, Any]] = {}
    cards = shipped.cards()
    believed = [record for record in evidence.records if record.measured and record.level != "invalid"]
    left += [f"{_whole(record)}: {_why(record)}" for record in evidence.records if record not in believed]
    frames = {str(cell): rows for cell, rows in evidence.rows.groupby("cell", sort=False)}
    for track, target, defense in dict.fromkeys((record.track, record.target, record.defense) for record in believed):
        mine = [record for record in believed if (record.track, record.target, record.defense) == (track, target, defense)]
        results = [one for record in mine if record.digest in frames for one in _results(record, frames[record.digest], ways)]
        if results:
            model = Model(target, defense)
            content = _log(evidence.suite, track, model, cards.get(model), mine, results, made, organization, developer)
            files[_path(track, content)] = content
    if not files:
        msg = f"{evidence.suite}: found no value of a cell to be believed, expected at least one"
        raise SpecError(msg)
    return Export(files, tuple(left))


def directions(evidence: Evidence) -> tuple[dict[str, bool], list[str]]:
    """Metric to whether more of it is better, and what cannot be said of the others."""
    found, left = {}, []
    for name in dict.fromkeys(str(name) for name in evidence.rows["metric"] if name != MARKER):
        try:
            better = higher_is_better(name)
        except SpecError as error:
            left.append(str(error))
            continue
        if better is None:
            left.append(f"{name}: neither direction is better, which the schema cannot say")
        else:
            found[name] = better
    return found, left


def write(found: Export, folder: Path) -> None:
    for path, content in found.files.items():
        write_text(folder / path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _log(
    suite: str,
    track: str,
    model: Model,
    card: Card | None,
    records: Sequence[Record],
    results: list[dict[str, Any]],
    made: float,
    organization: str,
    developer: str,
) -> dict[str, Any]:
    """The whole file of one model."""
    name = str(model).replace(" + ", "+")
    identity = f"{portable(developer if card is None else 'medrobust')}/{portable(name)}"
    machine = next((record.environment for record in records if record.environment), {})
    about = {"target": model.target, "defense": model.defense}
    about |= {} if card is None else {"architecture": card.architecture, "weights_digest": card.digest}
    return {
        "schema_version": VERSION,
        "evaluation_id": f"{track}/{identity}/{made:.6f}",
        "retrieved_timestamp": f"{made:.6f}",
        "source_metadata": {
            "source_name": suite,
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "other" if card is None else "first_party",
        },
        "eval_library": {"name": "medrobust", "version": machine.get("medrobust", "unknown")},
        "model_info": {
            "name": str(model),
            "id": identity,
            "inference_engine": {"name": "torch", "version": machine.get("torch", "unknown")},
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown" if card is None else "open_weights",
                **about,
            },
        },
        "evaluation_results": results,
    }


def _results(record: Record, rows: pd.DataFrame, ways: Mapping[str, bool]) -> list[dict[str, Any]]:
    """One result a metric and label of a cell."""
    found = []
    for (metric, label), part in rows.groupby(["metric", "label"], sort=True):
        better = ways.get(str(metric))
        if better is None or QUERY.fullmatch(str(label)):
            continue
        values = part["value"].to_numpy(dtype=float)
        estimate = estimator(str(metric), str(label))
        rate = estimate is clustered_rate
        interval = estimate(Sample.of(values, part["patient"].to_numpy(dtype=str)))
        known = not math.isnan(interval.low)
        name = f"{metric} {label}".strip()
        method = RATE_METHOD if rate else METHOD
        spread = {"confidence_interval": {"lower": interval.low, "upper": interval.high, "confidence_level": LEVEL, "method": method}}
        found.append(
            {
                "evaluation_result_id": f"{record.digest}/{name}",
                "evaluation_name": f"{_place(record)}, {name}",
                "source_data": {
                    "dataset_name": record.data_label,
                    "source_type": "other",
                    "additional_details": {"data": record.data, "split": record.split},
                },
                "metric_config": {
                    "evaluation_description": f"mean of {name} over cases",
                    "metric_id": f"medrobust.{metric}",
                    "metric_name": name,
                    **({"metric_unit": str(part["unit"].iloc[0])} if part["unit"].iloc[0] else {}),
                    "lower_is_better": not better,
                    **({"score_type": "continuous", "min_score": 0, "max_score": 1} if rate else {}),
                },
                "score_details": {
                    "score": interval.estimate,
                    "details": {"patients": str(interval.patients), "cases_owed": str(record.cases), "validity": record.level, **_reasons(record)},
                    "uncertainty": {
                        **(spread if known else {}),
                        "num_samples": interval.cases,
                        **({"num_bootstrap_samples": RESAMPLES} if known else {}),
                    },
                },
                "generation_config": {"additional_details": _setting(record)},
            }
        )
    return found


def _setting(record: Record) -> dict[str, str]:
    """How the cell was made, as text."""
    said = {"condition": record.condition, "seed": str(record.seed), "attack": record.attack, "cell": record.digest}
    known = {"configuration": record.config, "threat": record.threat, "budget": canonical(record.budget) if record.budget else ""}
    return said | {name: text for name, text in known.items() if text}


def _reasons(record: Record) -> dict[str, str]:
    return {"reasons": "; ".join(record.reasons)} if record.reasons else {}


def _place(record: Record) -> str:
    probe = "clean" if record.attack == "none" else record.attack
    seed = f", seed {record.seed}" if record.seed else ""
    return f"{record.track}, {record.condition}, {probe}{seed}"


def _whole(record: Record) -> str:
    return f"{Model(record.target, record.defense)}, {_place(record)}"


def _why(record: Record) -> str:
    if record.measured:
        return f"invalid: {'; '.join(record.reasons)}"
    return f"{record.status}: {record.error}" if record.error else record.status


def _path(track: str, content: Mapping[str, Any]) -> str:
    """Where the store wants it; equal content has an equal name, shaped as the random UUID that the store's names must be."""
    name = uuid.UUID(bytes=hashlib.sha256(canonical(content).encode()).digest()[:16], version=4)
    return f"data/{portable(track)}/{content['model_info']['id']}/{name}.json"


def portable(name: str) -> str:
    """A name as a folder everywhere: letters, digits, dots, dashes, plus signs and underscores."""
    safe = re.sub(r"[^A-Za-z0-9+_.-]", "-", name)[:100].strip(".-") or "unnamed"
    return f"{safe}_" if RESERVED.fullmatch(safe.split(".")[0]) else safe
