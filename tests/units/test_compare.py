"""Comparing two leaderboards: p values that hold under no difference, and every reason for which a rank can move."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import seg_rows
from rows import Plan, synthetic, write_committed
from scipy import stats

from medrobust.cli.app import call
from medrobust.leaderboard.differences import differences
from medrobust.leaderboard.evidence import Evidence, evidence
from medrobust.leaderboard.moves import Move, Side, moves
from medrobust.leaderboard.overview.build import overviews
from medrobust.leaderboard.pairs import pairs, unpaired
from medrobust.leaderboard.sources import commit, load
from medrobust.run import compute
from medrobust.stats import Sample
from medrobust.stats.paired import holm, permutation
from medrobust.store import Run

MODELS = (("recon-unet", "none"), ("recon-unet", "fnaf-robust"))
PLAN = Plan(models=MODELS, attacks=("fnaf-random", "fnaf-gradient"), conditions=("4x", "8x"), patients=8, transfer=False)
INVALID = {"level": "invalid", "status": "invalid", "reasons": ("V13: left the budget",)}


def changed(found: Evidence, metric: str, change: Callable[[np.ndarray], np.ndarray], attack: str = "none") -> Evidence:
    rows = found.rows.copy()
    hit = (rows["metric"] == metric) & (rows["attack"] == attack)
    rows.loc[hit, "value"] = change(rows.loc[hit, "value"].to_numpy(float))
    return evidence("changed", rows, found.records)


def sample(found: Evidence, name: str) -> Sample:
    """The adversarial loss of the cell of this name, in the order of cases."""
    words = {r.digest: f"{r.condition} {r.target} {'' if r.defense == 'none' else f'+ {r.defense} '}{r.attack}" for r in found.records}
    rows = found.rows[(found.rows["metric"] == "fnaf-loss") & (found.rows["label"] == "")]
    rows = rows[rows["cell"].map(words) == name].sort_values("case")
    return Sample.of(rows["value"], rows["patient"])


# p values


def test_p_is_that_of_the_permutation_test_and_adjusted_over_the_cells_of_a_metric() -> None:
    one = synthetic(PLAN)
    rng = np.random.default_rng(0)
    two = changed(one, "fnaf-loss", lambda values: values + rng.normal(2e-5, 1e-4, len(values)), "fnaf-random")
    found = [each for each in differences(one, two) if each.metric == "fnaf-loss"]
    assert len(found) == 8
    for each in found:
        if "fnaf-random" not in each.cell:
            assert (each.p, each.adjusted) == (1.0, 1.0)
            continue
        assert each.p == pytest.approx(permutation(sample(two, each.cell), sample(one, each.cell)).p)
        assert 0 < each.p < 1
    assert [each.adjusted for each in found] == pytest.approx(holm([each.p for each in found]).tolist())
    assert any(each.adjusted > each.p for each in found)


def test_metrics_do_not_pay_for_each_other() -> None:
    one = synthetic(PLAN)
    found = differences(one, changed(one, "ssim", lambda values: values + 0.01))
    own = [each for each in found if each.metric == "ssim"]
    assert [each.p for each in own] == [2 / 2**8] * 4
    assert [each.adjusted for each in own] == [4 * 2 / 2**8] * 4
    assert {each.adjusted for each in found if each.metric != "ssim"} == {1.0}


def test_an_invalid_cell_is_marked_and_costs_the_others_nothing() -> None:
    one = synthetic(PLAN)
    two = changed(one, "ssim", lambda values: values + 0.01)
    spoilt = evidence("spoilt", two.rows, [replace(r, **INVALID) if r.attack == "none" and r.condition == "8x" else r for r in two.records])  # type: ignore[arg-type]
    found = [each for each in differences(one, spoilt) if each.metric == "ssim"]
    assert [each.level for each in found] == ["ok", "ok", "invalid", "invalid"]
    assert [each.adjusted for each in found[:2]] == [2 * 2 / 2**8] * 2, "two cells are left in the family"
    assert all(math.isnan(each.adjusted) and each.reasons == ("V13: left the budget",) for each in found[2:])
    assert found[2].plain()["adjusted"] is None


# The same names, other patients


def test_cases_of_one_name_are_paired_where_the_data_have_one_digest_alone() -> None:
    one, two = synthetic(PLAN), synthetic(replace(PLAN, seed=0))
    other = [replace(record, digest=record.digest[::-1], data_digest="b" * 12) for record in two.records]
    known = evidence("A", one.rows, [replace(record, data_digest="a" * 12) for record in one.records])
    for records, words in (
        (other, f"mri-phantom test has the digest {'a' * 12} in A, mri-phantom test has {'b' * 12} in B"),
        ([replace(record, data_digest="") for record in other], "it is not known whether mri-phantom test is the same in A and B: B did not"),
    ):
        unlike = evidence("B", two.rows, records)
        (line,) = unpaired(pairs(known, unlike))
        assert words in line
        assert line.endswith("(12 cells)")
        for each in differences(known, unlike):
            assert (each.paired, each.cases, each.equal, each.shift, each.mcnemar) == (False, 0, 0, None, None)
            assert math.isnan(each.p)
            assert math.isnan(each.adjusted)
            assert each.difference == pytest.approx(each.second - each.first)
        assert moves(overviews(known), overviews(unlike), pairs(known, unlike)) == ()
    alike = evidence("B", two.rows, [replace(record, data_digest="a" * 12) for record in other])
    assert unpaired(pairs(known, alike)) == ()
    assert all(each.paired for each in differences(known, alike))
    assert len(moves(overviews(known), overviews(alike), pairs(known, alike))) == len(MODELS) * 2
    split = evidence("B", two.rows.assign(split="val"), [replace(r, data_digest="a" * 12, split="val") for r in other])
    single = [evidence(side.suite, side.rows[side.rows["cell"] == side.records[0].digest], side.records[:1]) for side in (known, split)]
    assert not any(each.paired for each in differences(single[0], single[1]))


def test_the_data_digest_is_kept_by_a_run_and_by_what_is_committed_of_it(make_run: Callable[..., Run], tmp_path: Path) -> None:
    run = make_run()
    assert {compute(run.path, digest) for digest in run.digests} == {"done"}
    digests = {folder.digest: folder.cell.data_digest for folder in run.cells()}
    assert all(digests.values())
    assert {record.digest: record.data_digest for record in load(run.path).records} == digests
    commit(run.path, tmp_path / "committed")
    assert {record.digest: record.data_digest for record in load(tmp_path / "committed").records} == digests


# Effects beside p


def test_continuous_metrics_have_a_shift_and_those_of_0_and_1_a_table() -> None:
    one = synthetic(PLAN)
    rng = np.random.default_rng(0)
    flips = changed(one, "information", lambda values: (values > np.median(values)).astype(float), "fnaf-random")
    after = changed(flips, "information", lambda values: np.where(rng.random(len(values)) < 0.2, 1.0, values), "fnaf-random")
    moved_ssim = changed(after, "ssim", lambda values: values + rng.normal(0.01, 0.02, len(values)))
    found = {(each.cell, each.metric, each.label): each for each in differences(flips, moved_ssim)}
    rates = found["4x recon-unet fnaf-random", "information", ""]
    held = [side.rows[(side.rows["metric"] == "information") & (side.rows["cell"] == side.records[1].digest)] for side in (flips, moved_ssim)]
    before, later = (rows.sort_values("case")["value"].to_numpy() for rows in held)
    gained, lost = int((later > before).sum()), int((later < before).sum())
    assert gained
    assert rates.shift is None
    assert rates.mcnemar is not None
    assert (rates.mcnemar.first_only, rates.mcnemar.second_only) == (lost, gained)
    assert rates.mcnemar.p == pytest.approx(stats.binomtest(lost, lost + gained).pvalue)
    quality = found["4x recon-unet none", "ssim", ""]
    assert (rates.wilcoxon, quality.mcnemar) == (None, None)
    assert quality.wilcoxon is not None
    assert quality.shift is not None
    sides = [side.rows[(side.rows["metric"] == "ssim") & (side.rows["cell"] == side.records[0].digest)] for side in (flips, moved_ssim)]
    gaps = np.subtract(*(rows.sort_values("case")["value"].to_numpy() for rows in reversed(sides)))
    walsh = [(gaps[i] + gaps[j]) / 2 for i in range(len(gaps)) for j in range(i, len(gaps))]
    assert quality.shift.estimate == pytest.approx(np.median(walsh))
    assert quality.shift.low < quality.shift.estimate < quality.shift.high
    assert quality.plain()["shift"]["low"] == quality.shift.low


# What moved a rank


def board(changes: dict[str, dict[str, object]] | None = None, effects: dict[str, seg_rows.Effect] | None = None) -> Evidence:
    return seg_rows.made(effects=effects or {name: seg_rows.EFFECTS[name] for name in ("xi=2.0", "pgd")}, changes=changes)


def moved(first: Evidence, second: Evidence) -> dict[str, Move]:
    found = moves(overviews(first), overviews(second))
    assert len(found) == 2
    return {one.entrant: one for one in found}


def test_nothing_moved_between_equal_boards() -> None:
    found = moved(board(), board())
    assert not any(one.moved or one.why for one in found.values())
    assert found["seg-unet + adversarial"].first == Side(1, 1, 1, found["seg-unet + adversarial"].first.worst)  # type: ignore[union-attr]
    assert found["seg-unet"].first.text == "tier 2, rank 2"  # type: ignore[union-attr]


def test_an_invalid_cell_is_named_with_its_reason_and_the_other_says_that_its_own_numbers_are_the_same() -> None:
    found = moved(board(), board({"seg-unet adversarial pgd": INVALID}))
    best, other = found["seg-unet + adversarial"], found["seg-unet"]
    assert best.moved
    assert best.second is not None
    assert best.second.text == "not ranked"
    assert "pgd: measured in A, invalid (V13: left the budget) in B" in best.why
    assert "its own numbers are the same" in other.why
    assert "changed beside it: seg-unet + adversarial" in other.why


def test_a_cell_that_failed_or_is_not_run_is_named() -> None:
    found = moved(board(), board({"seg-unet adversarial pgd": {"status": "failed", "error": "no memory"}}))
    assert any(line.startswith("pgd: measured in A, failed") for line in found["seg-unet + adversarial"].why)
    found = moved(board({"seg-unet adversarial pgd": {"status": "queued"}}), board())
    assert any(line == "pgd: not run in A, measured in B" for line in found["seg-unet + adversarial"].why)


def test_a_number_that_changed_is_given_before_and_after() -> None:
    one = board()
    rows = one.rows.copy()
    hit = (rows["metric"] == "dice") & (rows["attack"] == "pgd") & (rows["defense"] == "adversarial")
    rows.loc[hit, "value"] *= 0.2
    found = moved(one, evidence("changed", rows, one.records))
    (line,) = (line for line in found["seg-unet + adversarial"].why if line.startswith("pgd: "))
    assert re.fullmatch(r"pgd: \d\d\.\d to \d\d?\.\d %", line)
    assert found["seg-unet"].second is not None
    assert found["seg-unet"].second.tier == 1
    assert "its own numbers are the same" in found["seg-unet"].why


def test_another_attack_in_the_worst_case_is_said() -> None:
    harder = replace(seg_rows.EFFECTS["pgd"], falls=(0.9, 0.9, 0.9, 0.9))
    rows = {"xi=2.0": seg_rows.EFFECTS["xi=2.0"]}
    first, second = board(effects=rows), board(effects=rows | {"pgd": harder})
    spoilt = second.rows.copy()
    spoilt.loc[(spoilt["metric"] == "dice") & (spoilt["attack"] == "pgd") & (spoilt["defense"] == "adversarial"), "value"] = 0.0
    found = moved(first, evidence("spoilt", spoilt, second.records))
    for one in found.values():
        assert one.moved
        assert one.why[0] == "worst case now over pgd too"
        assert "pgd: not in the plan in A, measured in B" in one.why
    back = moved(evidence("spoilt", spoilt, second.records), first)
    assert {one.why[0] for one in back.values()} == {"worst case no longer over pgd"}


def test_who_enters_and_who_leaves_is_said() -> None:
    alone = seg_rows.made(effects={"pgd": seg_rows.EFFECTS["pgd"]}, models=seg_rows.MODELS[:1])
    both = seg_rows.made(effects={"pgd": seg_rows.EFFECTS["pgd"]})
    found = moved(alone, both)
    assert found["seg-unet + adversarial"].first is None
    assert "entered: not there in A" in found["seg-unet + adversarial"].why
    assert found["seg-unet"].first is not None
    assert found["seg-unet"].first.text == "not ranked"
    assert found["seg-unet"].moved
    assert "left: not there in B" in moved(both, alone)["seg-unet + adversarial"].why


def test_other_data_are_no_pair() -> None:
    assert moves(overviews(board()), overviews(seg_rows.made(label="other CT"))) == ()


# The verb


def test_the_verb_shows_p_and_moves_and_gives_both_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = write_committed(board(), tmp_path / "first")
    second = write_committed(board({"seg-unet adversarial pgd": INVALID}), tmp_path / "second")
    assert call(["compare", str(first), str(second)]) == 0
    said = capsys.readouterr().out
    assert "p (Holm)" in said
    assert "What moved a rank" in said
    assert "invalid, not to be believed: V13: left the budget" in said
    assert max(map(len, said.splitlines())) <= 80
    for name in ("dice pancreas", "surface-distance pancreas", "displacement mean"):
        assert f"\n{name} " in said, "a name is not broken"
    assert "pgd: measured in A, invalid (V13: left the budget) in B" in said
    assert call(["compare", str(first), str(second), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"differences", "ranks", "notes"}
    assert found["notes"] == []
    assert {one["p"] for one in found["differences"]} == {1.0}
    best = next(one for one in found["ranks"] if one["entrant"] == "seg-unet + adversarial")
    assert (best["moved"], best["first"]["tier"], best["second"]["tier"]) == (True, 1, None)
    assert call(["compare", str(first), str(first)]) == 0
    assert "2 of 2 entrants have the tier and ranks they had" in capsys.readouterr().out
