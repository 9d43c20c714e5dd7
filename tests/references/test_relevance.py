"""Dice of groupings and thresholds equal brute force over every subset, prefix and threshold; rank correlation equals scipy's."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain, combinations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor

from medrobust.imaging.relevance import (
    best_grouping,
    best_threshold,
    ceiling,
    cumulative,
    overlap,
    pointing,
    ranked,
    region_scores,
    spearman,
)


@st.composite
def maps(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """A region map with labels 0, ..., K - 1, one score a region with ties, and a mask with at least one voxel."""
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(2, 4)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    regions = torch.randint(draw(st.integers(1, 6)), shape, generator=generator).flatten().unique(return_inverse=True)[1].view(shape)
    scores = torch.randint(draw(st.sampled_from([2, 50])), (int(regions.max()) + 1,), generator=generator) / 7
    mask = torch.rand(shape, generator=generator) < draw(st.sampled_from([0.2, 0.5]))
    mask.view(-1)[draw(st.integers(0, mask.numel() - 1))] = True
    return regions, scores, mask


def dice(chosen: Tensor, mask: Tensor) -> float:
    return 2 * int((chosen & mask).sum()) / (int(chosen.sum()) + int(mask.sum()))


def union(regions: Tensor, labels: Iterable[int]) -> Tensor:
    chosen = torch.zeros_like(regions, dtype=torch.bool)
    for label in labels:
        chosen |= regions == label
    return chosen


def order(scores: Tensor) -> list[int]:
    return sorted(range(len(scores)), key=lambda label: (-float(scores[label]), label))


@settings(deadline=None, max_examples=100)
@given(maps())
def test_best_grouping_equals_adding_regions_one_by_one(case: tuple[Tensor, Tensor, Tensor]) -> None:
    regions, scores, mask = case
    best, chosen = 0.0, torch.zeros_like(mask)
    for label in order(scores):
        chosen = chosen | (regions == label)
        best = max(best, dice(chosen, mask))
    assert best_grouping(scores, overlap(regions, mask)) == pytest.approx(best)


@settings(deadline=None, max_examples=100)
@given(maps())
def test_ceiling_equals_the_best_of_all_subsets(case: tuple[Tensor, Tensor, Tensor]) -> None:
    regions, scores, mask = case
    labels = range(len(scores))
    subsets = chain.from_iterable(combinations(labels, size) for size in range(1, len(scores) + 1))
    best = max(dice(union(regions, subset), mask) for subset in subsets)
    assert ceiling(overlap(regions, mask)) == pytest.approx(best)
    assert best_grouping(scores, overlap(regions, mask)) <= best + 1e-12


@settings(deadline=None, max_examples=100)
@given(maps(), st.integers(1, 8))
def test_dice_by_rank_and_by_cumulative_rank_equal_masks_made_by_hand(case: tuple[Tensor, Tensor, Tensor], ranks: int) -> None:
    regions, scores, mask = case
    labels = order(scores)
    missing = [math.nan] * max(ranks - len(labels), 0)
    alone = [dice(regions == label, mask) for label in labels][:ranks] + missing
    together = [dice(union(regions, labels[: rank + 1]), mask) for rank in range(len(labels))][:ranks] + missing
    counted = overlap(regions, mask)
    assert ranked(scores, counted, ranks).tolist() == pytest.approx(alone, nan_ok=True)
    assert cumulative(scores, counted, ranks).tolist() == pytest.approx(together, nan_ok=True)


@settings(deadline=None, max_examples=100)
@given(maps())
def test_best_threshold_equals_the_best_of_all_thresholds(case: tuple[Tensor, Tensor, Tensor]) -> None:
    regions, scores, mask = case
    relevance = scores[regions]
    best = max(dice(relevance >= threshold, mask) for threshold in relevance.unique())
    assert best_threshold(relevance, mask) == pytest.approx(best)


def test_no_threshold_cuts_between_equal_voxels() -> None:
    mask = torch.tensor([True, True, False, False, False, False])
    assert best_threshold(torch.zeros(6), mask) == pytest.approx(2 * 2 / 8)


@settings(deadline=None, max_examples=100)
@given(maps())
def test_scores_of_regions_are_the_maps_own_values(case: tuple[Tensor, Tensor, Tensor]) -> None:
    regions, scores, _ = case
    painted = scores[regions] / 3
    torch.testing.assert_close(region_scores(painted, regions), (scores / 3).double(), rtol=0, atol=0)


def test_equal_scores_keep_the_order_of_their_labels() -> None:
    regions, scores = torch.arange(40), torch.zeros(40)
    scores[25:30] = 1
    mask = torch.arange(40) == 25
    assert ranked(scores, overlap(regions, mask), 3).tolist() == [1, 0, 0]
    mask = torch.arange(40) == 0
    assert ranked(scores, overlap(regions, mask), 6).tolist() == [0, 0, 0, 0, 0, 1]


def test_an_empty_mask_has_no_dice() -> None:
    regions, relevance, mask = torch.arange(4), torch.rand(4), torch.zeros(4, dtype=torch.bool)
    counted = overlap(regions, mask)
    values = [best_grouping(relevance, counted), ceiling(counted), best_threshold(relevance, mask), *cumulative(relevance, counted, 2).tolist()]
    assert all(math.isnan(value) for value in values)
    assert pointing(relevance, mask) is None


def test_a_map_points_at_its_highest_voxel() -> None:
    relevance = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(3, 4, 5, dtype=torch.bool)
    mask[1, 2, 3] = True
    assert pointing(relevance, mask) == (False, 0)
    relevance[1, 2, 3] = 2
    assert pointing(relevance, mask) == (True, 1)


def test_a_map_of_regions_points_at_the_centre_of_the_first() -> None:
    regions = torch.zeros(5, 5, dtype=torch.int64)
    regions[:, 2:] = 1
    regions[0, 0] = 2
    mask = torch.zeros(5, 5, dtype=torch.bool)
    mask[2, 3], mask[0, 2] = True, True
    relevance = torch.tensor([0.5, 0.9, 0.9])[regions]
    assert pointing(relevance, mask, regions) == (True, pytest.approx(2 / 15))
    mask[2, 3] = False
    assert pointing(relevance, mask, regions) == (False, pytest.approx(1 / 15))


def test_a_constant_map_points_nowhere() -> None:
    mask = torch.ones(3, 3, 3, dtype=torch.bool)
    assert pointing(torch.zeros(3, 3, 3), mask) == (False, 1)
    assert pointing(torch.zeros(3, 3, 3), mask, torch.arange(27).view(3, 3, 3)) == (False, 1)


@settings(deadline=None, max_examples=100)
@given(st.integers(2, 40), st.sampled_from([2, 5, 1000]), st.integers(0, 2**32))
def test_rank_correlation_equals_scipys(size: int, levels: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    first, second = torch.randint(levels, (2, size), generator=generator) / 3
    assume(len(first.unique()) > 1)
    assume(len(second.unique()) > 1)
    assert spearman(first, second) == pytest.approx(spearmanr(first.numpy(), second.numpy()).statistic)


def test_a_constant_map_correlates_with_nothing() -> None:
    assert math.isnan(spearman(torch.zeros(5), torch.arange(5.0)))
