"""What randomised smoothing promises: shares of clean cases that no change within an L2 distance turns, whatever the attack."""

from __future__ import annotations

import math

from medrobust.leaderboard.measure import Quantity, measure, over
from medrobust.leaderboard.norm_bounded.rule import INTERVALS
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Line, Table
from medrobust.stats import clustered_rate

CLEAN, RADIUS, ABSTAINED, CORRECT = "none", "certified-radius", "abstained", "correct"
HEADS = ("target", "defense")
STEPS = 3
"""Distances in a table, the largest that some case reaches last."""


def certified(section: Section) -> list[Table]:
    """One line a model that promises anything; clean cases are the same in every condition.

    Source: certified accuracy at an L2 radius, in the data's intensity units: Cohen et al. 2019, arXiv:1902.02918, section 4.
    """
    found = section.rows[(section.rows["metric"] == RADIUS) & (section.rows["attack"] == CLEAN) & (section.rows["value"] > 0)]
    promising = {Model(*names) for names in found[["target", "defense"]].itertuples(index=False, name=None)}
    if not promising:
        return []
    steps = ladder(float(found["value"].max()))
    quantities = (
        Quantity(CORRECT, estimator=clustered_rate),
        Quantity(ABSTAINED),
        Quantity(RADIUS, of=lambda values: (values > 0).astype(float), estimator=clustered_rate, per_case=True),
        *(over(RADIUS, step) for step in steps),
        Quantity(RADIUS),
    )
    names = ("clean", "abstains", "certified at all", *(f"certified at {step:g}" for step in steps))
    columns = (*(Column(name, "", "%", 100, 1) for name in names), Column("mean radius", digits=3))
    lines = []
    for model in section.models:
        if model in promising:
            condition = next(one for one in section.conditions if not section.frame(model, CLEAN, one, RADIUS).empty)
            lines.append(Line(tuple(model), tuple(measure(section, model, CLEAN, condition, one).entry for one in quantities)))
    caption = (
        "Certified: share of clean cases that the vote over noisy copies answers rightly, and would still if the image changed by no more than that "
        "L2 distance, over all channels and pixels, in the data's own units. No attack can lower it; a radius is too large with a chance of at most "
        "the metric's alpha a case (Cohen et al. 2019). Abstains: the vote is too even to say. Clean: right by the mean probability, which is what "
        f"attacks are made on. Mean radius: a case without a certificate counts 0. {INTERVALS}"
    )
    return [Table("certified", "What smoothing guarantees", caption, section.data_label, HEADS, columns, tuple(lines), 0)]


def ladder(largest: float) -> tuple[float, ...]:
    """The last steps of ..., 0.1, 0.2, 0.5, 1, 2, 5, ... that are no larger than this, in order."""
    top = math.floor(math.log10(largest))
    steps = [float(f"{digit}e{power}") for power in range(top - 2, top + 2) for digit in (1, 2, 5)]
    return tuple([step for step in steps if step <= largest][-STEPS:])
