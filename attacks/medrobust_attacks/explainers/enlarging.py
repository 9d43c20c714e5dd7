"""Linear interpolation of coarse maps, axis by axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate


def enlarged(maps: Tensor, space: Sequence[int]) -> Tensor:
    """Maps (n, *coarse) as (n, *space): what torch's linear, bilinear or trilinear interpolation gives, to rounding, in a fraction of the time."""
    for length in space:  # the first axis is taken from the front and put at the end, one after the other
        weights = interpolate(torch.eye(maps.shape[1], dtype=maps.dtype, device=maps.device)[None], length, mode="linear", align_corners=False)[0]
        maps = torch.tensordot(maps, weights, ([1], [0]))
    return maps
