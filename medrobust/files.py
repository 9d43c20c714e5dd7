"""Files that are whole or absent: atomic writes, line files whose last line may be torn, and the user's cache."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from medrobust.errors import StoreError


def user_cache() -> Path:
    """`$MEDROBUST_CACHE`, else `$XDG_CACHE_HOME/medrobust`, else `~/.cache/medrobust`; it need not exist."""
    own = os.environ.get("MEDROBUST_CACHE")
    return Path(own) if own else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "medrobust"


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Whatever the file system refuses, as one line that names the file."""
    try:
        yield
    except OSError as error:
        msg = f"{path}: {error.strerror or error}; expected a writable folder with free space"
        raise StoreError(msg) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, moved onto it when the block ends well and removed when it does not."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with store_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with temporary.open("rb") as stream:
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """The text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_new_json(path: Path, value: Any) -> None:
    """Write a JSON file, whole, unless one is there already."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    with store_errors(path), suppress(FileExistsError):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            try:
                path.hardlink_to(temporary)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                if not path.exists():
                    temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """The content of a JSON file; one that cannot be read is an error that names it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        msg = f"{path}: {error.strerror or error}; expected a readable file"
        raise StoreError(msg) from error
    except ValueError as error:
        msg = f"{path}: {error}; expected JSON"
        raise StoreError(msg) from error


def read_lines(path: Path) -> list[Any]:
    """Every whole line of a JSON-lines file; a torn last line is dropped, torn elsewhere is an error that names the line."""
    if not path.exists():
        return []
    with store_errors(path):
        *whole, torn = path.read_bytes().split(b"\n")
    values = []
    for number, line in enumerate(whole, 1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            if number == len(whole) and not torn:
                break
            msg = f"{path}:{number}: found a torn line, expected one JSON object; restore the file or delete its cell's folder"
            raise StoreError(msg) from error
    return values


def write_lines(path: Path, values: Iterable[Any]) -> None:
    """A whole JSON-lines file, atomically."""
    write_text(path, "".join(json.dumps(value, allow_nan=False) + "\n" for value in values))


def append_lines(path: Path, values: Iterable[Any]) -> None:
    """Further lines in one write, on disk when this returns."""
    text = "".join(json.dumps(value, allow_nan=False) + "\n" for value in values)
    with store_errors(path), path.open("a", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
