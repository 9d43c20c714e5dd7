"""What a generator is trained to lower: change the prediction, do not rest at the undecided point, change the image little."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class GlobalLoss:
    """The three terms of optimized global perturbation, each at least 0 but for rounding by half of floor^2.

    Source: Rajapaksa & Khalvati 2022, arXiv:2211.04926, section 2.1.1. Perturbation: log(1 / d), d = |y_p - y_np|, here -log(d^2 + floor^2) / 2,
    whose slope is at most 1 / (2 floor) where the paper's is infinite; at d = 0 it has none, so a mask must not start as the identity. Indecision:
    -alpha (y_p - beta)^2 + delta, a parabola with its top where the prediction is undecided; delta is the smallest that keeps it from going below 0,
    alpha max(beta, 1 - beta)^2, and has no gradient. Change: the mean of |x_p - x_np| over voxels and sequences. alpha, beta and delta are not given
    in the paper.

    alpha: steepness of the parabola, at least 0 and below 2 / max(beta, 1 - beta)^2, which is 8 for beta = .5: from there on it can hold a prediction
        on its own side.
    beta: the undecided probability, in (0, 1).
    change: weight of the change of the image, at least 0; 1 in the paper.
    floor: change of a prediction below which a smaller one makes no difference, in probability, above 0.
    """

    alpha: float = 4.0
    beta: float = 0.5
    change: float = 1.0
    floor: float = 1e-2

    def __post_init__(self) -> None:
        if not 0 < self.beta < 1:
            msg = f"beta: found {self.beta}, expected a probability between 0 and 1"
            raise ValueError(msg)
        limit = 2 / self._reach**2
        if not 0 <= self.alpha < limit:
            msg = f"alpha: found {self.alpha}, expected a number from 0 to below {limit:.3g}: a steeper parabola traps the prediction on its own side"
            raise ValueError(msg)
        if not 0 <= self.change < float("inf"):
            msg = f"change: found {self.change}, expected a weight of at least 0"
            raise ValueError(msg)
        require_floor(self.floor)

    @property
    def _reach(self) -> float:
        return max(self.beta, 1 - self.beta)

    @property
    def delta(self) -> float:
        """What keeps the parabola from going below 0 on [0, 1]."""
        return self.alpha * self._reach**2

    def terms(self, before: Tensor, after: Tensor, image: Tensor, perturbed: Tensor) -> dict[str, Tensor]:
        """Each term of each case, (n,), to be added up.

        before, after: probability of class 1 of the image and of the perturbed one, (n,). image, perturbed: (n, c, D, H, W).
        """
        return {
            "perturbation": log_inverse(after - before, self.floor),
            "indecision": self.delta - self.alpha * (after - self.beta).square(),
            "change": self.change * (perturbed - image).abs().flatten(1).mean(1),
        }


def log_inverse(moved: Tensor, floor: float) -> Tensor:
    """log(1 / |moved|) that ends at log(1 / floor); in float32 whatever comes in."""
    return -0.5 * (moved.float().square() + floor**2).log()


def inverse(moved: Tensor, floor: float) -> Tensor:
    """1 / |moved| that ends at 1 / floor; its slope is at most .385 / floor^2, where it has none at 0."""
    return (moved.float().square() + floor**2).rsqrt()


def require_floor(floor: float) -> None:
    if not 0 < floor < 1:
        msg = f"floor: found {floor}, expected a change of probability between 0 and 1"
        raise ValueError(msg)
