"""Dice of maps equals brute force over masks made by hand, keeps its bounds, and depends on the order of relevance alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medrobust.metrics.localisation import DiceCeiling, DiceCumulative, DiceGrouping, DiceRank, DiceRelative
from medrobust.metrics.pointing import LostTumour, MissedTumour, PointingGame
from medrobust.types import Attacked, Batch, Case, Explained, Metric, Outcome

ALL: list[Metric] = [DiceGrouping(), DiceCeiling(), DiceRelative(), DiceRank(), DiceCumulative(), PointingGame(), MissedTumour()]
OF_REGIONS: list[Metric] = [DiceCeiling(), DiceRelative(), DiceRank(), DiceCumulative()]


def outcome(relevance: Tensor, regions: Tensor | None, tumour: Tensor, **context: Tensor) -> Outcome:
    """Maps (n, *space) against masks (n, *space)."""
    cases = tuple(Case(f"case{i}", f"patient{i}", f"case{i}") for i in range(len(tumour)))
    image = torch.zeros(len(tumour), 4, *tumour.shape[1:])
    batch = Batch(image, torch.zeros(len(tumour), dtype=torch.int64), cases, {"tumour": tumour[:, None], **context})
    return Outcome(batch, Attacked(image), torch.full((len(tumour), 1), 0.5), Explained(relevance.float(), regions))


def values(metric: Metric, found: Outcome) -> dict[str, list[float]]:
    scored = metric(found)
    labelled = scored if isinstance(scored, Mapping) else {"": scored}
    return {label: tensor.tolist() for label, tensor in labelled.items()}


def value(metric: Metric, found: Outcome, label: str = "") -> float:
    (one,) = values(metric, found)[label]
    return one


def dice(chosen: Tensor, mask: Tensor) -> float:
    return 2 * int((chosen & mask).sum()) / (int(chosen.sum()) + int(mask.sum()))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor]:
    """Relevance (3, 4, 5) with ties, constant in each of at most six regions, and a mask that is not empty."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    regions = torch.randint(draw(st.integers(1, 6)), (60,), generator=generator).unique(return_inverse=True)[1].view(3, 4, 5)
    scores = torch.randint(draw(st.sampled_from([1, 3, 50])), (6,), generator=generator) / 7
    tumour = torch.rand(3, 4, 5, generator=generator) < 0.3
    tumour[1, 2, draw(st.integers(0, 4))] = True
    return scores[regions], regions, tumour


@settings(deadline=None, max_examples=60)
@given(cases())
def test_dice_of_regions_equals_brute_force(case: tuple[Tensor, Tensor, Tensor]) -> None:
    relevance, regions, tumour = case
    labels = range(int(regions.max()) + 1)
    order = sorted(labels, key=lambda label: (-float(relevance[regions == label][0]), label))
    prefixes = [torch.isin(regions, torch.tensor(order[: rank + 1])) for rank in labels]
    subsets = [torch.isin(regions, torch.tensor(subset)) for size in labels for subset in combinations(labels, size + 1)]
    grouping, ceiling = (max(dice(chosen, tumour) for chosen in masks) for masks in (prefixes, subsets))
    found = outcome(relevance[None], regions[None], tumour[None])
    assert value(DiceGrouping(), found) == pytest.approx(grouping)
    assert value(DiceCeiling(), found) == pytest.approx(ceiling)
    assert value(DiceRelative(), found) == pytest.approx(grouping / ceiling)
    for rank in range(5):
        alone = dice(regions == order[rank], tumour) if rank < len(order) else math.nan
        together = dice(prefixes[rank], tumour) if rank < len(order) else math.nan
        assert value(DiceRank(5), found, str(rank + 1)) == pytest.approx(alone, nan_ok=True)
        assert value(DiceCumulative(), found, str(rank + 1)) == pytest.approx(together, nan_ok=True)
    assert value(MissedTumour(), found) == float(not (tumour & (regions == order[0])).any() or len(relevance.unique()) == 1)


@settings(deadline=None, max_examples=60)
@given(cases())
def test_dice_stays_between_nothing_the_ceiling_and_one(case: tuple[Tensor, Tensor, Tensor]) -> None:
    found = outcome(*(one[None] for one in case))
    best = value(DiceGrouping(), found)
    assert 0 < best <= value(DiceCeiling(), found) + 1e-12 <= 1 + 1e-12
    assert 0 < value(DiceRelative(), found) <= 1 + 1e-12
    for metric in (DiceRank(), DiceCumulative()):
        assert all(0 <= one <= 1 or math.isnan(one) for row in values(metric, found).values() for one in row)
    cumulative = [one for (one,) in values(DiceCumulative(6), found).values() if not math.isnan(one)]
    assert max(cumulative) == pytest.approx(best), "of six regions at most, the best grouping is the best cumulative rank"


