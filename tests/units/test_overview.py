"""The overview on rows made by hand: worst cases case by case, who is compared with whom, what is left out and why."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from norm_rows import EPSILON, Cells, board, made, record, rows
from scipy import stats

from medrobust.leaderboard.build import text
from medrobust.leaderboard.evidence import COLUMNS, Evidence, evidence, joined
from medrobust.leaderboard.overview.as_table import as_table
from medrobust.leaderboard.overview.build import overviews
from medrobust.leaderboard.overview.intervals import means
from medrobust.leaderboard.overview.standing import Overview, Standing
from medrobust.leaderboard.page import page
from medrobust.stats import Sample, clustered_rate, mean

GOOD, BAD = "net + madry", "net"
TWO: Cells = board(
    {
        BAD: {"none": "1" * 12, "pgd": "000000111111", "square": "111111000000"},
        GOOD: {"none": "1" * 12, "pgd": "0" + "1" * 11, "square": "0" + "1" * 11},
    }
)


def only(found: Evidence) -> Overview:
    (one,) = overviews(found)
    return one


def of(found: Overview, name: str, condition: str = EPSILON) -> Standing:
    return next(one for one in found.standings if one.name == name and one.condition == condition)


def test_the_worst_case_is_taken_case_by_case_and_is_worse_than_the_worst_attack() -> None:
    found = of(only(made(TWO)), BAD)
    assert [one.estimate for one in found.by_attack] == [0.5, 0.5]
    assert found.worst.estimate == 0, "each case falls to one of two attacks that both leave half of them"
    assert of(only(made(TWO)), GOOD).worst.estimate == pytest.approx(11 / 12)
    assert found.clean.estimate == 1


def test_a_case_that_is_wrong_when_clean_is_wrong_in_the_worst_case_whatever_an_attack_makes_of_it() -> None:
    clean = "110011111111"
    found = only(made(board({name: {"none": clean, "pgd": "111100000000"} for name in ("one", "two")})))
    one = of(found, "one")
    assert (one.by_attack[0].estimate, one.worst.estimate) == (pytest.approx(4 / 12), pytest.approx(2 / 12))


def test_clean_images_that_are_not_to_be_believed_count_in_no_worst_case() -> None:
    cells = board({name: {"none": "0" * 12, "pgd": "111100000000"} for name in ("one", "two")})
    invalid = {("one", "none", EPSILON): {"level": "invalid", "reasons": ("V14: in training mode",)}}
    assert of(only(made(cells, changes=invalid)), "one").worst.estimate == pytest.approx(4 / 12)
    assert of(only(made(cells)), "one").worst.estimate == 0


def test_attacks_are_named_with_all_the_conditions_whose_worst_case_they_make() -> None:
    cells = {
        **board({"net": {"none": "1" * 12, "pgd": "0" * 12}}, "1/255"),
        **board({"net": {"none": "1" * 12, "pgd": "0" * 12}}, "2/255"),
        **board({"net": {"none": "1" * 12, "pgd": "0" * 12, "square": "0" * 12}}, "4/255"),
    }
    assert "put through: pgd (1/255, 2/255); pgd, square (4/255)." in only(made(cells)).method


def test_entrants_that_the_patients_separate_stand_in_two_tiers_the_better_first() -> None:
    found = only(made(TWO))
    assert [(one.name, one.tier, one.low_rank, one.high_rank) for one in found.standings] == [(GOOD, 1, 1, 1), (BAD, 2, 2, 2)]
    assert (found.standings[0].best, found.standings[1].best) == (1, 0)
    (matrix,) = found.matrices
    assert matrix.rows == (GOOD, BAD)
    assert matrix.cells[0][0] is None
    assert matrix.cells[0][1] is not None
    assert (matrix.cells[0][1].estimate or 1) < 0.05


def test_equal_entrants_share_a_tier() -> None:
    same = only(made(board({name: {"none": "1" * 12, "pgd": "000000111111"} for name in ("one", "two")})))
    assert [(one.tier, one.low_rank, one.high_rank) for one in same.standings] == [(1, 1, 2)] * 2


def test_cost_is_summed_over_the_cells_and_left_out_where_one_does_not_say() -> None:
    assert of(only(made(TWO)), BAD).cost == {"queries": 120, "gradients": 60, "seconds": 6}
    silent = made(TWO, changes={(BAD, "pgd", EPSILON): {"cost": {"seconds": 2.0}}})
    assert of(only(silent), BAD).cost == {"seconds": 6}


def test_an_incomplete_entrant_is_shown_and_not_ranked() -> None:
    cells = {**TWO, **board({"third": {"none": "1" * 12, "pgd": "1" * 11 + "-", "square": "1" * 12}})}
    found = only(made(cells))
    third = of(found, "third")
    assert (third.tier, third.low_rank, third.best) == (None, None, None)
    assert third.worst.estimate == 1
    assert third.validity.level == "warn"
    assert third.validity.reasons[0] == "not ranked: pgd lacks 1 of 12 values"
    assert found.standings[-1] is third
    assert {one.tier for one in found.standings} == {1, 2, None}
    assert any(what.startswith("entrants with missing values let in") for what, _, _ in found.sensitivity)
    worst = next(line for line in found.sensitivity if line[0].endswith("let in: the worst value"))
    assert worst[1:] == (f"equal: {GOOD}, third", False), "filled with the worst value it is as good as the winner, and both are said"


def test_all_that_are_equal_at_the_top_are_said_to_win() -> None:
    answers = {f"entrant {number}": {"none": "1" * 12, "pgd": "1" * 12} for number in range(6)} | {"last": {"none": "1" * 12, "pgd": "0" * 12}}
    found = only(made(board(answers))).sensitivity
    assert found == (("without any one patient", "equal: entrant 0, entrant 1, entrant 2, entrant 3 and 2 more", True),)


def test_each_condition_says_what_its_own_tests_could_show() -> None:
    rng = np.random.default_rng(0)
    answers = {name: {"none": "1" * 40, "pgd": rng.integers(0, 2, 40).astype(float)} for name in ("one", "two", "three")}
    few = {name: {"none": "1" * 40, "pgd": np.r_[rng.integers(0, 2, 6), np.ones(34)]} for name in ("one", "two", "three")}
    evidence = made({**board(answers, "8/255"), **board(few, "1/255")})
    found = only(evidence)
    assert set(found.detectable) == {"8/255", "1/255"}
    assert found.detectable["1/255"].typical < 0.5 * found.detectable["8/255"].typical
    for one in found.detectable.values():
        assert one.lowest <= one.typical <= one.highest
        assert one.critical >= stats.t.ppf(0.975, 39)
    assert found.detectable["8/255"].critical > 2.2, "three pairs pay for one another"
    plain = json.loads(text(page(evidence), "json"))["overviews"][0]["detectable"]
    assert [(one["condition"], one["power"], one["pairs"]) for one in plain] == [("8/255", 0.8, 3), ("1/255", 0.8, 3)]
    shown = text(page(evidence), "html")
    assert "typical pair of entrants must truly differ by about" in shown


def test_a_cell_that_is_not_run_leaves_its_entrant_unranked() -> None:
    cells = {**TWO, **board({"third": {"none": "1" * 12, "pgd": "1" * 12, "square": "1" * 12}})}
    found = of(only(made(cells, changes={("third", "square", EPSILON): {"status": "queued"}})), "third")
    assert found.tier is None
    assert found.validity.reasons[0] == "not ranked: square is not run"
    assert any(reason.startswith("partial: worst case without square") for reason in found.validity.reasons)


def test_an_invalid_cell_enters_no_worst_case_and_its_reason_is_shown() -> None:
    cells = {**TWO, **board({"third": {"none": "1" * 12, "pgd": "1" * 12, "square": "0" * 12}})}
    changes = {("third", "square", EPSILON): {"level": "invalid", "status": "invalid", "reasons": ("V13: left the budget",)}}
    found = of(only(made(cells, changes=changes)), "third")
    assert found.tier is None
    assert found.validity.level == "invalid"
    assert found.worst.estimate == 1, "its square attack broke the rules and breaks nothing"
    assert "not ranked: square is invalid (V13: left the budget)" in found.validity.reasons
    assert only(made(cells)).standings[-1].name != "third" or only(made(cells)).standings[-1].tier, "the same cells, believed, are ranked"


def test_an_attack_that_is_invalid_for_most_counts_for_nobody() -> None:
    broken = {"level": "invalid", "reasons": ("V13: left the budget",)}
    found = only(made(TWO, changes={(BAD, "square", EPSILON): broken, (GOOD, "square", EPSILON): broken}))
    assert found.compared == ((EPSILON, ("pgd",)),)
    assert {one.tier for one in found.standings} == {1, 2} or {one.tier for one in found.standings} == {1}
    assert "Left out for everyone: square (2 of 2 entrants" in found.method


def test_entrants_are_compared_on_attacks_that_all_of_them_had_and_the_others_are_told() -> None:
    cells = {**TWO, **board({"third": {"none": "1" * 12, "pgd": "1" * 12}})}
    found = only(made(cells))
    assert found.compared == ((EPSILON, ("pgd",)),)
    bad = of(found, BAD)
    assert bad.worst.estimate == 0.5
    assert bad.own is not None
    assert bad.own.estimate == 0
    assert "over all 2 attacks made on it: 0.0 %" in bad.worst.validity.reasons
    assert of(found, "third").own is None
    assert of(found, "third").by_attack[1].note == "not run"
    assert found.standings[0].name == "third"


def test_an_entrant_that_shares_no_attack_with_the_others_is_partial() -> None:
    cells = {**TWO, **board({"third": {"none": "1" * 12, "noise": "1" * 12}})}
    found = only(made(cells))
    assert found.compared == ((EPSILON, ("pgd", "square")),)
    third = of(found, "third")
    assert third.tier is None
    assert third.worst.estimate == 1
    assert any(reason.startswith("partial: worst case") and "noise alone" in reason for reason in third.validity.reasons)
    assert {one.tier for one in found.standings if one is not third} == {1, 2}


def test_an_entrant_that_nobody_attacked_is_not_ranked() -> None:
    found = only(made({**TWO, **board({"third": {"none": "1" * 12}})}))
    third = of(found, "third")
    assert third.tier is None
    assert third.worst.note == "not attacked"
    assert "no attack was made on it" in third.validity.reasons[0]
    assert found.compared == ((EPSILON, ("pgd", "square")),)


def test_one_entrant_alone_and_one_patient_alone_are_not_ranked() -> None:
    alone = only(made(board({BAD: {"none": "1111", "pgd": "0011"}})))
    assert [(one.tier, one.best) for one in alone.standings] == [(None, None)]
    assert alone.detectable == {}
    one_patient = only(made(TWO, patients=["p"] * 12))
    assert {one.tier for one in one_patient.standings} == {None}


def test_replays_are_no_attacks_of_their_own_but_fill_the_transfer_matrix() -> None:
    source = record("cls-linf", BAD, "pgd", EPSILON, 12)
    replay = record("cls-linf", GOOD, "pgd from net", EPSILON, 12, source=source.digest)
    back = record("cls-linf", BAD, "pgd from net+madry", EPSILON, 12, source=record("cls-linf", GOOD, "pgd", EPSILON, 12).digest)
    further = [(one, rows(one, "correct", "0" * 3 + "1" * 9)) for one in (replay, back)]
    found = only(made(TWO, further=further))
    assert found.attacks == ("pgd", "square")
    assert of(found, GOOD).worst.estimate == pytest.approx(11 / 12)
    matrix = next(one for one in found.matrices if one.name == "transfer")
    assert (matrix.rows, matrix.columns) == ((BAD, GOOD), (BAD, GOOD))
    assert [[entry and entry.estimate for entry in row] for row in matrix.cells] == [[0.5, 0.75], [0.75, pytest.approx(11 / 12)]]


def test_curves_run_over_the_budgets_from_the_clean_score_to_no_bound_at_all() -> None:
    steps = {"2/255": "111111111100", "8/255": "111111000000", "inf": "0" * 12}
    cells: dict[tuple[str, str, str], str] = {}
    for entrant in (BAD, GOOD):
        cells[entrant, "none", "2/255"] = "1" * 12
        cells |= {(entrant, "pgd", condition): values for condition, values in steps.items()}
    found = only(made(cells))
    (drawn,) = found.curves
    assert (drawn.unit, found.group) == ("linf", "linf")
    curve = next(one for one in drawn.curves if (one.name, one.attack) == (BAD, "pgd"))
    assert [(round(point.x, 6), point.label, point.entry.estimate) for point in curve.points] == [
        (0, "clean", 1),
        (round(2 / 255, 6), "2/255", pytest.approx(10 / 12)),
        (round(8 / 255, 6), "8/255", 0.5),
        (float("inf"), "inf", 0),
    ]
    assert any(one.attack == "worst case" for one in drawn.curves)
    assert [one.condition for one in found.standings] == ["2/255"] * 2 + ["8/255"] * 2, "a budget without a bound is a point of the curves alone"
    assert of(found, BAD, "8/255").clean.estimate == 1, "clean images are the same under every budget"


def test_two_norms_are_two_overviews() -> None:
    cells = {("net", "pgd", condition): "0011" for condition in ("8/255", "1")} | {("net", "none", condition): "1111" for condition in ("8/255", "1")}
    changes = {("net", "pgd", "1"): {"budget": {"name": "norm", "norm": "l2", "epsilon": "1"}}}
    assert [one.group for one in overviews(made(cells, changes=changes))] == ["linf", "l2"]


def test_structures_missed_under_any_compared_attack_are_counted() -> None:
    cells = board({name: {"none": [0.9] * 4, "pgd": [0.5, 0.6, 0.7, 0.8], "square": [0.6, 0.5, 0.8, 0.7]} for name in (BAD, GOOD)})
    base = made(cells, track="seg-linf", metric="dice")
    more = []
    for one in base.records:
        for organ, values in (("liver", "1000" if one.attack == "pgd" else "0100"), ("spleen", "0000")):
            more += rows(one, "missed-organ", values, organ) if one.attack != "none" else []
    found = only(evidence(base.suite, _with(base, more), base.records))
    assert found.headline.name == "Dice"
    assert of(found, BAD).worst.estimate == pytest.approx(np.mean([0.5, 0.5, 0.7, 0.7]))
    missed = of(found, BAD).missed
    assert missed is not None
    assert (missed.estimate, missed.cases) == (0.25, 8)


def test_what_is_known_of_missed_structures_is_known_of_the_entrant_in_every_form() -> None:
    cells = board({name: {"none": [0.9] * 4, "pgd": [0.5, 0.6, 0.7, 0.8]} for name in (BAD, GOOD)})
    base = made(cells, track="seg-linf", metric="dice")
    attacked = [one for one in base.records if one.attack != "none"]
    more = [row for one in attacked for row in rows(one, "missed-organ", "100-" if one.defense == "none" else "0000", "liver")]
    found = only(evidence(base.suite, _with(base, more), base.records))
    lines = {line.labels[1]: line.validity for line in as_table(found).lines}
    assert lines[BAD].reasons == ("1 of 4 values are missing and enter no average",)
    assert {one.name: one.validity for one in found.standings} == {BAD: lines[BAD], GOOD: lines[GOOD]}


def _with(base: Evidence, more: list[dict[str, object]]) -> pd.DataFrame:
    return pd.concat([base.rows[list(COLUMNS)], pd.DataFrame(more)[list(COLUMNS)]], ignore_index=True)


def test_explainers_are_ranked_on_clean_images_by_target() -> None:
    cells = board({"net": {"none": [0.0] * 8, "lime": [0.2] * 8, "cam": [0.1, 0.3] * 4}}, "T2w")
    changes = {("net", name, "T2w"): {"explains": True, "budget": {}} for name in ("lime", "cam")}
    found = only(made(cells, track="roi", metric="dice-grouping", changes=changes))
    assert {one.name for one in found.standings} == {"lime", "cam"}
    assert found.attacks == ()
    assert {one.tier for one in found.standings} == {1}
    assert all(one.worst.note == "not attacked" for one in found.standings)
    both = {**cells, **board({"other": {"lime": [0.2] * 8}}, "T2w")}
    changes[("other", "lime", "T2w")] = {"explains": True, "budget": {}}
    several = only(made(both, track="roi", metric="dice-grouping", changes=changes))
    assert [(one.condition, one.name, one.tier) for one in several.standings] == [
        ("T2w, net", "lime", 1),
        ("T2w, net", "cam", 1),
        ("T2w, other", "lime", None),
    ], "explainers of two targets explain different things"


def test_readers_are_scored_by_what_an_image_was_and_detectors_are_none() -> None:
    one, two = record("mammo-tamper", "reader", "none", "default", 4), record("mammo-tamper", "reader", "tamper@9", "default", 4)
    seen = record("mammo-tamper", "detector", "tamper@9", "default", 4)
    lines = [
        (one, rows(one, "score", [0.9, 0.8, 0.1, 0.6]) + rows(one, "correct", "1110")),
        (two, rows(two, "score", [0.2, 0.7, 0.9, 0.4])),
        (seen, rows(seen, "tamper-score", [0.9] * 4)),
    ]
    records = [replace(each, budget={}) for each, _ in lines]
    found = only(evidence("made@1", pd.DataFrame([row for _, part in lines for row in part])[list(COLUMNS)], records))
    assert [one.name for one in found.standings] == ["reader"]
    assert found.standings[0].clean.estimate == 0.75
    assert found.standings[0].worst.estimate == 0.25, "case 1, cancerous at .7; case 3 is healthy at .4, but at .6 when clean"


def test_features_that_are_kept_are_counted_and_controls_stand_for_clean_images() -> None:
    cells = board({name: {"none": [0.0] * 4, "fnaf": [5e-4, 2e-3, 5e-4, 2e-3], "control": [1e-4] * 4} for name in (BAD, GOOD)}, "4x")
    changes = {key: {"budget": {}, "control": key[1] == "control"} for key in cells}
    found = only(made(cells, track="recon-fnaf", metric="fnaf-loss", changes=changes))
    assert found.attacks == ("fnaf",)
    assert [(one.clean.estimate, one.worst.estimate) for one in found.standings] == [(1, 0.5)] * 2


def test_an_unknown_track_has_no_overview_and_an_empty_one_neither() -> None:
    assert overviews(made(TWO, track="another")) == ()
    assert overviews(made(TWO, metric="score")) == ()


def test_what_compares_cells_is_told_with_the_entrant() -> None:
    cells = board({name: {"none": "1" * 12, "pgd": "1" * 12, "noise": "0" * 12} for name in (BAD, GOOD)})
    changes = {(name, "noise", EPSILON): {"control": True} for name in (BAD, GOOD)}
    found = only(joined([made(cells, changes=changes)]))
    assert {(one["check"], one["entrant"]) for one in found.findings} >= {("V12", BAD), ("V12", GOOD)}


def test_every_form_holds_the_overview() -> None:
    whole = page(made({**TWO, **board({"third": {"none": "1" * 12, "pgd": "1" * 12, "square": "1" * 11 + "-"}})}))
    plain = json.loads(text(whole, "json"))["overviews"][0]
    assert [one["tier"] for one in plain["standings"]] == [1, 2, None]
    assert plain["standings"][1]["by_attack"]["pgd"]["estimate"] == 0.5
    assert plain["standings"][2]["reasons"]
    assert plain["compared"] == [{"condition": EPSILON, "attacks": ["pgd", "square"]}]
    for form in ("md", "csv", "tex"):
        assert "net + madry" in text(whole, form).replace("\\", ""), form
    assert text(whole, "json") == text(page(made({**TWO, **board({"third": {"none": "1" * 12, "pgd": "1" * 12, "square": "1" * 11 + "-"}})})), "json")


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_many_intervals_at_once_are_the_same_as_one_by_one(seed: int, rate: bool) -> None:
    rng = np.random.default_rng(seed)
    patients = np.array([f"p{one}" for one in rng.integers(0, rng.integers(1, 9), 17)])
    values = rng.random((5, 17))
    values = (values > 0.5).astype(float) if rate else values
    values[1, rng.integers(0, 17, 4)] = np.nan
    values[2] = values[0, 0]
    for line, found in zip(values, means(values, patients, rate), strict=True):
        held = ~np.isnan(line)
        by_hand = (clustered_rate if rate else mean)(Sample.of(line[held], patients[held]))
        assert (found.patients, found.cases) == (by_hand.patients, by_hand.cases)
        np.testing.assert_allclose([found.estimate, found.low, found.high], [by_hand.estimate, by_hand.low, by_hand.high], atol=1e-12)


def test_no_torch_is_loaded() -> None:
    code = "import sys, medrobust.leaderboard.overview.build; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
