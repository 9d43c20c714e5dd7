"""What each cell cost: passes of the model, which any machine repeats, and seconds, which it does not."""

from __future__ import annotations

from medrobust.leaderboard.cost import COLUMNS, costs
from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.mammo_tamper.rule import attacked
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Line, Table

CLEAN = "clean"


def cost(section: Section) -> list[Table]:
    """Per image, from what each cell recorded when it was computed."""
    found = tuple(
        Line(
            (condition, str(model), CLEAN if attack == "none" else attack),
            costs(section, attack, condition, model, ("forward passes", "gradient passes", "seconds")),
        )
        for condition in section.conditions
        for model in section.models
        for attack in ("none", *attacked(section))
        if section.cells(model, attack, condition)
    )
    caption = (
        "Passes of the model that the attack itself asked for (none: it never asks the model that it is shown to), and seconds in all (loading, "
        "tampering, judging), per image; training of the attack not included. Seconds hold on the machine named at the foot of the page alone."
    )
    heads = ("condition", "model", "attack")
    return [Table("cost", "Cost", caption, section.data_label, heads, COLUMNS, found, 2, fold=True)] if any_number(found) else []
