"""Randomised smoothing: draws that belong to a case, a loss with a gradient, and certificates against what is known of a linear classifier."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from torch import Tensor, nn

from medrobust.guard import BLACK_BOX, Fingerprint, Guarded
from medrobust.targets.classification import ClassificationTarget
from medrobust.testing.bench import Bench
from medrobust.types import Attacked, Batch, Case, Outcome
from medrobust_defenses.certificate import Abstained, CertifiedRadius
from medrobust_defenses.smoothing import RandomisedSmoothing, Smoothed

SIGMA = 0.25
WEIGHTS = torch.tensor([3.0, -4.0])
"""Of length 5."""


class Linear(nn.Module):
    """Images of two pixels to `classes` logits; two classes and one logit say the same."""

    def __init__(self, classes: int = 1, steep: float = 1.0) -> None:
        super().__init__()
        self.classes = classes
        self.weights = nn.Parameter(steep * WEIGHTS)
        self.asked: list[int] = []

    def forward(self, image: Tensor) -> Tensor:
        self.asked.append(len(image))
        margin = (image.flatten(1) @ self.weights)[:, None]
        return margin if self.classes == 1 else torch.cat([-margin / 2, margin / 2, *[margin - 50] * (self.classes - 2)], 1)


def smoothed(classes: int = 1, steep: float = 1.0, samples: int = 200, seed: int = 0) -> Smoothed:
    plain = ClassificationTarget(Linear(classes, steep).eval(), "0123456789ab")
    found = RandomisedSmoothing(SIGMA, samples)(plain, None, torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    assert isinstance(found, Smoothed)
    return found


def at(*distances: float, truth: int = 1) -> Batch:
    """One image for each signed distance from the boundary, class 1 on the positive side."""
    image = torch.stack([distance * WEIGHTS / 5 for distance in distances]).view(-1, 1, 1, 2)
    cases = tuple(Case(f"case{index}", f"patient{index}", f"case{index}") for index in range(len(distances)))
    return Batch(image, torch.full((len(distances),), truth), cases)


def judged(target: Any, batch: Batch, image: Tensor | None = None) -> Outcome:
    return Outcome(batch, Attacked(batch.image if image is None else image), torch.empty(0), target=Guarded(target, BLACK_BOX))


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_the_answer_is_the_mean_probability_and_its_negative_logarithm_is_the_loss(classes: int) -> None:
    model, batch = smoothed(classes), at(0.1, -0.3, 0.5)
    answer = model(batch.image, batch)
    assert answer.shape == (3, classes)
    assert torch.allclose(model.loss(batch.image, batch), -answer[:, min(classes - 1, 1)].log(), atol=1e-5)
    if classes > 1:
        assert torch.allclose(answer.sum(1), torch.ones(3), atol=1e-5)


def test_the_answer_of_a_steep_classifier_is_the_normal_probability_of_its_side() -> None:
    distances = (-0.4, -0.1, 0.0, 0.2, 0.5)
    answer = smoothed(steep=1e4, samples=4000)(at(*distances).image, at(*distances))[:, 0]
    expected = torch.tensor([norm.cdf(distance / SIGMA) for distance in distances])
    assert float((answer.detach() - expected).abs().max()) < 4 * 0.5 / math.sqrt(4000)


def test_the_loss_is_finite_and_has_a_gradient_however_certain_the_network_is() -> None:
    model, batch = smoothed(steep=1e5), at(-2.0, truth=1)
    image = batch.image.clone().requires_grad_()
    loss = model.loss(image, batch)
    (slope,) = torch.autograd.grad(loss.sum(), image)
    assert 1e4 < float(loss.detach()) < math.inf
    assert float(slope.abs().min()) > 0


def test_the_gradient_is_that_of_the_fixed_draws() -> None:
    plain = ClassificationTarget(Linear(2).double().eval(), "0" * 12)
    model = RandomisedSmoothing(SIGMA, 70)(plain, None, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    batch = at(0.1, -0.2)
    image = batch.image.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda one: model.loss(one, batch), (image,))
    assert torch.autograd.gradcheck(lambda one: model(one, batch), (image,))


def test_a_case_has_its_own_draws_whenever_and_beside_whatever_it_is_asked() -> None:
    model, batch = smoothed(samples=20), at(0.1, -0.2, 0.3, 0.1)
    whole = model(batch.image, batch)
    assert torch.equal(whole, model(batch.image, batch))
    assert not model.stochastic
    for rows in ([2], [3, 0, 1], [1, 1]):
        assert torch.equal(model(batch.image[rows], batch.select(rows)), whole[rows])
    assert torch.equal(Guarded(model)(batch.image, batch), whole)
    assert not torch.equal(whole[0], whole[3]), "the same image of another case has other draws"
    assert not torch.equal(smoothed(samples=20, seed=1)(batch.image, batch), whole)


def test_no_global_generator_is_read_or_moved() -> None:
    model, batch = smoothed(samples=20), at(0.1)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = model(batch.image, batch)
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(model(batch.image, batch), first)


def test_an_answer_costs_as_many_passes_as_samples_a_few_at_a_time() -> None:
    model, batch = smoothed(samples=150), at(0.1)
    guarded = Guarded(model)
    guarded(batch.image, batch)
    assert model.network.asked == [64, 64, 22]  # type: ignore[comparison-overlap]
    assert guarded.passes.forward == 1


def test_the_network_is_the_classifiers_own_and_everything_is_left_alone() -> None:
    model, batch = smoothed(samples=5), at(0.1)
    assert Guarded(model).network is model.target.network
    before = Fingerprint.of(model)
    model.loss(batch.image.clone().requires_grad_(), batch).sum().backward()
    model.votes(batch.image, batch, 10, "select")
    assert not before.changes(Fingerprint.of(model))
    moved = model.to("cpu")
    assert moved.network is not model.network
    assert (moved.digest, moved.seed) == (model.digest, model.seed)


def test_settings_seed_and_classifier_are_in_the_digest() -> None:
    plain = smoothed().target

    def made_of(sigma: float, samples: int, seed: int, digest: str = plain.digest) -> str:
        return RandomisedSmoothing(sigma, samples)(replace(plain, digest=digest), None, torch.Generator().manual_seed(seed)).digest  # type: ignore[arg-type]

    made = [made_of(0.1, 8, 0), made_of(0.2, 8, 0), made_of(0.1, 9, 0), made_of(0.1, 8, 1), made_of(0.1, 8, 0, "f" * 12), plain.digest]
    assert len(set(made)) == len(made)


@given(distance=st.floats(0.0, 1.0), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_no_certificate_exceeds_the_distance_that_is_known(distance: float, seed: int) -> None:
    """A linear classifier's vote turns at its boundary exactly (Cohen et al., proposition 4): the true radius is the distance."""
    batch = at(distance)
    found = float(CertifiedRadius(50, 400, alpha=1e-8)(judged(smoothed(seed=seed), batch)))
    assert 0 <= found <= distance + 1e-9


