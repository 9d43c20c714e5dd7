"""A partition into superpixels: every voxel in one region, regions connected and numbered without gaps, the same however it is reached."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import label as components
from torch import Tensor
from torch.nn.functional import interpolate

from medrobust.imaging import superpixels
from medrobust.imaging.relevance import ceiling, overlap
from medrobust.imaging.superpixels import Superpixels

SHAPE = (16, 18, 14)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "superpixels"


def volumes(shape: tuple[int, ...] = (2, 4, *SHAPE), seed: int = 0) -> Tensor:
    """Smooth noise in [0, 1], as anatomy is smooth; regions of white noise all merge into one."""
    *leading, depth, height, width = shape
    coarse = torch.rand(1, int(np.prod(leading)), 6, 6, 6, generator=torch.Generator().manual_seed(seed))
    return interpolate(coarse, (depth, height, width), mode="trilinear").view(shape)


def tumour(edge: int = 24) -> tuple[Tensor, Tensor]:
    """A bright lobed blob on a noisy background, (1, 1, edge, edge, edge), and its mask (edge, edge, edge)."""
    axes = torch.meshgrid(*[torch.linspace(-1, 1, edge)] * 3, indexing="ij")
    blobs = [sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)) for centre in ([0.2, 0.1, 0.0], [-0.2, 0.3, 0.2])]
    mask = torch.minimum(blobs[0], 1.6 * blobs[1]) < 0.1
    return (0.3 + 0.5 * mask + 0.02 * volumes((edge, edge, edge)))[None, None], mask


def assert_labels_have_no_gap(labels: Tensor) -> None:
    for case in labels:
        assert torch.equal(case.unique(), torch.arange(int(case.max()) + 1))


@settings(deadline=None, max_examples=20)
@example((1, 1, 3, 2), 2, 0, True, 0)
@given(
    st.tuples(st.integers(1, 5), st.integers(2, 12), st.integers(3, 12), st.integers(1, 12)),
    st.integers(1, 60),
    st.sampled_from([-1, 0]),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_labels_are_numbered_without_gaps(shape: tuple[int, ...], segments: int, sequence: int, half: bool, seed: int) -> None:
    plugin = Superpixels(sequence, min(segments, shape[1] * shape[2] * shape[3]), half=half)
    labels = plugin.partition(volumes((1, *shape), seed))
    assert labels.shape == (1, *shape[1:])
    assert labels.dtype == torch.int64
    assert_labels_have_no_gap(labels)


def test_half_resolution_repeats_each_label() -> None:
    image = volumes((1, 1, 9, 10, 7))
    labels = Superpixels(0, 20, half=True).partition(image)
    assert torch.equal(labels[:, 0:8:2], labels[:, 1:8:2])
    assert torch.equal(labels[..., 0:6:2], labels[..., 1:6:2])
    assert labels.max() > 5


def test_regions_are_connected() -> None:
    labels = Superpixels(segments=30).partition(volumes())[0].numpy()
    assert labels.max() > 5
    assert all(components(labels == region)[1] == 1 for region in range(labels.max() + 1))


def test_only_the_chosen_sequence_matters() -> None:
    image, changed = volumes(), volumes()
    changed[:, [0, 1, 3]] = 0
    single, joint = Superpixels(sequence=2, segments=30), Superpixels(sequence=superpixels.ALL, segments=30)
    assert torch.equal(single.partition(image), single.partition(changed))
    assert not torch.equal(joint.partition(image), joint.partition(changed))


def test_three_sequences_are_not_taken_for_colours() -> None:
    grey = volumes((1, 1, *SHAPE))
    once = Superpixels(sequence=superpixels.ALL, segments=30).partition(grey)
    thrice = Superpixels(sequence=superpixels.ALL, segments=30, compactness=0.1 * 3**0.5).partition(grey.expand(1, 3, *SHAPE))
    assert (once == thrice).double().mean() > 0.95


def test_cases_are_partitioned_each_by_itself() -> None:
    image = volumes()
    together = Superpixels(segments=30).partition(image)
    assert torch.equal(together[1:], Superpixels(segments=30).partition(image[1:]))
    assert not torch.equal(together[0], together[1])


def test_compact_superpixels_cannot_follow_a_tumour() -> None:
    image, mask = tumour()
    near_cubes, loose, blocky = (
        ceiling(overlap(Superpixels(0, 50, compactness, half=half).partition(image)[0], mask))
        for compactness, half in ((10, False), (0.1, False), (0.1, True))
    )
    assert near_cubes < 0.75
    assert loose > 0.97
    assert near_cubes < blocky < loose


@pytest.mark.parametrize("half", [False, True])
def test_a_constant_volume_has_regions(half: bool) -> None:
    labels = Superpixels(segments=20, half=half).partition(torch.zeros(1, 4, *SHAPE))
    assert_labels_have_no_gap(labels)
    assert labels.max() > 0


def test_a_partition_is_computed_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, plugin = volumes(), Superpixels(segments=30)
    labels = plugin.partition(image)
    assert len(list(cache.iterdir())) == 2
    with monkeypatch.context() as patched:
        patched.setattr(superpixels, "slic", None)
        assert torch.equal(plugin.partition(image), labels)
        with pytest.raises(TypeError):
            Superpixels(segments=31).partition(image)
        with pytest.raises(TypeError):
            plugin.partition(image.flip(-1))
        patched.setattr(superpixels, "version", lambda _: "another")
        with pytest.raises(TypeError):
            plugin.partition(image)


def test_cached_files_are_small(cache: Path) -> None:
    Superpixels(segments=30).partition(volumes())
    assert all(path.stat().st_size < 2 * np.prod(SHAPE) for path in cache.iterdir())


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 torn", None])
def test_a_damaged_file_is_made_again(cache: Path, damage: bytes | None) -> None:
    image, plugin = volumes((1, 4, *SHAPE)), Superpixels(segments=30)
    labels = plugin.partition(image)
    (path,) = cache.iterdir()
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :] if damage is None else damage)
    assert torch.equal(plugin.partition(image), labels)
    assert path.read_bytes() == whole


def test_a_file_of_another_volume_is_not_believed(cache: Path) -> None:
    image, plugin = volumes((1, 4, *SHAPE)), Superpixels(segments=30)
    labels = plugin.partition(image)
    (path,) = cache.iterdir()
    for wrong in (labels[0, 1:].numpy(), 2 * labels[0].numpy()):
        np.savez_compressed(path, labels=wrong)
        assert torch.equal(plugin.partition(image), labels)


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    image, plugin = volumes(), Superpixels(segments=30)
    labels = plugin.partition(image)
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "file" / "below"))
    assert torch.equal(plugin.partition(image), labels)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"segments": 0}, "segments: found 0"),
        ({"sequence": -2}, "sequence: found -2"),
        ({"iterations": 0}, "iterations: found 0"),
        ({"compactness": 0.0}, "compactness: found 0.0"),
        ({"compactness": float("nan")}, "compactness: found nan"),
    ],
)
def test_options_that_partition_nothing_are_refused(options: dict[str, float], found: str) -> None:
    with pytest.raises(ValueError, match=f"{found}, expected"):
        Superpixels(**options)  # type: ignore[arg-type]


def test_images_that_cannot_be_partitioned_are_refused() -> None:
    with pytest.raises(ValueError, match="found segments = 4033, expected at most the 4032 voxels"):
        Superpixels(segments=4033).partition(volumes())
    with pytest.raises(ValueError, match=r"found 2 channel\(s\), expected channel 2"):
        Superpixels().partition(volumes((1, 2, *SHAPE)))
    with pytest.raises(ValueError, match=r"expected \(n, c, D, H, W\)"):
        Superpixels().partition(volumes((4, *SHAPE)))
    with pytest.raises(ValueError, match="not finite"):
        Superpixels().partition(volumes().log().where(volumes() > 0.5, torch.nan))
