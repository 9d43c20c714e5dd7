"""`list`, `info` and `doctor`, with whole plugins and broken ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from medrobust.cli.app import call

Distribution = Callable[..., None]


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Distribution:
    """Puts a distribution with one module and some entry points on the path."""

    def add(name: str, module: str, body: str, **points: str) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"[medrobust.{kind}]\n{line}\n" for kind, line in points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines))
        (tmp_path / f"{module}.py").write_text(body)

    monkeypatch.syspath_prepend(str(tmp_path))
    return add


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert call(words) == code, capsys.readouterr()
    return capsys.readouterr().out


def test_list_names_every_attack_with_its_distribution_and_object(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(said(capsys, "list", "attacks", "--json"))
    assert {"name": "fnaf-random", "distribution": "medrobust", "object": "medrobust_attacks.fnaf.random_search:RandomSearch"} in rows


def test_list_takes_the_singular(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(said(capsys, "list", "attack", "--json")) == json.loads(said(capsys, "list", "attacks", "--json"))


def test_list_names_specs_with_track_and_title(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = (row for row in json.loads(said(capsys, "list", "specs", "--json")) if row["name"] == "recon-fnaf")
    assert row["track"] == "recon-fnaf"
    assert "False-negative" in row["title"]


def test_list_shows_the_cards_of_a_strangers_zoo(capsys: pytest.CaptureFixture[str], distribution: Distribution, tmp_path: Path) -> None:
    distribution("stranger", "stranger", "", zoo="theirs = theirs_zoo")
    card = tmp_path / "theirs_zoo" / "their-model" / "card.yaml"
    card.parent.mkdir(parents=True)
    (tmp_path / "theirs_zoo" / "__init__.py").write_text("raise RuntimeError('listing must not import this')")
    card.write_text("target: their-unet\ndefense: none\narchitecture: unet\ndigest: '0123456789ab'\n")
    (row,) = (row for row in json.loads(said(capsys, "list", "zoo", "--json")) if row["name"] == "their-model")
    assert row == {
        "name": "their-model",
        "distribution": "stranger",
        "target": "their-unet",
        "defense": "none",
        "architecture": "unet",
        "digest": "0123456789ab",
    }


def test_a_card_that_cannot_be_read_is_a_row(capsys: pytest.CaptureFixture[str], distribution: Distribution, tmp_path: Path) -> None:
    distribution("stranger", "stranger", "", zoo="theirs = broken_zoo")
    card = tmp_path / "broken_zoo" / "their-model" / "card.yaml"
    card.parent.mkdir(parents=True)
    (tmp_path / "broken_zoo" / "__init__.py").touch()
    card.write_text("target: [")
    (row,) = (row for row in json.loads(said(capsys, "list", "zoo", "--json")) if row["name"] == "their-model")
    assert row["target"].startswith("unreadable: ")


def test_an_unknown_kind_is_one_line_with_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["list", "atacks"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: list: no kind 'atacks'; did you mean attacks")


@pytest.mark.parametrize("words", ["--help", "list", "list attacks", "list specs", "list zoo", "info --help", "plugin --help", "doctor --help"])
def test_a_light_command_imports_no_torch(words: str) -> None:
    program = f"import sys; from medrobust.cli.app import call; code = call({words.split()!r}); sys.exit(code or ('torch' in sys.modules and 9))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_info_shows_docstring_fields_and_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(said(capsys, "info", "unet", "--json"))
    assert "Source: Zbontar" in found["text"]
    assert {"field": "channels", "type": "int", "default": "32"} in found["fields"]
    assert "channels" in said(capsys, "info", "unet")


def test_info_shows_a_spec(capsys: pytest.CaptureFixture[str]) -> None:
    assert "suite: recon-fnaf" in said(capsys, "info", "recon-fnaf", "--kind", "specs")


def test_info_shows_every_kind_that_bears_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = json.loads(said(capsys, "info", "fnaf-robust", "--json"))
    assert found["kind"] == "defenses, objectives"


def test_info_prints_brackets_as_they_are(capsys: pytest.CaptureFixture[str], distribution: Distribution) -> None:
    distribution("stranger", "stranger_markup", "class Plugin:\n    'In [0, 1] and [bold]plain[/bold].'\n", attacks="markup = stranger_markup:Plugin")
    assert "In [0, 1] and [bold]plain[/bold]." in said(capsys, "info", "markup")


def test_an_unknown_name_is_one_line_with_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["info", "fnaf-randm"]) == 1
    assert capsys.readouterr().err.startswith("error: info: no 'fnaf-randm'; did you mean fnaf-random")


@pytest.mark.parametrize("raised", ["raise ValueError('bad [table]')", "import sys; sys.exit(3)", "import no_such_library"])
def test_a_plugin_that_cannot_be_imported_is_a_row_and_fails_the_doctor(
    capsys: pytest.CaptureFixture[str], distribution: Distribution, raised: str
) -> None:
    module = f"stranger_{len(raised)}"
    distribution("stranger", module, raised, attacks=f"theirs = {module}:Plugin", metrics=f"lost = {module}_missing:Plugin")
    rows = {row["name"]: row for row in json.loads(said(capsys, "plugin", "list", "--json"))}
    assert rows["theirs"]["state"].split(":")[0] in {"ValueError", "SystemExit", "ModuleNotFoundError"}
    assert rows["lost"]["state"].startswith("ModuleNotFoundError")
    assert rows["fnaf-random"]["state"] == "ok"
    assert "theirs" in said(capsys, "plugin", "list")
    wrong = [row["check"] for row in json.loads(said(capsys, "doctor", "--json", code=1)) if row["state"] == "wrong"]
    assert "attacks: theirs of stranger" in wrong


def test_of_two_plugins_with_one_name_the_hidden_one_says_so(capsys: pytest.CaptureFixture[str], distribution: Distribution) -> None:
    distribution("stranger", "stranger_twin", "class Plugin: pass", attacks="fnaf-random = stranger_twin:Plugin")
    states = {row["distribution"]: row["state"] for row in json.loads(said(capsys, "plugin", "list", "--json")) if row["name"] == "fnaf-random"}
    assert sorted(states.values()) in (["hidden: stranger registers the same name", "ok"], ["hidden: medrobust registers the same name", "ok"])


def test_the_doctor_reports_a_cache_that_cannot_be_written(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", "/proc/medrobust")
    rows = {row["check"]: row for row in json.loads(said(capsys, "doctor", "--json", code=1))}
    assert rows["cache"]["state"] == "wrong"
    assert rows["python"]["state"] == "fine"
