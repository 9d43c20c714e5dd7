"""The track's words and fixed numbers: which metrics its tables show, which lines are free of the model, and when a map ignores its target."""

from __future__ import annotations

from collections.abc import Sequence

from medrobust.leaderboard.layout import PAIRED, Labelled
from medrobust.leaderboard.measure import Quantity, measure
from medrobust.leaderboard.section import Section

INTERVALS = "95 % intervals in brackets, from 2000 bootstrap resamples of patients."
BOLD = f"Bold: not measurably worse than the best explainer of its condition and target ({PAIRED})."
FREE = "Explainers named `free: ...` never ask the model; one that does not beat them has explained nothing."
HEADS = ("condition", "target", "explainer")
GRADES = ("HGG", "LGG")
IGNORES = 0.9


def by_explainer(section: Section, quantities: Sequence[Quantity]) -> list[Labelled]:
    """One line a condition, model and explainer that the plan puts together."""
    return [
        ((condition, str(model), explainer), [measure(section, model, explainer, condition, quantity) for quantity in quantities])
        for condition in section.conditions
        for model in section.models
        for explainer in section.explainers
        if section.cells(model, explainer, condition)
    ]
