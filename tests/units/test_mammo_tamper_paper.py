"""What stands beside Becker et al.: the printed numbers, their contradictions, and ours with the names of who read."""

from __future__ import annotations

import numpy as np
import pytest
from mammo_rows import DETECTORS, EFFECTS, READERS, made

from medrobust.cli.leaderboard import HEADLINES
from medrobust.errors import SpecError
from medrobust.leaderboard.mammo_tamper.detection import detection
from medrobust.leaderboard.mammo_tamper.paper import beside
from medrobust.leaderboard.mammo_tamper.readers import readers
from medrobust.leaderboard.page import PAPERS, TRACKS, page
from medrobust.leaderboard.paper import tables
from medrobust.leaderboard.printed import numbers
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.tables import PRINTED, Entry, Line, Table

SIZE = "256x256"


@pytest.fixture(scope="module")
def here() -> Section:
    return sections(made())[0]


@pytest.fixture(scope="module")
def beside_ours(here: Section) -> dict[str, Table]:
    return {table.name: table for table in tables("mammo", here)}


def line(table: Table, name: str) -> Line:
    return next(one for one in table.lines if one.labels[1] == name)


def entry(table: Table, labels: tuple[str, ...], column: str) -> Entry:
    index = [one.name for one in table.columns].index(column)
    return next(one.entries[index] for one in table.lines if one.labels == labels)


def test_the_track_and_its_paper_are_known() -> None:
    assert PAPERS["mammo-tamper"] == "mammo"
    assert "mammo-tamper" in TRACKS
    assert {"readers", "detection", "stopping"} <= set(HEADLINES)
    with pytest.raises(SpecError, match="no 'mamo'; did you mean mammo"):
        tables("mamo", sections(made({}, READERS[:1]))[0])


def test_printed_numbers_are_those_of_tables_two_and_three() -> None:
    known = numbers("mammo")
    first, second = ([list(values.values()) for values in known[name].values()] for name in ("first", "second"))
    assert first == [[0.85, 0.63, 0.66], [0.75, 0.67, 0.48], [0.77, 0.69, 0.50]]
    assert second == [[0.78, 0.69, 0.93, 0.93], [0.77, 0.59, 0.93, 1.0], [0.84, 0.60, 0.95, 0.90]]


def test_the_contradictions_are_as_the_caption_says(beside_ours: dict[str, Table]) -> None:
    known = numbers("mammo")

    def mean(rows: list[dict[str, float]], name: str) -> float:
        return float(np.mean([row[name] for row in rows]))

    earlier = [row for row in known["published"] if (row["source"], row["experiment"]) == ("2018, abstract", 1)]
    low, high = (next(row for row in known["published"] if (row["source"], row["experiment"]) == ("2019, abstract", number)) for number in (1, 2))
    first, second = (list(known[name].values()) for name in ("first", "second"))
    assert (round(mean(earlier, "originals"), 3), round(mean(earlier, "modified"), 3)) == (0.757, 0.697)
    assert {round(mean(earlier, name), 2) for name in ("originals", "modified")} == {low["originals"], low["modified"]}
    assert (round(mean(first, "originals"), 3), round(mean(first, "modified"), 3)) == (0.790, 0.663)
    assert round(1 - mean(second, "modified"), 2) == high["modified"]
    assert round(mean(second, "originals"), 2) == high["originals"]
    assert round(mean(first, "detection"), 2) == low["detection"]
    assert {round(mean(second, when), 2) for when in ("early", "late")} == {high["detection"]}
    for number in (".757", ".697", ".76 and .70", ".37", ".63"):
        assert number in beside_ours["paper-published"].caption


