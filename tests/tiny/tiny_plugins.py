"""Plugins small enough to test the runner with: 32x32 images, four patients of three slices."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from medrobust.digests import digest
from medrobust.guard import modules
from medrobust.randomness import CaseRandom, derive
from medrobust.types import Attacked, Batch, Budget, Case, Data, Explained, Outcome, Target


@dataclass(frozen=True)
class TinyData:
    """Smooth random images with phase and mask; `log` is a file that every loaded case is noted in."""

    task: ClassVar[str] = "reconstruction"
    label: ClassVar[str] = "tiny: random images"
    size: int = 32
    keep: float = 0.5
    patients: int = 4
    scale: tuple[float, float] = (0.0, 1.0)
    log: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            msg = f"keep: found {self.keep}, expected a number in (0, 1]"
            raise ValueError(msg)

    @property
    def digest(self) -> str:
        return digest(["tiny", self.size, self.keep, self.patients, self.scale])

    def cases(self, split: str) -> Sequence[Case]:
        slices = product(range(self.patients), range(3))
        whose = "" if split == "test" else f"{split} "
        return [Case(f"{split}{patient}#{index}", f"{whose}patient {patient}", f"{split}{patient}") for patient, index in slices]

    def load(self, cases: Sequence[Case]) -> Batch:
        if self.log:
            with Path(self.log).open("a") as file:
                file.writelines(f"{case.case}\n" for case in cases)
        images, masks = [], []
        for case in cases:
            generator = torch.Generator().manual_seed(derive("tiny", case.case))
            images.append(nn.functional.avg_pool2d(torch.rand(1, 1, self.size, self.size, generator=generator), 3, 1, 1)[0])
            masks.append(torch.rand(1, 1, self.size, generator=generator) < self.keep)
        image = self.scale[0] + (self.scale[1] - self.scale[0]) * torch.stack(images)
        return Batch(image, image, tuple(cases), {"phase": torch.zeros_like(image), "mask": torch.stack(masks)})


@dataclass(frozen=True)
class TinyBudget:
    """Pixels move by at most `radius`, positive."""

    radius: float = 0.1

    def __post_init__(self) -> None:
        if not self.radius > 0:
            msg = f"radius: found {self.radius}, expected a positive number"
            raise ValueError(msg)

    def audit(self, batch: Batch, attacked: Attacked) -> tuple[str, ...]:
        moved = (attacked.image - batch.image).abs().flatten(1).amax(1)
        return tuple("" if one <= self.radius * 1.0001 else f"found a change of {one:.3g}, allowed {self.radius:.3g}" for one in moved.tolist())


@dataclass(frozen=True)
class Search:
    """Keep the worst of `draws` random changes; `pause` seconds a batch; `die` is a file that says after how many batches to die."""

    threat: ClassVar[str] = "black-box"
    draws: int = 3
    pause: float = field(default=0.0, compare=False)
    die: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if self.draws < 1:
            msg = f"draws: found {self.draws}, expected 1 or more"
            raise ValueError(msg)

    @property
    def queries(self) -> int:
        return self.draws

    def __call__(self, target: Target, batch: Batch, budget: TinyBudget, rng: CaseRandom) -> Attacked:
        time.sleep(self.pause)
        if self.die and Path(self.die).exists():
            left = int(Path(self.die).read_text())
            if not left:
                Path(self.die).unlink()
                os.kill(os.getpid(), 9)
            Path(self.die).write_text(str(left - 1))
        best, highest, trace = batch.image, torch.full((len(batch),), -1.0), []
        for _ in range(self.draws):
            image = batch.image + rng.uniform(0, budget.radius, *batch.image.shape[1:])
            loss = target.loss(image, batch)
            trace.append(loss)
            better = (loss > highest).view(-1, 1, 1, 1)
            best, highest = torch.where(better, image, best), torch.maximum(loss, highest)
        region = torch.ones_like(batch.image, dtype=torch.bool)
        return Attacked(best, best, region, {"mask": batch.context["mask"]}, {"loss": torch.stack(trace, 1)})


@dataclass(frozen=True)
class Gradient:
    """One signed gradient step."""

    threat: ClassVar[str] = "white-box"
    gradients: ClassVar[int] = 1

    def __call__(self, target: Target, batch: Batch, budget: TinyBudget, rng: CaseRandom) -> Attacked:
        image = batch.image.clone().requires_grad_()
        (slope,) = torch.autograd.grad(target.loss(image, batch).sum(), image)
        moved = (image.detach() + budget.radius * slope.sign()).clamp_min(0)
        return Attacked(moved, moved)


@dataclass(frozen=True)
class Raises:
    """Fails on the case `case`, on every case where that is empty."""

    threat: ClassVar[str] = "black-box"
    case: str = ""

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        if not self.case or any(case.case == self.case for case in batch.cases):
            msg = "no such luck\non two lines"
            raise ValueError(msg)
        return Attacked(batch.image)


@dataclass(frozen=True)
class Interrupts:
    """Ctrl-C on the case `case`."""

    threat: ClassVar[str] = "black-box"
    case: str = "test1#1"

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        if any(case.case == self.case for case in batch.cases):
            raise KeyboardInterrupt
        return Attacked(batch.image)


@dataclass(frozen=True)
class Returns:
    """Something that the contract rules out."""

    threat: ClassVar[str] = "black-box"
    what: str = "shape"

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        image, mask = batch.image, batch.context["mask"]
        return {
            "shape": Attacked(image[:, :, 1:]),
            "type": Attacked(image.double()),
            "nan": Attacked(image / 0 * 0),
            "region": Attacked(image, region=image),
            "truth": Attacked(image, truth=image[:1]),
            "context": Attacked(image, context={"masc": mask}),
            "trace": Attacked(image, trace={"loss": torch.zeros(len(batch))}),
        }[self.what]


@dataclass(frozen=True)
class Leaves:
    """Takes twice what the budget allows, `below` zero where asked."""

    threat: ClassVar[str] = "black-box"
    factor: float = 2.0

    def __call__(self, target: Target, batch: Batch, budget: TinyBudget, rng: CaseRandom) -> Attacked:
        return Attacked(batch.image + self.factor * budget.radius)


@dataclass(frozen=True)
class Hides:
    """Tries a change that hurts, and returns the clean image."""

    threat: ClassVar[str] = "black-box"

    def __call__(self, target: Target, batch: Batch, budget: TinyBudget, rng: CaseRandom) -> Attacked:
        loss = target.loss(batch.image + rng.uniform(0, budget.radius, *batch.image.shape[1:]), batch)
        return Attacked(batch.image, trace={"loss": loss[:, None]})


@dataclass(frozen=True)
class Trains:
    """Changes the target's weights, mode or hooks."""

    threat: ClassVar[str] = "white-box"
    what: str = "weights"

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        network = modules(target)[0]
        if self.what == "weights":
            next(iter(network.parameters())).data.add_(1)
        elif self.what == "mode":
            network.train()
        else:
            network.register_forward_hook(lambda *_: None)
        return Attacked(batch.image)


