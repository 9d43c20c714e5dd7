"""Areas under the ROC curve as entries of a table, with a documented answer where there is no area or no spread."""

from __future__ import annotations

import math
from dataclasses import replace

from medrobust.leaderboard.mammo_tamper.readings import Readings, shared, together
from medrobust.leaderboard.mammo_tamper.rule import CHANCE
from medrobust.leaderboard.measure import entry
from medrobust.leaderboard.tables import LEVELS, UNMEASURED, Entry, Validity
from medrobust.stats import Comparison, Interval, Scored, delong_area, delong_chance, delong_paired

KINDS = ("cancerous image", "healthy image")
CONSTANT = {1.0: "every pair of images told apart", 0.0: "every pair of images the wrong way round", CHANCE: "all scores tied"}
NO_SPREAD = "the same for every patient: no interval"


def area(found: Readings, kinds: tuple[str, str] = KINDS) -> Entry:
    """DeLong's interval, patients as clusters; where every pair of images has one outcome, the exact one, and a note that says so.

    No bootstrap: in detection an image stands beside its own original, and a patient drawn twice counts such pairs twice as often as they are, which
    moves the whole interval. kinds: what positive and negative cases are.
    """
    sample = found.sample
    if sample is None:
        return found.lacking()
    lack = one_class(sample, kinds)
    if lack:
        return absent(lack)
    one = delong_area(sample.scores, sample.positive, sample.patients)
    shown = entry(one.interval, found.owed, found.validity)
    if one.variance == 0 and one.auc in CONSTANT:
        return noted(shown, f"{CONSTANT[one.auc]}: exact interval")
    return without_width(shown)


def one_class(sample: Scored, kinds: tuple[str, str] = KINDS) -> str:
    """Which kind of case there is none of, in words; nothing where there are both."""
    held = sample.positive.any(), (~sample.positive).any()
    return next((f"no {kind}" for kind, some in zip(kinds, held, strict=True) if not some), "")


def complement(found: Entry) -> Entry:
    """1 less an entry, with its interval."""
    if found.estimate is None:
        return found
    low, high = (None if end is None else 1 - end for end in (found.high, found.low))
    return replace(found, estimate=1 - found.estimate, low=low, high=high, best=False)


def difference(first: Readings, second: Readings) -> tuple[Entry, Entry]:
    """First area less second on the images that both read, and p of DeLong's paired test, clustered by patient."""
    validity, cases = together(first, second), shared(first, second)
    if validity.level == "missing" or not len(cases):
        none = (first if first.sample is None else second).lacking() if validity.level == "missing" else absent(UNMEASURED)
        return none, none
    samples = first.among(cases), second.among(cases)
    lack = one_class(samples[0])
    return (absent(lack), absent(lack)) if lack else compared(delong_paired(*samples), max(first.owed, second.owed), validity)


def against_chance(found: Readings, kinds: tuple[str, str]) -> Entry:
    """p of DeLong's test against an area of one half, clustered by patient."""
    sample = found.sample
    if sample is None:
        return found.lacking()
    lack = one_class(sample, kinds)
    if lack:
        return absent(lack)
    return compared(delong_chance(sample.scores, sample.positive, sample.patients), found.owed, found.validity)[1]


def compared(test: Comparison, owed: int, validity: Validity) -> tuple[Entry, Entry]:
    """Difference with its interval, and p, each with what the test has to say of itself."""
    found = test.difference
    p = Interval(test.p, math.nan, math.nan, found.patients, found.cases)
    entries = entry(found, owed, validity), entry(p, owed, validity)
    shown = [noted(one, f"DeLong: {test.note}" if test.note else "") if one.estimate is not None else absent("no test") for one in entries]
    return shown[0], shown[1]


def succeeded(found: Entry, originals: Entry) -> Entry:
    """Marked where the whole interval lies below chance, and that of originals above it: who cannot read is not turned round."""
    read = originals.low is not None and originals.low > CHANCE
    return replace(found, best=read and found.high is not None and found.high < CHANCE and found.validity.level != "invalid")


def absent(note: str) -> Entry:
    """An entry without a number, and why."""
    return Entry(note=note, validity=Validity("missing", (note,)))


def noted(found: Entry, reason: str) -> Entry:
    """The entry with something to know of it, which is no reason to doubt it."""
    if not reason:
        return found
    level = max(found.validity.level, "info", key=LEVELS.index)
    return replace(found, validity=Validity(level, (*found.validity.reasons, reason)))


def without_width(found: Entry) -> Entry:
    """An interval of no width says nothing: it is left out, and that is said."""
    if found.low is None or found.high is None or found.high - found.low > 1e-12:
        return found
    return noted(replace(found, low=None, high=None), NO_SPREAD)


def drawn(x: float, found: Entry, scale: float = 1.0) -> tuple[float, float, float, float]:
    """x, estimate and interval as a figure wants them; without an interval the bar has no length."""
    middle = found.estimate or 0.0
    low, high = (middle if end is None else end for end in (found.low, found.high))
    return x, scale * middle, scale * low, scale * high


def drawable(found: Entry) -> bool:
    """Whether there is a number, and one to be believed."""
    return found.estimate is not None and found.validity.level != "invalid"
