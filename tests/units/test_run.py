from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from medrobust import executors, files
from medrobust.artifacts import load_attacked
from medrobust.assemble import assemble
from medrobust.errors import StoreError
from medrobust.executors.local import InProcess
from medrobust.probing import CASES
from medrobust.run import HELD, compute
from medrobust.schedule import Crew, Schedule
from medrobust.store import MARKER, CellFolder, Run
from medrobust.types import Attacked, Row

MakeRun = Callable[..., Run]
TRANSFER = ("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-search]")
GROUPS = ("attacked: [tiny-error]", "attacked: [tiny-error, tiny-volume]")


def only(attack: str) -> tuple[str, str]:
    """One attack in place of the spec's, on zero filling and the U-Net."""
    return ("  - none\n  - {name: tiny-search, store: true}\n  - tiny-gradient\n", f"  - {attack}\n")


def returns(what: str) -> str:
    return f"{{name: tiny-returns, options: {{what: {what}}}}}"


def folder_of(run: Run, name: str) -> CellFolder:
    return next(folder for folder in run.cells() if folder.cell.name == name)


def execute(run: Run, batch: int | None = None, order: int = 1) -> dict[str, str]:
    seen: list[str] = []
    statuses = Schedule(run, Crew(batch=batch), lambda folder, status: seen.append(folder.digest)).execute(run.digests[::order])
    assert sorted(seen) == sorted(run.digests)
    return {run.cell(digest).cell.name: status for digest, status in statuses.items()}


def table(run: Run) -> pd.DataFrame:
    columns = [*Row.__annotations__, "cell"]
    return run.rows()[columns].sort_values([name for name in columns if name != "value"]).reset_index(drop=True)


def test_every_cell_of_a_grid_is_computed_with_every_case_and_metric(make_run: MakeRun) -> None:
    run = make_run(TRANSFER)
    assert set(execute(run).values()) == {"done"}
    rows = run.rows()
    assert Counter(rows[rows["metric"] == MARKER]["attack"]) == {
        "none": 24,
        "tiny-search": 24,
        "tiny-gradient": 24,
        "tiny-search from unet": 12,
        "tiny-search from zero-filled": 12,
    }
    clean = rows[(rows["attack"] == "none") & (rows["target"] == "unet")]
    assert Counter(clean["metric"] + clean["label"]) == {MARKER: 12, "tiny-error": 12, "tiny-errorseen": 11, "tiny-volume": 4}
    first = clean[(clean["metric"] == "tiny-error") & (clean["label"] == "")].iloc[0]
    expected = {"track": "tiny-track", "data": "tiny-data", "split": "test", "patient": "patient 0", "case": "test0#0", "defense": "none"}
    assert {name: first[name] for name in expected} == expected
    assert (first["condition"], first["unit"], first["seed"]) == ("half", "a.u.", 0)
    assert set(clean[clean["metric"] == "tiny-volume"]["case"]) == {"test0", "test1", "test2", "test3"}
    assert clean[clean["metric"] == "tiny-volume"]["value"].mean() == pytest.approx(
        clean[(clean["metric"] == "tiny-error") & (clean["label"] == "")]["value"].mean(), rel=1e-5
    )


def test_rows_are_the_same_for_any_batch_size_and_order(make_run: MakeRun) -> None:
    changes = (TRANSFER, GROUPS)
    expected = make_run(*changes)
    execute(expected)
    for batch, order in ((1, 1), (5, -1)):
        run = make_run(*changes, out=f"runs {batch}")
        execute(run, batch, order)
        pd.testing.assert_frame_equal(table(run), table(expected), check_exact=True)


def test_another_seed_gives_other_rows_of_the_attack_and_the_same_clean_ones(make_run: MakeRun) -> None:
    runs = [make_run(("batch: 4", f"seed: {seed}"), out=str(seed)) for seed in (0, 1)]
    clean, attacked = [], []
    for run in runs:
        execute(run)
        rows = run.rows()
        values = rows[(rows["metric"] == "tiny-error") & (rows["label"] == "")]
        clean.append(list(values[values["attack"] == "none"]["value"]))
        attacked.append(list(values[values["attack"] == "tiny-search"]["value"]))
    assert clean[0] == clean[1]
    assert all(one != other for one, other in zip(*attacked, strict=True))


