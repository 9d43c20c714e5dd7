"""The U-Net is fastMRI's of 2019: parameter counts, and behaviour that its published form has."""

from __future__ import annotations

import pytest
import torch

from medrobust.targets.unet import UNet


@pytest.mark.parametrize(("channels", "count"), [(4, 52_571), (8, 209_699), (16, 837_635), (32, 3_348_227)])
def test_parameter_counts_equal_fastmris(channels: int, count: int) -> None:
    with torch.device("meta"):
        network = UNet(channels=channels).build()
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_leaderboard_width_has_214_million_parameters() -> None:
    with torch.device("meta"):
        network = UNet(channels=256).build()
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(214.2e6, abs=5e4)


def test_sizes_need_not_divide_by_the_poolings() -> None:
    network = UNet(channels=4).build().eval()
    zero_filled = torch.randn(2, 1, 50, 61, dtype=torch.complex64)
    with torch.no_grad():
        assert network(zero_filled, torch.ones(2, 1, 1, 61, dtype=torch.bool)).shape == (2, 1, 50, 61)


def test_output_is_in_the_units_of_the_input() -> None:
    torch.manual_seed(0)
    network = UNet(channels=4).build().eval()
    zero_filled, mask = torch.randn(1, 1, 32, 32, dtype=torch.complex64), torch.ones(1, 1, 1, 32, dtype=torch.bool)
    with torch.no_grad():
        torch.testing.assert_close(network(zero_filled * 1e-4, mask), network(zero_filled, mask) * 1e-4, rtol=1e-3, atol=1e-7)
