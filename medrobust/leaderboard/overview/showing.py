"""Cases to look at: the pictures that cells kept, of each entrant under the attack that hurts it most, and a few under others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from medrobust.imaging.window import WINDOW
from medrobust.leaderboard.overview import raster
from medrobust.leaderboard.overview.placing import Placed
from medrobust.leaderboard.overview.standing import Shown
from medrobust.leaderboard.pictures import Picture
from medrobust.leaderboard.tables import Column
from medrobust.leaderboard.text import number

EACH, FURTHER, MOST, ROOM = 4, 4, 60, 1_200_000
"""Cases of an entrant under its hardest attack, and under others; cases in all, and bytes of their pictures."""

CLEAN_ANSWER, ANSWER = "answer to the clean image", "answer to the attacked image"
Arrays = Mapping[str, np.ndarray]
Images = list[tuple[str, bytes]]


def shown(placed: Sequence[Placed]) -> tuple[Shown, ...]:
    """Entrants in their order, as many cases as there is room for, a first one of each before a second one of any."""
    kept: dict[str, list[Picture]] = {}
    for section in {id(one.section): one.section for one in placed}.values():
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
                drawn = _draw(*queue[turn])
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
    """Pictures of an entrant: the attack that hurts most on average first, then one case each of the others."""
    trials = placed.trials
    having = [
        (attack, [picture for record in trials.records[attack][entrant] for picture in kept.get(record.digest, ())])
        for attack in range(0 if not placed.headline.attacked else 1, len(trials.attacks))
    ]
    having = [(attack, pictures) for attack, pictures in having if pictures]
    sign = 1.0 if placed.headline.better else -1.0
    having.sort(key=lambda one: (one[0] not in placed.comparison.attacks, sign * _mean(trials.values[one[0], entrant])))
    for turn, (attack, pictures) in enumerate(having[: 1 + FURTHER]):
        for picture in pictures[: 1 if turn else EACH]:
            yield placed, entrant, attack, picture


def _mean(values: np.ndarray) -> float:
    held = values[~np.isnan(values)]
    return float(held.mean()) if len(held) else float("inf")


def _draw(placed: Placed, entrant: int, attack: int, picture: Picture) -> Shown:
    trials = placed.trials
    model = trials.entrants[entrant]
    facts = (*_value(placed, entrant, attack, picture.case), *_probabilities(picture.arrays), *_part(picture.arrays))
    name = trials.attacks[attack]
    return Shown(model.target, model.defense, trials.condition, name, picture.case, tuple(images(picture.arrays)), facts)


def _value(placed: Placed, entrant: int, attack: int, case: str) -> tuple[tuple[str, str], ...]:
    """The headline of this case, or of the subject that it is a slice of, clean and attacked."""
    trials, column = placed.trials, placed.headline.column
    own = case if case in trials.cases else case.partition("#")[0]
    at = np.flatnonzero(trials.cases == own)
    if not len(at):
        return ()
    of = "" if own == case else f" of {own}"
    clean, attacked = (float(trials.values[which, entrant, at[0]]) for which in (0, attack))
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


def images(arrays: Arrays) -> Images:
    """(caption, png) of what a picture holds, in the order clean, attacked, difference, answers, truth."""
    found: Images = []
    if "image" in arrays:
        found.append(("clean", raster.grey(_plane(arrays["image"]))))
    if "attacked" in arrays:
        found.append(("attacked", raster.grey(arrays["attacked"], changed=True)))
        found.append(_difference(arrays))
    if "relevance" in arrays:
        found.append(("where it looks", raster.grey(arrays["relevance"])))
    for name, caption in (("before", CLEAN_ANSWER), ("after", ANSWER)):
        if name in arrays:
            found.append((caption, raster.labels(arrays[name])))
    for name, caption in (("answered", CLEAN_ANSWER), ("answer", ANSWER)):
        if name in arrays:
            found.append((caption, raster.grey(arrays[name], changed=name == "answer")))
    if "truth" in arrays:
        found.append(("truth", raster.labels(arrays["truth"])))
    if "moved" in arrays and (arrays["moved"] != arrays["truth"]).any():
        found.append(("truth, moved with the image", raster.labels(arrays["moved"])))
    return found


def _plane(image: np.ndarray) -> np.ndarray:
    """Of several channels the last."""
    return image if image.ndim == 2 else image[-1]


def _difference(arrays: Arrays) -> tuple[str, bytes]:
    """With its own scale, in the data's units where they are known, else in grey levels of the picture."""
    if "difference" in arrays:
        limit = float(arrays["scale"])
        return f"difference, \u00b1{limit:.3g}", raster.signed(arrays["difference"], 127)
    steps = arrays["attacked"].astype(float) - _plane(arrays["image"]).astype(float)
    limit = float(np.abs(steps).max())
    if "shading" in arrays:
        return f"difference, \u00b1{limit * (WINDOW[1] - WINDOW[0]) / 255:.0f} HU", raster.signed(steps, limit)
    return f"difference, \u00b1{limit:.0f} of 255 grey levels", raster.signed(steps, limit)
