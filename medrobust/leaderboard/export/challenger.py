"""One value a task, case and algorithm, as the R package challengeR reads it, to rank with tools that are not ours.

Source: Wiesenfarth et al. 2021, doi:10.1038/s41598-021-82017-6; columns and missing values as the readme of github.com/wiesenfa/challengeR
and its function `as.challenge` document them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from medrobust.errors import SpecError
from medrobust.files import replacing
from medrobust.leaderboard.evidence import Evidence, Record
from medrobust.leaderboard.export.direction import higher_is_better
from medrobust.leaderboard.overview.headlines import HEADLINES
from medrobust.leaderboard.section import Model, Section, sections
from medrobust.registry import near
from medrobust.store import MARKER

if TYPE_CHECKING:
    import pandas as pd

HEAD = ("task", "case", "algorithm", "value")
HEADLINE = "headline"
CLEAN = "clean"
Line = tuple[str, str, float]
"""Case, algorithm and value."""


class Task(NamedTuple):
    """What names a task of one data set; parts that say nothing are empty."""

    condition: str
    probe: str
    seed: str


@dataclass(frozen=True)
class Challenge:
    """What is written.

    table: the columns `HEAD`, a line each task, case and algorithm that was planned for the task; NaN where there is no value to be believed.
    metric: what the values are, in words. better: whether more is better. invalid: cells whose values were left out because they are invalid.
    alone: tasks that were left out because one algorithm alone was planned for them, while others compare several.
    """

    table: pd.DataFrame
    metric: str
    better: bool
    invalid: int
    alone: int = 0

    def said(self, path: Path) -> tuple[str, ...]:
        """What to know of the file, and how R reads it."""
        table = self.table
        missing = int(table["value"].isna().sum())
        columns = 'by = "task", algorithm = "algorithm", case = "case", value = "value"'
        small = "FALSE" if self.better else "TRUE"
        return (
            f"{path}: {len(table)} values of {table['algorithm'].nunique()} algorithms in {table['task'].nunique()} tasks, {missing} missing (NA)",
            f"metric: {self.metric}",
            *([f"{self.invalid} invalid cells are missing"] if self.invalid else []),
            *([f"{self.alone} tasks of one algorithm are left out"] if self.alone else []),
f"R: as.challenge(read.csv({json.dumps(path.name)}), {columns}, smallBetter = {small})",
        )


def challenge(evidence: Evidence, metric: str = HEADLINE, label: str | None = None) -> Challenge:
    """One task a data set, condition, attack and seed, clean images once; one algorithm a target with its defense, or an explainer of one.

    metric: `headline` is what the track is ranked by. label: of a metric; None takes what has no label, and where every value has one the mean over
    a case's labels. Algorithms without a value of the metric anywhere are left out, as are tasks. Raises SpecError where nothing is left.
    """
    import pandas as pd

    parts = [part for section in sections(evidence) if (part := _section(section, metric, label)) is not None]
    if not parts:
        known = sorted({str(name) for name in evidence.rows["metric"]} - {MARKER})
        msg = f"--metric: found no values of '{metric}'{f' labelled {label!r}' if label is not None else ''}; {near(metric, [HEADLINE, *known])}"
        raise SpecError(msg)
    ways = {part.better for part in parts}
    if len(ways) > 1:
        msg = f"--metric {metric}: found tracks where more is better and tracks where less is, expected one of them a file"
        raise SpecError(msg)
    table, alone = compared(pd.concat([part.table for part in parts], ignore_index=True))
    words = "; ".join(dict.fromkeys(part.metric for part in parts))
    return Challenge(table, words, parts[0].better, sum(part.invalid for part in parts), alone)


def compared(table: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Tasks of several algorithms, and how many others there were; all of them where none has several."""
    several = table.groupby("task")["algorithm"].transform("nunique") > 1
    if not several.any():
        return table, 0
    return table[several].reset_index(drop=True), int(table.loc[~several, "task"].nunique())


