"""What a false-negative adversarial feature may be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch
from medrobust_attacks.fnaf.feature import Feature, components_connected, render, walk


@dataclass(frozen=True)
class FeatureBudget:
    """A feature of at most `steps` connected pixels inside a central box, of bounded intensity.

    Source: Cheng et al., MIDL 2020: 10 steps, U(3, 6) standard deviations, the 120x120 centre of 320x320.

    steps: steps of the walk, so at most as many pixels, 1 or more.
    intensity: lowest and highest intensity added to a pixel, in standard deviations of the fully sampled slice.
    box: first and last row and column of the box, as shares of the image's edge (0.3125 to 0.6875 is 100 to 220 of 320).
    tolerance: relative slack of the audit for float32.
    """

    steps: int = 10
    intensity: tuple[float, float] = (3.0, 6.0)
    box: tuple[float, float] = (0.3125, 0.6875)
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        object.__setattr__(self, "intensity", tuple(self.intensity))
        object.__setattr__(self, "box", tuple(self.box))
        if self.steps < 1:
            msg = f"steps: found {self.steps}, expected 1 or more"
            raise ValueError(msg)
        if not 0 <= self.intensity[0] <= self.intensity[1]:
            msg = f"intensity: found {self.intensity}, expected 0 <= low <= high"
            raise ValueError(msg)
        if not 0 <= self.box[0] < self.box[1] <= 1:
            msg = f"box: found {self.box}, expected 0 <= first < last <= 1"
            raise ValueError(msg)

    def bounds(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """First and last pixel allowed in images (n, 1, H, W), (2,) row and column each."""
        edges = torch.tensor(image.shape[-2:])
        return (self.box[0] * edges).round().long(), torch.minimum((self.box[1] * edges).round().long(), edges - 1)

    def sigma(self, image: Tensor) -> Tensor:
        """The unit of intensity: standard deviation of each fully sampled slice, (n,)."""
        return image.flatten(1).std(1)

    def draw(self, image: Tensor, rng: CaseRandom, start: Tensor | None = None) -> Feature:
        """One random feature an image, on the image's device; at `start` (n, 2) where given, else anywhere in the box."""
        low, high = self.bounds(image)
        anywhere = self.place(image, rng)
        moves = rng.integers(0, 4, max(self.steps - 1, 0))
        values = rng.uniform(*self.intensity, self.steps) * self.sigma(image)[:, None].cpu()
        positions = walk(anywhere if start is None else start, moves, low, high)
        feature = render(positions, values, *image.shape[-2:])
        return Feature(feature.delta.to(image.device), feature.support.to(image.device), feature.start)

    def place(self, image: Tensor, rng: CaseRandom) -> Tensor:
        """A random pixel of the box for each image, row and column, (n, 2)."""
        low, high = self.bounds(image)
        return torch.stack([rng.integers(int(a), int(b)) for a, b in zip(low, high, strict=True)], 1)

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """Per case, what leaves the budget: too many pixels, in pieces, out of the box, too faint or too bright."""
        delta = (attacked.image - batch.image).double()
        sigma = self.sigma(batch.image).double()
        noise = self.tolerance * batch.image.flatten(1).abs().amax(1).double().clamp_min(1e-30)
        support = delta.abs() > noise.view(-1, 1, 1, 1)
        connected = components_connected(support)
        return tuple(self._violation(delta[i, 0], support[i, 0], float(sigma[i]), bool(connected[i])) for i in range(len(batch)))

    def _violation(self, delta: Tensor, support: Tensor, sigma: float, connected: bool) -> str:
        count = int(support.sum())
        if count > self.steps:
            return f"feature of {count} pixels, at most {self.steps} allowed"
        if not count:
            return ""
        rows, columns = torch.nonzero(support, as_tuple=True)
        low, high = self.bounds(support[None, None])
        first, last = torch.stack([rows.min(), columns.min()]).cpu(), torch.stack([rows.max(), columns.max()]).cpu()
        if (first < low).any() or (last > high).any():
            return f"feature spans {first.tolist()} to {last.tolist()}, box is {low.tolist()} to {high.tolist()}"
        faint, bright = float(delta[support].min()) / sigma, float(delta[support].max()) / sigma
        slack = self.tolerance * (1 + self.intensity[1]) * 10
        if faint < self.intensity[0] - slack or bright > self.intensity[1] + slack:
            return f"intensity {faint:.4g} to {bright:.4g} sigma, {self.intensity[0]:g} to {self.intensity[1]:g} allowed"
        return "" if connected else "feature is not connected"
