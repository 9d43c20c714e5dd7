"""What a generator made before, kept so that a discriminator does not forget it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


class Pool:
    """Up to `size` images that are given back now and then in the place of new ones.

    Until it is full every image is kept and given back; from then on each is, with even odds, put in the place of a random kept one, which is given
    back instead. A pool of 0 gives back what it is given.

    Source: Shrivastava et al. 2017, arXiv:1612.07828, section 2.3, with the size and the odds of Zhu et al. 2017, arXiv:1703.10593.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.images: list[Tensor] = []

    def __call__(self, images: Tensor, random: torch.Generator) -> Tensor:
        """Images (n, c, H, W), one after another; as many, without a graph."""
        return torch.stack([self._exchanged(image, random) for image in images.detach()])

    def _exchanged(self, image: Tensor, random: torch.Generator) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())
            return image
        if not self.size or float(torch.rand((), generator=random)) <= 0.5:
            return image
        place = int(torch.randint(self.size, (), generator=random))
        kept, self.images[place] = self.images[place], image.clone()
        return kept

    def tensors(self) -> dict[str, Tensor]:
        """What is kept, by its place."""
        return {str(place): image for place, image in enumerate(self.images)}

    def recall(self, tensors: Mapping[str, Tensor]) -> None:
        """The reverse of `tensors`."""
        self.images = [tensors[str(place)] for place in range(len(tensors))]
