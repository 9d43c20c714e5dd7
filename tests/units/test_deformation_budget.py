"""The deformation budget: each limit in its unit, found where it is broken, and kept by what is projected onto it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from medrobust import registry
from medrobust.imaging.deformation import displacement, folding, warp, warp_labels
from medrobust.types import Attacked, Batch, Case
from medrobust_attacks.deformation.budget import DeformationBudget, perceptibility

SIZE = 24
WIDE = DeformationBudget(p=1e6, displacement=1e6, folding=1.0, shading=1e6)


def batch(n: int = 3) -> Batch:
    random = torch.Generator().manual_seed(4)
    image = 400 * torch.randn(n, 1, SIZE, SIZE, generator=random) - 200
    truth = torch.randint(0, 5, (n, 1, SIZE, SIZE), generator=random)
    cases = tuple(Case(f"s#{i:03d}", "s", "s") for i in range(n))
    context = {"mean": torch.full((n,), -200.0), "std": 400 + 10 * torch.arange(n).float(), "spacing": torch.tensor([[2.0, 3.0]]).repeat(n, 1)}
    return Batch(image, truth, cases, context)


def field(scale: float, n: int = 3, knots: int = 3) -> Tensor:
    coarse = scale * torch.randn(n, 2, knots, knots, generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(coarse, size=(SIZE, SIZE), mode="bilinear", align_corners=True)


def attacked(clean: Batch, moved: Tensor | None, shading: Tensor) -> Attacked:
    """What an attack makes of a field and shading."""
    if moved is None:
        return Attacked(clean.image + shading)
    return Attacked(warp(clean.image, moved) + shading, truth=warp_labels(clean.truth, moved), field=moved)


def shade(scale: float, n: int = 3) -> Tensor:
    return scale * field(1.0, n)[:, :1]


def test_it_is_registered() -> None:
    assert registry.load("budgets", "deformation") is DeformationBudget


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"p": 0.0}, "p: found 0.0, expected a number above 0"),
        ({"p": float("nan")}, "p: found nan"),
        ({"displacement": -1.0}, "displacement: found -1.0"),
        ({"shading": float("inf")}, "shading: found inf"),
        ({"folding": 1.5}, "folding: found 1.5, expected a fraction from 0 to 1"),
    ],
)
def test_impossible_limits_are_refused(options: dict[str, float], found: str) -> None:
    with pytest.raises(ValueError, match=found):
        DeformationBudget(**options)


def test_p_is_the_mean_change_in_standard_deviations_of_the_subject() -> None:
    clean = batch()
    assert perceptibility(clean.image + 41, clean).tolist() == pytest.approx([41 / 400, 41 / 410, 41 / 420], rel=1e-5)


def test_each_limit_is_audited_in_its_unit() -> None:
    clean = batch()
    still = torch.zeros_like(clean.image)
    right = torch.zeros(3, 2, SIZE, SIZE)
    right[1, 1] = 4.0  # pixels of 3 mm
    mirror = torch.zeros(3, 2, SIZE, SIZE)
    mirror[2, 1] = SIZE - 1 - 2 * torch.arange(SIZE)
    dark = still.clone()
    dark[0, 0, 3, 4] = -80
    lines = {
        "p": replace(WIDE, p=0.05).audit(clean, attacked(clean, None, still + 30)),
        "displacement": replace(WIDE, displacement=11.9).audit(clean, attacked(clean, right, still)),
        "folding": replace(WIDE, folding=0.9).audit(clean, attacked(clean, mirror, still)),
        "shading": replace(WIDE, shading=79.0).audit(clean, attacked(clean, right, dark)),
    }
    assert lines["p"] == ("found p 0.075, allowed 0.05", "found p 0.0731707, allowed 0.05", "found p 0.0714286, allowed 0.05")
    assert lines["displacement"] == ("", "found displacement 12 mm, allowed 11.9", "")
    assert lines["folding"] == ("", "", "found folding 1 of the pixels, allowed 0.9")
    assert lines["shading"] == ("found shading 80 HU, allowed 79", "", "")
    assert replace(WIDE, displacement=12.0, shading=80.0).audit(clean, attacked(clean, right, dark)) == ("", "", "")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda it: {"truth": it.truth * 0}, "truth is not what the field makes of it"),
        (lambda it: {"truth": None}, "truth is not what the field makes of it"),
        (lambda it: {"field": None}, "truth is not what the field makes of it"),
        (lambda it: {"field": it.field * torch.nan}, "found displacement nan mm"),
        (lambda it: {"image": it.image * torch.nan}, "found p nan"),
        (lambda it: {"context": {"std": torch.ones(3)}}, "region or acquisition were changed"),
        (lambda it: {"region": torch.ones(3, 1, SIZE, SIZE, dtype=torch.bool)}, "region or acquisition were changed"),
    ],
    ids=["another truth", "no truth", "no field", "field of NaN", "image of NaN", "context", "region"],
)
def test_the_audit_names_what_is_beside_the_field(change: Callable[[Attacked], dict[str, object]], found: str) -> None:
    clean = batch()
    honest = attacked(clean, field(3.0), shade(10.0))
    assert WIDE.audit(clean, honest) == ("", "", "")
    changed = replace(honest, **change(honest))  # type: ignore[arg-type]
    if changed.field is not None and bool(changed.field.isnan().any()):
        changed = replace(changed, truth=warp_labels(clean.truth, changed.field))
    assert all(line.startswith(found) for line in WIDE.audit(clean, changed))


@settings(deadline=None, max_examples=60)
@given(
    st.floats(0.01, 1.0), st.floats(0.0, 30.0), st.sampled_from([0.0, 0.01, 0.3]), st.floats(0.0, 500.0), st.sampled_from([0.0, 0.1, 3.0, 40.0]),
    st.sampled_from([0.0, 20.0, 1000.0]), st.booleans(),
)  # fmt: skip
def test_what_is_projected_keeps_every_limit(p: float, far: float, torn: float, bright: float, move: float, dark: float, moves: bool) -> None:
    clean, budget = batch(), DeformationBudget(p, far, torn, bright)
    moved, shading = budget.project(clean, field(move) if moves else None, shade(dark))
    assert budget.audit(clean, attacked(clean, moved, shading)) == ("", "", "")
    assert (moved is None) == (not moves)
    again, still = budget.project(clean, moved, shading)
    assert torch.allclose(still, shading, rtol=1e-4, atol=1e-6), "what is within stays"
    if again is not None and moved is not None:
        assert torch.allclose(again, moved, rtol=1e-4, atol=1e-6)


def test_what_is_within_every_limit_is_left_to_the_last_bit() -> None:
    clean = batch()
    moved, shading = WIDE.project(clean, field(3.0), shade(10.0))
    assert moved is not None
    assert torch.equal(moved, field(3.0))
    assert torch.equal(shading, shade(10.0))


@pytest.mark.parametrize(
    "budget",
    [replace(WIDE, p=0.2), replace(WIDE, displacement=5.0), replace(WIDE, folding=0.05), replace(WIDE, shading=30.0)],
    ids=["p", "displacement", "folding", "shading"],
)
def test_one_factor_scales_field_and_shading_and_is_no_smaller_than_it_must_be(budget: DeformationBudget) -> None:
    clean = batch()
    moved, shading = budget.project(clean, field(9.0), shade(60.0))
    assert moved is not None
    factors = (moved / field(9.0)).flatten(1).mean(1)
    assert torch.allclose(moved, field(9.0) * factors.view(-1, 1, 1, 1), rtol=1e-4)
    assert torch.allclose(shading, shade(60.0) * factors.view(-1, 1, 1, 1), rtol=1e-4)
    assert bool((factors < 0.999).all())
    further = attacked(clean, moved * 1.01, shading * 1.01)
    assert all(budget.audit(clean, further)), "one per cent more breaks the limit"


def test_each_limit_binds_at_its_value() -> None:
    clean = batch()
    far, _ = replace(WIDE, displacement=5.0).project(clean, field(9.0), shade(0.0))
    assert far is not None
    assert displacement(far, clean.context["spacing"]).flatten(1).amax(1).tolist() == pytest.approx([5.0] * 3, rel=1e-4)
    torn, _ = replace(WIDE, folding=0.05).project(clean, field(9.0), shade(0.0))
    assert torn is not None
    assert all(0.03 < fraction <= 0.05 for fraction in folding(torn).tolist())
    _, dark = replace(WIDE, shading=30.0).project(clean, None, shade(100.0))
    assert dark.abs().flatten(1).amax(1).tolist() == pytest.approx([30.0] * 3, rel=1e-4)
    moved, shading = replace(WIDE, p=0.2).project(clean, field(9.0), shade(10.0))
    assert moved is not None
    assert perceptibility(warp(clean.image, moved) + shading, clean).tolist() == pytest.approx([0.2] * 3, rel=1e-3)


def test_a_case_is_projected_alike_alone_and_among_others() -> None:
    clean, budget = batch(), DeformationBudget()
    moved, shading = budget.project(clean, field(9.0), shade(60.0))
    alone, shadow = budget.project(clean.select([1]), field(9.0)[1:2], shade(60.0)[1:2])
    assert moved is not None
    assert alone is not None
    assert torch.equal(moved[1:2], alone)
    assert torch.equal(shading[1:2], shadow)


def test_nothing_may_move_where_no_displacement_is_allowed() -> None:
    moved, shading = replace(WIDE, displacement=0.0).project(batch(), field(9.0), shade(60.0))
    assert moved is not None
    assert not bool(moved.any())
    assert not bool(shading.any()), "one factor for both"
