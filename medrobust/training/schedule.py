"""How long a training runs, and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

from medrobust.data.acquisition import mask_rule


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    steps: batches, at least 1. batch: cases a batch, at least 1. gradient_norm: gradients are clipped to it, above 0.
    learning_rate: peak of Adam's rate, above 0, reached after `warmup` steps (at least 0) and lowered to 0 along a cosine.
    weight_decay: share of the rate by which weights shrink at a step (AdamW's), at least 0.
    start_share: the model's weights are this share of those the training began from and the rest of those it ended with, in [0, 1)
    (Wortsman et al. 2022, doi:10.1109/CVPR52688.2022.00780, "robust fine-tuning"); 0 takes the latter alone.
    bfloat16: run the network in mixed precision. seed: determines order, variations and every draw of the objective.
    Reconstruction alone: masks: (acceleration, centre fraction) pairs, one drawn for each slice;
    rows: train on random bands of that many rows, exact for column masks and cheaper; 0 for whole slices.
    """

    steps: int = 1000
    batch: int = 4
    learning_rate: float = 1e-3
    warmup: int = 50
    masks: tuple[tuple[float, float], ...] = ((4.0, 0.08), (8.0, 0.04))
    gradient_norm: float = 1.0
    rows: int = 0
    bfloat16: bool = False
    seed: int = 0
    weight_decay: float = 0.0
    start_share: float = 0.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("batch", 1), ("warmup", 0), ("rows", 0), ("weight_decay", 0)):
            if not least <= getattr(self, name) < math.inf:
                msg = f"{name}: found {getattr(self, name)}, expected a finite number, at least {least}"
                raise ValueError(msg)
        for name in ("learning_rate", "gradient_norm"):
            if not 0 < getattr(self, name) < math.inf:
                msg = f"{name}: found {getattr(self, name)}, expected a finite number above 0"
                raise ValueError(msg)
        if not 0 <= self.start_share < 1:
            msg = f"start_share: found {self.start_share}, expected at least 0 and less than 1"
            raise ValueError(msg)
        if not self.masks:
            msg = "masks: found none, expected at least one pair of acceleration and centre fraction"
            raise ValueError(msg)
        for acceleration, center_fraction in self.masks:
            mask_rule("random", acceleration, center_fraction)

    def rate(self, step: int) -> float:
        """Learning rate of a step counted from 0."""
        return self.learning_rate * min(1.0, (step + 1) / max(self.warmup, 1)) * 0.5 * (1 + math.cos(math.pi * step / self.steps))
