"""fastMRI's HDF5 format: one volume a file, written whole and read slice by slice."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from medrobust.data.ismrmrd import Header, from_xml, to_xml
from medrobust.errors import DataError
from medrobust.hdf5 import in_memory, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Kspace = NDArray[np.complex64]


@dataclass(frozen=True)
class Volume:
    """What a file says about itself; k-space is not read.

    slices, coils, height, width: shape of k-space; coils is None for single-coil files.
    maximum: largest value of the volume's reference image, in the file's intensity units.
    undersampled: the file carries a `mask` of sampled columns, as fastMRI's test files do.
    """

    path: Path
    slices: int
    coils: int | None
    height: int
    width: int
    acquisition: str
    patient: str
    maximum: float
    header: Header
    undersampled: bool


def write_volume(
    path: Path | str,
    kspace: Kspace,
    *,
    acquisition: str,
    patient_id: str,
    reconstruction: NDArray[np.float32] | None = None,
    recon_size: tuple[int, int] = (320, 320),
    system_model: str = "unspecified",
    pixel_mm: float = 1.0,
    slice_mm: float = 3.0,
    field_tesla: float = 3.0,
) -> Path:
    """Write one volume as fastMRI does; the same arguments give the same bytes, and the file appears whole or not at all.

    Source: Zbontar et al. 2018, arXiv:1811.08839, section 5; the layout read by fastMRI's `SliceDataset`.

    kspace: (slices, H, W) or (slices, coils, H, W) complex64, centred, orthonormal scaling; rows are the readout.
    reconstruction: (slices, h, w) float32; computed where it is not given: the centre crop to `recon_size` of |F* k|,
        root-sum-of-squares over coils. Stored as `reconstruction_rss`, and for a single coil as `reconstruction_esc` too.
    acquisition: such as `CORPD_FBK`. pixel_mm, slice_mm, field_tesla: geometry of the header.
    """
    path = Path(path)
    kspace = np.ascontiguousarray(kspace, dtype=np.complex64)
    if kspace.ndim not in {3, 4} or 0 in kspace.shape:
        msg = f"kspace: found shape {kspace.shape}, expected (slices, H, W) or (slices, coils, H, W)"
        raise ValueError(msg)
    if not np.isfinite(kspace).all():
        msg = "kspace: found NaN or infinity, expected finite values"
        raise ValueError(msg)
    height, width = kspace.shape[-2:]
    image = reference(kspace, recon_size) if reconstruction is None else np.ascontiguousarray(reconstruction, dtype=np.float32)
    header = Header(
        encoded=(height, width, 1),
        recon=(image.shape[-2], image.shape[-1], 1),
        center=width // 2,
        maximum=width - 1,
        system_model=system_model,
        pixel_mm=pixel_mm,
        slice_mm=slice_mm,
        field_tesla=field_tesla,
    )
    with in_memory() as file:
        file.create_dataset("ismrmrd_header", data=to_xml(header).decode(), dtype=h5py.string_dtype())
        file.create_dataset("kspace", data=kspace)
        for name in ("reconstruction_esc", "reconstruction_rss") if kspace.ndim == 3 else ("reconstruction_rss",):
            file.create_dataset(name, data=image)
        file.attrs["acquisition"] = acquisition
        file.attrs["max"] = float(image.max())
        file.attrs["norm"] = float(np.linalg.norm(image.astype(np.float64)))
        file.attrs["patient_id"] = patient_id
        write(path, file)
    return path


def reference(kspace: Kspace, recon_size: tuple[int, int]) -> NDArray[np.float32]:
    """Centre-cropped magnitude of F* k, root-sum-of-squares over coils, (slices, h, w); a smaller image is not padded."""
    import torch

    from medrobust.imaging.kspace import center_crop, ifft2c

    size = min(recon_size[0], kspace.shape[-2]), min(recon_size[1], kspace.shape[-1])
    images = []
    for one in kspace:
        magnitude = center_crop(ifft2c(torch.from_numpy(one)), *size).abs()
        images.append(magnitude.square().sum(0).sqrt() if one.ndim == 3 else magnitude)
    return torch.stack(images).numpy()


def read_volume(path: Path | str) -> Volume:
    """Check a file against the format and return what it says of itself; only the shapes of the arrays are read.

    Raises DataError in one line: file, field, what was found, what was expected.
    """
    path = Path(path)
    with _opened(path) as file:
        kspace = _dataset(path, file, "kspace")
        if kspace.ndim not in {3, 4} or 0 in kspace.shape:
            raise _wrong(path, "kspace", f"shape {kspace.shape}", "(slices, H, W) or (slices, coils, H, W)")
        if kspace.dtype != np.complex64:
            raise _wrong(path, "kspace", f"type {kspace.dtype}", "complex64")
        height, width = kspace.shape[-2:]
        try:
            header = from_xml(bytes(_header_text(path, file)))
        except ValueError as error:
            msg = f"{path}: ismrmrd_header: {error}"
            raise DataError(msg) from error
        _check_images(path, file, kspace.shape[0])
        undersampled = "mask" in file
        if undersampled and _dataset(path, file, "mask").shape != (width,):
            raise _wrong(path, "mask", f"shape {file['mask'].shape}", f"({width},), one entry a column of kspace")
        return Volume(
            path=path,
            slices=kspace.shape[0],
            coils=kspace.shape[1] if kspace.ndim == 4 else None,
            height=height,
            width=width,
            acquisition=_attribute(path, file, "acquisition"),
            patient=_attribute(path, file, "patient_id"),
            maximum=_maximum(path, file),
            header=header,
            undersampled=undersampled,
        )


def read_slices(path: Path | str, indices: Sequence[int]) -> Kspace:
    """K-space of those slices alone, (n, H, W) or (n, coils, H, W); the file is opened once. Raises DataError."""
    path = Path(path)
    with _opened(path) as file:
        kspace = _dataset(path, file, "kspace")
        slices = []
        for index in indices:
            if not 0 <= index < kspace.shape[0]:
                raise _wrong(path, "kspace", f"no slice {index}", f"an index in 0..{kspace.shape[0] - 1}")
            one = kspace[index]
            if not np.isfinite(one).all():
                raise _wrong(path, f"kspace[{index}]", "NaN or infinity", "finite values")
            slices.append(one)
    return np.stack(slices)


def read_slice(path: Path | str, index: int) -> Kspace:
    """K-space of one slice, (H, W) or (coils, H, W); no other slice is read. Raises DataError."""
    one: Kspace = read_slices(path, [index])[0]
    return one


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file; every failure of HDF5 to read it becomes one line."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except FileNotFoundError as error:
        msg = f"{path}: found no such file, expected a fastMRI HDF5 file"
        raise DataError(msg) from error
    except (OSError, RuntimeError) as error:
        msg = f"{path}: found a file that HDF5 cannot read ({str(error).splitlines()[0]}), expected a whole fastMRI HDF5 file"
        raise DataError(msg) from error


def _wrong(path: Path, field: str, found: str, expected: str) -> DataError:
    return DataError(f"{path}: {field}: found {found}, expected {expected}")


def _dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset:
    item = file.get(name)
    if not isinstance(item, h5py.Dataset):
        raise _wrong(path, name, "nothing" if item is None else "a group", f"a dataset; the file has {', '.join(sorted(file)) or 'none'}")
    return item


def _header_text(path: Path, file: h5py.File) -> bytes:
    value = _dataset(path, file, "ismrmrd_header")[()]
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[0] if value.size == 1 else None
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, bytes):
        raise _wrong(path, "ismrmrd_header", f"{type(value).__name__}", "XML text")
    return value


def _check_images(path: Path, file: h5py.File, slices: int) -> None:
    for name in ("reconstruction_esc", "reconstruction_rss"):
        if name in file:
            image = _dataset(path, file, name)
            if image.ndim != 3:
                raise _wrong(path, name, f"shape {image.shape}", "(slices, h, w)")
            if image.shape[0] != slices:
                raise _wrong(path, name, f"{image.shape[0]} slices", f"{slices}, as kspace has")


def _attribute(path: Path, file: h5py.File, name: str) -> str:
    value: Any = file.attrs.get(name)
    text = value.decode() if isinstance(value, bytes) else value
    if not isinstance(text, str) or not text:
        raise _wrong(path, f"attribute {name}", "nothing" if value is None else repr(value), "text")
    return text


def _maximum(path: Path, file: h5py.File) -> float:
    """Read the attribute `max`; a file without it, as fastMRI's test files are, has that of its reference image."""
    value: Any = file.attrs.get("max")
    image = next((file[name] for name in ("reconstruction_esc", "reconstruction_rss") if name in file), None)
    if value is None and image is not None:
        value = image[()].max()
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not (np.isfinite(number) and number > 0):
        raise _wrong(path, "attribute max", "nothing" if value is None else repr(value), "a positive number")
    return number
