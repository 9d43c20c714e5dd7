"""Tables 2 and 3 of Becker et al. and what their abstracts print, each number beside ours: machine readers, where theirs are radiologists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from medrobust.leaderboard.mammo_tamper.areas import absent, area
from medrobust.leaderboard.mammo_tamper.detection import detected
from medrobust.leaderboard.mammo_tamper.multireader import all_readers
from medrobust.leaderboard.mammo_tamper.readers import EVERYONE, intended, row
from medrobust.leaderboard.mammo_tamper.readings import detectors, readers, readings
from medrobust.leaderboard.mammo_tamper.rule import P, attacked, step
from medrobust.leaderboard.mammo_tamper.stopping import best_detection, checkpoints, mean_reader, stop
from medrobust.leaderboard.printed import OTHER, QUIET, both, interleaved, numbers
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table

NOT_PRINTED = Entry(note="not printed", validity=QUIET)
NOT_RUN = absent("not run")
NOBODY = Entry(note="none", validity=QUIET)
HEADS = ("condition", "radiologist", "our reader", "our detector", "our attack")
AREA = Column("", digits=2)
MEAN, BEST = "mean of three", "best"
READ = (
    Column("originals, paper", digits=2),
    Column("originals, ours", digits=2),
    Column("modified, paper", digits=2),
    Column("modified, ours, original truth", digits=2),
    Column("modified, ours, intended truth", digits=2),
)
MACHINES = (
    "Ours are machine readers, networks trained on other images of the data named, theirs are radiologists; both stand in the order of their "
    "lists, and none of theirs corresponds to one of ours. Nothing here reproduces the paper: it is to be read for its shape, and the paper says "
    f"neither by which truth it counts modified images nor gives intervals. All readers: by Obuchowski and Rockette. {OTHER} "
    "Ours with 95 % intervals by DeLong, patients as clusters."
)


@dataclass(frozen=True)
class Ours:
    """Which of our attacks stand beside the paper's.

    one: where the declared rule stops, else the last. early, late: the first and the last checkpoint.
    """

    one: str
    early: str
    late: str


def mammo(section: Section) -> list[Table]:
    """Both tables, and what was published otherwise."""
    printed = numbers("mammo")
    data = f"paper: {printed['measured_on']}; ours: machine readers, {section.data_label}"
    return [_first(section, printed, data), _second(section, printed, data), _published(section, printed, data)]


def beside(section: Section, condition: str) -> Ours:
    """Of a condition; empty names where nothing was planned."""
    names = [name for name in attacked(section) if any(section.cells(model, name, condition) for model in section.models)]
    steps = [name for name in names if step(name) is not None]
    here = stop(checkpoints(section, condition)).here
    last = next(iter(reversed(steps or names)), "")
    return Ours(here or last, steps[0] if len(steps) > 1 else "", last)


def _first(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    lines = []
    for condition in section.conditions:
        attack = beside(section, condition).one
        for who, values, reader, detector in _side_by_side(section, printed["first"]):
            ours = _detected(section, detector, attack, condition)
            entries = (*_read(section, values, reader, attack, condition), _paper(values, "detection"), ours)
            lines.append(Line((condition, who, _name(reader), _name(detector), attack), entries))
        values = _means(printed["first"])
        entries = (*_read_by_all(section, values, attack, condition), _paper(values, "detection"), best_detection(section, attack, condition))
        lines.append(Line((condition, MEAN, EVERYONE, BEST, attack), entries))
    caption = (
        "Experiment 1: AUC of telling cancer on originals and on modified images, and of telling modified images from originals (detection). Our "
        f"attack is the checkpoint at which the declared rule stops, else the last. {MACHINES}"
    )
    columns = (*READ, Column("detection, paper", digits=2), Column("detection, ours", digits=2))
    return Table("paper-low", "Beside the paper: Table 2", caption, data, HEADS, columns, tuple(lines))


def _second(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    lines = []
    for condition in section.conditions:
        ours = beside(section, condition)
        attack = f"{ours.early or 'none'}, {ours.late}"
        for who, values, reader, detector in _side_by_side(section, printed["second"]):
            seen = [_detected(section, detector, name, condition) for name in (ours.early, ours.late)]
            detection = interleaved([_paper(values, when) for when in ("early", "late")], seen)
            lines.append(
                Line((condition, who, _name(reader), _name(detector), attack), (*_read(section, values, reader, ours.late, condition), *detection))
            )
        values = _means(printed["second"])
        seen = [best_detection(section, name, condition) if name else NOT_RUN for name in (ours.early, ours.late)]
        detection = interleaved([_paper(values, when) for when in ("early", "late")], seen)
        lines.append(Line((condition, MEAN, EVERYONE, BEST, attack), (*_read_by_all(section, values, ours.late, condition), *detection)))
    caption = (
        "Experiment 2: as experiment 1, detection of images of an early and of a late checkpoint (paper: 35 000 and 70 000 steps; ours: the first "
        f"and the last). Ours are modified by the last. {MACHINES}"
    )
    columns = (*READ, *both(*(Column(f"detection, {when}", digits=2) for when in ("early", "late"))))
    return Table("paper-high", "Beside the paper: Table 3", caption, data, HEADS, columns, tuple(lines))


def _published(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    lines = []
    for condition in section.conditions:
        attack = beside(section, condition).one
        mean = all_readers(section, attack, condition)
        originals, modified = _all(section, attack, condition)
        ours = [originals, modified, NOT_RUN if mean is None else mean.p, best_detection(section, attack, condition)]
        for one in printed["published"]:
            p = Entry(note=one["p"], validity=QUIET) if one["p"].startswith("<") else Entry(float(one["p"]), validity=QUIET)
            paper = [_paper(one, "originals"), _paper(one, "modified"), p, _paper(one, "detection")]
            lines.append(Line((condition, one["source"], f"{one['experiment']}, {one['who']}"), interleaved(paper, ours)))
    caption = (
        "What the abstracts of 2018 and 2019 print, in their order; ours, the mean of all readers (modified: original truth) and the best "
        "detector, on every line. They contradict each other and the tables. Experiment 1: the abstract of 2018 pairs .67 with .69 and .75 with "
        ".77, table 2 .75 with .67 and .77 with .69; the means of the abstract's pairs, .757 and .697, are the .76 and .70 of 2019, those of table "
        "2 are not. Experiment 2: .37 of 2019 is 1 less .63, the mean of table 3: one counts a modified image as what it was, the other as what it "
        f"was meant to be, and neither says which. {MACHINES}"
    )
    columns = both(Column("originals", digits=2), Column("modified", digits=2), P, Column("detection", digits=2))
    heads = ("condition", "source", "experiment")
    return Table("paper-published", "Beside the paper: other published numbers", caption, data, heads, columns, tuple(lines))


def _side_by_side(section: Section, printed: Mapping[str, Mapping[str, float]]) -> list[tuple[str, Mapping[str, float], Model | None, Model | None]]:
    """Radiologists, our readers and our detectors, each in their order, as many lines as the longest has."""
    plain = [model for model in readers(section) if model.defense == "none"]
    nobody: tuple[str, Mapping[str, float]] = ("none", {})
    lists = zip_longest(printed.items(), plain, detectors(section))
    return [(*(radiologist or nobody), reader, detector) for radiologist, reader, detector in lists]


def _means(printed: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Means over radiologists of each printed column."""
    names = next(iter(printed.values()))
    return {name: sum(values[name] for values in printed.values()) / len(printed) for name in names}