@settings(deadline=None, max_examples=60)
@given(cases(), st.booleans(), st.sampled_from([lambda x: 3 * x - 7, torch.exp, lambda x: (x - 2) ** 3]))
def test_only_the_order_of_relevance_counts(case: tuple[Tensor, Tensor, Tensor], voxels: bool, rising: object) -> None:
    relevance, regions, tumour = case
    kept = None if voxels else regions[None]
    own = outcome(relevance[None], kept, tumour[None])
    other = outcome(rising(relevance.double())[None], kept, tumour[None])  # type: ignore[operator]
    for metric in ALL:
        one, moved = values(metric, own), values(metric, other)
        assert all(one[label] == pytest.approx(moved[label], nan_ok=True) for label in one), metric.name


@settings(deadline=None, max_examples=60)
@given(cases())
def test_dice_of_voxels_equals_brute_force_over_thresholds(case: tuple[Tensor, Tensor, Tensor]) -> None:
    relevance, _, tumour = case
    found = outcome(relevance[None], None, tumour[None])
    assert value(DiceGrouping(), found) == pytest.approx(max(dice(relevance >= threshold, tumour) for threshold in relevance.unique()))


def test_maps_of_voxels_have_neither_ceiling_nor_ranks() -> None:
    tumour = torch.ones(2, 3, 3, 3, dtype=torch.bool)
    found = outcome(torch.rand(2, 3, 3, 3), None, tumour)
    for metric in OF_REGIONS:
        assert all(math.isnan(one) for row in values(metric, found).values() for one in row), metric.name
    assert list(values(DiceRank(), found)) == ["1", "2", "3"]
    assert list(values(DiceCumulative(), found)) == ["1", "2", "3", "4", "5"]


def test_a_case_without_a_tumour_is_undefined_and_spoils_no_other() -> None:
    regions = (torch.arange(27) // 9).view(1, 3, 3, 3).expand(2, -1, -1, -1)
    tumour = torch.zeros(2, 3, 3, 3, dtype=torch.bool)
    tumour[1, 0] = True
    relevance = 2.0 - regions
    for kept in (regions, None):
        found = outcome(relevance, kept, tumour)
        for metric in ALL:
            for row in values(metric, found).values():
                assert math.isnan(row[0]), metric.name
                assert metric in OF_REGIONS or not math.isnan(row[1]), metric.name
    assert values(DiceGrouping(), outcome(relevance, regions, tumour))[""][1] == 1


def test_equal_relevance_keeps_the_order_of_labels() -> None:
    regions = torch.arange(27).view(1, 3, 3, 3)
    tumour = (regions == 0) | (regions == 2)
    found = outcome(torch.zeros(1, 3, 3, 3), regions, tumour)
    assert [one for (one,) in values(DiceRank(), found).values()] == pytest.approx([2 / 3, 0, 2 / 3])
    assert value(DiceGrouping(), found) == pytest.approx(4 / 5)


def test_a_constant_map_points_nowhere_and_misses() -> None:
    regions = torch.arange(27).view(1, 3, 3, 3)
    for kept in (regions, None):
        found = outcome(torch.ones(1, 3, 3, 3), kept, regions < 20)
        assert values(PointingGame(), found) == {"": [0], "fraction": [0]}
        assert value(MissedTumour(), found) == 1


def test_touching_the_tumour_is_not_missing_it_and_its_centre_must_hit() -> None:
    regions = torch.zeros(1, 1, 5, 5, dtype=torch.int64)
    regions[..., 2:] = 1
    tumour = torch.zeros(1, 1, 5, 5, dtype=torch.bool)
    tumour[..., 0, 2] = True
    found = outcome(regions.float(), regions, tumour)
    assert values(PointingGame(), found) == {"": [0], "fraction": [pytest.approx(1 / 15)]}
    assert value(MissedTumour(), found) == 0
    tumour[..., 2, 3] = True
    assert value(PointingGame(), outcome(regions.float(), regions, tumour)) == 1
    assert value(MissedTumour(), outcome(1.0 - regions, regions, tumour)) == 1


def test_the_share_of_the_tumour_that_was_cut_off_is_the_datas() -> None:
    found = outcome(torch.rand(2, 3, 3, 3), None, torch.ones(2, 3, 3, 3, dtype=torch.bool), lost=torch.tensor([0.0, 0.25]))
    assert LostTumour()(found).tolist() == [0, 0.25]


def test_what_is_not_there_is_said_in_one_line() -> None:
    found = outcome(torch.rand(1, 3, 3, 3), None, torch.ones(1, 3, 3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="found no relevance map, expected one"):
        DiceGrouping()(replace(found, explained=None))
    with pytest.raises(ValueError, match="context: found nothing, expected data that give 'tumour'"):
        DiceGrouping()(replace(found, batch=replace(found.batch, context={})))
    with pytest.raises(ValueError, match="context: found tumour, expected data that give 'lost'"):
        LostTumour()(found)
    gap = torch.zeros(1, 3, 3, 3, dtype=torch.int64)
    gap[:, 0] = 2
    with pytest.raises(ValueError, match="regions: found no voxel of label 1, expected labels 0, 1"):
        DiceGrouping()(replace(found, explained=Explained(torch.rand(1, 3, 3, 3), gap)))
    with pytest.raises(ValueError, match="ranks: found 0, expected at least 1"):
        DiceRank(0)
