"""One drop by three rulers: against the truth that stayed, against the truth that moved, and how far the truth itself moved."""

from __future__ import annotations

from dataclasses import dataclass

from medrobust.leaderboard.layout import any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, contrast, entry, measure, missing
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import DICE, FLOOR, HEADS, INTERVALS, LEAST, WARPED, attacked, by_model_and_attack, organs, percent
from medrobust.leaderboard.seg_deform.subjects import beside_clean, both_valid, owed
from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Table, Validity
from medrobust.stats import Sample, mean, paired_difference, paired_ratio

COLUMNS = (
    percent("clean"),
    percent("unmoved truth"),
    percent("moved truth"),
    percent("perfect segmenter"),
    Column("drop", "", "points", 100, 1),
    Column("drop, moved truth", "", "points", 100, 1),
    percent("only moved truth"),
)
TOO_SMALL = "drop too small"


def ruler(section: Section) -> list[Table]:
    """The mean over organs, one line a model and attack; folded, each organ."""
    if not attacked(section):
        return []
    whole = lines(by_model_and_attack(section, Ruler(section), attacked(section)), COLUMNS, 3)
    if not any_number(whole):
        return []
    columns = [by_model_and_attack(section, Ruler(section, organ), attacked(section)) for organ in organs(section)]
    each = [((*labels, organ), row) for same in zip(*columns, strict=True) for organ, (labels, row) in zip(organs(section), same, strict=True)]
    caption = (
        "Dice by three rulers, mean over subjects. Unmoved truth: of the clean image, as the paper counts. Moved truth: warped like the image. "
        "Perfect segmenter: the moved truth scored against the unmoved one, which is what a segmenter without any error would get by the paper's "
        "ruler. Only moved truth: the share of the drop by the paper's ruler that is gone by the moved one, (moved - unmoved) / (clean - unmoved); "
        f"not given where the drop is not certain to be at least {100 * LEAST:g} point of Dice. Shares beyond 0 to 100 % are possible. {INTERVALS} "
        "Paired by subject."
    )
    by_organ = "The same for each organ." + caption.partition("subjects.")[2]
    return [
        Table("ruler", "The ruler: what is lost, and what has only moved", caption, section.data_label, HEADS, COLUMNS, whole, 3),
        Table("ruler-organs", "The ruler by organ", by_organ, section.data_label, (*HEADS, "organ"), COLUMNS, lines(each, COLUMNS, 3), 3, fold=True),
    ]


@dataclass(frozen=True)
class Ruler:
    """Makes the row of a model under an attack. label: organ, or nothing for their mean."""

    section: Section
    label: str = ""

    def __call__(self, model: Model, attack: str, condition: str) -> list[Measured]:
        def dice(name: str, metric: str) -> Measured:
            return measure(self.section, model, name, condition, Quantity(metric, self.label))

        before, still, moved, floor = dice("none", DICE), dice(attack, DICE), dice(attack, WARPED), dice(attack, FLOOR)
        drops = [Measured(contrast(before, after, paired_difference)) for after in (still, moved)]
        return [before, still, moved, floor, *drops, moved_share(self.section, model, attack, condition, self.label)]


def moved_share(section: Section, model: Model, attack: str, condition: str, label: str) -> Measured:
    """1 - (clean - moved) / (clean - unmoved) of means over subjects, which are resampled with all three."""
    validity = both_valid(section, model, attack, condition)
    if validity.level == "missing":
        return Measured(missing(validity))
    found = beside_clean(section, model, attack, condition, label, DICE, WARPED)
    if not found.keys:
        return Measured(Entry(note=UNMEASURED, validity=Validity("missing", (UNMEASURED,))))
    clean, still, moved = found.values.T
    lost = Sample.of(clean - still, found.patients)
    drop = mean(lost)
    if not (drop.low >= LEAST or (drop.patients < 2 and drop.estimate >= LEAST)):
        return Measured(Entry(note=TOO_SMALL, validity=Validity("missing", (TOO_SMALL,))))
    share = paired_ratio(Sample.of(moved - still, found.patients), lost)
    return Measured(entry(share, owed(section, model, attack, condition, label), validity))
