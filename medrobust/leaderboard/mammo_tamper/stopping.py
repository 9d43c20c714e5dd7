"""When to stop training the attack: what each checkpoint leaves behind, and which one the declared rule picks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.mammo_tamper.areas import absent, area
from medrobust.leaderboard.mammo_tamper.artefacts import changes, closeness, grid, measured_on, pairs
from medrobust.leaderboard.mammo_tamper.detection import detected
from medrobust.leaderboard.mammo_tamper.distances import Pair, distance, halves, normal_distance
from medrobust.leaderboard.mammo_tamper.multireader import all_readers
from medrobust.leaderboard.mammo_tamper.readings import detectors, readers, readings
from medrobust.leaderboard.mammo_tamper.rule import AREAS, LOCAL, STOP, TEXTURE, Stopping, attacked, percent, step
from medrobust.leaderboard.measure import entry
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table, Validity
from medrobust.stats import Interval

DECIBEL = "dB"
COLUMNS = (
    Column("grid index, clean", DECIBEL, DECIBEL, digits=2),
    Column("tampered", DECIBEL, DECIBEL, digits=2),
    Column("difference", DECIBEL, DECIBEL, digits=2),
    Column("difference at its worst", DECIBEL, DECIBEL, digits=2),
    Column("distance to real images", digits=3),
    Column("change", digits=4),
    percent("change in the lesion"),
    percent("lesion by area"),
    Column("best detection AUC", digits=3),
    Column("readers' AUC, modified", digits=3),
)
DISTANCES = (Column("kernel distance", digits=3), Column("two halves of the real ones", digits=3), Column("Frechet distance", digits=2))
HERE, LAST, NONE = "here", "at the latest", ""
UNTOUCHED = "untouched"
WAYS = {True: ("healthy, injected", "cancerous"), False: ("cancerous, removed", "healthy")}


@dataclass(frozen=True)
class Checkpoint:
    """What the rule asks of a checkpoint. grid: tampered less clean, dB. distance: to real images; lower is closer."""

    attack: str
    step: int
    grid: Entry
    distance: Entry


@dataclass(frozen=True)
class Stop:
    """The rule's answer. here: the attack to use, empty where no checkpoint will do. last: the last one without grids, empty likewise."""

    here: str = ""
    last: str = ""


def stop(checkpoints: Sequence[Checkpoint], rule: Stopping = STOP) -> Stop:
    """What the declared rule says. Invalid numbers, and differences without an interval, keep a checkpoint out."""
    clear = [one for one in checkpoints if _believed(one.grid) and one.grid.high is not None and one.grid.high < rule.limit]
    if not clear:
        return Stop()

    def rank(one: Checkpoint) -> tuple[float, int]:
        known = one.distance.estimate is not None and _believed(one.distance)
        return (one.distance.estimate or 0.0) if known else math.inf, -one.step

    return Stop(min(clear, key=rank).attack, max(clear, key=lambda one: one.step).attack)


def _believed(found: Entry) -> bool:
    return found.validity.level not in ("invalid", "missing")


def checkpoints(section: Section, condition: str) -> list[Checkpoint]:
    """Attacks whose names tell a step, in its order."""
    planned = [name for name in attacked(section) if any(section.cells(model, name, condition) for model in section.models)]
    known = {name: at for name in planned if (at := step(name)) is not None}
    return [Checkpoint(name, at, grid(section, name, condition)[2], closeness(section, name, condition)) for name, at in known.items()]


def stopping(section: Section) -> list[Table]:
    """One line a checkpoint, and, folded, the distances by direction."""
    found: list[Line] = []
    answers = []
    for condition in section.conditions:
        trained = checkpoints(section, condition)
        if not trained:
            continue
        answer = stop(trained)
        answers.append(_words(condition, answer))
        found += [Line((condition, one.attack, _mark(one.attack, answer)), row(section, one, condition)) for one in trained]
    if not any_number(found):
        return []
    caption = (
        "What training longer does to the images of the attack. Rule, declared beforehand: of the checkpoints whose grid index (how far a lattice "
        f"of period four, which upsampling leaves, stands out of the spectrum), tampered less clean, lies below {STOP.limit:g} dB with its whole "
        f"interval, the one whose images are closest to real ones. {' '.join(answers)} At its worst: in the 64 x 64 pixels of each image where the "
        "index is highest, for which the rule does not ask: a lattice in one place is seen by an eye and hidden in the whole. Distance: mean of "
        "both directions, see the next table; where intervals overlap, the order by distance is a guess. "
        "Change: mean absolute change of a pixel, in the image's intensity from -1 to 1. Change in the lesion: share of it within the outline of "
        "the lesion, beside the share of the breast that the outline covers; alike, the change is spread. Best detection: highest AUC of any "
        f"detector. Readers: mean AUC by the original truth, of one reader its own; below .5 the attack succeeds. {AREAS} Of distances by "
        "leaving patients out in turn."
    )
    data = section.data_label
    tables = [Table("stopping", "When to stop training the attack", caption, data, ("condition", "attack", "stop"), COLUMNS, tuple(found), 1)]
    return [*tables, *distances(section)]


