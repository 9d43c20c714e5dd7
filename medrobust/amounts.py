"""Amounts as people write them: a number, a fraction or a share, with or without a unit."""

from __future__ import annotations

import re
from fractions import Fraction

AMOUNT = re.compile(r"\s*(inf|[0-9.]+(?:e[+-]?\d+)?)\s*(?:/\s*([0-9.]+))?\s*([^\s\d/].*?)?\s*")
PERCENT = "%"


def amount(epsilon: str | float) -> tuple[float, str]:
    """A number and the unit behind it, such as (20.0, "HU") for `20 HU`; ValueError where it is no positive amount."""
    match = AMOUNT.fullmatch(str(epsilon))
    try:
        number = float("nan") if match is None else float("inf") if match[1] == "inf" else float(Fraction(match[1]) / Fraction(match[2] or 1))
    except (ValueError, ZeroDivisionError):
        number = float("nan")
    if match is None or not number > 0:
        msg = f"epsilon: found {epsilon!r}, expected a positive number, fraction or share, with or without a unit, such as 8/255, 20 HU or 2 %"
        raise ValueError(msg)
    return number, match[3] or ""
