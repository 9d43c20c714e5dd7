"""A segmenter or classifier that is trained on from its weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import torch

from medrobust.digests import digest
from medrobust.targets.classification import ClassificationTarget
from medrobust.targets.segmentation import SegmentationTarget
from medrobust.training.loop import Schedule, train
from medrobust.training.objectives import Objective
from medrobust.types import Data, Target

T = TypeVar("T", SegmentationTarget, ClassificationTarget)


def segmenter(target: Target, where: str) -> SegmentationTarget:
    """The target itself; TypeError where it is no segmentation network. where: what the error line names."""
    if not isinstance(target, SegmentationTarget):
        msg = f"{where}: found a target of type {type(target).__name__}, expected a segmentation network"
        raise TypeError(msg)
    return target


def classifier(target: Target, where: str) -> ClassificationTarget:
    """The target itself; TypeError where it is no classification network. where: what the error line names."""
    if not isinstance(target, ClassificationTarget):
        msg = f"{where}: found a target of type {type(target).__name__}, expected a classification network"
        raise TypeError(msg)
    return target


def fine_tuned(target: T, data: Data, objective: Objective, schedule: Schedule, about: Mapping[str, object], rng: torch.Generator) -> T:
    """A copy of the target, trained on; the target is left alone.

    about: what the training is besides target, data and seed, as plain data: part of the copy's digest. rng: gives the schedule's seed.
    """
    network = copy.deepcopy(target.network)
    schedule = replace(schedule, seed=int(torch.randint(2**31, (1,), generator=rng)))
    told = digest({"start": target.digest, "data": data.digest, "seed": schedule.seed, "training": about})
    hardened = replace(target, network=network, digest=told)
    train(hardened, network, objective, data, schedule, None, lambda step, loss: None)  # noqa: ARG005
    network.requires_grad_(False)
    return hardened
