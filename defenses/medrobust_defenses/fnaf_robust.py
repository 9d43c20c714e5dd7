"""FNAF-robust training: learn to keep small features that were put there."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from medrobust.digests import digest
from medrobust.randomness import CaseRandom
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.training.loop import Schedule, train
from medrobust.training.objectives import Supervised, normalised
from medrobust.types import Batch, Data, Target
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.feature import feature_loss, input_scale, region_of, render, walk


@dataclass(frozen=True)
class FNAFRobust:
    """Alternate a clean step with a step on the same slices carrying random features.

    Source: Cheng et al., MIDL 2020, FNAF-robust training, and its released code. U-Net: L1 in the region plus L1 over the image, 10 to 100 steps
    of walk. I-RIM: 10 x NMSE in the region, 10 to 5000 steps. Mended: gradients are cleared before the second step, steps are whole numbers,
    and each image has its own region. With `draws` above 1 the inner maximisation that the paper's equation asks for is taken: of that many
    features each slice is trained on the one it loses most of (the released code draws one).

    clean_l1, clean_ssim: weights of the clean step. region_l1, image_l1, region_nmse: weights of the adversarial step.
    least_steps, most_steps: steps of the walk, drawn uniformly from [least, most). intensity: of a pixel, in standard deviations of the slice.
    draws: features tried per slice, 1 or more. schedule: how long to train when used as a defense.
    """

    clean_l1: float = 1.0
    clean_ssim: float = 0.0
    region_l1: float = 1.0
    image_l1: float = 1.0
    region_nmse: float = 0.0
    least_steps: int = 10
    most_steps: int = 100
    intensity: tuple[float, float] = (3.0, 6.0)
    draws: int = 1
    schedule: Schedule = Schedule()

    def __post_init__(self) -> None:
        object.__setattr__(self, "intensity", tuple(self.intensity))
        if not 1 <= self.least_steps < self.most_steps:
            msg = f"least_steps, most_steps: found {self.least_steps}, {self.most_steps}, expected 1 <= least < most"
            raise ValueError(msg)
        if self.draws < 1:
            msg = f"draws: found {self.draws}, expected 1 or more"
            raise ValueError(msg)

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:
        """A copy of a reconstruction target, trained on from its weights."""
        if not isinstance(target, ReconstructionTarget):
            msg = f"fnaf-robust: found a target of type {type(target).__name__}, expected a reconstruction network"
            raise TypeError(msg)
        network = copy.deepcopy(target.network)
        schedule = replace(self.schedule, seed=int(torch.randint(2**31, (1,), generator=rng)))
        hardened = ReconstructionTarget(network, digest({"start": target.digest, "data": data.digest, "seed": schedule.seed, **asdict(self)}))
        train(hardened, network, self, data, schedule, None, lambda step, loss: None)  # noqa: ARG005
        network.requires_grad_(False)
        return hardened

    def losses(self, target: Target, batch: Batch, rng: CaseRandom) -> Iterator[Tensor]:
        """The clean loss, then the adversarial one."""
        clean = Supervised(self.clean_l1, self.clean_ssim)
        yield from clean.losses(target, batch, rng)
        image, region = self._features(target, batch, rng)
        attacked = Batch(image, image, batch.cases, batch.context)
        prediction = target(image, attacked)
        loss = prediction.new_zeros(())
        if self.region_l1 or self.image_l1:
            error = (normalised(prediction, attacked) - normalised(image, attacked).clamp(-6, 6)).abs()
            loss = loss + self.region_l1 * (error * region).sum() / region.sum() + self.image_l1 * error.mean()
        if self.region_nmse:
            squares = ((prediction - image) * region).square().flatten(1).sum(1) / (image * region).square().flatten(1).sum(1)
            loss = loss + self.region_nmse * squares.mean()
        yield loss

    def _features(self, target: Target, batch: Batch, rng: CaseRandom) -> tuple[Tensor, Tensor]:
        """Slices with their features, and the features' regions: the worst of `draws` for each slice."""
        image, region = self._draw(batch, rng)
        if self.draws == 1:
            return image, region
        with torch.no_grad():
            worst = self._loss(target, batch, image, region)
            for _ in range(self.draws - 1):
                other, other_region = self._draw(batch, rng)
                loss = self._loss(target, batch, other, other_region)
                better = (loss > worst).view(-1, 1, 1, 1)
                image, region = torch.where(better, other, image), torch.where(better, other_region, region)
                worst = torch.maximum(worst, loss)
        return image, region

    def _draw(self, batch: Batch, rng: CaseRandom) -> tuple[Tensor, Tensor]:
        """One feature a slice, of the training's sizes, (n, 1, H, W) image and region."""
        unit = FeatureBudget(self.most_steps, self.intensity)
        low, high = unit.bounds(batch.image)
        positions = walk(unit.place(batch.image, rng), rng.integers(0, 4, self.most_steps - 1), low, high)
        values = rng.uniform(*self.intensity, self.most_steps) * unit.sigma(batch.image).cpu()[:, None]
        height, width = batch.image.shape[-2:]
        feature = render(positions, values, height, width, rng.integers(self.least_steps, self.most_steps))
        device = batch.image.device
        return batch.image + feature.delta.to(device), region_of(feature.support.to(device))

    @staticmethod
    def _loss(target: Target, batch: Batch, image: Tensor, region: Tensor) -> Tensor:
        """Mean squared error inside each region, so that a larger feature is not a worse one, (n,)."""
        loss = feature_loss(target(image, batch), image, region, input_scale(image, batch))
        return loss / region.flatten(1).sum(1)
