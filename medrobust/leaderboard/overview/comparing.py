"""Who can be compared on what: attacks that every compared entrant was put through, whole and to be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.overview.trials import Trials
from medrobust.leaderboard.tables import Validity

NOT_ATTACKED = "not ranked: no attack was made on it"
CLEAN = "clean"


@dataclass(frozen=True)
class Comparison:
    """What the worst case is over and who is ranked by it.

    attacks: places in `Trials.attacks`; empty where there are none. ranked: places in `Trials.entrants`. left_out: attacks that all were put
    through and that count for nobody, with the reason. reasons: why an entrant is not ranked.
    """

    attacks: tuple[int, ...]
    ranked: tuple[int, ...]
    left_out: tuple[str, ...]
    reasons: Mapping[int, Validity]


def compare(trials: Trials, attacked: bool) -> Comparison:
    """The attacks that every attacked entrant was put through; if they share none, those of the entrants under the most common attack.

    An attack that is not whole and valid for at least half of these entrants counts for nobody. Ranked is whose clean cells and every one of these
    attacks are whole and valid. attacked: False where clean images alone are ranked by.
    """
    planned, sound = trials.planned, trials.sound
    everyone = np.arange(len(trials.entrants))
    if not attacked:
        return _comparison(trials, (), (), [(0,)] * len(everyone))
    able = everyone[planned[1:].any(axis=0)]
    if not len(able):
        return Comparison((), (), (), {entrant: Validity("missing", (NOT_ATTACKED,)) for entrant in everyone.tolist()})
    shared = _shared(planned, able)
    if not len(shared):
        able = everyone[planned[1 + int(planned[1:].sum(axis=1).argmax())]]
        shared = _shared(planned, able)
    common = sound[shared][:, able].mean(axis=1) >= 0.5
    left_out = tuple(_why(trials, attack, able, sound) for attack in shared[~common].tolist())
    attacks = tuple(shared[common].tolist())
    basis = [(*((0,) if planned[0, entrant] else ()), *attacks) if attacks else () for entrant in everyone.tolist()]
    return _comparison(trials, attacks, left_out, basis)


def _shared(planned: NDArray[np.bool_], able: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(planned[1:, able].all(axis=1)) + 1


def _why(trials: Trials, attack: int, able: NDArray[np.int64], sound: NDArray[np.bool_]) -> str:
    bad = able[~sound[attack, able]]
    return f"{trials.attacks[attack]} ({len(bad)} of {len(able)} entrants, such as {trials.entrants[bad[0]]}: {state(trials, attack, int(bad[0]))})"


def _comparison(trials: Trials, attacks: tuple[int, ...], left_out: tuple[str, ...], basis: Sequence[tuple[int, ...]]) -> Comparison:
    """basis: what must be sound of each entrant for it to be ranked; nothing where nothing counts."""
    sound, planned = trials.sound, trials.planned
    ranked: list[int] = []
    reasons: dict[int, Validity] = {}
    for entrant, needed in enumerate(basis):
        bad = [attack for attack in needed if not sound[attack, entrant]]
        if needed and not bad:
            ranked.append(entrant)
        elif attacks and not planned[1:, entrant].any():
            reasons[entrant] = Validity("missing", (NOT_ATTACKED,))
        else:
            invalid = any(trials.validity[attack][entrant].level == "invalid" for attack in bad)
            words = "; ".join(f"{trials.attacks[attack] or CLEAN} {state(trials, attack, entrant)}" for attack in bad) or "no attack counts for all"
            reasons[entrant] = Validity("invalid" if invalid else "warn", (f"not ranked: {words}",))
    return Comparison(attacks, tuple(ranked), left_out, reasons)


def state(trials: Trials, attack: int, entrant: int) -> str:
    """What is wrong with a cell that is not sound."""
    found = trials.validity[attack][entrant]
    if found.level == "invalid":
        return f"is invalid ({'; '.join(found.reasons)})" if found.reasons else "is invalid"
    if found.level == "missing":
        return "is not run" if found.reasons in {("queued",), ("not in the plan",)} else f"is missing ({'; '.join(found.reasons)})"
    return f"lacks {trials.size - int(trials.held[attack, entrant])} of {trials.size} values"
