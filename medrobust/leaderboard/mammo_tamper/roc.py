"""ROC curves of readers before and after tampering, and of detectors, with the table behind them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from medrobust.leaderboard.figures import Curve, Panel, curves
from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.mammo_tamper.areas import KINDS, absent, drawable, drawn, one_class
from medrobust.leaderboard.mammo_tamper.detection import KINDS as FORMS
from medrobust.leaderboard.mammo_tamper.readings import Readings, both_forms, detectors, readers, readings
from medrobust.leaderboard.mammo_tamper.rule import INTERVALS, attacked, percent
from medrobust.leaderboard.measure import entry
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Entry, Figure, Line, Table
from medrobust.stats import Interval, Scored, wilson
from medrobust.stats.bootstrap import LEVEL, NOTHING, RESAMPLES, Floats, draws

ALARMS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""False positive rates at which curves are drawn and tabulated."""

TITLE = "ROC curves"
ORIGINALS, GUESS = "originals", "guessing"
HEADS = ("condition", "model", "images")


def roc(section: Section) -> list[Table | Figure]:
    """A panel a condition and model, and its numbers."""
    found: list[Line] = []
    panels: list[Panel] = []
    for condition in section.conditions:
        for model in (*readers(section), *detectors(section)):
            read = _planned(section, model, condition)
            known = _curves(model in detectors(section), read)
            found += [Line((condition, str(model), name), entries) for name, entries in known.items()]
            lines = tuple(Curve(name, _points(entries)) for name, entries in known.items())
            several = f", {condition}" if len(section.conditions) > 1 else ""
            panels.append(Panel(f"{model}{several}", (*(line for line in lines if line.points), Curve(GUESS, ((0, 0, 0, 0), (100, 100, 100, 100))))))
    if not any_number(found):
        return []
    words = (
        "Sensitivity over the share of false positives, both in percent; one panel a model. Readers: cancerous images called cancerous over healthy "
        "ones called cancerous, on the originals and on the images of each attack, by the original truth; a curve below the diagonal is a reader "
        "turned round. Detectors: tampered images that raise an alarm over originals that do. Bands: pointwise 95 % intervals, patients resampled."
    )
    caption = f"Sensitivity at given shares of false positives (FP), straight between the points of the empirical curve. {INTERVALS}"
    columns = tuple(percent(f"FP {100 * rate:g} %") for rate in ALARMS)
    data = section.data_label
    kept = tuple(panel for panel in panels if len(panel.curves) > 1)
    figure = curves("roc-figure", TITLE, words, data, kept, "false positives (%)", None, value="sensitivity (%)", log=False)
    return [figure, Table("roc", TITLE, caption, data, HEADS, columns, tuple(found), 2, fold=True)]


def _planned(section: Section, model: Model, condition: str) -> dict[str, Readings]:
    names = [name for name in ("none", *attacked(section)) if section.cells(model, name, condition)]
    return {name: readings(section, model, name, condition) for name in names}


def _curves(detects: bool, read: dict[str, Readings]) -> dict[str, tuple[Entry, ...]]:
    """Name of the images to the sensitivity at each of `ALARMS`."""
    if detects:
        return {name: sensitivities(both_forms(read["none"], one), FORMS) for name, one in read.items() if name != "none" and "none" in read}
    return {ORIGINALS if name == "none" else name: sensitivities(one, KINDS) for name, one in read.items()}


def sensitivities(found: Readings, kinds: tuple[str, str]) -> tuple[Entry, ...]:
    """At each of `ALARMS`."""
    sample = found.sample
    if sample is None:
        return (found.lacking(),) * len(ALARMS)
    lack = one_class(sample, kinds)
    if lack:
        return (absent(lack),) * len(ALARMS)
    names, owner = np.unique(sample.patients, return_inverse=True)
    whole = rates(sample, np.ones((1, len(sample.scores))))[0]
    low = high = np.full(len(ALARMS), np.nan)
    if len(names) > 1:
        again = rates(sample, draws(len(names), RESAMPLES, 0)[:, owner])
        low = np.quantile(np.where(np.isnan(again), 0, again), (1 - LEVEL) / 2, axis=0)
        high = np.quantile(np.where(np.isnan(again), 1, again), (1 + LEVEL) / 2, axis=0)
    counted = (len(names), len(sample.scores))
    patients = len(np.unique(sample.patients[sample.positive]))
    intervals = [_wide(Interval(*ends, *counted), patients) for ends in zip(whole.tolist(), low.tolist(), high.tolist(), strict=True)]
    intervals[-1] = replace(intervals[-1], low=NOTHING, high=NOTHING)  # with nothing but alarms the sensitivity is 1, whatever the images
    return tuple(entry(one, found.owed, found.validity) for one in intervals)


def _wide(found: Interval, patients: int) -> Interval:
    """Where every resample has the same sensitivity: Wilson's interval, with one case for each of the patients that have a positive one."""
    if np.isnan(found.low) or found.high > found.low:
        return found
    low, high = wilson(found.estimate * patients, patients)
    return replace(found, low=low, high=high)


def rates(sample: Scored, weights: Floats) -> Floats:
    """Sensitivity at each of `ALARMS` for k weightings of the cases, (k, n) -> (k, len(ALARMS)); NaN where one class has no weight.

    Equal scores cross a threshold together, so the curve is straight through them, as an area that counts ties half has it.
    """
    order = np.argsort(-sample.scores, kind="stable")
    last: NDArray[np.bool_] = np.append(np.diff(sample.scores[order]) != 0, True)
    hits, alarms = (np.cumsum(weights[:, order] * which[order], axis=1)[:, last] for which in (sample.positive, ~sample.positive))
    drawn = (hits[:, -1] > 0) & (alarms[:, -1] > 0)
    hits, alarms = (np.hstack([np.zeros((drawn.sum(), 1)), sums[drawn] / sums[drawn, -1:]]) for sums in (hits, alarms))
    found = np.full((len(weights), len(ALARMS)), np.nan)
    found[drawn] = np.stack([_at(rate, alarms, hits) for rate in ALARMS], axis=1)
    return found


def _at(rate: float, alarms: Floats, hits: Floats) -> Floats:
    """Sensitivity at one rate of false alarms, straight between points, the highest where a curve is upright; both (k, m), ascending from 0 to 1."""
    before = (alarms <= rate).sum(1, keepdims=True) - 1
    after = np.minimum(before + 1, alarms.shape[1] - 1)
    (low, high), (one, two) = ([np.take_along_axis(of, where, 1)[:, 0] for where in (before, after)] for of in (alarms, hits))
    part = (rate - low) / np.where(high > low, high - low, 1)
    return np.asarray(one + part * (two - one))


def _points(entries: tuple[Entry, ...]) -> tuple[tuple[float, float, float, float], ...]:
    """In percent; nothing of invalid cells."""
    return tuple(drawn(100 * rate, one, 100) for rate, one in zip(ALARMS, entries, strict=True) if drawable(one))
