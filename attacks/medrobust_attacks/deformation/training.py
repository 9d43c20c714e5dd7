"""Two networks against each other, step by step: resumable to the last bit, and stopped with one line where they diverge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from medrobust.errors import CellError
from medrobust.files import read_json, write_json
from medrobust.targets.weights import read, write
from medrobust_attacks.perturbation.training import CHECKPOINT, HISTORY, Figures, Report

DECAY, EPSILON = 0.9, 1e-10
"""Of RMSProp. Source: Chen et al. 2019, arXiv:1909.11167, section 3.3; here epsilon is added outside the root, in TensorFlow 1 it was inside."""

CRITIC, TOTAL = "critic", "loss"


@dataclass
class Progress:
    """step: how many are done. history: figures at each checkpoint."""

    step: int = 0
    history: list[Figures] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Duel:
    """What is trained, and how.

    generator, critic: the networks, in training mode during steps. hold: what is done to the critic after each of its updates.
    criticise: losses of the critic that precede the generator's in a step counted from 0, each with its graph and after the last one's update.
    generate: named terms of the generator's loss in that step, each (), to be added up. assess: figures of the networks in evaluation mode.
    steps: updates of the generator. interval: steps from one checkpoint, with its figures, to the next; the last step has one too.
    learning_rate: of RMSProp, for both. explode: |loss| of the critic from which on the training has diverged.
    folder: `checkpoint.safetensors` and `history.json` go there, and training continues from them.
    """

    generator: nn.Module
    critic: nn.Module
    hold: Callable[[nn.Module], None]
    criticise: Callable[[int], Iterable[Tensor]]
    generate: Callable[[int], Mapping[str, Tensor]]
    assess: Callable[[], Figures]
    steps: int
    interval: int
    learning_rate: float
    explode: float
    folder: Path
    report: Report

    def run(self) -> dict[str, Tensor]:
        """The generator's weights after the last step, on the CPU."""
        optimisers = {
            name: torch.optim.RMSprop(network.parameters(), lr=self.learning_rate, alpha=DECAY, eps=EPSILON)
            for name, network in self._networks.items()
        }
        progress = self._restore(optimisers)
        sums: dict[str, float] = {}
        while progress.step < self.steps:
            figures = self._step(progress.step, optimisers)
            progress.step += 1
            self.report(progress.step, self.steps, figures[TOTAL])
            sums = {name: sums.get(name, 0.0) + value for name, value in figures.items()}
            if progress.step % self.interval == 0 or progress.step == self.steps:
                done = progress.step - (progress.history[-1]["step"] if progress.history else 0)
                self._note(progress, {name: total / done for name, total in sums.items()})
                self._save(progress, optimisers)
                sums = {}
        return {name: tensor.detach().cpu().clone() for name, tensor in self.generator.state_dict().items()}

    @property
    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, CRITIC: self.critic}

    def _step(self, step: int, optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, float]:
        """The critic's updates and then one of the generator; every loss by its name."""
        self.generator.train()
        self.critic.train()
        figures: dict[str, float] = {}
        for loss in self.criticise(step):
            figures[CRITIC] = self._update(step, CRITIC, loss, optimisers[CRITIC], self.explode)
            self.hold(self.critic)
        terms = self.generate(step)
        figures |= {name: float(term.detach()) for name, term in terms.items()}
        figures[TOTAL] = self._update(step, "generator", torch.stack(list(terms.values())).sum(), optimisers["generator"], math.inf)
        return figures

    def _update(self, step: int, name: str, loss: Tensor, optimiser: torch.optim.Optimizer, limit: float) -> float:
        """One update, unless loss or slope say that the training has diverged: then nothing is updated."""
        value = float(loss.detach())
        self._require(abs(value) < limit, f"{name} loss {value:.6g}", step, limit)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        slopes = [parameter.grad.norm() for group in optimiser.param_groups for parameter in group["params"] if parameter.grad is not None]
        slope = float(torch.stack(slopes).norm())
        self._require(math.isfinite(slope), f"{name} slope {slope:.6g}", step, math.inf)
        optimiser.step()
        return value

    def _require(self, kept: bool, found: str, step: int, limit: float) -> None:
        if not kept:
            size = "a finite number" if limit == math.inf else f"less than {limit:g} either way"
            last = step - step % self.interval
            kept_in = f"the last checkpoint is of step {last} in {CHECKPOINT}" if last else "there is no checkpoint yet"
            msg = (
                f"training diverged: found {found} at step {step + 1}, expected {size}; {kept_in}; lower learning_rate, now {self.learning_rate:g}"
            )
            raise CellError(msg)

    @torch.no_grad()
    def _note(self, progress: Progress, means: Mapping[str, float]) -> None:
        """Mean losses since the last checkpoint, and figures of the networks as they stand."""
        self.generator.eval()
        self.critic.eval()
        progress.history.append({"step": progress.step, "training": dict(means), "validation": dict(self.assess())})

    def _save(self, progress: Progress, optimisers: Mapping[str, torch.optim.Optimizer]) -> None:
        """History first: what it has beyond the checkpoint is dropped when training goes on from there."""
        write_json(self.folder / HISTORY, progress.history)
        tensors = {"step": torch.tensor(progress.step)}
        for name, network in self._networks.items():
            tensors |= {f"{name}.{key}": tensor for key, tensor in network.state_dict().items()}
            for index, state in optimisers[name].state_dict()["state"].items():
                tensors |= {f"rmsprop.{name}.{index}.{key}": value for key, value in state.items()}
        write(self.folder / CHECKPOINT, tensors, half=False)

    def _restore(self, optimisers: Mapping[str, torch.optim.Optimizer]) -> Progress:
        """Where the checkpoint of the folder stands; the start where there is none."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return Progress()
        tensors = read(path)
        for name, network in self._networks.items():
            network.load_state_dict(part(tensors, f"{name}."))
            state: dict[int, dict[str, Any]] = {}
            for key, tensor in part(tensors, f"rmsprop.{name}.").items():
                index, entry = key.split(".")
                state.setdefault(int(index), {})[entry] = tensor
            optimisers[name].load_state_dict({"state": state, "param_groups": optimisers[name].state_dict()["param_groups"]})
        step = int(tensors["step"])
        return Progress(step, [figures for figures in read_json(self.folder / HISTORY) if figures["step"] <= step])


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
