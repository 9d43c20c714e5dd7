"""One cell on disk: identity, state, rows, and the claim to compute it."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from medrobust import claims
from medrobust.cell import Cell
from medrobust.digests import digest_bytes, plain
from medrobust.errors import CellError, StoreError
from medrobust.files import append_lines, read_json, read_lines, store_errors, write_json, write_lines
from medrobust.types import Row

MARKER = "within-budget"
"""The metric that is a case's last row: 1 where the attack stayed within its budget, else 0."""
FINISHED = ("done", "invalid")


@dataclass(frozen=True)
class State:
    """What became of a cell.

    status: queued, running, done, failed or invalid (computed and kept, but not to be believed).
    attempts: how often a worker started on it. error: one line, where it failed; `traceback` for --debug.
    cases, rows: how many are on disk; rows_digest: of the finished cases.jsonl.
    violations: case -> how it left the budget. artifact: digest of the stored images.
    lowest, clean_lowest: the lowest intensity of the attacked and of the clean images that is below zero, else 0.
    seconds, forward, gradient: what it cost, over all attempts; passes are those of the attack or explainer.
    probe_seconds: of `seconds`, what the attack or explainer itself took.
    probed: what the target showed before it was attacked. dependence: difference between a case predicted alone and in a batch.
    """

    status: str = "queued"
    attempts: int = 0
    error: str = ""
    traceback: str = ""
    cases: int = 0
    rows: int = 0
    rows_digest: str = ""
    violations: Mapping[str, str] = field(default_factory=dict)
    artifact: str = ""
    lowest: float = 0.0
    clean_lowest: float = 0.0
    seconds: float = 0.0
    forward: float = 0
    gradient: float = 0
    probe_seconds: float = 0.0
    probed: Mapping[str, Any] = field(default_factory=dict)
    dependence: float = 0.0


@dataclass(frozen=True)
class CellFolder:
    """cells/<digest>/ of a run."""

    path: Path
    cell: Cell

    @classmethod
    def read(cls, path: Path) -> CellFolder:
        """The folder of an existing cell; one whose name is not its identity's digest is an error."""
        content = read_json(path / "cell.json")
        try:
            cell = Cell.of(content["cell"])
        except (KeyError, TypeError) as error:
            msg = f"{path / 'cell.json'}: {type(error).__name__} {error}; expected a cell of this version of medrobust"
            raise StoreError(msg) from error
        if cell.digest != path.name:
            msg = f"{path / 'cell.json'}: identity has digest {cell.digest}, expected {path.name}"
            raise StoreError(msg)
        return cls(path, cell)

    @property
    def digest(self) -> str:
        return self.path.name

    @property
    def cases_file(self) -> Path:
        return self.path / "cases.jsonl"

    @property
    def stored(self) -> Path:
        """Where the cell keeps its attacked images or relevance maps."""
        return self.path / "artifacts" / ("relevance.h5" if self.cell.explainer else "attacked.h5")

    def state(self) -> State:
        """As it stands on disk now."""
        content = read_json(self.path / "cell.json")
        return State(**{name: content[name] for name in State.__dataclass_fields__ if name in content})

    def content(self, state: State) -> dict[str, Any]:
        """What cell.json says."""
        return {"digest": self.digest, "name": self.cell.name, **plain(state), "cell": plain(self.cell)}

    def write(self, state: State) -> State:
        write_json(self.path / "cell.json", self.content(state))
        return state

    def claim(self, stale: float = claims.STALE) -> claims.Claim | None:
        """The exclusive right to compute this cell, or None while another live worker has it."""
        return claims.acquire(self.path, stale)

    def is_held(self, stale: float = claims.STALE) -> bool:
        return claims.is_held(self.path, stale)

    def rows(self) -> list[Row]:
        """What cases.jsonl holds, a torn last line dropped."""
        return read_lines(self.cases_file)

    def complete_cases(self) -> set[str]:
        """Cases whose rows are all on disk: a case's marker is written after its last row."""
        return {row["case"] for row in self.rows() if row["metric"] == MARKER}

    def keep(self, cases: set[str]) -> None:
        """Drop the rows of every other case (or group), and a torn last line with them."""
        write_lines(self.cases_file, [row for row in self.rows() if row["case"] in cases])

    def append(self, rows: Iterable[Row]) -> None:
        """Further rows, on disk when this returns; each case's marker must come after its last row."""
        append_lines(self.cases_file, rows)

    def finish(self, state: State, status: str) -> State:
        """Mark the cell done or invalid, once the found cases are the expected ones and no row stands twice."""
        rows = self.rows()
        found = sum(row["metric"] == MARKER for row in rows)
        if found != self.cell.cases:
            msg = f"{self.cases_file}: found {found} cases, expected {self.cell.cases}"
            raise CellError(msg)
        if len({(row["case"], row["metric"], row["label"]) for row in rows}) != len(rows):
            msg = f"{self.cases_file}: a case x metric x label stands twice"
            raise CellError(msg)
        with store_errors(self.cases_file):
            content = digest_bytes(self.cases_file.read_bytes())
        return self.write(replace(state, status=status, cases=found, rows=len(rows), rows_digest=content, error="", traceback=""))

    def problems(self) -> list[str]:
        """What keeps a finished cell from being what its cell.json says, one line each."""
        state = self.state()
        if state.status not in FINISHED:
            return []
        if not self.cases_file.exists():
            return [f"{self.cases_file}: missing"]
        found: list[str] = []
        if digest_bytes(self.cases_file.read_bytes()) != state.rows_digest:
            found.append(f"{self.cases_file}: content is not what was computed (digest differs from {state.rows_digest})")
        if len(self.complete_cases()) != self.cell.cases:
            found.append(f"{self.cases_file}: found {len(self.complete_cases())} cases, expected {self.cell.cases}")
        if state.artifact and not self.stored.exists():
            found.append(f"{self.stored}: missing")
        return found

    def reset(self) -> None:
        """Forget everything computed."""
        self.cases_file.unlink(missing_ok=True)
        shutil.rmtree(self.path / "artifacts", ignore_errors=True)
        self.write(State())
