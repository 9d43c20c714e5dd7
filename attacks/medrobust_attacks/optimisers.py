"""Optimisers of networks that train against each other: an update or one line that says why not, and states by name for a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from medrobust.errors import CellError
from medrobust_attacks.perturbation.training import CHECKPOINT

Failure = Callable[[str, float], CellError]
"""What was found and the limit it should have stayed below, to the error that says so."""


def update(name: str, loss: Tensor, optimisers: Sequence[torch.optim.Optimizer], limit: float, failure: Failure) -> float:
    """The loss after one step of the optimisers down it; where loss or slope say that the training has diverged, an error and no step."""
    value = float(loss.detach())
    if not abs(value) < limit:
        raise failure(f"{name} loss {value:.6g}", limit)
    for optimiser in optimisers:
        optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = [parameter for optimiser in optimisers for group in optimiser.param_groups for parameter in group["params"]]
    slope = float(torch.stack([parameter.grad.norm() for parameter in parameters if parameter.grad is not None]).norm())
    if not math.isfinite(slope):
        raise failure(f"{name} slope {slope:.6g}", math.inf)
    for optimiser in optimisers:
        optimiser.step()
    return value


def diverged(step: int, interval: int, learning_rate: float) -> Failure:
    """The error of a step counted from 0, of a training with a checkpoint every `interval` steps."""

    def failure(found: str, limit: float) -> CellError:
        size = "a finite number" if limit == math.inf else f"less than {limit:g} either way"
        last = step - step % interval
        kept_in = f"the last checkpoint is of step {last} in {CHECKPOINT}" if last else "there is no checkpoint yet"
        return CellError(
            f"training diverged: found {found} at step {step + 1}, expected {size}; {kept_in}; lower learning_rate, now {learning_rate:g}"
        )

    return failure


def states(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """What the optimiser remembers of each parameter, as `<prefix><index>.<what>`."""
    return {f"{prefix}{index}.{key}": value for index, state in optimiser.state_dict()["state"].items() for key, value in state.items()}


def recall(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor], prefix: str) -> None:
    """The reverse of `states`, in place; rates stay as they are."""
    state: dict[int, dict[str, Any]] = {}
    for name, tensor in part(tensors, prefix).items():
        index, key = name.split(".")
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
