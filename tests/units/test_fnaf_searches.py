"""The searches for a feature: what they keep, what they count, and what each does differently."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from medrobust.imaging.masks import RandomMask
from medrobust.randomness import CaseRandom, derive
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.types import Attacked, Batch, Case, Outcome
from medrobust_attacks.fnaf.budget import FeatureBudget
from medrobust_attacks.fnaf.finite_differences import FiniteDifferences, PaperFiniteDifferences, move
from medrobust_attacks.fnaf.gradient import GradientSearch, grow
from medrobust_attacks.fnaf.metrics import FeatureLocation, FeatureLoss, InformationPreservation
from medrobust_attacks.fnaf.random_search import RandomSearch
from medrobust_attacks.fnaf.search import redraw

SIZE = 64
BUDGET = FeatureBudget()
SEARCHES = [
    RandomSearch(),
    RandomSearch(redraw_mask=False),
    RandomSearch(control=True),
    PaperFiniteDifferences(),
    FiniteDifferences(),
    FiniteDifferences(restarts=2, redraw_mask=False),
    GradientSearch(),
    GradientSearch(redraw_mask=False),
]


class Smoother(nn.Module):
    """Zero-filled magnitude, averaged over 5x5 pixels: small features fade, in a smooth way."""

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(zero_filled.abs(), 5, 1, 2)


@dataclass
class Counting:
    """A target that counts the images it is shown."""

    inner: ReconstructionTarget
    images: int = 0
    task: str = "reconstruction"
    digest: str = "counting"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        self.images += len(image)
        return self.inner(image, batch)


def target() -> Counting:
    return Counting(ReconstructionTarget(Smoother(), "smoother"))


def batch(n: int = 3) -> Batch:
    generator = torch.Generator().manual_seed(0)
    image = nn.functional.interpolate(torch.rand(n, 1, 8, 8, generator=generator), size=SIZE, mode="bilinear")
    mask = RandomMask().draw(SIZE, 0).expand(n, 1, 1, SIZE)
    phase = torch.linspace(-1, 1, SIZE).expand(n, 1, SIZE, SIZE).contiguous()
    cases = tuple(Case(f"v#{i}", "p", "v") for i in range(n))
    return Batch(image, image, cases, {"phase": phase, "mask": mask, "nominal": torch.tensor([[4.0, 0.08]] * n)})


def streams(clean: Batch) -> CaseRandom:
    return CaseRandom.of([derive(0, case.case) for case in clean.cases])


def judged(clean: Batch, attacked: Attacked) -> Outcome:
    rows = clean.with_context(**attacked.context)
    return Outcome(clean, attacked, target()(attacked.image, rows))


@pytest.mark.parametrize("search", SEARCHES, ids=repr)
def test_the_best_query_is_returned_within_budget_and_the_queries_are_counted(search: RandomSearch) -> None:
    clean, asked = batch(), target()
    attacked = search(asked, clean, BUDGET, streams(clean))
    assert BUDGET.audit(clean, attacked) == ("", "", "")
    assert attacked.trace["loss"].shape == (3, search.queries)
    assert asked.images == 3 * search.queries
    final = FeatureLoss()(judged(clean, attacked))
    assert torch.allclose(final[""], attacked.trace["loss"].amax(1), rtol=1e-5)
    assert torch.allclose(final[f"q={search.queries}"], final[""], rtol=1e-5)


@pytest.mark.parametrize("search", SEARCHES, ids=repr)
def test_a_case_fares_the_same_alone_as_among_others(search: RandomSearch) -> None:
    clean = batch()
    together = search(target(), clean, BUDGET, streams(clean))
    one = clean.select([1])
    alone = search(target(), one, BUDGET, streams(one))
    assert torch.allclose(alone.image, together.image[1:2], atol=1e-6)
    assert torch.equal(alone.context["mask"], together.context["mask"][1:2])


def test_more_random_trials_begin_with_the_fewer_ones() -> None:
    clean = batch()
    few = RandomSearch(trials=5)(target(), clean, BUDGET, streams(clean))
    many = RandomSearch(trials=20)(target(), clean, BUDGET, streams(clean))
    assert torch.equal(many.trace["loss"][:, :5], few.trace["loss"])
    assert (many.trace["loss"].amax(1) >= few.trace["loss"].amax(1)).all()


def test_the_control_adds_nothing_and_scores_below_the_search() -> None:
    clean = batch()
    control = RandomSearch(control=True)(target(), clean, BUDGET, streams(clean))
    search = RandomSearch()(target(), clean, BUDGET, streams(clean))
    assert torch.equal(control.image, clean.image)
    assert (control.trace["loss"].amax(1) < search.trace["loss"].amax(1)).all()


def test_a_fixed_mask_stays_the_acquisition_s_and_a_redrawn_one_does_not() -> None:
    clean = batch()
    fixed = RandomSearch(redraw_mask=False)(target(), clean, BUDGET, streams(clean))
    assert torch.equal(fixed.context["mask"], clean.context["mask"])
    fresh = redraw(clean, streams(clean))
    assert fresh.shape == clean.context["mask"].shape
    assert not torch.equal(fresh, clean.context["mask"])
    low = round(SIZE * 0.08)
    start = (SIZE - low + 1) // 2
    assert fresh[..., start : start + low].all()


def test_the_gradient_s_first_order_predicts_the_loss() -> None:
    clean = batch()
    feature = BUDGET.draw(clean.image, streams(clean))
    search = GradientSearch()
    from medrobust_attacks.fnaf.search import Best, losses, stack

    mask = clean.context["mask"]
    slope = search._query(target(), clean, feature, mask, Best.none(clean), BUDGET.steps)
    candidates = stack(clean, [feature], [mask])
    step = 1e-3 * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    before = losses(target(), clean, candidates)
    moved = type(candidates)(candidates.image + step[:, None], candidates.region, candidates.mask, candidates.start)
    rise = (losses(target(), clean, moved) - before)[:, 0]
    assert (rise > 0).all()


def test_gradient_search_beats_random_search_at_equal_queries() -> None:
    clean = batch()
    random = RandomSearch(trials=11)(target(), clean, BUDGET, streams(clean))
    gradient = GradientSearch(steps=11)(target(), clean, BUDGET, streams(clean))
    assert (gradient.trace["loss"].amax(1) > random.trace["loss"].amax(1)).all()


def test_a_walk_grown_on_a_ridge_follows_it() -> None:
    slope = torch.zeros(1, 1, SIZE, SIZE)
    slope[..., 32] = 1.0
    low, high = BUDGET.bounds(slope)
    shape = grow(slope, torch.tensor([[25, 32]]), BUDGET, low, high)
    assert (shape[0, :, 1] == 0).all()
    assert sorted(shape[0, :, 0].tolist()) == list(range(10))
    assert (shape[0, :, 2] == BUDGET.intensity[1]).all()


def test_moving_a_feature_keeps_its_shape_and_stays_in_the_box() -> None:
    clean = batch()
    feature = BUDGET.draw(clean.image, streams(clean))
    low, high = BUDGET.bounds(clean.image)
    moved = move(feature, torch.tensor([[0.0, 0.0], [1e6, 1e6], [30.4, 30.6]]), BUDGET)
    assert torch.allclose(moved.delta.flatten(1).sum(1), feature.delta.flatten(1).sum(1))
    assert BUDGET.audit(clean, Attacked(clean.image + moved.delta)) == ("", "", "")
    pixels = torch.nonzero(moved.support[0, 0])
    assert (pixels.amin(0) == low).all()
    assert (torch.nonzero(moved.support[1, 0]).amax(0) == high).all()


def test_metrics_say_nothing_where_nothing_was_added() -> None:
    clean = batch()
    outcome = Outcome(clean, Attacked(clean.image), clean.image)
    assert FeatureLoss()(outcome)[""].isnan().all()
    assert InformationPreservation()(outcome).isnan().all()
    assert FeatureLocation()(outcome)["row"].isnan().all()


def test_information_is_asked_only_where_something_was_added() -> None:
    clean = batch()
    control = RandomSearch(control=True)(target(), clean, BUDGET, streams(clean))
    assert InformationPreservation()(judged(clean, control)).isnan().all()
    search = RandomSearch()(target(), clean, BUDGET, streams(clean))
    assert (InformationPreservation()(judged(clean, search)) > 1e-4).all()


def test_the_location_is_the_centre_of_the_region() -> None:
    clean = batch(1)
    region = torch.zeros(1, 1, SIZE, SIZE, dtype=torch.bool)
    region[..., 10:13, 20:25] = True
    location = FeatureLocation()(Outcome(clean, Attacked(clean.image, region=region), clean.image))
    assert (location["row"].item(), location["column"].item()) == (11, 22)


BAD = [lambda: RandomSearch(trials=0), lambda: GradientSearch(steps=0), lambda: GradientSearch(explore=0), lambda: FeatureBudget(steps=0)]


@pytest.mark.parametrize("bad", BAD)
def test_options_out_of_range_are_refused(bad: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        bad()  # type: ignore[operator]


def test_the_scale_of_every_candidate_is_that_of_its_own_measurement() -> None:
    from medrobust_attacks.fnaf.feature import input_scale
    from medrobust_attacks.fnaf.search import input_scales, stack

    clean, rng = batch(), streams(batch())
    candidates = stack(clean, [BUDGET.draw(clean.image, rng) for _ in range(4)], [redraw(clean, rng) for _ in range(4)])
    mean, std = (each.view(3, 4) for each in input_scales(clean, candidates))
    for trial in range(4):
        expected = input_scale(candidates.image[:, trial], clean.with_context(mask=candidates.mask[:, trial]))
        assert torch.allclose(mean[:, trial], expected[0].flatten(), rtol=1e-5)
        assert torch.allclose(std[:, trial], expected[1].flatten(), rtol=1e-5)
