from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from medrobust import claims, files
from medrobust.artifacts import collect, load_attacked, save_attacked, stored_digest
from medrobust.claims import ClaimLostError, acquire, is_held
from medrobust.cli.verify import problems
from medrobust.errors import CellError, StoreError
from medrobust.files import append_lines, read_lines, write_text
from medrobust.run import compute
from medrobust.store import MARKER, CellFolder, Run, State, open_run
from medrobust.types import Attacked, Batch, Case

MakeRun = Callable[..., Run]
CLEAN = (", tiny-volume", ""), ("  - {name: tiny-search, store: true}\n  - tiny-gradient\n", "")


# Line files


def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "cases.jsonl"
    append_lines(path, [{"case": 1}, {"case": 2}])
    whole = path.read_text()
    for cut in range(len('{"case": 1}\n'), len(whole)):
        path.write_text(whole[:cut])
        assert read_lines(path) == [{"case": 1}]


@pytest.mark.parametrize("text", ['{"case": 1}\n{"ca\n{"case": 3}\n', '{"ca\n{"case": 3}\n', '{"case": 1}\n\n{"case": 3}\n'])
def test_a_line_torn_elsewhere_names_file_and_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "cases.jsonl"
    path.write_text(text)
    line = next(number for number, line in enumerate(text.splitlines(), 1) if not line.endswith("}"))
    with pytest.raises(StoreError, match=rf"cases\.jsonl:{line}: found a torn line"):
        read_lines(path)


