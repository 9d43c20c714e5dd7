"""The tables of the track `roi`, in the order of the page."""

from __future__ import annotations

from medrobust.leaderboard.roi.classifier import classifier
from medrobust.leaderboard.roi.cost import cost
from medrobust.leaderboard.roi.epochs import epochs
from medrobust.leaderboard.roi.faithfulness import faithfulness
from medrobust.leaderboard.roi.flips import flips
from medrobust.leaderboard.roi.localisation import cumulative, grades, localisation, ranks
from medrobust.leaderboard.roi.overlays import overlays
from medrobust.leaderboard.roi.paired import paired

PARTS = (localisation, overlays, paired, ranks, cumulative, grades, faithfulness, epochs, classifier, flips, cost)

__all__ = ["PARTS"]
