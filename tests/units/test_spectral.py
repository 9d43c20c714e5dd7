"""The spectral tamper detector: it sees spectra alone, and a lattice at once."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from medrobust.imaging.spectrum import band_powers, grid_index
from medrobust.targets.spectral import Spectral2D


def images(count: int = 24, seed: int = 0) -> torch.Tensor:
    """Smooth noise in [-1, 1], (count, 1, 64, 48)."""
    noise = torch.randn(count, 1, 64, 48, generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.avg_pool2d(noise, 5, 1, 2)
    return smooth / smooth.abs().amax((2, 3), keepdim=True)


def latticed(image: torch.Tensor, amplitude: float = 0.3) -> torch.Tensor:
    """A dot added to every fourth pixel both ways."""
    made = image.clone()
    made[:, :, ::4, ::4] += amplitude
    return made


def test_its_logit_is_linear_in_standardised_bands_and_lattice_index() -> None:
    network = Spectral2D(bands=6).build().eval()
    seen = images(3)
    features = torch.cat([band_powers(seen, 6).nan_to_num(0.0), grid_index(seen)[:, None]], 1).float()
    assert torch.allclose(network(seen), network.linear(features))


def test_bands_without_a_frequency_stay_finite() -> None:
    assert torch.isfinite(Spectral2D(bands=30).build().eval()(images(2))).all()


def test_a_lattice_is_learnt_in_a_few_steps_and_told_on_images_never_seen() -> None:
    torch.manual_seed(0)
    network = Spectral2D(bands=8).build().train()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.1)
    seen = torch.cat([images(), latticed(images())])
    truth = torch.cat([torch.zeros(24), torch.ones(24)])
    for _ in range(30):
        optimiser.zero_grad()
        binary_cross_entropy_with_logits(network(seen)[:, 0], truth).backward()
        optimiser.step()
    network.eval()
    with torch.no_grad():
        clean, made = network(images(seed=1))[:, 0], network(latticed(images(seed=1)))[:, 0]
    assert float(made.min()) > float(clean.max())
    untouched = network(latticed(images(seed=1), 0.0))[:, 0]
    assert torch.equal(untouched, clean), "nothing but the lattice tells them apart"


@pytest.mark.parametrize("name", ["bands", "classes"])
def test_impossible_settings_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^{name}: found 0, expected at least 1$"):
        Spectral2D(**{name: 0})
