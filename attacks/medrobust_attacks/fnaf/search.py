"""What every search for a feature shares: evaluating candidates in batches and keeping the best."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.imaging.kspace import EPSILON, with_phase
from medrobust.imaging.masks import RandomMask
from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.fnaf.feature import Feature, feature_loss, region_of

BLOCK = 32
"""Candidates held in memory at once."""


@dataclass(frozen=True)
class Candidates:
    """Candidates of n cases, the trials of each case side by side, (n, trials, ...).

    image: attacked images (n, t, 1, H, W). region: (n, t, 1, H, W). mask: (n, t, 1, 1, W). start: (n, t, 2).
    """

    image: Tensor
    region: Tensor
    mask: Tensor
    start: Tensor


def stack(batch: Batch, features: list[Feature], masks: list[Tensor]) -> Candidates:
    """One trial a feature and mask."""
    return Candidates(
        torch.stack([batch.image + feature.delta for feature in features], 1),
        torch.stack([region_of(feature.support) for feature in features], 1),
        torch.stack(masks, 1),
        torch.stack([feature.start for feature in features], 1),
    )


def redraw(batch: Batch, rng: CaseRandom) -> Tensor:
    """A fresh sampling mask for each case with the acquisition's nominal acceleration and centre, (n, 1, 1, W).

    Drawn from its own fastMRI seed below 999,999,999, as the released attack does.
    """
    acceleration, fraction = batch.context["nominal"].unbind(1)
    seeds = rng.integers(0, 999_999_999)
    width = batch.image.shape[-1]
    drawn = [RandomMask(float(a), float(f)).draw(width, int(s)) for a, f, s in zip(acceleration, fraction, seeds, strict=True)]
    return torch.stack(drawn).to(batch.image.device)


def losses(target: Target, batch: Batch, candidates: Candidates) -> Tensor:
    """Adversarial loss of every candidate, (n, trials); one forward pass each, trials and cases in one batch."""
    n, trials = candidates.image.shape[:2]
    image = candidates.image.flatten(0, 1)
    context = {name: tensor.repeat_interleave(trials, 0) for name, tensor in batch.context.items() if name != "mask"}
    cases = tuple(case for case in batch.cases for _ in range(trials))
    prediction = target(image, Batch(image, image, cases, {**context, "mask": candidates.mask.flatten(0, 1)}))
    return feature_loss(prediction, image, candidates.region.flatten(0, 1), input_scales(batch, candidates)).view(n, trials)


def input_scales(batch: Batch, candidates: Candidates) -> tuple[Tensor, Tensor]:
    """`input_scale` of every candidate, (n * trials, 1, 1, 1) each.

    A candidate differs from its clean slice in a few rows, and rows are measured by themselves: the clean slice's lines of k-space are
    transformed once for all trials, and of each candidate its own rows alone.
    """
    image, phase, touched = candidates.image, batch.context["phase"], candidates.region.any(-1)  # touched: (n, t, 1, H)
    lines = torch.fft.fft(with_phase(batch.image, phase), norm="ortho")[:, None].repeat(1, image.shape[1], 1, 1, 1)
    clean, angle = (maps[:, None].expand_as(image)[touched] for maps in (batch.image, phase))
    lines[touched] += torch.fft.fft(with_phase(image[touched] - clean, angle), norm="ortho")
    lines *= torch.fft.ifftshift(candidates.mask, dim=-1)
    zero_filled = torch.fft.ifft(lines, norm="ortho").flatten(0, 1)
    power = zero_filled.real.square() + zero_filled.imag.square()
    count, total = power[0].numel(), power.flatten(1).sum(1)
    mean = power.sqrt_().flatten(1).mean(1)
    variance = (total - count * mean.square()) / (count - 1)
    return mean.view(-1, 1, 1, 1), variance.sqrt().view(-1, 1, 1, 1) + EPSILON


@dataclass
class Best:
    """The worst case found so far, and the loss of every query in order."""

    image: Tensor
    region: Tensor
    mask: Tensor
    start: Tensor
    loss: Tensor
    trace: list[Tensor]

    @classmethod
    def none(cls, batch: Batch) -> Best:
        """Before the first query."""
        nothing = torch.full((len(batch),), -torch.inf, device=batch.image.device)
        empty = torch.zeros_like(batch.image, dtype=torch.bool)
        return cls(batch.image.clone(), empty, batch.context["mask"].clone(), torch.zeros(len(batch), 2, dtype=torch.long), nothing, [])

    def update(self, candidates: Candidates, loss: Tensor) -> None:
        """Take in the trials (n, t) of `candidates`; the first of equals is kept."""
        self.trace.append(loss.cpu())
        highest, index = loss.max(1)
        rows = torch.arange(len(loss), device=loss.device)
        better = highest > self.loss
        for name in ("image", "region", "mask", "start"):
            old, new = getattr(self, name), getattr(candidates, name)
            picked = new[rows.to(new.device), index.to(new.device)]
            setattr(self, name, torch.where(better.to(new.device).view(-1, *[1] * (old.ndim - 1)), picked, old))
        self.loss = torch.maximum(highest, self.loss)

    def attacked(self) -> Attacked:
        """The result as an attack returns it: the feature is real, so the truth carries it."""
        return Attacked(self.image, self.image, self.region, {"mask": self.mask}, {"loss": torch.cat(self.trace, 1)})
