"""One data set's share of the evidence, asked by names: samples with their patients, validity, and what is missing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from medrobust.leaderboard.evidence import Evidence, Record, data_sets
from medrobust.leaderboard.tables import LEVELS, Validity, worst

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from medrobust.leaderboard.pictures import Picture


class Model(NamedTuple):
    """A target with its defense, `none` for a plain one."""

    target: str
    defense: str

    def __str__(self) -> str:
        return self.target if self.defense == "none" else f"{self.target} + {self.defense}"


@dataclass(frozen=True)
class Section:
    """All cells on one data set and split."""

    track: str
    data: str
    split: str
    data_label: str
    rows: pd.DataFrame
    records: tuple[Record, ...]
    pictures: tuple[Picture, ...] = ()

    @cached_property
    def conditions(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(record.condition for record in self.records))

    @cached_property
    def models(self) -> tuple[Model, ...]:
        return tuple(dict.fromkeys(Model(record.target, record.defense) for record in self.records))

    @cached_property
    def attacks(self) -> tuple[str, ...]:
        """Attacks made on the target itself: neither clean images, nor replays, nor controls."""
        return self._own(control=False)

    @cached_property
    def controls(self) -> tuple[str, ...]:
        """Attacks that add nothing: what loss is ordinary."""
        return self._own(control=True)

    @cached_property
    def explainers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(record.attack for record in self.records if record.explains))

    def _own(self, control: bool) -> tuple[str, ...]:
        own = [record for record in self.records if record.attack != "none" and record.source is None and not record.explains]
        return tuple(dict.fromkeys(record.attack for record in own if record.control is control))

    @cached_property
    def defended(self) -> tuple[tuple[Model, Model], ...]:
        """Every plain model with each defended one of the same target."""
        pairs = [(Model(model.target, "none"), model) for model in self.models if model.defense != "none"]
        return tuple(pair for pair in pairs if pair[0] in self.models)

    @cached_property
    def by_digest(self) -> dict[str, Record]:
        return {record.digest: record for record in self.records}

    @cached_property
    def _records(self) -> dict[tuple[str, str, str, str], list[Record]]:
        found: dict[tuple[str, str, str, str], list[Record]] = {}
        for record in self.records:
            found.setdefault((record.target, record.defense, record.attack, record.condition), []).append(record)
        return found

    @cached_property
    def _groups(self) -> dict[tuple[str, str], list[tuple[str, NDArray[np.int64]]]]:
        """Which rows are of a (cell, metric), by label."""
        import numpy as np

        by = ["cell", "metric", "label"]
        code = self.rows.groupby(by, sort=False).ngroup().to_numpy()
        order = np.argsort(code, kind="stable")
        starts = np.unique(code[order], return_index=True)[1]
        names = self.rows[by].iloc[order[starts]].astype(object).to_numpy().tolist()
        found: dict[tuple[str, str], list[tuple[str, NDArray[np.int64]]]] = {}
        for (cell, metric, label), where in zip(names, np.split(order, starts[1:]), strict=True) if names else ():
            found.setdefault((cell, metric), []).append((label, where))
        return found

    @cached_property
    def _owed(self) -> dict[tuple[str, str, str], int]:
        """Cases that any cell of a condition has a value for, by (condition, metric, label)."""
        groups = self.rows.groupby(["condition", "metric", "label"], sort=False)["case"].nunique().reset_index()
        return {(str(a), str(b), str(c)): int(n) for a, b, c, n in groups.itertuples(index=False)}

    def cells(self, model: Model, attack: str, condition: str) -> list[Record]:
        """One a seed; empty where the plan has none."""
        return self._records.get((model.target, model.defense, attack, condition), [])

    def pictures_of(self, model: Model, attack: str, condition: str) -> dict[str, Picture]:
        """Case to its picture, in the order kept."""
        digests = {record.digest for record in self.cells(model, attack, condition)}
        return {picture.case: picture for picture in self.pictures if picture.cell in digests}

    def frame(self, model: Model, attack: str, condition: str, metric: str, label: str | None = "") -> pd.DataFrame:
        """Rows of one metric, every label of it where `label` is None."""
        import numpy as np

        held = [group for record in self.cells(model, attack, condition) for group in self._groups.get((record.digest, metric), ())]
        parts = [where for tag, where in held if label is None or tag == label]
        if not parts:
            return self.rows.iloc[:0]
        where = np.concatenate(parts)
        if where[-1] - where[0] == len(where) - 1 and (np.diff(where) == 1).all():
            return self.rows.iloc[where[0] : where[-1] + 1]
        return self.rows.iloc[where]

    def labels(self, metric: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(label for _, name, label in self._owed if name == metric))

    def owed(self, condition: str, metric: str, label: str | None = "") -> int:
        """How many values a metric has in a condition where no case misses one."""
        return sum(n for (c, m, tag), n in self._owed.items() if c == condition and m == metric and label in (None, tag))

    def validity(self, records: list[Record]) -> Validity:
        """Of cells that are measured; `missing` with the state of those that are not."""
        lacking = [record for record in records if not record.measured]
        if not records:
            return Validity("missing", ("not in the plan",))
        if lacking:
            return Validity("missing", tuple(dict.fromkeys(f"failed: {r.error}" if r.status == "failed" else r.status for r in lacking)))
        return worst([Validity(record.level if record.level in LEVELS else "invalid", record.reasons) for record in records])


def sections(evidence: Evidence) -> list[Section]:
    """The evidence by data set."""
    found = []
    for (track, data, split, label), records in data_sets(evidence.records):
        rows = evidence.rows[evidence.rows["cell"].isin({record.digest for record in records})]
        found.append(Section(track, data, split, label, rows, tuple(records), evidence.pictures))
    return found
