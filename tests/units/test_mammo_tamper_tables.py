"""The tables of the track `mammo-tamper` on made-up rows, against sums by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from mammo_rows import DETECTORS, EFFECTS, FEATURES, READERS, Effect, images, made, score, tamper_score, texture
from sklearn.metrics import accuracy_score, roc_auc_score

from medrobust.leaderboard.build import FILES, text
from medrobust.leaderboard.evidence import COLUMNS, Evidence, evidence
from medrobust.leaderboard.mammo_tamper.areas import succeeded
from medrobust.leaderboard.mammo_tamper.clean import clean
from medrobust.leaderboard.mammo_tamper.cost import cost
from medrobust.leaderboard.mammo_tamper.defense import defense
from medrobust.leaderboard.mammo_tamper.detection import detection
from medrobust.leaderboard.mammo_tamper.lesions import lesions
from medrobust.leaderboard.mammo_tamper.readers import readers
from medrobust.leaderboard.mammo_tamper.rule import attacked, injected, step, threshold
from medrobust.leaderboard.mammo_tamper.stopping import Checkpoint, Stop, distances, stop, stopping
from medrobust.leaderboard.page import page
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.tables import Entry, Table, Validity
from medrobust.stats import Scored, delong_paired
from medrobust.stats.distance import kernel_distance, standardised

SIZE = "256x256"
ALL = images()
TRUTH = np.array([image.cancerous for image in ALL])
PATIENTS = [image.patient for image in ALL]
CASES = [image.case for image in ALL]


def section(found: Evidence) -> Section:
    (only,) = sections(found)
    return only


def entry(table: Table, labels: tuple[str, ...], column: str) -> Entry:
    index = [one.name for one in table.columns].index(column)
    return next(line.entries[index] for line in table.lines if line.labels == labels)


def said(reader: str, effect: Effect | None = None) -> np.ndarray:
    return np.array([score(reader, image, effect) for image in ALL])


def seen(detector: str, effect: Effect | None = None) -> np.ndarray:
    return np.array([tamper_score(detector, image, effect) for image in ALL])


@pytest.fixture(scope="module")
def whole() -> Evidence:
    return made()


@pytest.fixture(scope="module")
def here(whole: Evidence) -> Section:
    return section(whole)


def test_attacks_stand_in_the_order_of_their_steps(here: Section) -> None:
    assert attacked(here) == ("tamper@1000", "tamper@2000", "tamper@3000", "tamper@4000")
    assert [step(name) for name in ("tamper@40", "tamper", "a@b@3", "tamper@x", "tamper@-1")] == [40, None, None, None, None]


def test_areas_are_those_of_the_scores_and_the_intended_truth_is_their_complement(here: Section) -> None:
    (table,) = readers(here)
    assert [line.labels[1:] for line in table.lines[:4]] == [*((name, "tamper@1000") for name in READERS), ("all readers", "tamper@1000")]
    for name in READERS:
        for attack, effect in EFFECTS.items():
            labels = (SIZE, name, attack)
            before, after = (roc_auc_score(TRUTH, said(name, one)) for one in (None, effect))
            assert entry(table, labels, "originals").estimate == pytest.approx(before)
            modified, intended = (entry(table, labels, f"modified, {truth} truth") for truth in ("original", "intended"))
            assert modified.estimate == pytest.approx(after)
            assert (intended.estimate, intended.low, intended.high) == (1 - modified.estimate, 1 - modified.high, 1 - modified.low)
            assert modified.low <= after <= modified.high
            assert modified.best is (modified.high < 0.5)
            assert not intended.best
            assert entry(table, labels, "originals less modified").estimate == pytest.approx(before - after)
            assert (modified.patients, modified.cases) == (16, 32)
    assert entry(table, (SIZE, READERS[0], "tamper@3000"), "modified, original truth").best, "the whole interval is below one half"
    assert not entry(table, (SIZE, READERS[0], "tamper@1000"), "modified, original truth").best


def test_an_attack_has_succeeded_where_the_whole_interval_is_below_one_half() -> None:
    able = Entry(0.8, 0.51, 0.9)
    assert succeeded(Entry(0.3, 0.1, 0.49), able).best
    assert not succeeded(Entry(0.3, 0.1, 0.5), able).best
    assert not succeeded(Entry(0.3), able).best, "without an interval nothing is beyond doubt"
    assert not succeeded(Entry(0.3, 0.1, 0.4, validity=Validity("invalid")), able).best
    assert not succeeded(Entry(0.3, 0.1, 0.4), Entry(0.8, 0.5, 0.9)).best, "a reader at chance is not turned round"


def test_the_difference_is_delongs_for_the_same_images_with_patients_as_clusters(here: Section) -> None:
    (table,) = readers(here)
    samples = [Scored.of(said(READERS[0], one), TRUTH, CASES, PATIENTS) for one in (None, EFFECTS["tamper@1000"])]
    expected = delong_paired(*samples)
    found = entry(table, (SIZE, READERS[0], "tamper@1000"), "originals less modified")
    assert (found.low, found.high) == pytest.approx((expected.difference.low, expected.difference.high))
    assert entry(table, (SIZE, READERS[0], "tamper@1000"), "p").estimate == pytest.approx(expected.p)
    alone = delong_paired(*(Scored.of(one.scores, one.positive, one.cases) for one in samples))
    assert found.high != pytest.approx(alone.difference.high), "two images of one patient are not two patients"


def test_all_readers_are_the_mean_of_each_and_need_two(whole: Evidence, here: Section) -> None:
    (table,) = readers(here)
    for column in ("originals", "modified, original truth", "modified, intended truth", "originals less modified"):
        each = [entry(table, (SIZE, name, "tamper@1000"), column).estimate for name in READERS]
        found = entry(table, (SIZE, "all readers", "tamper@1000"), column)
        assert found.estimate == pytest.approx(np.mean(each))
        assert found.low < found.estimate < found.high
    (alone,) = readers(section(made(models=READERS[:1])))
    assert "all readers" not in {line.labels[1] for line in alone.lines}
    (two,) = readers(section(made(changes={f"{READERS[0]} tamper@1000": {"status": "failed", "error": "broke"}})))
    found = entry(two, (SIZE, "all readers", "tamper@1000"), "modified, original truth")
    others = [entry(table, (SIZE, name, "tamper@1000"), "modified, original truth").estimate for name in READERS[1:]]
    assert found.estimate == pytest.approx(np.mean(others))
    assert found.validity.reasons == ("mean without mammo-resnet, which cannot be used",)
    assert entry(two, (SIZE, READERS[0], "tamper@1000"), "modified, original truth").note == "failed"
    assert entry(two, (SIZE, READERS[0], "tamper@1000"), "originals").estimate is not None


def test_an_invalid_reader_enters_no_mean() -> None:
    (table,) = readers(section(made(changes={f"{READERS[1]} tamper@1000": {"level": "invalid", "reasons": ("V1: no",)}})))
    found = entry(table, (SIZE, "all readers", "tamper@1000"), "modified, original truth")
    each = [roc_auc_score(TRUTH, said(name, EFFECTS["tamper@1000"])) for name in (READERS[0], READERS[2])]
    assert found.estimate == pytest.approx(np.mean(each))
    assert entry(table, (SIZE, READERS[1], "tamper@1000"), "modified, original truth").validity.level == "invalid"


def test_detection_is_all_images_in_both_forms(here: Section) -> None:
    (table,) = detection(here)
    assert {line.labels[1] for line in table.lines} == set(DETECTORS)
    for name in DETECTORS:
        for attack, effect in EFFECTS.items():
            labels = (SIZE, name, attack)
            before, after = seen(name), seen(name, effect)
            both, forms = np.concatenate([before, after]), np.repeat([0, 1], len(ALL))
            assert entry(table, labels, "AUC").estimate == pytest.approx(roc_auc_score(forms, both))
            for which, kept in (("injected", ~TRUTH), ("removed", TRUTH)):
                expected = roc_auc_score(np.repeat([0, 1], kept.sum()), np.concatenate([before[kept], after[kept]]))
                assert entry(table, labels, f"AUC, {which}").estimate == pytest.approx(expected)
            limit = np.sort(before)[-2]
            assert entry(table, labels, "found at 5 % false alarms").estimate == pytest.approx((after > limit).mean())
            assert entry(table, labels, "false alarms").estimate == pytest.approx(1 / 32), "one of 32 is as many as 5 % allow"
    found = entry(table, (SIZE, DETECTORS[0], "tamper@2000"), "AUC")
    assert (found.patients, found.cases) == (16, 64)
    assert entry(table, (SIZE, DETECTORS[0], "tamper@2000"), "p").estimate < 0.01
    assert entry(table, (SIZE, DETECTORS[1], "tamper@1000"), "p").estimate > 0.05, "hardly raised: not told from guessing"


def test_a_threshold_lets_no_more_than_its_share_pass() -> None:
    assert threshold([0.1, 0.2, 0.3, 0.4], 0.25) == 0.3
    assert threshold([0.1, 0.2, 0.3, 0.4], 0.24) == 0.4
    assert threshold([0.5, 0.5, 0.5, 0.1], 0.25) == 0.5, "equal scores raise an alarm together or not at all"
    assert threshold([0.7], 0.05) == 0.7
    for size in (1, 7, 20, 21, 100):
        scores = np.random.default_rng(size).random(size)
        assert (scores > threshold(scores, 0.05)).mean() <= 0.05
    assert (np.arange(20) > threshold(np.arange(20.0), 0.05)).sum() == 1


def test_injection_raises_and_removal_lowers_the_share_called_cancerous(here: Section) -> None:
    shares, means = lesions(here)
    for name in READERS:
        for attack, effect in EFFECTS.items():
            labels = (SIZE, name, attack)
            before, after = said(name), said(name, effect)
            for kind, kept in (("healthy", ~TRUTH), ("cancerous", TRUTH)):
                for table, values in ((shares, (before >= 0.5, after >= 0.5)), (means, (before, after))):
                    untouched, tampered = (np.mean(value[kept]) for value in values)
                    index = [column.name for column in table.columns].index(f"{kind}, untouched")
                    line = next(one for one in table.lines if one.labels == labels)
                    found = [one.estimate for one in line.entries[index : index + 3]]
                    assert found == pytest.approx([untouched, tampered, tampered - untouched])
                    assert line.entries[index].cases == 16
    names = [column.name for column in shares.columns]
    assert names == ["healthy, untouched", "healthy, injected", "difference", "cancerous, untouched", "cancerous, removed", "difference"]


def test_what_is_not_shown_to_be_lesion_like_is_marked() -> None:
    shares, _ = lesions(section(made({"tamper@1": Effect(0.0, 0.1, 0.1, 0.1), "tamper@2": Effect(0.4, 0.1, 0.1, 0.1)})))
    still, moved = (next(line for line in shares.lines if line.labels == (SIZE, READERS[0], name)) for name in ("tamper@1", "tamper@2"))
    assert [one.validity.level for one in still.entries] == ["ok", "ok", "warn"] * 2
    assert still.entries[2].estimate == still.entries[5].estimate == 0
    assert still.entries[2].low < 0 < still.entries[2].high, "sixteen images that do not move are no proof that none does"
    assert {one.validity.level for one in moved.entries} == {"ok"}
    assert moved.entries[5].high < 0 < moved.entries[2].low


def test_the_rule_takes_the_closest_of_those_without_grids() -> None:
    def at(number: int, high: float | None, distance: float | None, level: str = "ok") -> Checkpoint:
        grid = Entry(0.0 if high is None else high - 1, high=high, low=high, validity=Validity(level))
        return Checkpoint(f"tamper@{number}", number, grid, Entry(distance, validity=Validity("missing" if distance is None else "ok")))

    assert stop([at(1, 1.0, 5.0), at(2, 2.9, 2.0), at(3, 2.0, 3.0), at(4, 3.0, 0.1)]) == Stop("tamper@2", "tamper@3")
    assert stop([at(1, 1.0, None), at(2, 2.9, None)]) == Stop("tamper@2", "tamper@2"), "without distances the last"
    assert stop([at(1, 1.0, 2.0), at(2, 2.9, 2.0)]) == Stop("tamper@2", "tamper@2"), "equally close: the last"
    assert stop([at(1, 1.0, 2.0), at(2, 2.9, None)]).here == "tamper@1"
    assert stop([at(1, 1.0, -0.2), at(2, 1.0, 0.0)]).here == "tamper@1", "an unbiased distance may be below 0"
    assert stop([at(1, 4.0, 1.0), at(2, None, 0.5)]) == Stop()
    assert stop([at(1, 1.0, 1.0, "invalid"), at(2, 1.0, 2.0)]).here == "tamper@2"
    assert stop([]) == Stop()


def test_the_stopping_table_says_where_to_stop(here: Section) -> None:
    table, *_ = stopping(here)
    assert [line.labels[1:] for line in table.lines] == [
        *(("tamper@1000", ""), ("tamper@2000", "here")),
        *(("tamper@3000", "at the latest"), ("tamper@4000", "")),
    ]
    assert "Its answer, 256x256: stop at tamper@2000 (tamper@3000 is the last without grids)." in table.caption
    labels = (SIZE, "tamper@3000", "at the latest")
    rows = here.rows[(here.rows.metric == "grid-index") & (here.rows.target == READERS[0])]
    before, after = (rows[rows.attack == name].value.mean() for name in ("none", "tamper@3000"))
    found = [entry(table, labels, name) for name in ("grid index, clean", "tampered", "difference")]
    assert [one.estimate for one in found] == pytest.approx([before, after, after - before])
    assert found[2].high - found[2].low < 0.2 * (found[1].high - found[1].low), "what is in an image before is in it after"
    assert entry(table, labels, "difference at its worst").estimate == pytest.approx(2 * (after - before))
    assert entry(table, labels, "change in the lesion").estimate == pytest.approx(0.6, abs=0.01)
    assert entry(table, labels, "change in the lesion").cases == 16, "of images with a lesion"
    assert entry(table, labels, "lesion by area").estimate == pytest.approx(0.1)
    assert entry(table, labels, "change").cases == 32
    noticed = [entry(detection(here)[0], (SIZE, name, "tamper@3000"), "AUC").estimate for name in DETECTORS]
    assert entry(table, labels, "best detection AUC").estimate == max(noticed)
    fooled = entry(readers(here)[0], (SIZE, "all readers", "tamper@3000"), "modified, original truth").estimate
    assert entry(table, labels, "readers' AUC, modified").estimate == fooled


def test_where_every_checkpoint_leaves_grids_the_answer_is_none() -> None:
    table, *_ = stopping(section(made({"tamper@1": Effect(0.3, 0.3, 3.5, 0.5), "tamper@2": Effect(0.3, 0.3, 9.0, 0.5)})))
    assert {line.labels[2] for line in table.lines} == {""}
    assert "Its answer, 256x256: none, every checkpoint leaves grids or was not measured." in table.caption
    assert not stopping(section(made({"tamper": EFFECTS["tamper@1000"]}))), "without a step there is nothing to choose from"


def test_distances_are_of_sets_and_chance_is_two_halves_of_the_real_ones(here: Section) -> None:
    (table,) = distances(here)
    assert [line.labels[1:] for line in table.lines[:3]] == [
        ("untouched", "healthy", "cancerous"),
        ("untouched", "cancerous", "healthy"),
        ("tamper@1000", "healthy, injected", "cancerous"),
    ]
    order = np.argsort(FEATURES)
    real, made_up = (
        np.array([texture(image, effect)[order] for image in ALL if image.cancerous is kind])
        for kind, effect in ((True, None), (False, EFFECTS["tamper@2000"]))
    )
    labels = (SIZE, "tamper@2000", "healthy, injected", "cancerous")
    found = entry(table, labels, "kernel distance")
    assert found.estimate == pytest.approx(kernel_distance(*reversed(standardised(real, made_up))))
    assert found.low < found.estimate < found.high
    by_chance = entry(table, labels, "two halves of the real ones")
    assert by_chance.low < 0 < by_chance.high, "unbiased"
    assert abs(by_chance.estimate) < by_chance.high
    assert found.estimate > by_chance.high, "not yet like the real ones"
    start = entry(table, (SIZE, "untouched", "healthy", "cancerous"), "kernel distance").estimate
    later = [entry(table, (SIZE, name, "healthy, injected", "cancerous"), "kernel distance").estimate for name in sorted(EFFECTS)]
    assert start > later[0] > later[2] > later[1] > later[3], "in the order of how near each comes"
    assert (found.patients, found.cases) == (16, 32)


def test_a_detector_lets_pass_what_it_does_not_alarm(here: Section) -> None:
    (table,) = defense(here)
    assert len(table.lines) == len(READERS) * len(DETECTORS) * len(EFFECTS)
    for attack, effect in EFFECTS.items():
        reader, detector = READERS[1], DETECTORS[0]
        before, after = said(reader), said(reader, effect)
        fooled = ((before >= 0.5) == TRUTH) & ((after >= 0.5) != TRUTH)
        passed = fooled & (seen(detector, effect) <= np.sort(seen(detector))[-2])
        names = ("fooled", "of these passed", "fooled and unnoticed", "difference", "false alarms")
        found = [entry(table, (SIZE, reader, detector, attack), name).estimate for name in names]
        share, rest = fooled.mean(), passed.mean()
        assert found == pytest.approx([share, rest / share, rest, rest - share, 1 / 32])
    gone = entry(table, (SIZE, READERS[1], DETECTORS[0], "tamper@3000"), "difference")
    assert gone.high < 0


def test_clean_images_have_an_area_an_accuracy_and_a_sensitivity(here: Section) -> None:
    (table,) = clean(here)
    for name in READERS:
        found = said(name)
        assert entry(table, (SIZE, name), "AUC").estimate == pytest.approx(roc_auc_score(TRUTH, found))
        assert entry(table, (SIZE, name), "accuracy").estimate == pytest.approx(accuracy_score(TRUTH, found >= 0.5))
        limit = np.sort(found[~TRUTH])[-2]
        assert entry(table, (SIZE, name), "sensitivity at 90 % specificity").estimate == pytest.approx((found[TRUTH] > limit).mean())


def test_accuracy_is_given_by_density_where_there_is_one() -> None:
    found = made({}, READERS[:1])
    rows = found.rows[(found.rows.metric == "correct")]
    by = rows.assign(label=["density 1" if case.endswith("CC") else "density 2" for case in rows.case])
    joined = evidence(found.suite, pd.concat([found.rows, by])[list(COLUMNS)], found.records)
    (table,) = clean(section(joined))
    name = READERS[0]
    first = np.array([image.case.endswith("CC") for image in ALL])
    right = (said(name) >= 0.5) == TRUTH
    assert entry(table, (SIZE, name), "accuracy").estimate == pytest.approx(right.mean())
    assert entry(table, (SIZE, name), "accuracy, density 1").estimate == pytest.approx(right[first].mean())
    assert entry(table, (SIZE, name), "accuracy, density 2").estimate == pytest.approx(right[~first].mean())


def test_costs_have_a_line_a_cell(here: Section) -> None:
    (table,) = cost(here)
    assert len(table.lines) == 5 * (1 + len(EFFECTS))
    assert entry(table, (SIZE, DETECTORS[0], "tamper@1000"), "seconds").estimate == pytest.approx(0.1)


def test_attacks_of_one_direction_do_the_same_to_every_image() -> None:
    kinds = np.array([True, False])
    assert [injected(name, kinds).tolist() for name in ("tamper@1", "inject@1", "remove")] == [[False, True], [True, True], [False, False]]
    found = section(made({"inject@1": EFFECTS["tamper@2000"]}))
    (table,) = readers(found)
    assert {line.entries[2].note for line in table.lines} == {"one class"}
    assert {line.entries[1].estimate is not None for line in table.lines} == {True}
    shares, _ = lesions(found)
    assert {line.entries[5].note for line in shares.lines} == {"not done"}
    (detected,) = detection(found)
    assert {line.entries[3].note for line in detected.lines} == {"not measured"}


def test_several_seeds_of_an_attack_count_with_their_mean(whole: Evidence) -> None:
    rows, records = whole.rows[list(COLUMNS)], list(whole.records)
    shifted = rows[(rows.attack == "tamper@1000") & (rows.target == READERS[0])].assign(seed=1)
    shifted.loc[shifted.metric == "score", "value"] = 1 - shifted.value
    again = next(one for one in records if (one.attack, one.target) == ("tamper@1000", READERS[0]))
    both = evidence("x", pd.concat([rows, shifted]), [*records, replace(again, seed=1, digest="f" * 12)])
    (table,) = readers(section(both))
    assert entry(table, (SIZE, READERS[0], "tamper@1000"), "modified, original truth").estimate == 0.5
    assert entry(table, (SIZE, READERS[0], "tamper@1000"), "modified, original truth").cases == len(ALL)


def test_the_page_holds_every_table_in_every_form(whole: Evidence) -> None:
    drawn = page(whole)
    (chapter,) = drawn.chapters
    names = [part.name for part in chapter.parts]
    assert names == [
        *("readers", "detection", "stopping", "distances", "grids-figure", "noticed-figure", "noticed", "roc-figure", "roc"),
        *("lesions", "lesions-scores", "defense", "clean", "cost", "paper-low", "paper-high", "paper-published"),
    ]
    for form in FILES:
        assert "tamper@2000" in text(drawn, form)
    for table in chapter.tables:
        for line in table.lines:
            for one in line.entries:
                assert not any(value is not None and math.isnan(value) for value in (one.estimate, one.low, one.high))
                assert one.estimate is not None or one.note
