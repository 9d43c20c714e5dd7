"""`plugin new` and `plugin check`: what is scaffolded passes as it is, and what is broken is said and fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from medrobust.cli.app import call

KINDS = ("attack", "explainer", "defense", "metric", "target")


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaffolded_distribution_passes_its_own_test(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    assert call(["plugin", "new", kind, "my-method", "--out", str(folder)]) == 0
    assert {path.name for path in folder.iterdir()} == {"pyproject.toml", "README.md", "medrobust_my_method.py", "test_promises.py"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


@pytest.mark.parametrize("kind", KINDS)
def test_a_scaffolded_plugin_is_found_and_checked(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    call(["plugin", "new", kind, "my-method", "--out", str(folder)])
    install(folder, kind)
    done = medrobust(folder, "plugin", "check", "my-method", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row["state"] for row in json.loads(done.stdout)} == {"kept"}


def test_checking_names_the_broken_promise_and_what_was_found(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    call(["plugin", "new", "attack", "my-method", "--out", str(folder)])
    install(folder, "attack")
    source = folder / "medrobust_my_method.py"
    careful = "select(allowed(budget, batch, batch.image + noise), batch.image + noise, worst)"
    assert careful in source.read_text()
    source.write_text(source.read_text().replace(careful, "batch.image + 20 * noise"))
    done = medrobust(folder, "plugin", "check", "my-method", "--json")
    assert done.returncode == 1
    broken = {row["promise"]: row["found"] for row in json.loads(done.stdout) if row["state"] == "broken"}
    assert set(broken) == {"A2"}
    assert "allowed 0.1" in broken["A2"]


def test_a_plugin_that_raises_is_a_row_a_promise(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    call(["plugin", "new", "metric", "my-method", "--out", str(folder)])
    install(folder, "metric")
    source = folder / "medrobust_my_method.py"
    source.write_text(source.read_text().replace("return (outcome", "raise KeyError('no [such] tensor')\n        return (outcome"))
    done = medrobust(folder, "plugin", "check", "my-method", "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    broken = {row["promise"]: row["found"] for row in json.loads(done.stdout) if row["state"] == "broken"}
    assert broken["M2"] == "KeyError: 'no [such] tensor'"
    assert "M1" not in broken


def test_options_reach_the_plugin_and_a_wrong_one_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["plugin", "check", "fnaf-random", "--option", "trials=2", "--json"]) == 0
    capsys.readouterr()
    assert call(["plugin", "check", "fnaf-random", "--option", "trails=2", "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert "no field 'trails'; did you mean trials?" in row["found"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["attak", "x"], "no kind 'attak'; did you mean attack?"),
        (["attack", "Bad_Name"], "found name 'Bad_Name'"),
        (["attack", "x/../y"], "found name 'x/../y'"),
        (["attack", "x", "--out", "."], "is in use"),
        (["attack", "x", "--out", "/proc/x"], "cannot be written"),
    ],
)
def test_a_scaffold_that_cannot_be_is_one_line(capsys: pytest.CaptureFixture[str], words: list[str], line: str) -> None:
    assert call(["plugin", "new", *words]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


def test_checking_an_unknown_name_is_one_line_with_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["plugin", "check", "fnaf-randm"]) == 1
    assert "did you mean fnaf-random" in capsys.readouterr().err


def install(folder: Path, kind: str) -> None:
    """What pip writes for an editable distribution, and no more."""
    info = folder / "medrobust_my_method-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: medrobust-my-method\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[medrobust.{kind}s]\nmy-method = medrobust_my_method:MyMethod\n")


def medrobust(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    program = "from medrobust.cli import main; main()"
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    command = [sys.executable, "-c", program, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": path})
