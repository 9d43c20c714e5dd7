"""One html file that needs no other: no request, one script of ours or none, readable by day, by night, on a phone and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from medrobust.leaderboard import text
from medrobust.leaderboard.asked import THREATS, cases_called, phantom
from medrobust.leaderboard.glossary import CHECK
from medrobust.leaderboard.overview.standing import Matrix
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.render.answer import answer
from medrobust.leaderboard.render.cite import citation
from medrobust.leaderboard.render.drawn_curves import attack_said, draw
from medrobust.leaderboard.render.embedded import data_address, png_address, png_size, svg_size
from medrobust.leaderboard.render.heat import ends, extent, step
from medrobust.leaderboard.render.latex_standings import standings_latex
from medrobust.leaderboard.render.standings import view
from medrobust.leaderboard.tables import Column, Figure, Table

if TYPE_CHECKING:
    from jinja2 import Environment

STYLES = ("page.css", "overview.css", "charts.css")
SCRIPTS = ("address.js", "standings.js", "page.js")
LONGEST = 500
"""Lines of a table of details that a page holds; other forms hold all, and standings are never cut."""


FEW = 40
"""Rows of standings that are shown whole; more scroll under their heads."""


def html_text(page: Page) -> str:
    """The page; every name is escaped by the template engine, hidden characters are shown."""
    views = [view(i, one) for i, one in enumerate(page.overviews, 1)]
    tracks = dict.fromkeys([*(one.track for one in page.chapters), *(one.track for one in page.overviews)])
    about = {
        "threats": [THREATS[track] for track in tracks if track in THREATS],
        "repeated": {title for overview in page.overviews for title in (*(c.title for c in overview.curves), *(m.title for m in overview.matrices))},
        "checks_explained": {word.name for _, words in page.words for word in words if CHECK.fullmatch(word.name)},
    }
    return document("page.html.j2", SCRIPTS if views else (), max((len(one.heads) for one in views), default=0), page=page, views=views, **about)


def document(template: str, scripts: Sequence[str] = (), columns: int = 0, **context: object) -> str:
    """A template that extends base.html.j2, with our style and scripts in it; its policy allows these by digest and nothing else.

    columns: how many a table has at most that can be put away.
    """
    from markupsafe import Markup

    style = "\n" + "".join(map(asset, STYLES)) + put_away(columns)
    script = '\n(() => {\n"use strict";\n' + "\n".join(map(asset, scripts)) + "})();\n" if scripts else ""
    shell = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy(style, script))}  # noqa: S704 - our own files
    return environment().get_template(template).render(**shell, **context) + "\n"


def put_away(columns: int) -> str:
    """Rules that hide columns, by their places: where a script lets a reader ask for them, and on paper."""
    rules = "".join(f".without-{i} tr:not(.group) > :nth-child({i}) {{ display: none; }}\n" for i in range(1, columns + 1))
    return f"@media (scripting: enabled), print {{\n{rules}}}\n" if rules else ""


def policy(style: str, script: str = "") -> str:
    """Nothing but these texts and images that the page holds."""
    allowed = f"; script-src '{_digest(script)}'" if script else ""
    return f"default-src 'none'; img-src data:; style-src '{_digest(style)}'{allowed}; base-uri 'none'; form-action 'none'"


def asset(name: str) -> str:
    return files("medrobust.leaderboard.render").joinpath(name).read_text(encoding="utf-8")


def some(count: int, plural: str) -> str:
    """What is counted, without its last letter where there is one."""
    return plural[:-1] if count == 1 else plural


def kind_of_data(label: str) -> str:
    """`phantom` or `real`; nothing of a label that names a paper's data too."""
    return "phantom" if phantom(label) else "" if "; ours: " in label else "real"


def families(matrices: Sequence[Matrix]) -> tuple[tuple[str, tuple[tuple[int, Matrix], ...]], ...]:
    """Matrices of one kind under what their titles share, each with its place from 1."""
    kinds: dict[str, list[tuple[int, Matrix]]] = {}
    for i, one in enumerate(matrices, 1):
        kinds.setdefault(one.name, []).append((i, one))
    return tuple((group[0][1].title if len(group) == 1 else group[0][1].title.partition(",")[0], tuple(group)) for group in kinds.values())


def chief_of(group: Sequence[tuple[int, Matrix]], where: str) -> int:
    """The place of the matrix of a condition, else of the first."""
    return next((i for i, one in group if where and one.title.endswith(f", {where}")), group[0][0])


def is_table(part: Table | Figure) -> bool:
    return isinstance(part, Table)


def scale_end(value: float, column: Column) -> str:
    """A number as its column shows it, without needless zeros."""
    shown = text.number(value, column)
    return shown.rstrip("0").rstrip(".") if "." in shown else shown


def finding_names(findings: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Every field that a finding has, in the order met."""
    return tuple(dict.fromkeys(name for found in findings for name in found))


def environment() -> Environment:
    """Templates of pages, everything escaped; import parts, overview, curves, matrix and cases from it `with context`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    found = Environment(
        loader=PackageLoader("medrobust.leaderboard.render", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    labels = (phantom, cases_called, kind_of_data, some, answer)
    words = (text.visible, text.estimate, text.interval, text.head, text.notes, text.marks, text.counts, *labels)
    drawn = (draw, attack_said, ends, extent, step, data_address, png_address, png_size, svg_size)
    helpers = (*words, *drawn, families, chief_of, is_table, scale_end, finding_names, standings_latex, citation)
    found.globals.update({helper.__name__: helper for helper in helpers} | {"LONGEST": LONGEST, "FEW": FEW})
    return found


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
