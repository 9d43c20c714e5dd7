"""Table 1 of Chen et al. 2019, each number beside ours, with the data that each was measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medrobust.leaderboard.measure import Quantity, measure
from medrobust.leaderboard.printed import ABOUT, QUIET, both, interleaved, numbers
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.seg_deform.rule import DICE, FALL, PERCEPTIBILITY, P, organs, percent
from medrobust.leaderboard.seg_deform.success import relative_drop
from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Line, Table, Validity

HEADS = ("condition", "attack")
OTHER = Entry(note="other organs", validity=Validity("missing", ("other organs",)))
NONE = Entry(note="none", validity=QUIET)


def seg(section: Section) -> list[Table]:
    """Dice of each organ and p, and the relative drops that follow from them, of the first plain model."""
    printed = numbers("seg")
    data = f"paper: {printed['measured_on']}; ours: {section.data_label}"
    return [_dice(section, printed, data), _drops(section, printed, data)]


def _dice(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    columns: tuple[Column, ...] = both(*(Column(organ, "", "%", 100, 2) for organ in printed["organs"]), P)
    quantities = [*(Quantity(DICE, organ) for organ in printed["organs"]), PERCEPTIBILITY]
    lines = []
    for condition in section.conditions:
        for name, values in printed["table"].items():
            paper = [*(Entry(dice / 100, validity=QUIET) for dice in values["dice"]), Entry(values["p"], validity=QUIET) if "p" in values else NONE]
            lines.append(Line((condition, name), interleaved(paper, _ours(section, printed, values["ours"], condition, quantities))))
    caption = (
        "Dice by organ against the truth that did not move, and p. The paper does not say whether its rows of D or V alone leave out a branch of the "
        f"joint model or train again: each stands beside both of ours. {ABOUT.replace('patients', 'subjects')}"
    )
    return Table("paper-dice", "Beside the paper: Table 1", caption, data, HEADS, columns, tuple(lines))


def _drops(section: Section, printed: Mapping[str, Any], data: str) -> Table:
    columns = both(*(percent(organ) for organ in printed["organs"]))
    before = next(values["dice"] for values in printed["table"].values() if values["ours"] == ["none"])
    lines = []
    for condition in section.conditions:
        for name, values in printed["table"].items():
            if values["ours"] == ["none"]:
                continue
            paper = [Entry(1 - after / clean, validity=QUIET) for after, clean in zip(values["dice"], before, strict=True)]
            model, attack = _chosen(section, values["ours"], condition)
            known = set(printed["organs"]) <= set(organs(section))
            ours = [_seen(relative_drop(section, model, attack, condition, organ).entry) if known else OTHER for organ in printed["organs"]]
            lines.append(Line((condition, name), interleaved(paper, ours)))
    caption = (
        f"Drop of Dice relative to clean slices; {100 * FALL:g} % of an organ is the paper's success. The paper's drops follow from its printed "
        f"means. {ABOUT.replace('patients', 'subjects')}"
    )
    return Table("paper-drop", "Beside the paper: relative drop", caption, data, HEADS, columns, tuple(lines))


def _ours(section: Section, printed: Mapping[str, Any], names: Sequence[str], condition: str, quantities: Sequence[Quantity]) -> list[Entry]:
    """Of a section with the paper's organs; where it has others, nothing stands beside the paper."""
    if not set(printed["organs"]) <= set(organs(section)):
        return [OTHER] * len(quantities)
    model, attack = _chosen(section, names, condition)
    entries = [_seen(measure(section, model, attack, condition, quantity).entry) for quantity in quantities]
    return [*entries[:-1], NONE] if attack == "none" else entries


def _seen(found: Entry) -> Entry:
    return Entry(note=UNMEASURED) if found.note == UNMEASURED else found


def _chosen(section: Section, names: Sequence[str], condition: str) -> tuple[Model, str]:
    """The first plain model, and the first of the attack's names that it was put through."""
    model = next((one for one in section.models if one.defense == "none"), section.models[0])
    return model, next((name for name in names if section.cells(model, name, condition)), names[0])
