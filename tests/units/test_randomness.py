"""Streams of cases: each its own, and how much of a seed they keep."""

from __future__ import annotations

import torch

from medrobust.randomness import CaseRandom, derive


def test_seeds_draw_alike_where_their_lower_32_bits_are_equal() -> None:
    one, other, upper = (CaseRandom.of([seed]).uniform(0, 1, 8) for seed in (5, 6, 5 + 2**32))
    assert torch.equal(one, upper)
    assert not torch.equal(one, other)


def test_the_streams_of_a_track_are_all_different() -> None:
    drawn = CaseRandom.of([derive(0, f"case {index}") for index in range(2000)]).uniform(0, 1, 4)
    assert len(drawn.unique(dim=0)) == 2000
