"""The tables of a scored study: areas as in the paper's tables 2 and 3, the tests behind them, and who read.

Source of the layout: Becker et al. 2019, tables 2 (original, modified, detection) and 3 (original, modified, detection early, detection late).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from medrobust.leaderboard.tables import Column, Entry, Line, Table, Validity
from medrobust.reader_study.areas import CONVENTIONS, AllReaders, OneReader
from medrobust.reader_study.key import Key
from medrobust.reader_study.returned import Returned, contained
from medrobust.stats.bootstrap import Interval
from medrobust.stats.delong import Area, Comparison
from medrobust.stats.obuchowski_rockette import Effect, MultiReader

MEAN = "all readers"
LABELS = {"original": "as before", "target": "as intended"}
P = Column("p", digits=4)


def tables(key: Key, returned: Sequence[Returned], readers: Sequence[OneReader], mean: AllReaders | None) -> tuple[Table, ...]:
    data = f"reader study {key.study}: {contained(key.title, 80)}"
    return areas_table(key, readers, mean, data), tests_table(key, readers, mean, data), readers_table(key, returned, data)


def areas_table(key: Key, readers: Sequence[OneReader], mean: AllReaders | None, data: str) -> Table:
    """One line a reader and label of tampered images, and one over readers."""
    several = len(key.conditions) > 1
    conditions = key.conditions if several else ("",)
    named = [f"Detection {contained(condition, 30)}" for condition in conditions] if several else ["Detection"]
    lines = []
    for convention in CONVENTIONS:
        for one in readers:
            found = [_area(one.originals), _area(one.tampered[convention]), *(_area(one.detection[condition].first) for condition in conditions)]
            lines.append(Line((LABELS[convention], one.name), tuple(found)))
        if mean is not None:
            read, detected = mean.compared[convention], mean.conditions or mean.detection
            found = [_entry(effect.area, _note(read)) for effect in read.effects]
            found += [_entry(effect.area, _note(detected)) for effect in detected.effects[::-1]]
            lines.append(Line((LABELS[convention], MEAN), tuple(found)))
    caption = (
        "Area under the ROC curve of the cancer rating on original and on tampered images, and of the modification rating between the two. A "
        "tampered image counts as its case was before tampering (an area below 0.5 then means that readers were fooled), or as the tampering "
        "intended. 95 % intervals: DeLong, of patients; of all readers Obuchowski and Rockette, readers and cases random."
    )
    columns = [Column(name, digits=2) for name in ("Original", "Modified", *named)]
    title = f"Areas of readers, as the paper's table {3 if several else 2}"
    return Table("areas", title, caption, data, ("label of modified", "reader"), tuple(columns), tuple(lines))


def tests_table(key: Key, readers: Sequence[OneReader], mean: AllReaders | None, data: str) -> Table:
    """Differences of areas with their p."""
    lines = [Line(labels, _tested(found)) for labels, found in _comparisons(key, readers)]
    lines += [Line((what, MEAN), _over(effect, found)) for what, effect, found in _effects(key, mean)] if mean else []
    order = list(dict.fromkeys(line.labels[0] for line in lines))
    lines.sort(key=lambda line: order.index(line.labels[0]))
    caption = (
        "Differences of areas. Original and tampered images of one case are paired, single images are not: the partially paired DeLong test takes "
        "the covariance from what is shared. Detection is tested against 0.5. All readers: Obuchowski and Rockette. p is two-sided and not corrected."
    )
    return Table("tests", "Tests", caption, data, ("test", "reader"), (Column("difference", digits=2), P), tuple(lines))


def _comparisons(key: Key, readers: Sequence[OneReader]) -> Iterator[tuple[tuple[str, str], Comparison]]:
    for convention in CONVENTIONS:
        yield from (((_against(convention), one.name), one.compared[convention]) for one in readers)
    for condition in _detected(key):
        yield from (((_chance(condition), one.name), one.detection[condition]) for one in readers)
    yield from (((_later(key), one.name), one.later) for one in readers if one.later is not None)


def _effects(key: Key, mean: AllReaders) -> Iterator[tuple[str, Effect, MultiReader]]:
    """Over readers; an effect against 0.5 is given as its difference from it."""
    for convention in CONVENTIONS:
        yield _against(convention), mean.compared[convention].differences[0], mean.compared[convention]
    yield _chance(""), mean.detection.effects[0], mean.detection
    if mean.conditions is not None:
        for effect in mean.conditions.effects[::-1]:
            yield _chance(effect.name), effect, mean.conditions
        yield _later(key), mean.conditions.differences[len(key.conditions) - 2], mean.conditions


def _detected(key: Key) -> tuple[str, ...]:
    return ("", *key.conditions) if len(key.conditions) > 1 else ("",)


def _against(convention: str) -> str:
    return f"original - modified, labelled {LABELS[convention]}"


def _chance(condition: str) -> str:
    return f"detection{f' {contained(condition, 30)}' if condition else ''} - 0.5"


def _later(key: Key) -> str:
    return f"detection {contained(key.conditions[-1], 30)} - {contained(key.conditions[0], 30)}"


def readers_table(key: Key, returned: Sequence[Returned], data: str) -> Table:
    """Who read, how much, how long."""
    whole = (Column(name, unit, digits=0) for name, unit in (("years", "years"), ("mammograms a year", ""), ("rated", "images")))
    columns = *whole, Column("time a screen", "s", "s", digits=1)
    screens = [tuple(image.image for image in item.images) for item in key.items]
    lines = []
    for one in returned:
        spent = [max(one.seconds.get(image, 0.0) for image in images) for images in screens if any(image in one.seconds for image in images)]
        rated = sum(bool(scales) for scales in one.ratings.values())
        numbers = [one.reader.years, one.reader.volume, rated, median(spent) if spent else None]
        entries = tuple(Entry(note="not said") if number is None else Entry(float(number)) for number in numbers)
        lines.append(Line((one.reader.shown, contained(one.reader.role, 40) or "not said"), entries))
    caption = "Readers as they described themselves; median time a screen was looked at."
    return Table("readers", "Readers", caption, data, ("reader", "work"), columns, tuple(lines))


def _area(area: Area) -> Entry:
    return _entry(area.interval, area.note)


def _tested(found: Comparison) -> tuple[Entry, Entry]:
    return _entry(found.difference, found.note), _p(found.p, found.note)


def _over(effect: Effect, found: MultiReader) -> tuple[Entry, Entry]:
    off = 0.0 if effect in found.differences else 0.5
    area = effect.area
    shifted = Interval(area.estimate - off, area.low - off, area.high - off, area.patients, area.cases)
    return _entry(shifted, _note(found)), _p(effect.p, _note(found))


def _note(found: MultiReader) -> str:
    """What is to be said of an effect; that one modality is compared with nothing is no news where detection is."""
    return "; ".join(part for part in found.note.split("; ") if part and part != "one modality: no comparison")


def _entry(interval: Interval, note: str) -> Entry:
    validity = Validity("info", (note,)) if note else Validity()
    if not math.isfinite(interval.estimate):
        return Entry(note="undefined", validity=Validity("missing", (f"failed: {note}",)))
    bounds = [value if math.isfinite(value) else None for value in (interval.low, interval.high)]
    return Entry(interval.estimate, bounds[0], bounds[1], interval.patients, interval.cases, validity=validity)


def _p(value: float, note: str) -> Entry:
    return Entry(value) if math.isfinite(value) else Entry(note="no test", validity=Validity("missing", (f"failed: {note}",)))
