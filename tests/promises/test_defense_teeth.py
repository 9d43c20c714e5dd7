"""Every promise of a defense is seen to fail on a defense that breaks it, and to hold on one that keeps it."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch

from medrobust.testing import BrokenPromise, Promise, defense_promises

PROMISES = {promise.number: promise for promise in defense_promises()}


@dataclass(frozen=True)
class Good:
    """Jitter the weights once.

    Source: none; made for the tests.

    scale: relative size of the jitter.
    """

    scale: float = 0.01

    def draw(self, rng):
        return torch.randn((), generator=rng)

    def __call__(self, target, data, rng):
        network = copy.deepcopy(target.network)
        with torch.no_grad():
            network.convolution.weight.mul_(1 + self.scale * self.draw(rng))
        return replace(target, network=network, digest="abcdef012345")


class ReturnsNetwork(Good):
    def __call__(self, *args):
        return super().__call__(*args).network


class OtherTask(Good):
    def __call__(self, *args):
        return replace(super().__call__(*args), task="segmentation")


class WrongShape(Good):
    def __call__(self, *args):
        target = super().__call__(*args)
        forward = target.network.forward
        target.network.forward = lambda zero_filled, mask: forward(zero_filled, mask)[:, 0]
        return target


class TrainsTheOriginal(Good):
    def __call__(self, target, data, rng):
        with torch.no_grad():
            target.network.convolution.weight.mul_(0.9)
        return super().__call__(target, data, rng)


class LeavesTrainingMode(Good):
    def __call__(self, target, data, rng):
        target.network.train()
        return super().__call__(target, data, rng)


class GlobalRandomness(Good):
    def draw(self, rng):
        return torch.randn(())


class ReadsGlobalSeed(Good):
    def draw(self, rng):
        return torch.tensor(float(torch.initial_seed() % 7))


class SameDigest(Good):
    def __call__(self, target, data, rng):
        return replace(super().__call__(target, data, rng), digest=target.digest)


class ShortDigest(Good):
    def __call__(self, target, data, rng):
        return replace(super().__call__(target, data, rng), digest="robust")


@dataclass
class Thawed:
    """Source: none."""


@dataclass(frozen=True)
class NoSource(Good):
    """Jitter the weights once.

    scale: relative size.
    """


BROKEN = [
    ("D1", ReturnsNetwork(), "lacks a member"),
    ("D1", OtherTask(), "segmentation"),
    ("D1", WrongShape(), r"\(4, 64, 64\)|broadcast"),
    ("D2", TrainsTheOriginal(), "weight convolution"),
    ("D2", LeavesTrainingMode(), "training mode"),
    ("D3", GlobalRandomness(), "global generator"),
    ("D3", ReadsGlobalSeed(), "differs"),
    ("D4", SameDigest(), "the original's"),
    ("D4", ShortDigest(), "hexadecimal"),
    ("D5", Thawed(), "not frozen"),
    ("D6", NoSource(), "Source"),
]


@pytest.mark.parametrize("promise", defense_promises(), ids=str)
def test_a_good_defense_keeps(promise: Promise) -> None:
    promise(Good())


@pytest.mark.parametrize(("number", "defense", "found"), BROKEN, ids=[f"{number}-{type(defense).__name__}" for number, defense, _ in BROKEN])
def test_a_broken_defense_is_caught(number: str, defense: object, found: str) -> None:
    with pytest.raises(BrokenPromise, match=f"^{number} .*({found})"):
        PROMISES[number](defense)


def test_every_promise_has_been_seen_to_fail() -> None:
    assert {number for number, _, _ in BROKEN} == set(PROMISES)
