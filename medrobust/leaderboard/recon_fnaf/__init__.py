"""The tables of the track `recon-fnaf`, in the order of the page."""

from __future__ import annotations

from medrobust.leaderboard.recon_fnaf.attack_rate import attack_rate
from medrobust.leaderboard.recon_fnaf.clean import clean
from medrobust.leaderboard.recon_fnaf.cost import cost
from medrobust.leaderboard.recon_fnaf.defense import defense
from medrobust.leaderboard.recon_fnaf.information import information
from medrobust.leaderboard.recon_fnaf.lesions import lesions
from medrobust.leaderboard.recon_fnaf.locations import locations
from medrobust.leaderboard.recon_fnaf.sweeps import queries, thresholds
from medrobust.leaderboard.recon_fnaf.transfer import transfer

PARTS = (attack_rate, clean, defense, lesions, thresholds, queries, information, transfer, locations, cost)

__all__ = ["PARTS"]
