"""The tables of norm-bounded tracks on rows made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from norm_rows import EPSILON, Cells, board, made, record, rows

from medrobust.leaderboard.build import FILES, text
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.norm_bounded import CLASSIFICATION, RECONSTRUCTION, SEGMENTATION
from medrobust.leaderboard.norm_bounded.belief import belief
from medrobust.leaderboard.norm_bounded.certified import certified, ladder
from medrobust.leaderboard.norm_bounded.cost import cost
from medrobust.leaderboard.norm_bounded.defense import defense
from medrobust.leaderboard.norm_bounded.norms import norms
from medrobust.leaderboard.norm_bounded.robust import robust
from medrobust.leaderboard.norm_bounded.success import success
from medrobust.leaderboard.norm_bounded.sweep import sweep
from medrobust.leaderboard.norm_bounded.transfer import transfer
from medrobust.leaderboard.page import TRACKS, page
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.tables import Entry, Table
from medrobust.stats import Sample, holm, permutation, wilson

PLAIN, MADRY = (EPSILON, "net", "none"), (EPSILON, "net", "madry")
CLEAN = "110111111111"
CELLS: Cells = board(
    {
        "net": {"none": CLEAN, "pgd": "000000011111", "square": "110011100000"},
        "net + madry": {"none": "100111111111", "pgd": "100111111111", "square": "100111111110"},
    }
)


def here(found: Evidence) -> Section:
    (one,) = sections(found)
    return one


def table(found: list[Table], name: str = "") -> Table:
    return next(one for one in found if not name or one.name == name)


def entry(one: Table, labels: tuple[str, ...], column: str) -> Entry:
    at = [column.name for column in one.columns].index(column)
    return next(line.entries[at] for line in one.lines if line.labels == labels)


def test_the_worst_case_lies_below_every_attack_and_the_better_model_is_marked() -> None:
    found = table(robust(here(made(CELLS))))
    assert [entry(found, PLAIN, name).estimate for name in ("clean", "pgd", "square")] == pytest.approx([11 / 12, 5 / 12, 5 / 12])
    assert entry(found, PLAIN, "worst case").estimate == 0, "cases 1 to 7 fall to pgd, 8 to 12 to square"
    assert entry(found, MADRY, "worst case").estimate == pytest.approx(9 / 12)
    assert not entry(found, PLAIN, "worst case").best
    assert entry(found, MADRY, "worst case").best
    assert not entry(found, MADRY, "pgd").best, "attacks are not ranked"


def test_the_worst_case_is_over_every_attack_of_its_own_line() -> None:
    found = table(robust(here(made({**CELLS, ("net", "fgsm", EPSILON): "0" * 12}))))
    assert entry(found, PLAIN, "worst case").estimate == 0
    assert entry(found, MADRY, "worst case").estimate == pytest.approx(9 / 12)
    assert entry(found, MADRY, "fgsm").note == "not run"
    invalid = {("net", "square", EPSILON): {"level": "invalid", "reasons": ("V13: left the budget",)}}
    found = table(robust(here(made(CELLS, changes=invalid))))
    assert entry(found, PLAIN, "worst case").estimate == pytest.approx(5 / 12)
    assert any("square" in reason for reason in entry(found, PLAIN, "worst case").validity.reasons)


def test_success_is_counted_among_right_answers_alone_with_wilsons_width() -> None:
    found = table(success(here(made(CELLS))))
    one = entry(found, PLAIN, "pgd")
    assert one.estimate == pytest.approx(6 / 11)
    assert one.cases == 11
    assert entry(found, PLAIN, "any attack").estimate == 1
    none = entry(found, MADRY, "pgd")
    assert none.estimate == 0
    assert (none.low, none.high) == pytest.approx(wilson(0, 10)), "no success among ten is no proof that there is none"


def test_success_waits_for_the_clean_cell() -> None:
    lacking = {("net", "none", EPSILON): {"status": "queued"}}
    assert entry(table(success(here(made(CELLS, changes=lacking)))), PLAIN, "pgd").estimate is None


def test_where_every_attack_of_a_line_is_invalid_none_counts() -> None:
    changes = {("net", attack, EPSILON): {"level": "invalid", "reasons": ("V08: no win without a bound",)} for attack in ("pgd", "square")}
    found = table(success(here(made(CELLS, changes=changes))))
    one = entry(found, (EPSILON, "net", "none"), "any attack")
    assert (one.estimate, one.note) == (None, "no attack counts")
    assert entry(found, (EPSILON, "net", "none"), "pgd").validity.level == "invalid"


def test_a_defense_is_compared_case_by_case_and_p_adjusted_for_every_line() -> None:
    found = table(defense(here(made(CELLS))))
    assert [line.labels[3] for line in found.lines] == ["clean", "worst case", "pgd", "square"]
    labels = (*MADRY, "pgd")
    assert entry(found, labels, "difference").estimate == pytest.approx(5 / 12)
    assert entry(found, (*MADRY, "clean"), "difference").estimate == pytest.approx(-1 / 12)
    assert entry(found, (*MADRY, "worst case"), "difference").estimate == pytest.approx(9 / 12)
    patients = [f"p{index:02d}" for index in range(12)]

    def sample(values: str) -> Sample:
        return Sample.of([float(one) for one in values], patients)

    pairs = [("100111111111", CLEAN), ("100111111110", "0" * 12), ("100111111111", "000000011111"), ("100111111110", "110011100000")]
    by_hand = [permutation(sample(one), sample(other)).p for one, other in pairs]
    assert [line.entries[3].estimate for line in found.lines] == pytest.approx(by_hand)
    assert [line.entries[4].estimate for line in found.lines] == pytest.approx(holm(by_hand).tolist())
    assert any(one.estimate != other.estimate for *_, one, other in (line.entries for line in found.lines))


def test_an_invalid_cell_is_not_tested() -> None:
    invalid = {("net", "pgd", EPSILON): {"level": "invalid", "reasons": ("V13: left the budget",)}}
    found = table(defense(here(made(CELLS, changes=invalid))))
    assert entry(found, (*MADRY, "pgd"), "p").note == "not compared"
    assert entry(found, (*MADRY, "square"), "p").estimate is not None
    assert "worst case" not in [line.labels[3] for line in found.lines], "one valid attack is no worst case of several"


def test_without_defenses_budgets_or_replays_there_are_no_tables_of_them() -> None:
    one = here(made(board({"net": {"none": "1111", "pgd": "0011"}})))
    assert defense(one) == sweep(one) == transfer(one) == norms(one) == belief(one) == []


def test_the_sweep_has_a_column_a_budget_in_their_order() -> None:
    attacked = {("net", "pgd", "8/255"): "0001", ("net", "pgd", "2/255"): "0111", ("net", "pgd", "10/255"): "0000"}
    cells: Cells = {("net", "none", "8/255"): "1111", **attacked}
    found = table(sweep(here(made(cells))))
    assert [column.name for column in found.columns] == ["clean", "2/255", "8/255", "10/255"]
    assert [one.estimate for one in found.lines[-1].entries] == [1, 0.75, 0.25, 0]


def test_norms_are_those_measured_anew_with_the_largest_of_all_cases() -> None:
    attacked = record("cls-linf", "net", "pgd", EPSILON, 12)
    further = [(attacked, rows(attacked, "change-linf", [0.01] * 11 + [0.03]) + rows(attacked, "within-budget", "1" * 11 + "0"))]
    found = table(norms(here(made(CELLS, further=further))))
    line = (*PLAIN, "pgd")
    assert entry(found, line, "largest L-infinity").estimate == pytest.approx(0.03)
    assert entry(found, line, "mean L-infinity").estimate == pytest.approx(np.mean([0.01] * 11 + [0.03]))
    assert entry(found, line, "within budget").estimate == pytest.approx(11 / 12)
    assert entry(found, (*PLAIN, "square"), "mean L-infinity").note == "not measured"


def test_what_attacks_found_and_did_not_return_is_told() -> None:
    attacked = record("cls-linf", "net", "pgd", EPSILON, 12)
    further = [(attacked, rows(attacked, "silent-success", "1" * 3 + "0" * 9) + rows(attacked, "loss-path", [2.0] * 12, "last"))]
    found = table(belief(here(made(CELLS, further=further))))
    assert entry(found, (*PLAIN, "pgd"), "found and not returned").estimate == 0.25
    assert entry(found, (*PLAIN, "pgd"), "loss, last").estimate == 2


def test_a_certificate_is_told_of_models_that_promise_anything() -> None:
    plain, smooth = (record("cls-linf", entrant, "none", EPSILON, 12) for entrant in ("net", "net + madry"))
    radii = [0.0] * 3 + [0.04] * 4 + [0.1] * 3 + [0.24] * 2
    promised = (smooth, rows(smooth, "certified-radius", radii) + rows(smooth, "abstained", "1" + "0" * 11))
    nothing = (plain, rows(plain, "certified-radius", "0" * 12) + rows(plain, "abstained", "0" * 12))
    found = table(certified(here(made(CELLS, further=[promised, nothing]))))
    assert [line.labels for line in found.lines] == [("net", "madry")], "the plain model promises nothing"
    names = [column.name for column in found.columns]
    assert names == ["clean", "abstains", "certified at all", "certified at 0.05", "certified at 0.1", "certified at 0.2", "mean radius"]
    numbers = [one.estimate for one in found.lines[0].entries]
    assert numbers == pytest.approx([10 / 12, 1 / 12, 9 / 12, 5 / 12, 5 / 12, 2 / 12, np.mean(radii)])
    assert all(one.low is not None and one.high is not None and one.low < one.high for one in found.lines[0].entries)
    assert certified(here(made(CELLS, further=[nothing]))) == []


@given(st.floats(1e-6, 1e6))
def test_certified_distances_are_the_last_round_ones_that_are_reached(largest: float) -> None:
    steps = ladder(largest)
    assert len(steps) == 3
    assert list(steps) == sorted(set(steps))
    assert steps[-1] <= largest < 2.5 * steps[-1] * (1 + 1e-9)
    assert {f"{step:e}"[0] for step in steps} == {"1", "2", "5"}


def test_cost_is_per_case() -> None:
    found = table(cost(here(made(CELLS))))
    assert entry(found, (*PLAIN, "pgd"), "forward passes").estimate == pytest.approx(40 / 12)


def test_transfer_has_the_source_in_its_line() -> None:
    source = record("cls-linf", "net", "pgd", EPSILON, 12)
    replay = record("cls-linf", "net + madry", "pgd from net", EPSILON, 12, source=source.digest)
    found = table(transfer(here(made(CELLS, further=[(replay, rows(replay, "correct", "1" * 3 + "0" * 9))]))))
    assert [line.labels for line in found.lines] == [("net",)]
    assert entry(found, ("net",), "net + madry").estimate == 0.25
    assert entry(found, ("net",), "net").estimate == pytest.approx(5 / 12)


@pytest.mark.parametrize(
    ("track", "metric", "parts"),
    [("cls-linf", "correct", CLASSIFICATION), ("seg-linf", "dice", SEGMENTATION), ("recon-l2", "ssim", RECONSTRUCTION)],
)
def test_every_track_makes_a_page_in_every_form(track: str, metric: str, parts: object) -> None:
    assert TRACKS[track] is parts
    found = page(made(CELLS, track=track, metric=metric))
    names = [one.name for one in found.chapters[0].tables]
    assert {"robust", "defense", "cost"} <= set(names)
    assert ("success" in names) == (track == "cls-linf")
    assert len(names) == len(set(names))
    for form in FILES:
        assert "madry" in text(found, form), form
