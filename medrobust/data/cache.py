"""Where this user's machine keeps what can be made again: embedded data and content digests."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from medrobust.errors import DataError
from medrobust.files import user_cache as user_cache


def content_digests(paths: list[Path]) -> dict[Path, str]:
    """Sha256 of each file's bytes; a file whose size and time of change are known is not read again.

    What is known lies in `digests.json` of the user's cache; where that cannot be written, digests are computed every time.
    Raises DataError for a file that cannot be read.
    """
    store = user_cache() / "digests.json"
    known = _read(store)
    digests, fresh = {}, {}
    for path in paths:
        try:
            stat = path.stat()
            key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"
            if key not in known:
                with path.open("rb") as file:
                    fresh[key] = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            msg = f"{path}: found a file that cannot be read ({error.strerror}), expected one"
            raise DataError(msg) from error
        digests[path] = known.get(key) or fresh[key]
    if fresh:
        with contextlib.suppress(OSError):
            store.parent.mkdir(parents=True, exist_ok=True)
            partial = store.with_name(f".{store.name}.{os.getpid()}.tmp")
            partial.write_text(json.dumps({**_read(store), **fresh}, indent=0, sort_keys=True), encoding="utf-8")
            partial.replace(store)
    return digests


def _read(store: Path) -> dict[str, str]:
    try:
        known = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