def test_a_file_is_whole_or_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_text(path, "before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"state\.json: No space left on device; expected a writable folder with free space"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


# Claims


def test_a_claim_is_exclusive_until_it_ends(tmp_path: Path) -> None:
    claim = acquire(tmp_path)
    assert claim is not None
    with claim:
        assert acquire(tmp_path) is None
        assert is_held(tmp_path)
        claim.check()
    assert not is_held(tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_claim_of_a_process_that_died_is_taken_over_at_once(tmp_path: Path) -> None:
    code = f"from medrobust.claims import acquire; from pathlib import Path; import os; acquire(Path({str(tmp_path)!r})); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    claim = acquire(tmp_path)
    assert claim is not None
    with claim:
        assert acquire(tmp_path) is None


def test_a_claim_of_another_host_is_taken_over_once_its_heartbeat_stops(tmp_path: Path) -> None:
    elsewhere = tmp_path / "claim-000001"
    elsewhere.write_text(json.dumps({"host": "elsewhere", "pid": 1}))
    assert acquire(tmp_path, stale=60) is None
    os.utime(elsewhere, (time.time() - 61,) * 2)
    claim = acquire(tmp_path, stale=60)
    assert claim is not None
    with claim:
        assert claim.path.name == "claim-000002"
    assert not list(tmp_path.iterdir())


def test_a_heartbeat_keeps_a_claim_fresh(tmp_path: Path) -> None:
    claim = acquire(tmp_path, stale=0.3)
    assert claim is not None
    with claim:
        os.utime(claim.path, (0, 0))
        deadline = time.time() + 10
        while claims.is_stale(claim.path, 0.3) and time.time() < deadline:
            time.sleep(0.02)
        assert not claims.is_stale(claim.path, 0.3)


def test_who_lost_a_claim_is_told_and_leaves_the_new_one_alone(tmp_path: Path) -> None:
    claim = acquire(tmp_path)
    assert claim is not None
    with claim:
        newer = tmp_path / "claim-000002"
        newer.write_text("{}")
        with pytest.raises(ClaimLostError, match="another worker took this cell over"):
            claim.check()
    assert list(tmp_path.iterdir()) == [newer]


# Runs and cells


def folder_of(run: Run, name: str) -> CellFolder:
    return next(folder for folder in run.cells() if folder.cell.name == name)


@pytest.fixture
def done(make_run: MakeRun) -> CellFolder:
    """A finished clean cell."""
    run = make_run(*CLEAN)
    folder = folder_of(run, "half zero-filled none")
    assert compute(run.path, folder.digest) == "done"
    return folder


def test_opening_a_run_again_keeps_what_it_holds(make_run: MakeRun) -> None:
    run = make_run()
    folder = run.cells()[0]
    folder.write(State(status="done", cases=12))
    assert make_run().path == run.path
    assert folder.state().status == "done"
    assert open_run(run.path).digests == run.digests


def test_a_folder_that_is_no_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"found no suite\.lock\.yaml, expected a run directory"):
        open_run(tmp_path)
    (tmp_path / "suite.lock.yaml").write_text("suite: x\n")
    with pytest.raises(StoreError, match="found no list of cells"):
        open_run(tmp_path)


def test_what_is_no_part_of_identity_is_brought_up_to_date(make_run: MakeRun) -> None:
    first = make_run()
    again = make_run(("keep: 0.5", "keep: 0.5, log: there.txt"))
    assert again.path == first.path
    assert again.cells()[0].cell.data.options["log"] == "there.txt"


def test_a_finished_cell_whose_images_are_wanted_afterwards_is_computed_again(make_run: MakeRun) -> None:
    run = make_run((", store: true", ""))
    folder = folder_of(run, "half zero-filled tiny-search")
    assert compute(run.path, folder.digest) == "done"
    make_run()
    assert folder.state().status == "queued"
    assert compute(run.path, folder.digest) == "done"
    assert folder.state().artifact


def test_an_identity_that_is_not_the_folder_s_is_refused(done: CellFolder) -> None:
    path = done.path / "cell.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(StoreError, match=f"identity has digest .*, expected {done.digest}"):
        CellFolder.read(done.path)


def test_a_cell_with_fewer_cases_than_expected_is_not_done(done: CellFolder) -> None:
    rows = done.rows()
    done.keep({row["case"] for row in rows} - {"test0#0"})
    with pytest.raises(CellError, match="found 11 cases, expected 12"):
        done.finish(done.state(), "done")


def test_a_row_that_stands_twice_is_refused(done: CellFolder) -> None:
    done.append([row for row in done.rows() if row["metric"] != MARKER][:1])
    with pytest.raises(CellError, match="stands twice"):
        done.finish(done.state(), "done")


def test_rows_come_from_finished_cells_alone_with_their_status(make_run: MakeRun) -> None:
    run = make_run(*CLEAN)
    first, second = run.cells()
    compute(run.path, first.digest)
    compute(run.path, second.digest)
    first.write(replace(first.state(), status="invalid"))
    second.write(replace(second.state(), status="failed"))
    rows = run.rows()
    assert set(rows["cell"]) == {first.digest}
    assert set(rows["status"]) == {"invalid"}
    assert len(rows) == first.state().rows
    assert rows["value"].dtype == "float64"


def test_rows_parquet_is_the_same_table_and_follows_the_cells(make_run: MakeRun) -> None:
    run = make_run(*CLEAN)
    first, second = run.cells()
    compute(run.path, first.digest)
    path = run.compact()
    pd.testing.assert_frame_equal(pd.read_parquet(path), run.rows())
    compute(run.path, second.digest)
    assert set(run.rows()["cell"]) == {first.digest, second.digest}
    run.compact()
    path.unlink()
    without = run.rows()
    run.compact()
    pd.testing.assert_frame_equal(run.rows(), without)


def test_rows_that_were_lost_are_an_error_and_not_an_average(make_run: MakeRun) -> None:
    run = make_run(*CLEAN)
    folder = run.cells()[0]
    compute(run.path, folder.digest)
    folder.cases_file.write_text("".join(folder.cases_file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(StoreError, match="found 34 rows, expected 35 of 12 cases"):
        run.rows()


# Verification


def test_an_untouched_run_verifies(done: CellFolder) -> None:
    assert problems(open_run(done.path.parent.parent)) == []


@pytest.mark.parametrize("harm", ["edit", "cut", "remove", "identity"])
def test_verification_finds_what_was_changed(done: CellFolder, harm: str) -> None:
    text = done.cases_file.read_text()
    if harm == "edit":
        done.cases_file.write_text(text.replace('"value": 0.', '"value": 1.', 1))
    elif harm == "cut":
        done.cases_file.write_text("".join(text.splitlines(keepends=True)[:-1]))
    elif harm == "remove":
        done.cases_file.unlink()
    else:
        cell = done.path / "cell.json"
        cell.write_text(cell.read_text().replace('"seed": 0', '"seed": 1'))
    assert len(problems(open_run(done.path.parent.parent))) == {"edit": 1, "cut": 2, "remove": 1, "identity": 1}[harm]


# Stored images


def batch_of(n: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(n, 1, 8, 8, generator=generator) * torch.logspace(-30, 8, n).view(-1, 1, 1, 1)
    cases = tuple(Case(f"a/b{index}#0", "p", "g") for index in range(n))
    return Batch(image, image, cases, {"mask": torch.ones(n, 1, 1, 8, dtype=torch.bool)})


def attack_of(batch: Batch) -> Attacked:
    image = batch.image + torch.rand_like(batch.image) * 3.3
    region = torch.rand_like(image) < 0.5
    return Attacked(image, image, region, {"mask": ~batch.context["mask"]}, {"loss": torch.ones(len(batch), 2)})


def stored(folder: Path, batch: Batch, attacked: Attacked) -> str:
    for part in ([0], list(range(1, len(batch)))):
        context = {name: tensor[part] for name, tensor in attacked.context.items()}
        truth = None if attacked.truth is None else attacked.truth[part]
        region = None if attacked.region is None else attacked.region[part]
        save_attacked(folder, batch.select(part), Attacked(attacked.image[part], truth, region, context))
    return collect(folder / "artifacts" / "attacked.h5", batch.cases)


def test_stored_images_come_back_to_the_last_bit(tmp_path: Path) -> None:
    batch = batch_of()
    attacked = attack_of(batch)
    digest = stored(tmp_path, batch, attacked)
    again = load_attacked(tmp_path, batch.select([2, 0]))
    assert torch.equal(again.image, attacked.image[[2, 0]])
    assert again.truth is not None
    assert again.region is not None
    assert torch.equal(again.truth, attacked.image[[2, 0]])
    assert torch.equal(again.region, attacked.region[[2, 0]])  # type: ignore[index]
    assert torch.equal(again.context["mask"], attacked.context["mask"][[2, 0]])
    assert stored_digest(tmp_path / "artifacts" / "attacked.h5") == digest


def test_what_an_attack_did_not_give_is_not_stored(tmp_path: Path) -> None:
    batch = batch_of()
    stored(tmp_path, batch, Attacked(batch.image + 1))
    again = load_attacked(tmp_path, batch)
    assert (again.truth, again.region, dict(again.context)) == (None, None, {})


def test_images_with_another_truth_and_double_precision_are_kept_as_they_are(tmp_path: Path) -> None:
    batch = batch_of()
    batch = replace(batch, image=batch.image.double() * torch.pi)
    attacked = Attacked(batch.image / 3, batch.image * 2)
    stored(tmp_path, batch, attacked)
    again = load_attacked(tmp_path, batch)
    assert torch.equal(again.image, attacked.image)
    assert again.truth is not None
    assert torch.equal(again.truth, batch.image * 2)


def test_stored_images_are_refused_where_they_are_damaged_missing_or_of_other_data(tmp_path: Path) -> None:
    import h5py

    batch = batch_of()
    with pytest.raises(StoreError, match="missing; expected the stored images"):
        load_attacked(tmp_path, batch)
    stored(tmp_path, batch, attack_of(batch))
    with pytest.raises(StoreError, match="was attacked on other image data"):
        load_attacked(tmp_path, replace(batch, image=batch.image + 1))
    with pytest.raises(StoreError, match="found no case 'another'"):
        load_attacked(tmp_path, replace(batch.select([0]), cases=(Case("another", "p", "g"),)))
    path = tmp_path / "artifacts" / "attacked.h5"
    with h5py.File(path, "r+") as file:
        file["a%2Fb1#0"]["region"][0, 0, 0] ^= True
    with pytest.raises(StoreError, match=r"case 'a/b1#0' does not have the digest"):
        load_attacked(tmp_path, batch)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(StoreError, match=r"attacked\.h5: "):
        load_attacked(tmp_path, batch)


def test_images_of_missing_cases_are_noticed_before_they_are_joined(tmp_path: Path) -> None:
    batch = batch_of()
    save_attacked(tmp_path, batch.select([0]), Attacked(batch.image[[0]] + 1))
    with pytest.raises(StoreError, match="found no images of 2 cases"):
        collect(tmp_path / "artifacts" / "attacked.h5", batch.cases)
    assert not (tmp_path / "artifacts" / "attacked.h5").exists()


def test_writes_need_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_new_json(tmp_path / "new.json", {"a": 1})
    files.write_new_json(tmp_path / "new.json", {"a": 2})
    assert files.read_json(tmp_path / "new.json") == {"a": 1}

    def unsupported(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "hardlink_to", unsupported)
    files.write_new_json(tmp_path / "other.json", {"a": 1})
    files.write_new_json(tmp_path / "other.json", {"a": 2})
    assert files.read_json(tmp_path / "other.json") == {"a": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.json", "other.json"]
