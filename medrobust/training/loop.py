"""The training loop: seeded, resumable, the same on CPU and GPU."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from pathlib import Path

import safetensors.torch
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from medrobust.errors import MedrobustError
from medrobust.files import replacing, write_json
from medrobust.randomness import CaseRandom, derive
from medrobust.training.objectives import Objective
from medrobust.training.schedule import Schedule as Schedule
from medrobust.training.tasks import training_of
from medrobust.training.watch import Watch
from medrobust.types import Batch, Data, Target

PROGRESS = "progress.json"
UNSAID = {"start_share": "0.0"}
"""What a checkpoint that does not say it has."""

Report = Callable[[int, float], None]
"""Called after every step with the steps done and the sum of the step's losses."""


def batches(data: Data, schedule: Schedule, first: int) -> Iterator[tuple[int, Batch, CaseRandom]]:
    """Training batches from step `first` on: every epoch in its own order, each batch varied as its task does it.

    A step's batch depends on the seed and the step alone, so a resumed training sees what an undisturbed one does.
    """
    cases, vary = list(data.cases("train")), training_of(data.task).vary
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
        yield step, vary(data.load(chosen), schedule, rng), rng


def train(
    target: Target,
    network: nn.Module,
    objective: Objective,
    data: Data,
    schedule: Schedule,
    folder: Path | None,
    report: Report,
    watch: Watch | None = None,
) -> None:
    """Train `network`, which is what `target` runs, in place.

    folder: checkpoints go there every 200 steps and at an interruption; training continues from the last one. None keeps nothing.
    watch: looks at the network now and then; where it chooses, the network ends with the weights of the best look.
    What it ends with is averaged with what it began with where the schedule says so; looks are at weights that are not.
    A checkpoint of other data, another objective or schedule is refused.
    A loss that is not finite stops the training with one line; the last checkpoint stands.
    """
    device = next(network.parameters()).device
    network.train().requires_grad_(True)
    optimiser = torch.optim.AdamW(network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay)
    about = repr(objective) if is_dataclass(objective) else type(objective).__name__
    terms = {"data": data.digest, "objective": about, **{name: str(value) for name, value in vars(schedule).items()}}
    start = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()} if schedule.start_share else {}
    first = _begin(folder, network, optimiser, terms, start) if folder else 0
    if watch:
        watch.resume(network, first)
    done = first
    try:
        for step, batch, rng in batches(data, schedule, first):
            for group in optimiser.param_groups:
                group["lr"] = schedule.rate(step)
            with torch.random.fork_rng():
                torch.manual_seed(derive(schedule.seed, "layers", step))
                total = _step(target, network, objective, optimiser, batch.to(device), rng, schedule)
            if not math.isfinite(total):
                msg = f"training diverged: loss {total} at step {step}; the last checkpoint stands; train anew with a lower learning_rate"
                raise MedrobustError(msg)
            done = step + 1
            looked = watch is not None and watch.look(network, done)
            report(done, total)
            if folder and (done % 200 == 0 or looked):
                _save(folder, network, optimiser, done, terms, start)
    except KeyboardInterrupt:
        if folder:
            _save(folder, network, optimiser, done, terms, start)
        raise
    finally:
        network.eval()
    if folder and done > first:
        _save(folder, network, optimiser, done, terms, start)
    if watch:
        watch.fill_best(network)
    network.load_state_dict({name: averaged(tensor, start.get(name, tensor), schedule.start_share) for name, tensor in network.state_dict().items()})


def averaged(trained: Tensor, start: Tensor, share: float) -> Tensor:
    """A weight tensor with `share` of what the training began with; counters stay as trained."""
    return torch.lerp(trained, start.to(trained.device), share) if trained.is_floating_point() else trained


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


def _save(
    folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, step: int, terms: Mapping[str, str], start: Mapping[str, Tensor]
) -> None:
    """Weights, those of the start where they are averaged in, Adam's moments and what was trained on in one safetensors file, replaced as a whole."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    tensors |= {f"start.{name}": tensor for name, tensor in start.items()}
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": value for name, value in state.items()}
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    whole = safetensors.torch.save(kept, {**terms, "step": json.dumps(step)})
    with replacing(folder / "checkpoint.safetensors") as temporary:
        temporary.write_bytes(whole)
    write_json(folder / PROGRESS, {"step": step})


def _begin(folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, terms: Mapping[str, str], start: dict[str, Tensor]) -> int:
    """As `_restore`; a folder that cannot be written to is found out before the first step."""
    first = _restore(folder, network, optimiser, terms, start)
    write_json(folder / PROGRESS, {"step": first})
    return first


def _restore(folder: Path, network: nn.Module, optimiser: torch.optim.Optimizer, terms: Mapping[str, str], start: dict[str, Tensor]) -> int:
    """Load the checkpoint where there is one, and into `start` what it began with; the number of steps it has seen.

    Raises MedrobustError where it is of another training.
    """
    path = folder / "checkpoint.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    for name, expected in terms.items():
        found = metadata.get(name, UNSAID.get(name, expected))
        if found != expected:
            msg = f"{path}: {name}: found {found}, expected {expected}; it is of another training: remove it or give another --checkpoints"
            raise MedrobustError(msg)
    tensors = load_file(path)
    network.load_state_dict({name.removeprefix("network."): tensor for name, tensor in tensors.items() if name.startswith("network.")})
    start |= {name.removeprefix("start."): tensor for name, tensor in tensors.items() if name.startswith("start.")}
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("adam."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return int(json.loads(metadata["step"]))
