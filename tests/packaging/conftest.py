"""The built wheel, and strangers' distributions, in an environment of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THIRD_PARTY = ROOT / "tests" / "third_party"
LEFT_OUT = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Environment:
    """A virtual environment whose heavy packages are the surrounding one's, and whose medrobust is the wheel."""

    folder: Path

    @property
    def site(self) -> Path:
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"

    def call(self, *command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, away from the source tree."""
        variables = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
        program = [str(self.folder / "bin" / command[0]), *command[1:]]
        return subprocess.run(program, cwd=cwd or self.folder, env=variables, capture_output=True, text=True, timeout=300, check=False)


def build(source: Path, out: Path) -> Path:
    """The wheel of a distribution, built without a network."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of medrobust."""
    return build(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of the third-party distributions, built from copies."""
    wheels = []
    for source in sorted(path for path in THIRD_PARTY.iterdir() if (path / "pyproject.toml").is_file()):
        folder = tmp_path_factory.mktemp(source.name)
        copy = shutil.copytree(source, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
        wheels.append(build(copy, folder / "wheel"))
    return wheels


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory, wheel: Path, strangers: list[Path]) -> Environment:
    """Everything installed; a .pth file lends the surrounding environment's packages, behind the environment's own."""
    environment = Environment(tmp_path_factory.mktemp("environment"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment.folder)], check=True, timeout=120)
    places = {sysconfig.get_path(name) for name in ("purelib", "platlib")}
    (environment.site / "surrounding.pth").write_text("\n".join(sorted(places)) + "\n", encoding="utf-8")
    options = ["install", "-q", "--no-deps", "--no-index", "--ignore-installed", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "--python", str(environment.folder / "bin" / "python"), *options, str(wheel), *map(str, strangers)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return environment
