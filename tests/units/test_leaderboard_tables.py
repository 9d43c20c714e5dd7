"""What the tables say, against the rows they were made from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from rows import MODELS, Plan, record, records, rows_of, synthetic

from medrobust.errors import StoreError
from medrobust.leaderboard.evidence import COLUMNS, Evidence, evidence, joined
from medrobust.leaderboard.page import page
from medrobust.leaderboard.recon_fnaf.attack_rate import attack_rate
from medrobust.leaderboard.recon_fnaf.clean import clean
from medrobust.leaderboard.recon_fnaf.cost import cost
from medrobust.leaderboard.recon_fnaf.defense import defense
from medrobust.leaderboard.recon_fnaf.information import information
from medrobust.leaderboard.recon_fnaf.lesions import lesions
from medrobust.leaderboard.recon_fnaf.locations import locations
from medrobust.leaderboard.recon_fnaf.sweeps import queries, thresholds
from medrobust.leaderboard.recon_fnaf.transfer import transfer
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.tables import Entry, Figure, Table
from medrobust.stats import Sample, clustered_rate, mcnemar, mean, paired_ratio, rate_bounds, wilson

PLAN = Plan(conditions=("4x",), patients=6)


@pytest.fixture(scope="module")
def whole() -> Evidence:
    return synthetic(PLAN)


@pytest.fixture(scope="module")
def section(whole: Evidence) -> Section:
    return sections(whole)[0]


def only(found: Evidence) -> Section:
    (one,) = sections(found)
    return one


def values(found: Evidence, model: tuple[str, str], attack: str, metric: str, label: str = "") -> Sample:
    rows = found.rows
    rows = rows[(rows.target == model[0]) & (rows.defense == model[1]) & (rows.attack == attack) & (rows.metric == metric) & (rows.label == label)]
    return Sample.of(rows.value, rows.patient)


def entry(table: Table | Figure, labels: tuple[str, ...], column: str) -> Entry:
    assert isinstance(table, Table)
    names = [one.name for one in table.columns]
    (line,) = [line for line in table.lines if line.labels == labels]
    return line.entries[names.index(column)]


def without(found: Evidence, **chosen: str) -> Evidence:
    """The evidence less the rows that have all these values."""
    rows = found.rows
    drop = np.logical_and.reduce([rows[name] == value for name, value in chosen.items()])
    assert drop.any()
    return evidence(found.suite, rows[~drop], found.records)


def test_attack_rates_and_losses_are_those_of_the_rows(whole, section):
    rate, loss = attack_rate(section)
    for model in MODELS:
        sample = values(whole, model, "fnaf-random", "fnaf-loss")
        expected = clustered_rate(Sample.of(sample.values >= 1e-3, sample.patients))
        found = entry(rate, ("4x", *model), "fnaf-random")
        assert (found.estimate, found.low, found.high, found.patients, found.cases) == (*vars(expected).values(),)
        assert entry(loss, ("4x", *model), "fnaf-random").estimate == pytest.approx(mean(sample).estimate)


def test_the_worst_case_counts_a_case_that_any_attack_hits(whole, section):
    rate, _ = attack_rate(section)
    for model in MODELS:
        losses = [values(whole, model, attack, "fnaf-loss").values for attack in PLAN.attacks]
        found = entry(rate, ("4x", *model), "worst case").estimate
        assert found == pytest.approx((np.max(losses, axis=0) >= 1e-3).mean())
        assert found >= max(entry(rate, ("4x", *model), attack).estimate or 0 for attack in PLAN.attacks)


def test_clean_quality_is_per_volume(whole, section):
    (table,) = clean(section)
    found = entry(table, ("4x", "recon-unet", "none"), "SSIM")
    assert (found.cases, found.patients) == (6, 6)
    assert found.estimate == pytest.approx(values(whole, ("recon-unet", "none"), "none", "ssim").values.mean())


def test_the_best_is_marked_with_all_that_are_not_measurably_worse(section):
    (table,) = clean(section)
    best = {line.labels[1:] for line in table.lines if line.entries[0].best}
    assert best == {("recon-irim", "none")}
    kept = lesions(section)[0]
    best = {line.labels[1:] for line in kept.lines if line.entries[0].best}
    assert {("recon-unet", "none"), ("recon-unet", "fnaf-robust")} <= best
    assert ("zero-filled", "none") not in best


def test_an_invalid_cell_is_shown_with_its_reason_and_never_ranked():
    changes = {"4x recon-unet fnaf-robust fnaf-random": {"level": "invalid", "status": "invalid", "reasons": ("V13: 2 cases left the budget",)}}
    plain, _ = attack_rate(only(synthetic(PLAN)))
    rate, _ = attack_rate(only(synthetic(PLAN, changes)))
    labels = ("4x", "recon-unet", "fnaf-robust")
    assert entry(plain, labels, "fnaf-random").best
    found = entry(rate, labels, "fnaf-random")
    assert found.estimate == entry(plain, labels, "fnaf-random").estimate
    assert not found.best
    assert found.validity.reasons == ("V13: 2 cases left the budget",)
    assert any(line.entries[0].best for line in rate.lines), "another takes its place"
    assert "worst case without fnaf-random, which is invalid" in entry(rate, labels, "worst case").validity.reasons
    assert page(synthetic(PLAN, changes)).invalid[0].reason == "V13: 2 cases left the budget"


def test_a_cell_that_is_not_done_is_listed_and_has_no_numbers():
    changes = {
        "4x recon-irim none fnaf-random": {"status": "running"},
        "4x recon-irim none fnaf-gradient": {"status": "failed", "error": "out of memory"},
    }
    found = synthetic(PLAN, changes)
    rate, _ = attack_rate(only(found))
    labels = ("4x", "recon-irim", "none")
    assert [entry(rate, labels, name).estimate for name in ("fnaf-random", "fnaf-gradient", "worst case")] == [None] * 3
    assert entry(rate, labels, "fnaf-gradient").note == "failed"
    assert entry(rate, labels, "worst case").note == "needs every attack"
    assert {(one.status, one.reason) for one in page(found).missing} == {("running", ""), ("failed", "out of memory")}


def test_values_that_miss_are_said_to_and_keep_a_cell_out_of_the_ranking(whole):
    partial = without(whole, target="recon-unet", defense="fnaf-robust", attack="fnaf-random", metric="fnaf-loss", label="", case="vol00.h5#001")
    rate, _ = attack_rate(only(partial))
    found = entry(rate, ("4x", "recon-unet", "fnaf-robust"), "fnaf-random")
    assert (found.cases, found.expected, found.best) == (23, 24, False)
    assert found.validity.reasons == ("1 of 24 values are missing and enter no average",)
    assert entry(rate, ("4x", "recon-unet", "fnaf-robust"), "worst case").note == "needs every attack"
    lesion = without(whole, target="recon-irim", metric="lesion-contrast", case="vol00.h5#001")
    assert entry(lesions(only(lesion))[0], ("4x", "recon-irim", "none"), "kept").validity.level == "warn"


def test_a_lesion_that_no_model_has_is_not_missed(whole):
    nowhere = without(whole, metric="lesion-contrast", case="vol00.h5#001")
    found = entry(lesions(only(nowhere))[0], ("4x", "recon-irim", "none"), "kept")
    assert (found.cases, found.expected, found.validity.level) == (23, 23, "ok")


def test_thresholds_fall_and_pass_through_the_papers(section):
    figure, table = thresholds(section)
    rate, _ = attack_rate(section)
    for line in table.lines:
        estimates = [one.estimate for one in line.entries]
        assert estimates == sorted(estimates, reverse=True)
        assert entry(table, line.labels, "≥ 0.001").estimate == entry(rate, (line.labels[0], *line.labels[2:]), line.labels[1]).estimate
    assert figure.points["fnaf-random, 4x"]["recon-unet"][5][0] == 1e-3


def test_query_budgets_rise_to_the_whole_attack(section):
    _, table = queries(section)
    assert [column.name for column in table.columns] == ["q = 1", "q = 2", "q = 5", "q = 11"]
    rate, _ = attack_rate(section)
    for line in table.lines:
        estimates = [one.estimate for one in line.entries]
        assert estimates == sorted(estimates)
        assert estimates[-1] == entry(rate, (line.labels[0], *line.labels[2:]), line.labels[1]).estimate


def test_the_transfer_matrix_has_the_attack_itself_on_its_diagonal(whole, section):
    (table,) = transfer(section)
    rate, _ = attack_rate(section)
    assert len(table.lines) == len(MODELS)
    for line in table.lines:
        diagonal = entry(table, line.labels, " + ".join(name for name in line.labels[2:] if name != "none"))
        assert diagonal.estimate == entry(rate, ("4x", *line.labels[2:]), "fnaf-random").estimate
    sample = values(whole, ("recon-irim", "none"), "fnaf-random from recon-unet", "fnaf-loss")
    found = entry(table, ("4x", "fnaf-random", "recon-unet", "none"), "recon-irim").estimate
    assert found == pytest.approx((sample.values >= 1e-3).mean())


def test_replays_are_no_attacks_of_their_own(section):
    assert section.attacks == PLAN.attacks


def test_a_control_is_shown_beside_but_never_counted():
    plan = replace(PLAN, attacks=("fnaf-random", "fnaf-gradient"), transfer=False)
    control = [replace(one, control=True) if one.attack == "fnaf-gradient" else one for one in records(plan)]
    section = only(evidence("run", synthetic(plan).rows, control))
    rate, _ = attack_rate(section)
    assert [column.name for column in rate.columns] == ["fnaf-random", "fnaf-gradient"], "no worst case over one attack"
    assert rate.columns[1].better is None
    assert "control without a feature" in rate.caption
    assert section.attacks == ("fnaf-random",)
    assert {line.labels[3] for line in defense(section)[0].lines} == {"fnaf-random"}


def test_attacks_that_the_plan_does_not_make_on_a_model_have_no_line():
    plan = replace(PLAN, transfer=False)
    spared = [one for one in records(plan) if (one.defense, one.attack) != ("fnaf-robust", "fnaf-gradient")]
    rows = synthetic(plan).rows
    section = only(evidence("run", rows[rows.cell.isin({one.digest for one in spared})], spared))
    assert ("4x", "recon-unet", "fnaf-robust", "fnaf-gradient") not in {line.labels for line in defense(section)[0].lines}
    swept = {line.labels for table in thresholds(section) if isinstance(table, Table) for line in table.lines}
    assert ("4x", "fnaf-gradient", "recon-unet", "fnaf-robust") not in swept
    assert ("4x", "fnaf-gradient", "recon-unet", "none") in swept


def test_the_gain_of_a_defense_is_a_paired_ratio(whole, section):
    gain, price = defense(section)
    plain, robust = (values(whole, ("recon-unet", name), "fnaf-gradient", "fnaf-loss") for name in ("none", "fnaf-robust"))
    expected = paired_ratio(*(Sample.of(sample.values >= 1e-3, sample.patients) for sample in (plain, robust)))
    found = entry(gain, ("4x", "recon-unet", "fnaf-robust", "fnaf-gradient"), "times lower")
    assert (found.estimate, found.low, found.high) == pytest.approx((expected.estimate, expected.low, expected.high))
    ssim = [values(whole, ("recon-unet", name), "none", "ssim").values.mean() for name in ("fnaf-robust", "none")]
    assert entry(price, ("4x", "recon-unet", "fnaf-robust"), "SSIM change").estimate == pytest.approx(ssim[0] - ssim[1])
    nmse = [values(whole, ("recon-unet", name), "none", "nmse").values.mean() for name in ("fnaf-robust", "none")]
    assert entry(price, ("4x", "recon-unet", "fnaf-robust"), "NMSE change").estimate == pytest.approx(nmse[0] / nmse[1] - 1)


def test_a_defended_rate_of_zero_gives_an_open_ratio_with_a_lower_end(whole):
    rows = whole.rows.copy()
    rows.loc[(rows.defense == "fnaf-robust") & (rows.metric == "fnaf-loss"), "value"] = 1e-5
    found = entry(defense(only(evidence("run", rows, whole.records)))[0], ("4x", "recon-unet", "fnaf-robust", "fnaf-random"), "times lower")
    assert found.estimate is not None
    assert math.isinf(found.estimate)
    assert found.low is not None
    plain = entry(attack_rate(only(whole))[0], ("4x", "recon-unet", "none"), "fnaf-random")
    assert found.low == pytest.approx(plain.low / rate_bounds(np.zeros(6), np.full(6, 4.0))[1])


def test_lesions_are_kept_at_half_their_contrast_and_compared_one_by_one(whole, section):
    kept, paired = lesions(section)
    contrast = values(whole, ("recon-unet", "none"), "none", "lesion-contrast", "lesion 1").values
    found = entry(kept, ("4x", "recon-unet", "none"), "kept (Wilson)")
    assert found.estimate == pytest.approx((contrast >= 0.5).mean())
    assert (found.low, found.high) == pytest.approx(wilson(int((contrast >= 0.5).sum()), 24))
    robust = values(whole, ("recon-unet", "fnaf-robust"), "none", "lesion-contrast", "lesion 1").values
    labels = ("4x", "recon-unet", "fnaf-robust")
    assert entry(paired, labels, "saved").estimate == ((contrast < 0.5) & (robust >= 0.5)).sum()
    assert entry(paired, labels, "lost").estimate == ((contrast >= 0.5) & (robust < 0.5)).sum()
    names = np.arange(24)
    assert entry(paired, labels, "McNemar p").estimate == mcnemar(Sample.of(robust >= 0.5, names), Sample.of(contrast >= 0.5, names)).p


def test_information_is_accepted_at_the_papers_threshold_and_correlated_with_loss(whole, section):
    accepted, figure, related = information(section)
    sample = values(whole, ("recon-unet", "none"), "fnaf-random", "information")
    assert entry(accepted, ("4x", "recon-unet", "none"), "fnaf-random").estimate == pytest.approx((sample.values >= 1e-4).mean())
    loss = values(whole, ("recon-unet", "none"), "fnaf-random", "fnaf-loss").values
    found = entry(related, ("4x", "fnaf-random", "recon-unet", "none"), "correlation with loss")
    assert found.estimate == pytest.approx(np.corrcoef(np.log10(sample.values), np.log10(loss))[0, 1])
    assert figure.points["recon-unet, 4x"]["fnaf-random"] == 24


def test_locations_are_counted_inside_the_box_alone(whole):
    rows = whole.rows.copy()
    rows.loc[(rows.metric == "feature-location") & (rows.case == "vol00.h5#000"), "value"] = 10.0
    figure, table = locations(only(evidence("run", rows, whole.records)))
    assert sum(map(sum, figure.points["recon-unet, fnaf-random, 4x"])) == 23
    assert entry(table, ("4x", "fnaf-random", "recon-unet", "none"), "row in box").estimate == pytest.approx(23 / 24)


def test_cost_is_per_case(section):
    (table,) = cost(section)
    assert entry(table, ("4x", "fnaf-gradient", "recon-unet", "none"), "gradient passes").estimate == 11
    assert entry(table, ("4x", "none", "recon-unet", "none"), "forward passes").estimate == 0


def test_several_data_sets_are_never_mixed(whole):
    other = synthetic(replace(PLAN, label="real: public slices", data="fastmri", seed=1))
    chapters = page(joined([whole, other])).chapters
    assert [chapter.data_label for chapter in chapters] == [PLAN.label, "real: public slices"]
    for chapter in chapters:
        assert {table.data.rpartition("ours: ")[2] for table in chapter.tables} == {chapter.data_label}
        assert chapter.cases == 24


def test_a_cell_of_two_runs_counts_once_and_two_of_one_name_are_refused(whole):
    same = page(joined([whole, whole]))
    assert same.total == len(whole.records)
    changed = [replace(one, digest=f"other {one.digest}") for one in whole.records]
    with pytest.raises(StoreError, match="runs disagree: cells"):
        joined([whole, evidence("other", whole.rows, changed)])


def test_a_track_without_tables_gets_the_mean_of_every_metric():
    plan = replace(PLAN, transfer=False)
    foreign = [replace(one, track="other") for one in records(plan)]
    found = page(evidence("run", synthetic(plan).rows.assign(track="other"), foreign))
    (table,) = found.chapters[0].tables
    assert table.name == "means"
    assert "within-budget" not in [column.name for column in table.columns]


def test_rows_that_cannot_be_believed_are_refused_with_one_line():
    plan = replace(PLAN, attacks=(), transfer=False)
    cells = records(plan)
    rows = synthetic(plan).rows
    with pytest.raises(StoreError, match="belong to no cell"):
        evidence("run", rows, cells[:-1])
    with pytest.raises(StoreError, match="two cells have the same"):
        evidence("run", rows, [*cells, cells[0]])
    with pytest.raises(StoreError, match="rows have no column unit"):
        evidence("run", rows.drop(columns="unit"), cells)
    rows.loc[rows.metric == "ssim", "value"] = math.inf
    with pytest.raises(StoreError, match=r"case vol00\.h5 has ssim = inf; expected a finite number"):
        evidence("run", rows, cells)


def test_one_patient_has_numbers_without_intervals():
    rate, _ = attack_rate(only(synthetic(replace(PLAN, patients=1))))
    found = entry(rate, ("4x", "recon-unet", "none"), "fnaf-random")
    assert found.estimate is not None
    assert (found.low, found.high, found.patients) == (None, None, 1)
    assert not any(one.best for line in rate.lines for one in line.entries)


def test_nothing_measured_is_an_empty_page():
    waiting = [replace(one, status="queued") for one in records(PLAN)]
    empty = synthetic(PLAN).rows.iloc[:0][list(COLUMNS)]
    found = page(evidence("run", empty, waiting))
    assert found.chapters[0].parts == ()
    assert len(found.missing) == found.total


def test_the_generator_is_determined_by_its_seed():
    one = record(PLAN, "4x", "recon-unet", "none", "fnaf-random")
    assert rows_of(PLAN, one).equals(rows_of(PLAN, one))
