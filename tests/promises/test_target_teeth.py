"""Every promise of an architecture is seen to fail on one that breaks it, and to hold on one that keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from medrobust.testing import BrokenPromise, Promise, target_promises

PROMISES = {promise.number: promise for promise in target_promises()}


class Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Dropout(0.5), nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, zero_filled, mask):
        magnitude = zero_filled.abs()
        return magnitude + self.body(magnitude)


@dataclass(frozen=True)
class Good:
    """Two convolutions on the zero-filled magnitude.

    Source: none; made for the tests.

    width: channels between the convolutions.
    """

    task: ClassVar[str] = "reconstruction"
    network: ClassVar[type[nn.Module]] = Network
    width: int = 4

    def build(self):
        return self.network(self.width)


def like(network: type[nn.Module]) -> Good:
    """The good architecture around another network."""
    return type(network.__name__, (Good,), {"network": network, "__doc__": Good.__doc__})()


class UnknownTask(Good):
    task = "super-resolution"


class BuildsAFunction(Good):
    def build(self):
        return lambda zero_filled, mask: zero_filled.abs()


class Crops(Network):
    def forward(self, zero_filled, mask):
        return super().forward(zero_filled, mask)[..., 1:-1]


class Explodes(Network):
    def forward(self, zero_filled, mask):
        return super().forward(zero_filled, mask) / 0


class CutsGraph(Network):
    def forward(self, zero_filled, mask):
        with torch.no_grad():
            return super().forward(zero_filled, mask)


class Constant(Network):
    def forward(self, zero_filled, mask):
        return super().forward(zero_filled, mask) * 0 + 0.5


class AlwaysDrops(Network):
    def forward(self, zero_filled, mask):
        self.body.train()
        return super().forward(zero_filled, mask)


class RunningMean(Network):
    def __init__(self, width):
        super().__init__(width)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, zero_filled, mask):
        self.mean.lerp_(zero_filled.abs().mean(), 0.5)
        return super().forward(zero_filled, mask)


class BatchStatistics(Network):
    def forward(self, zero_filled, mask):
        return super().forward(zero_filled / zero_filled.abs().mean(), mask)


class FirstMaskForAll(Network):
    def forward(self, zero_filled, mask):
        return super().forward(zero_filled, mask) * mask[:1].float().mean()


class Detaches(Network):
    def forward(self, zero_filled, mask):
        return super().forward(zero_filled.detach(), mask).detach()


class NaNGradient(Network):
    def forward(self, zero_filled, mask):
        return super().forward(zero_filled, mask) + (zero_filled.abs() * 0).sqrt()


class HidesWeights(Network):
    def __init__(self, width):
        super().__init__(width)
        self.gain = [nn.Parameter(torch.ones(()))]

    def parameters(self, recurse=True):
        yield from super().parameters(recurse)
        yield from self.gain

    def forward(self, zero_filled, mask):
        return super().forward(zero_filled, mask) * self.gain[0]


class SharesWeights(Network):
    def __init__(self, width):
        super().__init__(width)
        self.twin = self.body


class ScalesInPlace(Network):
    def forward(self, zero_filled, mask):
        mask.fill_(True)
        return super().forward(zero_filled, mask)


@dataclass
class Thawed:
    """Source: none."""


@dataclass(frozen=True)
class NoSource(Good):
    """Two convolutions.

    width: channels between the convolutions.
    """


BROKEN = [
    ("T1", UnknownTask(), "super-resolution"),
    ("T1", BuildsAFunction(), "function"),
    ("T2", like(Crops), r"\(4, 1, 64, 62\)"),
    ("T2", like(Explodes), "NaN or infinity"),
    ("T3", like(AlwaysDrops), "differs|training mode"),
    ("T3", like(RunningMean), "weight mean"),
    ("T4", like(BatchStatistics), "differs"),
    ("T4", like(FirstMaskForAll), "differs"),
    ("T5", like(Detaches), "does not reach the image|no graph"),
    ("T5", like(CutsGraph), "no graph"),
    ("T5", like(Constant), "zero everywhere"),
    ("T5", like(NaNGradient), "NaN"),
    ("T6", like(HidesWeights), "differs"),
    ("T6", like(SharesWeights), "share memory"),
    ("T7", like(ScalesInPlace), "mask"),
    ("T8", Thawed(), "not frozen"),
    ("T9", NoSource(), "Source"),
]


@pytest.mark.parametrize("promise", target_promises(), ids=str)
def test_a_good_architecture_keeps(promise: Promise) -> None:
    promise(Good())


@pytest.mark.parametrize(("number", "architecture", "found"), BROKEN, ids=[f"{number}-{type(each).__name__}" for number, each, _ in BROKEN])
def test_a_broken_architecture_is_caught(number: str, architecture: object, found: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^{number} .*({found})"):
        PROMISES[number](architecture)


def test_every_promise_has_been_seen_to_fail() -> None:
    assert {number for number, _, _ in BROKEN} == set(PROMISES)
