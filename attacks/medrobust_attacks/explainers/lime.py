"""LIME on superpixels of a volume: a weighted linear model of the classifier's answers to volumes with superpixels hidden."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from medrobust.randomness import CaseRandom
from medrobust.types import Batch, Explained, Target
from medrobust_attacks.explainers.asking import ask, at_once, predicted, probability
from medrobust_attacks.explainers.partitioned import Partitioned
from medrobust_attacks.fnaf.finite_differences import at_least


def cosine(samples: Tensor) -> Tensor:
    """Cosine distance (samples,) of binary vectors (samples, K) to the vector of ones; 1 for the vector of zeros."""
    return 1 - samples.double().mean(1).sqrt()


def equal(samples: Tensor) -> Tensor:
    """No distance at all: every sample weighs the same."""
    return torch.zeros(len(samples), dtype=torch.double, device=samples.device)


KERNELS: dict[str, Callable[[Tensor], Tensor]] = {"cosine": cosine, "equal": equal}


@dataclass(frozen=True)
class LIME(Partitioned):
    """Hide random halves of the superpixels, fit a ridge regression to the probability of the predicted class, and take its coefficients.

    Source: Ribeiro et al. 2016, arXiv:1602.04938, with the choices of its authors' `lime_image`: first sample whole, kernel
    sqrt(exp(-d^2 / width^2)) on the cosine distance d of binary vectors, ridge penalty 1 with an intercept. In 3-D with hide value 0 and 1000
    samples as in Rajapaksa & Khalvati 2022, doi:10.3389/fradi.2022.1061402, section 3.6. A superpixel whose presence speaks against the
    predicted class is below 0.

    sequence, segments, compactness, iterations, half: the superpixels, see `medrobust.imaging.superpixels.Superpixels`.
    samples: volumes asked for each case, at least 1; one forward pass each.
    hide: intensity of a hidden superpixel in every sequence.
    kernel: distance that samples are weighted by: cosine, or equal for no weighting.
    width: width of the kernel, at least 0.001.
    alpha: ridge penalty, at least 1e-6.
    chunk: volumes built at once, at least 1; changes nothing but memory.
    """

    threat: ClassVar[str] = "black-box"
    samples: int = 1000
    hide: float = 0.0
    kernel: str = "cosine"
    width: float = 0.25
    alpha: float = 1.0
    chunk: int = field(default=8, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least((("samples", self.samples, 1), ("chunk", self.chunk, 1), ("width", self.width, 1e-3), ("alpha", self.alpha, 1e-6)))
        if self.kernel not in KERNELS:
            msg = f"kernel: found {self.kernel!r}, expected one of {', '.join(KERNELS)}"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        """Forward passes a case."""
        return self.samples

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:
        """Explain every case by itself, `chunk` samples at a time."""
        regions, maps = self.regions(batch), []
        for case, labels in enumerate(regions):
            samples = draw(rng.generators[case], self.samples, int(labels.max()) + 1).to(labels.device)
            versions = hidden(batch.image[case], labels, samples, self.hide, at_once(target, self.chunk))
            answers = torch.cat([ask(target, batch, case, images) for images in versions])
            weights = (-(KERNELS[self.kernel](samples) ** 2) / (2 * self.width**2)).exp()
            coefficients = ridge(samples, probability(answers, predicted(answers[:1])), weights, self.alpha)
            maps.append(coefficients.float()[labels])
        return Explained(torch.stack(maps), regions)


def hidden(image: Tensor, labels: Tensor, samples: Tensor, value: float, size: int) -> Iterator[Tensor]:
    """The versions (m, c, *space) of `image` (c, *space) in which the superpixels that are False in `samples` (N, K) have `value`, `size` at a time.

    All pieces lie in one memory: each is gone when the next is asked for. They are made by products, which take a tenth of the time of a choice
    voxel by voxel.
    """
    places = labels.flatten()
    kept, images = image.new_empty(size, len(places)), image.new_empty(size, *image.shape)
    for part in torch.split(samples.to(image.dtype), size):
        keep = torch.index_select(part, 1, places, out=kept[: len(part)]).view(len(part), 1, *labels.shape)
        some = torch.mul(image, keep, out=images[: len(part)])
        yield some.add_(value * (1 - keep)) if value else some


def draw(generator: torch.Generator, samples: int, features: int) -> Tensor:
    """Fair coins (samples, features) bool; the first row is all True."""
    drawn = torch.randint(0, 2, (samples, features), generator=generator).bool()
    drawn[0] = True
    return drawn


def ridge(samples: Tensor, answers: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """Coefficients (K,) float64 of the weighted ridge regression with a free intercept of answers (N,) on samples (N, K); all 0 for equal answers."""
    x, y, w = samples.double(), answers.double() - answers[0].double(), weights.double()
    x, y = x - (w @ x) / w.sum(), y - (w @ y) / w.sum()
    penalty = alpha * torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    coefficients: Tensor = torch.linalg.solve(x.T @ (w[:, None] * x) + penalty, x.T @ (w * y))
    return coefficients
