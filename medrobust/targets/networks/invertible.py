"""Chains of invertible updates whose backward pass keeps no activation: each is reconstructed from the one after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Update(nn.Module):
    """One step x[:, channels] += shift(read(x)) that leaves what it reads alone: read(x) is the same before and after.

    Hence the inverse is x[:, channels] -= shift(read(x)), whatever the shift.

    channels: which channels of the state change.
    """

    channels: slice = slice(None)

    def read(self, state: Tensor) -> Tensor:
        """What the shift depends on, from the state (n, c, H, W); cheap."""
        raise NotImplementedError

    def forward(self, read: Tensor, zero_filled: Tensor, mask: Tensor) -> Tensor:
        """The shift, (n, changed channels, H, W); zero_filled complex (n, 1, H, W), mask bool (n, 1, 1, W)."""
        raise NotImplementedError


def plain(updates: Sequence[Update], state: Tensor, zero_filled: Tensor, mask: Tensor) -> Tensor:
    """All updates in order, differentiated by autograd as any other network."""
    for update in updates:
        shift = torch.zeros_like(state)
        shift[:, update.channels] = update(update.read(state), zero_filled, mask)
        state = state + shift
    return state


def memory_free(updates: Sequence[Update], state: Tensor, zero_filled: Tensor, mask: Tensor) -> Tensor:
    """The same as `plain`, values and gradients, in the memory of one update; the backward pass costs one forward pass more."""
    parameters = [parameter for update in updates for parameter in update.parameters()]
    output: Tensor = _MemoryFree.apply(tuple(updates), state, zero_filled, mask, *parameters)  # type: ignore[no-untyped-call]
    return output


@torch.no_grad()
def invert(updates: Sequence[Update], state: Tensor, zero_filled: Tensor, mask: Tensor) -> Tensor:
    """The state before all updates from the state after them: the last update is undone first."""
    state = state.clone()
    for update in reversed(updates):
        state[:, update.channels] -= update(update.read(state), zero_filled, mask)
    return state


class _MemoryFree(torch.autograd.Function):
    """Saves the last state alone and walks back with y = x + s(r(x)), x = y - s(r(y)), dL/dx = dL/dy + r'(x)^T s'(r)^T dL/dy.

    What was read is found from y but differentiated at x: the parameters of the reading see the state as it was read.
    """

    @staticmethod
    def forward(ctx: Any, updates: tuple[Update, ...], state: Tensor, zero_filled: Tensor, mask: Tensor, *parameters: Tensor) -> Tensor:  # noqa: ARG004
        state = state.clone()
        for update in updates:
            state[:, update.channels] += update(update.read(state), zero_filled, mask)
        kind = state.device.type
        ctx.precision = {"device_type": kind, "dtype": torch.get_autocast_dtype(kind), "enabled": torch.is_autocast_enabled(kind)}
        ctx.updates = updates
        ctx.save_for_backward(state, zero_filled, mask)
        return state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        state, zero_filled, mask = ctx.saved_tensors
        state, gradient = state.clone(), gradient.clone()
        wanted = [zero_filled.detach().requires_grad_()] if ctx.needs_input_grad[2] else []
        total = torch.zeros_like(zero_filled) if wanted else None
        collected: list[Tensor | None] = []
        for update in reversed(ctx.updates):
            learned = [parameter for parameter in update.parameters() if parameter.requires_grad]
            read = update.read(state).detach().requires_grad_()
            with torch.enable_grad(), torch.autocast(**ctx.precision):
                shift = update(read, *(wanted or [zero_filled]), mask)
            to_read, *outer = torch.autograd.grad(shift, [read, *learned, *wanted], gradient[:, update.channels], allow_unused=True)
            state[:, update.channels] -= shift.detach()
            before = state.detach().requires_grad_()
            with torch.enable_grad():
                again = update.read(before)
            to_state, *inner = torch.autograd.grad(again, [before, *learned], to_read, allow_unused=True)
            gradient += to_state
            if total is not None and outer[-1] is not None:
                total += outer[-1]
            found = {id(parameter): _add(*pair) for parameter, pair in zip(learned, zip(outer, inner, strict=False), strict=True)}
            collected = [*(found.get(id(parameter)) for parameter in update.parameters()), *collected]
        return (None, gradient, total, None, *collected)


def _add(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return first if second is None else second if first is None else first + second
