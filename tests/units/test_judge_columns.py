from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrobust.judge import concerned, judge_columns
from medrobust.leaderboard.evidence import COLUMNS, Evidence, Record, evidence, joined

CASES = 40


def record(attack: str, threat: str = "", condition: str = "8/255", **further: object) -> Record:
    fields: dict[str, object] = {"digest": f"{attack}@{condition}", "config": f"{attack}(steps=10)", "condition": condition, "attack": attack}
    fields |= {"track": "t", "data": "d", "split": "test", "data_label": "a label", "seed": 0, "target": "net", "defense": "none", "cases": CASES}
    fields |= {"budget": {"name": "norm", "epsilon": condition}, "threat": threat, "cost": {"forward passes": 0.0 if threat == "no-box" else 400.0}}
    return Record(**{**fields, **further})  # type: ignore[arg-type]


def rows(one: Record, wrong: int, metric: str = "correct", shift: int = 0, cases: int = CASES, patients: int = CASES) -> pd.DataFrame:
    """`correct` is 0 for `wrong` cases, from case `shift` on."""
    index = np.arange(cases)
    value = 1.0 - ((index >= shift) & (index < shift + wrong))
    names = dict(zip(("track", "data", "split", "target", "defense", "attack", "condition", "seed"), one.names, strict=True))
    own = {"case": [f"c{i:03d}" for i in index], "patient": [f"p{i % patients:03d}" for i in index], "metric": metric, "label": "", "value": value}
    return pd.DataFrame({**names, **own, "unit": ""})[list(COLUMNS)]


def made(pairs: list[tuple[Record, pd.DataFrame]]) -> Evidence:
    return joined([evidence("suite", pd.concat([frame for _, frame in pairs], ignore_index=True), [one for one, _ in pairs])])


def findings(pairs: list[tuple[Record, pd.DataFrame]]) -> dict[str, set[str]]:
    """Check -> cells that it concerns; V20 left out, for forty patients are few."""
    return {check: cells for check, cells in every_finding(pairs).items() if check != "V20"}


