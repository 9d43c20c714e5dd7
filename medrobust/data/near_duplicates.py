"""Which images show one subject again: correlation over all shifts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def similarity(images: NDArray[np.floating]) -> NDArray[np.float64]:
    """Largest correlation over all shifts of every two magnitudes (n, H, W), (n, n); 1 for the same image."""
    centred = images - images.mean((1, 2), keepdims=True)
    norm = np.sqrt(np.square(centred).sum((1, 2), keepdims=True))
    spectra = np.fft.rfft2(centred / np.where(norm > 0, norm, 1))
    return np.stack([np.fft.irfft2(one.conj() * spectra, s=images.shape[1:]).max((1, 2)) for one in spectra])


def subjects(images: NDArray[np.floating], threshold: float) -> list[int]:
    """Group of each image, named by its first member: images chained by a similarity of `threshold` or more are one subject's."""
    group = list(range(len(images)))
    for i, j in np.argwhere(np.triu(similarity(images), 1) >= threshold):
        low, high = sorted((group[i], group[j]))
        group = [low if one == high else one for one in group]
    return group
