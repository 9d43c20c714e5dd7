"""How well each explainer finds the tumour: with the truth's help (best grouping), without it (ranks), and by grade."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number, lines
from medrobust.leaderboard.measure import Measured, Quantity, case_names, entry, measure, missing
from medrobust.leaderboard.roi.rule import BOLD, FREE, GRADES, HEADS, INTERVALS, by_explainer
from medrobust.leaderboard.roi.scores import scores
from medrobust.leaderboard.section import Model, Section
from medrobust.leaderboard.tables import UNMEASURED, Column, Entry, Table, Validity
from medrobust.stats import Sample, clustered_rate, mean

RANKS = ("1", "2", "3")
CUMULATIVE = ("1", "2", "3", "4", "5")
BEST = (
    Column("best grouping", digits=3, better=True),
    Column("ceiling", digits=3),
    Column("of the ceiling", "", "%", 100, 1, better=True),
    Column("rank 1", digits=3, better=True),
    Column("missed tumours", "", "%", 100, 1, better=False),
)


def localisation(section: Section) -> list[Table]:
    """The headline: Dice at best grouping, the ceiling of the superpixels, Dice of the first rank, and tumours missed."""
    missed = Quantity("missed", estimator=clustered_rate)
    quantities = [Quantity("dice-grouping"), Quantity("dice-ceiling"), Quantity("dice-relative"), Quantity("dice-rank", "1"), missed]
    found = lines(by_explainer(section, quantities), BEST, 2)
    if not any_number(found):
        return []
    caption = (
        "Dice against the whole tumour. Best grouping is an oracle: regions are added from the highest rank down and the truth says where to stop "
        "(maps of voxels: the best threshold). Ceiling: the best union of these superpixels. Rank 1: the top region alone, no truth used. "
        f"Missed: the top region shares no voxel with the tumour. {FREE} {INTERVALS} {BOLD}"
    )
    return [Table("localisation", "Where the tumour is found", caption, section.data_label, HEADS, BEST, found, 2)]


def ranks(section: Section) -> list[Table]:
    """Dice of the regions of rank 1, 2 and 3, each alone."""
    columns = tuple(Column(f"rank {rank}", digits=3, better=True) for rank in RANKS)
    caption = f"Dice of the region of each rank alone; no truth is used. {INTERVALS} {BOLD}"
    return _labelled(section, "ranks", "Dice by rank", caption, [Quantity("dice-rank", rank) for rank in RANKS], columns)


def cumulative(section: Section) -> list[Table]:
    """Dice of the regions of rank 1, 1 + 2, ..., 1 + ... + 5."""
    columns = tuple(Column("1" if rank == "1" else f"1 to {rank}", digits=3, better=True) for rank in CUMULATIVE)
    caption = f"Dice of the highest ranks together; no truth is used. {INTERVALS} {BOLD}"
    return _labelled(section, "cumulative", "Cumulative ranks", caption, [Quantity("dice-cumulative", rank) for rank in CUMULATIVE], columns)


def _labelled(section: Section, name: str, title: str, caption: str, quantities: list[Quantity], columns: tuple[Column, ...]) -> list[Table]:
    found = lines(by_explainer(section, quantities), columns, 2)
    return [Table(name, title, caption, section.data_label, HEADS, columns, found, 2, fold=True)] if any_number(found) else []


def grades(section: Section) -> list[Table]:
    """Best grouping of high and low grades apart: a mask that can only take intensity away cannot flip both."""
    columns = tuple(Column(grade, digits=3, better=True) for grade in GRADES)
    labelled = [
        (labels, [_of_grade(section, labels, grade) for grade in GRADES]) for labels, _ in by_explainer(section, [Quantity("dice-grouping")])
    ]
    found = lines(labelled, columns, 2)
    caption = f"Dice at best grouping (an oracle) of high-grade (HGG) and low-grade (LGG) tumours apart. {INTERVALS} {BOLD}"
    return [Table("grades", "Best grouping by grade", caption, section.data_label, HEADS, columns, found, 2, fold=True)] if any_number(found) else []


def _of_grade(section: Section, labels: tuple[str, ...], grade: str) -> Measured:
    """Cases of this grade."""
    condition, name, explainer = labels
    model: Model = next(one for one in section.models if str(one) == name)
    validity = section.validity(section.cells(model, explainer, condition))
    if validity.level == "missing":
        return Measured(missing(validity))
    clean = scores(section, model, condition)
    cases = set(clean.loc[clean["high"] == (grade == GRADES[0]), "case"])
    frame = section.frame(model, explainer, condition, "dice-grouping")
    frame = frame[frame["case"].isin(cases)]
    if frame.empty:
        return Measured(Entry(note=UNMEASURED, validity=Validity("missing", (UNMEASURED,))))
    sample = Sample.of(frame["value"].to_numpy(dtype=float), frame["patient"].to_numpy(dtype=str), case_names(frame))
    whole = measure(section, model, explainer, condition, Quantity("dice-grouping")).entry
    return Measured(entry(mean(sample), len(sample.values), whole.validity), sample)
