"""The control of optimized global perturbation: as much taken from each sequence, in a random place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch, Target
from medrobust_attacks.perturbation.budget import MaskBudget
from medrobust_attacks.perturbation.global_mask import Masking


@dataclass(frozen=True)
class RandomMask(Masking):
    """Blank the voxels where a smooth random field is highest, in each sequence as many as take away the intensity that `ogp` changes there.

    Source: this project. Where it flips as often as the trained mask, that mask's place and shape count for nothing. One field serves all sequences
    of a case; the last voxel is blanked in part, so that the L1 distances are equal to rounding. Where the trained mask adds intensity, that counts
    as taken away here, at most all there is.

    training: of the generator whose distance is matched; it is trained once for this and for `ogp`.
    weights: of the generator, by name; empty before it is trained.
    knots: random values along each axis of the field, interpolated between; at least 2.
    """

    knots: int = 6

    def __post_init__(self) -> None:
        if self.knots < 2:
            msg = f"knots: found {self.knots}, expected at least 2"
            raise ValueError(msg)

    def __call__(self, target: Target, batch: Batch, budget: MaskBudget, rng: CaseRandom) -> Attacked:  # noqa: ARG002 - nothing is asked
        """Attack every volume of the batch; one random field a case."""
        image = batch.image
        trained = budget.project(self.mask(image) * image, image)
        taken = (trained - image).abs().flatten(2).double().sum(2)
        coarse = rng.normal(1, self.knots, self.knots, self.knots)
        fields = interpolate(coarse, size=image.shape[2:], mode="trilinear", align_corners=True)[:, 0].to(image.device)
        return Attacked(torch.stack([blanked(*case) for case in zip(image, fields, taken, strict=True)]))


def blanked(image: Tensor, where: Tensor, taken: Tensor) -> Tensor:
    """An image (c, *space), at least 0, blanked from the highest of `where` (*space) down until each sequence has lost `taken` (c,)."""
    order = where.flatten().argsort(descending=True, stable=True)
    intensity = image.flatten(1)[:, order].double()
    left = (taken[:, None] - (intensity.cumsum(1) - intensity)).clamp_min(0)  # still to take when a voxel's turn comes
    kept = torch.empty_like(intensity).scatter_(1, order.expand_as(intensity), intensity - torch.minimum(left, intensity))
    return kept.to(image.dtype).view_as(image)
