"""What the checks look at: tensors that differ, a network's state, the global generators, a plugin's configuration."""

from __future__ import annotations

import dataclasses
import json
import pickle
import random
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medrobust.digests import canonical
from medrobust.errors import SpecError
from medrobust.options import typed
from medrobust.types import Attacked, Batch, Explained

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")


def tensors(thing: Batch | Attacked | Explained) -> dict[str, Tensor]:
    """Every tensor of a batch or of what an attack or explainer returned, by name."""
    found: dict[str, Tensor] = {}
    for field in dataclasses.fields(thing):
        value = getattr(thing, field.name)
        if isinstance(value, Tensor):
            found[field.name] = value
        elif isinstance(value, Mapping):
            found |= {f"{field.name}[{name!r}]": tensor for name, tensor in value.items()}
    return found


def copies(thing: Batch | Attacked | Explained) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors(thing).items()}


def difference(one: Mapping[str, Tensor], other: Mapping[str, Tensor], tolerance: float = 0.0) -> str:
    """The first tensor in which two sets differ by more than `tolerance` times the largest entry; empty where none does."""
    if one.keys() != other.keys():
        return f"found {sorted(one)} once and {sorted(other)} once"
    for name, tensor in one.items():
        if tensor.shape != other[name].shape:
            return f"{name} is {tuple(tensor.shape)} once and {tuple(other[name].shape)} once"
        mine, its = tensor.detach().double(), other[name].detach().double()
        allowed = tolerance * float(its.nan_to_num(0, 0, 0).abs().max()) if its.numel() else 0.0
        if not torch.allclose(mine, its, rtol=0, atol=allowed, equal_nan=True):
            return f"{name} differs by {(mine - its).abs().nan_to_num(torch.inf).max():.3g}"
    return ""


def network_state(network: nn.Module) -> dict[str, Any]:
    """Everything of a network that a plugin must leave as it was, by name."""
    state: dict[str, Any] = {f"weight {name}": tensor.detach().clone() for name, tensor in network.state_dict().items()}
    for name, parameter in network.named_parameters():
        state[f"requires_grad of {name}"] = parameter.requires_grad
        state[f"grad of {name}"] = parameter.grad is not None
    for name, module in network.named_modules():
        state[f"training mode of {name or 'the network'}"] = module.training
        state[f"hooks of {name or 'the network'}"] = sum(len(getattr(module, hooks)) for hooks in HOOKS)
    return state


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What of a network's state differs, empty where nothing does."""
    for name in before.keys() | after.keys():
        one, other = before.get(name), after.get(name)
        same = torch.equal(one, other) if isinstance(one, Tensor) and isinstance(other, Tensor) else one == other
        if not same:
            return f"{name} was changed"
    return ""


def global_generators() -> tuple[bytes, bytes, bytes]:
    """The states of torch's, numpy's and Python's global generators."""
    return bytes(torch.get_rng_state().tolist()), pickle.dumps(np.random.get_state()), pickle.dumps(random.getstate())  # noqa: NPY002


def seed_global_generators(seed: int) -> None:
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global generator is what is tested
    random.seed(seed)


def plain_data(plugin: object, _: object = None) -> str:
    """What keeps the plugin from being a frozen dataclass whose fields survive JSON and pickle; empty where nothing does."""
    if not dataclasses.is_dataclass(plugin) or isinstance(plugin, type):
        return "not a dataclass"
    if not type(plugin).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return "the dataclass is not frozen"
    try:
        fields = {field.name: getattr(plugin, field.name) for field in dataclasses.fields(plugin) if field.init}
        again = type(plugin)(**typed(type(plugin), json.loads(canonical(fields)), type(plugin).__name__))
        pickled = pickle.loads(pickle.dumps(plugin))  # noqa: S301 - our own bytes
    except (TypeError, ValueError, AttributeError, SpecError, pickle.PicklingError) as error:
        return f"{type(error).__name__}: {error}"
    if again != plugin:
        return f"{again} came back from JSON, where {plugin} went in: its fields are not its configuration"
    return "" if pickled == plugin else "a pickled copy is not equal to it"


def documented(plugin: object, _: object = None) -> str:
    """What the docstring lacks of a source and a line for every field; empty where it lacks nothing."""
    text = type(plugin).__dict__.get("__doc__") or ""
    if "Source:" not in text:
        return "the class docstring has no line 'Source: ...'"
    fields = dataclasses.fields(plugin) if dataclasses.is_dataclass(plugin) else ()
    silent = [field.name for field in fields if field.init and not re.search(rf"\b{field.name}\b[^:\n]*:", text)]
    return f"the class docstring has no line for {', '.join(silent)}" if silent else ""
