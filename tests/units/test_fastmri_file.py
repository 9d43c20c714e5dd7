from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.data.fastmri_file import read_slice, read_slices, read_volume, write_volume
from medrobust.data.ismrmrd import NAMESPACE, Header, from_xml, to_xml
from medrobust.errors import DataError

SHAPE = (3, 40, 36)


def kspace(*shape: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) + 1j * random.normal(size=shape)).astype(np.complex64)


def volume(path: Path, *shape: int) -> Path:
    return write_volume(path, kspace(*(shape or SHAPE)), acquisition="CORPD_FBK", patient_id="p1", recon_size=(32, 32), system_model="Aera")


def centred_inverse(k: np.ndarray) -> np.ndarray:
    axes = (-2, -1)
    return np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(k, axes=axes), norm="ortho"), axes=axes)


def test_a_single_coil_volume_reads_back_as_it_was_written(tmp_path):
    path = volume(tmp_path / "a.h5")
    found = read_volume(path)
    assert (found.slices, found.coils, found.height, found.width) == (3, None, 40, 36)
    assert (found.acquisition, found.patient, found.undersampled, found.header.system_model) == ("CORPD_FBK", "p1", False, "Aera")
    assert (found.header.encoded, found.header.recon, found.header.padding_left, found.header.padding_right) == ((40, 36, 1), (32, 32, 1), 0, 36)
    for index in range(3):
        np.testing.assert_array_equal(read_slice(path, index), kspace(*SHAPE)[index])
    np.testing.assert_array_equal(read_slices(path, [2, 0, 2]), kspace(*SHAPE)[[2, 0, 2]])


@pytest.mark.parametrize("shape", [(2, 40, 36), (2, 3, 40, 36)])
def test_the_reference_images_are_the_centre_crop_of_the_inverse_transform(tmp_path, shape):
    path = volume(tmp_path / "a.h5", *shape)
    image = np.abs(centred_inverse(kspace(*shape)))[..., 4:36, 2:34]
    expected = image if len(shape) == 3 else np.sqrt(np.square(image).sum(1))
    with h5py.File(path) as file:
        assert ("reconstruction_esc" in file) == (len(shape) == 3)
        for name in {"reconstruction_esc", "reconstruction_rss"} & set(file):
            assert file[name].dtype == np.float32
            np.testing.assert_allclose(file[name][()], expected, rtol=1e-5)
        assert file.attrs["max"] == pytest.approx(expected.max(), rel=1e-6)
        assert file.attrs["norm"] == pytest.approx(np.linalg.norm(expected), rel=1e-5)
        assert isinstance(file["ismrmrd_header"][()], bytes)
    assert read_volume(path).coils == (None if len(shape) == 3 else 3)


def test_a_reconstruction_given_is_the_one_written(tmp_path):
    given_image = np.full((3, 8, 8), 2.5, np.float32)
    path = write_volume(tmp_path / "a.h5", kspace(*SHAPE), acquisition="A", patient_id="p", reconstruction=given_image)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["reconstruction_esc"][()], given_image)
    assert read_volume(path).maximum == 2.5


def test_the_same_input_gives_the_same_bytes_and_no_partial_file_stays(tmp_path):
    first, second = volume(tmp_path / "x" / "a.h5"), volume(tmp_path / "y" / "b.h5")
    assert first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == ["a.h5"]


def test_a_failed_write_leaves_the_file_that_stood_there(tmp_path):
    path = volume(tmp_path / "a.h5")
    before = path.read_bytes()
    with pytest.raises(TypeError):
        write_volume(path, kspace(*SHAPE), acquisition=object(), patient_id="p")  # type: ignore[arg-type]
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a.h5"]


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.complex64), np.zeros((0, 4, 4), np.complex64), np.full((1, 4, 4), np.nan, np.complex64)])
def test_kspace_that_is_no_volume_is_not_written(tmp_path, bad):
    with pytest.raises(ValueError, match="kspace: found"):
        write_volume(tmp_path / "a.h5", bad, acquisition="A", patient_id="p")
    assert not list(tmp_path.iterdir())


def header_as_fastmri_reads_it(text: bytes) -> tuple[int, int, tuple[int, ...], tuple[int, ...]]:
    """The queries of fastMRI's loader, transcribed: `//` between elements, whatever their depth."""

    def query(*names: str) -> int:
        found = ET.fromstring(text).find("." + "".join(f"//fm:{name}" for name in names), {"fm": "http://www.ismrm.org/ISMRMRD"})  # noqa: S314 - our own text
        assert found is not None
        return int(found.text or "")

    encoded = tuple(query("encoding", "encodedSpace", "matrixSize", axis) for axis in "xyz")
    recon = tuple(query("encoding", "reconSpace", "matrixSize", axis) for axis in "xyz")
    limits = ("encoding", "encodingLimits", "kspace_encoding_step_1")
    left = encoded[1] // 2 - query(*limits, "center")
    return left, left + query(*limits, "maximum") + 1, encoded, recon


def test_fastmris_own_queries_parse_the_header_of_a_written_file(tmp_path):
    with h5py.File(volume(tmp_path / "a.h5", 2, 64, 37)) as file:
        assert header_as_fastmri_reads_it(file["ismrmrd_header"][()]) == (0, 37, (64, 37, 1), (32, 32, 1))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(0, 900), st.integers(0, 900), st.text("ABCdef &<>", max_size=8))
def test_header_text_round_trips_and_agrees_with_fastmris_reading(height, width, center, maximum, model):
    header = Header((height, width, 1), (32, 32, 1), center, maximum, model)
    read = from_xml(to_xml(header))
    assert (read.encoded, read.recon, read.center, read.maximum) == (header.encoded, header.recon, center, maximum)
    assert header_as_fastmri_reads_it(to_xml(header))[:2] == (read.padding_left, read.padding_right)


