"""The query that an attack returns, and the loss of all that it made."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Best:
    """What had the highest loss so far, case by case; the first of equals is kept.

    losses: of every query in order, (n,) each.
    highest: of them, (n,); None before the first.
    kept: the tensors (n, c, H, W) of the query that had it, by name.
    """

    losses: list[Tensor] = field(default_factory=list)
    highest: Tensor | None = None
    kept: dict[str, Tensor] = field(default_factory=dict)

    def take(self, loss: Tensor, **tensors: Tensor) -> None:
        """Take in one query of each case and its loss (n,)."""
        self.losses.append(loss)
        if self.highest is None:
            self.highest, self.kept = loss, tensors
            return
        better = (loss > self.highest).view(-1, 1, 1, 1)
        self.highest = torch.maximum(self.highest, loss)
        self.kept = {name: torch.where(better, tensor, self.kept[name]) for name, tensor in tensors.items()}

    @property
    def trace(self) -> dict[str, Tensor]:
        """The trace as an attack returns it."""
        return {"loss": torch.stack(self.losses, 1)}
