"""An orthogonal mixing of channels, learned as a product of reflections."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Householder(nn.Module):
    """W = (I - 2 v1 v1^T / |v1|^2) (I - 2 v2 v2^T / |v2|^2) ..., orthogonal whatever its parameters are.

    Source: Putzky and Welling 2019, arXiv:1911.10914, section 3.1.

    channels: size of W.
    projections: number of reflections.
    """

    def __init__(self, channels: int, projections: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(projections, channels))

    def forward(self) -> Tensor:
        """W, (channels, channels)."""
        unit = self.vectors / self.vectors.norm(dim=1, keepdim=True)
        matrix = torch.eye(unit.shape[1], dtype=unit.dtype, device=unit.device)
        for vector in unit:
            matrix = matrix - 2 * torch.outer(matrix @ vector, vector)
        return matrix
