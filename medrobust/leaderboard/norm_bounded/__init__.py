"""The tables of the tracks whose attacks are bounded by a norm, in the order of the page: `cls-linf`, `seg-linf` and `recon-l2`."""

from __future__ import annotations

from medrobust.leaderboard.norm_bounded.belief import belief
from medrobust.leaderboard.norm_bounded.certified import certified
from medrobust.leaderboard.norm_bounded.cost import cost
from medrobust.leaderboard.norm_bounded.defense import defense
from medrobust.leaderboard.norm_bounded.norms import norms
from medrobust.leaderboard.norm_bounded.robust import robust
from medrobust.leaderboard.norm_bounded.success import success
from medrobust.leaderboard.norm_bounded.sweep import sweep
from medrobust.leaderboard.norm_bounded.transfer import transfer
from medrobust.leaderboard.recon_fnaf.clean import clean as quality
from medrobust.leaderboard.seg_deform.clean import clean as organs
from medrobust.leaderboard.seg_deform.missed import missed

CLASSIFICATION = (robust, success, sweep, defense, certified, transfer, norms, belief, cost)
SEGMENTATION = (robust, sweep, defense, transfer, organs, missed, norms, belief, cost)
RECONSTRUCTION = (robust, sweep, defense, transfer, quality, norms, belief, cost)

__all__ = ["CLASSIFICATION", "RECONSTRUCTION", "SEGMENTATION"]
