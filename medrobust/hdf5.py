"""HDF5 files that are written in one go: the library crashes the process where it writes to a disk that fills up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from medrobust.files import replacing


@contextmanager
def in_memory() -> Iterator[h5py.File]:
    """A new HDF5 file that never touches the disk."""
    with h5py.File("in memory", "w", driver="core", backing_store=False) as file:
        yield file


def write(path: Path, file: h5py.File) -> None:
    """The file's image on disk, whole or not at all. Raises StoreError in one line."""
    file.flush()
    with replacing(path) as temporary:
        temporary.write_bytes(file.id.get_file_image())
