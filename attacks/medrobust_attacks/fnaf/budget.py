"""What a false-negative adversarial feature may be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Attacked, Batch
from medrobust_attacks.fnaf.feature import Feature, components_connected, information_loss, region_of, render, walk


@dataclass(frozen=True)
class FeatureBudget:
    """A feature of at most `steps` connected pixels inside a central box, of bounded intensity, that the measurement still holds.

    Source: Cheng et al., MIDL 2020: 10 steps, U(3, 6) standard deviations, the 120x120 centre of 320x320, and the constraint on information,
    which the released code leaves out.

    steps: steps of the walk, so at most as many pixels, 1 or more.
    intensity: lowest and highest intensity added to a pixel, in standard deviations of the fully sampled slice.
    box: first and last row and column of the box, as shares of the image's edge (0.3125 to 0.6875 is 100 to 220 of 320).
    information: least `information_loss` of a feature in its own acquisition, at least 0; 0 allows any.
    tolerance: relative slack of the audit for float32.
    """

    steps: int = 10
    intensity: tuple[float, float] = (3.0, 6.0)
    box: tuple[float, float] = (0.3125, 0.6875)
    information: float = 1e-4
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
        if not 0 <= self.information < float("inf"):
            msg = f"information: found {self.information}, expected a finite number, at least 0"
            raise ValueError(msg)

    def bounds(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """First and last pixel allowed in images (n, 1, H, W), (2,) row and column each."""
        edges = torch.tensor(image.shape[-2:])
        return (self.box[0] * edges).round().long(), torch.minimum((self.box[1] * edges).round().long(), edges - 1)

    def sigma(self, image: Tensor) -> Tensor:
        """The unit of intensity: standard deviation of each fully sampled slice, (n,)."""
        return image.flatten(1).std(1)

    def draw(self, image: Tensor, rng: CaseRandom, start: Tensor | None = None) -> Feature:
        """One random feature an image; at `start` (n, 2) where given, else anywhere in the box."""
        anywhere, moves, intensity = self.numbers(image, rng)
        return self.feature(image, anywhere if start is None else start, moves, intensity)

    def numbers(self, image: Tensor, rng: CaseRandom) -> tuple[Tensor, Tensor, Tensor]:
        """All that is random about one feature an image: start (n, 2), moves (n, steps - 1) in 0..3, intensities (n, steps) in sigma."""
        return self.place(image, rng), rng.integers(0, 4, self.steps - 1), rng.uniform(*self.intensity, self.steps)

    def feature(self, image: Tensor, start: Tensor, moves: Tensor, intensity: Tensor) -> Feature:
        """The features that such numbers make, (n, ...) where numbers of several stand beside each other, (n, ..., steps)."""
        sigma = self.sigma(image).cpu().view(-1, *[1] * (intensity.ndim - 1))
        return render(walk(start, moves, *self.bounds(image)), intensity * sigma, *image.shape[-2:])

    def place(self, image: Tensor, rng: CaseRandom) -> Tensor:
        """A random pixel of the box for each image, row and column, (n, 2)."""
        low, high = self.bounds(image)
        return torch.stack([rng.integers(int(a), int(b)) for a, b in zip(low, high, strict=True)], 1)

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """Per case, what leaves the budget: too many pixels, in pieces, out of the box, too faint or too bright, lost to the measurement.

        And what would make the loss large without a feature: a region that reaches beyond it, another truth, another acquisition than its mask.
        """
        delta = (attacked.image - batch.image).double()
        sigma = self.sigma(batch.image).double()
        noise = self.tolerance * batch.image.flatten(1).abs().amax(1).double().clamp_min(1e-30)
        support = delta.abs() > noise.view(-1, 1, 1, 1)
        connected = components_connected(support)
        visible = self.intensity[0] * sigma > noise
        held = information_loss(attacked.image, batch.image, batch.with_context(**attacked.context))
        return tuple(
            self._violation(delta[i, 0], support[i, 0], float(sigma[i]), bool(connected[i]))
            or self._beside(batch, attacked, i, region_of(support[i : i + 1])[0] if visible[i] else None)
            or (self._lost(float(held[i])) if support[i].any() else "")
            for i in range(len(batch))
        )

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

    def _lost(self, held: float) -> str:
        if held >= self.information * (1 - self.tolerance):
            return ""
        return f"feature of which the measurement holds {held:.3g}, at least {self.information:g} needed"

    def _beside(self, batch: Batch, attacked: Attacked, i: int, reach: Tensor | None) -> str:
        """What is wrong with case `i` beside its image; reach: (1, H, W) of its feature and ring, None where a feature may be too faint to see."""
        if attacked.region is not None:
            region = attacked.region[i]
            count, most = int(region.sum()), 3 * self.steps + 2
            if count > most:
                return f"region of {count} pixels, at most {most} allowed: the feature's and their ring"
            if reach is not None and reach.any() and bool((region & ~reach.to(region.device)).any()):
                return "region reaches beyond the feature and its ring"
        if attacked.truth is not None and not torch.equal(attacked.truth[i], attacked.image[i]):
            return "truth differs from the attacked image, which carries the feature"
        changed = [name for name, tensor in attacked.context.items() if name != "mask" and not same(tensor[i], batch.context[name][i])]
        if changed:
            return f"{changed[0]} of the acquisition changed, only its mask may be redrawn"
        return self._mask(batch, attacked, i)

    @staticmethod
    def _mask(batch: Batch, attacked: Attacked, i: int) -> str:
        """What no redrawing of case `i`'s mask gives: an open centre, or 5 standard deviations fewer columns than the nominal number."""
        own = batch.context["mask"][i].flatten()
        mask = attacked.context["mask"][i].flatten() if "mask" in attacked.context else own
        if torch.equal(mask, own):
            return ""
        acceleration, fraction = batch.context["nominal"][i].tolist()
        width = len(mask)
        low = round(width * fraction)
        start, expected = (width - low + 1) // 2, max(width / acceleration, low)
        spread = ((expected - low) * (1 - (expected - low) / max(width - low, 1))) ** 0.5
        if not bool(mask[start : start + low].all()) or int(mask.sum()) < expected - 5 * spread:
            return f"mask of {int(mask.sum())} columns, expected about {expected:.0f}, the central {low} among them"
        return ""


def same(one: Tensor, other: Tensor) -> bool:
    """Equal to the last bit, NaN with NaN."""
    return torch.equal(one.nan_to_num(), other.nan_to_num()) and torch.equal(one.isnan(), other.isnan())
