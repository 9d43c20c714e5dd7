"""One random stream a case, so that results depend on no batch size, shard or order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def derive(*parts: object) -> int:
    """A 63-bit seed from the parts' text, the same in every process and on every machine; a torch generator on the CPU keeps 32 bits of it."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


@dataclass(frozen=True)
class CaseRandom:
    """Draws for n cases at once, each from its own generator, (n, *shape).

    Generators live on the CPU, so that draws depend on no device; `.to(device)` the result. Of a seed torch's CPU generator keeps the lower 32 bits:
    seeds that differ above them draw alike, as any two of n derived seeds do with a probability of about n^2 / 2^33: of 1,000 cases, 1 in 8,600.
    """

    generators: tuple[torch.Generator, ...]

    @classmethod
    def of(cls, seeds: Sequence[int]) -> CaseRandom:
        return cls(tuple(torch.Generator().manual_seed(seed) for seed in seeds))

    def __len__(self) -> int:
        return len(self.generators)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Float32 draws from U(low, high), (n, *shape)."""
        return low + (high - low) * torch.stack([torch.rand(shape, generator=generator) for generator in self.generators])

    def normal(self, *shape: int) -> Tensor:
        """Float32 draws from N(0, 1), (n, *shape)."""
        return torch.stack([torch.randn(shape, generator=generator) for generator in self.generators])

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        """Int64 draws from low, ..., high - 1, (n, *shape)."""
        return torch.stack([torch.randint(low, high, shape, generator=generator) for generator in self.generators])
