"""What a generator does to the validation cases: its loss, its mask in each sequence, whom it flips, and which sequences it only shuts off."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from medrobust_attacks.perturbation.metrics import flipped
from medrobust_attacks.perturbation.training import Figures

SATURATED = 0.01
"""A mask value within this of 0 or 1 counts as saturated; a sequence whose mask keeps this close to 0 everywhere is shut off."""


@dataclass
class Assessment:
    """Sums over cases; mask values count inside the head, where any sequence is above 0."""

    terms: list[dict[str, Tensor]] = field(default_factory=list)
    flips: dict[str, list[Tensor]] = field(default_factory=dict)
    masks: list[Tensor] = field(default_factory=list)

    def add(self, terms: dict[str, Tensor], before: Tensor, after: Tensor, image: Tensor, mask: Tensor) -> None:
        """Note a batch: terms of the loss (n,), probabilities (n,), images and masks (n, c, D, H, W)."""
        self.terms.append(terms)
        for label, values in flipped(before, after).items():
            self.flips.setdefault(label, []).append(values)
        for inside, values in zip((image > 0).any(1), mask.double(), strict=True):
            seen = values[:, inside]
            extreme = (seen < SATURATED) | ((seen - 1).abs() < SATURATED)
            ends = torch.stack([seen.amin(1), seen.amax(1)], 1) if seen.shape[1] else seen.new_zeros(len(seen), 2)
            moments = torch.stack([inside.sum().expand(len(seen)), seen.sum(1), seen.square().sum(1), extreme.double().sum(1)], 1)
            self.masks.append(torch.cat([moments, ends], 1))

    def figures(self, sequences: Sequence[str]) -> Figures:
        """Plain data, `loss` among them: the mean over cases of the sum of terms. A flip rate is None where no case could flip that way."""
        terms = {name: torch.cat([one[name] for one in self.terms]).mean().item() for name in self.terms[0]}
        rates = {label: torch.cat(values).nanmean().item() for label, values in self.flips.items()}
        each = torch.stack(self.masks)
        count, total, squares, extreme = each[..., :4].sum(0).unbind(1)
        mean = total / count.clamp_min(1)
        spread = (squares / count.clamp_min(1) - mean.square()).clamp_min(0).sqrt()
        shut = (each[..., 4].amin(0).abs() < SATURATED) & (each[..., 5].amax(0).abs() < SATURATED)
        return {
            "loss": sum(terms.values()),
            "terms": terms,
            "flip rate": {label: None if math.isnan(rate) else rate for label, rate in rates.items()},
            "mask mean": dict(zip(sequences, mean.tolist(), strict=True)),
            "mask std": dict(zip(sequences, spread.tolist(), strict=True)),
            "saturated": (extreme.sum() / count.sum().clamp_min(1)).item(),
            "modality shut-off": [name for name, off in zip(sequences, shut.tolist(), strict=True) if off],
        }