def test_ours_stand_beside_theirs_and_say_who_read(here: Section, beside_ours: dict[str, Table]) -> None:
    table = beside_ours["paper-low"]
    ours, seen = readers(here)[0], detection(here)[0]
    assert [one.labels[1:] for one in table.lines] == [
        ("radiologist 1", READERS[0], DETECTORS[0], "tamper@2000"),
        ("radiologist 2", READERS[1], DETECTORS[1], "tamper@2000"),
        ("radiologist 3", READERS[2], "none", "tamper@2000"),
        ("mean of three", "all readers", "best", "tamper@2000"),
    ]
    labels = (SIZE, "radiologist 2", READERS[1], DETECTORS[1], "tamper@2000")
    assert [entry(table, labels, f"{name}, paper").estimate for name in ("originals", "modified", "detection")] == [0.75, 0.67, 0.48]
    assert entry(table, labels, "originals, paper").validity.level == PRINTED
    for name, other in (("originals, ours", "originals"), ("modified, ours, original truth", "modified, original truth")):
        assert entry(table, labels, name).estimate == entry(ours, (SIZE, READERS[1], "tamper@2000"), other).estimate
    intended = entry(table, labels, "modified, ours, intended truth")
    assert intended.estimate == entry(ours, (SIZE, READERS[1], "tamper@2000"), "modified, intended truth").estimate
    assert entry(table, labels, "detection, ours").estimate == entry(seen, (SIZE, DETECTORS[1], "tamper@2000"), "AUC").estimate
    mean = (SIZE, "mean of three", "all readers", "best", "tamper@2000")
    assert entry(table, mean, "modified, paper").estimate == pytest.approx((0.63 + 0.67 + 0.69) / 3)
    assert entry(table, mean, "originals, ours").estimate == entry(ours, (SIZE, "all readers", "tamper@2000"), "originals").estimate
    assert line(table, "radiologist 3").entries[-1].note == "none"
    for one in beside_ours.values():
        assert one.data == "paper: BCDR, INbreast and an internal set, three radiologists; ours: machine readers, phantom: mammograms"
        assert "Nothing here reproduces the paper" in one.caption
        assert "Ours are machine readers" in one.caption


def test_early_and_late_are_our_first_and_last_checkpoints(here: Section, beside_ours: dict[str, Table]) -> None:
    table, seen = beside_ours["paper-high"], detection(here)[0]
    labels = (SIZE, "radiologist 1", READERS[0], DETECTORS[0], "tamper@1000, tamper@4000")
    assert [entry(table, labels, f"detection, {when}, paper").estimate for when in ("early", "late")] == [0.93, 0.93]
    for when, attack in (("early", "tamper@1000"), ("late", "tamper@4000")):
        assert entry(table, labels, f"detection, {when}, ours").estimate == entry(seen, (SIZE, DETECTORS[0], attack), "AUC").estimate
    modified = entry(readers(here)[0], (SIZE, READERS[0], "tamper@4000"), "modified, original truth")
    assert entry(table, labels, "modified, ours, original truth").estimate == modified.estimate


def test_other_published_numbers_stand_with_what_they_print(beside_ours: dict[str, Table]) -> None:
    table = beside_ours["paper-published"]
    labels = (SIZE, "2019, abstract", "2, all three")
    assert entry(table, labels, "p, paper").note == "< 0.001"
    assert entry(table, labels, "modified, paper").estimate == 0.37
    assert entry(table, (SIZE, "2018, abstract", "1, a second"), "detection, paper").note == "not printed"
    assert 0 < entry(table, labels, "p, ours").estimate < 0.05


def test_more_of_ours_than_of_theirs_and_none_at_all() -> None:
    four = (*READERS, "mammo-vgg")
    table = {one.name: one for one in tables("mammo", sections(made(models=four))[0])}["paper-low"]
    assert [one.labels[1:4] for one in table.lines][3:] == [("none", "mammo-vgg", "none"), ("mean of three", "all readers", "best")]
    assert table.lines[3].entries[0].note == "not printed"
    assert table.lines[4].entries[-1].note == "no detector"
    lone = sections(made({"tamper": EFFECTS["tamper@1000"]}, READERS[:1]))[0]
    assert (beside(lone, SIZE).one, beside(lone, SIZE).early, beside(lone, SIZE).late) == ("tamper", "", "tamper")
    low, high, other = tables("mammo", lone)
    assert line(low, "mean of three").entries[3].estimate == line(low, "radiologist 1").entries[3].estimate, "of one reader its own"
    assert line(high, "mean of three").entries[6].note == "not run"
    assert other.lines[0].entries[5].note == "not run"
    quiet = sections(made({}))[0]
    assert {one.note for each in tables("mammo", quiet) for row in each.lines for one in row.entries if one.estimate is None} <= {
        *("not run", "not printed", "none", "no detector", "no reader", "< 0.001")
    }


def test_a_page_without_anything_of_ours_has_no_paper_tables() -> None:
    changes = {f"{name} {attack}": {"status": "queued"} for name in (*READERS, *DETECTORS) for attack in ("none", *EFFECTS)}
    (chapter,) = page(made(changes=changes)).chapters
    assert not [part.name for part in chapter.parts if part.name.startswith("paper")]