@dataclass(frozen=True)
class Peeks:
    """Says that it is black-box, and asks for a gradient."""

    threat: ClassVar[str] = "black-box"

    def __call__(self, target: Target, batch: Batch, budget: Budget, rng: CaseRandom) -> Attacked:
        with torch.enable_grad():
            image = batch.image.clone().requires_grad_()
            (slope,) = torch.autograd.grad(target.loss(image, batch).sum(), image)
        return Attacked(image.detach() + slope)


@dataclass(frozen=True)
class Explains:
    """Relevance of each quadrant: how far the answer moves where it is blanked, with a draw added; `what` is a map that the contract rules out."""

    threat: ClassVar[str] = "black-box"
    noise: float = 0.0
    what: str = ""

    @property
    def queries(self) -> int:
        return 5

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:
        n, _, height, width = batch.image.shape
        rows, columns = torch.arange(height) >= height // 2, torch.arange(width) >= width // 2
        regions = (2 * rows[:, None] + columns[None]).long().expand(n, -1, -1)
        clean, relevance = target(batch.image, batch), torch.zeros(n, height, width)
        for region in range(4):
            inside = regions == region
            moved = (target(torch.where(inside[:, None], 0, batch.image), batch) - clean).abs().flatten(1).mean(1)
            relevance += inside * (moved + self.noise * rng.uniform(0, 1))[:, None, None]
        bad = {"shape": relevance[:, 1:], "type": relevance.double(), "nan": relevance / 0}
        return Explained(bad.get(self.what, relevance), regions + (-1 if self.what == "regions" else 0))


