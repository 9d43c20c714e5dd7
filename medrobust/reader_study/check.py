"""Whether returned files belong to a study and are whole: one line for each that is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medrobust.errors import DataError
from medrobust.reader_study.key import Key
from medrobust.reader_study.returned import SCALES, Returned, files, read, refused


def collected(key: Key, paths: Sequence[Path], *, allow_incomplete: bool = False) -> tuple[list[Returned], list[str]]:
    """Every reader's answers in the order of the paths, and what is to be said of those that were taken.

    Raises DataError with one line for each file that is refused; then nothing is scored, so that no table silently lacks a reader.
    """
    found: list[Returned] = []
    problems: list[str] = []
    for path in files(paths):
        try:
            taken = read(path)
            if not taken:
                raise refused(path, "answers", "none", "those of one reader or more")
            for one in taken:
                _belongs(key, one)
                _whole(key, one, allow_incomplete)
                _new(one, found)
                found.append(one)
        except DataError as error:
            problems.append(str(error))
    if not found and not problems:
        problems = ["reader-study score: found no returned file, expected one or more"]
    if problems:
        raise DataError("\n".join(problems))
    return found, [note for one in found for note in _notes(key, one)]


def _belongs(key: Key, one: Returned) -> None:
    if one.study != key.study:
        raise refused(one.path, "study", f"'{one.study}'", f"'{key.study}': the answers are to another study")
    if one.commitment != key.commitment:
        raise refused(one.path, "commitment", f"'{one.commitment}'", f"'{key.commitment[:12]}...': the key or the answers were changed")
    if one.checksum is not None and one.checksum != one.sum():
        raise refused(one.path, "checksum", f"'{one.checksum[:12]}'", f"'{one.sum()[:12]}': the answers were altered after they were saved")


def _whole(key: Key, one: Returned, allow_incomplete: bool) -> None:
    unknown = [image for image in one.ratings if image not in key.images]
    if unknown:
        raise refused(one.path, "image", f"'{unknown[0]}'", f"images of the study, {min(key.images)} to {max(key.images)}")
    lacking = missing(key, one)
    if lacking and not allow_incomplete:
        some = ", ".join(lacking[:5]) + (f" and {len(lacking) - 5} more" if len(lacking) > 5 else "")
        whole = len(key.images) * len(SCALES)
        raise refused(one.path, "answers", f"{whole - len(lacking)} ratings, without {some}", f"all {whole} (--allow-incomplete scores the rest)")


def _new(one: Returned, before: Sequence[Returned]) -> None:
    for other in before:
        if one.reader.same == other.reader.same:
            raise refused(one.path, "name", f"'{one.reader.shown}' again", f"a reader once; {other.path.name} is that reader's, too")
        if (one.ratings, one.seconds) == (other.ratings, other.seconds):
            raise refused(one.path, "answers", f"the same as in {other.path.name}", "each reader's own")


def missing(key: Key, one: Returned) -> list[str]:
    """`image scale` of every rating that is not there."""
    return [f"{image} {scale}" for image in key.images for scale in SCALES if scale not in one.ratings.get(image, {})]


def _notes(key: Key, one: Returned) -> list[str]:
    lacking = missing(key, one)
    notes = [f"{one.path.name}: {one.reader.shown}: {len(lacking)} ratings are missing; scored on what there is"] if lacking else []
    if one.checksum is None:
        notes.append(f"{one.path.name}: {one.reader.shown}: this format has no checksum, so that an alteration could not be seen")
    return notes
