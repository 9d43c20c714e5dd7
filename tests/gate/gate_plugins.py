"""A classifier so simple that its robustness is known, and targets, attacks, explainers and metrics that each deserve one finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from medrobust.budgets import Norm
from medrobust.digests import digest
from medrobust.metrics.classification import predicted
from medrobust.metrics.norm_bounded import clean_right
from medrobust.randomness import CaseRandom, derive
from medrobust.targets.classification import entropy
from medrobust.types import Attacked, Batch, Case, Data, Explained, Outcome, Target

SIZE = 8


@dataclass(frozen=True)
class GateData:
    """Grey squares whose left half is brighter (class 1) or darker than the right, by twice a margin of up to .1; every sixth is labelled wrongly.

    A change of L-infinity length above its margin turns a case round, and none below does. signed: every second image lies around zero.
    """

    task: ClassVar[str] = "classification"
    label: ClassVar[str] = "gate: two halves"
    intensity_unit: ClassVar[str] = ""
    patients: int = 24
    signed: bool = False

    @property
    def digest(self) -> str:
        return digest(["gate", self.patients, self.signed])

    def cases(self, split: str) -> Sequence[Case]:
        return [Case(f"{split} case {index:03d}", f"{split} patient {index:03d}", f"{split} case {index:03d}") for index in range(self.patients)]

    def load(self, cases: Sequence[Case]) -> Batch:
        images, labels = [], []
        for case in cases:
            generator, index = torch.Generator().manual_seed(derive("gate", case.case)), int(case.case[-3:])
            side = 1 if index % 2 else -1
            texture = 0.3 * (torch.rand(1, SIZE, SIZE, generator=generator) - 0.5)
            left, right = texture[:, :, : SIZE // 2], texture[:, :, SIZE // 2 :]
            margin = 0.005 + 0.095 * torch.rand((), generator=generator)
            centre = 0.0 if self.signed and index % 2 else 0.5
            images.append(centre + torch.cat([left - left.mean() + side * margin, right - right.mean() - side * margin], 2))
            labels.append(int(side > 0) ^ int(index % 6 == 5))
        return Batch(torch.stack(images), torch.tensor(labels), tuple(cases))


@dataclass(frozen=True)
class GateNet:
    """Left half less right half, times a gain: two logits. kind: `honest`, or what is wrong with it."""

    task: ClassVar[str] = "classification"
    kind: str = "honest"

    def build(self) -> nn.Module:
        return Training() if self.kind == "training" else Weighted() if self.kind == "weighted" else Reader(self.kind)


class Reader(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.gain = nn.Parameter(torch.tensor({"certain": 2000.0, "unsure": 0.1}.get(kind, 10.0)))
        self.register_buffer("answers", torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        kind = self.kind
        if kind == "dropout":
            image = nn.functional.dropout(image, 0.3, training=True)
        elif kind == "detached":
            image = image.detach()
        elif kind == "rounding":
            image = (64 * image).round() / 64
        elif kind == "optimising":
            image = image + denoised(image)
        elif kind == "counting":
            self.answers += 1
        few = kind == "brittle"
        left = self.gain * (image[..., :2, :1] if few else image[..., : SIZE // 2]).mean((1, 2, 3))
        right = self.gain * (image[..., :2, -1:] if few else image[..., SIZE // 2 :]).mean((1, 2, 3))
        logits = torch.stack([right - left, left - right], 1)
        if kind == "holed":
            logits = logits + (image - image.detach()).abs().sqrt().mean((1, 2, 3))[:, None]
        if kind == "batch":
            logits = logits - 0.3 * logits.mean(0)
        return logits.softmax(1) if kind == "probabilities" else logits


def denoised(image: Tensor) -> Tensor:
    """A step down the total variation of the image, found by a gradient at inference."""
    with torch.enable_grad():
        step = torch.zeros_like(image, requires_grad=True)
        (slope,) = torch.autograd.grad((image.detach() + step).diff(dim=-1).square().sum(), step)
    return -0.01 * slope.detach()


class Weighted(nn.Module):
    """The honest reader with a weight for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((SIZE, SIZE), 40 / SIZE**2))
        self.weight.data[:, SIZE // 2 :] *= -1

    def forward(self, image: Tensor) -> Tensor:
        difference = (self.weight * image).sum((1, 2, 3))
        return torch.stack([-difference, difference], 1)


class Training(nn.Module):
    """A batch normalisation that cannot be brought to evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.normalisation = nn.BatchNorm2d(1)
        self.reader = Reader("honest")

    def train(self, mode: bool = True) -> Training:
        super().train(True)
        return self

    def forward(self, image: Tensor) -> Tensor:
        return self.reader(self.normalisation(image))


@dataclass(frozen=True, eq=False)
class Noisy:
    """A target that adds noise to what it is asked about, and says so."""

    inner: Target
    stochastic: ClassVar[bool] = True

    @property
    def task(self) -> str:
        return self.inner.task

    @property
    def digest(self) -> str:
        return digest(["noisy", self.inner.digest])

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        return self.logits(image).softmax(1)

    def logits(self, image: Tensor) -> Tensor:
        return self.inner.logits(image + 0.2 * torch.randn_like(image))  # type: ignore[attr-defined]

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        return entropy(self.logits(image), batch.truth)

    def to(self, device: torch.device | str) -> Noisy:
        return Noisy(self.inner.to(device))


@dataclass(frozen=True)
class AddNoise:
    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:
        return Noisy(target)


@dataclass(frozen=True)
class Ascent:
    """Projected gradient ascent that returns its best query. fault: empty for the honest one, or what is wrong with it.

    expectation: gradients averaged a step. restarts: the first from the clean image, others from noise.
    """

    threat: ClassVar[str] = "white-box"
    steps: int = 12
    restarts: int = 1
    expectation: int = 1
    fault: str = ""

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        clean = batch.image
        radius = budget.radius(clean).clamp_max(1.0).view(-1, 1, 1, 1)
        rate = radius / (4 * self.steps if self.fault == "slow" else 4)
        search, ends = Best(clean), []
        for restart in range(self.restarts):
            image = clean if not restart else budget.project(clean + radius * rng.uniform(-1, 1, *clean.shape[1:]), clean)
            sign = -1 if self.fault == "fickle" and restart % 2 else 1
            for _step in range(self.steps):
                slope = sum(self._slope(target, batch, image, search) for _ in range(self.expectation))
                moved = image + sign * rate * torch.sign(torch.as_tensor(slope))
                image = moved if self.fault in ("leaves", "range") else budget.project(moved, clean)
                if self.fault == "range":
                    image = torch.clamp(image, clean - radius, clean + radius)
            self._slope(target, batch, image, search)
            ends.append(search.losses[-1])
        trace = {"loss": torch.stack(search.losses, 1), "success": torch.stack(search.successes, 1)}
        if self.restarts > 1:
            trace["restart"] = torch.stack(ends, 1)
        stays = self.fault == "forgetful" or (self.fault == "timid" and float(radius[0]) > 0.04) or (self.fault == "tired" and self.steps > 12)
        returned = clean if stays else clean + 2 * radius if self.fault == "leaves" else search.image
        return Attacked(returned, trace={} if stays and self.fault != "forgetful" else trace)

    def _slope(self, target: Target, batch: Batch, image: Tensor, search: Best) -> Tensor:
        asked = image.detach().requires_grad_()
        logits = target.logits(asked, batch)  # type: ignore[attr-defined]
        said = predicted(logits.detach().softmax(1))
        loss = entropy(logits, search.first(said) if self.fault == "predicted" else batch.truth)
        search.take(image.detach(), loss.detach(), said != batch.truth, follow=self.fault == "predicted")
        if not loss.requires_grad:
            return torch.zeros_like(image)
        return torch.autograd.grad(loss.sum(), asked)[0]


@dataclass
class Best:
    """The query with the highest loss, wrong answers before right ones; follow: by loss alone."""

    image: Tensor
    losses: list[Tensor] = field(default_factory=list)
    successes: list[Tensor] = field(default_factory=list)
    said: Tensor | None = None

    def __post_init__(self) -> None:
        self.highest = torch.full((len(self.image),), -torch.inf)

    def first(self, said: Tensor) -> Tensor:
        self.said = said if self.said is None else self.said
        return self.said

    def take(self, image: Tensor, loss: Tensor, wrong: Tensor, follow: bool = False) -> None:
        self.losses.append(loss)
        self.successes.append(wrong.double())
        value = loss if follow else loss.clamp_max(1e3) + 1e4 * wrong
        self.image = torch.where((value > self.highest).view(-1, 1, 1, 1), image, self.image)
        self.highest = torch.maximum(self.highest, value)


@dataclass(frozen=True)
class Halves:
    """Tries the two changes that matter to the honest reader by turns, and returns the best. slow: each larger than those before it."""

    threat: ClassVar[str] = "black-box"
    queries: int = 3
    slow: bool = False

    def __call__(self, target: Target, batch: Batch, budget: Norm, rng: CaseRandom) -> Attacked:
        clean, search = batch.image, Best(batch.image)
        radius = budget.radius(clean).clamp_max(1.0).view(-1, 1, 1, 1)
        pattern = torch.ones_like(clean)
        pattern[..., SIZE // 2 :] = -1
        for query in range(self.queries):
            size = query / (self.queries - 1) if self.slow else 1
            image = budget.project(clean + (0, 1, -1)[query % 3] * size * radius * pattern, clean)
            said = target(image, batch)
            search.take(image, -said.gather(1, batch.truth[:, None])[:, 0], predicted(said) != batch.truth)
        return Attacked(search.image, trace={"loss": torch.stack(search.losses, 1), "success": torch.stack(search.successes, 1)})


@dataclass(frozen=True)
class Slope:
    """The gradient of the first logit's share times the image; edges: the image's own edges instead, whatever the target."""

    threat: ClassVar[str] = "white-box"
    edges: bool = False

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:
        if self.edges:
            return Explained(batch.image.diff(dim=-1, append=batch.image[..., -1:]).abs().sum(1))
        asked = batch.image.clone().requires_grad_()
        (slope,) = torch.autograd.grad(target(asked, batch)[:, 0].sum(), asked)
        return Explained((slope * batch.image).sum(1))


@dataclass(frozen=True)
class EveryWrong:
    """`fooled` as many scripts count it: every wrong answer is a success, those to clean images too."""

    name: ClassVar[str] = "fooled"
    unit: ClassVar[str] = ""
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"
    higher_is_better: ClassVar[bool | None] = None

    def __call__(self, outcome: Outcome) -> Tensor:
        return (predicted(outcome.prediction) != outcome.truth).double()


@dataclass(frozen=True)
class OfRight:
    """`correct` of the cases alone that are right when clean, as scripts report it that attack no others."""

    name: ClassVar[str] = "correct"
    unit: ClassVar[str] = ""
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    higher_is_better: ClassVar[bool] = True

    def __call__(self, outcome: Outcome) -> Tensor:
        right = (predicted(outcome.prediction) == outcome.truth).double()
        return torch.where(clean_right(outcome), right, torch.nan)


@dataclass(frozen=True)
class Loss:
    """The loss of what was returned, and the highest of the first queries."""

    name: ClassVar[str] = "gate-loss"
    unit: ClassVar[str] = ""
    worst: ClassVar[float] = 0.0
    per: ClassVar[str] = "case"
    higher_is_better: ClassVar[bool | None] = None

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        returned = -outcome.prediction.gather(1, outcome.truth[:, None])[:, 0].log()
        return {"": returned, "q=5": outcome.attacked.trace["loss"][:, :5].amax(1)}
