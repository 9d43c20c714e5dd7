"""Laws of the norm budget: what it projects it accepts, what it accepts numpy accepts, and no image is moved but toward its clean one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medrobust.budgets import Norm, length
from medrobust.types import Attacked, Batch, Case

SHAPES = [(1, 5), (1, 4, 6), (3, 4, 4), (2, 3, 4, 3)]
SCALES = [1.0, 255.0, 2000.0]
"""Of images: in [0, 1], in 8 bits, in Hounsfield units."""


@st.composite
def problems(draw: st.DrawFn) -> tuple[Norm, Tensor, Tensor]:
    """A budget, two clean images, and what an attack might want to make of them."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shape, scale = draw(st.sampled_from(SHAPES)), draw(st.sampled_from(SCALES))
    clean = scale * (2 * torch.rand(2, *shape, generator=random) - 1)
    image = clean + draw(st.sampled_from([1e-3, 0.1, 3.0])) * scale * torch.randn(2, *shape, generator=random)
    epsilon: Any = draw(st.sampled_from([0.01 * scale, "8/255", "3 %", 2.0 * scale, "inf"]))
    low, high = draw(st.sampled_from([(None, None), (-0.5 * scale, None), (None, 0.5 * scale), (-0.5 * scale, 0.5 * scale)]))
    return Norm(draw(st.sampled_from(["linf", "l2"])), epsilon, low, high), clean, image


def batch(clean: Tensor) -> Batch:
    return Batch(clean, clean, tuple(Case(f"{i}", "p", "g") for i in range(len(clean))))


def audit(budget: Norm, clean: Tensor, image: Tensor) -> tuple[str, ...]:
    return budget.audit(batch(clean), Attacked(image))


def sizes(change: Tensor, norm: str) -> Any:
    """Norms by numpy in double precision, (n,)."""
    flat = change.double().numpy().reshape(len(change), -1)
    return np.abs(flat).max(1) if norm == "linf" else np.sqrt((flat**2).sum(1))


@given(problems())
@settings(max_examples=150, deadline=None)
def test_what_is_projected_is_accepted_and_is_projected_no_further(problem: tuple[Norm, Tensor, Tensor]) -> None:
    budget, clean, image = problem
    once = budget.project(image, clean)
    assert audit(budget, clean, once) == ("", "")
    again = budget.project(once, clean)
    assert torch.equal(again, once) if budget.norm == "linf" else torch.allclose(again, once, rtol=1e-6, atol=1e-6 * float(clean.abs().max()))


@given(problems())
@settings(max_examples=100, deadline=None)
def test_an_image_within_is_left_as_it_is(problem: tuple[Norm, Tensor, Tensor]) -> None:
    budget, clean, _ = problem
    assert torch.equal(budget.project(clean, clean), clean)
    assert audit(budget, clean, clean) == ("", "")


@given(problems())
@settings(max_examples=150, deadline=None)
def test_no_pixel_is_pushed_further_from_the_clean_one(problem: tuple[Norm, Tensor, Tensor]) -> None:
    budget, clean, image = problem
    for moved in (budget.project(image, clean), budget.into_range(image, clean)):
        slack = 1e-6 * clean.abs().max()
        assert bool(((moved - clean).abs() <= (image - clean).abs() + slack).all())


@given(problems())
@settings(max_examples=150, deadline=None)
def test_the_audit_agrees_with_numpy(problem: tuple[Norm, Tensor, Tensor]) -> None:
    """Wherever the image is not within rounding of the bound."""
    budget, clean, image = problem
    radius = budget.radius(clean).double().numpy()
    far, low, high = sizes(image - clean, budget.norm), budget.low, budget.high
    for found, size, most, one, own in zip(audit(budget, clean, image), far, radius, image.numpy(), clean.numpy(), strict=True):
        if abs(size - most) < 1e-4 * (size + float(np.abs(own).max())):
            continue
        below = low is not None and bool((one < np.minimum(own, low)).any())
        above = high is not None and bool((one > np.maximum(own, high)).any())
        assert bool(found) == (bool(size > most) or below or above)
        assert ("found a change of" in found) == bool(size > most)
        assert ("found intensities from" in found) == (below or above)


@given(problems())
@settings(max_examples=100, deadline=None)
def test_the_projection_onto_a_box_is_numpys_clip(problem: tuple[Norm, Tensor, Tensor]) -> None:
    budget, clean, image = problem
    box = replace(budget, norm="linf")
    radius = box.radius(clean).numpy().reshape(-1, *[1] * (clean.ndim - 1))
    low = -np.inf if box.low is None else np.minimum(clean.numpy(), box.low)
    high = np.inf if box.high is None else np.maximum(clean.numpy(), box.high)
    wanted = np.clip(np.clip(image.numpy(), clean.numpy() - radius, clean.numpy() + radius), low, high)
    assert np.array_equal(box.project(image, clean).numpy(), wanted)


