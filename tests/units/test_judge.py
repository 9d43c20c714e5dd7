from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from medrobust.cell import Cell
from medrobust.judge import CHECKS, COLUMN_CHECKS, Evidence, Probed, judge
from medrobust.plan import plan
from medrobust.store import MARKER
from medrobust.types import Row

PATIENTS = frozenset(f"patient {index}" for index in range(12))


@pytest.fixture
def cells(write_spec: Callable[..., str]) -> dict[str, Cell]:
    return {cell.columns["attack"]: cell for cell in plan(write_spec()).cells if cell.columns["target"] == "unet"}


def row(cell: Cell, case: str, metric: str, value: float, label: str = "") -> Row:
    names = {"target": "t", "defense": "none", "attack": "a", "condition": cell.condition, "seed": 0, "unit": ""}
    return Row(track="t", data="d", split="test", patient="p", case=case, metric=metric, label=label, value=value, **names)  # type: ignore[typeddict-item]


@pytest.fixture
def attacked(cells: dict[str, Cell]) -> Evidence:
    cell = cells["tiny-search"]
    rows = [row(cell, case, MARKER, 1.0) for case in ("a", "b")]
    rows += [row(cell, case, "loss", 2.0) for case in ("a", "b")]
    rows += [row(cell, case, "loss", value, label) for case in ("a", "b") for label, value in (("q=1", 1.0), ("q=11", 2.0))]
    rows += [row(cell, case, "information", 3e-4) for case in ("a", "b")]
    return Evidence(cell, rows, patients=PATIENTS, trained_on={"target": frozenset({"another"})})


@pytest.fixture
def clean(cells: dict[str, Cell]) -> Evidence:
    cell = cells["none"]
    return Evidence(cell, [row(cell, "a", "ssim", 0.7), row(cell, "b", "ssim", 0.8)], patients=PATIENTS, figures={"ssim@half": 0.752})


def found(evidence: Evidence) -> list[tuple[str, str, str]]:
    return [(finding["id"], finding["level"], finding["message"]) for finding in judge(evidence).findings]


def test_a_good_cell_passes_every_check_that_applies(attacked: Evidence, clean: Evidence) -> None:
    assert (judge(attacked).level, judge(attacked).checked) == ("ok", ("V11", "V13", "V14", "V18", "V19", "V20"))
    assert (judge(clean).level, judge(clean).checked) == ("ok", ("V14", "V16", "V20"))


def test_v11_finds_an_attack_that_had_a_better_query(attacked: Evidence) -> None:
    worse = replace(attacked, rows=[*attacked.rows, row(attacked.cell, "b", "loss", 2.5, "q=44")])
    assert found(worse) == [("V11", "invalid", "1 case (b) had a query that was better than what was returned, by up to 0.5")]


def test_v11_allows_rounding(attacked: Evidence) -> None:
    assert not found(replace(attacked, rows=[*attacked.rows, row(attacked.cell, "b", "loss", 2.00001, "q=44")]))


def test_v13_names_the_cases_that_left_the_budget_and_how(attacked: Evidence) -> None:
    rows = [replace_value(each, 0.0) if each["metric"] == MARKER and each["case"] == "a" else each for each in attacked.rows]
    outside = replace(attacked, rows=rows, violations={"a": "found 3, allowed 2"})
    assert found(outside) == [("V13", "invalid", "1 case (a) left the budget: found 3, allowed 2")]


def replace_value(old: Row, value: float) -> Row:
    return Row(**{**old, "value": value})  # type: ignore[typeddict-item]


def test_v13_warns_of_images_below_zero(attacked: Evidence) -> None:
    assert [finding[:2] for finding in found(replace(attacked, lowest=-0.1))] == [("V13", "warn")]


def test_v14_finds_training_mode_and_dependence_on_the_batch(attacked: Evidence) -> None:
    assert [finding[:2] for finding in found(replace(attacked, training_mode=True))] == [("V14", "invalid")]
    assert [finding[:2] for finding in found(replace(attacked, dependence=1e-2))] == [("V14", "invalid")]


def test_v16_finds_a_clean_score_that_the_card_does_not_declare(clean: Evidence) -> None:
    assert found(replace(clean, figures={"ssim@half": 0.8, "ssim@8x": 0.1})) == [("V16", "warn", "ssim@half is 0.75, the card declares 0.8")]
    assert "V16" not in judge(replace(clean, figures={"ssim@8x": 0.1})).checked


