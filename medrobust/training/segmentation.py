"""What a segmenter's training is judged by: cross-entropy, and Dice of every organ of every subject."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Protocol, runtime_checkable

import torch

from medrobust.errors import MedrobustError
from medrobust.metrics.organs import dice
from medrobust.stats import Sample, mean
from medrobust.types import Data, Target

Values = dict[str, list[tuple[str, float]]]
"""Figure -> (patient, value) of each subject."""


@runtime_checkable
class NamesOrgans(Protocol):
    """A data set that names its labels 1, 2, ..."""

    @property
    def organs(self) -> tuple[str, ...]: ...


def answers(target: Target, data: Data, split: str, device: str) -> Values:
    """`loss`, and Dice by organ (the mean of them under no name) of every subject of a split; slices one at a time, one subject in memory.

    Organs of data that do not name them are numbered, and there are as many as the target has classes beside background.
    """
    cases = data.cases(split)
    if not cases:
        msg = f"training data: found no case in split '{split}', expected at least one"
        raise MedrobustError(msg)
    found: Values = {}
    for _, group in groupby(cases, key=lambda case: case.group):
        losses, predicted, truth = [], [], []
        for one in (data.load([case]).to(device) for case in group):
            with torch.inference_mode():
                logs = target(one.image, one)
                losses.append(float(-logs.gather(1, one.truth).mean()))
            predicted.append(logs.argmax(1, keepdim=True))
            truth.append(one.truth)
            patient = one.cases[0].patient
        organs = data.organs if isinstance(data, NamesOrgans) else tuple(f"label {label}" for label in range(1, logs.shape[1]))
        values = {name: float(value) for name, value in dice(torch.cat(predicted), torch.cat(truth), organs).items()}
        for name, number in {"loss": sum(losses) / len(losses), **values}.items():
            if math.isfinite(number):
                found.setdefault(name, []).append((patient, number))
    return found


def validate(target: Target, data: Data, device: str) -> dict[str, float]:
    """`loss` and mean `dice` over the subjects of the validation split."""
    found = answers(target, data, "val", device)
    return {name: sum(value for _, value in values) / len(values) for name, values in (("loss", found["loss"]), ("dice", found[""]))}


def figures(target: Target, data: Data, device: str) -> dict[str, float]:
    """Mean Dice over the subjects of the splits `val` and `test`, such as `dice@test` and `dice@test pancreas`, with `low` and `high` of the test's.

    low, high: 95 % interval, subjects resampled.
    """
    found: dict[str, float] = {}
    for split in ("val", "test"):
        for name, values in answers(target, data, split, device).items():
            figure = f"loss@{split}" if name == "loss" else f"dice@{split} {name}".rstrip()
            interval = mean(Sample.of([value for _, value in values], [patient for patient, _ in values]))
            found[figure] = interval.estimate
            if split == "test" and name != "loss":
                found |= {f"{figure} low": interval.low, f"{figure} high": interval.high}
    return {name: value for name, value in found.items() if math.isfinite(value)}
