"""Why an entrant's numbers are what they are, each reason once, with what it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medrobust.leaderboard.overview.standing import Overview, Standing
from medrobust.leaderboard.text import remarks


@dataclass(frozen=True)
class Reason:
    """Why a number is what it is. about: clean images, or names of attacks; empty where it is about the entrant as a whole."""

    about: tuple[str, ...]
    text: str

    @property
    def check(self) -> str:
        """The number of the check that says so, such as `V10`; empty where none does."""
        found = re.match(r"V\d\d(?=:)", self.text)
        return found[0] if found else ""


def reasons(overview: Overview, standing: Standing) -> tuple[Reason, ...]:
    """Every remark once, with the clean images or the attacks that it is about; of the whole entrant where it is about none of these."""
    parts = list(zip(("clean images", *overview.attacks), (standing.clean, *standing.by_attack), strict=True))
    about: dict[str, list[str]] = {reason: [] for reason in standing.validity.reasons}
    for name, entry in parts:
        for reason in remarks(entry.validity):
            about.setdefault(reason, []).append(name)
    for reason in remarks(standing.worst.validity):
        about.setdefault(reason, [])
    return tuple(Reason(tuple(names), reason) for reason, names in about.items())
