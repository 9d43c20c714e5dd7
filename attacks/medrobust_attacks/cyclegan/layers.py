"""What generator and discriminator are made of."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

PADDINGS = {"zero": "zeros", "reflect": "reflect"}
"""What an option calls it, and what torch does."""

SPREAD = 0.02
"""Standard deviation of fresh weights, of convolutions around 0 and of scales around 1. Source: Zhu et al. 2017, arXiv:1703.10593, section 7.1."""


def require(kept: bool, name: str, found: object, expected: str) -> None:
    if not kept:
        msg = f"{name}: found {found}, expected {expected}"
        raise ValueError(msg)


def initialise(network: nn.Module, spectral: bool) -> None:
    """Fresh weights in place, from torch's generator; then, where asked for, every convolution under spectral normalisation (arXiv:1802.05957)."""
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in convolutions:
        nn.init.normal_(layer.weight, 0.0, SPREAD)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for scale in network.modules():
        if isinstance(scale, nn.InstanceNorm2d) and scale.affine:
            nn.init.normal_(scale.weight, 1.0, SPREAD)
            nn.init.zeros_(scale.bias)
    if spectral:
        for layer in convolutions:
            spectral_norm(layer)
