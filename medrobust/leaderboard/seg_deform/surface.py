"""How far outlines are off, in millimetres, organ by organ."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number, lines
from medrobust.leaderboard.measure import Quantity
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.seg_deform.rule import HEADS, INTERVALS, attacked, by_model_and_attack, measures, organs
from medrobust.leaderboard.tables import Column, Table


def surface(section: Section) -> list[Table]:
    """One line a model and attack."""
    names = organs(section)
    columns = tuple(Column(name, "mm", "mm", digits=2) for name in (*names, "mean"))
    row = measures(section, [Quantity("surface-distance", organ) for organ in (*names, "")])
    found = lines(by_model_and_attack(section, row, ("none", *attacked(section))), columns, 3)
    caption = (
        "Average symmetric surface distance within slices, mean over subjects, against the truth moved like the image. An organ that a slice shows "
        f"and the answer lacks counts with the slice's diagonal. {INTERVALS}"
    )
    return [Table("surface", "Surface distance", caption, section.data_label, HEADS, columns, found, 3, fold=True)] if any_number(found) else []
