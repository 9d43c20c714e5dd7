"""How far anatomy may be moved and intensity may drift, in millimetres and Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from medrobust.imaging.deformation import displacement, folding, warp, warp_labels
from medrobust.types import Attacked, Batch

HALVINGS = 24
"""Of the interval that holds the factor; float32 tells no more of them apart."""


@dataclass(frozen=True)
class DeformationBudget:
    """The slice warped by a field, plus shading: I' = warp(I0, field) + shading, alike to the eye and without torn anatomy.

    Source: Chen et al. 2019, arXiv:1909.11167, eq. 1 and eq. 7; there the norms of field and shading are in the loss and nothing is bounded. The
    largest p of the paper's table 1 is .085.

    p: largest mean of |I' - I0| over the pixels of a slice, in standard deviations of the subject's volume, above 0.
    displacement: largest displacement of a pixel in mm, at least 0; 0 lets nothing move.
    folding: largest fraction of pixels at which the field folds, see `medrobust.imaging.deformation.folding`, in [0, 1].
    shading: largest |shading| of a pixel in HU, at least 0.
    """

    p: float = 0.09
    displacement: float = 20.0
    folding: float = 0.01
    shading: float = 300.0

    def __post_init__(self) -> None:
        for name in ("displacement", "shading"):
            if not 0 <= getattr(self, name) < float("inf"):
                msg = f"{name}: found {getattr(self, name)}, expected a number of at least 0"
                raise ValueError(msg)
        if not 0 < self.p < float("inf"):
            msg = f"p: found {self.p}, expected a number above 0"
            raise ValueError(msg)
        if not 0 <= self.folding <= 1:
            msg = f"folding: found {self.folding}, expected a fraction from 0 to 1"
            raise ValueError(msg)

    def project(self, batch: Batch, field: Tensor | None, shading: Tensor) -> tuple[Tensor | None, Tensor]:
        """Field (n, 2, H, W) in pixels, or None, and shading (n, 1, H, W) in HU, both times the largest factor up to 1 that keeps every limit.

        Neither p nor folding need grow with the factor: where they do not, it is a factor that halving finds, and kept all the same.
        """
        most = self._reach(batch, field, shading)
        whole = self._fits(batch, field, shading, most)
        least, most, first = torch.zeros_like(most), most, most
        for _ in range(0 if bool(whole.all()) else HALVINGS):
            middle = (least + most) / 2
            fits = self._fits(batch, field, shading, middle)
            least, most = torch.where(fits, middle, least), torch.where(fits, most, middle)
        factor = torch.where(whole, first, least).view(-1, 1, 1, 1)
        return None if field is None else field * factor, shading * factor

    def _reach(self, batch: Batch, field: Tensor | None, shading: Tensor) -> Tensor:
        """The largest factor up to 1 under which displacement and shading, which grow with it, keep their limits, (n,)."""
        factor = _factor(self.shading, shading.abs().flatten(1).amax(1))
        if field is None:
            return factor
        return torch.minimum(factor, _factor(self.displacement, displacement(field, batch.context["spacing"]).flatten(1).amax(1)))

    def _fits(self, batch: Batch, field: Tensor | None, shading: Tensor, factor: Tensor) -> Tensor:
        """Whether each case keeps p and folding under its factor, (n,) bool."""
        scale = factor.view(-1, 1, 1, 1)
        moved = batch.image if field is None else warp(batch.image, field * scale)
        fits = perceptibility(moved + shading * scale, batch) <= self.p
        return fits if field is None else fits & (folding(field * scale) <= self.folding)

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        """One entry a case, as the Budget contract says; rounding of float32 is allowed for. Truth moves with the field, and with nothing else."""
        field = attacked.field
        still = torch.zeros(len(batch), dtype=batch.image.dtype, device=batch.image.device)
        far = still if field is None else displacement(field, batch.context["spacing"]).flatten(1).amax(1)
        torn = still if field is None else folding(field)
        shading = attacked.image - (batch.image if field is None else warp(batch.image, field))
        slack = 8 * torch.finfo(batch.image.dtype).eps * (batch.image.abs() + attacked.image.abs()).flatten(1).amax(1)
        found = {
            "p": (perceptibility(attacked.image, batch), self.p, "", slack / batch.context["std"]),
            "displacement": (far, self.displacement, " mm", still),
            "folding": (torn, self.folding, " of the pixels", still),
            "shading": (shading.abs().flatten(1).amax(1), self.shading, " HU", slack),
        }
        lines = _beside(batch, attacked)
        for name, (values, limit, unit, more) in found.items():
            for row, (value, extra) in enumerate(zip(values.tolist(), more.tolist(), strict=True)):
                if not value <= limit * (1 + 1e-5) + extra:
                    lines[row] = lines[row] or f"found {name} {value:.6g}{unit}, allowed {limit:g}"
        return tuple(lines)


def perceptibility(image: Tensor, batch: Batch) -> Tensor:
    """p, the mean of |image - clean image| over the pixels of each case in standard deviations of its subject, (n,). Source: eq. 7."""
    return (image - batch.image).abs().flatten(1).mean(1) / batch.context["std"]


def _factor(limit: float, found: Tensor) -> Tensor:
    """The factor up to 1 that brings what was found down to its limit, (n,)."""
    return torch.where(found > limit, limit / found.clamp_min(torch.finfo(found.dtype).tiny), torch.ones_like(found))


def _beside(batch: Batch, attacked: Attacked) -> list[str]:
    """One entry a case: empty where truth and acquisition are what the field makes of them."""
    if attacked.region is not None or attacked.context:
        return ["region or acquisition were changed, only image, truth and field may be"] * len(batch)
    due = batch.truth if attacked.field is None else warp_labels(batch.truth, attacked.field)
    given = batch.truth if attacked.truth is None else attacked.truth
    return ["" if bool(same) else "truth is not what the field makes of it" for same in (due == given).flatten(1).all(1)]
