"""What a defense changes: mean Dice of a defended model against the plain one, on clean slices and under every attack, paired by subject."""

from __future__ import annotations

from dataclasses import replace

from medrobust.leaderboard.layout import MODEL_HEADS, Labelled, any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, contrast, measure
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import CLEAN, DICE, INTERVALS, PERCEPTIBILITY, WARPED, P, attacked, percent
from medrobust.leaderboard.tables import Column, Entry, Table, Validity
from medrobust.stats import paired_difference

COLUMNS = (
    percent("plain"),
    percent("defended"),
    Column("gain", "", "points", 100, 1),
    Column("gain, moved truth", "", "points", 100, 1),
    replace(P, name="p, plain"),
    replace(P, name="p, defended"),
)
NOTHING = Measured(Entry(note="clean", validity=Validity("missing", ("clean",))))


def defense(section: Section) -> list[Table]:
    """One line a defended model and attack, the clean one first; nothing without such a pair of models."""
    labelled: list[Labelled] = [
        ((condition, *defended, CLEAN if attack == "none" else attack), gains(section, plain, defended, attack, condition))
        for condition in section.conditions
        for plain, defended in section.defended
        for attack in ("none", *attacked(section))
        if all(section.cells(model, attack, condition) for model in (plain, defended))
    ]
    found = lines(labelled, COLUMNS, 3)
    caption = (
        "Mean Dice over organs of the plain and of the defended model, each under attacks made on itself, and what the defense gains; on clean "
        f"slices, negative where it costs. {INTERVALS} Paired by subject."
    )
    heads = (*MODEL_HEADS, "attack")
    return [Table("defense", "What the defense gains", caption, section.data_label, heads, COLUMNS, found, 3)] if any_number(found) else []


def gains(section: Section, plain: Model, defended: Model, attack: str, condition: str) -> list[Measured]:
    """Dice of both, the difference by both rulers, and p of both."""

    def both(quantity: Quantity) -> tuple[Measured, Measured]:
        one, other = (measure(section, model, attack, condition, quantity) for model in (defended, plain))
        return one, other

    dice = both(Quantity(DICE))
    gain = Measured(contrast(*dice, paired_difference))
    if attack == "none":
        return [dice[1], dice[0], gain, NOTHING, NOTHING, NOTHING]
    p = both(PERCEPTIBILITY)
    return [dice[1], dice[0], gain, Measured(contrast(*both(Quantity(WARPED)), paired_difference)), p[1], p[0]]
