"""The tables of the track `mammo-tamper`, in the order of the page."""

from __future__ import annotations

from medrobust.leaderboard.mammo_tamper.clean import clean
from medrobust.leaderboard.mammo_tamper.cost import cost
from medrobust.leaderboard.mammo_tamper.defense import defense
from medrobust.leaderboard.mammo_tamper.detection import detection
from medrobust.leaderboard.mammo_tamper.lesions import lesions
from medrobust.leaderboard.mammo_tamper.panels import panels
from medrobust.leaderboard.mammo_tamper.readers import readers
from medrobust.leaderboard.mammo_tamper.roc import roc
from medrobust.leaderboard.mammo_tamper.stopping import stopping
from medrobust.leaderboard.mammo_tamper.sweep import sweep

PARTS = (readers, detection, stopping, sweep, panels, roc, lesions, defense, clean, cost)

__all__ = ["PARTS"]
