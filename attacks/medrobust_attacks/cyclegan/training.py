"""Four networks that take turns, step by step: resumable to the last bit, both generators kept at stated steps, and stopped with one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from medrobust.files import read_json, write_json
from medrobust.targets.weights import read, write
from medrobust_attacks.cyclegan.lesson import MADE, Lesson
from medrobust_attacks.optimisers import diverged, part, recall, states, update
from medrobust_attacks.perturbation.training import CHECKPOINT, HISTORY, Figures, Report

BETAS = (0.5, 0.999)
"""Of Adam. Source: Zhu et al. 2017, arXiv:1703.10593, as their code has it."""


@dataclass
class Progress:
    """step: how many are done. history: figures at each checkpoint."""

    step: int = 0
    history: list[Figures] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Exchange:
    """What is trained, and how.

    lesson: networks, pools and their losses. rate: learning rate of a network in a step counted from 0.
    steps: in all. kept: the steps after which both generators are kept, the last one among them.
    interval: steps from one checkpoint, with its figures, to the next; the last step has one too. explode: |loss| from which on it has diverged.
    folder: `checkpoint.safetensors`, `history.json` and a file of each kept step go there, and training continues from them.
    """

    lesson: Lesson
    rate: Callable[[str, int], float]
    steps: int
    kept: tuple[int, ...]
    interval: int
    explode: float
    folder: Path
    report: Report

    def run(self) -> dict[str, Tensor]:
        """Both generators' weights at every kept step, on the CPU, as `step-000400.inject.<parameter>`."""
        optimisers = {name: torch.optim.Adam(network.parameters(), lr=1.0, betas=BETAS) for name, network in self._networks.items()}
        progress = self._restore(optimisers)
        sums: dict[str, float] = {}
        while progress.step < self.steps:
            figures = self._step(progress.step, optimisers)
            progress.step += 1
            self.report(progress.step, self.steps, sum(figures.values()))
            sums = {name: sums.get(name, 0.0) + value for name, value in figures.items()}
            if progress.step in self.kept:
                generators = {f"{does}.{key}": tensor for does in MADE for key, tensor in self._networks[does].state_dict().items()}
                write(self._file(progress.step), generators, half=False)
            if progress.step % self.interval == 0 or progress.step == self.steps:
                done = progress.step - (progress.history[-1]["step"] if progress.history else 0)
                self._note(progress, {name: total / done for name, total in sums.items()})
                self._save(progress, optimisers)
                sums = {}
        return {f"{called(step)}.{key}": tensor for step in self.kept for key, tensor in read(self._file(step)).items()}

    @property
    def _networks(self) -> Mapping[str, nn.Module]:
        return self.lesson.networks

    def _file(self, step: int) -> Path:
        return self.folder / f"{called(step)}.safetensors"

    def _step(self, step: int, optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, float]:
        """Every network's update in its turn; the last value of every term by its name."""
        figures: dict[str, float] = {}
        for network in self._networks.values():
            network.train()
        for name, optimiser in optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.rate(name, step)
        for turn in self.lesson.turns(step):
            figures |= {name: float(term.detach()) for name, term in turn.terms.items()}
            total = torch.stack(list(turn.terms.values())).sum()
            failure = diverged(step, self.interval, self.rate(turn.networks[0], step))
            update(" and ".join(turn.networks), total, [optimisers[name] for name in turn.networks], self.explode, failure)
        return figures

    def _note(self, progress: Progress, means: Mapping[str, float]) -> None:
        """Mean losses since the last checkpoint, and figures of the generators as they stand."""
        for network in self._networks.values():
            network.eval()
        progress.history.append({"step": progress.step, "training": dict(means), "validation": dict(self.lesson.assess())})

    def _save(self, progress: Progress, optimisers: Mapping[str, torch.optim.Optimizer]) -> None:
        """History first: what it has beyond the checkpoint is dropped when training goes on from there."""
        write_json(self.folder / HISTORY, progress.history)
        tensors = {"step": torch.tensor(progress.step)}
        for name, network in self._networks.items():
            tensors |= {f"network.{name}.{key}": tensor for key, tensor in network.state_dict().items()}
            tensors |= states(optimisers[name], f"adam.{name}.")
        for kind, pool in self.lesson.pools.items():
            tensors |= {f"pool.{kind}.{key}": image for key, image in pool.tensors().items()}
        write(self.folder / CHECKPOINT, tensors, half=False)

    def _restore(self, optimisers: Mapping[str, torch.optim.Optimizer]) -> Progress:
        """Where the checkpoint of the folder stands; the start where there is none."""
        path = self.folder / CHECKPOINT
        if not path.is_file():
            return Progress()
        tensors = read(path)
        for name, network in self._networks.items():
            network.load_state_dict(part(tensors, f"network.{name}."))
            recall(optimisers[name], tensors, f"adam.{name}.")
        for kind, pool in self.lesson.pools.items():
            pool.recall({key: image.to(self.lesson.training.device) for key, image in part(tensors, f"pool.{kind}.").items()})
        step = int(tensors["step"])
        return Progress(step, [figures for figures in read_json(self.folder / HISTORY) if figures["step"] <= step])


def called(step: int) -> str:
    """A kept step's name."""
    return f"step-{step:06d}"