def test_the_header_has_what_the_ismrmrd_schema_requires_in_its_order():
    root = ET.fromstring(to_xml(Header((40, 36, 1), (32, 32, 1), 18, 35)))  # noqa: S314 - our own text
    names = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in root]
    assert names == ["acquisitionSystemInformation", "experimentalConditions", "encoding"]
    inside = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in root[2]]
    assert inside == ["encodedSpace", "reconSpace", "encodingLimits", "trajectory"]
    assert [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in root[2][0]] == ["matrixSize", "fieldOfView_mm"]
    assert int(root[1][0].text) == 127732436  # protons at 3 T


def replace_dataset(file: h5py.File, name: str, value: object) -> None:
    del file[name]
    file[name] = value


def delete(name):
    return lambda file: file.__delitem__(name)


def attribute(name, value=None):
    return lambda file: file.attrs.__delitem__(name) if value is None else file.attrs.__setitem__(name, value)


def swap(name, value):
    return lambda file: replace_dataset(file, name, value)


HEADER = to_xml(Header((40, 36, 1), (32, 32, 1), 18, 35))

BREAKAGES = {
    "no k-space": (delete("kspace"), "kspace: found nothing"),
    "k-space a group": (lambda file: (delete("kspace")(file), file.create_group("kspace")), "kspace: found a group"),
    "rank of k-space": (swap("kspace", kspace(40, 36)), r"kspace: found shape \(40, 36\), expected \(slices, H, W\)"),
    "type of k-space": (swap("kspace", np.zeros(SHAPE, np.float32)), "kspace: found type float32, expected complex64"),
    "no header": (delete("ismrmrd_header"), "ismrmrd_header: found nothing"),
    "header no text": (swap("ismrmrd_header", 3), "ismrmrd_header: found"),
    "header no XML": (swap("ismrmrd_header", b"<a"), "ismrmrd_header: found XML that does not parse"),
    "header of no size": (swap("ismrmrd_header", HEADER.replace(b"<x>40</x>", b"")), "encodedSpace/matrixSize/x: found nothing, expected an integer"),
    "header of odd size": (swap("ismrmrd_header", HEADER.replace(b"<x>40</x>", b"<x>forty</x>")), "found 'forty', expected an integer"),
    "header of size 0": (swap("ismrmrd_header", HEADER.replace(b"<x>40</x>", b"<x>0</x>")), "expected sizes of at least 1"),
    "header in no namespace": (swap("ismrmrd_header", HEADER.replace(NAMESPACE.encode(), b"http://other")), "found nothing, expected an integer"),
    "no acquisition": (attribute("acquisition"), "attribute acquisition: found nothing, expected text"),
    "no patient": (attribute("patient_id"), "attribute patient_id: found nothing"),
    "patient a number": (attribute("patient_id", 7), "attribute patient_id: found .*7.*, expected text"),
    "maximum not finite": (attribute("max", float("nan")), "attribute max: found .*nan.*, expected a positive number"),
    "maximum text": (attribute("max", "big"), "attribute max: found 'big'"),
    "slices disagree": (swap("reconstruction_esc", np.zeros((2, 32, 32), np.float32)), "reconstruction_esc: found 2 slices, expected 3"),
    "rank of image": (swap("reconstruction_rss", np.zeros((32, 32), np.float32)), r"reconstruction_rss: found shape \(32, 32\)"),
    "mask too short": (lambda file: file.create_dataset("mask", data=np.ones(35)), r"mask: found shape \(35,\), expected \(36,\)"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_each_way_a_file_can_be_wrong_is_one_line_that_names_file_and_field(tmp_path, name):
    breakage, message = BREAKAGES[name]
    path = volume(tmp_path / "broken.h5")
    with h5py.File(path, "r+") as file:
        breakage(file)
    with pytest.raises(DataError, match=message) as caught:
        read_volume(path)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    assert "found" in text
    assert "expected" in text


def test_a_file_that_is_not_hdf5_is_one_line(tmp_path):
    path = tmp_path / "a.h5"
    path.write_text("hello")
    with pytest.raises(DataError, match=r"a\.h5: found a file that HDF5 cannot read .*expected") as caught:
        read_volume(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_and_a_missing_one_are_one_line(tmp_path):
    path = volume(tmp_path / "a.h5")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(DataError, match="found a file that HDF5 cannot read"):
        read_volume(path)
    with pytest.raises(DataError, match="found no such file"):
        read_volume(tmp_path / "b.h5")


@pytest.mark.parametrize("value", [np.nan, np.inf, complex(0, np.nan)])
def test_only_the_slice_asked_for_is_read_and_its_values_are_checked(tmp_path, value):
    path = volume(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        file["kspace"][1, 3, 4] = value
    read_slice(path, 0)
    with pytest.raises(DataError, match=r"kspace\[1\]: found NaN or infinity, expected finite values"):
        read_slice(path, 1)


@pytest.mark.parametrize("index", [-1, 3])
def test_a_slice_that_is_not_there_is_an_error_that_says_what_is(tmp_path, index):
    with pytest.raises(DataError, match=rf"found no slice {index}, expected an index in 0\.\.2"):
        read_slice(volume(tmp_path / "a.h5"), index)


def test_without_the_attribute_the_maximum_is_that_of_the_reference_image(tmp_path):
    path = volume(tmp_path / "a.h5")
    expected = read_volume(path).maximum
    with h5py.File(path, "r+") as file:
        del file.attrs["max"]
    assert read_volume(path).maximum == pytest.approx(expected)
    with h5py.File(path, "r+") as file:
        del file["reconstruction_esc"], file["reconstruction_rss"]
    with pytest.raises(DataError, match="attribute max: found nothing"):
        read_volume(path)
