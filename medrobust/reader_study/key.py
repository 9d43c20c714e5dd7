"""The sealed key: what each image of a study is, and a commitment by which nobody can change it afterwards.

The commitment is the SHA-256 of the whole key, a random salt included. It stands on the page and in every returned file, so that a key which was
edited or swapped after the page was made fits none of them. Nothing is encrypted: blinding rests on not handing out the key.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrobust.digests import digest, plain
from medrobust.errors import DataError
from medrobust.files import replacing

FORMAT = "medrobust reader study key 1"
ORIGINAL, TAMPERED = "original", "tampered"
BIGGEST = 20_000_000


@dataclass(frozen=True)
class Shown:
    """One image as a reader sees it.

    image: its name on the page, such as `07A`. version: `original` or `tampered`. truth: class of the original, 1 cancerous.
    target: class that a tampered image was meant to show; of an original its truth. condition, checkpoint, direction, statement: of tampered images.
    pixels: SHA-256 of the grey levels on the page.
    """

    image: str
    case: str
    patient: str
    version: str
    truth: int
    target: int
    condition: str
    checkpoint: int | None
    direction: str
    pixels: str
    statement: str


@dataclass(frozen=True)
class Item:
    """One screen: a pair, left image first, or a single image."""

    item: str
    images: tuple[Shown, ...]


@dataclass(frozen=True)
class Key:
    """A study. salt: 64 random hexadecimal digits. seed: of the draw. source: where the images came from, as plain data."""

    title: str
    salt: str
    seed: int
    source: dict[str, Any]
    items: tuple[Item, ...]

    @property
    def commitment(self) -> str:
        """64 hexadecimal digits."""
        return digest({"format": FORMAT, **plain(self)}, 64)

    @property
    def study(self) -> str:
        """The study's name in files: the first 12 digits of the commitment."""
        return self.commitment[:12]

    @property
    def images(self) -> dict[str, Shown]:
        return {one.image: one for item in self.items for one in item.images}

    @property
    def conditions(self) -> tuple[str, ...]:
        """Of its tampered images, the earliest checkpoint first and those without one last."""
        found = {(one.checkpoint is None, one.checkpoint or 0, one.condition) for one in self.images.values() if one.version == TAMPERED}
        return tuple(name for *_, name in sorted(found))


def write_key(path: Path, key: Key) -> None:
    """A file that its owner alone may read."""
    import json

    content = {"format": FORMAT, "study": key.study, "commitment": key.commitment, **plain(key)}
    with replacing(path) as temporary:
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read_key(path: Path) -> Key:
    """The key of a study; DataError in one line where it is none, or not as it was written."""
    import json

    try:
        if path.stat().st_size > BIGGEST:
            msg = f"{path}: found {path.stat().st_size} bytes, expected a key of at most {BIGGEST}"
            raise DataError(msg)
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != FORMAT:
            msg = f"{path}: format: found another, expected '{FORMAT}'"
            raise DataError(msg)
        study, commitment = content.pop("study"), content.pop("commitment")
        items = tuple(Item(item["item"], tuple(Shown(**one) for one in item["images"])) for item in content.pop("items"))
        key = Key(**content, items=items)
        found = key.commitment
    except OSError as error:
        msg = f"{path}: {error.strerror or error}; expected the sealed key of a study"
        raise DataError(msg) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        msg = f"{path}: {type(error).__name__} {str(error)[:120]}; expected the sealed key of a study"
        raise DataError(msg) from error
    if (study, commitment) != (found[:12], found):
        msg = f"{path}: commitment: found a key that gives {found[:12]}, expected {str(commitment)[:12]}; it was changed after the study was made"
        raise DataError(msg)
    return key
