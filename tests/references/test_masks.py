"""Sampling masks equal fastMRI's, through MONAI's independent copy of them and through frozen known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.apps.reconstruction.transforms.array import RandomKspaceMask

from medrobust.imaging.masks import RandomMask, filename_seed, realised_acceleration

SETTINGS = [(4.0, 0.08, 320), (8.0, 0.04, 368), (4.0, 0.08, 71)]


def monai_mask(acceleration: float, center_fraction: float, width: int, state: np.random.RandomState) -> torch.Tensor:
    transform = RandomKspaceMask(center_fractions=[center_fraction], accelerations=[acceleration], spatial_dims=2, is_complex=True)
    transform.set_random_state(state=state)
    transform(np.zeros((1, 4, width), dtype=np.complex64))
    return torch.as_tensor(np.asarray(transform.mask)).flatten().bool()


@pytest.mark.parametrize(("acceleration", "center_fraction", "width"), SETTINGS)
def test_masks_equal_monais_for_twenty_seeds(acceleration: float, center_fraction: float, width: int) -> None:
    for seed in range(20):
        reference = monai_mask(acceleration, center_fraction, width, np.random.RandomState(seed))
        assert torch.equal(RandomMask(acceleration, center_fraction).draw(width, seed).flatten(), reference)


def test_masks_equal_monais_for_a_file_name() -> None:
    seed = filename_seed("file1000000.h5")
    reference = monai_mask(4, 0.08, 320, np.random.RandomState(seed))
    assert torch.equal(RandomMask(4, 0.08).draw(320, seed).flatten(), reference)
    assert not torch.equal(RandomMask(4, 0.08).draw(320, filename_seed("file1000001.h5")).flatten(), reference)


KNOWN = {
    (4.0, 0.08, 320, 0): "380a02011050d141521095000000208003ffffffc1800021c02000040518106080014108135c0",
    (8.0, 0.04, 368, filename_seed("file1000000.h5")): "2000c1000100000104080000800000008804000007fff0a08c8021000000008010400008000200a0000608800",
}
"""Columns as binary digits, the first column the highest, of masks that equal fastMRI's."""


@pytest.mark.parametrize(("setting", "answer"), list(KNOWN.items()))
def test_masks_are_the_known_ones(setting: tuple[float, float, int, int | tuple[int, ...]], answer: str) -> None:
    acceleration, center_fraction, width, seed = setting
    mask = RandomMask(acceleration, center_fraction).draw(width, seed)
    columns = [digit == "1" for digit in f"{int(answer, 16):0{width}b}"]
    assert mask.shape == (1, 1, width)
    assert mask.flatten().tolist() == columns


def test_center_of_every_mask_is_sampled() -> None:
    for seed in range(5):
        mask = RandomMask(8, 0.04).draw(320, seed).flatten()
        assert mask[154:167].all()


def test_realised_acceleration_is_columns_over_sampled_columns() -> None:
    mask = RandomMask(4, 0.08).draw(320, 0)
    torch.testing.assert_close(realised_acceleration(mask), torch.tensor([320 / 81]))


@pytest.mark.parametrize(("acceleration", "center_fraction"), [(0.5, 0.08), (4, 0.0), (4, 1.5), (float("nan"), 0.08)])
def test_masks_that_cannot_be_drawn_are_refused(acceleration: float, center_fraction: float) -> None:
    with pytest.raises(ValueError, match="expected a number"):
        RandomMask(acceleration, center_fraction)
