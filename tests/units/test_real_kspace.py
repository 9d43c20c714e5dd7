from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.data.fastmri import FastMRI
from medrobust.data.fastmri_file import read_slices, read_volume
from medrobust.data.near_duplicates import similarity, subjects
from medrobust.data.real_kspace import assign, convert, nearest, read_scans, to_grid
from medrobust.data.real_sources import SAME_SUBJECT, with_smooth_phase
from medrobust.errors import DataError

EXAMPLES = Path(os.environ.get("MEDROBUST_EXAMPLE_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "mri_kspace"
needs_examples = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no example MR slices: set MEDROBUST_EXAMPLE_DATA to a folder that has mri_kspace")


def image_of(kspace: np.ndarray) -> np.ndarray:
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(kspace), norm="ortho"))


def smooth(height: int, width: int) -> np.ndarray:
    y, x = np.meshgrid(np.arange(height) - height // 2, np.arange(width) - width // 2, indexing="ij")
    return (3 * np.exp(-((y / 6) ** 2 + (x / 4) ** 2)) * np.exp(0.1j * y)).astype(np.complex64)


def test_a_grid_of_the_images_own_size_changes_nothing():
    np.testing.assert_allclose(image_of(to_grid(smooth(48, 48), 48)), smooth(48, 48), atol=1e-6)


@pytest.mark.parametrize(("shape", "size"), [((48, 36), 64), ((36, 48), 64), ((48, 48), 64), ((64, 50), 48), ((47, 40), 64)])
def test_an_image_on_the_grid_keeps_its_intensity_its_centre_and_its_aspect(shape, size):
    found = np.abs(image_of(to_grid(smooth(*shape), size)))
    scale = size / max(shape)
    y, x = np.meshgrid((np.arange(size) - size // 2) / scale, (np.arange(size) - size // 2) / scale, indexing="ij")
    np.testing.assert_allclose(found, 3 * np.exp(-((y / 6) ** 2 + (x / 4) ** 2)), atol=0.02)


@settings(max_examples=20, deadline=None)
@given(st.integers(8, 40), st.integers(8, 40), st.integers(0, 99))
def test_zero_filling_adds_no_energy_but_that_of_the_finer_grid(height, width, seed):
    random = np.random.default_rng(seed)
    image = (random.normal(size=(height, width)) + 1j * random.normal(size=(height, width))).astype(np.complex64)
    kspace = to_grid(image, 40)
    assert np.linalg.norm(kspace) == pytest.approx(np.linalg.norm(image) * 40 / max(height, width), rel=1e-4)


def test_the_made_up_phase_is_smooth_repeats_and_leaves_the_magnitude():
    magnitude = np.random.default_rng(0).random((2, 64, 64)) + 0.5
    image = with_smooth_phase(magnitude, "a")
    np.testing.assert_allclose(np.abs(image), magnitude, rtol=1e-6)
    np.testing.assert_array_equal(image, with_smooth_phase(magnitude, "a"))
    assert np.abs(image - with_smooth_phase(magnitude, "b")).max() > 0.1
    steps = np.angle(image[0, 1:] * image[0, :-1].conj())
    assert np.abs(steps).max() < np.pi * 4 * 2 / 63 + 1e-6
    kspace = np.fft.fft2(image[0])
    mirrored = np.roll(kspace[::-1, ::-1], (1, 1), (0, 1)).conj()
    assert np.linalg.norm(kspace - mirrored) > 0.1 * np.linalg.norm(kspace)  # not Hermitian: half of k-space does not give the rest


def test_similarity_is_one_for_a_shifted_image_and_small_for_noise():
    random = np.random.default_rng(0)
    images = random.random((3, 32, 32))
    images[1] = 2 * np.roll(images[0], (3, 5), (0, 1)) + 1
    values = similarity(images)
    np.testing.assert_allclose(values, values.T, atol=1e-9)
    np.testing.assert_allclose(np.diag(values), 1)
    assert values[0, 1] == pytest.approx(1)
    assert values[0, 2] < 0.3
    assert subjects(images, SAME_SUBJECT) == [0, 0, 2]


def test_subjects_are_chained_through_a_third_image():
    random = np.random.default_rng(1)
    parts = random.normal(size=(3, 24, 24))
    images = np.stack([parts[0], parts[1], parts[0] + parts[1]])
    values = similarity(images)
    assert values[0, 1] < SAME_SUBJECT < min(values[0, 2], values[1, 2])
    assert subjects(images, SAME_SUBJECT) == [0, 0, 0]


def test_a_folder_without_any_source_is_one_line(tmp_path):
    with pytest.raises(DataError, match="found none of kellman_nih") as caught:
        read_scans(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_source_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "admm_csnet").mkdir()
    (tmp_path / "admm_csnet" / "Brain_cdata1.mat").write_text("no image")
    with pytest.raises(DataError, match="admm_csnet: found no readable images"):
        read_scans(tmp_path)


@needs_examples
def test_the_public_slices_become_fastmri_files_in_splits_that_share_no_subject(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "real"
    lines = list(convert(EXAMPLES, out))
    assert any("left out sigpy_brain8ch: undersampled" in line for line in lines)
    volumes = [read_volume(path) for path in sorted(out.rglob("*.h5"))]
    counts = Counter(volume.acquisition for volume in volumes for _ in range(volume.slices))
    assert counts == {
        "GRE_MULTIECHO_COMPLEX": 28,
        "T2_COMPLEX": 1,
        "BRAIN_COMPLEX": 1,
        "CINE_MAGNITUDE_SYNTHETIC_PHASE": 30,
        "T1_MAGNITUDE_SYNTHETIC_PHASE": 30,
    }
    assert {(volume.height, volume.width) for volume in volumes} == {(320, 320)}
    data = FastMRI(str(out))
    patients = {split: {case.patient for case in data.cases(split)} for split in ("train", "val", "test")}
    assert sum(map(len, patients.values())) == len(set.union(*patients.values()))
    assert {volume.patient for volume in volumes if volume.acquisition.endswith("_COMPLEX")} <= patients["test"]
    batch = data.load(data.cases("test")[:2])
    assert batch.image.shape == (2, 1, 320, 320)
    assert (batch.image.amax((1, 2, 3)) <= batch.context["maximum"] * 1.001).all()


@needs_examples
def test_no_slice_has_a_near_duplicate_in_another_split():
    scans, _ = read_scans(EXAMPLES)
    owner = {patient: split for split, patients in assign(scans).items() for patient in patients}
    value, _, _, neighbours = nearest(scans, owner)
    assert value < 0.7
    assert neighbours > 0.9
    # Each file of the one volunteer in a split of its own: the check must see it.
    apart = [replace(scan, patient=scan.name) for scan in scans if scan.patient == "kellman-nih"]
    assert nearest(apart, {scan.patient: scan.name for scan in apart})[0] > 0.95


@needs_examples
def test_the_measured_image_survives_the_grid():
    from scipy.io import loadmat

    scans = {scan.name: scan for scan in read_scans(EXAMPLES)[0]}
    source = loadmat(EXAMPLES / "kellman_nih" / "PKdata7.mat")["data"][0, 0]["images"][:, :, 0, 0, 0]  # 256 x 256
    fine = image_of(to_grid(scans["kellman_PKdata7"].images[0]))
    back = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(fine), norm="ortho"))[32:288, 32:288] * 256 / 320
    np.testing.assert_allclose(image_of(back), source, atol=1e-3 * np.abs(source).max())


@needs_examples
def test_the_same_folder_gives_the_same_bytes(tmp_path):
    small = tmp_path / "source"
    small.mkdir()
    (small / "loraks_T2").symlink_to(EXAMPLES / "loraks_T2")
    for name in ("a", "b"):
        lines = list(convert(small, tmp_path / name))
        assert any(line.startswith("left out kellman_nih: not in the folder") for line in lines)
    first, second = (next((tmp_path / name).rglob("*.h5")) for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert read_slices(first, [0]).shape == (1, 320, 320)