def _section(section: Section, metric: str, label: str | None) -> Challenge | None:
    """One data set; None where it has no value of the metric."""
    found, words, better = _values(section, metric, label)
    if found.empty or better is None:
        return None
    values = found.groupby(["cell", "case"])["value"].mean()
    have = set(found["cell"])
    algorithms = {algorithm(record, section.records) for record in section.records if record.digest in have}
    made: dict[Task, list[Line]] = {}
    invalid = 0
    for task, records in tasks(section).items():
        planned = [record for record in records if algorithm(record, section.records) in algorithms]
        cases = sorted({case for record in planned if record.digest in have for case in values[record.digest].index})
        invalid += sum(record.digest in have and record.level == "invalid" for record in planned)
        made[task] = []
        for record in planned:
            own = values[record.digest].to_dict() if record.digest in have and record.level != "invalid" else {}
            made[task] += [(case, algorithm(record, section.records), own.get(case, float("nan"))) for case in cases]
    import pandas as pd

    data = f"{section.data_label} {section.split}"
    lines = [(", ".join(part for part in (data, *task) if part), *line) for task, held in once(made).items() for line in held]
    return Challenge(pd.DataFrame(lines, columns=list(HEAD)), words, better, invalid)


def once(made: Mapping[Task, list[Line]]) -> dict[Task, list[Line]]:
    """Clean images once, where conditions that differ in their budget alone have them line for line alike: named by these, by none where all are."""
    alike: dict[tuple[str, str], list[Task]] = {}
    for task, lines in made.items():
        if task.probe == CLEAN:
            alike.setdefault((task.seed, repr(lines)), []).append(task)
    found: dict[Task, list[Line]] = {}
    for task, lines in made.items():
        same = alike.get((task.seed, repr(lines)), [task]) if task.probe == CLEAN else [task]
        if same[0] == task:
            every = len(same) > 1 and len(same) == sum(other.probe == CLEAN and other.seed == task.seed for other in made)
            found[task._replace(condition="" if every else " and ".join(one.condition for one in same))] = lines
    return found


def _values(section: Section, metric: str, label: str | None) -> tuple[pd.DataFrame, str, bool | None]:
    """Rows to take the mean of, what they are, and their direction."""
    if metric == HEADLINE:
        rule = HEADLINES.get(section.track)
        if rule is None:
            return section.rows.iloc[:0], "", None
        return rule.rows(section), f"{rule.column.name} ({rule.said})", rule.better
    rows = section.rows[section.rows["metric"] == metric]
    labels = sorted(set(rows["label"]))
    if rows.empty or (label is not None and label not in labels):
        return rows.iloc[:0], "", None
    better = higher_is_better(metric)
    if better is None:
        msg = f"--metric {metric}: neither direction of it is better, expected one to rank by"
        raise SpecError(msg)
    chosen = label if label is not None else "" if "" in labels else None
    if chosen is None:
        return rows, f"{metric}, mean over the labels {', '.join(labels)} of a case", better
    return rows[rows["label"] == chosen], f"{metric} {chosen}".strip(), better


def tasks(section: Section) -> dict[Task, list[Record]]:
    """Cells that are compared, by task; the attack of an explainer's cell is the explainer, so it names an algorithm and no task."""
    seeds = {record.seed for record in section.records}
    found: dict[Task, list[Record]] = {}
    for record in section.records:
        probe = "" if record.explains else CLEAN if record.attack == "none" else record.attack
        found.setdefault(Task(record.condition, probe, f"seed {record.seed}" if len(seeds) > 1 else ""), []).append(record)
    return found


def algorithm(record: Record, records: Sequence[Record]) -> str:
    """A target with its defense, or an explainer; with its target where there are several."""
    model = str(Model(record.target, record.defense))
    if not record.explains:
        return model
    several = len({(one.target, one.defense) for one in records}) > 1
    return f"{record.attack} of {model}" if several else record.attack


def write(found: Challenge, path: Path) -> None:
    """A csv with `NA` where a value is missing."""
    with replacing(path) as temporary:
        found.table.to_csv(temporary, index=False, na_rep="NA", float_format="%.9g", lineterminator="\n", encoding="utf-8")
