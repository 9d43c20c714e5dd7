"""What readers send back: JSON and CSV as the page saves them, or iMRMC text, read with suspicion."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medrobust.errors import DataError
from medrobust.leaderboard.text import visible
from medrobust.reader_study.page import FORMAT

SCALES = ("malignancy", "tampering")
KINDS = (".json", ".csv", ".txt", ".imrmc")
BIGGEST = 5_000_000
LONGEST = 60
TOP = 100
BEGIN = "BEGIN DATA:"

Number = int | float


@dataclass(frozen=True)
class Reader:
    """Who read, in their own words, which nothing here trusts. years: of reading mammograms. volume: mammograms a year; None where not said."""

    name: str
    role: str = ""
    years: int | None = None
    volume: int | None = None

    @property
    def shown(self) -> str:
        return contained(self.name)

    @property
    def same(self) -> str:
        """What two spellings of one name have in common."""
        return " ".join(unicodedata.normalize("NFKC", self.name).casefold().split())


@dataclass(frozen=True)
class Returned:
    """One reader's answers from one file.

    ratings: image -> scale -> 0 to 100; what was not rated is not there. seconds: image -> on its screen. checksum: as the file says it;
    None where its format has none, so that changes of it cannot be seen.
    """

    path: Path
    study: str
    commitment: str
    reader: Reader
    ratings: Mapping[str, Mapping[str, Number]]
    seconds: Mapping[str, float]
    checksum: str | None

    def sum(self) -> str:
        """The checksum of what was read, as the page computes it."""
        who = self.reader
        lines = [FORMAT, self.study, self.commitment, who.name, who.role, _text(who.years), _text(who.volume)]
        for image, rated in self.ratings.items():
            values = [*(_text(rated.get(scale)) for scale in SCALES), _text(round(self.seconds.get(image, 0) * 1000))]
            lines.append(",".join([image, *values]))
        return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def contained(text: str, longest: int = LONGEST) -> str:
    """Text of a stranger on one line: control and invisible characters spelt out, cut where it is long."""
    shown = " ".join(visible(text[: 4 * longest]).split())
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"


def refused(path: Path, field: str, found: object, expected: str) -> DataError:
    return DataError(f"{contained(str(path), 200)}: {field}: found {contained(str(found), 160)}, expected {expected}")


def files(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and those of folders in the order of their names; a path that is given twice stands twice."""
    return [one for path in paths for one in (sorted(each for each in path.iterdir() if each.suffix.lower() in KINDS) if path.is_dir() else [path])]


def read(path: Path) -> list[Returned]:
    """The answers of a file; iMRMC text may hold several readers. DataError in one line where it is not what it should be."""
    try:
        if not path.is_file():
            raise refused(path, "file", "none", "a returned file")
        if path.stat().st_size > BIGGEST:
            raise refused(path, "file", f"{path.stat().st_size} bytes", f"a file of at most {BIGGEST} bytes")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise refused(path, "file", error.strerror or error, "a readable file") from error
    except UnicodeDecodeError as error:
        raise refused(path, "file", f"bytes that are no UTF-8 at {error.start}", "text in UTF-8") from error
    if text.lstrip().startswith("{"):
        return [_json(path, text)]
    lines = [line.strip() for line in text.splitlines()]
    return _imrmc(path, lines[: lines.index(BEGIN)], lines[lines.index(BEGIN) + 1 :]) if BEGIN in lines else [_csv(path, text)]


def _json(path: Path, text: str) -> Returned:
    try:
        content = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise refused(path, "file", f"{type(error).__name__} {error}", "JSON as the study's page saves it") from error
    who, rows = content.get("reader"), content.get("answers")
    if not isinstance(who, dict) or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise refused(path, "answers", "no reader or no list of answers", "a file as the study's page saves it")
    return _checked(path, content, who, rows, str(content.get("checksum")))


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        msg = "a name stands twice in one object"
        raise ValueError(msg)
    return found


