"""Attacks within a norm: what they keep, when they stop, what they tell of themselves, and that no case minds its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from medrobust.budgets import Norm, length
from medrobust.guard import BLACK_BOX, WHITE_BOX, Guarded
from medrobust.metrics.classification import predicted
from medrobust.randomness import CaseRandom, derive
from medrobust.run import unreported
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.attacks import highest
from medrobust.types import Attacked, Batch, Case
from medrobust_attacks.norm_bounded.answer import ask, log_probabilities
from medrobust_attacks.norm_bounded.apgd import APGD
from medrobust_attacks.norm_bounded.ascent import Pace
from medrobust_attacks.norm_bounded.autoattack import AutoAttack
from medrobust_attacks.norm_bounded.ball import noise, reach
from medrobust_attacks.norm_bounded.random_noise import RandomNoise
from medrobust_attacks.norm_bounded.search import Search
from medrobust_attacks.norm_bounded.square import Square
from medrobust_attacks.norm_bounded.squares import Case as SquareCase
from medrobust_attacks.norm_bounded.squares import recolour, shift, stripes, tiles

SHAPES = [(1, 12, 10), (3, 8, 8), (2, 6, 8, 7), (1, 40)]
SHAPE_IDS = ["2-D", "colour", "3-D", "1-D"]
BUDGETS = [Norm("linf", 0.05), Norm("l2", 0.4), Norm("linf", 0.05, 0.0, 1.0), Norm("l2", "2 %", 0.0, 1.0)]
BUDGET_IDS = ["linf", "l2", "linf range", "l2 share range"]
ATTACKS: list[Any] = [
    RandomNoise(draws=3),
    RandomNoise(draws=2, keep="last"),
    APGD(steps=6, restarts=2),
    APGD(steps=4, objective="dlr", stop=True),
    Square(queries=12),
    AutoAttack(steps=3, square=8, targets=2),
]


class Linear(nn.Module):
    """Images to `classes` logits by random linear maps, times `scale`; one class is one logit."""

    def __init__(self, shape: tuple[int, ...], classes: int, scale: float) -> None:
        super().__init__()
        pixels = torch.Size(shape).numel()
        self.weight = nn.Parameter(scale * torch.randn(classes, pixels, generator=torch.Generator().manual_seed(classes)), requires_grad=False)

    def forward(self, image: Tensor) -> Tensor:
        return image.flatten(1) @ self.weight.T


@dataclass(frozen=True, eq=False)
class Rough:
    """Any task without classes: the sum of the roughness of an image; what was asked is kept."""

    task: str = "reconstruction"
    digest: str = "0123456789ab"
    asked: list[Tensor] = field(default_factory=list)

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        return image

    def loss(self, image: Tensor, batch: Batch) -> Tensor:
        self.asked.append(image.detach().clone())
        return image.diff(dim=-1).square().flatten(1).sum(1)

    def to(self, device: torch.device | str) -> Rough:
        return self


def problem(shape: tuple[int, ...], classes: int = 0, n: int = 5, scale: float = 0.2) -> tuple[Any, Batch]:
    """A target and n cases; of a classifier some are wrong from the start."""
    image = torch.rand(n, *shape, generator=torch.Generator().manual_seed(7))
    cases = tuple(Case(f"case{i}", f"patient{i}", f"case{i}") for i in range(n))
    if not classes:
        return Rough(), Batch(image, image, cases)
    target = ClassificationTarget(Linear(shape, classes, scale).eval(), "0123456789ab")
    truth = predicted(target(image, Batch(image, image, cases)))
    truth[0] = (truth[0] + 1) % max(classes, 2)
    return target, Batch(image, truth, cases)


def run(attack: Any, target: Any, batch: Batch, budget: Norm, seed: int = 0) -> tuple[Attacked, Guarded]:
    guarded = Guarded(target, attack.threat)
    streams = CaseRandom.of([derive(seed, case.case) for case in batch.cases])
    with torch.set_grad_enabled(guarded.white_box):
        return attack(guarded, batch, budget, streams), guarded


def asked(attacked: Attacked, name: str = "loss") -> Tensor:
    """Queries that a trace tells of, (n,)."""
    return (~attacked.trace[name].isnan()).sum(1)


def right(target: Any, image: Tensor, batch: Batch) -> list[bool]:
    found: list[bool] = (predicted(target(image, batch)) == batch.truth).tolist()
    return found


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=SHAPE_IDS)
@pytest.mark.parametrize("budget", BUDGETS, ids=BUDGET_IDS)
@pytest.mark.parametrize("classes", [0, 1, 4])
def test_every_query_keeps_the_budget_and_each_case_is_alone(attack: Any, shape: tuple[int, ...], budget: Norm, classes: int) -> None:
    target, batch = problem(shape, classes)
    attacked, guarded = run(attack, target, batch, budget)
    assert set(budget.audit(batch, attacked)) == {""}
    assert unreported(attacked, guarded.passes.forward / len(batch)) == ""
    columns = attacked.trace["loss"].shape[1]
    assert columns <= attack.queries
    assert guarded.passes.gradient <= attack.gradients * len(batch)
    assert ("success" in attacked.trace) == bool(classes)
    if not classes:
        assert guarded.passes.forward == columns * len(batch)
        for asked in torch.stack(target.asked).view(-1, len(batch), *shape):
            assert set(budget.audit(batch, Attacked(asked))) == {""}
    for order in ([3, 1], [0]):
        alone, _ = run(attack, target, batch.select(order), budget)
        assert torch.equal(alone.image, attacked.image[order])
        for name, trace in attacked.trace.items():
            torch.testing.assert_close(alone.trace[name], trace[order], rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("attack", [RandomNoise(), APGD(steps=8), Square(queries=30), AutoAttack(steps=5, square=20)], ids=str)
@pytest.mark.parametrize("classes", [0, 1, 2, 4])
def test_the_best_query_is_returned_and_nothing_is_worse_than_doing_nothing(attack: Any, classes: int) -> None:
    target, batch = problem((1, 12, 10), classes)
    attacked, _ = run(attack, target, batch, BUDGETS[0])
    loss = target.loss(attacked.image, batch)
    if classes:
        succeeded = (attacked.trace["success"] > 0).any(1)
        assert right(target, attacked.image, batch) == (~succeeded).tolist()
    if classes != 4:  # of two classes the loss says who is wrong
        assert torch.allclose(loss, highest(attacked), rtol=1e-4)
    assert bool((loss >= target.loss(batch.image, batch) - 1e-5).all())


def test_gradients_beat_random_search_which_beats_noise() -> None:
    target, batch = problem((1, 12, 12), 1, n=12)
    budget = Norm("linf", 0.03)
    means = [float(target.loss(run(attack, target, batch, budget)[0].image, batch).mean()) for attack in (RandomNoise(), Square(200), APGD(20))]
    assert means[0] < means[1] < means[2]


def test_apgd_finds_the_corner_of_the_box_that_a_linear_classifier_fears_most() -> None:
    target, batch = problem((1, 6, 5), 1)
    budget = Norm("linf", 0.1, 0.0, 1.0)
    attacked, _ = run(APGD(steps=10), target, batch, budget)
    way = target.network.weight.sign().view(1, 1, 6, 5) * (1 - 2 * batch.truth.view(-1, 1, 1, 1))
    worst = budget.project(batch.image + 0.1 * way, batch.image)
    assert torch.allclose(target.loss(attacked.image, batch), target.loss(worst, batch), rtol=1e-3)


def test_a_case_that_is_wrong_is_asked_for_once() -> None:
    target, batch = problem((1, 12, 10), 1)
    for attack in (Square(queries=50), AutoAttack(steps=5, square=10)):
        wrong = batch.select([0])
        attacked, guarded = run(attack, target, wrong, BUDGETS[0])
        assert guarded.passes.forward == 1
        assert torch.equal(attacked.image, wrong.image)
        assert asked(attacked).tolist() == [1]
        assert attacked.trace["success"][:, 0].tolist() == [1.0]


def test_queries_stop_at_the_first_success_of_each_case() -> None:
    target, batch = problem((1, 12, 10), 1, n=8)
    attacked, guarded = run(Square(queries=300), target, batch, Norm("linf", 0.2))
    success = attacked.trace["success"] > 0
    assert bool(success.any(1).all())
    first = success.float().argmax(1)
    assert len(set(first.tolist())) > 2
    assert guarded.passes.forward == int((first + 1).sum())
    assert asked(attacked).tolist() == asked(attacked, "success").tolist() == (first + 1).tolist()
    for row, stop in enumerate(first.tolist()):
        assert bool(attacked.trace["loss"][row, : stop + 1].isfinite().all())
        assert bool(attacked.trace["loss"][row, stop + 1 :].isnan().all())


@pytest.mark.parametrize("attack", [APGD(steps=20, stop=True), AutoAttack(steps=10, square=20)], ids=str)
def test_stopping_saves_passes_and_no_success(attack: Any) -> None:
    target, batch = problem((1, 12, 10), 4, n=8)
    attacked, guarded = run(attack, target, batch, Norm("linf", 0.1))
    whole, _ = run(APGD(steps=20), target, batch, Norm("linf", 0.1))
    assert right(target, attacked.image, batch) == right(target, whole.image, batch) == [False] * 8
    assert guarded.passes.forward < 0.2 * attacked.trace["loss"].shape[1] * len(batch)


def test_autoattack_goes_toward_every_wrong_class_that_there_is() -> None:
    shape, few = (1, 12, 10), AutoAttack(steps=2, square=0)
    for classes, climbs in ((0, 1), (1, 2), (2, 2), (3, 4), (4, 5)):
        target, batch = problem(shape, classes)
        attacked, _ = run(few, target, batch, Norm("linf", 1e-4))
        assert attacked.trace["loss"].shape[1] == 1 + 3 * climbs
    target, batch = problem(shape, 4)
    assert run(replace(few, targets=1), target, batch, Norm("linf", 1e-4))[0].trace["loss"].shape[1] == 1 + 3 * 3


def test_restarts_are_told_of_where_there_are_several() -> None:
    target, batch = problem((1, 12, 10))
    attacked, _ = run(APGD(steps=4, restarts=3), target, batch, BUDGETS[0])
    assert attacked.trace["restart"].shape == (5, 3)
    assert torch.equal(attacked.trace["restart"], attacked.trace["loss"].view(5, 3, 5).amax(2))
    assert len(set(attacked.trace["restart"][0].tolist())) > 1
    assert "restart" not in run(APGD(steps=4), target, batch, BUDGETS[0])[0].trace


@dataclass(frozen=True, eq=False)
class Breaking(Rough):
    """A classifier whose answer is no number wherever the image is brighter than .6 somewhere; else class 0."""

    task: str = "classification"

    def __call__(self, image: Tensor, batch: Batch) -> Tensor:
        broken = (image > 0.6).flatten(1).any(1)
        return torch.where(broken, torch.nan, 0.1 + image.flatten(1).mean(1))[:, None]


@pytest.mark.parametrize("attack", [RandomNoise(draws=4), APGD(steps=4), Square(queries=20), AutoAttack(steps=3, square=10)], ids=str)
def test_an_answer_that_is_no_number_is_no_success(attack: Any) -> None:
    image = torch.full((3, 1, 8, 8), 0.3) + 0.05 * torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    batch = Batch(image, torch.zeros(3, dtype=torch.int64), tuple(Case(f"case{i}", "p", "g") for i in range(3)))
    attacked, _ = run(attack, Breaking(), batch, Norm("linf", 0.4, 0.0, 1.0))
    said = attacked.trace["success"][attacked.trace["loss"].isnan()]
    assert not bool((said > 0).any())
    assert bool(Breaking()(attacked.image, batch).isfinite().all())


def test_an_image_that_is_not_finite_is_never_kept() -> None:
    """Whatever a network makes of it: this one finds every image that is not finite wrong."""

    @dataclass(frozen=True, eq=False)
    class Blind(Rough):
        task: str = "classification"

        def __call__(self, image: Tensor, batch: Batch) -> Tensor:
            return torch.where(image.isfinite().flatten(1).all(1), 0.2, 0.9)[:, None]

    image = torch.full((2, 1, 4, 4), 0.5)
    batch = Batch(image, torch.zeros(2, dtype=torch.int64), (Case("a", "p", "g"), Case("b", "p", "g")))
    search = Search(Guarded(Blind(), BLACK_BOX), batch, stop=True)
    search.ask(image)
    broken = image.clone()
    broken[0, 0, 1, 1], broken[1, 0, 2, 2] = torch.nan, torch.inf
    search.ask(broken)
    assert search.fooled.tolist() == [False, False]
    assert torch.equal(search.image, image)
    assert search.attacked(2).trace["success"].tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize("objective", ["loss", "margin", "dlr"])
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_every_objective_fools_a_classifier_whose_cross_entropy_has_no_slope(objective: Any, classes: int) -> None:
    """Logits so far apart that every probability is 0 or 1: the loss is blind, what is made of logits is not."""
    target, batch = problem((1, 12, 10), classes, scale=200.0)
    attacked, _ = run(APGD(steps=10, objective=objective), target, batch, Norm("linf", 0.3))
    fooled = [not one for one in right(target, attacked.image, batch)]
    if objective != "loss":
        assert all(fooled)


def test_logits_are_read_by_those_who_may() -> None:
    target, batch = problem((1, 12, 10), 4)
    white, black = Guarded(target, WHITE_BOX), Guarded(target, BLACK_BOX)
    assert white.shows_logits
    assert not black.shows_logits
    with pytest.raises(AttributeError, match="the logits of a target are closed to black-box probes"):
        black.logits(batch.image, batch)
    assert torch.allclose(white.logits(batch.image, batch), target.logits(batch.image), atol=1e-4)
    assert white.passes.forward == len(batch)
    assert not Guarded(Rough(), WHITE_BOX).shows_logits


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_probabilities_say_what_logits_do(classes: int) -> None:
    target, batch = problem((1, 12, 10), classes, scale=0.3)
    white, black = (ask(Guarded(target, threat), batch.image, batch) for threat in (WHITE_BOX, BLACK_BOX))
    assert white.logits is not None
    assert black.logits is not None
    assert torch.allclose(white.loss, black.loss, rtol=1e-3, atol=1e-5)
    assert torch.allclose(white.loss, target.loss(batch.image, batch))
    shift_away = [logits - logits[:, :1] for logits in (white.logits, black.logits)]
    assert torch.allclose(*shift_away, rtol=1e-3, atol=1e-4)
    assert white.wrong is not None
    assert white.wrong.tolist() == black.wrong.tolist() == [not one for one in right(target, batch.image, batch)]  # type: ignore[union-attr]


def test_certain_probabilities_are_told_apart_as_far_as_they_go() -> None:
    said = log_probabilities(torch.tensor([[0.0], [1e-30], [0.25], [0.999], [1.0]]))
    assert bool(said.isfinite().all())
    logit = said[:, 1] - said[:, 0]
    assert torch.allclose(logit[1:4], torch.tensor([1e-30, 1 / 3, 999.0]).log(), rtol=1e-4)
    assert float(logit[0]) < float(logit[1])
    assert 15 < float(logit[4]) < 18
    many = torch.tensor([[0.7, 0.2, 0.1], [1.0, 1e-20, 0.0]])
    assert torch.allclose(log_probabilities(many)[0], many[0].log())
    assert bool(log_probabilities(many).isfinite().all())


def test_a_step_is_halved_by_either_condition_and_by_no_other() -> None:
    """Twelve steps since the last checkpoint: 8 and 9 of them rose, and the best value has changed or not."""
    pace = Pace(torch.ones(4), torch.zeros(4))
    pace.rises = torch.tensor([8.0, 9.0, 9.0, 12.0])
    assert pace.judge(12, torch.tensor([1.0, 1.0, 0.0, 0.0])).tolist() == [True, False, True, True]
    assert pace.size.tolist() == [0.5, 1, 0.5, 0.5]
    assert pace.rises.tolist() == [0] * 4
    pace.rises = torch.full((4,), 12.0)
    # the best value stays: a step that was halved at the last checkpoint is given another stretch, one that was not is halved
    assert pace.judge(12, torch.tensor([1.0, 1.0, 0.0, 0.0])).tolist() == [False, True, False, False]
    assert pace.size.tolist() == [0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("shape", SHAPES, ids=SHAPE_IDS)
def test_noise_is_of_the_whole_budget_and_of_the_right_law(shape: tuple[int, ...]) -> None:
    clean = torch.rand(4, *shape, generator=torch.Generator().manual_seed(3))
    box, ball = (noise(Norm(norm, 0.3), clean, CaseRandom.of(range(4))) - clean for norm in ("linf", "l2"))
    assert bool((length(box, "linf") <= 0.3 + 1e-6).all())
    assert bool((length(box, "linf") > 0.25).all())
    assert float(box.std()) == pytest.approx(0.3 / 3**0.5, rel=0.1)
    assert torch.allclose(length(ball, "l2"), torch.full((4,), 0.3), rtol=1e-4)
    assert abs(float(ball.mean())) < 4 * float(ball.std()) / ball.numel() ** 0.5


def test_more_draws_of_noise_begin_with_the_same_ones() -> None:
    target, batch = problem((1, 12, 10))
    few, many = (run(RandomNoise(draws=draws), target, batch, BUDGETS[0])[0].trace["loss"] for draws in (2, 5))
    assert torch.equal(many[:, :3], few)


def test_the_last_noise_is_returned_even_where_an_earlier_one_succeeded() -> None:
    target, batch = problem((1, 12, 10), 1, n=12)
    budget = Norm("linf", 0.1)
    last, _ = run(RandomNoise(draws=5, keep="last"), target, batch, budget)
    said = target.loss(last.image, batch)
    assert torch.allclose(said, last.trace["loss"][:, -1], rtol=1e-3)
    assert not torch.allclose(said, last.trace["loss"].amax(1), rtol=1e-3)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("ends", [(0.0, 1.0), (None, None), (0.0, None)], ids=str)
@pytest.mark.parametrize("attack", [RandomNoise(draws=2), APGD(steps=20), Square(queries=30), AutoAttack(steps=5, square=10)], ids=str)
def test_without_a_bound_every_case_falls_and_the_image_stays_finite(attack: Any, ends: tuple[Any, Any], norm: str) -> None:
    target, batch = problem((1, 12, 10), 1)
    attacked, _ = run(attack, target, batch, Norm(norm, "inf", *ends))
    assert bool(attacked.image.isfinite().all())
    assert set(Norm(norm, "inf", *ends).audit(batch, attacked)) == {""}
    if not isinstance(attack, RandomNoise):
        assert not any(right(target, attacked.image, batch))


def test_an_endless_radius_holds_the_whole_range() -> None:
    clean = torch.rand(3, 1, 6, 6, generator=torch.Generator().manual_seed(5))
    assert reach(Norm("linf", "inf", -1.0, 2.0), clean).flatten().tolist() == [3, 3, 3]
    assert torch.allclose(reach(Norm("l2", "inf", 0.0, 1.0), clean).flatten(), torch.full((3,), 6.0))
    own = clean.flatten(1)
    assert torch.allclose(reach(Norm("linf", "inf"), clean).flatten(), own.amax(1) - own.amin(1))


def test_hounsfield_units_are_left_in_their_range() -> None:
    random = torch.Generator().manual_seed(1)
    image = 2000 * torch.rand(2, 1, 16, 16, generator=random) - 1000
    batch = Batch(image, image, tuple(Case(f"case{i}", "p", "g") for i in range(2)))
    for attack in (RandomNoise(5), APGD(5), Square(10), AutoAttack(3, square=10)):
        for budget in (Norm("linf", "20 HU"), Norm("l2", "1 %")):
            attacked, _ = run(attack, Rough(), batch, budget)
            moved = length(attacked.image - image, budget.norm)
            assert bool((moved <= budget.radius(image) * (1 + 1e-4)).all())
            assert float(moved.amax()) > 0.5 * float(budget.radius(image).amin())


@pytest.mark.parametrize("shape", SHAPES, ids=SHAPE_IDS)
def test_a_square_is_one_cube_at_the_edge_of_the_box(shape: tuple[int, ...]) -> None:
    clean = torch.full((1, *shape), 0.5)
    for seed in range(20):
        case = SquareCase(clean, Norm("linf", 0.125), CaseRandom.of([seed]))
        start = stripes(case)
        assert bool(((start - clean).abs() == 0.125).all())
        assert torch.equal(start, start[(slice(None), slice(None), *[slice(0, 1)] * (len(shape) - 2))].expand_as(start))
        moved = recolour(case, start, 0.2)
        assert not torch.equal(moved, start)
        assert bool(((moved - clean).abs() == 0.125).all())
        space = (moved != start)[0].any(0).nonzero()
        edge = min(case.wide(0.2), *[max(1, whole - 1) for whole in shape[1:]]) if len(shape) > 2 else case.wide(0.2)
        assert bool((space.amax(0) - space.amin(0) + 1 <= max(edge, case.wide(0.2))).all())


def test_a_square_that_would_change_nothing_goes_the_other_way() -> None:
    clean = torch.full((1, 1, 6, 6), 0.5)
    image = clean + 0.125
    changed = [not torch.equal(recolour(SquareCase(clean, Norm("linf", 0.125), CaseRandom.of([seed])), image, 0.03), image) for seed in range(30)]
    assert all(changed)


@pytest.mark.parametrize("shape", SHAPES, ids=SHAPE_IDS)
def test_a_shift_of_mass_keeps_the_length_and_leaves_the_rest_in_proportion(shape: tuple[int, ...]) -> None:
    clean, changed = torch.full((1, *shape), 0.5), []
    for seed in range(20):
        case = SquareCase(clean, Norm("l2", 0.4), CaseRandom.of([seed]))
        image = tiles(case)
        moved = shift(case, image, 0.05)
        assert float(length(image - clean, "l2")) == pytest.approx(0.4, rel=1e-4)
        assert float(length(moved - clean, "l2")) == pytest.approx(0.4, rel=1e-4)
        changed.append(not torch.equal(moved, image))
        before, after = (image - clean)[0, 0], (moved - clean)[0, 0]
        kept = (before.abs() > 1e-6) & torch.isclose(before, after, rtol=1e-3)
        assert int(kept.sum()) > 0
    assert sum(changed) > 15


@pytest.mark.parametrize(
    ("attack", "options", "line"),
    [
        (RandomNoise, {"draws": 0}, "draws: found 0, expected 1 or more"),
        (RandomNoise, {"keep": "worst"}, "keep: found 'worst', expected 'best' or 'last'"),
        (APGD, {"steps": 0}, "steps: found 0, expected 1 or more"),
        (APGD, {"restarts": 0}, "restarts: found 0, expected 1 or more"),
        (APGD, {"objective": "l2"}, "objective: found 'l2', expected one of loss, margin, dlr"),
        (Square, {"queries": 2}, "queries: found 2, expected 3 or more"),
        (Square, {"share": 0.0}, r"share: found 0.0, expected a number in \(0, 1\]"),
        (AutoAttack, {"square": 1}, "square: found 1, expected 3 or more"),
        (AutoAttack, {"targets": -1}, "targets: found -1, expected 0 or more"),
    ],
)
def test_options_that_cannot_be_are_refused_in_one_line(attack: Any, options: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}$"):
        attack(**options)


def test_noise_says_that_it_is_a_control() -> None:
    assert RandomNoise().control
    assert not any(getattr(attack(), "control", False) for attack in (APGD, Square, AutoAttack))
