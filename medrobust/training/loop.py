"""The training loop: seeded, resumable, the same on CPU and GPU."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from medrobust.data.augment import band, mirror, redraw_masks
from medrobust.errors import MedrobustError
from medrobust.randomness import CaseRandom, derive
from medrobust.training.objectives import Objective
from medrobust.types import Batch, Data, Target

Report = Callable[[int, float], None]
"""Called after every step with the steps done and the sum of the step's losses."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    steps: batches. batch: slices a batch. learning_rate: peak of Adam's rate, reached after `warmup` steps and lowered to 0 along a cosine.
    masks: (acceleration, centre fraction) pairs, one drawn for each slice. gradient_norm: gradients are clipped to it.
    rows: train on random bands of that many rows, exact for column masks and cheaper; 0 for whole slices.
    bfloat16: run the network in mixed precision. seed: determines order, masks, mirroring and every draw of the objective.
    """

    steps: int = 1000
    batch: int = 4
    learning_rate: float = 1e-3
    warmup: int = 50
    masks: tuple[tuple[float, float], ...] = ((4.0, 0.08), (8.0, 0.04))
    gradient_norm: float = 1.0
    rows: int = 0
    bfloat16: bool = False
    seed: int = 0

    def rate(self, step: int) -> float:
        """Learning rate of a step counted from 0."""
        return self.learning_rate * min(1.0, (step + 1) / max(self.warmup, 1)) * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def batches(data: Data, schedule: Schedule, first: int) -> Iterator[tuple[int, Batch, CaseRandom]]:
    """Training batches from step `first` on: every epoch in its own order, masks redrawn, slices mirrored left to right at random.

    A step's batch depends on the seed and the step alone, so a resumed training sees what an undisturbed one does.
    """
    cases = list(data.cases("train"))
    if not cases:
        msg = "training data: found no case in split 'train', expected at least one"
        raise MedrobustError(msg)
    for step in range(first, schedule.steps):
        chosen = []
        for place in range(step * schedule.batch, (step + 1) * schedule.batch):
            epoch, index = divmod(place, len(cases))
            order = torch.randperm(len(cases), generator=torch.Generator().manual_seed(derive(schedule.seed, "epoch", epoch)))
            chosen.append(cases[int(order[index])])
        rng = CaseRandom.of([derive(schedule.seed, step, i) for i in range(len(chosen))])
        batch = mirror(redraw_masks(data.load(chosen), schedule.masks, rng), rng)
        yield step, band(batch, schedule.rows, rng) if schedule.rows else batch, rng


def train(target: Target, network: nn.Module, objective: Objective, data: Data, schedule: Schedule, folder: Path | None, report: Report) -> None:
    """Train `network`, which is what `target` runs, in place.

    folder: checkpoints go there every 200 steps and at an interruption; training continues from the last one. None keeps nothing.
    A loss that is not finite stops the training with one line; the last checkpoint stands.
    """
    device = next(network.parameters()).device
    network.train().requires_grad_(True)
    optimiser = torch.optim.Adam(network.parameters(), lr=schedule.learning_rate)
    first = _restore(folder, network, optimiser) if folder else 0
    done = first
    try:
        for step, batch, rng in batches(data, schedule, first):
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            with torch.random.fork_rng():
                torch.manual_seed(derive(schedule.seed, "layers", step))
                total = _step(target, network, objective, optimiser, batch.to(device), rng, schedule)
            if not math.isfinite(total):
                msg = f"training diverged: loss {total} at step {step}; the last checkpoint stands, lower learning_rate and run again"
                raise MedrobustError(msg)
            done = step + 1
            report(done, total)
            if folder and done % 200 == 0:
                _save(folder, network, optimiser, done)
    except KeyboardInterrupt:
        if folder:
            _save(folder, network, optimiser, done)
        raise
    finally:
        network.eval()
    if folder and done > first:
        _save(folder, network, optimiser, done)


def _step(
    target: Target, network: nn.Module, objective: Objective, optimiser: torch.optim.Optimizer, batch: Batch, rng: CaseRandom, schedule: Schedule
) -> float:
    """One optimiser step for each loss of the objective; their sum."""
    total = 0.0
    with torch.autocast(batch.image.device.type, torch.bfloat16, enabled=schedule.bfloat16):
        for loss in objective.losses(target, batch, rng):
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), schedule.gradient_norm)
            optimiser.step()
            total += float(loss.detach())
    return total


def _save(folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Weights and Adam's moments in one safetensors file, replaced as a whole."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".checkpoint.{os.getpid()}.tmp"
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, partial, {"step": json.dumps(step)})
    partial.replace(folder / "checkpoint.safetensors")
    (folder / "progress.json").write_text(json.dumps({"step": step}), encoding="utf-8")


def _restore(folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    """Load the checkpoint where there is one; the number of steps it has seen."""
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    tensors = load_file(path)
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")})
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    with safe_open(path, framework="pt") as file:
        return int(json.loads(file.metadata()["step"]))
