"""One number has one interval, wherever it is shown, and contrasts are of the cases that both sides have."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from norm_rows import EPSILON, board, made, record, rows

from medrobust import registry
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.export import eee
from medrobust.leaderboard.measure import RATES, SHARES, Quantity, contrast, estimator, measure, ranked
from medrobust.leaderboard.overview.build import overviews
from medrobust.leaderboard.overview.intervals import means
from medrobust.leaderboard.report.harm import clean_scores, missed_structures
from medrobust.leaderboard.section import Model, Section, sections
from medrobust.stats import Sample, clustered_rate, mean, paired_difference, wilson

NET, OTHER = Model("net", "none"), Model("other", "none")
PATIENTS = [f"p{number // 3}" for number in range(24)]


def section(found: Evidence) -> Section:
    (one,) = sections(found)
    return one


def answers(first: str, second: str = "1" * 24) -> Evidence:
    return made(board({"net": {"none": first, "pgd": "0" * 24}, "other": {"none": second, "pgd": "0" * 24}}), patients=PATIENTS)


def test_metrics_that_say_one_or_zero_of_a_case_are_rates() -> None:
    said = {name for name in registry.available("metrics") if (inspect.getdoc(registry.load("metrics", name)) or "").startswith("1 where")}
    assert len(said) >= 11
    assert said <= RATES
    assert estimator("correct") is estimator("missed-organ", None) is clustered_rate
    assert estimator("dice") is mean
    assert {("pointing", "fraction")} == SHARES
    assert estimator("pointing", "fraction") is mean


@pytest.mark.parametrize("clean", ["1" * 24, "1" * 20 + "0011"])
def test_page_report_and_export_give_one_interval(clean: str) -> None:
    found = answers(clean)
    (overview,) = overviews(found)
    page = next(one for one in overview.standings if one.target == "net").clean
    table = clean_scores(section(found), NET)
    assert table is not None
    (line,) = table.lines
    (content,) = [one for one in eee.export(found, 1e9, "x").files.values() if one["model_info"]["name"] == "net"]
    result = next(one for one in content["evaluation_results"] if "clean" in one["evaluation_name"])
    interval = result["score_details"]["uncertainty"]["confidence_interval"]
    assert (page.estimate, page.low, page.high) == (line.entries[0].estimate, line.entries[0].low, line.entries[0].high)
    assert (page.low, page.high) == (interval["lower"], interval["upper"])
    assert "Wilson" in interval["method"]
    assert result["metric_config"]["max_score"] == 1
    if "0" not in clean:
        assert page.low == wilson(8, 8)[0], "twenty-four cases of eight patients are worth eight"


def test_values_that_are_all_one_number_are_no_rate_and_have_no_interval() -> None:
    cell = record("cls-linf", "net", "none", EPSILON, 24)
    found = made(board({"net": {"none": "1" * 24}}), patients=PATIENTS, further=[(cell, rows(cell, "dice", "0" * 24, patients=PATIENTS))])
    one = measure(section(found), NET, "none", EPSILON, Quantity("dice")).entry
    assert (one.estimate, one.low, one.high) == (0, None, None)
    (content,) = eee.export(found, 1e9, "x").files.values()
    result = next(one for one in content["evaluation_results"] if one["evaluation_name"].endswith("dice"))
    assert result["score_details"]["uncertainty"] == {"num_samples": 24}
    assert "max_score" not in result["metric_config"]


def test_missed_structures_have_the_interval_of_a_rate() -> None:
    cell = record("cls-linf", "net", "none", EPSILON, 24)
    found = made(board({"net": {"none": "1" * 24}}), patients=PATIENTS, further=[(cell, rows(cell, "missed", "0" * 24, patients=PATIENTS))])
    table = missed_structures(section(found), NET)
    assert table is not None
    assert table.lines[0].entries[0].high == pytest.approx(wilson(0, 8)[1])


def test_a_contrast_is_of_the_cases_that_both_have() -> None:
    hard = "011" * 8
    found = section(answers(hard, hard.replace("0", "-")))
    both = [measure(found, model, "none", EPSILON, Quantity("correct")) for model in (NET, OTHER)]
    change = contrast(*both, paired_difference)
    assert (change.estimate, change.cases) == (0, 16), "the same answers, but for cases that one of them lacks"


def test_what_no_interval_tells_apart_is_level_with_the_best() -> None:
    cells = [record("cls-linf", name, "none", EPSILON, 24) for name in ("net", "other")]
    values = ([0.5] * 24, [0.4] * 24)
    further = [(cell, rows(cell, "dice", value, patients=PATIENTS)) for cell, value in zip(cells, values, strict=True)]
    found = section(made(board({"net": {"none": "1" * 24}, "other": {"none": "1" * 24}}), patients=PATIENTS, further=further))
    both = [measure(found, model, "none", EPSILON, Quantity("dice")) for model in (NET, OTHER)]
    assert np.isnan(paired_difference(both[0].sample, both[1].sample).low)  # type: ignore[arg-type]
    assert [one.best for one in ranked(both, True)] == [True, True]


def test_many_lines_at_once_are_those_one_by_one() -> None:
    rng = np.random.default_rng(0)
    values = np.vstack([np.ones(24), np.zeros(24), rng.integers(0, 2, (3, 24)), np.where(rng.random(24) < 0.2, np.nan, 1.0)])
    names = np.array(PATIENTS)
    for rate, one in ((True, clustered_rate), (False, mean)):
        for line, found in zip(values, means(values, names, rate), strict=True):
            held = ~np.isnan(line)
            alone = one(Sample.of(line[held], names[held]))
            assert (found.estimate, found.low, found.high) == pytest.approx((alone.estimate, alone.low, alone.high), nan_ok=True)
