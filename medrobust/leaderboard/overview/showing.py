"""Cases to look at: the pictures that cells kept, of each entrant under the attack that hurts it most, and a few under others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.planes import Arrays, images
from medrobust.leaderboard.overview.standing import Shown
from medrobust.leaderboard.pictures import Picture
from medrobust.leaderboard.tables import Column
from medrobust.leaderboard.text import number

EACH, FURTHER, MOST, ROOM = 4, 4, 60, 1_200_000
"""Cases of an entrant under its hardest attack, and under others; cases in all, and bytes of their pictures."""

SCORE = "score"
BOTH = {
    (1.0, 1.0): "right before and after",
    (1.0, 0.0): "right before, wrong after",
    (0.0, 0.0): "wrong before and after",
    (0.0, 1.0): "wrong before, right after",
}
"""Of a rate, clean and attacked."""
Scores = Mapping[tuple[str, str], float]
"""What a classifier scored, by cell and case."""


def shown(placed: Sequence[Placed]) -> tuple[Shown, ...]:
    """Entrants in their order, as many cases as there is room for, a first one of each before a second one of any."""
    kept: dict[str, list[Picture]] = {}
    scores: dict[tuple[str, str], float] = {}
    for section in {id(one.section): one.section for one in placed}.values():
        if section.pictures:
            rows = section.rows[(section.rows["metric"] == SCORE) & (section.rows["label"] == "")]
            scores |= {(cell, case): value for cell, case, value in zip(rows["cell"], rows["case"], rows["value"], strict=True)}
        for picture in section.pictures:
            if picture.cell in section.by_digest:
                kept.setdefault(picture.cell, []).append(picture)
    if not kept:
        return ()
    turns = [list(_of(one, entrant, kept)) for one in placed if one.shown for entrant in one.order]
    found: list[Shown] = []
    room = ROOM
    for turn in range(EACH + FURTHER):
        for queue in turns:
            if turn < len(queue) and len(found) < MOST:
                drawn = _draw(*queue[turn], scores)
                room -= sum(len(png) for _, png in drawn.images)
                if room < 0:
                    return _ordered(found, placed)
                found.append(drawn)
    return _ordered(found, placed)


def _ordered(found: list[Shown], placed: Sequence[Placed]) -> tuple[Shown, ...]:
    """By entrant, as they stand."""
    order = [(*one.trials.entrants[entrant], one.trials.condition) for one in placed for entrant in one.order]
    places = {name: place for place, name in enumerate(order)}
    return tuple(sorted(found, key=lambda one: places[one.target, one.defense, one.condition]))


def _of(placed: Placed, entrant: int, kept: Mapping[str, Sequence[Picture]]) -> Iterator[tuple[Placed, int, int, Picture]]:
    """Pictures of an entrant: the attack that hurts most on average first, then one case each of the others; of an attack who lost most first."""
    trials = placed.trials
    having = [
        (attack, [picture for record in trials.records[attack][entrant] for picture in kept.get(record.digest, ())])
        for attack in range(0 if not placed.headline.attacked else 1, len(trials.attacks))
    ]
    having = [(attack, pictures) for attack, pictures in having if pictures]
    sign = 1.0 if placed.headline.better else -1.0
    having.sort(key=lambda one: (one[0] not in placed.comparison.attacks, sign * _mean(trials.values[one[0], entrant])))
    for turn, (attack, pictures) in enumerate(having[: 1 + FURTHER]):
        harmed = sorted(pictures, key=lambda picture: -_harm(placed, entrant, attack, picture.case))
        for picture in harmed[: 1 if turn else EACH]:
            yield placed, entrant, attack, picture


def _mean(values: np.ndarray) -> float:
    held = values[~np.isnan(values)]
    return float(held.mean()) if len(held) else float("inf")


def _values(placed: Placed, entrant: int, attack: int, case: str) -> tuple[str, float, float] | None:
    """The case, or the subject that it is a slice of, and its headline clean and attacked; None where it has none."""
    trials = placed.trials
    own = case if case in trials.cases else case.partition("#")[0]
    at = np.flatnonzero(trials.cases == own)
    if not len(at):
        return None
    clean, attacked = (float(trials.values[which, entrant, at[0]]) for which in (0, attack))
    return own, clean, attacked


def _harm(placed: Placed, entrant: int, attack: int, case: str) -> float:
    """What a case lost; the least where that is not known."""
    found = _values(placed, entrant, attack, case)
    lost = float("nan") if found is None else (found[1] - found[2]) * (1.0 if placed.headline.better else -1.0)
    return -np.inf if np.isnan(lost) else lost


def _draw(placed: Placed, entrant: int, attack: int, picture: Picture, scores: Scores) -> Shown:
    trials = placed.trials
    model = trials.entrants[entrant]
    scored = _scores(placed, entrant, attack, picture, scores)
    said = scored or (*_value(placed, entrant, attack, picture.case), *_probabilities(picture.arrays))
    facts = (*said, *_part(picture.arrays))
    name = trials.attacks[attack]
    turned = bool(placed.headline.each) and _harm(placed, entrant, attack, picture.case) > 0
    return Shown(model.target, model.defense, trials.condition, name, picture.case, tuple(images(picture.arrays)), facts, turned)


def _scores(placed: Placed, entrant: int, attack: int, picture: Picture, scores: Scores) -> tuple[tuple[str, str], ...]:
    """What a classifier scored the case, clean and attacked, and whether it is right; nothing where the picture holds all its answers."""
    before = [scores[key] for record in placed.trials.records[0][entrant] if (key := (record.digest, picture.case)) in scores]
    after = scores.get((picture.cell, picture.case))
    found = _values(placed, entrant, attack, picture.case)
    if not attack or not before or after is None or found is None or not placed.headline.each or "said" in picture.arrays:
        return ()
    return ((SCORE, f"{before[0]:.2f} \N{RIGHTWARDS ARROW} {after:.2f}, {BOTH.get(found[1:], 'not known whether right')}"),)


def _value(placed: Placed, entrant: int, attack: int, case: str) -> tuple[tuple[str, str], ...]:
    """The headline of this case, or of the subject that it is a slice of, clean and attacked."""
    column, found = placed.headline.column, _values(placed, entrant, attack, case)
    if found is None:
        return ()
    own, clean, attacked = found
    of = "" if own == case else f" of {own}"
    each = placed.headline.each
    if not attack:
        return () if np.isnan(clean) else ((f"{each or column.name}{of}", _number(clean, column, each)),)
    return ((f"{each or column.name}{of}", f"{_number(clean, column, each)} clean, {_number(attacked, column, each)} attacked"),)


def _number(value: float, column: Column, each: str) -> str:
    if np.isnan(value):
        return "not known"
    return ("yes" if value else "no") if each else f"{number(value, column)} {column.shown}".rstrip()


def _probabilities(arrays: Arrays) -> tuple[tuple[str, str], ...]:
    """What a classifier said."""
    if "said" not in arrays:
        return ()
    said, truth = arrays["said"], int(arrays["class"])
    heads = [f"class {index}" for index in range(said.shape[1])]
    change = f"{said[0, truth]:.3f} clean, {said[1, truth]:.3f} attacked"
    return (("truth", heads[truth]), ("probability of the truth", change), ("answer", " to ".join(heads[int(line.argmax())] for line in said)))


def _part(arrays: Arrays) -> tuple[tuple[str, str], ...]:
    """What of a large image is shown."""
    stride = int(arrays.get("stride", np.ones(())))
    return (("shown", f"one row and column of {stride}"),) if stride > 1 else ()
