"""Training a generator against a frozen target: epoch by epoch, resumable, the best epoch kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medrobust.errors import CellError
from medrobust.files import read_json, write_json
from medrobust.guard import modules
from medrobust.randomness import derive
from medrobust.targets.classification import score
from medrobust.targets.weights import read, write
from medrobust.types import Batch, Case, Data, Target

CHECKPOINT = "checkpoint.safetensors"
HISTORY = "history.json"
Report = Callable[[int, int, float], None]
Figures = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Split:
    """One split of the data before a frozen target; holds no volume.

    name: such as `train`. device: where the target is.
    """

    target: Target
    data: Data
    name: str
    device: torch.device

    @classmethod
    def of(cls, target: Target, data: Data, name: str) -> Split:
        networks = modules(target)
        if any(part.training for network in networks for part in network.modules()):
            msg = "training: found a target in training mode, expected one in evaluation mode"
            raise ValueError(msg)
        parameters = (parameter for network in networks for parameter in network.parameters())
        return cls(target, data, name, next((parameter.device for parameter in parameters), torch.device("cpu")))

    def cases(self) -> list[Case]:
        """All cases of the split, at least one."""
        found = list(self.data.cases(self.name))
        if not found:
            msg = f"training: found no case in split '{self.name}', expected at least one"
            raise ValueError(msg)
        return found

    def load(self, cases: Sequence[Case]) -> Batch:
        return self.data.load(cases).to(self.device)

    def probability(self, image: Tensor, batch: Batch) -> Tensor:
        """Probability of class 1, (n,), with its graph."""
        return score(self.target(image, batch))

    @torch.no_grad()
    def clean(self, cases: Sequence[Case]) -> dict[str, Tensor]:
        """Probability of class 1 of unchanged cases by their names, each ()."""
        batches = (self.load([case]) for case in cases)
        return {batch.cases[0].case: self.probability(batch.image, batch)[0] for batch in batches}


def shuffled(count: int, size: int, seed: int, epoch: int) -> list[list[int]]:
    """Numbers 0, ..., count - 1 in the order of that epoch, `size` at a time."""
    order = torch.randperm(count, generator=torch.Generator().manual_seed(derive(seed, "epoch", epoch))).tolist()
    return [order[start : start + size] for start in range(0, count, size)]


@dataclass
class Progress:
    """epoch: how many are done. kept: weights of the best of them. history: figures of each."""

    epoch: int = 0
    kept: dict[str, Tensor] = field(default_factory=dict)
    history: list[Figures] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Training:
    """What is trained, and how.

    losses: of an epoch counted from 0, one at a time, each with its graph and after the step that the last one led to.
    assess: figures of the network as it stands, plain data; their `loss` chooses the best epoch, without one the last epoch is kept.
    steps: losses of an epoch. folder: a checkpoint after every epoch and `history.json` go there, and training continues from them.
    """

    network: nn.Module
    losses: Callable[[int], Iterator[Tensor]]
    assess: Callable[[], Figures]
    epochs: int
    steps: int
    learning_rate: float
    folder: Path
    report: Report

    def run(self) -> dict[str, Tensor]:
        """The weights of the best epoch, on the CPU. A loss that is not finite stops the training with one line."""
        optimiser = torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)
        progress = self._restore(optimiser)
        for epoch in range(progress.epoch, self.epochs):
            mean = self._epoch(epoch, optimiser)
            self.network.eval()
            figures = self.assess()
            progress.history.append({"epoch": epoch + 1, "training loss": mean, **figures})
            progress.epoch = epoch + 1
            if self._is_best(progress):
                progress.kept = {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}
            self._save(progress, optimiser)
        return progress.kept

    def _is_best(self, progress: Progress) -> bool:
        """Whether the last epoch is the one to keep, which is noted."""
        loss = progress.history[-1].get("loss")
        if loss is None:
            return True
        self._require_finite(loss, f"validation after epoch {progress.epoch}")
        found = min(progress.history, key=lambda figures: figures["loss"])["epoch"] == progress.epoch
        return bool(found)

    def _epoch(self, epoch: int, optimiser: torch.optim.Optimizer) -> float:
        """One pass over the training examples; the mean loss."""
        total = 0.0
        self.network.train()
        for step, loss in enumerate(self.losses(epoch)):
            value = float(loss.detach())
            self._require_finite(value, f"epoch {epoch + 1}, step {step + 1}")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            total += value
            self.report(epoch * self.steps + step + 1, self.epochs * self.steps, value)
        return total / self.steps

    def _require_finite(self, loss: float, where: str) -> None:
        if not math.isfinite(loss):
            msg = f"training diverged: found loss {loss} at {where}, expected a finite number; lower learning_rate, now {self.learning_rate:g}"
            raise CellError(msg)

    def _save(self, progress: Progress, optimiser: torch.optim.Optimizer) -> None:
        """History first: what it has beyond the checkpoint is dropped when training goes on from there."""
        write_json(self.folder / HISTORY, progress.history)
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        tensors |= {f"kept.{name}": tensor for name, tensor in progress.kept.items()}
        for index, state in optimiser.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
        write(self.folder / CHECKPOINT, {**tensors, "epoch": torch.tensor(progress.epoch)}, half=False)

    def _restore(self, optimiser: torch.optim.Optimizer) -> Progress:
        """Where the checkpoint of the folder stands; the start where there is none."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return Progress()
        tensors = read(path)

        def part(prefix: str) -> dict[str, Tensor]:
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

        self.network.load_state_dict(part("network."))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part("adam.").items():
            index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        epoch = int(tensors["epoch"])
        return Progress(epoch, part("kept."), read_json(self.folder / HISTORY)[:epoch])


def require_schedule(epochs: int, batch: int, learning_rate: float) -> None:
    for name, value in (("epochs", epochs), ("batch", batch)):
        if value < 1:
            msg = f"{name}: found {value}, expected at least 1"
            raise ValueError(msg)
    if not 0 < learning_rate < float("inf"):
        msg = f"learning_rate: found {learning_rate}, expected a number above 0"
        raise ValueError(msg)
