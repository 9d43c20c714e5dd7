"""Two networks against each other, step by step: resumable to the last bit, and stopped with one line where they diverge."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from medrobust.files import read_json, write_json
from medrobust.targets.weights import read, write
from medrobust_attacks.optimisers import diverged, part, recall, states, update
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
        failure = diverged(step, self.interval, self.learning_rate)
        for loss in self.criticise(step):
            figures[CRITIC] = update(CRITIC, loss, [optimisers[CRITIC]], self.explode, failure)
            self.hold(self.critic)
        terms = self.generate(step)
        figures |= {name: float(term.detach()) for name, term in terms.items()}
        figures[TOTAL] = update("generator", torch.stack(list(terms.values())).sum(), [optimisers["generator"]], math.inf, failure)
        return figures

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
            tensors |= states(optimisers[name], f"rmsprop.{name}.")
        write(self.folder / CHECKPOINT, tensors, half=False)

    def _restore(self, optimisers: Mapping[str, torch.optim.Optimizer]) -> Progress:
        """Where the checkpoint of the folder stands; the start where there is none."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return Progress()
        tensors = read(path)
        for name, network in self._networks.items():
            network.load_state_dict(part(tensors, f"{name}."))
            recall(optimisers[name], tensors, f"rmsprop.{name}.")
        step = int(tensors["step"])
        return Progress(step, [figures for figures in read_json(self.folder / HISTORY) if figures["step"] <= step])
