"""What a leaderboard is made from: rows, and what is known of the cells that they came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medrobust.errors import StoreError
from medrobust.judge import ColumnVerdict, concerned, judge_columns
from medrobust.leaderboard.digits import nine_digits

if TYPE_CHECKING:
    import pandas as pd

    from medrobust.leaderboard.pictures import Picture

COLUMNS = (
    "track",
    "data",
    "split",
    "patient",
    "case",
    "target",
    "defense",
    "attack",
    "condition",
    "seed",
    "metric",
    "label",
    "value",
    "unit",
)
NAMES = ("track", "data", "split", "target", "defense", "attack", "condition", "seed")


@dataclass(frozen=True)
class Record:
    """One cell as a leaderboard needs it.

    data_label: how results on its data are labelled. source: digest of the cell whose images it replays, or None.
    cases: how many it owes. status: queued, running, done, failed or invalid; only `done` and `invalid` cells have rows that count.
    config: the attack or explainer as it was configured. control: it adds nothing, so its loss is ordinary reconstruction error.
    explains: `attack` names an explainer.
    level: ok, info, warn or invalid, with one line a reason. error: why it failed.
    threat: white-box, black-box or no-box, what the attack was shown; empty where that is not known.
    budget: name and options of what it might change.
    data_digest: of its data's configuration, which names of cases do not tell; empty where it is not known.
    cost: numbers of env.json, such as `seconds`, `forward passes`, `gradient passes`. environment: its words, such as package versions.
    """

    digest: str
    track: str
    data: str
    split: str
    data_label: str
    condition: str
    seed: int
    target: str
    defense: str
    attack: str
    cases: int
    source: str | None = None
    config: str = ""
    control: bool = False
    status: str = "done"
    level: str = "ok"
    reasons: tuple[str, ...] = ()
    error: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    explains: bool = False
    threat: str = ""
    budget: Mapping[str, str | float | None] = field(default_factory=dict)
    data_digest: str = ""

    @property
    def names(self) -> tuple[str | int, ...]:
        """What its rows say in the columns `NAMES`."""
        return (self.track, self.data, self.split, self.target, self.defense, self.attack, self.condition, self.seed)

    @property
    def measured(self) -> bool:
        return self.status in {"done", "invalid"}


@dataclass(frozen=True)
class Evidence:
    """One run, or a committed one.

    suite: name of the run, such as `recon-fnaf@0123abcd`. rows: the columns of `Row` and `cell`, the digest of the cell.
    records: every cell that was planned, in the order of the plan. pictures: of its first cases, where cells kept some.
    verdicts: of the checks that compare cells; what they found is among the reasons of the records.
    """

    suite: str
    rows: pd.DataFrame
    records: tuple[Record, ...]
    pictures: tuple[Picture, ...] = ()
    verdicts: tuple[ColumnVerdict, ...] = ()


def evidence(suite: str, rows: pd.DataFrame, records: Sequence[Record], pictures: Sequence[Picture] = ()) -> Evidence:
    """Rows joined to their cells; rows of cells that are not done are left out, values are kept at nine significant digits.

    Raises StoreError for rows that no cell owns, and for two cells whose rows cannot be told apart.
    """
    owners = {record.names: record for record in records}
    if len(owners) < len(records):
        msg = f"{suite}: two cells have the same target, defense, attack, condition and seed; expected one, or another `as` name"
        raise StoreError(msg)
    lacking = [column for column in COLUMNS if column not in rows.columns]
    if lacking:
        msg = f"{suite}: rows have no column {', '.join(lacking)}; expected {', '.join(COLUMNS)}"
        raise StoreError(msg)
    import numpy as np
    import pandas as pd

    rows = rows[list(COLUMNS)]
    code = rows.groupby(list(NAMES), sort=False, dropna=False).ngroup().to_numpy()
    firsts = rows.iloc[np.unique(code, return_index=True)[1]]
    keys = list(zip(*(firsts[column].tolist() for column in NAMES), strict=True))
    for names in keys:
        if names not in owners:
            msg = f"{suite}: rows of {' '.join(str(name) for name in names)} belong to no cell; expected a cell of that name"
            raise StoreError(msg)
    cells = pd.Series([owners[names].digest for names in keys], dtype="str").take(code)
    rows = rows.assign(cell=cells.array, value=nine_digits(rows["value"].to_numpy(dtype=float)))
    rows = rows[np.array([owners[names].measured for names in keys], dtype=bool)[code]]
    if not np.isfinite(rows["value"]).all():
        bad = rows[~np.isfinite(rows["value"])].iloc[0]
        msg = f"{suite}: case {bad['case']} has {bad['metric']} = {bad['value']}; expected a finite number"
        raise StoreError(msg)
    order = ["cell", "metric", "label", "patient", "case"]
    return Evidence(suite, rows.sort_values(order, kind="stable").reset_index(drop=True), tuple(records), tuple(pictures))


def joined(parts: Sequence[Evidence]) -> Evidence:
    """Several runs as one, or one alone, with the checks that compare cells made of all of it.

    A cell that several of them hold counts once, measured before not measured.
    """
    import pandas as pd

    held: dict[str, tuple[int, Record]] = {}
    for index, part in enumerate(parts):
        for record in part.records:
            if record.digest not in held or (record.measured and not held[record.digest][1].measured):
                held[record.digest] = (index, record)
    seen: dict[tuple[str | int, ...], Record] = {}
    for _, record in held.values():
        other = seen.setdefault((*record.names, record.data_label), record)
        if other is not record:
            msg = f"runs disagree: cells {other.digest} and {record.digest} are both {' '.join(map(str, record.names))}; expected one of them"
            raise StoreError(msg)
    rows = [part.rows[part.rows["cell"].isin({d for d, (owner, _) in held.items() if owner == index})] for index, part in enumerate(parts)]
    whole = pd.concat(rows, ignore_index=True)
    pictures = [one for index, part in enumerate(parts) for one in part.pictures if one.cell in held and held[one.cell][0] == index]
    suite = " + ".join(dict.fromkeys(part.suite for part in parts))
    records = tuple(record for _, record in held.values())
    verdicts = judge_columns(whole, records)
    return Evidence(suite, whole, concerned(records, verdicts), tuple(pictures), verdicts)


def data_sets(records: Sequence[Record]) -> Iterator[tuple[tuple[str, str, str, str], list[Record]]]:
    """Cells by (track, data, split, data label): what is never mixed in one table."""
    groups: dict[tuple[str, str, str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.track, record.data, record.split, record.data_label), []).append(record)
    yield from groups.items()
