"""What a defense changes: attack rate and clean quality of a defended model against the plain one, paired by patient."""

from __future__ import annotations

import math
from dataclasses import replace

from medrobust.leaderboard.layout import MODEL_HEADS, any_number
from medrobust.leaderboard.measure import Contrast, Measured, Quantity, contrast, measure
from medrobust.leaderboard.recon_fnaf.rule import RATE
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.stats import Interval, Sample, paired_difference, paired_ratio

RATES = (
    Column("plain", "", "%", 100, 1),
    Column("defended", "", "%", 100, 1),
    Column("times lower", "", "", 1, 2),
    Column("lower by", "", "points", 100, 1),
)
QUALITY = (
    Column("SSIM change", digits=4),
    Column("NMSE change", "", "%", 100, 2),
    Column("PSNR change", "dB", "dB", digits=2),
)


def defense(section: Section) -> list[Table]:
    """Attack rate plain / defended, and clean quality defended against plain; nothing without such a pair of models."""
    rates: list[Line] = []
    quality: list[Line] = []
    for condition in section.conditions:
        for plain, defended in section.defended:
            for attack in section.attacks:
                if not all(section.cells(model, attack, condition) for model in (plain, defended)):
                    continue
                first, second = (measure(section, model, attack, condition, RATE) for model in (plain, defended))
                both = (_times(first, second), contrast(first, second, paired_difference))
                rates.append(Line((condition, *defended, attack), (first.entry, second.entry, *both)))
            quality.append(Line((condition, *defended), _quality(section, plain, defended, condition)))
    tables = []
    if any_number(rates):
        caption = (
            "Attack rate of the plain model over that of the defended one, and their difference. 95 % intervals paired by patient; where the "
            "defended rate is zero, the low end is that of the plain rate over the high end of the defended one."
        )
        heads = (*MODEL_HEADS, "attack")
        tables.append(Table("defense", "What the defense gains", caption, section.data_label, heads, RATES, tuple(rates)))
    if any_number(quality):
        caption = "Clean quality of the defended model against the plain one: what the defense costs. 95 % intervals paired by patient."
        tables.append(Table("defense-cost", "What the defense costs", caption, section.data_label, MODEL_HEADS, QUALITY, tuple(quality)))
    return tables


def _quality(section: Section, plain: Model, defended: Model, condition: str) -> tuple[Entry, ...]:
    def change(metric: str, by: Contrast) -> Entry:
        first, second = (measure(section, model, "none", condition, Quantity(metric)) for model in (defended, plain))
        return contrast(first, second, by)

    return change("ssim", paired_difference), change("nmse", _relative), change("psnr", paired_difference)


def _relative(first: Sample, second: Sample) -> Interval:
    """Paired ratio less one."""
    found = paired_ratio(first, second)
    return Interval(found.estimate - 1, found.low - 1, found.high - 1, found.patients, found.cases)


def _times(first: Measured, second: Measured) -> Entry:
    """Paired ratio; over a rate of zero at least the low end of the one interval over the high end of the other."""
    found = contrast(first, second, paired_ratio)
    if found.estimate is not None and math.isinf(found.estimate) and second.entry.high:
        return replace(found, low=(first.entry.low or 0.0) / second.entry.high, high=found.estimate)
    return found
