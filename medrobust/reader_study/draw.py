"""Which cases a study shows, as what, beside what and in which order: all from one seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from medrobust.errors import SpecError
from medrobust.reader_study.key import ORIGINAL, TAMPERED, Item, Shown
from medrobust.reader_study.subjects import Pixels, Subject, Version


@dataclass(frozen=True)
class Drawn:
    """The items of a study, and the pixels of each image by its name on the page."""

    items: tuple[Item, ...]
    pixels: dict[str, Pixels]


def draw(subjects: Sequence[Subject], pairs: int, singles: int, seed: int) -> Drawn:
    """A study of `pairs` pairs (original and tampered of one case) and `singles` single images, half of them tampered.

    No case stands twice. Healthy and cancerous cases alternate as long as there are both, as do conditions within each; patients who are not in the
    study yet come first. In half of the pairs the original is on the left; the order of all items is random.
    """
    if min(pairs, singles) < 0 or not pairs + singles:
        msg = f"reader-study: found {pairs} pairs and {singles} singles, expected at least one item"
        raise SpecError(msg)
    if len(subjects) < pairs + singles:
        wanted = f"{pairs + singles} or more for {pairs} pairs and {singles} singles"
        msg = f"reader-study: found {len(subjects)} cases, expected {wanted}; lower --pairs and --singles"
        raise SpecError(msg)
    rng = np.random.default_rng(seed)
    chosen = _chosen(subjects, pairs + singles, rng)
    turns = {0: 0, 1: 0}
    screens: list[list[tuple[Subject, Version | None]]] = []
    lefts = rng.permutation(np.arange(pairs) % 2)
    for index, subject in enumerate(chosen):
        version = subject.versions[turns[subject.truth] % len(subject.versions)]
        if index < pairs:
            turns[subject.truth] += 1
            both: list[tuple[Subject, Version | None]] = [(subject, None), (subject, version)]
            screens.append(both[::-1] if lefts[index] else both)
        else:
            single = index - pairs
            tampered = (single + single // 2) % 2 == 1
            turns[subject.truth] += tampered
            screens.append([(subject, version if tampered else None)])
    return _numbered([screens[index] for index in rng.permutation(len(screens))])


def _chosen(subjects: Sequence[Subject], count: int, rng: np.random.Generator) -> list[Subject]:
    """`count` of them, healthy and cancerous in turn; of each, the patients least shown come first."""
    order = [sorted(subjects, key=lambda one: one.case)[index] for index in rng.permutation(len(subjects))]
    queues = [[one for one in order if one.truth == truth] for truth in (0, 1)]
    used: Counter[str] = Counter()
    found: list[Subject] = []
    for turn in range(count):
        queue = queues[turn % 2] or queues[1 - turn % 2]
        subject = min(queue, key=lambda one: used[one.patient])
        queue.remove(subject)
        used[subject.patient] += 1
        found.append(subject)
    return found


def _numbered(screens: Sequence[Sequence[tuple[Subject, Version | None]]]) -> Drawn:
    width = max(2, len(str(len(screens))))
    items, pixels = [], {}
    for number, screen in enumerate(screens, 1):
        images = []
        for letter, (subject, version) in zip("AB", screen, strict=False):
            name = f"{number:0{width}d}{letter}"
            pixels[name] = version.pixels if version else subject.original
            images.append(replace(_shown(subject, version), image=name, pixels=hashlib.sha256(pixels[name].tobytes()).hexdigest()))
        items.append(Item(f"{number:0{width}d}", tuple(images)))
    return Drawn(tuple(items), pixels)


def _shown(subject: Subject, version: Version | None) -> Shown:
    known = ("", subject.case, subject.patient)
    if version is None:
        return Shown(*known, ORIGINAL, subject.truth, subject.truth, "", None, "", "", "")
    made = (version.condition, version.checkpoint, version.direction)
    return Shown(*known, TAMPERED, subject.truth, version.target, *made, "", version.statement)
