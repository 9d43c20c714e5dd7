"""Data sets that make their own files: made once in the user's cache, whole or not at all, and guarded by digests."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from medrobust.data.cache import content_digests, user_cache
from medrobust.errors import DataError, StoreError

SPLITS = ("train", "val", "test")


def identity(generator: int, fields: dict[str, object]) -> str:
    """Twelve hexadecimal digits of a generator's version and its options."""
    text = json.dumps({"generator": generator, **fields}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def at_least(plugin: object, least: dict[str, int]) -> None:
    """Raise ValueError for the first field that is smaller than it may be."""
    for name, smallest in least.items():
        if getattr(plugin, name) < smallest:
            msg = f"{name}: found {getattr(plugin, name)}, expected at least {smallest}"
            raise ValueError(msg)


def is_share(plugin: object, name: str) -> None:
    """Raise ValueError for a field that is no share."""
    if not 0 <= getattr(plugin, name) <= 1:
        msg = f"{name}: found {getattr(plugin, name)}, expected a number in [0, 1]"
        raise ValueError(msg)


def known_split(name: str, split: str) -> None:
    """Raise DataError for a split that the embedded set `name` does not have."""
    if split not in SPLITS:
        msg = f"{name}: found no split '{split}', expected one of {', '.join(SPLITS)}"
        raise DataError(msg)


def made(name: str, content: str, split: str, write: Callable[[Path], Iterable[Path]]) -> Path:
    """The folder of the user's cache that holds a split's files under a folder of the split's name.

    Makes it where it does not stand whole, and checks every file's digest. Raises DataError in one line.

    name: of the data set. content: identity of what the bytes depend on.
    write: fills an empty folder, in which the split's folder stands, and returns the files whose digests are kept.
    """
    folder = user_cache() / name / content
    if not (folder / f"{split}.json").exists():
        _make(folder, split, write)
    _check(folder, split)
    return folder


def _make(folder: Path, split: str, write: Callable[[Path], Iterable[Path]]) -> None:
    """Write the split beside its place and move it there; of two processes that do so, one wins and the other's is dropped."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    except OSError as error:
        msg = f"{folder.parent}: cannot make the embedded data: {error.strerror}; set MEDROBUST_CACHE to a writable folder"
        raise DataError(msg) from error
    try:
        (partial / split).mkdir()
        paths = write(partial)
        digests = {path.relative_to(partial / split).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        (partial / f"{split}.json").write_text(json.dumps(digests, indent=1), encoding="utf-8")
        partial.replace(folder)
    except (OSError, StoreError) as error:
        if not (folder / f"{split}.json").exists():
            cause = error.__cause__ if isinstance(error, StoreError) else error
            reason = getattr(cause, "strerror", None) or error
            msg = f"{folder}: cannot write the embedded data: {reason}; set MEDROBUST_CACHE to a folder with free space"
            raise DataError(msg) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check(folder: Path, split: str) -> None:
    """Every file as it was made; a damaged one is named."""
    expected = json.loads((folder / f"{split}.json").read_text(encoding="utf-8"))
    paths = {folder / split / name: digest for name, digest in expected.items()}
    missing = [path for path in paths if not path.exists()]
    if missing:
        msg = f"{missing[0]}: missing from the embedded data; remove {folder} and it is made again"
        raise DataError(msg)
    for path, digest in content_digests(list(paths)).items():
        if digest != paths[path]:
            msg = f"{path}: found sha256 {digest[:12]}, expected {paths[path][:12]}; remove {folder} and it is made again"
            raise DataError(msg)
