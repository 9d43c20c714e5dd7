"""What generator and critic are trained to lower."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from medrobust_attacks.deformation.networks import Made


@dataclass(frozen=True)
class AttackLoss:
    """Fool the critic, bring the masked cross-entropy to xi, move and shade little: f(I0) - f(I_DV) + (xi - CE_M)^2 + .1 |D|^2 + .01 |V|^2.

    Source: Chen et al. 2019, arXiv:1909.11167, eq. 2 to 6, section 3.3; signs as printed there: the critic f lowers f(I_DV) - f(I0), so that a real
    slice scores higher, and the generator lowers f(I0) - f(I_DV), so that the attacked one does. CE_M = M sum_c -S0(c) log S_DV(c), with M = sum of
    S0(c) over organs, tells the target's answer S_DV to the attacked slice from its own S0 to the clean one; neither is compared with the truth and
    S0 is not warped. How CE_M and the norms are summed up is not given there; xi is of the size of a mean. No Kullback-Leibler term is in its loss.

    xi: cross-entropy that is aimed at, in nats, at least 0; .5 to 3 in the paper, 2 from where all its organs fall by 30 %.
    field: weight of |D|^2, D in pixels, at least 0. shading: weight of |V|^2, V in z-scores, at least 0.
    adversarial: weight of the critic's term, at least 0; 1 in the paper, 0 trains without a critic.
    kl: weight of the latents' divergence from N(0, 1), in nats per entry, at least 0.
    entropy: mask: CE_M is the mean over the pixels of M, a slice whose mask is less than one pixel counting as one; slice: over all pixels; sum: sum.
    norms: mean: |.|^2 is the mean over pixels of the squared length; sum: their sum.
    hard: S0 is one-hot, the class of the highest probability, instead of the probabilities themselves.
    """

    xi: float = 2.0
    field: float = 0.1
    shading: float = 0.01
    adversarial: float = 1.0
    kl: float = 0.0
    entropy: str = "mask"
    norms: str = "mean"
    hard: bool = False

    def __post_init__(self) -> None:
        for name in ("xi", "field", "shading", "adversarial", "kl"):
            if not 0 <= getattr(self, name) < math.inf:
                msg = f"{name}: found {getattr(self, name)}, expected a number of at least 0"
                raise ValueError(msg)
        for name, known in (("entropy", ENTROPIES), ("norms", NORMS)):
            if getattr(self, name) not in known:
                msg = f"{name}: found '{getattr(self, name)}', expected one of {', '.join(known)}"
                raise ValueError(msg)

    def clean(self, logs: Tensor) -> Tensor:
        """S0, probabilities (n, k + 1, H, W), of the target's log-probabilities for the clean slices."""
        return torch.zeros_like(logs).scatter_(1, logs.argmax(1, keepdim=True), 1) if self.hard else logs.exp()

    def cross_entropy(self, clean: Tensor, logs: Tensor) -> Tensor:
        """CE_M of each slice in nats, (n,). clean: S0; logs: log S_DV; both (n, k + 1, H, W)."""
        mask = clean[:, 1:].sum(1)
        return ENTROPIES[self.entropy](mask * -(clean * logs).sum(1), mask)

    def terms(self, clean: Tensor, logs: Tensor, made: Made, gap: Tensor) -> dict[str, Tensor]:
        """Each weighted term of each slice, (n,), to be added up; gap: f(I0) - f(I_DV), (n,)."""
        norm = NORMS[self.norms]
        return {
            "adversarial": self.adversarial * gap,
            "entropy": (self.xi - self.cross_entropy(clean, logs)).square(),
            "field": self.field * norm(made.field),
            "shading": self.shading * norm(made.shading),
            "kl": self.kl * made.kl,
        }


def critic_loss(critic: nn.Module, clean: Tensor, attacked: Tensor, penalty: float, share: Tensor) -> Tensor:
    """Mean of f(I_DV) - f(I0), and the penalty on the slope at share * I0 + (1 - share) * I_DV; share: (n,) in [0, 1]."""
    loss: Tensor = (critic(attacked) - critic(clean)).mean()
    if not penalty:
        return loss
    weight = share.view(-1, 1, 1, 1)
    between = (weight * clean + (1 - weight) * attacked).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    steepness: Tensor = torch.linalg.vector_norm(slope.flatten(1), dim=1)
    return loss + penalty * (steepness - 1).square().mean()


ENTROPIES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mask": lambda masked, mask: masked.flatten(1).sum(1) / mask.flatten(1).sum(1).clamp_min(1),
    "slice": lambda masked, _: masked.flatten(1).mean(1),
    "sum": lambda masked, _: masked.flatten(1).sum(1),
}

NORMS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda x: x.square().sum(1).flatten(1).mean(1),
    "sum": lambda x: x.square().flatten(1).sum(1),
}
