"""One html file that needs no other: no request, no script, readable by day, by night and on a phone."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from medrobust.leaderboard import text
from medrobust.leaderboard.page import Page
from medrobust.leaderboard.tables import Figure, Table

if TYPE_CHECKING:
    from jinja2 import Environment


def html_text(page: Page) -> str:
    """The page; every name is escaped by the template engine, hidden characters are shown."""
    return _environment().get_template("page.html.j2").render(page=page) + "\n"


def data_address(figure: Figure) -> str:
    """The drawing as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg.encode()).decode()


def is_table(part: Table | Figure) -> bool:
    return isinstance(part, Table)


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("medrobust.leaderboard.render", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    helpers = (text.visible, text.estimate, text.interval, text.head, text.notes, text.marks, text.counts, data_address, is_table)
    environment.globals.update({helper.__name__: helper for helper in helpers})
    return environment
