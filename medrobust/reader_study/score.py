"""Returned files to tables, figures and iMRMC text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medrobust.files import replacing, write_text
from medrobust.leaderboard.build import text
from medrobust.leaderboard.page import Chapter, Page
from medrobust.leaderboard.tables import Figure, Table
from medrobust.reader_study.areas import all_readers, one_reader
from medrobust.reader_study.check import collected
from medrobust.reader_study.curves import curves
from medrobust.reader_study.imrmc import imrmc_texts
from medrobust.reader_study.key import read_key
from medrobust.reader_study.returned import contained
from medrobust.reader_study.tables import tables

FORMS = {"md": "tables.md", "csv": "tables.csv", "json": "tables.json"}


@dataclass(frozen=True)
class ScoredStudy:
    """What is printed and written. notes: what is to be said of the files that were taken, one line each. imrmc: by file name."""

    page: Page
    notes: tuple[str, ...]
    figure: Figure
    imrmc: Mapping[str, str]

    @property
    def tables(self) -> tuple[Table, ...]:
        return self.page.chapters[0].tables

    @property
    def json_text(self) -> str:
        return text(self.page, "json")

    def write(self, out: Path) -> None:
        """tables.{md,csv,json}, roc.{svg,png} and imrmc-*.txt."""
        for form, name in FORMS.items():
            write_text(out / name, text(self.page, form))
        write_text(out / "roc.svg", self.figure.svg)
        with replacing(out / "roc.png") as temporary:
            temporary.write_bytes(self.figure.png)
        for name, content in self.imrmc.items():
            write_text(out / name, content)


def score(sealed: Path, paths: Sequence[Path], *, allow_incomplete: bool = False) -> ScoredStudy:
    """Check the key and every file, then measure each reader and all. DataError, a line a file, where anything is wrong."""
    key = read_key(sealed)
    returned, notes = collected(key, paths, allow_incomplete=allow_incomplete)
    readers = [one_reader(key, one, name) for one, name in zip(returned, _names([one.reader.shown for one in returned]), strict=True)]
    mean = all_readers(key, readers)
    if mean is None and len(readers) > 1:
        notes.append("no line over all readers: one of them rated no image of a kind")
    parts = tables(key, returned, readers, mean)
    figure = curves(key, readers)
    images = key.images.values()
    chapter = Chapter(
        "reader study", key.study, "study", contained(key.title, 80), len({one.patient for one in images}), len(images), (*parts, figure)
    )
    page = Page(f"Reader study {key.study}", (chapter,), 0, (), (), (), (), ())
    return ScoredStudy(page, tuple(notes), figure, imrmc_texts(key, readers))


def _names(shown: Sequence[str]) -> list[str]:
    """Different even where two names were cut to the same."""
    return [name if list(shown).count(name) == 1 else f"{name} ({shown[: index + 1].count(name)})" for index, name in enumerate(shown)]
