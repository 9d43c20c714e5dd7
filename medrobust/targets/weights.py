"""Weights as safetensors: read, checked against the network they are for, written in half precision, identified."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from medrobust.digests import digest, digest_bytes
from medrobust.errors import WeightsError
from medrobust.files import replacing


def identity(architecture: str, fields: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Identity of a network, 12 hexadecimal digits: its architecture, every field of it, and its tensors in float32."""
    tensors = {name: [list(tensor.shape), digest_bytes(content(tensor), 64)] for name, tensor in state.items()}
    return digest({"architecture": architecture, "options": dict(fields), "tensors": tensors})


def content(tensor: Tensor) -> bytes:
    """Bytes of a tensor, float32 where it is floating point, little-endian."""
    return stored(tensor.detach(), torch.float32).numpy().tobytes()


def stored(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous copy on the CPU, its floats as `dtype`."""
    return tensor.detach().cpu().to(dtype if tensor.is_floating_point() else tensor.dtype).contiguous()


def decode(data: bytes, where: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file, floats as float32.

    Raises WeightsError where it is truncated, not safetensors, or holds NaN or infinity.
    """
    try:
        state = safetensors.torch.load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        msg = f"{where}: {' '.join(str(error).split())}; expected a whole safetensors file, found {len(data)} bytes"
        raise WeightsError(msg) from error
    state = {name: stored(tensor, torch.float32) for name, tensor in state.items()}
    require_finite(state, where)
    return state


def read(path: Path) -> dict[str, Tensor]:
    """`decode` of a file on disk."""
    try:
        data = path.read_bytes()
    except OSError as error:
        msg = f"{path}: {error.strerror or error}; expected a safetensors file"
        raise WeightsError(msg) from error
    return decode(data, str(path))


def fill(network: nn.Module, state: Mapping[str, Tensor], where: str) -> None:
    """Load `state` into the network, in place; raises WeightsError with the first tensor that does not fit."""
    wanted = network.state_dict()
    for name, tensor in wanted.items():
        if name not in state:
            msg = f"{where}: no tensor '{name}', expected one of shape {tuple(tensor.shape)}; are these weights of another architecture?"
            raise WeightsError(msg)
        if state[name].shape != tensor.shape:
            msg = f"{where}: '{name}' is {tuple(state[name].shape)}, expected {tuple(tensor.shape)}; are the options those of the training?"
            raise WeightsError(msg)
    for name in state:
        if name not in wanted:
            msg = f"{where}: tensor '{name}' is in no such network; are these weights of another architecture?"
            raise WeightsError(msg)
    network.load_state_dict(dict(state))


def write(path: Path, state: Mapping[str, Tensor], half: bool) -> dict[str, Tensor]:
    """Write whole or not at all, floats as float16 or float32; the tensors as they will be loaded, floats as float32.

    Raises WeightsError where a value is not finite as stored.
    """
    kept = {name: stored(tensor, torch.float16 if half else torch.float32) for name, tensor in state.items()}
    require_finite(kept, str(path))
    with replacing(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(kept))
    return {name: stored(tensor, torch.float32) for name, tensor in kept.items()}


def require_finite(state: Mapping[str, Tensor], where: str) -> None:
    for name, tensor in state.items():
        if not bool(tensor.isfinite().all()):
            msg = f"{where}: '{name}' holds NaN or infinity as {str(tensor.dtype).removeprefix('torch.')}, expected finite numbers"
            raise WeightsError(msg)
