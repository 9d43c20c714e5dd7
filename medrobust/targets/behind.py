"""A network seen through a change of its input."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]
"""Image (n, c, *space) to image of the same shape, in the same intensity units."""


class Behind(nn.Module):
    """A network that is shown every image changed; `inner` is the network itself, in the mode that it is in."""

    def __init__(self, inner: nn.Module, change: Change) -> None:
        super().__init__()
        self.inner = inner
        self.change = change
        self.training = inner.training

    def forward(self, image: Tensor) -> Tensor:
        """The answer of `inner` to the changed image."""
        answer: Tensor = self.inner(self.change(image))
        return answer
