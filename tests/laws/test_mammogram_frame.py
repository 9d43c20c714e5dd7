"""Flip, scale and padding of mammograms: images, points and masks go the same way, whatever the shapes."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.data.mammogram import BIRADS, MASS, Outline, counted
from medrobust.data.mammogram_image import Frame, scaled

LENGTHS = st.integers(40, 160)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    return Frame((draw(LENGTHS), draw(LENGTHS)), (draw(LENGTHS), draw(LENGTHS)), draw(st.booleans()))


@settings(deadline=None, max_examples=60)
@given(frames(), st.floats(0.25, 0.75), st.floats(0.25, 0.75))
def test_a_disc_lies_where_its_outline_lies(frame: Frame, down: float, right: float) -> None:
    rows, columns = np.indices(frame.shape)
    middle = np.array([right * frame.shape[1], down * frame.shape[0]])
    radius = min(frame.shape) / 5
    disc = np.hypot(columns - middle[0], rows - middle[1]) <= radius
    turns = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    outline = middle + radius * np.stack([np.cos(turns), np.sin(turns)], 1)
    image = frame.image(disc.astype(np.int32))
    drawn, covered = frame.mask([Outline("mass", outline)]), frame.mask([Outline("mass", mask=disc)])
    centre = frame.points(middle[None])[0]
    for found in (image, drawn, covered):
        weight = found.astype(np.float64)
        at = (weight[..., None] * np.stack(np.indices(frame.size), -1)).sum((0, 1)) / weight.sum()
        assert np.abs(at - centre).max() < 0.75
    assert (drawn & covered).sum() / (drawn | covered).sum() > 0.5


@settings(deadline=None, max_examples=60)
@given(frames())
def test_the_image_fills_one_side_and_zeros_the_rest(frame: Frame) -> None:
    rows, columns = frame.filled
    assert (rows <= frame.size[0], columns <= frame.size[1]) == (True, True)
    assert rows == frame.size[0] or columns == frame.size[1]
    image = frame.image(np.ones(frame.shape, np.int32) + np.eye(*frame.shape, dtype=np.int32))
    assert (image[rows:] == 0).all()
    assert (image[:, columns:] == 0).all()
    turned = Frame(frame.shape, frame.size, not frame.flip).image(np.eye(*frame.shape, dtype=np.int32))
    np.testing.assert_allclose(turned[:rows, :columns][:, ::-1], image[:rows, :columns], atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(frames(), st.floats(0, 1), st.floats(0, 1))
def test_every_dot_is_one_pixel_of_the_image(frame: Frame, down: float, right: float) -> None:
    point = np.array([[right * (frame.shape[1] - 1), down * (frame.shape[0] - 1)]])
    found = frame.mask([Outline("calcification", point)])
    assert found.sum() == 1
    assert found[: frame.filled[0], : frame.filled[1]].any()


@given(st.floats(0, 1e4), st.floats(0.5, 1e4), st.integers(0, 9))
def test_the_range_of_an_image_and_its_grey_scale_do_not_matter(low: float, span: float, seed: int) -> None:
    image = np.random.default_rng(seed).uniform(size=(8, 8)).astype(np.float32)
    moved = (low + span * image).astype(np.float32)
    once = scaled(moved, "x")
    assert (once.min(), once.max()) == (-1, 1)
    np.testing.assert_allclose(once, scaled(image, "x"), atol=4e-6 * (low + span) / span + 1e-5)
    np.testing.assert_allclose(scaled(once, "x"), once, atol=1e-6)


def test_calcifications_count_only_where_nothing_else_does() -> None:
    kinds = [Outline("calcification"), Outline("mass"), Outline("cluster"), Outline("point 1")]
    assert [one.kind for one in counted(kinds, BIRADS["birads>=3"])] == ["mass", "cluster"]
    assert [one.kind for one in counted(kinds, MASS["mass"])] == ["mass"]
    assert [one.kind for one in counted(kinds[::3], BIRADS["birads>=3"])] == ["calcification", "point 1"]
    assert counted(kinds[::3], MASS["mass"]) == []
