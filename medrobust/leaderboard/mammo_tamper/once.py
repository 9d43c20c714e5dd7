"""What several tables ask of a section, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from medrobust.leaderboard.section import Section

P = ParamSpec("P")
T = TypeVar("T")


def once(function: Callable[Concatenate[Section, P], T]) -> Callable[Concatenate[Section, P], T]:
    """The function, its answers kept with the section that they are about and gone with it, as cached properties are. Positional arguments alone."""

    @wraps(function)
    def asked(section: Section, /, *names: P.args, **none: P.kwargs) -> T:
        held: dict[Any, T] = vars(section).setdefault("once", {})
        key = (function, names)
        if key not in held:
            held[key] = function(section, *names, **none)
        return held[key]

    return asked
