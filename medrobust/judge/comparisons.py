"""Checks that compare the cells of one column: whether a weaker threat does more, or a larger budget less."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from medrobust.judge.column import ColumnEvidence, Measured, size, worst_case
from medrobust.stats import Sample
from medrobust.stats.detectable import least_difference
from medrobust.stats.paired import permutation

CHANCE = 0.01
DRAWS = 1999
NEAR = 1.5
"""Standard errors below which no test of that chance finds a difference, so that none is made."""
UNBEATEN_SHARE = 0.01
LARGEST_HIDDEN = 0.2
STEPS = re.compile(r"\b(steps|iterations|queries)=(\d+)")


@dataclass(frozen=True)
class Found:
    """What is wrong, and with which cells: their digests."""

    message: str
    cells: tuple[str, ...]


Findings = tuple[Found, ...] | None
"""None where the check does not apply: nothing there to compare."""


def black_box_beats_white_box(column: ColumnEvidence) -> Findings:
    """No black-box attack does measurably more harm than all white-box attacks together, case by case: else gradients are masked or ill used."""
    return beaten(column, "black-box")


def transfer_beats_white_box(column: ColumnEvidence) -> Findings:
    """No attack made on another target does measurably more harm than all white-box attacks on this one together."""
    return beaten(column, "transfer")


def beaten(column: ColumnEvidence, kind: str) -> Findings:
    """White-box cells of the conditions in which an attack of `kind` does measurably more."""
    found: list[Found] = []
    compared = False
    for condition in column.conditions:
        white, others = column.attacks(condition, "white-box"), column.attacks(condition, kind)
        if not white or not others:
            continue
        compared = True
        together = worst_case(white)
        for other in others:
            if exceeds(other, together):
                message = f"{named(other)} ({kind}) does more harm than all white-box attacks together, {against(other, together, column.metric)}"
                found.append(Found(message, digests(white)))
    return tuple(found) if compared else None


def unbounded_attack_fails(column: ColumnEvidence) -> Findings:
    """White-box attacks together (black-box ones where there are none) leave no case right once the norm bounds nothing.

    It concerns every cell of these attacks: what does not win without a bound says nothing within one. For classifiers and segmenters.
    """
    if column.metric not in ("correct", "dice"):
        return None
    unbounded = dict.fromkeys(cell.record.condition for cell in column.cells if without_bound(cell))
    found: list[Found] = []
    compared = False
    for condition in unbounded:
        kind = "white-box" if column.attacks(condition, "white-box") else "black-box"
        attacks = column.attacks(condition, kind)
        if not attacks:
            continue
        together = worst_case(attacks)
        if not len(together.cases):
            continue
        compared = True
        left = 1 - together.mean
        if left > UNBEATEN_SHARE:
            labels = {cell.record.attack for cell in attacks}
            all_of_them = [cell for other in column.conditions for cell in column.attacks(other, kind) if cell.record.attack in labels]
            what = "of the cases stay right" if column.metric == "correct" else "is the Dice that stays"
            found.append(Found(f"without a bound, {left:.1%} {what} under all {kind} attacks together, expected none", digests(all_of_them)))
    return tuple(found) if compared else None


def without_bound(cell: Measured) -> bool:
    found = size(cell.record)
    return found is not None and found[0] == float("inf")


def harm_falls(column: ColumnEvidence) -> Findings:
    """One attack does no measurably less harm with a larger budget or more steps: what the smaller one found was allowed to it as well."""
    ladders = [*by_budget(column), *by_steps(column)]
    if not ladders:
        return None
    found = []
    for what, ladder in ladders:
        for smaller, larger in pairwise(ladder):
            if exceeds(smaller, larger):
                message = f"{named(larger)} does less harm than {named(smaller)} with a smaller {what}, {against(larger, smaller, column.metric)}"
                found.append(Found(message, digests([larger])))
    return tuple(found)


Ladder = tuple[str, list[Measured]]
"""What grows, and the cells, the smallest first."""


def by_budget(column: ColumnEvidence) -> list[Ladder]:
    """Cells of one attack under conditions that are named by the size of their budget, and share the rest of their name, the smallest first."""
    groups: dict[tuple[object, ...], list[tuple[float, Measured]]] = {}
    for cell in known(column):
        written = next((str(cell.record.budget[name]) for name in ("epsilon", "radius") if cell.record.budget.get(name) is not None), "")
        found = size(cell.record)
        rest_of_name, times = re.subn(rf"(?<![\w./]){re.escape(written)}(?![\w./])", "", cell.record.condition, count=1)
        if found and times:
            rest = tuple(sorted((name, str(value)) for name, value in cell.record.budget.items() if name not in ("epsilon", "radius")))
            key = (cell.record.attack, cell.record.config, found[1], rest, rest_of_name)
            groups.setdefault(key, []).append((found[0], cell))
    return [("budget", ascending(group)) for group in groups.values() if len(group) > 1]


def by_steps(column: ColumnEvidence) -> list[Ladder]:
    """Cells of one condition whose attacks differ in one number of steps alone, the fewest first."""
    groups: dict[tuple[str, str], list[tuple[float, Measured]]] = {}
    for cell in known(column):
        match = STEPS.search(cell.record.config)
        if match:
            rest = cell.record.config[: match.start(2)] + cell.record.config[match.end(2) :]
            groups.setdefault((cell.record.condition, rest), []).append((float(match[2]), cell))
    return [("number of steps", ascending(group)) for group in groups.values() if len(group) > 1]


def known(column: ColumnEvidence) -> Iterable[Measured]:
    """Attacks that ask the target."""
    return [cell for condition in column.conditions for kind in ("white-box", "black-box") for cell in column.attacks(condition, kind)]


def ascending(group: Sequence[tuple[float, Measured]]) -> list[Measured]:
    return [cell for _, cell in sorted(group, key=lambda pair: pair[0])]


def noise_does_as_well(column: ColumnEvidence) -> Findings:
    """Each attack does measurably more harm than random noise within the same budget, or what else is a control or never asks the target.

    Nothing is said where noise does no measurable harm beyond the clean images, for neither then may an attack within that budget; nor where the
    attack does so much that the worst answer to every case would not be measurably more.
    """
    found: list[Found] = []
    compared = False
    for condition in column.conditions:
        clean = column.clean(condition)
        attacks = [*column.attacks(condition, "white-box"), *column.attacks(condition, "black-box")]
        if clean is None or not attacks:
            continue
        for noise in column.attacks(condition, "control"):
            compared = True
            if not exceeds(noise, clean):
                continue
            for attack in attacks:
                random, sought = shared(noise, attack)
                if len(random.cases) and room_above(sought, column.metric) and not exceeds(sought, random):
                    message = f"{named(attack)} does no measurably more harm than {named(noise)}, a control, {against(attack, noise, column.metric)}"
                    found.append(Found(message, digests([attack])))
    return tuple(found) if compared else None


def room_above(cell: Measured, metric: str) -> bool:
    """Whether more harm could be measured: the worst answer to every case, where a metric has one, would be more than chance explains."""
    return metric not in ("correct", "dice") or exceeds(replace(cell, harm=np.ones_like(cell.harm)), cell)


def differences_hidden(column: ColumnEvidence) -> Findings:
    """Patients are enough to show, four times out of five, that attacks together did harm which is a fifth of all there could be."""
    if column.metric not in ("correct", "dice"):
        return None
    found: list[Found] = []
    compared = False
    for condition in column.conditions:
        clean, attacks = column.clean(condition), [*column.attacks(condition, "white-box"), *column.attacks(condition, "black-box")]
        if clean is None or not attacks:
            continue
        unharmed, harmed = shared(clean, worst_case(attacks))
        change = Sample.of(harmed.harm - unharmed.harm, harmed.patients)
        names = np.unique(change.patients)
        if len(names) < 2:
            continue
        compared = True
        least = standard_error(change) * detectable_errors(len(names))
        if least > LARGEST_HIDDEN:
            message = f"{len(names)} patients show no change from clean images below {least:.2f} at {condition}, expected at most {LARGEST_HIDDEN}"
            found.append(Found(message, digests(attacks)))
    return tuple(found) if compared else None


def standard_error(sample: Sample) -> float:
    """Of the mean over cases, clustered by patient, of whom there are two or more."""
    names = np.unique(sample.patients)
    influence = sample.sums(names) - sample.values.mean() * sample.sums(names, 0)
    return float(np.sqrt(len(names) / (len(names) - 1) * (influence**2).sum()) / len(sample.values))


@lru_cache(maxsize=64)
def detectable_errors(patients: int) -> float:
    """How many standard errors a difference must have to be found."""
    return least_difference(1.0, patients)


def shared(first: Measured, second: Measured) -> tuple[Measured, Measured]:
    """Both on the cases that both have."""
    if np.array_equal(first.cases, second.cases):
        return first, second
    cases = np.intersect1d(first.cases, second.cases)
    return first.of(cases), second.of(cases)


def exceeds(first: Measured, second: Measured) -> bool:
    """Whether the first does more harm than chance explains: one-sided p of at most `CHANCE`, patients changing sides with all their cases."""
    first, second = shared(first, second)
    if not len(first.cases) or first.mean <= second.mean:
        return False
    change = Sample.of(first.harm - second.harm, first.patients)
    names = np.unique(change.patients)
    if len(names) < 2 or first.mean - second.mean < NEAR * standard_error(change):
        return False
    return permutation(first.sample, second.sample, draws=DRAWS).p / 2 <= CHANCE


def against(first: Measured, second: Measured, metric: str) -> str:
    """Such as `60.0% against 20.0% wrong`."""
    first, second = shared(first, second)
    if metric == "correct":
        return f"{first.mean:.1%} against {second.mean:.1%} wrong"
    if metric == "dice":
        return f"a Dice of {1 - first.mean:.3f} against {1 - second.mean:.3f}"
    return f"{metric} {first.mean:.4g} against {second.mean:.4g}"


def named(cell: Measured) -> str:
    return f"{cell.record.attack} at {cell.record.condition}"


def digests(cells: Iterable[Measured]) -> tuple[str, ...]:
    return tuple(cell.record.digest for cell in cells)