def test_with_many_draws_the_certificate_is_nearly_the_distance_and_the_sign_of_the_truth_counts() -> None:
    batch = at(0.0, 0.1, 0.3, 0.5, -0.3)
    found = CertifiedRadius(100, 20_000)(judged(smoothed(), batch))
    assert torch.allclose(found[1:4], torch.tensor([0.1, 0.3, 0.5], dtype=torch.float64), atol=0.03)
    assert found[[0, 4]].tolist() == [0.0, 0.0]
    other = CertifiedRadius(100, 20_000)(judged(smoothed(), at(-0.3, truth=0)))
    assert float(other) == pytest.approx(0.3, abs=0.03)


def test_a_unanimous_vote_is_worth_what_the_paper_says() -> None:
    """All of n draws: the bound is alpha ** (1 / n), and the radius its quantile; 3.8 sigma for the paper's n and alpha."""
    found = float(CertifiedRadius(10, 500, 0.001)(judged(smoothed(), at(50.0))))
    assert found == pytest.approx(SIGMA * norm.ppf(0.001 ** (1 / 500)), rel=1e-6)
    assert norm.ppf(0.001 ** (1 / 100_000)) == pytest.approx(3.8, abs=0.05)


def test_an_even_vote_abstains_and_a_clear_one_does_not() -> None:
    batch = at(0.0, 0.5, -0.5)
    assert Abstained()(judged(smoothed(), batch)).tolist() == [1.0, 0.0, 0.0]
    assert CertifiedRadius()(judged(smoothed(), batch))[0] == 0


def test_the_certificate_is_about_the_attacked_image_and_by_other_draws_than_the_answers() -> None:
    model, batch = smoothed(samples=50), at(0.5)
    assert float(CertifiedRadius()(judged(model, batch, at(0.1).image))) < 0.2 < float(CertifiedRadius()(judged(model, batch)))
    shares = [model.votes(batch.image * 0.4, batch, 50, stream)[0].tolist() for stream in ("answer", "select", "estimate")]
    assert sum(shares[0]) == 50
    assert len({tuple(share) for share in shares}) > 1


def test_more_classes_are_counted_too() -> None:
    votes = smoothed(4).votes(at(0.3).image, at(0.3), 100, "select")
    assert votes.shape == (1, 4)
    assert votes.sum() == 100
    assert float(CertifiedRadius()(judged(smoothed(4), at(0.3)))) > 0.1


def test_targets_that_are_not_smoothed_promise_nothing_and_never_abstain() -> None:
    plain = smoothed().target
    assert CertifiedRadius()(judged(plain, at(0.5, 0.1))).tolist() == [0.0, 0.0]
    assert Abstained()(judged(plain, at(0.5, 0.1))).tolist() == [0.0, 0.0]
    assert CertifiedRadius()(replace(judged(plain, at(0.5)), target=None)).tolist() == [0.0]


def test_volumes_are_smoothed_too() -> None:
    bench = Bench(size=16, task="classification")
    model, batch = RandomisedSmoothing(0.05, 4)(bench.target(), bench.data(), torch.Generator()), bench.batch()
    assert model(batch.image, batch).shape == (4, 1)


@pytest.mark.parametrize(
    ("make", "error", "line"),
    [
        (lambda: RandomisedSmoothing(0.0), ValueError, "sigma: found 0.0, expected a number above 0"),
        (lambda: RandomisedSmoothing(math.inf), ValueError, "sigma: found inf"),
        (lambda: RandomisedSmoothing(samples=0), ValueError, "samples: found 0, expected at least 1"),
        (lambda: CertifiedRadius(alpha=0.5), ValueError, r"alpha: found 0.5, expected a number in \(0, 0.5\)"),
        (lambda: CertifiedRadius(select=0), ValueError, "select: found 0, expected at least 1"),
        (lambda: Abstained(estimate=0), ValueError, "estimate: found 0, expected at least 1"),
        (lambda: RandomisedSmoothing()(Bench().target(), Bench().data(), torch.Generator()), TypeError, "^randomised-smoothing: found a target of"),
    ],
)
def test_impossible_settings_are_refused(make: Callable[[], object], error: type[Exception], line: str) -> None:
    with pytest.raises(error, match=line):
        make()