def _read(section: Section, values: Mapping[str, float], reader: Model | None, attack: str, condition: str) -> tuple[Entry, ...]:
    if reader is None:
        return _paper(values, "originals"), NOBODY, _paper(values, "modified"), NOBODY, NOBODY
    originals, modified, *_ = row(section, reader, attack, condition)
    return _five(values, originals, modified, attack)


def _read_by_all(section: Section, values: Mapping[str, float], attack: str, condition: str) -> tuple[Entry, ...]:
    return _five(values, *_all(section, attack, condition), attack)


def _five(values: Mapping[str, float], originals: Entry, modified: Entry, attack: str) -> tuple[Entry, ...]:
    return _paper(values, "originals"), originals, _paper(values, "modified"), modified, intended(modified, attack)


def _all(section: Section, attack: str, condition: str) -> tuple[Entry, Entry]:
    """Mean over readers on originals and on modified images; of a single reader its own."""
    mean = all_readers(section, attack, condition)
    if mean is not None:
        return mean.originals, mean.modified
    own = next((area(readings(section, model, "none", condition)) for model in readers(section)), NOT_RUN)
    return own, mean_reader(section, attack, condition)


def _detected(section: Section, detector: Model | None, attack: str, condition: str) -> Entry:
    if detector is None:
        return NOBODY
    return detected(section, detector, attack, condition) if attack else NOT_RUN


def _paper(values: Mapping[str, Any], name: str) -> Entry:
    return Entry(float(values[name]), validity=QUIET) if name in values else NOT_PRINTED


def _name(model: Model | None) -> str:
    return "none" if model is None else str(model)