@given(problems())
@settings(max_examples=100, deadline=None)
def test_the_projection_onto_a_ball_keeps_the_direction(problem: tuple[Norm, Tensor, Tensor]) -> None:
    budget, clean, image = problem
    ball = replace(budget, norm="l2", low=None, high=None)
    moved, wanted = (ball.project(image, clean) - clean).double().numpy(), (image - clean).double().numpy()
    for one, other, most, size in zip(moved, wanted, ball.radius(clean).tolist(), sizes(image - clean, "l2"), strict=True):
        share = 1.0 if size <= most else most / size
        assert np.allclose(one, share * other, rtol=1e-3, atol=2e-6 * float(clean.abs().max()))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_hounsfield_units_are_never_clamped_to_the_unit_interval(norm: str) -> None:
    """A known failure of attack libraries: at a radius of 0.1 an image in [-1000, 1000] comes back 999.8 away."""
    clean = torch.linspace(-1000, 1000, 48).view(1, 1, 6, 8)
    for epsilon in (0.1, "0.1 HU", "20 HU", "inf"):
        budget = Norm(norm, epsilon)
        assert torch.equal(budget.project(clean, clean), clean)
        moved = budget.project(clean + 0.05 / 48**0.5, clean)
        assert float((moved - clean).abs().max()) < 0.06
        assert float(moved.min()) < -999
        assert float(moved.max()) > 999


def test_a_pixel_that_is_clean_outside_the_range_may_stay_and_may_come_back_but_goes_no_further_out() -> None:
    budget = Norm("linf", 0.5, 0.0, 1.0)
    clean = torch.tensor([[[-0.2, 1.3, 0.5]]])
    assert torch.equal(budget.project(clean, clean), clean)
    assert torch.allclose(budget.project(clean + torch.tensor([-0.1, 0.1, 0.9]), clean), torch.tensor([[[-0.2, 1.3, 1.0]]]))
    assert torch.allclose(budget.project(clean + torch.tensor([0.1, -0.1, 0.0]), clean), torch.tensor([[[-0.1, 1.2, 0.5]]]))
    assert audit(budget, clean, clean + torch.tensor([-0.1, 0.0, 0.0]))[0].startswith("found intensities from -0.3")


@pytest.mark.parametrize("value", [0.4, 0.5077, 0.9123])
def test_a_large_image_is_projected_into_the_ball_that_is_audited(value: float) -> None:
    """Of a million equal squares added one by one in float32, the sum is wrong in the fourth digit."""
    clean = torch.rand(2, 1, 1024, 1024, generator=torch.Generator().manual_seed(0))
    change = torch.full_like(clean, value)
    change[1] = torch.randn(clean[1].shape, generator=torch.Generator().manual_seed(1))
    assert np.allclose(length(change, "l2"), np.linalg.norm(change.double().flatten(1).numpy(), axis=1), rtol=1e-6)
    for budget in (Norm("l2", 200.0), Norm("l2", "10 %")):
        assert audit(budget, clean, budget.project(clean + change, clean)) == ("", "")


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("epsilon", ["8/255", "3 %", "inf"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_fails_the_audit(norm: str, epsilon: str, bad: float) -> None:
    clean = torch.rand(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    image = clean.clone()
    image[1, 0, 2, 2] = bad
    first, second = audit(Norm(norm, epsilon, 0.0, 1.0), clean, image)
    assert first == ""
    assert second


def test_a_share_is_of_the_clean_images_own_norm() -> None:
    clean = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    for norm in ("linf", "l2"):
        share = Norm(norm, "2 %")
        assert np.allclose(share.radius(clean), 0.02 * sizes(clean, norm))
        assert np.allclose(share.radius(7 * clean), 7 * share.radius(clean))
        assert share.unit == ""
    assert Norm("l2", "2 %").radius(torch.zeros(1, 1, 4)).tolist() == [0]


@pytest.mark.parametrize(
    ("epsilon", "number", "unit"),
    [
        (8, 8.0, ""),
        (0.5, 0.5, ""),
        (1e-05, 1e-5, ""),
        ("8/255", 8 / 255, ""),
        (" 8 / 255 ", 8 / 255, ""),
        ("20 HU", 20.0, "HU"),
        ("20HU", 20.0, "HU"),
        ("1/2 HU", 0.5, "HU"),
        ("1e-3", 1e-3, ""),
        ("inf", math.inf, ""),
        ("inf HU", math.inf, "HU"),
    ],
)
def test_an_amount_is_read_with_its_unit(epsilon: str | float, number: float, unit: str) -> None:
    budget = Norm("linf", epsilon)
    assert budget.radius(torch.zeros(1, 1, 2)).tolist() == [pytest.approx(number)]
    assert budget.unit == unit
    assert budget.bounded is math.isfinite(number)


@pytest.mark.parametrize("epsilon", [0, -1, "", "0", "-8/255", "8/0", "HU", "1.2.3", "8//255", "nan", math.nan, "1 2", "eight", "8/255/2"])
def test_what_is_no_amount_is_refused_in_one_line(epsilon: str | float) -> None:
    with pytest.raises(ValueError, match=r"^epsilon: found .*, expected a positive number, .*$") as raised:
        Norm("linf", epsilon)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("norm", "low", "high", "line"), [("l1", None, None, "norm: found 'l1'"), ("l2", 1.0, 1.0, "low and high: found 1.0 and 1.0")]
)
def test_what_is_no_budget_is_refused(norm: str, low: float | None, high: float | None, line: str) -> None:
    with pytest.raises(ValueError, match=f"^{line}, expected"):
        Norm(norm, 0.1, low, high)
