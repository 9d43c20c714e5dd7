"""One html file that needs no other: no request, one script of ours or none, readable by day, by night, on a phone and on paper."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

from medrobust.leaderboard import text
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.render.cite import citation
from medrobust.leaderboard.render.drawn_curves import draw
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


def html_text(page: Page) -> str:
    """The page; every name is escaped by the template engine, hidden characters are shown."""
    views = [view(i, one) for i, one in enumerate(page.overviews, 1)]
    return document("page.html.j2", SCRIPTS if views else (), page=page, views=views)


def document(template: str, scripts: Sequence[str] = (), **context: object) -> str:
    """A template that extends base.html.j2, with our style and scripts in it; its policy allows these by digest and nothing else."""
    from markupsafe import Markup

    style = "\n" + "".join(map(asset, STYLES))
    script = '\n(() => {\n"use strict";\n' + "\n".join(map(asset, scripts)) + "})();\n" if scripts else ""
    shell = {"style": Markup(style), "script": Markup(script), "policy": Markup(policy(style, script))}  # noqa: S704 - our own files
    return environment().get_template(template).render(**shell, **context) + "\n"


def policy(style: str, script: str = "") -> str:
    """Nothing but these texts and images that the page holds."""
    allowed = f"; script-src '{_digest(script)}'" if script else ""
    return f"default-src 'none'; img-src data:; style-src '{_digest(style)}'{allowed}; base-uri 'none'; form-action 'none'"


def asset(name: str) -> str:
    return files("medrobust.leaderboard.render").joinpath(name).read_text(encoding="utf-8")


def data_address(figure: Figure) -> str:
    """The drawing as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg.encode()).decode()


def png_address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


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
    words = (text.visible, text.estimate, text.interval, text.head, text.notes, text.marks, text.counts)
    helpers = (*words, data_address, png_address, is_table, scale_end, finding_names, draw, ends, extent, step, standings_latex, citation)
    found.globals.update({helper.__name__: helper for helper in helpers} | {"LONGEST": LONGEST})
    return found


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
