"""The tables of the track `seg-deform`, in the order of the page."""

from __future__ import annotations

from medrobust.leaderboard.seg_deform.attacks import attacks, models
from medrobust.leaderboard.seg_deform.chance import chance
from medrobust.leaderboard.seg_deform.clean import clean
from medrobust.leaderboard.seg_deform.cost import cost
from medrobust.leaderboard.seg_deform.defense import defense
from medrobust.leaderboard.seg_deform.missed import missed
from medrobust.leaderboard.seg_deform.panels import panels
from medrobust.leaderboard.seg_deform.perceptibility import perceptibility
from medrobust.leaderboard.seg_deform.ruler import ruler
from medrobust.leaderboard.seg_deform.success import success
from medrobust.leaderboard.seg_deform.surface import surface
from medrobust.leaderboard.seg_deform.sweep import sweep

PARTS = (models, attacks, sweep, panels, success, ruler, chance, perceptibility, clean, defense, missed, surface, cost)

__all__ = ["PARTS"]
