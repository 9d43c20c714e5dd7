"""Where attacks hurt, over the places of an image."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.overview.standing import HeatMap
from medrobust.leaderboard.recon_fnaf.locations import BINS, heat
from medrobust.leaderboard.recon_fnaf.rule import BOX
from medrobust.leaderboard.section import Section


def heat_map(section: Section, conditions: tuple[str, ...]) -> HeatMap | None:
    """How often the feature that hurt most was found in each place, over all models and attacks; nothing where places are not recorded."""
    if "row" not in section.labels("feature-location"):
        return None
    total = np.zeros((BINS, BINS), dtype=np.int64)
    for condition in conditions:
        for attack in section.attacks:
            for model in section.models:
                if section.cells(model, attack, condition):
                    counts = heat(section, model, attack, condition).counts
                    total += np.array(counts, dtype=np.int64).reshape(-1, BINS) if counts else 0
    if not total.any():
        return None
    size = (BOX[1] - BOX[0]) // BINS
    caption = (
        f"Centres of the features that hurt most, of all models and attacks together, in squares of {size} x {size} pixels of rows and columns "
        f"{BOX[0]} to {BOX[1]}, row {BOX[0]} on top; features outside of it are not counted."
    )
    return HeatMap("Where features are lost", caption, "features", tuple(tuple(float(n) for n in row) for row in total))
