"""What several test folders share."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from medrobust.cli.run import prepare
from medrobust.plan import plan
from medrobust.store import Run

TINY = Path(__file__).parent / "tiny"


def pytest_configure() -> None:
    """Tests interrupt the programs they start, which a shell in the background would have them ignore."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


SPEC = """\
suite: tiny
track: tiny-track
data: {name: tiny-data}
conditions:
  half: {data: {keep: 0.5}}
targets:
  - zero-filled
  - {name: unet, options: {channels: 4, pools: 2}}
attacks:
  - none
  - {name: tiny-search, store: true}
  - tiny-gradient
budget: {name: tiny-budget, options: {radius: 0.2}}
metrics: {none: [tiny-error, tiny-volume], attacked: [tiny-error]}
batch: 4
"""


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny plugins, found by entry point here and in child processes."""
    monkeypatch.syspath_prepend(str(TINY))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(TINY), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
    return TINY


@pytest.fixture
def write_spec(tiny: Path, tmp_path: Path) -> Callable[..., str]:
    """Writes the tiny spec with some text replaced, and returns its path."""

    def write(*replacements: tuple[str, str], name: str = "spec.yaml") -> str:
        text = SPEC
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def make_run(write_spec: Callable[..., str], tmp_path: Path) -> Callable[..., Run]:
    """Plans the tiny spec with some text replaced, and makes its run directory; nothing is computed."""

    def make(*replacements: tuple[str, str], out: str = "runs") -> Run:
        return prepare(plan(write_spec(*replacements)), tmp_path / out)

    return make
