"""Success as the paper defines it: an organ's Dice falls by 30 % of what it was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from medrobust.leaderboard.layout import any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, contrast, entry, measure, missing
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import DICE, FALL, HEADS, INTERVALS, attacked, by_model_and_attack, organs, percent
from medrobust.leaderboard.seg_deform.subjects import Key, beside_clean, both_valid, owed
from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Table, Validity
from medrobust.stats import Interval, Sample, clustered_rate, paired_ratio

ROUNDING = 1e-9
EVERY, ANY = "all organs", "any organ"


def success(section: Section) -> list[Table]:
    """Relative drop of each organ with how many organs fell, and, folded, shares of subjects in which each did."""
    names = organs(section)
    if not names or not attacked(section):
        return []
    goal = f"{100 * FALL:g} %"
    counts = (Column(f"organs down {goal}", digits=0), Column("of them beyond doubt", digits=0))
    columns = (*(percent(organ) for organ in (*names, "mean")), *counts, percent(EVERY))
    columns_by_subject = tuple(percent(name) for name in (*names, ANY, EVERY))

    def drops(model: Model, attack: str, condition: str) -> list[Measured]:
        falls = [relative_drop(section, model, attack, condition, organ) for organ in (*names, "")]
        reached = [Measured(fallen([one.entry for one in falls[:-1]], certain)) for certain in (False, True)]
        return [*falls, *reached, shares(section, model, attack, condition, names)[-1]]

    found = lines(by_model_and_attack(section, drops, attacked(section)), columns, 3)
    if not any_number(found):
        return []
    caption = (
        f"Drop of the mean Dice relative to clean slices (unmoved truth); the paper's success is {goal} of an organ. Organs down {goal}: how many of "
        f"{len(names)}; beyond doubt: of how many the whole interval lies there. All organs: share of subjects in which each organ fell that far. "
        f"{INTERVALS} Paired by subject."
    )

    def counted(model: Model, attack: str, condition: str) -> list[Measured]:
        return shares(section, model, attack, condition, names)

    by_subject = lines(by_model_and_attack(section, counted, attacked(section)), columns_by_subject, 3)
    further = f"Share of subjects in which an organ's Dice (unmoved truth) fell by at least {goal} of its clean value. {INTERVALS}"
    title, data = f"Subjects whose organs fall by {goal}", section.data_label
    return [
        Table("success", f"Who falls by {goal}", caption, data, HEADS, columns, found, 3),
        Table("success-subjects", title, further, data, HEADS, columns_by_subject, by_subject, 3, fold=True),
    ]


def relative_drop(section: Section, model: Model, attack: str, condition: str, label: str) -> Measured:
    """1 less the ratio of mean Dice under attack to mean Dice on clean slices, paired by subject."""
    before, after = (measure(section, model, name, condition, Quantity(DICE, label)) for name in ("none", attack))
    if before.sample is not None and not before.sample.values.any():
        return Measured(Entry(note="clean Dice is 0", validity=Validity("missing", ("clean Dice is 0",))))
    return Measured(contrast(after, before, _drop), after.sample)


def _drop(after: Sample, before: Sample) -> Interval:
    found = paired_ratio(after, before)
    return replace(found, estimate=1 - found.estimate, low=1 - found.high, high=1 - found.low)


def fallen(drops: Sequence[Entry], certain: bool) -> Entry:
    """How many organs fell far enough; `certain`: with their whole interval."""
    if any(one.estimate is None for one in drops):
        return Entry(note="needs every organ", validity=Validity("missing", ("needs every organ",)))
    reached = [one.low if certain else one.estimate for one in drops]
    count = sum(value is not None and value >= FALL - ROUNDING for value in reached)
    return Entry(float(count), patients=min(one.patients for one in drops), cases=min(one.cases for one in drops))


def shares(section: Section, model: Model, attack: str, condition: str, names: Sequence[str]) -> list[Measured]:
    """Share of subjects in which each organ fell far enough, any of them, and all of them; an organ whose clean Dice is 0 has nothing to lose."""
    validity = both_valid(section, model, attack, condition)
    if validity.level == "missing":
        return [Measured(missing(validity))] * (len(names) + 2)
    down: list[dict[Key, bool]] = []
    for organ in names:
        found = beside_clean(section, model, attack, condition, organ, DICE)
        down.append({key: 1 - after / before >= FALL - ROUNDING for key, (before, after) in zip(found.keys, found.values, strict=True) if before > 0})
    subjects = sorted({key for organ in down for key in organ})
    together = [[organ[key] for organ in down if key in organ] for key in subjects]
    expected = [owed(section, model, attack, condition, organ) for organ in names]
    each = [_rate(organ, count, validity) for organ, count in zip(down, expected, strict=True)]
    overall = [dict(zip(subjects, map(which, together), strict=True)) for which in (any, all)]
    return [*each, *(_rate(of, max(expected), validity) for of in overall)]


def _rate(down: Mapping[Key, bool], expected: int, validity: Validity) -> Measured:
    if not down:
        return Measured(Entry(note=UNMEASURED, validity=Validity("missing", (UNMEASURED,))))
    names = [f"{seed}/{case}" for seed, _, case in down]
    sample = Sample.of([float(fell) for fell in down.values()], [patient for _, patient, _ in down], names)
    return Measured(entry(clustered_rate(sample), expected, validity), sample)
