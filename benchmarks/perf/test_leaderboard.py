"""A leaderboard over one million rows: seconds and peak memory of building it in a process of its own. No number here is a test's expectation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from medrobust.digests import digest
from medrobust.leaderboard.evidence import Record

ENVIRONMENT = {"medrobust": "0.1.0", "python": "3.11", "torch": "2.13.0", "processor": "a processor", "threads": "1"}
PROGRAM = """
import resource, sys
from pathlib import Path
from medrobust.leaderboard.build import build
build([Path(sys.argv[1])], Path(sys.argv[2]))
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime)
"""


@dataclass(frozen=True)
class Size:
    """A committed folder: targets x attacks x conditions cells, each of patients x slices cases, each of the metrics."""

    track: str
    targets: int
    attacks: tuple[str, ...]
    conditions: tuple[str, ...]
    patients: int
    slices: int
    metrics: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.targets * len(self.attacks) * len(self.conditions) * self.patients * self.slices * len(self.metrics)


ATTACKED = ("correct", "score", "change-linf", "change-l2", "fooled")
RECONSTRUCTED = ("fnaf-loss", "ssim", "nmse", "psnr", "information")
SEGMENTED = ("dice", "dice-warped", "hd95", "missed", "distance")
SIZES = {
    "40 cells": Size("cls-linf", 5, ("none", "pgd", "square", "apgd"), ("2/255", "8/255"), 500, 10, ATTACKED),
    "2000 entrants": Size("cls-linf", 2000, ("none", "pgd"), ("8/255",), 125, 1, ATTACKED[:2]),
    "reconstruction": Size("recon-fnaf", 5, ("none", "fnaf-random", "fnaf-gradient", "fnaf-fd"), ("4x", "8x"), 500, 10, RECONSTRUCTED),
    "segmentation": Size("seg-deform", 5, ("none", "deform", "pgd", "random"), ("xi=1", "xi=2"), 500, 10, SEGMENTED),
}


def records(size: Size) -> Iterator[Record]:
    for condition, target, attack in product(size.conditions, range(size.targets), size.attacks):
        yield Record(
            digest=digest([size.track, condition, target, attack]),
            track=size.track,
            data="phantom",
            split="test",
            data_label="phantom",
            condition=condition,
            seed=0,
            target=f"target {target:04d}",
            defense="none",
            attack=attack,
            cases=size.patients * size.slices,
            cost={"seconds": 12.0, "forward passes": 100.0},
            environment=ENVIRONMENT,
            budget={"name": "norm", "norm": "linf", "epsilon": condition} if attack != "none" and "/" in condition else {},
        )


def write(size: Size, folder: Path, packed: bool) -> Path:
    """The folder as `commit` writes it, rows as csv.gz or as parquet."""
    folder.mkdir(parents=True)
    made = list(records(size))
    cells = [{**vars(one), "reasons": [], "environment": 0} for one in made]
    (folder / "cells.json").write_text(json.dumps({"suite": "million@01234567", "environments": [ENVIRONMENT], "cells": cells}), encoding="utf-8")
    rng = np.random.default_rng(0)
    n, metrics = size.patients * size.slices, len(size.metrics)
    whose = np.repeat(np.arange(size.patients), size.slices)
    one = pd.DataFrame({
        "patient": np.tile([f"patient {i:04d}" for i in whose], metrics),
        "case": np.tile([f"volume{i:04d}.h5#{k:03d}" for k, i in enumerate(whose)], metrics),
        "metric": np.repeat(size.metrics, n),
    })
    frames = []
    for record in made:
        patient = np.tile(rng.normal(size=size.patients).repeat(size.slices), metrics)
        value = 0.7 + 0.1 * (rng.normal() + patient + rng.normal(size=n * metrics))
        rates = one["metric"].isin(["correct", "fooled", "missed", "within-budget"]).to_numpy()
        names = {name: getattr(record, name) for name in ("track", "data", "split", "target", "defense", "attack", "condition", "seed")}
        frames.append(one.assign(**names, label="", value=np.where(rates, value > 0.6, value).round(9), unit=""))
    table = pd.concat(frames, ignore_index=True)
    if packed:
        table.to_csv(folder / "rows.csv.gz", index=False, float_format="%.9g", compression={"method": "gzip", "compresslevel": 1})
    else:
        table.to_parquet(folder / "rows.parquet")
    return folder


@pytest.mark.parametrize("name", list(SIZES))
@pytest.mark.parametrize("packed", [False, True], ids=["parquet", "csv.gz"])
def test_a_million_rows(name: str, packed: bool, tmp_path: Path, benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    size = SIZES[name]
    folder = write(size, tmp_path / "rows", packed)
    command = [sys.executable, "-c", PROGRAM, str(folder), str(tmp_path / "out")]
    began = time.perf_counter()
    done = benchmark.pedantic(
        lambda: subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "2"}),
        rounds=1,
        iterations=1,
    )
    seconds = time.perf_counter() - began
    megabytes, busy = (float(word) for word in done.stdout.split())
    benchmark.extra_info.update(rows=size.rows, seconds=round(seconds, 1), busy=round(busy, 1), megabytes=round(megabytes))
    page = (tmp_path / "out" / "index.html").stat().st_size / 1e6
    with capsys.disabled():
        form = "rows.csv.gz" if packed else "rows.parquet"
        print(f"\n{name}, {form}: {size.rows} rows in {seconds:.1f} s ({busy:.1f} s of a core), peak {megabytes:.0f} MB; page {page:.1f} MB")
