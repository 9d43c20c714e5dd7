"""What a classifier's training is judged by: cross-entropy, area under the ROC curve and accuracy, with intervals by patient."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from medrobust.errors import MedrobustError
from medrobust.stats import Sample, auc, auc_interval, clustered_rate
from medrobust.targets.classification import score
from medrobust.types import Data, Target


@dataclass(frozen=True)
class Answers:
    """A split as a target answers it, one entry a volume.

    losses: (n,) in nats. scores: (n,) probability of the positive class. truth: (n,) class. right: (n,) the likeliest class is the true one.
    patients: (n,) names.
    """

    losses: NDArray[np.float64]
    scores: NDArray[np.float64]
    truth: NDArray[np.int64]
    right: NDArray[np.bool_]
    patients: NDArray[np.str_]

    @property
    def positive(self) -> NDArray[np.bool_]:
        """Whether the true class is the one whose probability is scored: the last of those present."""
        return np.asarray(self.truth == self.truth.max())


def answers(target: Target, data: Data, split: str, device: str) -> Answers:
    """Ask for every volume of a split, one at a time."""
    cases = data.cases(split)
    if not cases:
        msg = f"training data: found no case in split '{split}', expected at least one"
        raise MedrobustError(msg)
    rows = []
    with torch.inference_mode():
        for case in cases:
            one = data.load([case]).to(device)
            prediction = target(one.image, one)
            guess = int(prediction.argmax(1)) if prediction.shape[1] > 1 else int(prediction[0, 0] > 0.5)
            rows.append((float(target.loss(one.image, one)), float(score(prediction)), int(one.truth), guess == int(one.truth), case.patient))
    losses, scores, truth, right, patients = zip(*rows, strict=True)
    return Answers(np.array(losses), np.array(scores), np.array(truth), np.array(right), np.array(patients))


def validate(target: Target, data: Data, device: str) -> dict[str, float]:
    """`loss` and, where the validation split holds two classes, `auc`."""
    found = answers(target, data, "val", device)
    area = auc(found.scores, found.positive)
    return {"loss": float(found.losses.mean()), **({"auc": area} if math.isfinite(area) else {})}


def figures(target: Target, data: Data, device: str) -> dict[str, float]:
    """Area under the curve, accuracy and loss of the splits `val` and `test`, such as `auc@test`.

    `auc@test low` and `high`: the 95 % interval, patients resampled; likewise of accuracy. What is not defined is left out.
    """
    found: dict[str, float] = {}
    for split in ("val", "test"):
        seen = answers(target, data, split, device)
        area = auc_interval(seen.scores, seen.positive, seen.patients)
        rate = clustered_rate(Sample.of(seen.right, seen.patients))
        for name, interval in (("auc", area), ("accuracy", rate)):
            found |= {f"{name}@{split}": interval.estimate, f"{name}@{split} low": interval.low, f"{name}@{split} high": interval.high}
        found[f"loss@{split}"] = float(seen.losses.mean())
    return {name: value for name, value in found.items() if math.isfinite(value)}
