"""The only loop: every case of a cell is attacked, predicted, audited, measured and written, batch after batch."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from medrobust.artifacts import answers_shown, collect, load_attacked, save_attacked, save_explained
from medrobust.assemble import Bench, assemble, blame
from medrobust.chunk import chunked
from medrobust.claims import Claim, ClaimLostError
from medrobust.digests import plain
from medrobust.environment import describe
from medrobust.errors import CellError
from medrobust.evidence import gather
from medrobust.explaining import Explaining, streams
from medrobust.files import write_json
from medrobust.fitting import fitted
from medrobust.guard import BLACK_BOX, Fingerprint, Guarded, Passes, frozen
from medrobust.judge import judge
from medrobust.measure import Measure
from medrobust.outcomes import check_attacked, check_prediction
from medrobust.probing import CASES, dependence, probe
from medrobust.store import FINISHED, CellFolder, Run, State, open_run
from medrobust.types import Attacked, Batch, Case, Outcome

HELD = "held"
"""What `compute` returns where another worker has the cell."""


def compute(run: Path, digest: str, device: str = "cpu", batch: int | None = None) -> str:
    """Compute one cell of a run directory; what is on disk already is not computed again.

    batch: cases at once; None takes the spec's. It changes no row.
    Returns the cell's status: `done`, `invalid` or `failed`, or `held` while another live worker has it.
    Raises StoreError where the directory cannot be written; an interrupt leaves the cell resumable.
    """
    opened = open_run(run)
    folder = opened.cell(digest)
    if folder.state().status in FINISHED:
        return folder.state().status
    claim = folder.claim()
    if claim is None:
        return HELD
    with claim:
        state = folder.state()
        if state.status in FINISHED:
            return state.status
        folder.write(replace(state, status="running", attempts=state.attempts + 1, error="", traceback=""))
        try:
            with exact(device):
                return Loop.prepare(opened, folder, claim, device, batch or int(opened.lock["batch"])).run().status
        except ClaimLostError:
            return HELD
        except Exception as error:  # whatever a plugin raised fails its cell, and no other
            line = " ".join(str(error).split()) or type(error).__name__
            return folder.write(replace(folder.state(), status="failed", error=line, traceback=traceback.format_exc())).status
        except BaseException:
            folder.write(replace(folder.state(), status="queued"))
            raise


@contextmanager
def exact(device: str) -> Iterator[None]:
    """One CPU thread, or a GPU's deterministic float32, so that rows do not depend on how many workers there are; workers give the speed."""
    before = torch.get_num_threads()
    try:
        if torch.device(device).type == "cpu":
            torch.set_num_threads(1)
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True)
class Loop:
    """One cell on its way."""

    folder: CellFolder
    claim: Claim
    device: str
    batch: int
    bench: Bench
    guarded: Guarded
    measure: Measure
    source: CellFolder | None
    explaining: Explaining | None

    @classmethod
    def prepare(cls, run: Run, folder: CellFolder, claim: Claim, device: str, batch: int) -> Loop:
        bench = assemble(folder.cell, device)
        probe = bench.attack or bench.explainer
        with blame(f"target {folder.cell.columns['target']}"):
            guarded = chunked(bench.target, probe.threat if probe else BLACK_BOX, device, bench.first)

        def report(step: int, steps: int, loss: float) -> None:
            claim.check()
            write_json(folder.path / "fit.json", {"step": step, "steps": steps, "loss": loss})

        if bench.attack:
            with blame(f"attack {folder.cell.columns['attack']}"):
                bench = replace(bench, attack=fitted(bench.attack, bench.target, bench.fit, folder.cell.seed, report))
        explaining = Explaining(bench.explainer, guarded, folder.cell, bench.fit, report) if bench.explainer else None
        measure = Measure(folder.cell, bench.metrics, bench.cases)
        source = run.cell(folder.cell.source) if folder.cell.source else None
        return cls(folder, claim, device, batch, bench, guarded, measure, source, explaining)

    def run(self) -> State:
        """Every case that is not on disk, then the judgement."""
        finished = self._resume()
        todo = [case for case in self.bench.cases if case.case not in finished]
        with frozen(self.bench.target):
            before = Fingerprint.of(self.bench.target)
            self._probe(before)
            for start in range(0, len(todo), self.batch):
                self.claim.check()
                self._step(todo[start : start + self.batch])
            changed = before.changes(Fingerprint.of(self.bench.target))
        if changed and not self.folder.state().probed["alters"]:
            msg = f"{self._who()}: left the target with other {changed}; expected it to be left alone"
            raise CellError(msg)
        return self._finish()

    def _resume(self) -> set[str]:
        """Cases that need not be computed again; the rows of all others are dropped from disk."""
        finished = self.measure.resumable(self.folder.complete_cases())
        groups = {case.group for case in self.bench.cases if case.case in finished} if self.measure.per_group else set()
        self.folder.keep(finished | groups)
        state = self.folder.state()
        violations = {case: found for case, found in state.violations.items() if case in finished}
        self.folder.write(replace(state, cases=len(finished), violations=violations))
        return finished

    def _step(self, cases: Sequence[Case]) -> None:
        """One batch, from the file to its rows on disk."""
        began = time.perf_counter()
        asked = replace(self.guarded.passes)
        batch = self._load(cases)
        started = time.perf_counter()
        with blame(self._who()):
            attacked = check_attacked(batch, self._attack(batch))
            explained = self.explaining(batch) if self.explaining else None
        probed = time.perf_counter() - started
        spent = replace(self.guarded.passes)
        violations = self._audit(batch, attacked)
        averaged = int(getattr(self.bench.attack, "expectation", 1))
        uncounted = unreported(attacked, (spent.forward - asked.forward) / len(batch), averaged)
        violations = tuple(violation or uncounted for violation in violations)
        outcome = Outcome(batch, attacked, batch.image)
        with blame(f"target {self.folder.cell.columns['target']}"):
            judged = replace(self.guarded, threat=BLACK_BOX, passes=Passes())
            prediction = check_prediction(judged(attacked.image, outcome.attacked_batch), batch)
        again = self.explaining.again(batch) if self.explaining else None
        outcome = replace(outcome, prediction=prediction, explained=explained, target=judged, again=again, trained=self.bench.fit is not None)
        rows = self.measure.rows(outcome, [not violation for violation in violations])
        if self.folder.cell.store and explained:
            save_explained(self.folder.path, batch, explained)
        elif self.folder.cell.store:
            said = (judged(batch.image, batch), prediction) if answers_shown(batch) else None
            save_attacked(self.folder.path, batch, attacked, said)
        self.claim.check()
        state = self.folder.state()
        named = {case.case: violation for case, violation in zip(cases, violations, strict=True) if violation}
        self.folder.write(
            replace(
                state,
                cases=state.cases + len(cases),
                violations={**state.violations, **named},
                seconds=state.seconds + time.perf_counter() - began,
                probe_seconds=state.probe_seconds + probed,
                lowest=min(state.lowest, float(attacked.image.min())),
                clean_lowest=min(state.clean_lowest, float(batch.image.min())),
                forward=state.forward + spent.forward - asked.forward,
                gradient=state.gradient + spent.gradient - asked.gradient,
            )
        )
        self.folder.append(rows)

    def _load(self, cases: Sequence[Case]) -> Batch:
        with blame(f"data {self.folder.cell.data.name}"):
            return self.bench.data.load(cases).to(self.device)

    def _probe(self, before: Fingerprint) -> None:
        """What the target shows on the cell's first cases; asked once and kept: no verdict depends on the batch, or on where a cell was interrupted.

        before: the target as it was made.
        """
        state = self.folder.state()
        if state.probed:
            return
        first = self._load(self.bench.cases[:CASES])
        with blame(f"target {self.folder.cell.columns['target']}"):
            found = probe(self.bench.target, first, self.bench.attack, self.bench.budget, self.guarded.micro_batch)
            differing = dependence(self.bench.target, first)
        self.claim.check()
        alters = before.changes(Fingerprint.of(self.bench.target))
        self.folder.write(replace(state, probed=plain(replace(found, alters=alters)), dependence=differing))

    def _attack(self, batch: Batch) -> Attacked:
        if self.source:
            return load_attacked(self.source.path, batch)
        if not self.bench.attack:
            return Attacked(batch.image)
        rng = streams(self.folder.cell.seed, batch.cases)
        with torch.set_grad_enabled(self.guarded.white_box):
            return self.bench.attack(self.guarded, batch, self.bench.budget, rng)  # type: ignore[arg-type]

    def _audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """How each case left the budget; recorded, never mended."""
        if not self.bench.budget or not self.folder.cell.attack:
            return ("",) * len(batch)
        with blame(f"budget {self.folder.cell.budget.name if self.folder.cell.budget else ''}"):
            violations = self.bench.budget.audit(batch, attacked)
            if len(violations) != len(batch):
                msg = f"found {len(violations)} entries, expected {len(batch)}"
                raise ValueError(msg)
        return violations

    def _who(self) -> str:
        cell = self.folder.cell
        kind = "attack" if cell.attack else "explainer" if cell.explainer else "target"
        return f"{kind} {cell.columns['attack' if cell.probe else 'target']}"

    def _finish(self) -> State:
        state = self.folder.state()
        if self.folder.cell.store and not state.artifact:
            state = self.folder.write(replace(state, artifact=collect(self.folder.stored, self.bench.cases)))
        verdict = judge(gather(self.folder, self.bench))
        write_json(self.folder.path / "validity.json", verdict.plain())
        costs = {"seconds": state.seconds, "probe seconds": state.probe_seconds, "forward passes": state.forward, "gradient passes": state.gradient}
        probe = self.bench.attack or self.bench.explainer
        shown = {"threat": probe.threat} if probe else {}
        write_json(self.folder.path / "env.json", {**describe(self.device), **costs, **shown, "micro batch": self.guarded.micro_batch})
        return self.folder.finish(state, "invalid" if verdict.level == "invalid" else "done")


def unreported(attacked: Attacked, passes: float, expectation: int = 1) -> str:
    """What is wrong where an attack asked the target more often a case than its trace of losses says; query budgets are read off that trace.

    expectation: how often an attack says that it asks at each query.
    """
    trace = attacked.trace.get("loss")
    if trace is None or passes <= expectation * trace.shape[1]:
        return ""
    each = f" of {expectation} answers" if expectation > 1 else ""
    return f"asked the target {passes:g} times a case, its trace holds {trace.shape[1]} queries{each}"
