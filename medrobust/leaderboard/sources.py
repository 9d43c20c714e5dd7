"""Where evidence comes from: a run directory, or a committed folder of a leaderboard."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrobust.errors import StoreError
from medrobust.files import read_json, replacing, write_text
from medrobust.leaderboard import pictures
from medrobust.leaderboard.evidence import COLUMNS, Evidence, Record, evidence

if TYPE_CHECKING:
    import pandas as pd

    from medrobust.cell import Configured
    from medrobust.store import CellFolder

CELLS = "cells.json"
ROWS = ("rows.csv.gz", "rows.parquet")
COSTS = ("seconds", "probe seconds", "forward passes", "gradient passes")
WORDS = ("python", "platform", "processor", "cores", "threads", "device", "gpu", "revision")


def load(path: Path) -> Evidence:
    """The evidence in a run directory, or in a folder that `commit` wrote.

    Raises StoreError, with the folder's name, where it is neither.
    """
    if (path / CELLS).is_file():
        return committed(path)
    if not path.is_dir():
        msg = f"{path}: found no folder, expected a run directory or a committed leaderboard"
        raise StoreError(msg)
    from medrobust.store import open_run

    run = open_run(path)
    folders = list(run.cells())
    kept = [picture for folder in folders for picture in pictures.stored(folder)]
    return evidence(path.resolve().name, run.rows(), [_record(folder) for folder in folders], kept)


def _record(folder: CellFolder) -> Record:
    """A cell as its folder tells it; validity.json and env.json are there once it is finished."""
    cell, state = folder.cell, folder.state()
    verdict, machine = (read_json(path) if (path := folder.path / name).exists() else {} for name in ("validity.json", "env.json"))
    findings = verdict.get("findings", ())
    return Record(
        digest=folder.digest,
        track=cell.track,
        data=cell.data.name,
        split=cell.split,
        data_label=cell.data_label,
        condition=cell.condition,
        seed=cell.seed,
        target=cell.columns["target"],
        defense=cell.columns["defense"],
        attack=cell.columns["attack"],
        cases=cell.cases,
        source=cell.source,
        config=_config(cell.probe),
        control=bool(cell.attack and cell.attack.options.get("control")),
        status=state.status,
        level=str(verdict.get("level", "ok" if state.status != "invalid" else "invalid")),
        reasons=tuple(f"{finding['id']}: {finding['message']}" for finding in findings),
        error=state.error,
        cost={name: float(f"{machine[name]:.6g}") for name in COSTS if name in machine},
        environment=_words(machine),
        explains=cell.explainer is not None,
        threat=str(machine.get("threat", "")),
        budget={"name": cell.budget.name, **_scalars(cell.budget.options)} if cell.budget else {},
        data_digest=cell.data_digest,
    )


def _scalars(options: Mapping[str, Any]) -> dict[str, str | float | None]:
    """Options that are words, numbers or nothing; others are left out."""
    return {name: value for name, value in options.items() if value is None or isinstance(value, str | float | int)}


def _config(probe: Configured | None) -> str:
    """Such as `fnaf-random(redraw_mask=True, trials=11)`; what changes no number is left out."""
    if probe is None:
        return ""
    options = (f"{name}={value}" for name, value in sorted(probe.options.items()) if name not in probe.neutral)
    return f"{probe.name}({', '.join(options)})"


def _words(machine: Mapping[str, Any]) -> dict[str, str]:
    """Package versions and what the machine is, as text."""
    packages = {str(name): str(number) for name, number in dict(machine.get("packages", {})).items()}
    return packages | {name: str(machine[name]) for name in WORDS if machine.get(name) not in (None, "")}


def committed(folder: Path) -> Evidence:
    """What `commit` wrote."""
    content = read_json(folder / CELLS)
    try:
        machines = content["environments"]
        records = [Record(**{**cell, "reasons": tuple(cell["reasons"]), "environment": _machine(machines, cell)}) for cell in content["cells"]]
        suite = str(content["suite"])
    except (KeyError, TypeError, IndexError) as error:
        msg = f"{folder / CELLS}: {type(error).__name__} {error}; expected what `commit` of this version writes"
        raise StoreError(msg) from error
    return evidence(suite, _rows(folder), records, pictures.committed(folder))


def _machine(machines: Sequence[Mapping[str, str]], cell: Mapping[str, Any]) -> Mapping[str, str]:
    return {} if cell["environment"] is None else machines[cell["environment"]]


def _rows(folder: Path) -> pd.DataFrame:
    import pandas as pd

    path = next((folder / name for name in ROWS if (folder / name).is_file()), None)
    if path is None:
        msg = f"{folder}: found no {' or '.join(ROWS)}, expected the rows of the cells"
        raise StoreError(msg)
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        types = {name: "int64" if name == "seed" else "float64" if name == "value" else "str" for name in COLUMNS}
        return pd.read_csv(path, dtype=types, keep_default_na=False)
    except (OSError, ValueError, EOFError) as error:
        msg = f"{path}: {' '.join(str(error).split())}; expected rows with the columns {', '.join(COLUMNS)}"
        raise StoreError(msg) from error


def commit(run: Path, folder: Path) -> None:
    """Write the evidence of a run as the two small files that CI rebuilds a leaderboard from; equal runs give equal bytes."""
    found = load(run)
    machines: list[Mapping[str, str]] = []
    for record in found.records:
        if record.environment and record.environment not in machines:
            machines.append(dict(record.environment))
    cells = [
        {**vars(record), "reasons": list(record.reasons), "environment": machines.index(record.environment) if record.environment else None}
        for record in found.records
    ]
    text = json.dumps({"suite": found.suite, "environments": machines, "cells": cells}, indent=1, ensure_ascii=False, allow_nan=False)
    order = ["data", "split", "condition", "target", "defense", "attack", "seed", "metric", "label", "patient", "case"]
    table = found.rows[list(COLUMNS)].sort_values(order, kind="stable")
    content = table.to_csv(index=False, float_format="%.9g", lineterminator="\n").encode()
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as stream:
        stream.write(content)
    with replacing(folder / ROWS[0]) as temporary:
        temporary.write_bytes(packed.getvalue())
    write_text(folder / CELLS, text + "\n")
    pictures.commit(found.pictures, folder)
