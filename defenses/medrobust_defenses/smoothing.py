"""Randomised smoothing: a classifier answers for images with Gaussian noise, and says how far its answer is certain to hold."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from medrobust.digests import digest
from medrobust.metrics.classification import predicted
from medrobust.randomness import derive
from medrobust.targets.classification import ClassificationTarget
from medrobust.types import Batch, Case, Data, Target
from medrobust_defenses.fine_tuning import classifier

NAME = "randomised-smoothing"
TOGETHER = 64
"""Noisy images that go through the network at once."""


@dataclass(frozen=True)
class RandomisedSmoothing:
    """Answer with the mean probability over draws of Gaussian noise about the image.

    Source: Cohen et al. 2019, arXiv:1902.02918, whose vote of classes is what `certified-radius` counts; the mean of probabilities, which has a
    gradient, as in Salman et al. 2019, arXiv:1906.04584, section 2.2. A classifier that has not seen such noise in its training answers badly.

    A case has draws of its own, the same at every question, whatever stands beside it: the target is a fixed function of the image, not a stochastic
    one, and an attack's gradient is exactly its own. An attack can fit these draws; the certificate is drawn independently of them.

    sigma: standard deviation of the noise, in the data's intensity units, above 0.
    samples: draws of an answer, each a pass of the network, at least 1.
    """

    task: ClassVar[str] = "classification"
    sigma: float = 0.1
    samples: int = 32

    def __post_init__(self) -> None:
        if not 0 < self.sigma < math.inf:
            msg = f"sigma: found {self.sigma}, expected a number above 0"
            raise ValueError(msg)
        if self.samples < 1:
            msg = f"samples: found {self.samples}, expected at least 1"
            raise ValueError(msg)

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:  # noqa: ARG002 - one signature for all defenses
        """The smoothed classifier; its draws are those of one seed from `rng`."""
        plain, seed = classifier(target, NAME), int(torch.randint(2**31, (1,), generator=rng))
        return Smoothed(plain, self.sigma, self.samples, seed, digest([plain.digest, {"defense": NAME, "seed": seed, **asdict(self)}]))


@dataclass(frozen=True, eq=False)
class Smoothed:
    """A classifier under noise.

    target: the classifier itself. sigma, samples: as in `RandomisedSmoothing`. seed: of all draws. digest: identity of it all.
    Counted passes are whole answers, `samples` passes of the network each.
    """

    target: ClassificationTarget
    sigma: float
    samples: int
    seed: int
    digest: str
    task: str = "classification"
    stochastic: ClassVar[bool] = False

    @property
    def network(self) -> nn.Module:
        """The classifier's own network, which knows of no noise."""
        return self.target.network

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        """Mean probabilities, (n, 1) of class 1 where the network has one logit, else (n, k)."""
        return torch.stack([likely(logits).exp()[:, -logits.shape[1] :].mean(0) for logits in self._answers(image, batch)])

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of the mean probability against `batch.truth` (n,) in nats, (n,)."""
        logs = [likely(logits)[:, truth] for logits, truth in zip(self._answers(image, batch), batch.truth.tolist(), strict=True)]
        return torch.stack([math.log(self.samples) - log.logsumexp(0) for log in logs])

    def to(self, device: torch.device | str) -> Smoothed:
        """A copy on `device`; the original stays where it is."""
        return replace(self, target=self.target.to(device))

    def votes(self, image: Tensor, batch: Batch, draws: int, stream: str) -> Tensor:
        """For how many of `draws` draws each class is the likeliest, (n, k) int64 on the CPU, k at least 2; streams are independent of each other."""
        counts = []
        with torch.no_grad():
            for one, case in zip(image, batch.cases, strict=True):
                classes = [likely(logits) for logits in self._noisy(one, case, draws, stream)]
                counts.append(torch.cat([predicted(logs.exp()).bincount(minlength=logs.shape[1])[None] for logs in classes]).sum(0).cpu())
        return torch.stack(counts)

    def _answers(self, image: Tensor, batch: Batch) -> Iterator[Tensor]:
        """The logits of every draw of a case, (samples, k), case by case."""
        for one, case in zip(image, batch.cases, strict=True):
            yield torch.cat(list(self._noisy(one, case, self.samples, "answer")))

    def _noisy(self, image: Tensor, case: Case, draws: int, stream: str) -> Iterator[Tensor]:
        """Logits of an image (c, *space) under `draws` draws of noise, a few draws at a time; the draws are those of the case and the stream."""
        generator = torch.Generator().manual_seed(derive(self.seed, stream, case.case))
        for start in range(0, draws, TOGETHER):
            noise = torch.randn((min(TOGETHER, draws - start), *image.shape), generator=generator)
            yield self.target.logits(image + self.sigma * noise.to(image))


def likely(logits: Tensor) -> Tensor:
    """Log-probabilities of all classes, (n, k) with k at least 2, of logits (n, 1) or (n, k)."""
    return torch.cat([logsigmoid(-logits), logsigmoid(logits)], 1) if logits.shape[1] == 1 else logits.log_softmax(1)
