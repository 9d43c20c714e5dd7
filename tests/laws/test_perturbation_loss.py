"""The losses of the learned perturbations: the papers' where theirs are finite, and finite where theirs are not."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from medrobust_attacks.perturbation.loss import GlobalLoss, inverse, log_inverse

floors = st.floats(1e-3, 0.1)
probabilities = st.floats(0, 1, width=32)
betas = st.floats(0.2, 0.8)


def slope(function: object, at: float, floor: float) -> float:
    x = torch.tensor([at], requires_grad=True)
    function(x, floor).sum().backward()  # type: ignore[operator]
    assert x.grad is not None
    return float(x.grad)


@given(st.floats(0.2, 1))
def test_the_stabilised_terms_are_the_papers_where_a_prediction_has_moved(moved: float) -> None:
    assert float(log_inverse(torch.tensor(moved), 1e-2)) == pytest.approx(math.log(1 / moved), abs=1.3e-3)
    assert float(inverse(torch.tensor(moved), 1e-2)) == pytest.approx(1 / moved, rel=1.3e-3)


@given(st.floats(-1, 1, width=32), floors)
def test_the_stabilised_terms_have_a_limit_and_so_have_their_slopes(moved: float, floor: float) -> None:
    assert -(floor**2) / 2 - 1e-6 <= float(log_inverse(torch.tensor(moved), floor)) <= math.log(1 / floor) + 1e-4
    assert 0 < float(inverse(torch.tensor(moved), floor)) <= 1 / floor * 1.001
    assert abs(slope(log_inverse, moved, floor)) <= 1 / (2 * floor) * 1.001
    assert abs(slope(inverse, moved, floor)) <= 2 / (3 * math.sqrt(3)) / floor**2 * 1.001


def test_an_unmoved_prediction_has_neither_an_infinite_loss_nor_a_slope() -> None:
    for function in (log_inverse, inverse):
        assert math.isfinite(float(function(torch.tensor(0.0), 1e-2)))
        assert slope(function, 0.0, 1e-2) == 0


def test_half_precision_is_left_before_anything_is_rounded_away() -> None:
    tiny = torch.tensor(1e-5, dtype=torch.bfloat16)
    assert log_inverse(tiny, 1e-4).dtype == torch.float32
    assert torch.isfinite(inverse(tiny, 1e-4))


@given(betas, st.floats(0, 1), probabilities)
def test_the_penalty_of_indecision_is_highest_at_beta_and_nowhere_below_zero(beta: float, share: float, after: float) -> None:
    loss = GlobalLoss(alpha=share * 1.99 / max(beta, 1 - beta) ** 2, beta=beta)
    top, found, far = (indecision(loss, value) for value in (beta, after, 0.0 if beta > 0.5 else 1.0))
    assert -1e-6 <= found <= top + 1e-6
    assert far == pytest.approx(0, abs=1e-5)
    assert top == pytest.approx(loss.delta, abs=1e-6)


@given(betas, st.floats(0, 0.97), st.booleans())
def test_no_parabola_that_is_allowed_holds_a_prediction_on_its_own_side(beta: float, share: float, high: bool) -> None:
    before = 1.0 if high else 0.0
    loss = GlobalLoss(alpha=share * 2 / max(beta, 1 - beta) ** 2, beta=beta)
    values = descent(loss, before)
    assert (values.diff() <= 1e-5).all(), "from a floor's width away to beta and beyond, further away is better"


def test_a_steeper_parabola_would_hold_it() -> None:
    limit = GlobalLoss()
    object.__setattr__(limit, "alpha", 10.0)
    assert (descent(limit, 1.0).diff() > 1e-4).any()
    with pytest.raises(ValueError, match=r"alpha: found 8\.0, expected a number from 0 to below 8: a steeper"):
        GlobalLoss(alpha=8.0)


@given(st.lists(st.tuples(probabilities, probabilities), min_size=1, max_size=5).filter(lambda pairs: min(abs(a - b) for a, b in pairs) > 0.2))
def test_the_sum_of_the_terms_is_the_papers_final_loss(pairs: list[tuple[float, float]]) -> None:
    before, after = torch.tensor(pairs).unbind(1)
    generator = torch.Generator().manual_seed(len(pairs))
    image, perturbed = torch.rand(2, len(pairs), 4, 3, 3, 3, generator=generator)
    terms = GlobalLoss(alpha=3.0, beta=0.4).terms(before, after, image, perturbed)
    expected = 0.0
    for i, (y_np, y_p) in enumerate(pairs):
        expected += math.log(1 / abs(y_p - y_np)) + (-3.0 * (y_p - 0.4) ** 2 + 3.0 * 0.6**2) + float((perturbed[i] - image[i]).abs().mean())
    assert float(torch.stack(list(terms.values())).sum(0).mean()) == pytest.approx(expected / len(pairs), abs=2e-3)


def test_terms_are_of_each_case_and_weighted() -> None:
    before, after = torch.tensor([0.9, 0.1]), torch.tensor([0.2, 0.1])
    image = torch.ones(2, 4, 2, 2, 2)
    perturbed = torch.stack([image[0] * 0.75, image[1]])
    assert GlobalLoss(change=10.0).terms(before, after, image, perturbed)["change"].tolist() == [2.5, 0]
    assert GlobalLoss(floor=0.1).terms(before, after, image, perturbed)["perturbation"][1] == pytest.approx(math.log(10))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": -1.0}, "alpha: found -1.0"),
        ({"beta": 1.0}, "beta: found 1.0, expected a probability"),
        ({"beta": 0.7, "alpha": 4.5}, "expected a number from 0 to below 4.08"),
        ({"floor": 0.0}, "floor: found 0.0"),
        ({"change": -1.0}, "change: found -1.0"),
        ({"change": math.inf}, "change: found inf"),
        ({"alpha": math.nan}, "alpha: found nan"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GlobalLoss(**options)


def indecision(loss: GlobalLoss, after: float) -> float:
    image = torch.zeros(1, 1, 1, 1, 1)
    return float(loss.terms(torch.tensor([0.0]), torch.tensor([after]), image, image)["indecision"])


def descent(loss: GlobalLoss, before: float) -> Tensor:
    """The loss from a floor's width away from the clean prediction to the far end."""
    end = 1 - before
    after = torch.linspace(before + (loss.floor if end > before else -loss.floor), end, 400)
    image = torch.zeros(400, 1, 1, 1, 1)
    terms = loss.terms(torch.full((400,), before), after, image, image)
    return terms["perturbation"] + terms["indecision"]
