"""A model's report as one html file that needs no other, and prints well."""

from __future__ import annotations

from markupsafe import Markup

from medrobust.leaderboard.render.html import STYLES, asset, environment, policy
from medrobust.leaderboard.report.content import Report


def report_text(report: Report) -> str:
    """The page; every name is escaped by the template engine, hidden characters are shown. It has no script."""
    style = "\n" + "".join(map(asset, (*STYLES, "report.css")))
    shell = {"style": Markup(style), "script": "", "policy": Markup(policy(style))}  # noqa: S704 - our own files
    return environment().get_template("report.html.j2").render(report=report, **shell) + "\n"
