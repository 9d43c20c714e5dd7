"""A stranger's distribution, installed beside the wheel, found by its entry point, checked and run; a broken one is a row."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[1] / "third_party" / "medrobust-rician"


@pytest.fixture(scope="module")
def plugins(environment: Any) -> list[dict[str, str]]:
    done = environment.call("medrobust", "plugin", "list", "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def row(plugins: list[dict[str, str]], name: str) -> dict[str, str]:
    (found,) = (plugin for plugin in plugins if plugin["name"] == name)
    return found


def test_the_environment_runs_the_wheel_and_not_the_source(environment: Any) -> None:
    done = environment.call("python", "-c", "import medrobust, medrobust_attacks; print(medrobust.__file__); print(medrobust_attacks.__file__)")
    assert all(Path(line).is_relative_to(environment.site) for line in done.stdout.splitlines()), done.stdout + done.stderr


def test_a_plugin_is_found_by_its_entry_point(plugins: list[dict[str, str]]) -> None:
    assert row(plugins, "rician") == {"kind": "attacks", "name": "rician", "distribution": "medrobust-rician", "state": "ok"}


def test_a_broken_plugin_is_a_row_with_its_error(plugins: list[dict[str, str]]) -> None:
    assert row(plugins, "broken")["state"] == "RuntimeError: needs a library that is not here"


def test_the_built_in_plugins_are_whole_beside_a_broken_one(plugins: list[dict[str, str]]) -> None:
    own = [plugin for plugin in plugins if plugin["distribution"] == "medrobust"]
    assert len(own) > 20
    assert [plugin for plugin in own if plugin["state"] != "ok"] == []


def test_listing_names_a_broken_plugin_without_importing_it(environment: Any) -> None:
    done = environment.call("medrobust", "list", "attacks", "--json")
    assert {"broken", "rician", "fnaf-random"} <= {plugin["name"] for plugin in json.loads(done.stdout)}


def test_a_spec_that_names_a_broken_plugin_gets_one_line(environment: Any, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    text = (HERE / "spec.yaml").read_text(encoding="utf-8")
    spec.write_text(text.replace("name: rician, options: {sigma: 0.05, draws: 2}", "name: broken"), encoding="utf-8")
    done = environment.call("medrobust", "validate", str(spec))
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1
    assert "'broken' of medrobust-broken cannot be imported" in line
    assert "needs a library that is not here" in line


def test_the_plugin_passes_its_own_promise_test(environment: Any, tmp_path: Path) -> None:
    shutil.copy(HERE / "test_promises.py", tmp_path)
    done = environment.call("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_checking_a_distribution_passes_for_the_good_and_fails_for_the_broken(environment: Any) -> None:
    good = environment.call("medrobust", "plugin", "check", "medrobust-rician", "--json")
    assert good.returncode == 0, good.stderr
    assert {verdict["state"] for verdict in json.loads(good.stdout)} == {"kept"}
    broken = environment.call("medrobust", "plugin", "check", "broken", "--json")
    assert broken.returncode == 1
    assert "needs a library" in json.loads(broken.stdout)[0]["found"]


def test_a_spec_that_names_the_plugin_runs(environment: Any, tmp_path: Path) -> None:
    done = environment.call("medrobust", "run", str(HERE / "spec.yaml"), "--out", str(tmp_path), "--workers", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for path in tmp_path.rglob("cases.jsonl") for line in path.read_text(encoding="utf-8").splitlines()]
    assert {row["attack"] for row in rows} == {"none", "rician"}
    worse, clean = (next(row["value"] for row in rows if row["attack"] == attack and row["metric"] == "nmse") for attack in ("rician", "none"))
    assert worse > clean
