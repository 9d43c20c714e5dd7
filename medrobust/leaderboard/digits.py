"""Values at the digits that committed files keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medrobust.stats.bootstrap import Floats

# 10**22 is the largest power of ten that a double holds exactly, and 2**53 the end of consecutive integers.
LARGEST = 22


def nine_digits(values: Floats) -> Floats:
    """The doubles that `float(f"{value:.9g}")` gives, for all values at once.

    With k such that m = round(value 10**k) has nine digits, m / 10**k divides two exact numbers and so is the double nearest to the decimal.
    Text decides where that is not certain: near a tie of two roundings, just below a power of ten, and for magnitudes outside 1e-13 to 1e15.
    """
    import numpy as np

    values = np.asarray(values, dtype=np.float64)
    size = np.abs(values)
    with np.errstate(divide="ignore", invalid="ignore"):
        power = 8 - np.floor(np.log10(size))
    plain = np.isfinite(power) & (np.abs(power) <= LARGEST) & (size < 1e15)
    scale = 10.0 ** np.where(plain & (power > 0), power, 0)
    shrink = 10.0 ** np.where(plain & (power < 0), -power, 0)
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = size * scale / shrink
        whole = np.rint(scaled)
        sure = plain & (whole >= 1e8) & (whole < 1e9 - 1) & (np.abs(np.abs(scaled - whole) - 0.5) > 1e-4)
        found = np.where(sure, np.copysign(whole * shrink / scale, values), values)
    unsure = np.flatnonzero(~sure & (values != 0))
    found[unsure] = [float(f"{value:.9g}") for value in values[unsure]]
    return np.asarray(found)
