"""What each explainer costs: passes of the model, which any machine repeats, and seconds, which it does not."""

from __future__ import annotations

from medrobust.leaderboard.cost import COLUMNS, costs
from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.roi.rule import HEADS
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Line, Table


def cost(section: Section) -> list[Table]:
    """Per volume, from what each cell recorded when it was computed."""
    found = tuple(
        Line((condition, str(model), explainer), costs(section, explainer, condition, model, ("forward passes", "gradient passes", "probe seconds")))
        for condition in section.conditions
        for model in section.models
        for explainer in section.explainers
        if section.cells(model, explainer, condition)
    )
    caption = (
        "Passes of the model that the explainer itself took, a pass through a part of the network counted as that part, and its seconds, per volume; "
        "training of trained explainers not included. Seconds hold on the machine named at the foot of the page alone."
    )
    return [Table("explainer-cost", "Cost", caption, section.data_label, HEADS, COLUMNS, found, 2, fold=True)] if any_number(found) else []
