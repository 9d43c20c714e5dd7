"""Whether attacks did their work: what they found and did not return, what does not survive being saved, and where they stopped."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.measure import Quantity, measure
from medrobust.leaderboard.norm_bounded.rule import ATTACK_HEADS, INTERVALS
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Line, Table
from medrobust.stats import clustered_rate

PATH = ("first", "three-quarters", "last")


def belief(section: Section) -> list[Table]:
    """One line a budget, model and attack, of what its cells recorded."""
    columns = (
        Column("found and not returned", "", "%", 100, 1),
        Column("still wrong once saved", "", "%", 100, 1),
        *(Column(f"loss, {label}", digits=3) for label in PATH),
        Column("restarts, lowest loss", digits=3),
        Column("restarts, highest loss", digits=3),
    )
    quantities = (
        Quantity("silent-success", estimator=clustered_rate),
        Quantity("survives-saving", estimator=clustered_rate),
        *(Quantity("loss-path", label) for label in PATH),
        Quantity("restart-loss", "lowest"),
        Quantity("restart-loss", "highest"),
    )
    present = set(section.rows["metric"].unique())
    kept = [index for index, quantity in enumerate(quantities) if quantity.metric in present]
    found = tuple(
        Line((condition, *model, attack), tuple(measure(section, model, attack, condition, quantities[index]).entry for index in kept))
        for condition in section.conditions
        for model in section.models
        for attack in section.attacks
        if kept and section.cells(model, attack, condition)
    )
    if not any_number(found):
        return []
    caption = (
        "Found and not returned: share of cases that some query turned and the image returned does not. Still wrong once saved: share of turned "
        "cases that stay so after the image is rounded to how it would be stored. Loss: of the first query, of the one at three quarters, and of the "
        f"last; where it still rises at the end the attack was not done. Restarts: final loss of the worst and of the best. {INTERVALS}"
    )
    shown = tuple(columns[index] for index in kept)
    return [Table("belief", "Whether attacks did their work", caption, section.data_label, ATTACK_HEADS, shown, found, 3, fold=True)]
