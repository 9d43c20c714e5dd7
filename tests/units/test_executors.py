from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from medrobust import executors
from medrobust.errors import ExecutorError, SpecError, WorkerDiedError
from medrobust.executors import dask
from medrobust.executors.pool import Pool


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(2)
    yield made
    made.shutdown(cancel_futures=True)


def test_a_call_whose_process_keeps_dying_is_given_up_and_its_neighbour_is_not_disturbed(pool: Pool, tmp_path: Path) -> None:
    neighbour = pool.submit(
        subprocess.check_call, ["sh", "-c", f"echo begun >> {tmp_path / 'log'}; until [ -e {tmp_path / 'end'} ]; do sleep 0.1; done"]
    )
    wait_for(tmp_path / "log")
    with pytest.raises(WorkerDiedError, match=r"^worker died 3 times on this cell"):
        pool.submit(os._exit, 1).result()
    (tmp_path / "end").touch()
    assert neighbour.result() == 0
    assert (tmp_path / "log").read_text() == "begun\n"
    assert pool.submit(abs, -1).result() == 1


def wait_for(path: Path) -> None:
    end = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < end, f"found no {path}"
        time.sleep(0.02)


def test_processes_are_others_and_have_one_thread(pool: Pool) -> None:
    assert pool.submit(os.getpid).result() != os.getpid()
    assert pool.submit(os.getenv, "OMP_NUM_THREADS").result() == "1"


def test_what_a_call_raises_is_raised_and_the_process_goes_on(pool: Pool) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        pool.submit(int, "x").result()
    assert pool.submit(int, "1").result() == 1


def test_a_pool_that_is_stopped_does_not_wait_for_its_calls(tmp_path: Path) -> None:
    pool = Pool(1)
    running = pool.submit(subprocess.check_call, ["sh", "-c", f"touch {tmp_path / 'begun'}; exec sleep 3600"])
    waiting = pool.submit(abs, -2)
    wait_for(tmp_path / "begun")
    pool.shutdown(cancel_futures=True)
    assert waiting.cancelled()
    with pytest.raises(SystemExit):
        running.result()


def test_executors_are_chosen_by_name() -> None:
    assert executors.create("local", 1).submit(os.getpid).result() == os.getpid()
    with pytest.raises(SpecError, match="--executor: no 'desk'; did you mean dask"):
        executors.create("desk", 1)


def test_dask_asks_for_an_address() -> None:
    with pytest.raises(SpecError, match="found no --scheduler"):
        executors.create("dask", 1)


def test_dask_that_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SpecError, match=r"pip install 'medrobust\[cluster\]'") as caught:
        executors.create("dask", 1, "tcp://127.0.0.1:8786")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "found"),
    [("tcp://127.0.0.1:1", "nothing within 1 s"), ("nowhere", "missing port number"), ("http://127.0.0.1:1", "unknown address scheme")],
)
def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, address: str, found: str) -> None:
    monkeypatch.setattr(dask, "TIMEOUT", 1)
    with pytest.raises(SpecError, match=f"--scheduler {address}: found {found}") as caught:
        executors.create("dask", 1, address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("threads", "torch", "found"), [(2, "", "found 2 threads, expected 1"), (1, "1.0", r"found medrobust .*, expected medrobust .*, torch 1\.0")]
)
def test_a_dask_worker_that_is_not_fit_refuses(monkeypatch: pytest.MonkeyPatch, threads: int, torch: str, found: str) -> None:
    worker = SimpleNamespace(address="tcp://10.0.0.2:40000", state=SimpleNamespace(nthreads=threads))
    monkeypatch.setattr("distributed.get_worker", lambda: worker)
    with pytest.raises(ExecutorError, match=f"^worker tcp://10.0.0.2:40000: {found}"):
        dask.alone({**dask.packages(), **({"torch": torch} if torch else {})}, lambda: 1)
    worker.state.nthreads = 1
    assert dask.alone(dask.packages(), lambda: 1) == 1
