"""A third-party distribution, written from templates: one plugin that works and the test of its promises."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from medrobust.errors import SpecError
from medrobust.registry import near

KINDS = ("attack", "explainer", "defense", "metric", "target")
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def scaffold(kind: str, name: str, out: Path | None) -> Path:
    """Write the distribution `medrobust-NAME` and say where; SpecError for an unknown kind, a name that cannot be one, a folder in use."""
    kind = kind.removesuffix("s")
    if kind not in KINDS:
        msg = f"plugin new: no kind '{kind}'; {near(kind, list(KINDS))}"
        raise SpecError(msg)
    if not NAME.fullmatch(name):
        msg = f"plugin new: found name '{name}', expected lower-case letters, digits and single hyphens, such as rician-noise"
        raise SpecError(msg)
    folder = out or Path(f"medrobust-{name}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"plugin new: {folder} is in use, expected a new or empty folder"
        raise SpecError(msg)
    camel = "".join(part.capitalize() for part in name.split("-"))
    words = {"kind": kind, "name": name, "module": f"medrobust_{name.replace('-', '_')}", "class": camel}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for template, path in templates(kind, words["module"]).items():
            (folder / path).write_text(render(template, words), encoding="utf-8")
    except OSError as error:
        msg = f"plugin new: {folder} cannot be written: {error.strerror}"
        raise SpecError(msg) from error
    return folder


def templates(kind: str, module: str) -> dict[str, str]:
    """Template to the file it becomes."""
    return {f"{kind}.py": f"{module}.py", "pyproject.toml": "pyproject.toml", "test_promises.py": "test_promises.py", "README.md": "README.md"}


def render(template: str, words: dict[str, str]) -> str:
    source = (files("medrobust.cli") / "templates" / f"{template}.jinja").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701 - Python and TOML, not HTML
    return environment.from_string(source).render(words)
