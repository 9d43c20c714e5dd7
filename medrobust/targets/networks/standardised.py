"""A linear layer over standardised features: learnt at ease where features differ little around a large mean."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import linear


class StandardisedLinear(nn.Linear):
    """Linear on features (n, inputs) that have mean 0 and variance 1: over the batch in training, by running statistics in evaluation.

    Averages over a whole volume differ by a few per cent from case to case; without this a step moves all answers together before it parts any two.
    In evaluation it is one linear map of the features as they come.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.statistics = nn.BatchNorm1d(inputs, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(self.statistics(x))
        mean, variance = self.statistics.running_mean, self.statistics.running_var
        assert mean is not None and variance is not None, "running statistics are kept"  # noqa: PT018, S101 - for the type checker
        weight = self.weight * (variance + self.statistics.eps).rsqrt()
        return linear(x, weight, self.bias - weight @ mean)
