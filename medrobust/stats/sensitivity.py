"""Whether the winner stays the winner when something that might as well have been otherwise is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medrobust.stats.board import Board
from medrobust.stats.bootstrap import Floats

# Scores this close are equal: sums of the same values in another order.
TIED = 1e-12


@dataclass(frozen=True)
class Change:
    """One thing changed.

    what: in words. winners: indices of all who have the best score then. same: whether these are just those who have it otherwise; one who joins or
    leaves others at the top is a change, since nobody else tells them apart.
    """

    what: str
    winners: tuple[int, ...]
    same: bool


def winners(board: Board) -> tuple[int, ...]:
    """Indices of the entrants with the best score: several where it is equal, but for rounding."""
    return tuple(np.flatnonzero(_best(board.goodness)).tolist())


def _best(goodness: Floats) -> NDArray[np.bool_]:
    """Which values along the first axis are the highest."""
    top = goodness.max(axis=0)
    return np.asarray(goodness >= top - TIED * np.abs(top))


def sensitivity(
    board: Board, attacks: Mapping[str, Floats] | None = None, others: Mapping[str, Board] | None = None, worst: float | None = None
) -> tuple[Change, ...]:
    """Change the metric, what stands for missing values, the attacks and the patients, one at a time.

    board: what is ranked. others: the same entrants by another metric, by its name. worst: value that a case without one might be given.
    attacks: values of each attack alone, (entrants, cases) by name, whose worst case a case the board holds; leaving out one of several is tried.
    Patients: one line for each whose absence changes the winners, or one line for all of them.
    """
    first = winners(board)
    found = [(f"metric: {name}", winners(other)) for name, other in (others or {}).items()]
    found += [(f"missing values: {what}", winners(other)) for what, other in filled(board, worst).items()]
    found += [(f"without {name}", winners(other)) for name, other in without_attack(board, attacks or {}).items()]
    left = without_patient(board)
    found += [(f"without patient {name}", who) for name, who in left if who != first] or ([("without any one patient", first)] if left else [])
    return tuple(Change(what, who, who == first) for what, who in found)


def filled(board: Board, worst: float | None = None) -> dict[str, Board]:
    """The board under other policies for missing values; empty where none is missing.

    The worst value in their place (`worst`, or the worst on the board), the mean of the case over entrants, or no case that any entrant lacks.
    """
    lacking = np.isnan(board.values)
    if not lacking.any():
        return {}
    pick = np.nanmin if board.higher_is_better else np.nanmax
    value = float(pick(board.values)) if worst is None else worst
    known = (~lacking).sum(axis=0)
    case_means = np.where(known > 0, np.nansum(board.values, axis=0) / np.maximum(known, 1), np.nanmean(board.values))
    made = {
        "the worst value": replace(board, values=np.where(lacking, value, board.values)),
        "the mean of the case": replace(board, values=np.where(lacking, case_means, board.values)),
    }
    whole = ~lacking.any(axis=0)
    if whole.any():
        made["only cases that all have"] = replace(board, values=board.values[:, whole], patients=board.patients[whole])
    return made


def without_attack(board: Board, attacks: Mapping[str, Floats]) -> dict[str, Board]:
    """Worst case of each case over all attacks but one, by that one's name; empty for fewer than two attacks."""
    pick = np.fmin if board.higher_is_better else np.fmax
    made = {}
    for name in attacks if len(attacks) > 1 else ():
        values = pick.reduce([found for other, found in attacks.items() if other != name])
        if not np.isnan(values).all(axis=1).any():
            made[name] = replace(board, values=np.asarray(values))
    return made


def without_patient(board: Board) -> list[tuple[str, tuple[int, ...]]]:
    """Each patient, and who wins without it; nothing for one patient alone. An entrant without a value left does not win."""
    if len(board.names) < 2:
        return []
    sums, counts = (part.sum(axis=1, keepdims=True) - part for part in (board.sums, board.counts))
    scores = np.divide(sums, counts, out=np.full_like(sums, -np.inf if board.higher_is_better else np.inf), where=counts > 0)
    first = _best(scores if board.higher_is_better else -scores)
    return [(str(name), tuple(np.flatnonzero(who).tolist())) for name, who in zip(board.names, first.T, strict=True)]
