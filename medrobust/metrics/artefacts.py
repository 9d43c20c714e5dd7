"""What a generator left in a mammogram: a lattice, change in and beside the lesion, and the texture that sets of images are compared by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from medrobust.imaging.spectrum import band_powers, grid_index, local_grid_index
from medrobust.metrics.maps import context_of
from medrobust.types import Outcome

BANDS = 11


@dataclass(frozen=True)
class GridIndex:
    """How far a lattice of period four stands out of the image's spectrum, in dB: about 0 without one, tens with a visible one.

    Source: this project, see `medrobust.imaging.spectrum.grid_index`; peaks of upsampling layers as in Durall et al. 2020, arXiv:2003.01826.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    name: ClassVar[str] = "grid-index"
    unit: ClassVar[str] = "dB"
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return grid_index(outcome.attacked.image)


@dataclass(frozen=True)
class LocalGridIndex:
    """The grid index of the 64 x 64 pixels where it is highest, in dB: a lattice that an eye finds in one place and the whole spectrum hides.

    Source: this project, see `medrobust.imaging.spectrum.local_grid_index`.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    name: ClassVar[str] = "local-grid-index"
    unit: ClassVar[str] = "dB"
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return local_grid_index(outcome.attacked.image)


@dataclass(frozen=True)
class Change:
    """Mean absolute change over the pixels, in the image's intensity.

    Source: none needed.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    name: ClassVar[str] = "change"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        """(n,)."""
        return changed(outcome).flatten(1).mean(1)


@dataclass(frozen=True)
class ChangeInLesion:
    """Share of the absolute change that lies within the lesion's outline, and the outline's share of the breast.

    Where they are alike, the change is spread; where the first is near 1, it is confined to the lesion. NaN where there is no outline, and the share
    of change where nothing changed.

    Source: this project; what it asks is asked of difference maps by eye in Becker et al. 2019, doi:10.1016/j.ejrad.2019.108649.

    margin: pixels by which the outline is widened in every direction, at least 0.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    name: ClassVar[str] = "change-in-lesion"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    margin: int = 4

    def __post_init__(self) -> None:
        if self.margin < 0:
            msg = f"margin: found {self.margin}, expected at least 0"
            raise ValueError(msg)

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) labelled `change` and `area`, in [0, 1]."""
        lesion, breast = (context_of(outcome, name).double() for name in ("lesion", "breast"))
        widened = max_pool2d(lesion, 2 * self.margin + 1, stride=1, padding=self.margin) > 0
        whole = (breast > 0) | widened
        known = widened.flatten(1).any(1)
        change = changed(outcome).to(lesion.device)
        found = (change * widened).flatten(1).sum(1) / change.flatten(1).sum(1)
        area = widened.flatten(1).sum(1).double() / whole.flatten(1).sum(1)
        return {"change": found.where(known, torch.nan), "area": area.where(known, torch.nan)}


@dataclass(frozen=True)
class Texture:
    """Sixteen features of an image by which sets of images are compared: power of eleven half-octave bands, and five moments within the breast.

    Source: this project. Features of networks trained on photographs say little of mammograms; these need no weights. Distances between sets are
    `medrobust.stats.frechet` and `medrobust.stats.kernel_distance`.
    """

    task: ClassVar[str] = "classification"
    images: ClassVar[str] = "mammograms"
    name: ClassVar[str] = "texture"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool | None] = None
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        """(n,) labelled `band 01` (the highest frequencies, in dB) to `band 11`, `mean`, `sd`, `skewness`, `kurtosis` and `slope`."""
        image = outcome.attacked.image.cpu()
        bands = band_powers(image, BANDS).unbind(1)
        return {**{f"band {number:02d}": values for number, values in enumerate(bands, 1)}, **moments(image, context_of(outcome, "breast"))}


def changed(outcome: Outcome) -> Tensor:
    """|image - clean|, (n, 1, H, W) float64."""
    return (outcome.attacked.image - outcome.batch.image).double().abs()


def moments(image: Tensor, breast: Tensor) -> dict[str, Tensor]:
    """Moments of the intensity within the breast and the mean length of its slope, (n,) each; NaN where that is empty, or too flat to standardise."""
    values, where = image.double().flatten(1), (breast > 0).flatten(1)
    count = where.sum(1)

    def mean(tensor: Tensor) -> Tensor:
        return (tensor * where).sum(1) / count

    centre = mean(values)
    away = values - centre[:, None]
    sd = mean(away.square()).sqrt()
    down, across = torch.gradient(image.double()[:, 0], dim=(1, 2))
    return {
        "mean": centre,
        "sd": sd,
        "skewness": mean(away**3) / sd**3,
        "kurtosis": mean(away**4) / sd**4,
        "slope": mean((down.square() + across.square()).sqrt().flatten(1)),
    }
