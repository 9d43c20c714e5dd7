"""Attack rate as a curve: over the threshold of a hit, and over the query budget."""

from __future__ import annotations

import re

from medrobust.leaderboard.figures import Curve, Panel, curves
from medrobust.leaderboard.layout import ATTACK_HEADS, any_number, by_attack, lines
from medrobust.leaderboard.measure import over
from medrobust.leaderboard.recon_fnaf.rule import HIT, INTERVALS, THRESHOLDS
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Figure, Line, Table

TITLES = {"thresholds": "Attack rate over thresholds", "queries": "Attack rate over query budgets"}


def thresholds(section: Section) -> list[Table | Figure]:
    """One column a threshold; the paper's stands among them."""
    columns = tuple(Column(f"≥ {threshold:g}", "", "%", 100, 1) for threshold in THRESHOLDS)
    found = lines(by_attack(section, [over("fnaf-loss", threshold) for threshold in THRESHOLDS], (*section.attacks, *section.controls)), columns, 2)
    if not any_number(found):
        return []
    caption = f"Share of cases whose adversarial loss reaches each threshold (σ²); the paper reports {HIT:g} alone. {INTERVALS}"
    table = Table("thresholds", TITLES["thresholds"], caption, section.data_label, ATTACK_HEADS, columns, found, 2, fold=True)
    drawing = _figure(section, found, THRESHOLDS, "thresholds", "adversarial loss that counts as a hit (σ²)", HIT)
    return [drawing, table]


def queries(section: Section) -> list[Table | Figure]:
    """One column a query count, from the labels `q=...` of the loss."""
    counts = sorted(int(label[2:]) for label in section.labels("fnaf-loss") if re.fullmatch(r"q=[0-9]{1,9}", label))
    if not counts:
        return []
    columns = tuple(Column(f"q = {count}", "", "%", 100, 1) for count in counts)
    found = lines(by_attack(section, [over("fnaf-loss", HIT, f"q={count}") for count in counts], section.attacks), columns, 2)
    caption = f"Share of cases hit (loss of at least {HIT:g} σ²) by the best feature within that many queries of the model. {INTERVALS}"
    table = Table("queries", TITLES["queries"], caption, section.data_label, ATTACK_HEADS, columns, found, 2, fold=True)
    return [_figure(section, found, tuple(float(count) for count in counts), "queries", "queries of the model per case", None), table]


def _drawn(entry: Entry) -> bool:
    return entry.estimate is not None and entry.validity.level != "invalid"


def _point(x: float, entry: Entry) -> tuple[float, float, float, float]:
    """x, estimate and interval in percent; without an interval the band is the line."""
    middle = entry.estimate or 0.0
    low, high = (middle if end is None else end for end in (entry.low, entry.high))
    return x, 100 * middle, 100 * low, 100 * high


def _figure(section: Section, found: tuple[Line, ...], at: tuple[float, ...], name: str, axis: str, mark: float | None) -> Figure:
    panels = []
    for condition in section.conditions:
        for attack in (*section.attacks, *section.controls):
            drawn = []
            for line in found:
                if line.labels[:2] == (condition, attack):
                    curve = tuple(_point(x, entry) for x, entry in zip(at, line.entries, strict=True) if _drawn(entry))
                    drawn.append(Curve(str(Model(line.labels[2], line.labels[3])), curve))
            panels.append(Panel(f"{attack}, {condition}", tuple(drawn)))
    words = (
        f"Attack rate in percent over {axis}, one panel an attack and condition, one line a model; "
        "the band is the 95 % interval. Invalid cells are not drawn."
    )
    return curves(f"{name}-figure", TITLES[name], words, section.data_label, tuple(panels), axis, mark)
