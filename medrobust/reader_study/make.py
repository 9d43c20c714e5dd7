"""A study on disk: the page for readers, and the sealed key for who made it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrobust.errors import StoreError
from medrobust.files import write_text
from medrobust.reader_study.draw import draw
from medrobust.reader_study.key import TAMPERED, Key, write_key
from medrobust.reader_study.page import page_text
from medrobust.reader_study.subjects import Subject

PAGE, SEALED = "study.html", Path("sealed", "key.json")


@dataclass(frozen=True)
class Made:
    """Where a study is. page: to hand out. key: to keep. lines: what it holds, in words."""

    page: Path
    key: Path
    lines: tuple[str, ...]


def make(
    subjects: Sequence[Subject],
    source: dict[str, Any],
    out: Path,
    pairs: int = 20,
    singles: int = 20,
    seed: int | None = None,
    title: str = "Reading mammograms",
    salt: str | None = None,
) -> Made:
    """Draw a study and write `study.html` and `sealed/key.json`; a key that is there is never written over.

    seed: of the draw; a random one where None. Who knows seed and images can repeat the draw, so a page never says it.
    salt: random where None; the same seed and salt give the same bytes.
    """
    page, sealed = out / PAGE, out / SEALED
    for path in (page, sealed):
        if path.exists():
            msg = f"{path}: found a study that is there already, expected none; choose another folder"
            raise StoreError(msg)
    seed = secrets.randbits(63) if seed is None else seed
    drawn = draw(subjects, pairs, singles, seed)
    key = Key(" ".join(title.split()), salt or secrets.token_hex(32), seed, source, drawn.items)
    write_key(sealed, key)
    write_text(page, page_text(key, drawn.pixels))
    return Made(page, sealed, tuple(_described(key)))


def _described(key: Key) -> list[str]:
    images = list(key.images.values())
    tampered = [one for one in images if one.version == TAMPERED]
    counts = [f"{sum(len(item.images) == 2 for item in key.items)} pairs and {sum(len(item.images) == 1 for item in key.items)} single images"]
    for name, group in (("original", [one for one in images if one.version != TAMPERED]), ("tampered", tampered)):
        counts.append(f"{len(group)} {name} ({sum(one.truth == 0 for one in group)} healthy, {sum(one.truth == 1 for one in group)} cancerous)")
    conditions = [f"condition {name}: {sum(one.condition == name for one in tampered)} tampered images" for name in key.conditions]
    return [f"study {key.study}: {', '.join(counts)}, {len({one.patient for one in images})} patients", *conditions]