def every_finding(pairs: list[tuple[Record, pd.DataFrame]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for one in (finding for verdict in made(pairs).verdicts for finding in verdict.findings):
        found.setdefault(one.id, set()).update(one.cells)
    return found


CLEAN, PGD, SQUARE = record("none"), record("pgd", "white-box"), record("square", "black-box")
NOISE = record("noise", "black-box", control=True)
HONEST = [(CLEAN, rows(CLEAN, 4)), (PGD, rows(PGD, 20)), (SQUARE, rows(SQUARE, 15)), (NOISE, rows(NOISE, 5))]


def test_an_honest_column_is_silent_and_was_looked_at() -> None:
    assert findings(HONEST) == {}
    assert made(HONEST).verdicts[0].checked == ("V06", "V12", "V20")
    assert {record.level for record in made(HONEST).records} == {"ok", "info"}


def test_v06_needs_more_than_chance() -> None:
    assert findings([*HONEST[:2], (SQUARE, rows(SQUARE, 32))])["V06"] == {"pgd@8/255"}
    assert "V06" not in findings([*HONEST[:2], (SQUARE, rows(SQUARE, 22))])
    few = [(one, frame[frame["case"] < "c006"]) for one, frame in [*HONEST[:2], (SQUARE, rows(SQUARE, 32))]]
    assert "V06" not in findings(few), "six patients show nothing"
    one_patient = [(one, frame.assign(patient="p")) for one, frame in [*HONEST[:2], (SQUARE, rows(SQUARE, 32))]]
    assert "V06" not in findings(one_patient), "nor do many cases of one patient"


def test_v06_takes_white_box_attacks_together() -> None:
    fgsm = record("fgsm", "white-box")
    fgsm_rows, pgd_rows, square_rows = rows(fgsm, 16, shift=0), rows(PGD, 16, shift=16), rows(SQUARE, 30)
    assert set(findings([(fgsm, fgsm_rows), (SQUARE, square_rows)])["V06"]) == {"fgsm@8/255"}
    assert "V06" not in findings([(fgsm, fgsm_rows), (PGD, pgd_rows), (SQUARE, square_rows)])


def test_v07_finds_transfers_that_do_more() -> None:
    transfer = record("pgd from other", source="elsewhere")
    assert findings([*HONEST, (transfer, rows(transfer, 35))])["V07"] == {"pgd@8/255"}
    assert "V07" not in findings([*HONEST, (transfer, rows(transfer, 12))])


def test_v08_finds_attacks_that_do_not_win_without_a_bound() -> None:
    unbounded = record("pgd", "white-box", "inf")
    found = findings([*HONEST, (unbounded, rows(unbounded, 39))])
    assert found == {"V08": {"pgd@8/255", "pgd@inf"}}
    assert findings([*HONEST, (unbounded, rows(unbounded, 40))]) == {}
    fgsm = record("fgsm", "white-box", "inf")
    assert findings([*HONEST, (unbounded, rows(unbounded, 40)), (fgsm, rows(fgsm, 10))]) == {}, "one of them wins"


@pytest.mark.parametrize("prefix", ["", "linf "])
def test_v09_finds_harm_that_falls_with_the_budget(prefix: str) -> None:
    small, large = (record("pgd", "white-box", f"{prefix}{size}", budget={"name": "norm", "epsilon": size}) for size in ("2/255", "16/255"))
    assert findings([(small, rows(small, 30)), (large, rows(large, 10))])["V09"] == {large.digest}
    assert findings([(small, rows(small, 10)), (large, rows(large, 30))]) == {}
    assert findings([(small, rows(small, 12)), (large, rows(large, 10))]) == {}


def test_v09_compares_only_what_differs_in_size() -> None:
    small, large = record("pgd", "white-box", "2/255"), record("pgd", "white-box", "16/255")
    other = replace(large, budget={"name": "norm", "norm": "l2", "epsilon": "16/255"})
    assert findings([(small, rows(small, 30)), (other, rows(other, 10))]) == {}
    elsewhere = replace(large, condition="8x 16/255", digest="8x")
    assert findings([(small, rows(small, 30)), (elsewhere, rows(elsewhere, 10))]) == {}
    unnamed = replace(large, condition="strong", digest="strong")
    assert findings([(small, rows(small, 30)), (unnamed, rows(unnamed, 10))]) == {}


def test_v09_finds_harm_that_falls_with_the_steps() -> None:
    few, many = replace(PGD, config="pgd(eta=1, steps=10)"), record("pgd-100", "white-box", config="pgd(eta=1, steps=100)")
    assert findings([(few, rows(few, 30)), (many, rows(many, 10))])["V09"] == {"pgd-100@8/255"}
    assert findings([(few, rows(few, 10)), (many, rows(many, 30))]) == {}
    other = replace(many, config="pgd(eta=2, steps=100)")
    assert findings([(few, rows(few, 30)), (other, rows(other, 10))]) == {}


def test_v12_finds_attacks_that_noise_matches() -> None:
    assert findings([HONEST[0], (PGD, rows(PGD, 15)), (NOISE, rows(NOISE, 15))])["V12"] == {"pgd@8/255"}
    assert findings([HONEST[0], (PGD, rows(PGD, 4)), (NOISE, rows(NOISE, 4))]) == {}, "noise does nothing either"
    assert findings([HONEST[0], (PGD, rows(PGD, 5)), (NOISE, rows(NOISE, 5))]) == {}, "noise harmed one case, by chance"
    assert findings([HONEST[0], (PGD, rows(PGD, 17)), (NOISE, rows(NOISE, 15))])["V12"] == {"pgd@8/255"}, "two cases more are chance"
    assert findings([HONEST[0], (PGD, rows(PGD, 23)), (NOISE, rows(NOISE, 15))]) == {}
    assert findings([HONEST[0], (PGD, rows(PGD, 40)), (NOISE, rows(NOISE, 40))]) == {}, "nothing was left to find"
    assert findings([HONEST[0], (PGD, rows(PGD, 38)), (NOISE, rows(NOISE, 38))]) == {}, "too little was"
    fgsm = record("fgsm", "white-box")
    each = findings([HONEST[0], (PGD, rows(PGD, 30)), (fgsm, rows(fgsm, 15)), (NOISE, rows(NOISE, 15))])
    assert each["V12"] == {"fgsm@8/255"}, "of each attack by itself"
    blind = record("field", "no-box")
    assert findings([HONEST[0], (PGD, rows(PGD, 15)), (blind, rows(blind, 20))])["V12"] == {"pgd@8/255"}


def test_v20_says_what_so_few_patients_could_not_show() -> None:
    few = [(one, frame[frame["case"] < "c010"]) for one, frame in ((CLEAN, rows(CLEAN, 0)), (PGD, rows(PGD, 5)))]
    assert every_finding(few) == {"V20": {"pgd@8/255"}}
    many = [(one, rows(one, wrong, cases=200)) for one, wrong in ((CLEAN, 0), (PGD, 100))]
    assert every_finding(many) == {}
    grouped = [(one, frame.assign(patient=[f"p{i // 20}" for i in range(200)])) for one, frame in many]
    assert every_finding(grouped) == {"V20": {"pgd@8/255"}}, "ten patients, however many their cases"


def test_harm_to_a_segmenter_is_read_off_the_dice_that_moved_with_the_anatomy() -> None:
    plain, warped = rows(SQUARE, 35, "dice"), rows(SQUARE, 3, "dice-warped")
    assert "V06" in findings([(CLEAN, rows(CLEAN, 0, "dice")), (PGD, rows(PGD, 15, "dice")), (SQUARE, plain)])
    both = [(CLEAN, rows(CLEAN, 0, "dice")), (PGD, rows(PGD, 15, "dice")), (SQUARE, pd.concat([plain, warped]))]
    assert "V06" not in findings(both)


def test_columns_of_older_runs_are_silent() -> None:
    older = [(replace(one, threat="", budget={}), frame) for one, frame in [*HONEST[:2], (SQUARE, rows(SQUARE, 38))]]
    assert made(older).verdicts == ()


def test_columns_are_kept_apart() -> None:
    other = replace(SQUARE, target="another", digest="another")
    assert findings([*HONEST[:2], (other, rows(other, 38))]) == {}


def test_what_was_found_raises_the_level_of_the_cells_concerned_once() -> None:
    small, large = record("pgd", "white-box", "2/255"), record("pgd", "white-box", "16/255", level="warn", reasons=("V10: cut short",))
    found = made([(small, rows(small, 30)), (large, rows(large, 10))])
    kept, raised = found.records
    assert kept == small
    assert raised.level == "invalid"
    assert raised.reasons[0] == "V10: cut short"
    assert raised.reasons[1].startswith("V09: pgd at 16/255 does less harm than pgd at 2/255 with a smaller budget, 25.0% against 75.0% wrong")
    assert joined([found]).records == concerned(found.records, found.verdicts) == found.records
    assert found.verdicts[0].plain()["findings"][0]["cells"] == ["pgd@16/255"]


def test_cells_on_other_cases_are_compared_on_those_that_both_have() -> None:
    part = rows(SQUARE, 38)
    assert "V06" in findings([*HONEST[:2], (SQUARE, part[part["case"] >= "c010"])])
    nothing = part.assign(case=[f"z{i}" for i in range(CASES)])
    assert findings([*HONEST[:2], (SQUARE, nothing)]) == {}
    assert findings([*HONEST[:2], (NOISE, rows(NOISE, 30).assign(case=nothing["case"]))]) == {}
    unbounded = [record(name, "white-box", "inf") for name in ("pgd", "fgsm")]
    frames = [rows(one, 39) for one in unbounded]
    assert findings([*HONEST[:1], (unbounded[0], frames[0]), (unbounded[1], frames[1].assign(case=nothing["case"]))]) == {}


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 40), st.integers(0, 40))
def test_verdicts_do_not_depend_on_the_order_of_rows_or_cells(order: list[int], square: int, shift: int) -> None:
    pairs = [*HONEST[:2], (SQUARE, rows(SQUARE, square, shift=shift)), HONEST[3]]
    assert findings([pairs[i] for i in order]) == findings([(one, frame.iloc[::-1]) for one, frame in pairs])


def test_a_false_alarm_is_rare() -> None:
    """Two attacks that are equally strong, sixty times: one-sided tests at .01 find a handful at most."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(60):
        pairs = [(one, rows(one, 0).assign(value=(rng.random(CASES) > 0.4).astype(float))) for one in (PGD, SQUARE)]
        alarms += "V06" in findings(pairs)
    assert alarms <= 4


def test_judging_columns_loads_no_torch() -> None:
    code = "import sys; from medrobust.judge import judge_columns; assert 'torch' not in sys.modules and 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_nothing_to_judge_is_no_verdict() -> None:
    assert judge_columns(rows(CLEAN, 0).assign(cell="x").iloc[:0], []) == ()
