"""Validity checks: is a cell's number to be believed? One small pure function a check."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from medrobust.cell import Cell
from medrobust.store import MARKER
from medrobust.types import Row

LEVELS = ("ok", "info", "warn", "invalid")
TOLERANCE = 1e-4
FIGURE_TOLERANCE = 0.02
FEWEST_PATIENTS = 12
INFORMATION_THRESHOLD = 1e-4
INFORMATION_SHARE = 0.99
SATURATED_SHARE = 0.1
RANDOMISED_CORRELATION = 0.9


@dataclass(frozen=True)
class Evidence:
    """What the checks look at.

    rows: all rows of the cell. violations: case -> how it left the budget.
    dependence: relative difference between a case predicted alone and in a batch. training_mode: some network was not in evaluation mode.
    lowest: lowest intensity of an attacked image where the clean ones have none below zero, else 0.
    patients: of the cell's cases; trained_on: of the card's training data, None where the card names other data.
    figures: the card's measured figures, empty where they were measured on other data or other cases.
    """

    cell: Cell
    rows: Sequence[Row]
    violations: Mapping[str, str] = field(default_factory=dict)
    dependence: float = 0.0
    training_mode: bool = False
    lowest: float = 0.0
    patients: frozenset[str] = frozenset()
    trained_on: frozenset[str] | None = None
    figures: Mapping[str, float] = field(default_factory=dict)

    def values(self, metric: str, label: str = "") -> dict[str, float]:
        """case -> value."""
        return {row["case"]: row["value"] for row in self.rows if row["metric"] == metric and row["label"] == label}


Finding = str | None
"""What is wrong, empty where nothing is, None where the check does not apply."""


def better_query_not_returned(evidence: Evidence) -> Finding:
    """An attack that had a better query must return it: no `q=...` label of a metric lies above the judged value."""
    metrics = {row["metric"] for row in evidence.rows if re.fullmatch(r"q=\d+", row["label"])}
    if not metrics:
        return None
    worse: dict[str, float] = {}
    for metric in metrics:
        judged = evidence.values(metric)
        for row in evidence.rows:
            if row["metric"] == metric and row["label"].startswith("q=") and row["case"] in judged:
                excess = row["value"] - judged[row["case"]]
                if excess > TOLERANCE * max(abs(row["value"]), abs(judged[row["case"]])):
                    worse[row["case"]] = max(excess, worse.get(row["case"], 0.0))
    return f"{some(worse)} had a query that was better than what was returned, by up to {max(worse.values()):.3g}" if worse else ""


def budget_left(evidence: Evidence) -> Finding:
    """Every case stays within the budget."""
    if evidence.cell.attack is None:
        return None
    outside = [case for case, kept in evidence.values(MARKER).items() if not kept]
    reason = next((evidence.violations[case] for case in outside if case in evidence.violations), "")
    return f"{some(outside)} left the budget{f': {reason}' if reason else ''}" if outside else ""


def below_zero(evidence: Evidence) -> Finding:
    """No attacked image goes below zero where the clean ones do not."""
    if evidence.cell.attack is None:
        return None
    return f"attacked images reach {evidence.lowest:.4g}, clean ones hold no negative value" if evidence.lowest < 0 else ""


def batch_dependent(evidence: Evidence) -> Finding:
    """The target is in evaluation mode and answers each case alike, alone or in a batch."""
    if evidence.training_mode:
        return "the target is in training mode"
    return f"predictions alone and in a batch differ by {evidence.dependence:.2g} of the largest value" if evidence.dependence > TOLERANCE else ""


def clean_figures_missed(evidence: Evidence) -> Finding:
    """Clean scores are those the target's card declares for these data."""
    if evidence.cell.attack is not None or not evidence.figures:
        return None
    wrong, compared = [], False
    for figure, declared in evidence.figures.items():
        values = list(declared_by(figure, evidence).values())
        if values:
            compared = True
            found = sum(values) / len(values)
            if abs(found - declared) > FIGURE_TOLERANCE * abs(declared):
                wrong.append(f"{figure} is {found:.4g}, the card declares {declared:.4g}")
    return "; ".join(wrong) if compared else None