def test_v16_knows_figures_of_a_split_by_label_too(clean: Evidence) -> None:
    first = clean.rows[0]
    rows = [*clean.rows, Row(**{**first, "metric": "dice", "label": "liver", "value": 0.5})]  # type: ignore[typeddict-item]
    shown = replace(clean, rows=rows)
    split = clean.cell.split
    assert found(replace(shown, figures={f"dice@{split} liver": 0.9})) == [("V16", "warn", f"dice@{split} liver is 0.5, the card declares 0.9")]
    assert judge(replace(shown, figures={f"dice@{split} liver": 0.5})).level == "ok"
    for other in (f"dice@{split} spleen", f"dice@{split} liver low", "dice@elsewhere liver", f"dice@{split}"):
        assert "V16" not in judge(replace(shown, figures={other: 0.9})).checked, other


def test_v18_finds_patients_that_were_trained_on(attacked: Evidence) -> None:
    one, others = frozenset({"patient 3"}), PATIENTS | {"another"}
    message = "the defense was trained on 1 patient (patient 3) of these data"
    assert found(replace(attacked, trained_on={"target": frozenset({"another"}), "defense": one})) == [("V18", "invalid", message)]
    message = f"the target was trained on 12 patients (patient 0, patient 1, ...) of these data; {message}"
    assert found(replace(attacked, trained_on={"target": others, "defense": one})) == [("V18", "invalid", message)]
    assert "V18" not in judge(replace(attacked, trained_on={})).checked


def test_v19_warns_where_information_is_lost(attacked: Evidence) -> None:
    rows = [replace_value(each, 5e-5) if each["metric"] == "information" and each["case"] == "a" else each for each in attacked.rows]
    assert found(replace(attacked, rows=rows)) == [("V19", "warn", "information is preserved in 50.0% of cases, expected at least 99%")]


def test_v20_warns_of_few_patients(attacked: Evidence) -> None:
    assert found(replace(attacked, patients=frozenset({"one"}))) == [("V20", "warn", "1 patients; at least 12 are needed to rank")]


@pytest.fixture
def explained(cells: dict[str, Cell]) -> Evidence:
    cell = cells["none"]
    values = {"saturated": [0.0, 0.0, 0.0], "undecided": [0.0, 0.0, 0.0], "randomisation": [1.0, 0.8, 0.9]}
    rows = [row(cell, case, metric, value) for metric, each in values.items() for case, value in zip("abc", each, strict=True)]
    return Evidence(cell, rows, patients=PATIENTS)


def with_value(evidence: Evidence, case: str, metric: str, value: float) -> Evidence:
    rows = [replace_value(each, value) if (each["case"], each["metric"]) == (case, metric) else each for each in evidence.rows]
    return replace(evidence, rows=rows)


def test_explained_cases_are_judged_by_what_was_measured_of_them(explained: Evidence, attacked: Evidence) -> None:
    assert (judge(explained).level, judge(explained).checked) == ("ok", ("V01", "V14", "V20", "V22", "V23"))
    assert not {"V01", "V22", "V23"} & set(judge(attacked).checked)


def test_v01_warns_of_saturated_answers_where_they_are_not_rare(explained: Evidence) -> None:
    assert found(with_value(explained, "b", "saturated", 1.0)) == [("V01", "warn", "1 case (b) of 3 have a saturated answer")]
    many = [row(explained.cell, f"z{index}", "saturated", float(not index)) for index in range(12)]
    assert not found(replace(explained, rows=[*explained.rows, *many]))


def test_v22_warns_of_maps_that_stay_as_they_are_on_shuffled_weights(explained: Evidence) -> None:
    message = "maps hardly depend on the target's weights: shuffled, they rank alike by 0.93, expected at most 0.9"
    assert found(with_value(explained, "c", "randomisation", 0.99)) == [("V22", "warn", message)]


def test_v23_names_the_cases_whose_answer_is_a_coin_toss(explained: Evidence) -> None:
    message = "1 case (a) of 3 have an undecided answer: a map of it explains a coin toss"
    assert found(with_value(explained, "a", "undecided", 1.0)) == [("V23", "info", message)]
    assert judge(with_value(explained, "a", "undecided", 1.0)).level == "info"


def test_the_worst_finding_is_the_verdict(attacked: Evidence) -> None:
    both = replace(attacked, patients=frozenset(), training_mode=True)
    assert judge(both).level == "invalid"
    assert judge(both).plain()["level"] == "invalid"


def test_every_check_has_a_level_and_a_sentence() -> None:
    assert all(check.level in ("info", "warn", "invalid") and check.find.__doc__ for check in CHECKS)
    assert all(check.level in ("info", "warn", "invalid") and check.find.__doc__ for check in COLUMN_CHECKS)


