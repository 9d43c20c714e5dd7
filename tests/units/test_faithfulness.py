"""Deletion and insertion equal what a hand-made classifier gives in closed form; agreement equals scipy's rank correlation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from medrobust.guard import BLACK_BOX, Guarded
from medrobust.metrics.agreement import Randomisation, RandomisedDice, SeedAgreement
from medrobust.metrics.faithfulness import Deletion, Insertion
from medrobust.metrics.localisation import DiceGrouping
from medrobust.types import Attacked, Batch, Case, Explained, Outcome

Make = Callable[..., Outcome]
EDGE, CUBES = 4, 8
"""Volumes of 8 x 8 x 8 voxels in eight cubes; a classifier that sees the first cube alone."""


class FirstCube:
    """Probability of class 1: the mean of the first cube, (n, 1); or of both classes, (n, 2)."""

    task, digest = "classification", "0123456789ab"

    def __init__(self, classes: int = 1) -> None:
        self.classes, self.asked, self.most = classes, 0, 0

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        assert len(image) == len(batch.cases) == len(batch.truth) == len(batch.context["tumour"])
        self.asked, self.most = self.asked + len(image), max(self.most, len(image))
        mean = image[:, :, :EDGE, :EDGE, :EDGE].flatten(1).mean(1, keepdim=True)
        return mean if self.classes == 1 else torch.cat([1 - mean, mean], 1)

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        raise NotImplementedError

    def to(self, device: torch.device | str) -> FirstCube:
        return self


def cubes() -> Tensor:
    one = torch.arange(2 * EDGE) // EDGE
    return 4 * one[:, None, None] + 2 * one[:, None] + one


def outcome(scores: list[list[float]], brightness: list[float], target: FirstCube, *, voxels: bool = False) -> Outcome:
    """Volumes of constant brightness, and a map whose cubes have these scores."""
    regions = cubes().expand(len(scores), -1, -1, -1)
    relevance = torch.stack([torch.tensor(one)[cubes()] for one in scores])
    image = torch.tensor(brightness).view(-1, 1, 1, 1, 1).expand(-1, 4, 8, 8, 8).contiguous()
    cases = tuple(Case(f"case{i}", f"patient{i}", f"case{i}") for i in range(len(scores)))
    batch = Batch(image, torch.ones(len(scores), dtype=torch.int64), cases, {"tumour": torch.ones(len(scores), 1, 8, 8, 8, dtype=torch.bool)})
    prediction = FirstCube(target.classes)(image, batch)
    explained = Explained(relevance, None if voxels else regions)
    return Outcome(batch, Attacked(image), prediction, explained, target)


def rank(place: int) -> list[float]:
    """Scores under which the first cube has that rank, from 1."""
    others = [9.0 - i for i in range(CUBES) if i != place - 1]
    return [9.0 - (place - 1), *others]


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("place", [1, 3, 8])
def test_areas_are_those_of_a_step_at_the_rank_of_the_only_cube_that_counts(place: int, classes: int) -> None:
    found = outcome([rank(place)], [0.8], FirstCube(classes))
    before = place - 0.5  # trapezoids: the fall takes one step
    assert Deletion()(found).tolist() == pytest.approx([0.8 * before / CUBES])
    assert Insertion()(found).tolist() == pytest.approx([0.8 * (CUBES - before) / CUBES])


def test_the_probability_is_that_of_the_predicted_class() -> None:
    found = outcome([rank(1)], [0.2], FirstCube())
    assert Deletion()(found).tolist() == pytest.approx([0.8 / 2 / CUBES + (CUBES - 0.5) / CUBES])
    assert Insertion()(found).tolist() == pytest.approx([1 - 0.2 * (CUBES - 0.5) / CUBES])


@pytest.mark.parametrize(("steps", "expected"), [(8, 0.8 * 2.5 / 8), (100, 0.8 * 2.5 / 8), (4, 0.8 * 1.5 / 4), (1, 0.8 / 2)])
def test_regions_share_steps_where_there_are_fewer(steps: int, expected: float) -> None:
    target = FirstCube()
    assert Deletion(steps)(outcome([rank(3)], [0.8], target)).tolist() == pytest.approx([expected])
    assert target.asked == min(steps, CUBES) + 1


def test_voxels_are_deleted_in_equal_shares() -> None:
    target = FirstCube()
    found = outcome([rank(1), rank(5)], [0.8, 0.8], target, voxels=True)
    volume, cube = 8**3, EDGE**3
    steps = 16  # two steps a cube
    first = 0.8 * (1 / 2 + 1 / 2) / steps
    fifth = 0.8 * (2 * 4 + 1) / steps
    assert volume // cube == CUBES
    assert Deletion(steps)(found).tolist() == pytest.approx([first, fifth])
    assert target.asked == 2 * (steps + 1)


def test_a_single_voxel_is_a_step_where_steps_allow() -> None:
    found = outcome([rank(1)], [0.8], FirstCube(), voxels=True)
    assert Deletion(8**3)(found).tolist() == pytest.approx([0.8 / 2 / CUBES], abs=1e-6)


def test_only_the_order_counts_and_ties_keep_the_order_of_labels() -> None:
    for voxels in (False, True):
        one, other = (outcome([[score(s) for s in rank(3)]], [0.8], FirstCube(), voxels=voxels) for score in (float, lambda s: s**3 - 40))
        assert torch.equal(Deletion()(one), Deletion()(other))
    tied = outcome([[0.0] * CUBES], [0.8], FirstCube())
    assert torch.equal(Deletion()(tied), Deletion()(outcome([rank(1)], [0.8], FirstCube())))


@pytest.mark.parametrize("chunk", [1, 3, 8, 100])
def test_no_more_than_a_chunk_is_asked_at_once_and_it_changes_nothing(chunk: int) -> None:
    target = FirstCube()
    found = outcome([rank(2), rank(7)], [0.8, 0.6], target)
    assert torch.equal(Deletion(chunk=chunk)(found), Deletion()(found))
    target.most = 0
    Insertion(chunk=chunk)(found)
    assert target.most == min(chunk, CUBES + 1)
    assert Deletion(chunk=chunk) == Deletion()


def test_the_target_may_be_guarded_and_the_volumes_are_left_alone() -> None:
    found = outcome([rank(2)], [0.8], FirstCube())
    before = found.batch.image.clone()
    guarded = replace(found, target=Guarded(FirstCube(), BLACK_BOX))
    assert torch.equal(Deletion()(guarded), Deletion()(found))
    assert torch.equal(found.batch.image, before)


def with_again(own: Tensor, others: dict[tuple[int, bool], Tensor], regions: Tensor | None, other_regions: Tensor | None) -> Outcome:
    """An outcome whose explainer gives these maps (n, *space) under these seeds, on shuffled weights where True."""

    def again(*, seed: int = 0, randomised: bool = False) -> Explained:
        return Explained(others[seed, randomised], other_regions)

    image = torch.zeros(len(own), 4, *own.shape[1:])
    cases = tuple(Case(f"case{i}", f"patient{i}", f"case{i}") for i in range(len(own)))
    batch = Batch(image, torch.zeros(len(own), dtype=torch.int64), cases)
    return Outcome(batch, Attacked(image), torch.zeros(len(own), 1), Explained(own, regions), None, again)


def test_agreement_is_the_mean_rank_correlation_over_seeds() -> None:
    generator = torch.Generator().manual_seed(0)
    own, one, two, shuffled = torch.randint(9, (4, 2, 4, 4, 4), generator=generator).float()
    found = with_again(own, {(1, False): one, (2, False): two, (0, True): shuffled}, None, None)

    def correlation(other: Tensor, row: int) -> float:
        return float(spearmanr(own[row].flatten().numpy(), other[row].flatten().numpy()).statistic)

    assert SeedAgreement()(found).tolist() == pytest.approx([correlation(one, row) for row in (0, 1)])
    assert SeedAgreement(2)(found).tolist() == pytest.approx([(correlation(one, row) + correlation(two, row)) / 2 for row in (0, 1)])
    assert Randomisation()(found).tolist() == pytest.approx([correlation(shuffled, row) for row in (0, 1)])


def test_the_map_of_shuffled_weights_is_scored_against_the_tumour_too() -> None:
    tumour = torch.zeros(1, 1, 4, 4, 4, dtype=torch.bool)
    tumour[..., :2] = True
    own, other = tumour[:, 0].float(), torch.rand(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    found = with_again(own, {(0, True): other}, None, None)
    found = replace(found, batch=found.batch.with_context(tumour=tumour))
    scored = RandomisedDice()(found)
    assert scored.tolist() == DiceGrouping()(replace(found, explained=Explained(other, None))).tolist()
    assert scored.item() < 0.9 < DiceGrouping()(found).item()


def test_a_trained_explainer_is_trained_anew_only_where_that_is_asked_for() -> None:
    own, other = torch.rand(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    found = replace(with_again(own, {(1, False): other, (0, True): other}, None, None), trained=True)
    assert SeedAgreement()(found).isnan().all()
    assert Randomisation()(found).isnan().all()
    assert RandomisedDice()(found).isnan().all()
    assert SeedAgreement(retrain=True)(found).isfinite().all()
    assert Randomisation(retrain=True)(found).isfinite().all()


def test_regions_count_alike_whatever_their_size_where_both_maps_have_them() -> None:
    regions = torch.zeros(1, 1, 1, 12, dtype=torch.int64)
    regions[..., 9:] = torch.tensor([1, 2, 3])
    own, other = (torch.tensor(scores)[regions] for scores in ([0.0, 1.0, 2.0, 3.0], [0.0, 3.0, 1.0, 2.0]))
    by_region = Randomisation()(with_again(own, {(0, True): other}, regions, regions))
    assert by_region.tolist() == pytest.approx([spearmanr([0, 1, 2, 3], [0, 3, 1, 2]).statistic])
    by_voxel = Randomisation()(with_again(own, {(0, True): other}, regions, regions.flip(3)))
    assert by_voxel.tolist() == pytest.approx([spearmanr(own.flatten().numpy(), other.flatten().numpy()).statistic])
    assert abs(float(by_voxel - by_region)) > 0.1


def test_constant_maps_agree_with_each_other_alone() -> None:
    flat, other = torch.zeros(1, 2, 2, 2), torch.rand(1, 2, 2, 2)
    regions = torch.arange(8).view(1, 2, 2, 2)
    for kept in (None, regions):
        assert Randomisation()(with_again(flat, {(0, True): flat + 3}, kept, kept)).tolist() == [1]
        assert Randomisation()(with_again(other, {(0, True): flat}, kept, kept)).tolist() == [0]


def test_what_is_not_there_is_said_in_one_line() -> None:
    found = outcome([rank(1)], [0.8], FirstCube())
    with pytest.raises(ValueError, match="found no target, expected one"):
        Deletion()(replace(found, target=None))
    with pytest.raises(ValueError, match="found no relevance map, expected one"):
        Insertion()(replace(found, explained=None))
    with pytest.raises(ValueError, match="found no way to explain again, expected one"):
        SeedAgreement()(found)
    for wrong in (lambda: Deletion(steps=0), lambda: Insertion(chunk=0), lambda: SeedAgreement(0)):
        with pytest.raises(ValueError, match=r"(steps|chunk|seeds): found 0, expected at least 1"):
            wrong()
