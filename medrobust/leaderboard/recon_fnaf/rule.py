"""The track's fixed numbers: what counts as a hit, as preserved information, as a kept lesion, and where features may lie.

Source: Cheng et al., MIDL 2020; the thresholds from the authors' released code.
"""

from __future__ import annotations

from medrobust.leaderboard.layout import PAIRED
from medrobust.leaderboard.measure import Quantity, over
from medrobust.stats import clustered_rate

HIT = 1e-3
INFORMATION = 1e-4
KEPT = 0.5
BOX = (100, 220)
THRESHOLDS = (1e-4, 2e-4, 3e-4, 5e-4, 7e-4, 1e-3, 1.5e-3, 2e-3, 3e-3, 5e-3, 1e-2)

RATE = over("fnaf-loss", HIT)
LOSS = Quantity("fnaf-loss", per_case=True)
ACCEPTED = over("information", INFORMATION)
PRESERVED = Quantity("information", per_case=True)
CANDIDATES = Quantity("information", "candidates")
LESION = Quantity("lesion-contrast", label=None, of=lambda values: (values >= KEPT).astype(float), estimator=clustered_rate)
CONTRAST = Quantity("lesion-contrast", label=None)
INTERVALS = "95 % intervals in brackets, from 2000 bootstrap resamples of patients."
BOLD = f"Bold: not measurably worse than the best of its condition ({PAIRED})."
