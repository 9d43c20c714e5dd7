"""Reconstructors beat or equal what they must, treat each mask as its own, and refuse options that make no sense."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from medrobust.imaging.kspace import undersample, with_phase
from medrobust.imaging.masks import RandomMask
from medrobust.targets.irim import IRIM
from medrobust.targets.l1_wavelet import L1Wavelet, L1WaveletNetwork
from medrobust.targets.reconstruction import ReconstructionTarget
from medrobust.targets.unet import UNet
from medrobust.targets.varnet import VarNet
from medrobust.targets.zero_filled import ZeroFilled
from medrobust.types import Batch, Case

SMALL = {
    "zero-filled": ZeroFilled(),
    "l1-wavelet": L1Wavelet(iterations=5),
    "unet": UNet(channels=4, pools=2),
    "irim": IRIM(hidden=(8,), patch=(2,), steps=2),
    "varnet": VarNet(cascades=2, channels=2),
}


def phantom(n: int = 2, size: int = 64) -> tuple[Tensor, Tensor, Tensor]:
    """Piecewise constant ellipses, smooth phase, one 3x mask a case."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    image = torch.zeros(n, 1, size, size)
    for i in range(n):
        for level, a, b, shift in ((0.6, 0.8, 0.65, 0.0), (0.3, 0.3, 0.2, 0.25), (-0.4, 0.2, 0.3, -0.3)):
            image[i, 0] += level * (((rows / a) ** 2 + ((columns - shift - 0.05 * i) / b) ** 2) < 1)
    phase = (0.8 * rows + 0.5 * columns**2).expand(n, 1, size, size)
    masks = [RandomMask(3, 0.1).draw(size, seed) for seed in range(n)]
    return image, phase, torch.stack(masks)


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return SMALL[name].build().eval().requires_grad_(False)


def nmse(prediction: Tensor, image: Tensor) -> float:
    return float((prediction - image).square().sum() / image.square().sum())


def test_zero_filling_gives_the_magnitude_of_what_was_measured() -> None:
    image, phase, mask = phantom()
    measured = undersample(with_phase(image, phase), mask)
    assert torch.equal(network("zero-filled")(measured, mask), measured.abs())


def test_l1_wavelet_clearly_beats_zero_filling_on_a_piecewise_smooth_phantom() -> None:
    image, phase, mask = phantom()
    measured = undersample(with_phase(image, phase), mask)
    found = L1Wavelet().build()(measured, mask)
    assert nmse(found, image) < 0.25 * nmse(measured.abs(), image)


def test_l1_wavelet_without_its_threshold_is_zero_filling() -> None:
    image, phase, mask = phantom()
    measured = undersample(with_phase(image, phase), mask)
    found = L1Wavelet(threshold=0, iterations=3).build()(measured, mask)
    torch.testing.assert_close(found, measured.abs(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wavelet", ["haar", "db2"])
@pytest.mark.parametrize("size", [(32, 32), (30, 37)])
def test_wavelet_shrinkage_by_nothing_is_the_identity(wavelet: str, size: tuple[int, int]) -> None:
    image = torch.randn(2, 1, *size, dtype=torch.complex128)
    torch.testing.assert_close(L1WaveletNetwork(wavelet, 3, 1, 0.0).shrink(image), image)


def test_l1_wavelet_gradients_equal_finite_differences() -> None:
    net = L1Wavelet(iterations=3, levels=2).build()
    mask = torch.tensor([True, False, True, True, False, True, False, False]).view(1, 1, 1, 8)
    image = undersample(torch.randn(1, 1, 8, 8, dtype=torch.complex128, generator=torch.Generator().manual_seed(0)), mask)
    assert torch.autograd.gradcheck(lambda measured: net(measured, mask), (image.requires_grad_(),))


@pytest.mark.parametrize("name", SMALL)
def test_each_case_is_reconstructed_under_its_own_mask(name: str) -> None:
    image, phase, mask = phantom(3, 32)
    assert not torch.equal(mask[0], mask[1])
    measured = undersample(with_phase(image, phase), mask)
    net = network(name)
    one_by_one = torch.cat([net(measured[i : i + 1], mask[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(net(measured, mask), one_by_one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_predictions_follow_the_units_of_the_image(name: str) -> None:
    image, phase, mask = phantom(1, 32)
    batch = Batch(image, image, (Case("c", "p", "g"),), {"phase": phase, "mask": mask})
    target = ReconstructionTarget(network(name), "0" * 12)
    torch.testing.assert_close(target(image * 1000, batch), target(image, batch) * 1000, rtol=1e-2, atol=1)


@pytest.mark.parametrize("name", SMALL)
def test_gradients_that_reach_the_image_are_right(name: str) -> None:
    image, phase, mask = phantom(1, 32)
    image = image.double() + 0.1 * torch.rand(image.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    batch = Batch(image, image, (Case("c", "p", "g"),), {"phase": phase.double(), "mask": mask})
    target = ReconstructionTarget(network(name).double(), "0" * 12)
    direction = torch.randn(image.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = image.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(target.loss(leaf, batch).sum(), leaf)
    step = 1e-6 * direction
    scale = undersample(with_phase(image, batch.context["phase"]), mask).abs().std()

    def error(at: Tensor) -> Tensor:
        return ((target(at, batch) - at) / scale).square().mean()

    expected = (error(image + step) - error(image - step)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        (L1Wavelet, {"wavelet": "bior2.2"}, "wavelet: found 'bior2.2', expected an orthogonal wavelet"),
        (L1Wavelet, {"wavelet": "har"}, "wavelet: found 'har'"),
        (L1Wavelet, {"levels": 0}, "levels: found 0, expected at least 1"),
        (L1Wavelet, {"threshold": float("nan")}, "threshold: found nan, expected at least 0"),
        (VarNet, {"cascades": 0}, "cascades: found 0, expected at least 1"),
    ],
)
def test_options_that_make_no_sense_are_one_line(architecture: type, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        architecture(**options)
