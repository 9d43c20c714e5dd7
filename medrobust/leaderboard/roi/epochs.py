"""Faithfulness over training: maps of every checkpoint against its loss."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.layout import any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, entry, measure
from medrobust.leaderboard.roi.rule import INTERVALS
from medrobust.leaderboard.roi.scores import cross_entropy
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Entry, Figure, Table, Validity, worst
from medrobust.leaderboard.traces import Trace, traces
from medrobust.stats import Interval, expanded
from medrobust.stats.bootstrap import Floats, resample

MAPS = (Quantity("dice-grouping"), Quantity("deletion"))
FEWEST = 4
COLUMNS = (Column("best grouping", digits=2), Column("deletion", digits=2))


def epochs(section: Section) -> list[Table | Figure]:
    """A figure of best grouping against the loss, and rank correlations over checkpoints; nothing with fewer than four models."""
    if len(section.models) < FEWEST:
        return []
    labelled = [
        ((condition, explainer), [rank_correlation(section, explainer, condition, quantity) for quantity in MAPS])
        for condition in section.conditions
        for explainer in section.explainers
    ]
    found = lines(labelled, COLUMNS, 2)
    if not any_number(found):
        return []
    caption = (
        f"Spearman correlation, over {len(section.models)} checkpoints of one training, between the loss on these volumes and the quality of maps. "
        "Best grouping: negative where maps find the tumour better the lower the loss. Deletion: positive where they get more faithful. "
        f"{INTERVALS} They hold for these checkpoints: one training was resampled over patients, not trained again."
    )
    table = Table("epochs", "Maps over training", caption, section.data_label, ("condition", "explainer"), COLUMNS, found, 2)
    return [figure(section), table]


def rank_correlation(section: Section, explainer: str, condition: str, quantity: Quantity) -> Measured:
    """Patients are resampled, means of every checkpoint taken anew, and ranked; one value a patient and checkpoint is needed throughout."""
    losses = [cross_entropy(section, model, condition) for model in section.models]
    maps = [measure(section, model, explainer, condition, quantity) for model in section.models]
    both = [*losses, *maps]
    samples = [one.sample for one in both if one.sample is not None]
    if len(samples) < len(both):
        return Measured(Entry(note="needs every checkpoint", validity=Validity("missing", ("needs every checkpoint",))))
    names = sorted(set.intersection(*(set(sample.patients.tolist()) for sample in samples)))
    known = np.array(names, dtype=str)
    totals = np.stack([sums for sample in samples for sums in (sample.sums(known), sample.sums(known, 0))], axis=1)
    resampled = resample(totals, spearman)
    low, high = expanded(resampled) if np.isfinite(resampled.estimate) and len(names) > 1 else (float("nan"), float("nan"))
    validity = worst([one.entry.validity for one in both])
    return Measured(entry(Interval(resampled.estimate, max(low, -1.0), min(high, 1.0), len(names), len(names)), len(names), validity))


def spearman(sums: Floats) -> Floats:
    """(..., 4 m) sums and counts of m losses and m qualities -> correlation of their ranks (...,), ties in order."""
    means = sums[..., 0::2] / sums[..., 1::2]
    m = means.shape[-1] // 2
    first, second = (part.argsort(-1).argsort(-1).astype(float) for part in (means[..., :m], means[..., m:]))
    centred = [part - part.mean(-1, keepdims=True) for part in (first, second)]
    return np.asarray((centred[0] * centred[1]).sum(-1) / np.sqrt((centred[0] ** 2).sum(-1) * (centred[1] ** 2).sum(-1)))


def figure(section: Section) -> Figure:
    """One panel a condition, one line an explainer through its checkpoints in the order of the plan."""
    panels = {}
    for condition in section.conditions:
        drawn = []
        for explainer in section.explainers:
            points = []
            for model in section.models:
                loss = cross_entropy(section, model, condition).entry
                quality = measure(section, model, explainer, condition, MAPS[0]).entry
                if loss.estimate is not None and quality.estimate is not None:
                    low, high = (quality.estimate if end is None else end for end in (quality.low, quality.high))
                    points.append((loss.estimate, quality.estimate, low, high))
            drawn.append(Trace(explainer, tuple(points)))
        panels[condition] = tuple(drawn)
    words = "Dice at best grouping (an oracle) of each explainer against the loss of the checkpoint explained; bars are 95 % intervals over patients."
    axes = ("cross-entropy on these volumes", "best grouping (Dice)")
    return traces("epochs-figure", "Maps over training", words, section.data_label, panels, axes)