def _csv(path: Path, text: str) -> Returned:
    lines = text.splitlines()
    head: dict[str, Any] = {}
    for line in lines:
        plain = line.strip(",; ").strip('"')  # a spreadsheet that saved the file anew pads and quotes it
        if plain.startswith("#") and ":" in plain:
            name, _, value = plain.lstrip("# ").partition(":")
            head[name.strip()] = value.strip()
    table = [line for line in lines if line.strip(',; "') and not line.lstrip('" ').startswith("#")]
    separator = ";" if table and table[0].count(";") > table[0].count(",") else ","
    try:
        rows = list(csv.DictReader(io.StringIO("\n".join(table)), delimiter=separator, strict=True))
    except csv.Error as error:
        raise refused(path, "file", error, "csv as the study's page saves it") from error
    return _checked(path, head, head, rows, str(head.get("checksum")))


def _imrmc(path: Path, before: Sequence[str], after: Sequence[str]) -> list[Returned]:
    """Rows `reader,image,malignancy or tampering,score`; the lines before BEGIN DATA: say `study: ...` and `commitment: ...`."""
    head: dict[str, Any] = {"format": FORMAT}
    for line in before:
        name, _, value = line.partition(":")
        head[name.strip().lower()] = value.strip()
    readers: dict[str, dict[str, dict[str, Any]]] = {}
    for number, line in enumerate(after, 1):
        fields = [field.strip() for field in line.split(",")]
        if fields == [""] or fields[0] in ("truth", "-1"):
            continue
        if len(fields) != 4 or fields[2] not in SCALES:
            raise refused(path, f"line {number} of the data", line, "reader,image,malignancy or tampering,score")
        rows = readers.setdefault(fields[0], {})
        row = rows.setdefault(fields[1], {"image": fields[1]})
        if fields[2] in row:
            raise refused(path, f"image {fields[1]}", f"{fields[2]} twice", "once a reader")
        row[fields[2]] = fields[3]
    return [_checked(path, head, {"name": name}, list(rows.values()), None) for name, rows in readers.items()]


def _checked(path: Path, head: Mapping[str, Any], who: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], checksum: str | None) -> Returned:
    if head.get("format") != FORMAT:
        found = f"'{head['format']}'" if "format" in head else "none"
        raise refused(path, "format", found, f"'{FORMAT}': a file that the page of a study saved")
    study, commitment = (_string(path, field, head.get(field, "")) for field in ("study", "commitment"))
    name, role = (_string(path, field, who.get(field, "")) for field in ("name", "role"))
    if not name.strip():
        raise refused(path, "name", "none", "the reader's name or code")
    reader = Reader(name, role, _count(path, "years", who.get("years")), _count(path, "volume", who.get("volume")))
    ratings: dict[str, dict[str, Number]] = {}
    seconds: dict[str, float] = {}
    for row in rows:
        image = row.get("image")
        if not isinstance(image, str) or image in ratings:
            raise refused(path, "image", f"'{image}'" + (" twice" if isinstance(image, str) else ""), "each image of the study once")
        ratings[image] = {}
        for scale in SCALES:
            value = _number(path, f"{scale} of image {contained(image, 12)}", row.get(scale), TOP)
            if value is not None:
                ratings[image][scale] = value
        spent = _number(path, f"item_ms of image {contained(image, 12)}", row.get("item_ms"), math.inf)
        if spent is not None:
            seconds[image] = spent / 1000
    return Returned(path, study, commitment, reader, ratings, seconds, checksum)


def _string(path: Path, field: str, value: object) -> str:
    if not isinstance(value, str):
        raise refused(path, field, type(value).__name__, "text")
    return value


def _count(path: Path, field: str, value: object) -> int | None:
    number = _number(path, field, value, 1_000_000)
    if number is not None and number != int(number):
        raise refused(path, field, value, "a whole number")
    return None if number is None else int(number)


def _number(path: Path, field: str, value: object, most: float) -> Number | None:
    """A number from 0 to `most`; None where nothing was given."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise TypeError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not 0 <= number <= most or math.isinf(number):
        raise refused(path, field, f"'{value}'", f"a number from 0 to {most:g}" if math.isfinite(most) else "a number, 0 or more")
    return int(number) if number == int(number) else number


def _text(value: Number | None) -> str:
    return "" if value is None else str(value)
