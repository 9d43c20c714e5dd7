"""Targets as ART sees models: estimators that answer for a whole batch of cases, each with its own context and truth."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import torch
from art.estimators.pytorch import PyTorchEstimator
from torch import Tensor

from medrobust.budgets import Norm
from medrobust_attacks.norm_bounded.search import Search

Values = Any  # what ART passes: numpy arrays or torch tensors


class TargetEstimator(PyTorchEstimator):  # type: ignore[misc]
    """A target of any task, whose loss ART raises; image i of what ART asks about is of case i of the batch.

    search: takes every query in. clip_values: the intensities that ART may clip to, those of the budget.
    """

    def __init__(self, search: Search, clip_values: tuple[float, float] | None) -> None:
        device = search.batch.image.device
        super().__init__(model=None, clip_values=clip_values, channels_first=True, preprocessing=None, device_type=device.type)
        self._device = device
        self.search = search

    @property
    def device(self) -> torch.device:
        """Where ART's own tensors are made."""
        return self._device

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of one image, (c, *space)."""
        return tuple(self.search.batch.image.shape[1:])

    def loss_gradient(self, x: Values, y: Values, **_: Any) -> Values:  # noqa: ARG002 - the batch knows the truth
        """The slope of each case's own loss; no parameter's gradient is computed."""
        return like(self.search.slope(self.image(x))[1], x)

    def compute_loss(self, x: Values, y: Values, **_: Any) -> Values:  # noqa: ARG002
        """The loss of each case, (n,)."""
        return like(self.search.ask(self.image(x)), x)

    def predict(self, x: Values, *further: Any, **_: Any) -> NoReturn:
        """Not asked by the attacks that need a loss alone."""
        msg = "predict: found a question for classes, expected one for the loss"
        raise NotImplementedError(msg)

    fit = get_activations = compute_loss_from_predictions = predict

    def image(self, x: Values) -> Tensor:
        """What ART asks about as images, (n, c, *space) float32 on the device of the batch; a copy of an array: ART writes over its own."""
        return torch.tensor(x, dtype=torch.float32, device=self._device) if isinstance(x, np.ndarray) else x.detach()


def like(found: Tensor, x: Values) -> Values:
    """An answer of the kind of the question: an array to an array, a tensor to a tensor."""
    return found.cpu().numpy() if isinstance(x, np.ndarray) else found


def limits(budget: Norm) -> tuple[float, float] | None:
    """The range that ART may clip to: the budget's own, never a default; None where both ends are open."""
    if budget.low is None and budget.high is None:
        return None
    return -np.inf if budget.low is None else budget.low, np.inf if budget.high is None else budget.high
