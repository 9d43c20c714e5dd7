"""Grids, detection and readers over the step at which the attack's training was stopped."""

from __future__ import annotations

from medrobust.leaderboard.layout import any_number
from medrobust.leaderboard.mammo_tamper.areas import drawable, drawn
from medrobust.leaderboard.mammo_tamper.artefacts import grid
from medrobust.leaderboard.mammo_tamper.detection import detected
from medrobust.leaderboard.mammo_tamper.readings import detectors
from medrobust.leaderboard.mammo_tamper.rule import AREAS, STOP, attacked, step
from medrobust.leaderboard.mammo_tamper.stopping import mean_reader
from medrobust.leaderboard.section import Section
from medrobust.leaderboard.tables import Column, Entry, Figure, Line, Table
from medrobust.leaderboard.traces import Trace, traces

GRIDS, NOTICED = "Grids over steps", "Detection and readers over steps"
DIFFERENCE, READERS = "tampered less clean", "readers, modified"


def sweep(section: Section) -> list[Table | Figure]:
    """Two figures, a panel a condition, and the table behind them; nothing with fewer than two steps."""
    known = {name: at for name in attacked(section) if (at := step(name)) is not None}
    if len(set(known.values())) < 2:
        return []
    names = (DIFFERENCE, READERS, *map(str, detectors(section)))
    rows = {
        (condition, name): (
            grid(section, name, condition)[2],
            mean_reader(section, name, condition),
            *(detected(section, model, name, condition) for model in detectors(section)),
        )
        for condition in section.conditions
        for name in known
        if any(section.cells(model, name, condition) for model in section.models)
    }
    found = tuple(Line(labels, entries) for labels, entries in rows.items())
    if not any_number(found):
        return []

    def panels(columns: dict[str, range]) -> dict[str, tuple[Trace, ...]]:
        return {
            f"{condition}, {head}": tuple(_trace(names[column], known, rows, condition, column) for column in which)
            for condition in section.conditions
            for head, which in columns.items()
        }

    data = section.data_label
    grids = traces(
        "grids-figure",
        GRIDS,
        "Grid index of tampered images less that of clean ones, in dB, over the training step of the attack; bars: 95 % intervals over patients. "
        f"The declared rule wants whole intervals below {STOP.limit:g} dB. Invalid cells are not drawn.",
        data,
        panels({"grid index": range(1)}),
        ("training step", "grid index (dB)"),
    )
    noticed = traces(
        "noticed-figure",
        NOTICED,
        "AUC of each detector telling tampered images from originals, and mean AUC of the readers on tampered images by the original truth, over the "
        "training step of the attack; bars: 95 % intervals. At .5 a detector guesses; below .5 the readers are turned round.",
        data,
        panels({"readers": range(1, 2), "detectors": range(2, len(names))}),
        ("training step", "AUC"),
    )
    columns = (Column(f"grid index, {DIFFERENCE}", "dB", "dB", digits=2), *(Column(f"AUC, {name}", digits=3) for name in names[1:]))
    caption = f"The numbers of both figures. {AREAS}"
    return [grids, noticed, Table("noticed", NOTICED, caption, data, ("condition", "attack"), columns, found, 1, fold=True)]


def _trace(name: str, known: dict[str, int], rows: dict[tuple[str, str], tuple[Entry, ...]], condition: str, column: int) -> Trace:
    """One column over the steps; without an interval the bar has no length."""
    held = [(at, rows[condition, attack][column]) for attack, at in known.items() if (condition, attack) in rows]
    return Trace(name, tuple(drawn(float(at), one) for at, one in held if drawable(one)))