def row(section: Section, one: Checkpoint, condition: str) -> tuple[Entry, ...]:
    """One checkpoint."""
    clean, tampered, _ = grid(section, one.attack, condition)
    noticed, fooled = best_detection(section, one.attack, condition), mean_reader(section, one.attack, condition)
    local = grid(section, one.attack, condition, LOCAL)[2]
    return clean, tampered, one.grid, local, one.distance, *changes(section, one.attack, condition), noticed, fooled


def best_detection(section: Section, attack: str, condition: str) -> Entry:
    """The highest AUC of any detector."""
    found = [detected(section, model, attack, condition) for model in detectors(section) if section.cells(model, attack, condition)]
    able = [one for one in found if one.estimate is not None and one.validity.level != "invalid"]
    return max(able, key=lambda one: one.estimate or 0.0) if able else (found or [absent("no detector")])[0]


def mean_reader(section: Section, attack: str, condition: str) -> Entry:
    """Mean AUC of all readers on modified images by the original truth; of a single reader its own."""
    mean = all_readers(section, attack, condition)
    if mean is not None:
        return mean.modified
    found = [area(readings(section, model, attack, condition)) for model in readers(section) if section.cells(model, attack, condition)]
    return next((one for one in found if one.estimate is not None), (found or [absent("no reader")])[0])


def distances(section: Section) -> list[Table]:
    """One line a checkpoint and direction, untouched images first."""
    found = [
        Line((condition, attack if attack != "none" else UNTOUCHED, *_named(attack, way)), _distance(section, pair, attack, condition))
        for condition in section.conditions
        for attack in ("none", *attacked(section))
        for way, pair in pairs(section, attack, condition).items()
    ]
    caption = (
        "How far sets of images are apart by sixteen features of texture (power of eleven frequency bands, five moments within the breast), in "
        "standard deviations of the real set. Injected images should come close to real cancerous ones, removed ones to real healthy ones; "
        "untouched images of the other kind are where they start from. Kernel distance (KID): unbiased, about 0 for two sets of one kind; "
        "intervals by leaving patients out in turn. Two halves: the same distance within the real set, mean over 200 cuts between patients, and "
        "where 95 % of the cuts lie: what chance gives. Frechet distance: biased upwards in small sets, so compare it down one direction alone; no "
        "interval."
    )
    heads = ("condition", "attack", "images", "against real")
    table = Table("distances", "Distance to real images", caption, section.data_label, heads, DISTANCES, tuple(found), 1, fold=True)
    return [table] if any_number(found) else []


def _named(attack: str, way: bool) -> tuple[str, str]:
    images, real = WAYS[way]
    return (images.split(",")[0] if attack == "none" else images), real


def _distance(section: Section, pair: Pair, attack: str, condition: str) -> tuple[Entry, ...]:
    model = measured_on(section, TEXTURE, attack, condition)
    validity = section.validity(section.cells(model, attack, condition)) if model else Validity("missing")
    patients, cases = pair.counts
    straight = Interval(normal_distance(pair), math.nan, math.nan, patients, cases)
    found = [entry(one, 0, validity) for one in (distance([pair]), halves(pair.real), straight)]
    return tuple(one if one.estimate is not None else absent("too few images") for one in found)


def _mark(attack: str, answer: Stop) -> str:
    return HERE if attack == answer.here else LAST if attack == answer.last else NONE


def _words(condition: str, answer: Stop) -> str:
    """The rule's answer as a sentence."""
    if not answer.here:
        return f"Its answer, {condition}: none, every checkpoint leaves grids or was not measured."
    return f"Its answer, {condition}: stop at {answer.here}" + (f" ({answer.last} is the last without grids)." if answer.last != answer.here else ".")
