"""The FNAF-robust objective against its formula, computed by other means."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor, nn

from medrobust.randomness import CaseRandom
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.types import Batch, Case
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_defenses.fnaf_robust import FNAFRobust


class Halved(nn.Module):
    """Half of the zero-filled magnitude; remembers what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.shown: list[Tensor] = []

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
        self.shown.append(zero_filled.detach().abs())
        return self.weight * zero_filled.abs()


def batch() -> Batch:
    """Two slices of different brightness, fully sampled, so that what a network is shown is the image."""
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    context = {"phase": torch.zeros(2, 1, 64, 64), "mask": torch.ones(2, 1, 1, 64, dtype=torch.bool), "maximum": image.flatten(1).amax(1)}
    return Batch(image, image, (Case("a", "a", "a"), Case("b", "b", "b")), context)


def expected(clean: np.ndarray, image: np.ndarray, weights: dict[str, float]) -> float:
    """The adversarial loss of half the image, images (2, H, W)."""
    prediction = 0.5 * image
    region = np.stack([binary_dilation(one > 1e-5) for one in image - clean])
    mean, std = image.mean((1, 2), keepdims=True), image.std((1, 2), keepdims=True, ddof=1)
    error = np.abs((prediction - mean) / std - np.clip((image - mean) / std, -6, 6))
    loss = weights.get("region_l1", 0) * error[region].mean() + weights.get("image_l1", 0) * error.mean()
    shares = [np.square((p - i)[r]).sum() / np.square(i[r]).sum() for p, i, r in zip(prediction, image, region, strict=True)]
    return float(loss + weights.get("region_nmse", 0) * np.mean(shares))


@pytest.mark.parametrize(
    "weights", [{"region_l1": 1.0}, {"image_l1": 1.0}, {"region_nmse": 10.0}, {"region_l1": 0.2, "image_l1": 2.0, "region_nmse": 3.0}], ids=repr
)
def test_the_adversarial_loss_is_its_formula(weights: dict[str, float]) -> None:
    clean, network = batch(), Halved()
    objective = FNAFRobust(**{"region_l1": 0.0, "image_l1": 0.0, "region_nmse": 0.0, **weights})  # type: ignore[arg-type]
    _, adversarial = objective.losses(ReconstructionTarget(network, "x"), clean, CaseRandom.of([1, 2]))
    image = network.shown[1][:, 0].double().numpy()
    assert float(adversarial.detach()) == pytest.approx(expected(clean.image[:, 0].double().numpy(), image, weights), rel=1e-3)


def test_training_features_are_as_bright_as_those_of_the_attack_and_lie_in_its_box() -> None:
    clean = batch()
    low, high = FeatureBudget().bounds(clean.image)
    for seed in range(5):
        image, region = FNAFRobust()._draw(clean, CaseRandom.of([seed, seed + 50]))
        for case in range(2):
            added = (image - clean.image)[case, 0]
            in_sigma = added[added > 1e-5] / float(np.std(clean.image[case].numpy(), ddof=1))
            assert float(in_sigma.min()) >= 3 * (1 - 1e-4)
            assert float(in_sigma.max()) <= 6 * (1 + 1e-4)
            pixels = torch.nonzero(added > 1e-5)
            assert (pixels >= low).all()
            assert (pixels <= high).all()
            assert torch.equal(region[case, 0], torch.from_numpy(binary_dilation((added > 1e-5).numpy())))
