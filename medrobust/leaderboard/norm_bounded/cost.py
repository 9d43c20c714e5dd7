"""What each cell cost: passes of the model, which any machine repeats, and seconds, which it does not."""

from __future__ import annotations

from medrobust.leaderboard.cost import COLUMNS, costs
from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.norm_bounded.rule import ATTACK_HEADS
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Line, Table


def cost(section: Section) -> list[Table]:
    """Per case, from what each cell recorded when it was computed."""
    names = ("forward passes", "gradient passes", "seconds")
    found = tuple(
        Line((condition, *model, attack), costs(section, attack, condition, model, names))
        for condition in section.conditions
        for model in section.models
        for attack in (*section.attacks, *section.controls)
        if section.cells(model, attack, condition)
    )
    caption = (
        "Passes of the model that the attack itself asked for, and seconds in all (loading, attacking, judging), per case. Seconds hold on the "
        "machine named at the foot of the page alone."
    )
    return [Table("cost", "Cost", caption, section.data_label, ATTACK_HEADS, COLUMNS, found, 3, fold=True)] if any_number(found) else []
