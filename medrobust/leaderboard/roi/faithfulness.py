"""Whether a map is about the model at all: deletion and insertion, pointing, agreement between seeds, and shuffled weights."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, flagged
from medrobust.leaderboard.roi.rule import BOLD, FREE, HEADS, IGNORES, INTERVALS, by_explainer
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Table
from medrobust.stats import clustered_rate

COLUMNS = (
    Column("deletion", digits=3, better=False),
    Column("insertion", digits=3, better=True),
    Column("pointing game", "", "%", 100, 1, better=True),
    Column("between seeds", digits=3, better=True),
    Column("shuffled weights", digits=3),
    Column("best grouping, shuffled weights", digits=3),
)


def faithfulness(section: Section) -> list[Table]:
    """One line an explainer; one whose map is the same on shuffled weights is flagged."""
    pointing = Quantity("pointing", estimator=clustered_rate)
    quantities = [Quantity("deletion"), Quantity("insertion"), pointing, Quantity("seed-agreement")]
    quantities += [Quantity("randomisation"), Quantity("randomised-dice")]
    labelled = [(labels, [*row[:-2], _sane(row[-2]), row[-1]]) for labels, row in by_explainer(section, quantities)]
    found = lines(labelled, COLUMNS, 2)
    if not any_number(found):
        return []
    caption = (
        "Deletion and insertion: area under the probability of the predicted class as regions are blanked, most relevant first (lower is better), "
        "or put back into an empty volume (higher is better). Pointing game: the most relevant place lies in the tumour. Between seeds: Spearman "
        "correlation of maps under two seeds. Shuffled weights: the same with a map of a model whose weights were shuffled; near 1, the map is not "
        f"about what the model learned (flagged above {IGNORES:g}). Best grouping, shuffled weights: the Dice that such a map still has. "
        f"{FREE} {INTERVALS} {BOLD}"
    )
    return [Table("faithfulness", "Whether the map is about the model", caption, section.data_label, HEADS, COLUMNS, found, 2)]


def _sane(measured: Measured) -> Measured:
    estimate = measured.entry.estimate
    if estimate is None or estimate <= IGNORES:
        return measured
    return Measured(flagged(measured.entry, "the map hardly depends on the model's weights"), measured.sample)
