"""Each attack against chance: a random smooth field of the same perceptibility, subject by subject."""

from __future__ import annotations

from dataclasses import replace

from medrobust.leaderboard.layout import Labelled, any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, contrast, flagged, measure
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import DICE, HEADS, INTERVALS, PERCEPTIBILITY, WARPED, P, attacked, percent
from medrobust.leaderboard.tables import Column, Entry, Table
from medrobust.stats import paired_difference

RANDOM = "random"
"""How the names of attacks begin that never ask the model."""

WHOLE = "random-field"
PARTS = ("D only", "V only")
MORE = 1.1
"""How many times the p of chance an attack may have, or chance that of the attack, and still be said to have the same."""

COLUMNS = (
    percent("Dice"),
    percent("Dice, random"),
    Column("difference", "", "points", 100, 1),
    Column("difference, moved truth", "", "points", 100, 1),
    P,
    replace(P, name="p, random"),
)


def chance(section: Section) -> list[Table]:
    """One line an attack and random line: every attack against the whole random field, one of D or V alone also against its like."""
    labelled: list[Labelled] = [
        ((condition, *model, attack, line), against(section, model, attack, line, condition))
        for condition in section.conditions
        for model in section.models
        for attack in attacked(section)
        if section.cells(model, attack, condition) and not attack.startswith(RANDOM)
        for line in random_lines(attack)
        if section.cells(model, line, condition)
    ]
    found = lines(labelled, COLUMNS, 3)
    if not any_number(found):
        return []
    caption = (
        "Mean Dice over organs under each attack less that under random smooth fields, paired by subject; negative where the attack does more. An "
        "attack whose interval reaches 0 is marked: it has not been shown to do anything that chance does not. Also marked: a p that differs from "
        f"that of chance by more than a factor of {MORE:g}, where the two do not compare. {INTERVALS}"
    )
    return [Table("chance", "Against chance", caption, section.data_label, (*HEADS, "against"), COLUMNS, found, 3)]


def random_lines(attack: str) -> tuple[str, ...]:
    """What an attack is compared with."""
    return (WHOLE, *(f"random {part}" for part in PARTS if part in attack))


def against(section: Section, model: Model, attack: str, line: str, condition: str) -> list[Measured]:
    """Both mean Dice, their differences by both rulers, and both p."""

    def both(quantity: Quantity) -> tuple[Measured, Measured]:
        one, other = (measure(section, model, name, condition, quantity) for name in (attack, line))
        return one, other

    dice, warped, p = both(Quantity(DICE)), both(Quantity(WARPED)), both(PERCEPTIBILITY)
    differences = [
        beyond(contrast(*pair, paired_difference), words)
        for pair, words in ((dice, "not measurably beyond random"), (warped, "not measurably beyond random once the truth moves along"))
    ]
    return [*dice, *map(Measured, differences), Measured(fair(p[0].entry, p[1].entry)), p[1]]


def beyond(difference: Entry, words: str) -> Entry:
    """Marked where it is not certain to be negative."""
    if difference.estimate is None or (difference.high is not None and difference.high < 0):
        return difference
    return flagged(difference, words)


def fair(own: Entry, random: Entry) -> Entry:
    """Marked where the attack has clearly more, or less, than the p of chance."""
    if own.estimate is None or random.estimate is None:
        return own
    if own.estimate > MORE * random.estimate:
        return flagged(own, "p above that of random: not an equal contest, the attack spends more")
    if random.estimate > MORE * own.estimate:
        return flagged(own, "p below that of random: not an equal contest, chance spends more")
    return own
