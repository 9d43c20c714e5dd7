"""Whether the under-sampled data still show the feature: information preservation, and its relation to the loss."""

from __future__ import annotations

import numpy as np

from medrobust.leaderboard.figures import Cloud, clouds
from medrobust.leaderboard.layout import ATTACK_HEADS, MODEL_HEADS, across_attacks, any_number, by_attack, lines
from medrobust.leaderboard.measure import Measured, entry, missing
from medrobust.leaderboard.recon_fnaf.rule import ACCEPTED, CANDIDATES, HIT, INFORMATION, INTERVALS, PRESERVED
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Figure, Table
from medrobust.stats import Interval, expanded
from medrobust.stats.bootstrap import Floats, resample

COLUMNS = (
    Column("information loss", "sigma^2", "10⁻⁴ σ²", 1e4, 2),
    Column("candidates accepted", "", "%", 100, 1),
    Column("correlation with loss", digits=2),
)


def information(section: Section) -> list[Table | Figure]:
    """Acceptance of the features found, then information loss against adversarial loss."""
    columns = tuple(Column(attack, "", "%", 100, 2) for attack in section.attacks)
    found = lines(across_attacks(section, ACCEPTED, section.attacks), columns, 1)
    if not any_number(found):
        return []
    caption = (
        f"Accepted: the zero-filled images with and without the feature differ by an MSE of at least {INFORMATION:g} σ², so the measured data "
        "do show it and the model could keep it. A search takes no other candidate where it has one; the table below says how many of those it tried "
        f"are accepted. {INTERVALS}"
    )
    labelled = by_attack(section, [PRESERVED, CANDIDATES], section.attacks)
    both = [(labels, [*row, correlation(section, Model(*labels[2:]), labels[1], labels[0])]) for labels, row in labelled]
    title = "Information loss against adversarial loss"
    note = (
        "Mean information loss (MSE of the zero-filled images), the share of the candidates tried that are accepted, and Pearson's correlation over "
        f"cases of the logarithms of information loss and adversarial loss: near zero, features are not lost for want of information. {INTERVALS}"
    )
    return [
        Table("information", "Information preservation", caption, section.data_label, MODEL_HEADS, columns, found),
        scatter(section, title),
        Table("information-loss", title, note, section.data_label, ATTACK_HEADS, COLUMNS, lines(both, COLUMNS, 2), 2, fold=True),
    ]


def pairs(section: Section, model: Model, attack: str, condition: str) -> tuple[Floats, Floats, list[str]]:
    """Information loss and adversarial loss of the cases that have both, (n,) each, with their patients; zeros are left out of a logarithm."""
    keys = ["cell", "patient", "case"]
    one, two = (section.frame(model, attack, condition, metric)[[*keys, "value"]] for metric in ("information", "fnaf-loss"))
    both = one.merge(two, on=keys, suffixes=("_x", "_y")).sort_values(keys)
    both = both[(both["value_x"] > 0) & (both["value_y"] > 0)]
    return both["value_x"].to_numpy(float), both["value_y"].to_numpy(float), both["patient"].tolist()


def correlation(section: Section, model: Model, attack: str, condition: str) -> Measured:
    """Clustered by patient, from the sums that Pearson's coefficient is made of."""
    records = section.cells(model, attack, condition)
    validity = section.validity(records)
    if validity.level == "missing":
        return Measured(missing(validity))
    first, second, patients = pairs(section, model, attack, condition)
    names, index = np.unique(np.array(patients, dtype=str), return_inverse=True)
    nothing = float("nan")
    if len(names) < 2:
        return Measured(entry(Interval(nothing, nothing, nothing, len(names), len(first)), len(first), validity))
    x, y = np.log10(first), np.log10(second)
    x, y = x - x.mean(), y - y.mean()
    parts = (np.ones_like(x), x, y, x * x, y * y, x * y)
    totals = np.stack([np.bincount(index, weights=part, minlength=len(names)) for part in parts], axis=1).astype(np.float64)
    resampled = resample(totals, pearson)
    low, high = expanded(resampled) if np.isfinite(resampled.estimate) else (nothing, nothing)
    low, high = max(low, -1.0), min(high, 1.0)
    return Measured(entry(Interval(resampled.estimate, low, high, len(names), len(x)), sum(r.cases for r in records), validity))


def pearson(sums: Floats) -> Floats:
    """(..., 6) sums of 1, x, y, xx, yy, xy -> correlation (...,)."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    return np.asarray((n * xy - x * y) / np.sqrt((n * xx - x * x) * (n * yy - y * y)))


def scatter(section: Section, title: str) -> Figure:
    """One panel a model and condition, all attacks together."""
    drawn = []
    for condition in section.conditions:
        for model in section.models:
            parts = []
            for attack in section.attacks:
                records = section.cells(model, attack, condition)
                if section.validity(records).level not in {"missing", "invalid"}:
                    first, second, _ = pairs(section, model, attack, condition)
                    parts.append((attack, tuple(zip(first.tolist(), second.tolist(), strict=True))))
            drawn.append(Cloud(f"{model}, {condition}", tuple(parts)))
    words = (
        "Information loss of each found feature against its adversarial loss, both logarithmic; "
        "dashed lines are the thresholds of acceptance and of a hit."
    )
    axes = ("information loss (σ²)", "adversarial loss (σ²)")
    return clouds("information-figure", title, words, section.data_label, tuple(drawn), axes, (INFORMATION, HIT))
