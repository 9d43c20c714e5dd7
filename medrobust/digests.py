"""Identities: short digests of plain data, the same in every process and on every machine."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

LENGTH = 12


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: dataclasses and mappings to dicts, tuples and sets to lists.

    Raises TypeError for what has no plain form, such as a tensor, and ValueError for numbers that are not finite.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(plain(item) for item in value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, PurePath):
        return value.as_posix()
    if value is None or isinstance(value, str | int | float):
        return value
    msg = f"{type(value).__name__} has no plain form"
    raise TypeError(msg)


def canonical(value: Any) -> str:
    """The one JSON text of `value`: sorted keys, no spaces, shortest floats."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(value: Any, length: int = LENGTH) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]


def digest_bytes(content: bytes, length: int = LENGTH) -> str:
    """The first `length` hexadecimal digits of the SHA-256 of `content`."""
    return hashlib.sha256(content).hexdigest()[:length]
