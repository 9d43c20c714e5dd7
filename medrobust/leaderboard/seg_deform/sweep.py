"""Dice over the strength xi that the attack was trained for, by the paper's ruler and by the moved one, and what a perfect segmenter would get."""

from __future__ import annotations

import re

from medrobust.leaderboard.figures import Curve, Panel, curves
from medrobust.leaderboard.layout import MODEL_HEADS, Labelled, any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, measure
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import DICE, FLOOR, INTERVALS, WARPED, organs, percent
from medrobust.leaderboard.tables import UNMEASURED, Entry, Figure, Line, Table, Validity

RULERS = {DICE: "unmoved truth", WARPED: "moved truth", FLOOR: "perfect segmenter"}
MEAN = "mean of organs"
TITLE = "Dice over xi"


def strengths(section: Section) -> dict[float, str]:
    """xi to the name of its attack, in order."""
    found = {float(match[1]): name for name in section.attacks if (match := re.fullmatch(r"xi=(\d{1,4}(?:\.\d{1,4})?)", name))}
    return dict(sorted(found.items()))


def sweep(section: Section) -> list[Table | Figure]:
    """A panel a condition, model and ruler, a curve an organ, and the table behind them; no model put through fewer than two strengths."""
    known = strengths(section)
    if len(known) < 2:
        return []
    columns = (percent("clean"), *(percent(f"xi = {strength:g}") for strength in known))
    labelled: list[Labelled] = [
        ((condition, *model, words, organ or MEAN), _row(section, model, condition, Quantity(metric, organ), tuple(known.values())))
        for condition in section.conditions
        for model in section.models
        for metric, words in RULERS.items()
        for organ in (*organs(section), "")
        if sum(1 for attack in known.values() if section.cells(model, attack, condition)) >= 2
    ]
    found = lines(labelled, columns, 4)
    if not any_number(found):
        return []
    caption = (
        "Dice over xi, the cross-entropy that the attack was trained to reach. Unmoved truth: of the clean image. Moved truth: warped like the "
        f"image. Perfect segmenter: the moved truth against the unmoved one. {INTERVALS}"
    )
    table = Table("sweep", TITLE, caption, section.data_label, (*MODEL_HEADS, "ruler", "organ"), columns, found, 4, fold=True)
    words = (
        "Dice in percent over xi, the cross-entropy that the attack was trained to reach; at 0 the clean slices. One panel a model and ruler: the "
        "truth of the clean image, the truth moved like the image, and what a segmenter without any error would score by the first. One line an "
        "organ and their mean; the band is the 95 % interval over subjects. Invalid cells are not drawn."
    )
    panels = _panels(section, found, (0.0, *known))
    return [curves("sweep-figure", TITLE, words, section.data_label, panels, "xi", None, value="Dice (%)", log=False), table]


def _row(section: Section, model: Model, condition: str, quantity: Quantity, attacks: tuple[str, ...]) -> list[Measured]:
    none = Measured(Entry(note=UNMEASURED, validity=Validity("missing", (UNMEASURED,))))
    start = none if quantity.metric == FLOOR else measure(section, model, "none", condition, Quantity(DICE, quantity.label))
    return [start, *(measure(section, model, attack, condition, quantity) for attack in attacks)]


def _panels(section: Section, found: tuple[Line, ...], at: tuple[float, ...]) -> tuple[Panel, ...]:
    drawn: dict[tuple[str, ...], list[Curve]] = {}
    for line in found:
        points = tuple(_point(x, entry) for x, entry in zip(at, line.entries, strict=True) if entry.estimate is not None and _believed(entry))
        drawn.setdefault(line.labels[:4], []).append(Curve(line.labels[4], points))
    several = len(section.conditions) > 1
    return tuple(Panel(f"{Model(*key[1:3])}, {key[3]}" + (f", {key[0]}" if several else ""), tuple(lines)) for key, lines in drawn.items())


def _believed(entry: Entry) -> bool:
    return entry.validity.level != "invalid"


def _point(x: float, entry: Entry) -> tuple[float, float, float, float]:
    """xi, estimate and interval in percent; without an interval the band is the line."""
    middle = entry.estimate or 0.0
    low, high = (middle if end is None else end for end in (entry.low, entry.high))
    return x, 100 * middle, 100 * low, 100 * high
