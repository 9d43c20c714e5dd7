"""What an attack changes in an image: how much in all, how far anatomy moves, whether it folds, how much is added, and how alike it stays."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number, lines
from medrobust.leaderboard.measure import Quantity
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.seg_deform.rule import HEADS, INTERVALS, PERCEPTIBILITY, P, attacked, by_model_and_attack, measures
from medrobust.leaderboard.tables import Column, Table

QUANTITIES = (
    PERCEPTIBILITY,
    Quantity("displacement", "mean"),
    Quantity("displacement", "max"),
    Quantity("folding"),
    Quantity("shading", "min"),
    Quantity("shading", "max"),
    Quantity("image-ssim"),
)
COLUMNS = (
    P,
    Column("mean displacement", "mm", "mm", digits=2),
    Column("largest displacement", "mm", "mm", digits=2),
    Column("folded", "", "%", 100, 3),
    Column("lowest shading", "HU", "HU", digits=1),
    Column("highest shading", "HU", "HU", digits=1),
    Column("SSIM", digits=4),
)


def perceptibility(section: Section) -> list[Table]:
    """One line a model and attack."""
    found = lines(by_model_and_attack(section, measures(section, QUANTITIES), attacked(section)), COLUMNS, 3)
    caption = (
        "Means over slices. p: mean absolute change of a pixel, in standard deviations of the subject's volume. Displacement of a slice's pixels, "
        "mean and largest. Folded: share of pixels where the field folds space. Shading: what is added to the image after it was moved, lowest and "
        f"highest of a slice. SSIM: between clean and attacked slice. {INTERVALS}"
    )
    return [Table("perceptibility", "What can be seen", caption, section.data_label, HEADS, COLUMNS, found, 3)] if any_number(found) else []
