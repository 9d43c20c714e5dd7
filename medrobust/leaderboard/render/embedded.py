"""Images that a page holds itself: their addresses, and their sizes, so that nothing moves while they are read."""

from __future__ import annotations

import base64
import re
import struct
from typing import TYPE_CHECKING

from medrobust.leaderboard.tables import Figure

if TYPE_CHECKING:
    from markupsafe import Markup


def data_address(figure: Figure) -> str:
    """The drawing as an address that holds it."""
    return "data:image/svg+xml;base64," + base64.b64encode(figure.svg.encode()).decode()


def png_address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def png_size(png: bytes) -> Markup:
    """Attributes with the size that the file gives, so that a page does not move while its pictures are read."""
    return _sized(*struct.unpack(">II", png[16:24]))


def svg_size(figure: Figure) -> Markup:
    """The same of a drawing, by its view box; nothing where it has none."""
    found = re.search(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"', figure.svg)
    return _sized(round(float(found[1])), round(float(found[2]))) if found else _sized()


def _sized(*size: int) -> Markup:
    from markupsafe import Markup

    return Markup(f' width="{size[0]}" height="{size[1]}"') if size else Markup("")  # noqa: S704 - numbers alone
