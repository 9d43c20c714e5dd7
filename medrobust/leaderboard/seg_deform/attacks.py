"""The headline: Dice of every organ under every attack by the paper's ruler, and each model at its worst."""

from __future__ import annotations

from collections.abc import Sequence

from medrobust.leaderboard.layout import MODEL_HEADS, Labelled, any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, case_names, entry, flagged, measure
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import (
    DICE,
    HEADS,
    INTERVALS,
    PERCEPTIBILITY,
    WARPED,
    P,
    attacked,
    by_model_and_attack,
    measures,
    organs,
    percent,
)
from medrobust.leaderboard.tables import Entry, Table, Validity, worst
from medrobust.stats import Sample, mean


def attacks(section: Section) -> list[Table]:
    """One line a model and attack, the clean one first: Dice of each organ against the truth that did not move, and p."""
    names = organs(section)
    quantities = [*(Quantity(DICE, organ) for organ in names), Quantity(DICE), PERCEPTIBILITY]
    columns = (*(percent(organ) for organ in names), percent("mean"), P)
    found = lines(by_model_and_attack(section, measures(section, quantities), ("none", *attacked(section))), columns, 3)
    if not any_number(found):
        return []
    caption = (
        "Dice of each organ over all slices of a subject, mean over subjects, against the truth of the clean image, as the paper counts: where an "
        "attack moves anatomy, a perfect segmenter falls as well (see The ruler). p: mean absolute change of a pixel, in standard deviations of the "
        f"subject's volume. Attacks differ in p; only at equal p do they compare. {INTERVALS}"
    )
    return [Table("attacks", "Dice under attack", caption, section.data_label, HEADS, columns, found, 3)]


def models(section: Section) -> list[Table]:
    """Clean and worst-case mean Dice of every model, by both rulers."""
    names = section.attacks
    if not names:
        return []
    columns = (
        percent("clean", better=True),
        percent("worst case, unmoved truth", better=True),
        percent("worst case, moved truth", better=True),
    )

    def row(model: Model, condition: str) -> list[Measured]:
        worse = [worst_case(section, model, condition, metric) for metric in (DICE, WARPED)]
        return [measure(section, model, "none", condition, Quantity(DICE)), *worse]

    labelled: list[Labelled] = [((condition, *model), row(model, condition)) for condition in section.conditions for model in section.models]
    found = lines(labelled, columns, 1)
    if not any_number(found):
        return []
    caption = (
        "Mean Dice over organs, mean over subjects. Worst case: of each subject the lowest under any attack made on this very model, whatever its p. "
        "Unmoved truth: the paper's ruler, which also charges a model with anatomy that really moved. Moved truth: the truth warped like the image. "
        f"{INTERVALS} Bold: not measurably worse than the best of its condition (paired by subject)."
    )
    return [Table("models", "Models at their worst", caption, section.data_label, MODEL_HEADS, columns, found)]


def worst_case(section: Section, model: Model, condition: str, metric: str) -> Measured:
    """Mean over subjects of the lowest mean Dice under any attack. Needs every attack planned; an invalid one is left out and said to be."""
    import pandas as pd

    planned = [name for name in section.attacks if section.cells(model, name, condition)]
    entries = [measure(section, model, name, condition, Quantity(metric)).entry for name in planned]
    if not planned:
        return _none("not run")
    if not all(one.complete for one in entries):
        return _none("needs every attack")
    sound = [name for name, one in zip(planned, entries, strict=True) if one.validity.level != "invalid"]
    if not sound:
        return _none("no valid attack")
    frame = pd.concat([section.frame(model, name, condition, metric) for name in sound])
    lowest = frame.groupby(["seed", "patient", "case"], sort=True)["value"].min().reset_index()
    sample = Sample.of(lowest["value"].to_numpy(dtype=float), lowest["patient"].to_numpy(dtype=str), case_names(lowest))
    found = entry(mean(sample), len(sample.values), worst([one.validity for one in entries if one.validity.level != "invalid"]))
    return Measured(_without([name for name in planned if name not in sound], found), sample)


def _without(left_out: Sequence[str], found: Entry) -> Entry:
    return flagged(found, f"worst case without {', '.join(left_out)}, which is invalid") if left_out else found


def _none(note: str) -> Measured:
    return Measured(Entry(note=note, validity=Validity("missing", (note,))))