def with_rows(evidence: Evidence, metric: str, values: dict[str, float], label: str = "") -> Evidence:
    return replace(evidence, rows=[*evidence.rows, *(row(evidence.cell, case, metric, value, label) for case, value in values.items())])


def cases(count: int, ones: int) -> dict[str, float]:
    return {f"case {index:03d}": float(index < ones) for index in range(count)}


def probed(evidence: Evidence, threat: str = "white-box", **shown: object) -> Evidence:
    return replace(evidence, threat=threat, probed=replace(HONEST, **shown))  # type: ignore[arg-type]


HONEST = Probed(normalised=False, certain=0.0, reached=True, broken=0.0, zero=0.0, flat=0.0, grey=0.1)


def test_an_honest_target_passes_every_check_of_what_it_showed(attacked: Evidence) -> None:
    verdict = judge(probed(attacked))
    assert (verdict.level, verdict.findings) == ("ok", ())
    assert {"V01", "V02", "V03", "V04", "V05", "V21"} <= set(verdict.checked)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ({"certain": 0.5}, [("V01", "warn")]),
        ({"normalised": True}, [("V01", "warn")]),
        ({"moved": 0.1}, [("V02", "invalid")]),
        ({"moved": 0.1, "stochastic": True}, [("V02", "warn"), ("V02", "info")]),
        ({"moved": 0.1, "stochastic": True, "averaged": True}, [("V02", "info")]),
        ({"stochastic": True, "averaged": True}, []),
        ({"broken": 0.01}, [("V03", "invalid")]),
        ({"flat": 1.0, "zero": 1.0}, [("V03", "invalid")]),
        ({"flat": 0.5, "zero": 0.5}, [("V03", "warn")]),
        ({"zero": 0.95}, [("V03", "warn")]),
        ({"zero": 0.85}, []),
        ({"reached": False, "broken": None, "zero": None, "flat": None}, [("V04", "invalid")]),
        ({"autograd": 3}, [("V05", "warn")]),
        ({"alters": "weights"}, [("V14", "invalid")]),
        ({"grey": 1.2}, [("V21", "warn")]),
        ({"grey": None}, []),
    ],
)
def test_what_a_target_showed_is_judged(attacked: Evidence, shown: dict[str, object], expected: list[tuple[str, str]]) -> None:
    assert [finding[:2] for finding in found(probed(attacked, **shown))] == expected


def test_a_stochastic_target_is_not_said_to_look_at_its_batch(attacked: Evidence) -> None:
    shown = replace(probed(attacked, moved=0.1, stochastic=True, averaged=True), dependence=0.1)
    assert [finding[:2] for finding in found(shown)] == [("V02", "info")]


def test_draws_of_a_target_that_says_that_it_draws_are_nobody_s_fault(attacked: Evidence) -> None:
    """Rows that the attack's own queries, the answer and the clean answer gave in separate draws, each as a still target would deserve it."""
    shown = replace(attacked, rows=[*attacked.rows, row(attacked.cell, "b", "loss", 2.5, "q=44")])
    for metric, values in {"fooled": cases(20, 5), "survives-saving": cases(20, 0), "silent-success": cases(50, 5)}.items():
        shown = with_rows(shown, metric, values)
    still = probed(leaking(climbing(shown, 0.25), 3))
    expected = [("V10", "warn"), ("V11", "invalid"), ("V11", "invalid"), ("V13", "warn"), ("V17", "invalid"), ("V17", "invalid")]
    assert [finding[:2] for finding in found(still)] == expected
    assert [finding[:2] for finding in found(probed(still, moved=0.1, stochastic=True, averaged=True))] == [("V02", "info")]


def test_v05_is_nothing_to_clean_cells(clean: Evidence) -> None:
    assert "V05" not in judge(replace(clean, probed=replace(HONEST, autograd=3))).checked


def climbing(evidence: Evidence, late: float, threat: str = "white-box", passes: float = 20, right: int = 20) -> Evidence:
    """Twenty cases whose loss rises from 0 to 1, `late` of it in the last quarter; the first `right` are still right."""
    shown = replace(evidence, threat=threat, passes=passes)
    for label, value in (("first", 0.0), ("three-quarters", 1 - late), ("last", 0.5), ("highest", 1.0)):
        shown = with_rows(shown, "loss-path", dict.fromkeys(cases(20, 0), value), label)
    return with_rows(shown, "correct", cases(20, right))