def declared_by(figure: str, evidence: Evidence) -> dict[str, float]:
    """Case -> value of what a card's figure is the mean of: `METRIC@CONDITION`, or `METRIC@SPLIT` with a label behind; empty where it is neither."""
    metric, _, place = figure.partition("@")
    if place == evidence.cell.condition:
        return evidence.values(metric)
    split, _, label = place.partition(" ")
    return evidence.values(metric, label) if split == evidence.cell.split else {}


def trained_on_test(evidence: Evidence) -> Finding:
    """No patient of the test cases was trained on."""
    if evidence.trained_on is None:
        return None
    both = sorted(evidence.patients & evidence.trained_on)
    return f"the target was trained on {some(both)} of these data" if both else ""


def information_lost(evidence: Evidence) -> Finding:
    """The under-sampled data still show the feature in nearly every case."""
    values = evidence.values("information")
    if not values:
        return None
    share = sum(value >= INFORMATION_THRESHOLD for value in values.values()) / len(values)
    return "" if share >= INFORMATION_SHARE else f"information is preserved in {share:.1%} of cases, expected at least {INFORMATION_SHARE:.0%}"


def few_patients(evidence: Evidence) -> Finding:
    """Enough patients to claim a ranking."""
    n = len(evidence.patients)
    return f"{n} patients; at least {FEWEST_PATIENTS} are needed to rank" if n < FEWEST_PATIENTS else ""


def saturated(evidence: Evidence) -> Finding:
    """Hardly any answer is so certain that changes of it drown in rounding."""
    values = evidence.values("saturated")
    if not values:
        return None
    cases = [case for case, value in values.items() if value]
    return f"{some(cases)} of {len(values)} have a saturated answer" if len(cases) > SATURATED_SHARE * len(values) else ""


def weights_ignored(evidence: Evidence) -> Finding:
    """A map changes where the target's weights are shuffled."""
    values = evidence.values("randomisation")
    if not values:
        return None
    mean = sum(values.values()) / len(values)
    if mean <= RANDOMISED_CORRELATION:
        return ""
    return f"maps hardly depend on the target's weights: shuffled, they rank alike by {mean:.2f}, expected at most {RANDOMISED_CORRELATION}"


def undecided(evidence: Evidence) -> Finding:
    """No explained answer is a coin toss."""
    values = evidence.values("undecided")
    if not values:
        return None
    cases = [case for case, value in values.items() if value]
    return f"{some(cases)} of {len(values)} have an undecided answer: a map of it explains a coin toss" if cases else ""


@dataclass(frozen=True)
class Check:
    """A numbered check, and how bad it is to fail it."""

    id: str
    level: str
    find: Callable[[Evidence], Finding]


CHECKS = (
    Check("V01", "warn", saturated),
    Check("V11", "invalid", better_query_not_returned),
    Check("V13", "invalid", budget_left),
    Check("V13", "warn", below_zero),
    Check("V14", "invalid", batch_dependent),
    Check("V16", "warn", clean_figures_missed),
    Check("V18", "invalid", trained_on_test),
    Check("V19", "warn", information_lost),
    Check("V20", "warn", few_patients),
    Check("V22", "warn", weights_ignored),
    Check("V23", "info", undecided),
)


@dataclass(frozen=True)
class Verdict:
    """What the checks found: the worst level, the checks that applied, and one finding a failed check."""

    level: str
    checked: tuple[str, ...]
    findings: tuple[Mapping[str, str], ...]

    def plain(self) -> dict[str, Any]:
        """validity.json."""
        return {"level": self.level, "checked": list(self.checked), "findings": [dict(finding) for finding in self.findings]}


def judge(evidence: Evidence, checks: Iterable[Check] = CHECKS) -> Verdict:
    """Every check that applies."""
    results = [(check, check.find(evidence)) for check in checks]
    findings = tuple({"id": check.id, "level": check.level, "message": found} for check, found in results if found)
    level = max((finding["level"] for finding in findings), key=LEVELS.index, default="ok")
    return Verdict(level, tuple(dict.fromkeys(check.id for check, found in results if found is not None)), findings)


def some(cases: Iterable[str]) -> str:
    """A count with a few names, such as `3 cases (a, b, ...)`."""
    names = sorted(cases)
    return f"{len(names)} {'case' if len(names) == 1 else 'cases'} ({', '.join(names[:2])}{', ...' if len(names) > 2 else ''})"
