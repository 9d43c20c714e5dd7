"""Nine digits at once are those of one value at a time, to the bit."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from medrobust.leaderboard.digits import nine_digits

DECIMALS = st.integers(-(10**10), 10**10).map(lambda n: n / 1e9)
TIES = st.integers(0, 10**10).map(lambda n: (n + 0.5) / 1e9)
VALUES = st.floats() | st.floats(-2, 2) | DECIMALS | TIES


def one_at_a_time(values) -> list[float]:
    return [float(f"{value:.9g}") for value in values]


def same(first, second) -> bool:
    return np.array_equal(np.asarray(first).view(np.int64), np.asarray(second).view(np.int64))


@given(st.lists(VALUES, min_size=1, max_size=50).filter(lambda values: not any(math.isnan(value) for value in values)))
def test_any_value(values):
    assert same(nine_digits(np.array(values)), one_at_a_time(values))


def test_many_values_of_every_size():
    rng = np.random.default_rng(0)
    values = rng.normal(size=60_000) * 10.0 ** rng.integers(-30, 30, 60_000)
    digits = (1, 9.999999995, 0.1234567895, 9.99999999, 1.000000005)
    edges = [sign * digit * 10.0**power for sign in (1, -1) for digit in digits for power in range(-25, 25)]
    for one in (values, np.array(edges), np.nextafter(edges, 0), np.nextafter(edges, np.inf), rng.random(20_000), np.round(rng.random(20_000), 9)):
        assert same(nine_digits(one), one_at_a_time(one))


def test_numbers_that_are_none_stay():
    assert same(nine_digits(np.array([np.inf, -np.inf, 0.0, -0.0])), [np.inf, -np.inf, 0.0, -0.0])
    assert np.isnan(nine_digits(np.array([np.nan]))).all()
    assert nine_digits(np.array([])).shape == (0,)
