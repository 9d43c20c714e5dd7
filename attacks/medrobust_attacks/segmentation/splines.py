"""Smooth surfaces: uniform cubic B-splines over a coarse grid of control points."""

from __future__ import annotations

import torch
from torch import Tensor


def surface(control: Tensor, height: int, width: int) -> Tensor:
    """The surface (n, c, height, width) over control points (n, c, knots + 3, knots + 3), `knots` stretches along each axis.

    Each pixel is a mean of the 16 control points around it, so that it lies within their range.
    """
    rows, columns = (weights(length, control.shape[-1] - 3).to(control) for length in (height, width))
    smooth: Tensor = rows @ control @ columns.T
    return smooth


def weights(length: int, knots: int) -> Tensor:
    """What each of `knots` + 3 control points counts at the centre of each of `length` pixels; rows sum to 1."""
    at = (torch.arange(length, dtype=torch.float64) + 0.5) / length * knots
    far = (at[:, None] - (torch.arange(knots + 3) - 1)).abs()
    return torch.where(far < 1, 2 / 3 - far**2 + far**3 / 2, (2 - far).clamp_min(0) ** 3 / 6)


def require_knots(knots: int) -> None:
    """Raise ValueError unless there is a stretch."""
    if knots < 1:
        msg = f"knots: found {knots}, expected 1 or more"
        raise ValueError(msg)