def test_computing_a_finished_run_again_loads_no_case(make_run: MakeRun, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    change = ("keep: 0.5", f"keep: 0.5, log: {log}")
    execute(make_run(change))
    before = log.read_text()
    assert set(execute(make_run(change)).values()) == {"done"}
    assert log.read_text() == before


def killed(run: Run, digest: str) -> None:
    """Compute a cell in a child that SIGKILL ends."""
    code = f"from medrobust.run import compute; from pathlib import Path; compute(Path({str(run.path)!r}), {digest!r})"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.parametrize(("change", "repeated"), [(("batch: 4", "batch: 4"), {8, 9, 10, 11}), (GROUPS, {6, 7, 8, 9, 10, 11})])
def test_a_killed_cell_goes_on_where_it_stopped_and_ends_with_the_same_rows(
    make_run: MakeRun, tmp_path: Path, change: tuple[str, str], repeated: set[int]
) -> None:
    log, die = tmp_path / "log.txt", tmp_path / "die"
    changes = (change, ("keep: 0.5", f"keep: 0.5, log: {log}"), ("tiny-search,", f"tiny-search, options: {{die: {die}}},"))
    undisturbed = folder_of(make_run(*changes, out="undisturbed"), "half unet tiny-search")
    assert compute(undisturbed.path.parent.parent, undisturbed.digest) == "done"
    order = log.read_text().splitlines()
    log.unlink()
    die.write_text("2")
    run = make_run(*changes)
    folder = folder_of(run, "half unet tiny-search")
    killed(run, folder.digest)
    assert folder.state().status == "running"
    assert folder.state().cases == 8
    assert compute(run.path, folder.digest) == "done"
    assert Counter(log.read_text().splitlines()) == {case: 1 + (index in repeated) + (index < CASES) for index, case in enumerate(order[CASES:])}
    assert sorted(map(str, folder.rows())) == sorted(map(str, undisturbed.rows()))
    assert folder.state().artifact == undisturbed.state().artifact
    assert folder.state().attempts == 2


def test_a_file_cut_anywhere_is_completed_to_the_same_rows(make_run: MakeRun) -> None:
    run = make_run(GROUPS)
    folder = folder_of(run, "half zero-filled tiny-gradient")
    compute(run.path, folder.digest)
    whole, expected = folder.cases_file.read_bytes(), sorted(map(str, folder.rows()))
    for cut in range(0, len(whole), len(whole) // 17):
        folder.cases_file.write_bytes(whole[:cut])
        folder.write(replace(folder.state(), status="running"))
        assert compute(run.path, folder.digest) == "done"
        assert sorted(map(str, folder.rows())) == expected


def test_a_file_torn_in_the_middle_fails_its_cell_with_the_line(make_run: MakeRun) -> None:
    run = make_run()
    folder = run.cells()[0]
    folder.cases_file.write_text('{"case"\n{}\n')
    assert compute(run.path, folder.digest) == "failed"
    assert "cases.jsonl:1: found a torn line" in folder.state().error


def test_a_cell_that_another_worker_holds_is_left_to_it(make_run: MakeRun) -> None:
    run = make_run()
    folder = run.cells()[0]
    claim = folder.claim()
    assert claim is not None
    with claim:
        assert compute(run.path, folder.digest) == HELD
    assert compute(run.path, folder.digest) == "done"


def test_a_worker_whose_claim_was_taken_over_writes_nothing_more(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    folder = folder_of(run, "half zero-filled tiny-search")

    def slow(seconds: float) -> None:
        (folder.path / "claim-000002").write_text("{}")

    monkeypatch.setattr("time.sleep", slow)
    assert compute(run.path, folder.digest) == HELD
    assert folder.rows() == []
    assert folder.state().status == "running"


def test_a_cell_with_every_case_on_disk_is_judged_by_what_its_first_cases_showed_then(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(("batch: 4", "defenses: [tiny-smooth]"))
    folder = folder_of(run, "half zero-filled+tiny-smooth none")
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["tiny_plugins"].Smoothed, "__call__", lambda self, image, batch: self.inner(image, batch) - image.mean())
        assert compute(run.path, folder.digest) == "invalid"
    folder.write(replace(folder.state(), status="queued"))
    assert compute(run.path, folder.digest) == "invalid"
    assert "V14" in (folder.path / "validity.json").read_text()
    folder.write(replace(folder.state(), status="queued", probed={}))
    assert compute(run.path, folder.digest) == "done"


def test_an_interrupt_leaves_the_cell_resumable(make_run: MakeRun) -> None:
    run = make_run(only("tiny-interrupts"))
    folder = run.cells()[0]
    with pytest.raises(KeyboardInterrupt):
        execute(run)
    assert (folder.state().status, folder.state().cases) == ("queued", 4)
    assert not folder.is_held()


def test_a_plugin_that_raises_fails_its_cell_in_one_line_and_no_other(make_run: MakeRun) -> None:
    run = make_run(("  - tiny-gradient", "  - {name: tiny-raises, as: unlucky, options: {case: test3#0}}"))
    statuses = execute(run)
    assert Counter(statuses.values()) == {"done": 4, "failed": 2}
    state = folder_of(run, "half unet unlucky").state()
    assert state.error == "attack unlucky: ValueError: no such luck on two lines"
    assert "raise ValueError(msg)" in state.traceback
    assert "unlucky" not in set(run.rows()["attack"])


def test_a_failed_cell_is_tried_again(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(only("{name: tiny-raises, options: {case: test3#0}}"))
    execute(run)
    monkeypatch.setattr("tiny_plugins.Raises.__call__", lambda self, target, batch, budget, rng: Attacked(batch.image))
    assert set(execute(run).values()) == {"done"}
    assert folder_of(run, "half unet tiny-raises").state().error == ""


@pytest.mark.parametrize(
    ("attack", "error"),
    [
        (returns("shape"), "image: found (4, 1, 31, 32) torch.float32 on cpu, expected (4, 1, 32, 32) torch.float32 on cpu"),
        (returns("type"), "image: found (4, 1, 32, 32) torch.float64 on cpu, expected (4, 1, 32, 32) torch.float32 on cpu"),
        (returns("nan"), "image: found values that are not finite"),
        (returns("region"), "region: found (4, 1, 32, 32) torch.float32, expected (4, 1, 32, 32) torch.bool"),
        (returns("truth"), "truth: found (1, 1, 32, 32) torch.float32 on cpu, expected (4, 1, 32, 32) torch.float32 on cpu"),
        (returns("context"), "context: found 'masc', expected one of mask, phase"),
        (returns("trace"), "trace loss: found (4,), expected (4, queries)"),
        ("tiny-peeks", "RuntimeError: element 0 of tensors does not require grad"),
        ("tiny-trains", "left the target with other weights; expected it to be left alone"),
        ("{name: tiny-trains, options: {what: hooks}}", "left the target with other hooks; expected it to be left alone"),
    ],
)
def test_an_attack_that_breaks_its_contract_fails_its_cell(make_run: MakeRun, attack: str, error: str) -> None:
    run = make_run(only(attack))
    folder = next(folder for folder in run.cells() if folder.cell.columns["target"] == "unet")
    assert compute(run.path, folder.digest) == "failed"
    assert folder.state().error.startswith(f"attack {folder.cell.columns['attack']}: ")
    assert error in folder.state().error


def test_a_value_that_is_not_finite_fails_its_cell(make_run: MakeRun) -> None:
    run = make_run(("none: [tiny-error", "none: [tiny-infinite"))
    assert compute(run.path, run.digests[0]) == "failed"
    assert run.cells()[0].state().error == "metric tiny-infinite: found inf for case 'test0#0', expected a finite number"


def test_an_attack_that_asks_more_often_than_its_trace_says_is_not_believed(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    import tiny_plugins

    honest = tiny_plugins.Search.__call__

    def asks_again(self: object, target: object, batch: object, budget: object, rng: object) -> Attacked:
        target.loss(batch.image, batch)  # type: ignore[attr-defined]
        return honest(self, target, batch, budget, rng)

    monkeypatch.setattr("tiny_plugins.Search.__call__", asks_again)
    run = make_run()
    folder = folder_of(run, "half zero-filled tiny-search")
    assert compute(run.path, folder.digest) == "invalid"
    assert folder.state().violations["test0#0"] == "asked the target 4 times a case, its trace holds 3 queries"


def test_an_attack_that_leaves_its_budget_is_recorded_and_not_believed(make_run: MakeRun) -> None:
    run = make_run(only("tiny-leaves"))
    folder = run.cells()[0]
    assert compute(run.path, folder.digest) == "invalid"
    assert len(folder.state().violations) == 12
    assert folder.state().violations["test0#0"] == "found a change of 0.4, allowed 0.2"
    assert {row["value"] for row in folder.rows() if row["metric"] == MARKER} == {0.0}
    validity = json.loads((folder.path / "validity.json").read_text())
    assert validity["level"] == "invalid"
    assert validity["findings"][0] == {
        "id": "V13",
        "level": "invalid",
        "message": "12 cases (test0#0, test0#1, ...) left the budget: found a change of 0.4, allowed 0.2",
    }
    assert set(run.rows()["status"]) == {"invalid"}


def test_images_below_zero_and_hidden_queries_are_found(make_run: MakeRun) -> None:
    run = make_run(only("{name: tiny-leaves, options: {factor: -0.9}}\n  - tiny-hides"))
    assert set(execute(run).values()) == {"done", "invalid"}
    found = {folder.cell.columns["attack"]: json.loads((folder.path / "validity.json").read_text())["findings"] for folder in run.cells()}
    assert ("V13", "warn") in [(each["id"], each["level"]) for each in found["tiny-leaves"]]
    assert ("V11", "invalid") in [(each["id"], each["level"]) for each in found["tiny-hides"]]


@pytest.mark.parametrize("size", [1, 4])
def test_a_target_that_looks_at_its_batch_is_found_whatever_the_batch(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    run = make_run(("batch: 4", "defenses: [tiny-smooth]"))
    folder = folder_of(run, "half zero-filled+tiny-smooth none")
    module = sys.modules["tiny_plugins"]
    monkeypatch.setattr(module.Smoothed, "__call__", lambda self, image, batch: self.inner(image, batch) - image.mean())
    assert compute(run.path, folder.digest, batch=size) == "invalid"
    assert "predictions alone and in a batch differ" in (folder.path / "validity.json").read_text()


def test_a_defense_is_applied_at_run_time(make_run: MakeRun) -> None:
    run = make_run(("batch: 4", "defenses: [none, tiny-smooth]"))
    execute(run)
    rows = run.rows()
    means = rows[(rows["metric"] == "tiny-volume")].groupby(["target", "defense"])["value"].mean()
    assert means["unet", "none"] != means["unet", "tiny-smooth"]


def test_a_transfer_asks_its_target_about_the_stored_images(make_run: MakeRun) -> None:
    run = make_run(TRANSFER)
    execute(run)
    source, replay = folder_of(run, "half zero-filled tiny-search"), folder_of(run, "half unet tiny-search from zero-filled")
    bench = assemble(replay.cell, "cpu")
    batch = bench.data.load(bench.cases)
    attacked = load_attacked(source.path, batch)
    answer = bench.target(attacked.image, batch)
    assert attacked.truth is not None
    expected = (answer - attacked.truth).square().flatten(1).mean(1).tolist()
    assert [row["value"] for row in replay.rows() if row["metric"] == "tiny-error" and not row["label"]] == pytest.approx(expected, rel=1e-4)
    assert (replay.state().forward, replay.state().gradient) == (0, 0)


def test_a_transfer_whose_source_failed_fails_with_the_reason(make_run: MakeRun) -> None:
    run = make_run(only("{name: tiny-raises, options: {case: test3#0}}\ntransfer: [tiny-raises]"))
    assert set(execute(run).values()) == {"failed"}
    error = folder_of(run, "half unet tiny-raises from zero-filled").state().error
    assert error == "the cell whose images it replays is not done: half zero-filled tiny-raises"


def test_costs_and_environment_are_written(make_run: MakeRun) -> None:
    run = make_run()
    execute(run)
    folder = folder_of(run, "half unet tiny-gradient")
    assert (folder.state().forward, folder.state().gradient) == (12, 12)
    assert folder_of(run, "half unet tiny-search").state().forward == 36
    environment = json.loads((folder.path / "env.json").read_text())
    assert environment["packages"]["torch"] == torch.__version__
    assert environment["threads"] == 1
    assert environment["gradient passes"] == 12
    assert environment["peak memory in bytes"]["process"] > 1e7


def test_data_or_weights_that_changed_since_planning_fail_the_cell(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    monkeypatch.setattr(sys.modules["tiny_plugins"].TinyData, "digest", "0" * 12)
    assert compute(run.path, run.digests[0]) == "failed"
    assert run.cells()[0].state().error.startswith("data tiny-data: found digest 000000000000, expected")


def test_a_full_disk_stops_the_run_in_one_line_and_keeps_what_was_computed(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run()
    compute(run.path, run.digests[0])
    sync = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(StoreError, match="No space left on device; expected a writable folder with free space"):
        execute(run)
    monkeypatch.setattr(files.os, "fsync", sync)
    assert run.cells()[0].state().status == "done"
    assert set(execute(run).values()) == {"done"}


# Executors


class Dying(InProcess):
    """Loses its worker `times` times while a cell is running."""

    left = 0

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if Dying.left and args[1] == Dying.victim:
            Dying.left -= 1
            folder = CellFolder.read(args[0] / "cells" / args[1])
            folder.write(replace(folder.state(), status="running"))
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("a child process terminated abruptly"))
            return future
        return super().submit(function, *args, **kwargs)

    victim = ""


@pytest.mark.parametrize(("deaths", "status"), [(2, "done"), (3, "failed")])
def test_a_cell_whose_worker_dies_is_tried_again_and_given_up_in_the_end(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, deaths: int, status: str
) -> None:
    run = make_run()

    def create(name: str, workers: int, scheduler: str | None) -> Executor:
        return Dying()

    monkeypatch.setattr(executors, "create", create)
    monkeypatch.setattr(Dying, "left", deaths)
    monkeypatch.setattr(Dying, "victim", run.digests[1])
    statuses = execute(run)
    assert Counter(statuses.values()) == Counter({"done": 6} if status == "done" else {"done": 5, "failed": 1})
    assert ("worker died 3 times" in run.cells()[1].state().error) == (status == "failed")


def test_an_unknown_executor_comes_with_near_names() -> None:
    with pytest.raises(Exception, match=r"^--executor: no 'pol'; did you mean pool"):
        executors.create("pol", 1)
