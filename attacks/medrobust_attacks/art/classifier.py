"""A classifier as ART sees it: one case, in coordinates in which its range of intensities is [0, 1], never left by more than the budget allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from art.estimators.classification.classifier import ClassGradientsMixin, ClassifierMixin
from torch import Tensor

from medrobust.budgets import Norm
from medrobust_attacks.art.estimator import TargetEstimator, Values
from medrobust_attacks.norm_bounded.answer import Answer
from medrobust_attacks.norm_bounded.ball import reach
from medrobust_attacks.norm_bounded.objectives import Objective, own
from medrobust_attacks.norm_bounded.search import Search


class ClassifierEstimator(ClassGradientsMixin, ClassifierMixin, TargetEstimator):  # type: ignore[misc]
    """One case of a classifier: logits, slopes of the loss or of `objective`, and slopes of single logits.

    Every image is brought into the budget before the target is asked, so that nothing outside of it counts; slopes are those at that image.
    Intensities are told to ART as shares of the budget's range, of which an open end is the image's own: several of its attacks are made for [0, 1].

    budget: of the search. objective: what `loss_gradient` and `compute_loss` tell of.
    """

    def __init__(self, search: Search, budget: Norm, clip_values: tuple[float, float] | None, objective: Objective = own) -> None:
        clean = search.batch.image
        self.budget, self.objective = budget, objective
        self.low = float(clean.amin()) if budget.low is None else budget.low
        high = float(clean.amax()) if budget.high is None else budget.high
        self.scale = high - self.low if high > self.low else 1.0
        self.built = False
        super().__init__(search=search, clip_values=clip_values)
        self._nb_classes = 2 if search.logits is None else search.logits.shape[1]

    @property
    def epsilon(self) -> float:
        """The radius of the case in ART's coordinates."""
        return float(reach(self.budget, self.search.batch.image)) / self.scale

    @property
    def clean(self) -> np.ndarray[Any, Any]:
        """The clean image in ART's coordinates, (1, c, *space)."""
        shares: np.ndarray[Any, Any] = ((self.search.batch.image - self.low) / self.scale).cpu().numpy()
        return shares

    @property
    def truth(self) -> np.ndarray[Any, Any]:
        """The true class as ART takes it, (1, k)."""
        truth: np.ndarray[Any, Any] = np.eye(self._nb_classes, dtype=np.float32)[self.search.batch.truth.cpu().numpy()]
        return truth

    def image(self, x: Values) -> Tensor:
        """What ART asks about, in the data's units and within the budget, (1, c, *space)."""
        return self.budget.project(super().image(x) * self.scale + self.low, self.search.batch.image)

    def loss_gradient(self, x: Values, y: Values, **_: Any) -> Values:
        """The slope of the objective."""
        self.search.objective = self.objective
        return super().loss_gradient(x, y) * self.scale

    def compute_loss(self, x: Values, y: Values, **_: Any) -> Values:
        """The objective, (1,)."""
        self.search.objective = self.objective
        return super().compute_loss(x, y)

    def predict(self, x: Values, *further: Any, **_: Any) -> Values:  # noqa: ARG002
        """The logits, (1, k); zeros to the constructors of attacks, which only want to see that these are no probabilities."""
        if not self.built:
            return np.zeros((1, self._nb_classes), np.float32)
        self.search.ask(self.image(x))
        return self._logits().cpu().numpy()

    def class_gradient(self, x: Values, label: Values = None, **_: Any) -> Values:
        """The slope of the logit of `label`, (1, 1, c, *space), or of every class where it is None, (1, k, c, *space)."""
        labels = range(self._nb_classes) if label is None else [int(np.ravel(label)[0])]
        slopes = [self._slope(self.image(x), one) for one in labels]
        return torch.stack(slopes, 1).cpu().numpy() * self.scale

    def _slope(self, image: Tensor, label: int) -> Tensor:
        def logit(answer: Answer, truth: Tensor, rows: Tensor) -> Tensor:  # noqa: ARG001 - an objective
            if answer.logits is None:
                raise TypeError
            return answer.logits[:, label]

        self.search.objective = logit
        return self.search.slope(image)[1]

    def _logits(self) -> Tensor:
        if self.search.logits is None:
            msg = "predict: found an answer without logits, expected a classifier's"
            raise RuntimeError(msg)
        return self.search.logits
