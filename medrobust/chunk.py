"""How many cases share a pass: as many as make it cheap, where no row can tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from medrobust.guard import Guarded, ShowsLogits, frozen, micro_batch
from medrobust.types import Batch, Target

TOGETHER = 8
"""Images of a classifier that share a pass on a CPU, where each then costs .4 to .75 of what it costs alone. Dense tasks gain nothing."""
VALUES = 2**22
"""Of all images of a pass, at most: larger volumes go through in smaller chunks, the largest one by one."""


def chunked(target: Target, threat: str, device: torch.device | str, first: Callable[[], Batch]) -> Guarded:
    """The target as the harness puts cases through it; first: loads one case, always the same, which the target is then asked about.

    On a GPU 64 cases share a pass. On a CPU cases go one by one, or a few images of a plain classifier together, always as many, so that no row
    depends on its batch: only where a case is answered alike, to the last bit, in every place of a pass, and its gradient with it.
    """
    guarded = Guarded(target, threat, micro_batch(device))
    if torch.device(device).type != "cpu" or not isinstance(target, ShowsLogits):
        return guarded
    size = fitting(case := first())
    return replace(guarded, micro_batch=size, filled=True) if size > 1 and alike(target, case.select([0] * size), guarded.white_box) else guarded


def fitting(first: Batch) -> int:
    """The largest power of two of images like this one that a pass may hold, at least 1."""
    size = TOGETHER
    while size > 1 and size * first.image[:1].numel() > VALUES:
        size //= 2
    return size


def alike(target: Target, copies: Batch, gradients: bool) -> bool:
    """Whether every one of these copies of a case is answered as the first is, to the last bit; generators are left as they were found."""
    with torch.random.fork_rng(devices=[]), frozen(target), torch.enable_grad():
        image = copies.image.clone().requires_grad_(gradients)
        found = [target(image, copies).detach()]
        if gradients:
            loss = target.loss(image, copies)
            slope = torch.autograd.grad(loss.sum(), image, allow_unused=True)[0] if loss.requires_grad else None
            found += [loss.detach(), *([] if slope is None else [slope])]
    return all(map(same, found))


def same(rows: Tensor) -> bool:
    return torch.equal(rows, rows[:1].expand_as(rows))
