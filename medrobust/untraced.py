"""Metrics without an attack's trace, which is not stored: which of their rows the trace may have given."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from medrobust.types import Metric, Outcome

QUERIES = 4
"""Of the made-up trace; only whether a value is defined is read, never the value."""


@dataclass(frozen=True)
class NoTrace(Mapping[str, Tensor]):
    """An empty trace that notes in `asked` which quantities were looked for."""

    asked: dict[str, None] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Tensor:
        self.asked[name] = None
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        self.asked["loss"] = None
        return iter(())

    def __len__(self) -> int:
        return 0


def traced(metric: Metric, outcome: Outcome, absent: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """Of rows (case or group, label) that a metric does not give without a trace, those that it may have given with one.

    A metric that never looks at the trace has none. Of others a label that it names without a trace must become defined for that case once there is
    one, made up here; a label that it does not name without must be named then, numbers aside.
    """
    trace = NoTrace()
    without = _values(metric, outcome, trace)
    if not trace.asked:
        return set()
    size = len(outcome.batch)
    try:
        made = _values(metric, outcome, {name: torch.ones(size, QUERIES) for name in trace.asked})
    except Exception:  # a trace that it cannot use says nothing against its rows
        return set(absent)
    cases = outcome.batch.cases
    names = [case.case for case in cases] if metric.per == "case" else list(dict.fromkeys(case.group for case in cases))
    defined = {(name, label) for label, values in made.items() for name, value in zip(names, values.tolist(), strict=True) if value == value}
    kinds = {_kind(label) for label in made}
    return {each for each in absent if (each in defined if each[1] in without else _kind(each[1]) in kinds)}


def _kind(label: str) -> str:
    """A label without its numbers, such as of the query that it counts to, which hang on how long the trace is."""
    return re.sub(r"\d+", "", label)


def _values(metric: Metric, outcome: Outcome, trace: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    values = metric(replace(outcome, attacked=replace(outcome.attacked, trace=trace)))
    return values if isinstance(values, Mapping) else {"": values}
