"""What the built wheel holds."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = {
    "medrobust": ROOT / "medrobust",
    "medrobust_attacks": ROOT / "attacks" / "medrobust_attacks",
    "medrobust_defenses": ROOT / "defenses" / "medrobust_defenses",
    "medrobust_benchmarks": ROOT / "benchmarks" / "medrobust_benchmarks",
}


def source_files() -> set[str]:
    """Every file of the four import roots, as the wheel names it."""
    found = set()
    for name, folder in ROOTS.items():
        found |= {f"{name}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    return found


@pytest.fixture(scope="module")
def held(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def test_the_wheel_holds_the_four_import_roots_and_nothing_else(held: set[str]) -> None:
    tops = {name.split("/")[0] for name in held}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(ROOTS)


def test_the_wheel_holds_every_file_of_the_source(held: set[str]) -> None:
    assert {name for name in held if ".dist-info/" not in name} == source_files()


@pytest.mark.parametrize("root", ROOTS)
def test_the_wheel_says_that_it_is_typed(held: set[str], root: str) -> None:
    assert f"{root}/py.typed" in held


def test_the_wheel_holds_specs_templates_and_licence(held: set[str]) -> None:
    for pattern in ("medrobust_benchmarks/recon-fnaf.yaml", "medrobust/cli/templates/attack.py.jinja"):
        assert pattern in held
    assert any(name.endswith("/licenses/LICENSE") for name in held)