def test_v10_finds_a_loss_that_still_climbs(attacked: Evidence) -> None:
    assert found(climbing(attacked, 0.25))[0][:2] == ("V10", "warn")
    assert found(climbing(attacked, 0.25, "black-box"))[0][:2] == ("V10", "info")
    assert not found(climbing(attacked, 0.09))
    assert not found(climbing(attacked, 0.25, right=1)), "nearly every case is fooled already"
    assert attacked.cell.attack
    control = replace(attacked.cell, attack=replace(attacked.cell.attack, options={"control": True}))
    assert "V10" not in judge(replace(climbing(attacked, 0.25, "black-box"), cell=control)).checked
    for other in (climbing(attacked, 0.25, passes=2), climbing(attacked, 0.25, threat="no-box"), attacked):
        assert "V10" not in judge(other).checked


def test_v11_finds_success_that_was_not_returned(attacked: Evidence) -> None:
    assert found(with_rows(attacked, "silent-success", cases(50, 1)))[0][:2] == ("V11", "invalid")
    assert not found(with_rows(attacked, "silent-success", cases(200, 2)))


def test_v13_finds_success_that_saving_undoes(attacked: Evidence) -> None:
    saved = with_rows(attacked, "survives-saving", cases(20, 17))
    assert found(saved)[0][:2] == ("V13", "warn")
    assert not found(with_rows(saved, "fooled", cases(20, 17))), "the others were wrong when clean, or are right"
    assert not found(with_rows(attacked, "survives-saving", cases(20, 18)))


def test_v15_finds_restarts_that_end_apart(attacked: Evidence) -> None:
    apart = with_rows(with_rows(attacked, "restart-loss", {"a": 0.4}, "lowest"), "restart-loss", {"a": 1.0}, "highest")
    assert found(apart)[0][:2] == ("V15", "warn")
    near = with_rows(with_rows(attacked, "restart-loss", {"a": 0.6}, "lowest"), "restart-loss", {"a": 1.0}, "highest")
    assert not found(near)
    assert "V15" not in judge(with_rows(attacked, "restart-loss", {"a": 1.0}, "highest")).checked


def leaking(evidence: Evidence, repaired: int, **further: object) -> Evidence:
    """Twenty cases that are wrong when clean, and how many of them come out right."""
    asked = replace(evidence, **{"threat": "white-box", "passes": 10, **further})  # type: ignore[arg-type]
    return with_rows(with_rows(asked, "clean-correct", cases(20, 0)), "correct", cases(20, repaired))


def test_v17_finds_wrong_cases_that_come_out_right(attacked: Evidence) -> None:
    assert found(leaking(attacked, 3))[0][:2] == ("V17", "invalid")
    assert not found(leaking(attacked, 2))
    assert not found(leaking(attacked, 20, passes=0)), "it never asked the target"
    control = replace(attacked.cell, attack=replace(attacked.cell.attack, options={"control": True}))  # type: ignore[type-var]
    assert not found(leaking(attacked, 20, cell=control))


def test_v17_finds_wrong_cases_that_are_left_out_or_counted(attacked: Evidence) -> None:
    clean = with_rows(attacked, "clean-correct", cases(20, 15))
    answered = with_rows(clean, "correct", cases(20, 10))
    assert not found(answered)
    assert "leaves them out" in found(with_rows(clean, "correct", cases(15, 10)))[0][2]
    assert not found(with_rows(answered, "fooled", cases(15, 5)))
    assert "count among" in found(with_rows(answered, "fooled", cases(20, 5)))[0][2]


def test_v19_finds_folded_and_moved_anatomy(attacked: Evidence) -> None:
    assert found(with_rows(attacked, "folding", {"a": 0.03}))[0][:2] == ("V19", "warn")
    assert not found(with_rows(attacked, "folding", {"a": 0.03, "b": 0, "c": 0}))
    assert found(with_rows(attacked, "dice-floor", {"a": 0.85}))[0][:2] == ("V19", "info")
    assert not found(with_rows(attacked, "dice-floor", {"a": 0.95}))


def test_v21_finds_images_that_no_longer_look_alike_unless_nothing_bounds_them(attacked: Evidence) -> None:
    destroyed = with_rows(attacked, "image-ssim", {"a": 0.4, "b": 0.5})
    assert found(destroyed)[0][:2] == ("V21", "warn")
    assert not found(with_rows(attacked, "image-ssim", {"a": 0.6, "b": 0.5}))
    unbounded = replace(attacked.cell, budget=replace(attacked.cell.budget, options={"epsilon": "inf"}))  # type: ignore[type-var]
    assert not found(replace(destroyed, cell=unbounded))
