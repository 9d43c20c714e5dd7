from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from medrobust.cli.app import VERBS, call, main

Write = Callable[..., str]
Capture = pytest.CaptureFixture[str]
HEAVY = ("torch", "numpy", "pandas", "pydantic", "monai", "h5py", "scipy", "matplotlib")


COMMAND = "from medrobust.cli import main; main()"


def medrobust(*arguments: str) -> subprocess.Popen[str]:
    """The command line in a process of its own."""
    return subprocess.Popen([sys.executable, "-c", COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_dir(out: Path) -> Path:
    (found,) = out.glob("tiny@*")
    return found


def errors(capsys: Capture) -> list[str]:
    lines = capsys.readouterr().err.splitlines()
    assert all(line.startswith("error: ") for line in lines), lines
    return [line.removeprefix("error: ") for line in lines]


# The table of verbs


def test_help_names_every_verb_and_imports_nothing_heavy() -> None:
    code = "import sys\nfrom medrobust.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit as ended:\n    print(ended.code, *sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *text, last = done.stdout.splitlines()
    code_, *modules = last.split()
    assert code_ == "0"
    assert not set(HEAVY) & set(modules)
    assert all(any(line.split()[:1] == [verb] for line in text) for verb in VERBS)


@pytest.mark.parametrize("verb", ["status", "show"])
def test_reading_a_run_imports_no_torch(verb: str) -> None:
    code = f"import sys, importlib; importlib.import_module({VERBS[verb].module!r}); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_a_misspelt_verb_or_option_is_one_line(capsys: Capture) -> None:
    assert call(["rnu"]) == 1
    assert errors(capsys) == ["No such command 'rnu'. Did you mean 'run'? (try --help)"]
    assert call(["status", "--jsn", "x"]) == 1
    assert len(errors(capsys)) == 1


def test_a_verb_that_is_not_installed_is_one_line(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "medrobust.cli.status", None)
    assert call(["status"]) == 1
    assert len(errors(capsys)) == 1


def test_the_version_is_shown(capsys: Capture) -> None:
    assert call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("medrobust 0.")


def test_a_defect_is_one_line_and_debug_shows_where(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str, limit: int | None = None) -> None:
        msg = "two\nlines"
        raise RuntimeError(msg)

    monkeypatch.setattr("medrobust.resolve.resolve", broken)
    assert call(["validate", "x"]) == 1
    assert errors(capsys) == ["RuntimeError: two lines; a defect of medrobust or of a plugin, --debug shows where"]
    with pytest.raises(RuntimeError):
        main(["validate", "x", "--debug"])


# Runs


def test_a_spec_is_planned_run_shown_and_verified(write_spec: Write, tmp_path: Path, capsys: Capture) -> None:
    spec, out = write_spec(("  - tiny-gradient", "  - tiny-gradient\ntransfer: [tiny-search]")), tmp_path / "runs"
    assert call(["validate", spec]) == 0
    assert "good; 1 conditions, 2 targets, 1 defenses, 3 attacks" in capsys.readouterr().out
    assert call(["plan", spec, "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert [row["forward"] for row in planned] == ["12", "12", "48", "unknown", "48", "unknown", "12", "12"]
    assert call(["run", spec, "--out", str(out), "--executor", "local"]) == 0
    text = capsys.readouterr().out
    assert "[8/8] done" in text
    assert f"run: {run_dir(out)}" in text
    page = next(line.removeprefix("page: ") for line in text.splitlines() if line.startswith("page: "))
    assert Path(page).is_file()
    assert call(["status", str(run_dir(out)), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert {row["status"] for row in status} == {"done"}
    assert {row["cases"] for row in status} == {"12/12"}
    assert call(["show", str(run_dir(out)), status[0]["cell"][:6], "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["status"], shown["validity"]["level"]) == ("done", "warn")
    assert shown["means"]["tiny-volume"].endswith("(n=4)")
    assert call(["show", str(run_dir(out))]) == 0
    assert call(["verify", str(run_dir(out))]) == 0
    assert "8 of 8 cells are finished, and every digest and count is right" in capsys.readouterr().out
    (run_dir(out) / "cells" / status[0]["cell"] / "cases.jsonl").write_text("")
    assert call(["verify", str(run_dir(out)), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_shards_fill_one_directory_between_them(write_spec: Write, tmp_path: Path, capsys: Capture) -> None:
    spec, out = write_spec(), tmp_path / "runs"
    for part, done in (("1/2", 3), ("2/2", 6)):
        assert call(["run", spec, "--out", str(out), "--shard", part, "--executor", "local"]) == 0
        capsys.readouterr()
        call(["status", str(run_dir(out)), "--json"])
        assert Counter(row["status"] for row in json.loads(capsys.readouterr().out))["done"] == done


def test_two_commands_share_a_directory_and_compute_no_case_twice(write_spec: Write, tmp_path: Path) -> None:
    log, out = tmp_path / "log.txt", tmp_path / "runs"
    spec = write_spec(("keep: 0.5", f"keep: 0.5, log: {log}"), ("tiny-search,", "tiny-search, options: {pause: 0.2},"))
    both = [medrobust("run", spec, "--out", str(out), "--executor", "local") for _ in range(2)]
    for child in both:
        text = "".join(child.communicate())
        assert child.returncode == 0, text
        assert text.count("[6/6]") == 1
    assert Counter(Counter(log.read_text().splitlines()).values()) == {6: 10, 12: 2}, "each cell's first two are loaded once more, to be asked about"


def interrupted_now(out: Path) -> bool:
    """True once the first attacked cell has its first batch on disk."""
    cells = [json.loads(path.read_text()) for path in out.glob("*/cells/*/cell.json")]
    return any("tiny-search" in cell["name"] and cell["cases"] == 4 for cell in cells)


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(write_spec: Write, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    spec = write_spec(("tiny-search,", "tiny-search, options: {pause: 0.5},"))
    child = medrobust("run", spec, "--out", str(out), "--executor", "local")
    deadline = time.time() + 60
    while not interrupted_now(out) and time.time() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, text = child.communicate()
    assert child.returncode == 130, text
    (line,) = text.splitlines()
    assert line == f"interrupted: 2 of 6 cells are done; to go on: medrobust run {spec} --out {out} --executor local"
    assert call(["run", spec, "--out", str(out), "--executor", "local"]) == 0


# Bad input: one line, one exit code, nothing lost


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("batch: 4", "batsh: 4", ":15: batsh: unknown field; did you mean batch"),
        ("name: tiny-search", "name: tiny-serch", ":11: attacks[1]: no 'tiny-serch' among attacks; did you mean tiny-search"),
        ("radius: 0.2", "radius: -0.2", ":13: budget: tiny-budget: radius: found -0.2, expected a positive number"),
    ],
)
def test_a_bad_spec_is_one_line(write_spec: Write, tmp_path: Path, capsys: Capture, old: str, new: str, line: str) -> None:
    spec = write_spec((old, new))
    for verb in ("run", "plan", "validate"):
        assert call([verb, spec]) == 1
        (found,) = errors(capsys)
        assert found.startswith(f"{spec}{line}")


def test_several_mistakes_are_as_many_lines(write_spec: Write, capsys: Capture) -> None:
    assert call(["validate", write_spec(("batch: 4", "batsh: 4"), ("suite: tiny", "suite: 3"))]) == 1
    assert len(errors(capsys)) == 2


def test_a_spec_that_is_not_there_is_one_line(capsys: Capture) -> None:
    assert call(["run", "recon-fnf"]) == 1
    assert errors(capsys)[0].startswith("recon-fnf: found no such file or shipped spec; did you mean recon-fnaf")


def test_a_plugin_that_raises_fails_its_cells_with_exit_code_2(write_spec: Write, tmp_path: Path, capsys: Capture) -> None:
    spec = write_spec(("  - tiny-gradient", "  - tiny-raises"))
    assert call(["run", spec, "--out", str(tmp_path / "runs"), "--executor", "local"]) == 2
    text = capsys.readouterr().out
    assert text.count("attack tiny-raises: ValueError: no such luck on two lines") == 2
    assert text.count("[") >= 6
    assert "Traceback" not in text
    call(["status", str(run_dir(tmp_path / "runs")), "--json"])
    assert Counter(row["status"] for row in json.loads(capsys.readouterr().out)) == {"done": 4, "failed": 2}


def test_a_plugin_that_leaves_its_budget_is_kept_and_gated_with_exit_code_3(write_spec: Write, tmp_path: Path, capsys: Capture) -> None:
    spec = write_spec(("  - tiny-gradient", "  - tiny-leaves"))
    assert call(["run", spec, "--out", str(tmp_path / "runs"), "--executor", "local"]) == 3
    assert "invalid half unet tiny-leaves" in capsys.readouterr().out


@pytest.mark.parametrize("out", ["file/runs", "/proc/runs"])
def test_a_directory_that_cannot_be_written_is_one_line(write_spec: Write, tmp_path: Path, capsys: Capture, out: str) -> None:
    (tmp_path / "file").touch()
    assert call(["run", write_spec(), "--out", str(tmp_path / out), "--executor", "local"]) == 1
    (found,) = errors(capsys)
    assert found.endswith("; expected a writable folder with free space")
    assert out in found


def test_a_disk_that_fills_up_is_one_line_and_keeps_what_was_computed(write_spec: Write, tmp_path: Path) -> None:
    spec, out = write_spec(), tmp_path / "runs"
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000)); {COMMAND}"
    arguments = ["run", spec, "--out", str(out), "--executor", "local", "--shard", "1/1"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stdout.count(": File too large; expected a writable folder with free space") == 2
    assert call(arguments) == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--shard", "3/2"], "--shard: found '3/2', expected i/n with 1 <= i <= n, such as 1/4"),
        (["--executor", "pol"], "--executor: no 'pol'; did you mean pool"),
        (["--executor", "local", "--workers", "2"], "--workers: found 2, expected 1 with --executor local; pool and dask take more"),
        (["--device", "tpu"], "--device: found 'tpu', expected a device of this machine"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(write_spec: Write, tmp_path: Path, capsys: Capture, arguments: list[str], line: str) -> None:
    assert call(["run", write_spec(), "--out", str(tmp_path / "runs"), *arguments]) == 1
    (found,) = errors(capsys)
    assert found.startswith(line)


def test_a_run_that_is_none_is_one_line(tmp_path: Path, capsys: Capture) -> None:
    for verb in ("status", "show", "verify"):
        assert call([verb, str(tmp_path)]) == 1
        assert errors(capsys) == [f"{tmp_path}: found no suite.lock.yaml, expected a run directory"]