@dataclass(frozen=True)
class Fitted:
    """A constant map that is trained: the mean of the target's answers to the training cases, to which the seed is added.

    log: a file that every training is noted in. die: stops there once.
    """

    threat: ClassVar[str] = "white-box"
    gain: float = 1.0
    shift: float = 0.0
    weights: Mapping[str, Tensor] = field(default_factory=dict, compare=False)
    log: str = field(default="", compare=False)
    die: str = field(default="", compare=False)

    @property
    def recipe(self) -> Mapping[str, Any]:
        return {"name": "tiny-mean", "gain": self.gain}

    def fit(self, target: Target, data: Data, seed: int, folder: Path, report: Callable[[int, int, float], None]) -> Mapping[str, Tensor]:
        if self.log:
            with Path(self.log).open("a") as file:
                file.write(f"{seed}\n")
        batch = data.load(data.cases("train")[:2])
        report(1, 2, 0.5)
        if self.die and Path(self.die).exists():
            Path(self.die).unlink()
            msg = "the training stops here"
            raise RuntimeError(msg)
        return {"mean": self.gain * target(batch.image, batch).mean() + seed % 1000}

    def __call__(self, target: Target, batch: Batch, rng: CaseRandom) -> Explained:
        assert isinstance(target.network, nn.Module)  # type: ignore[attr-defined]
        target.count(forward=0.25 * len(batch))  # type: ignore[attr-defined]
        return Explained(torch.zeros(len(batch), *batch.image.shape[2:]) + self.weights["mean"] + self.shift)


@dataclass(frozen=True)
class FittedAttack(Fitted):
    """Adds a trained constant, as far as the budget goes."""

    def __call__(self, target: Target, batch: Batch, budget: TinyBudget, rng: CaseRandom) -> Attacked:  # type: ignore[override]
        return Attacked(batch.image + self.weights["mean"].clamp(0, budget.radius))


@dataclass(frozen=True)
class Agreement:
    """How far a map moves: under another seed, on shuffled weights; and the target's answer once more."""

    name: ClassVar[str] = "tiny-agreement"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        assert outcome.explained is not None
        assert outcome.target is not None
        assert outcome.again is not None
        own = outcome.explained.relevance
        others = {"same": outcome.again(), "seed": outcome.again(seed=1), "shuffled": outcome.again(randomised=True)}
        assert outcome.again(seed=1) is others["seed"], "metrics share what is explained again"
        moved = {name: (other.relevance - own).abs().flatten(1).mean(1) for name, other in others.items()}
        answer = outcome.target(outcome.batch.image, outcome.batch)
        return {**moved, "map": own.flatten(1).mean(1), "answer": (answer - outcome.prediction).abs().flatten(1).amax(1)}


@dataclass(frozen=True)
class Smoothed:
    """A target that averages 3x3 pixels of its answer."""

    inner: Target

    @property
    def task(self) -> str:
        return self.inner.task

    @property
    def digest(self) -> str:
        return digest(["smoothed", self.inner.digest])

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        return nn.functional.avg_pool2d(self.inner(image, batch), 3, 1, 1)

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        return (self(image, batch) - image).square().flatten(1).mean(1)

    def to(self, device: torch.device | str) -> Smoothed:
        return Smoothed(self.inner.to(device))


@dataclass(frozen=True)
class Smooth:
    """Averages the target's answer."""

    def __call__(self, target: Target, data: Data, rng: torch.Generator) -> Target:
        return Smoothed(target)


@dataclass(frozen=True)
class Error:
    """Mean squared error of each case; with a trace also the best of the first queries. The first slice of patient 0 has none."""

    name: ClassVar[str] = "tiny-error"
    unit: ClassVar[str] = "a.u."
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Mapping[str, Tensor]:
        error = (outcome.prediction - outcome.truth).square().flatten(1).mean(1)
        skipped = torch.tensor([case.case.endswith("0#0") for case in outcome.batch.cases])
        values = {"": error, "seen": torch.where(skipped, torch.nan, error)}
        if "loss" in outcome.attacked.trace:
            trace = outcome.attacked.trace["loss"]
            values["q=1"] = error * trace[:, 0] / trace.amax(1)
            values[f"q={trace.shape[1]}"] = error if trace.shape[1] > 1 else error + trace[:, 0]
        return values


@dataclass(frozen=True)
class Volume:
    """Mean squared error of a whole group."""

    name: ClassVar[str] = "tiny-volume"
    unit: ClassVar[str] = "a.u."
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "group"

    def __call__(self, outcome: Outcome) -> Tensor:
        assert len(outcome.batch) == 3
        return (outcome.prediction - outcome.truth).square().mean().view(1)


@dataclass(frozen=True)
class Infinite:
    """Not a number that can be stored."""

    name: ClassVar[str] = "tiny-infinite"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = False
    worst: ClassVar[float] = 1.0
    per: ClassVar[str] = "case"

    def __call__(self, outcome: Outcome) -> Tensor:
        return torch.full((len(outcome.batch),), torch.inf)
