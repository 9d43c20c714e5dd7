"""What an upsampling layer leaves in an image's spectrum: peaks on a lattice, and the power of its bands."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

PARTS = 4
"""Two doublings repeat themselves every four pixels: peaks at multiples of a quarter of the sampling rate."""

PEAK, RING = 1, 6
"""Bins either way: a peak is 3x3 wide, as a Hann window makes it; what it stands out of is the 13x13 around it, without the 5x5 in the middle."""

LEAST = 32
"""Fewest pixels along an axis, so that no ring reaches the next peak's bins."""

FLOOR = 1e-12
"""Added to a power, so that nothing at all has a logarithm."""


def log_power(image: Tensor) -> Tensor:
    """Power of the Hann-windowed plane at each frequency, in dB; (n, H, W) float64 of an image (n, 1, H, W), frequency 0 first."""
    if image.ndim != 4 or image.shape[1] != 1:
        msg = f"image: found {tuple(image.shape)}, expected (n, 1, H, W)"
        raise ValueError(msg)
    plane = image[:, 0].double()
    down, across = (torch.hann_window(length, dtype=torch.float64, device=image.device) for length in plane.shape[1:])
    power: Tensor = torch.fft.fft2(plane * down[:, None] * across).abs().square()
    return 10 * (power + FLOOR).log10()


def grid_index(image: Tensor) -> Tensor:
    """How far a lattice of period four stands out of the spectrum, (n,) in dB: about 0 without one, tens of dB with a visible one.

    The mean, over the 15 frequencies that are multiples of a quarter of the sampling rate along both axes but for 0, of the log power in the 3x3 bins
    around less the median of the bins around those. It needs no clean image.

    Source: this project, after Durall et al. 2020, arXiv:2003.01826, and Schwarz et al. 2021, arXiv:2111.02447: transposed convolutions leave such
    peaks. image: (n, 1, H, W), H and W multiples of 4 from 32 up.
    """
    height, width = image.shape[-2:]
    if height % PARTS or width % PARTS or min(height, width) < LEAST:
        msg = f"image: found {height}x{width} pixels, expected multiples of {PARTS} from {LEAST} up"
        raise ValueError(msg)
    spectrum = log_power(image)
    step = torch.arange(-RING, RING + 1, device=image.device)
    far = torch.maximum(step[:, None].abs(), step.abs())
    contrasts = []
    for number in range(1, PARTS**2):
        row, column = number // PARTS * height // PARTS, number % PARTS * width // PARTS
        around = spectrum[:, (row + step) % height][:, :, (column + step) % width]  # frequencies repeat: -1 is the last
        contrasts.append(around[:, far <= PEAK].mean(1) - around[:, far > PEAK + 1].median(1).values)
    return torch.stack(contrasts, 1).mean(1)


def local_grid_index(image: Tensor, tile: int = 64) -> Tensor:
    """The grid index of the tile where it is highest, (n,) in dB: a lattice in one corner of the image, which drowns in the spectrum of the whole.

    Tiles overlap by half. Without a lattice it lies a few dB above 0, as the highest of several numbers does: compare with the clean image.

    Source: this project. image: (n, 1, H, W), H and W multiples of 4 from 32 up. tile: edge in pixels, a multiple of 8; a smaller image is one tile.
    """
    height, width = (min(tile, length) for length in image.shape[-2:])
    pieces = [
        image[..., top : top + height, left : left + width]
        for top in starts(image.shape[-2], height)
        for left in starts(image.shape[-1], width)
    ]
    return torch.stack([grid_index(piece) for piece in pieces], 1).amax(1)


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin along an axis: every half tile, and one that ends where the axis does."""
    return sorted({*range(0, length - tile + 1, max(1, tile // 2)), length - tile})


def band_powers(image: Tensor, bands: int) -> Tensor:
    """Mean log power in dB of half-octave bands of radial frequency, from the highest down, (n, bands); NaN where a band holds no frequency.

    The first band is all above half a cycle a pixel, the corners of the spectrum; the second half a cycle down to .35, and so on.

    Source: azimuthal averages as in Durall et al. 2020, arXiv:2003.01826. image: (n, 1, H, W).
    """
    spectrum = log_power(image)
    down, across = (torch.fft.fftfreq(length, dtype=torch.float64, device=image.device) for length in image.shape[-2:])
    radius = (down[:, None].square() + across.square()).sqrt()
    # frequencies that lie on an edge, such as (1/4, 1/4), belong below it however they are rounded
    edges = [1.0, *(0.5 * 2 ** (-band / 2) * (1 + 1e-9) for band in range(bands))]
    inside = [(radius <= high) & (radius > low) for high, low in pairwise(edges)]
    return torch.stack([spectrum[:, where].mean(1) for where in inside], 1)
