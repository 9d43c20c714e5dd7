"""What a metric of organs looks at: which pixels are an organ, in the truth as it was, in the truth as it moved, and in the answer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from medrobust.types import Outcome

ABDOMEN = ("pancreas", "kidneys", "liver", "spleen")
"""Labels 1, 2, 3, 4 of the abdominal data sets."""


def answered(outcome: Outcome, organs: tuple[str, ...]) -> Tensor:
    """The most probable class of each pixel, (n, 1, H, W) int64, of equally probable ones the first.

    Raises ValueError where there are not as many classes as organs and background, or labels beyond.
    """
    logs = outcome.prediction
    if logs.ndim != 4 or logs.shape[1] != len(organs) + 1:
        names = ", ".join(organs)
        msg = f"organs: found {len(organs)} names ({names}) for a prediction {tuple(logs.shape)}, expected one name a class but background"
        raise ValueError(msg)
    highest = max(int(outcome.batch.truth.max()), int(outcome.truth.max()))
    if highest > len(organs):
        msg = f"organs: found label {highest} in the truth, expected labels 0 to {len(organs)} ({', '.join(organs)})"
        raise ValueError(msg)
    return logs.argmax(1, keepdim=True)


def overlap(answer: Tensor, truth: Tensor, label: int) -> float:
    """Dice of one label over all pixels of both, in [0, 1]; NaN where the truth has none of it."""
    one, other = answer == label, truth == label
    if not bool(other.any()):
        return float("nan")
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def averaged(of: Callable[[int], float], organs: tuple[str, ...]) -> dict[str, Tensor]:
    """One value (1,) for each organ, and the mean of those that are defined as the one without a label."""
    values = torch.tensor([of(label) for label in range(1, len(organs) + 1)], dtype=torch.float64)
    return {"": values.nanmean().view(1), **{organ: value.view(1) for organ, value in zip(organs, values, strict=True)}}


def dice(answer: Tensor, truth: Tensor, organs: tuple[str, ...]) -> dict[str, Tensor]:
    """Dice of each organ over all slices (n, 1, H, W) at once, and their mean, (1,) each."""
    return averaged(partial(overlap, answer, truth), organs)


def require_organs(organs: tuple[str, ...]) -> tuple[str, ...]:
    """The same as a tuple. Raises ValueError where there is none, or one twice."""
    names = tuple(organs)
    if not names or len(set(names)) < len(names) or "" in names:
        msg = f"organs: found {list(names)}, expected at least one name, each once"
        raise ValueError(msg)
    return names
