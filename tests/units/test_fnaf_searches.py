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
from medrobust_attacks.fnaf.feature import Feature, feature_loss, information_loss, input_scale, region_of
from medrobust_attacks.fnaf.finite_differences import FiniteDifferences, PaperFiniteDifferences, move
from medrobust_attacks.fnaf.gradient import GradientSearch, grow
from medrobust_attacks.fnaf.metrics import FeatureLocation, FeatureLoss, InformationPreservation
from medrobust_attacks.fnaf.random_search import RandomSearch
from medrobust_attacks.fnaf.search import Best, redraw

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


class Silent(nn.Module):
    """No number for an answer."""

    def forward(self, zero_filled: Tensor, mask: Tensor) -> Tensor:
        return torch.full(zero_filled.shape, torch.nan)


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
    mask = clean.context["mask"]
    slope = GradientSearch()._query(target(), feature, mask, Best.none(clean, 0.0))
    step = 1e-3 * slope / slope.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    for query, case in zip(Best.none(clean, 0.0).queries(Feature.stack([feature]), mask[:, None]), range(3), strict=True):
        image = query.rows.image
        before, after = (feature_loss(*query.seen(target(), at), query.region, query.scale) for at in (image, image + step[case]))
        assert after > before


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
    assert InformationPreservation()(outcome)[""].isnan().all()
    assert FeatureLocation()(outcome)["row"].isnan().all()


def test_information_is_asked_only_where_something_was_added() -> None:
    clean = batch()
    control = RandomSearch(control=True)(target(), clean, BUDGET, streams(clean))
    assert InformationPreservation()(judged(clean, control))[""].isnan().all()
    search = RandomSearch()(target(), clean, BUDGET, streams(clean))
    assert (InformationPreservation()(judged(clean, search))[""] > 1e-4).all()


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


WIDE = [BUDGET, FeatureBudget(steps=1), FeatureBudget(steps=40, box=(0, 1)), FeatureBudget(box=(0, 0.1))]


@pytest.mark.parametrize("budget", WIDE, ids=repr)
def test_every_candidate_is_judged_by_its_whole_image_and_its_own_measurement(budget: FeatureBudget) -> None:
    clean, rng = batch(), streams(batch())
    features, masks = [budget.draw(clean.image, rng) for _ in range(4)], [redraw(clean, rng) for _ in range(4)]
    losses = Best.none(clean, 0.0).ask(target(), Feature.stack(features), torch.stack(masks, 1))
    for feature, mask, loss in zip(features, masks, losses.T, strict=True):
        image, rows = clean.image + feature.delta, clean.with_context(mask=mask)
        expected = feature_loss(target()(image, rows), image, region_of(feature.support), input_scale(image, rows))
        assert torch.allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("search", SEARCHES, ids=repr)
def test_losses_are_equal_to_the_last_bit_whatever_else_is_in_the_batch(search: RandomSearch) -> None:
    clean = batch()
    together = search(target(), clean, BUDGET, streams(clean)).trace["loss"]
    for order in ([1], [2, 0]):
        others = clean.select(order)
        assert torch.equal(search(target(), others, BUDGET, streams(others)).trace["loss"], together[order])


@pytest.mark.parametrize("budget", WIDE, ids=repr)
def test_what_the_measurement_holds_of_every_candidate_is_that_of_its_whole_image(budget: FeatureBudget) -> None:
    clean, rng = batch(), streams(batch())
    features, masks = [budget.draw(clean.image, rng) for _ in range(4)], [redraw(clean, rng) for _ in range(4)]
    best = Best.none(clean, 0.0)
    best.ask(target(), Feature.stack(features), torch.stack(masks, 1))
    for feature, mask, held in zip(features, masks, best.attacked().trace["information"].T, strict=True):
        expected = information_loss(clean.image + feature.delta, clean.image, clean.with_context(mask=mask))
        assert torch.allclose(held, expected, rtol=1e-4)


@pytest.mark.parametrize("search", [search for search in SEARCHES if search != RandomSearch(control=True)], ids=repr)
def test_a_feature_that_the_measurement_lost_is_not_taken(search: RandomSearch) -> None:
    """With a bound that some candidates meet: those alone are taken, and the audit refuses the others."""
    clean, free = batch(), FeatureBudget(information=0)
    drawn = search(target(), clean, free, streams(clean)).trace["information"]
    bound = FeatureBudget(information=float(drawn.flatten().median()))
    attacked = search(target(), clean, bound, streams(clean))
    held = attacked.trace["information"] >= bound.information
    assert 0 < held.sum() < held.numel()
    assert not attacked.trace["loss"][~held].any()
    assert (attacked.trace["loss"][held] > 0).all()
    assert not any(bound.audit(clean, attacked))
    found = (attacked.image != clean.image).flatten(1).any(1)
    assert torch.equal(found, held.any(1))
    metric = InformationPreservation()(judged(clean, attacked))
    assert torch.equal(metric[""] >= bound.information * (1 - 1e-4), found)  # summed in another order


def test_the_audit_refuses_a_feature_that_the_measurement_lost() -> None:
    clean = batch()
    attacked = RandomSearch()(target(), clean, FeatureBudget(information=0), streams(clean))
    held = attacked.trace["information"].amax()
    found = FeatureBudget(information=2 * float(held)).audit(clean, attacked)
    assert all("at least" in line and "needed" in line for line in found)
    assert not any(FeatureBudget(information=0).audit(clean, attacked))


def test_where_no_candidate_is_preserved_the_slice_stays_and_the_nearest_one_is_reported() -> None:
    clean, impossible = batch(), FeatureBudget(information=1e9)
    attacked = RandomSearch()(target(), clean, impossible, streams(clean))
    assert torch.equal(attacked.image, clean.image)
    assert not attacked.trace["loss"].any()
    outcome = judged(clean, attacked)
    assert torch.equal(InformationPreservation()(outcome)[""], attacked.trace["information"].amax(1))
    assert FeatureLoss()(outcome)[""].tolist() == [0, 0, 0]


def test_only_the_images_of_one_pass_are_made_at_a_time() -> None:
    clean = batch()
    features, masks = [BUDGET.draw(clean.image, streams(clean))] * 5, [clean.context["mask"]] * 5
    queries = Best.none(clean, 0.0).queries(Feature.stack(features), torch.stack(masks, 1))
    assert [(len(query.rows), query.rows.cases[0].case) for query in queries] == [(1, f"v#{case}") for case in range(3) for _ in range(5)]


@pytest.mark.parametrize("size", [2, 4, 64])
def test_passes_of_several_candidates_give_the_same_losses(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = batch()
    alone = RandomSearch(trials=5)(target(), clean, BUDGET, streams(clean))
    monkeypatch.setattr("medrobust_attacks.fnaf.search.micro_batch", lambda device: size)
    together = RandomSearch(trials=5)(target(), clean, BUDGET, streams(clean))
    assert torch.allclose(together.trace["loss"], alone.trace["loss"], rtol=1e-5)
    assert torch.equal(together.image, alone.image)


def test_a_search_that_only_hears_nan_returns_the_slice_as_it_was() -> None:
    clean = batch()
    silent = ReconstructionTarget(Silent(), "silent")
    attacked = RandomSearch()(silent, clean, BUDGET, streams(clean))
    assert torch.equal(attacked.image, clean.image)
    assert attacked.region is not None
    assert not attacked.region.any()
