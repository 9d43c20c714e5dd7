"""What each cell cost: passes of the model, which any machine repeats, and seconds, which it does not."""

from __future__ import annotations

from medrobust.leaderboard.cost import COLUMNS, costs
from medrobust.leaderboard.layout import ATTACK_HEADS, any_number
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Line, Table


def cost(section: Section) -> list[Table]:
    """Per case, from what each cell recorded when it was computed."""
    found = tuple(
        Line((condition, attack, *model), costs(section, attack, condition, model, ("forward passes", "gradient passes", "seconds")))
        for condition in section.conditions
        for attack in ("none", *section.attacks, *section.controls)
        for model in section.models
    )
    caption = (
        "Passes that the attack itself asked of the model, and seconds in all (loading, attacking, judging), per case; "
        "seconds hold on the machine named at the foot of the page alone."
    )
    return [Table("cost", "Cost", caption, section.data_label, ATTACK_HEADS, COLUMNS, found, 2, fold=True)] if any_number(found) else []
