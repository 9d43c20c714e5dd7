"""The track `mammo-tamper` where there is nothing to measure, nothing varies, or rows are broken: a documented entry, never NaN, never a crash."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from mammo_rows import DETECTORS, EFFECTS, READERS, Effect, images, made

from medrobust.leaderboard.build import text
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.mammo_tamper.areas import area
from medrobust.leaderboard.mammo_tamper.clean import clean
from medrobust.leaderboard.mammo_tamper.defense import defense
from medrobust.leaderboard.mammo_tamper.detection import detection
from medrobust.leaderboard.mammo_tamper.distances import Images, Pair, distance, halves
from medrobust.leaderboard.mammo_tamper.lesions import lesions
from medrobust.leaderboard.mammo_tamper.rates import rate_difference
from medrobust.leaderboard.mammo_tamper.readers import readers
from medrobust.leaderboard.mammo_tamper.readings import Readings
from medrobust.leaderboard.mammo_tamper.roc import roc
from medrobust.leaderboard.mammo_tamper.stopping import stopping
from medrobust.leaderboard.mammo_tamper.sweep import sweep
from medrobust.leaderboard.page import Page, page
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.tables import Entry, Table, Validity
from medrobust.leaderboard.traces import Trace, traces
from medrobust.stats import Scored, auc_interval

ONE = {"tamper@1000": EFFECTS["tamper@1000"]}
TWO = {**ONE, "tamper@2000": EFFECTS["tamper@2000"]}
Row = dict[str, object]
LABELS = ("256x256", READERS[0], "tamper@1000")


def section(found: Evidence) -> Section:
    (only,) = sections(found)
    return only


def entry(table: Table, labels: tuple[str, ...], column: str) -> Entry:
    index = [one.name for one in table.columns].index(column)
    return next(line.entries[index] for line in table.lines if line.labels == labels)


def cancerous(row: Row) -> bool:
    return int(str(row["patient"])[1:]) % 2 == 1


def only_cancer(row: Row) -> Row | None:
    return row if cancerous(row) else None


def tied(row: Row) -> Row:
    if row["metric"] in ("score", "tamper-score"):
        return {**row, "value": 0.5}
    return {**row, "value": float(cancerous(row))} if row["metric"] == "correct" else row


def one_patient(row: Row) -> Row | None:
    return row if row["patient"] in ("p00", "p01") else None


def no_scores(row: Row) -> Row | None:
    return None if row["metric"] in ("score", "correct") else row


def no_texture(row: Row) -> Row | None:
    return None if row["metric"] in ("texture", "grid-index", "local-grid-index", "change", "change-in-lesion") else row


def flat(row: Row) -> Row:
    return {**row, "value": 1.0} if row["metric"] in ("texture", "grid-index", "local-grid-index", "change", "change-in-lesion") else row


SETS = {
    "one class": lambda: made(ONE, kept=only_cancer),
    "all tied": lambda: made(ONE, kept=tied),
    "a patient of each kind": lambda: made(ONE, kept=one_patient),
    "told apart": lambda: made({"tamper@1000": Effect(0.95, 0.69, 9.0, 1.0)}),
    "untouched": lambda: made({"tamper@1000": Effect(0.0, 0.0, 0.0, 0.0)}),
    "no reader": lambda: made(ONE, DETECTORS),
    "no detector": lambda: made(ONE, READERS),
    "detectors without truth": lambda: made(ONE, kept=no_scores),
    "no artefacts": lambda: made(ONE, kept=no_texture),
    "flat artefacts": lambda: made(ONE, kept=flat),
    "no attack": lambda: made({}),
    "nothing clean": lambda: made(ONE, changes={f"{name} none": {"status": "queued"} for name in (*READERS, *DETECTORS)}),
    "nothing attacked": lambda: made(ONE, changes={f"{name} tamper@1000": {"status": "queued"} for name in (*READERS, *DETECTORS)}),
    "a reader misses an attack": lambda: made(TWO, planned=lambda model, attack: (model, attack) != (READERS[0], "tamper@1000")),
    "invalid": lambda: made(ONE, changes={f"{name} tamper@1000": {"level": "invalid", "reasons": ("V1: no",)} for name in READERS}),
}


def entries(found: Page) -> Iterator[Entry]:
    for chapter in found.chapters:
        yield from (one for table in chapter.tables for line in table.lines for one in line.entries)


@pytest.mark.parametrize("name", SETS)
def test_every_page_is_drawn_and_no_entry_is_silent(name: str) -> None:
    drawn = page(SETS[name]())
    for one in entries(drawn):
        numbers = [value for value in (one.estimate, one.low, one.high) if value is not None]
        assert np.isfinite(numbers).all()
        assert one.note or one.estimate is not None
        assert one.low is None or one.low <= one.estimate <= one.high
        assert (one.low is None) is (one.high is None)
    assert "nan" not in text(drawn, "csv").replace("malignant", "")


def test_one_class_has_no_area_and_says_which_is_missing() -> None:
    found = section(SETS["one class"]())
    (table,) = readers(found)
    assert [line.labels[1] for line in table.lines] == list(READERS), "no mean of what none has"
    assert {one.note for line in table.lines for one in line.entries} == {"no healthy image"}
    shares, _ = lesions(found)
    assert [one.note for one in shares.lines[0].entries[:3]] == ["no healthy image"] * 3
    assert shares.lines[0].entries[4].estimate is not None
    (detected,) = detection(found)
    assert entry(detected, ("256x256", DETECTORS[0], "tamper@1000"), "AUC").estimate is not None, "tampered or not does not ask for both kinds"
    assert entry(detected, ("256x256", DETECTORS[0], "tamper@1000"), "AUC, injected").note == "not measured"


def test_scores_that_are_all_tied_guess_and_have_an_honest_interval() -> None:
    found = section(SETS["all tied"]())
    (table,) = readers(found)
    modified = entry(table, LABELS, "modified, original truth")
    assert modified.estimate == 0.5
    assert modified.low < 0.4
    assert modified.high > 0.6
    assert modified.validity == Validity("info", ("all scores tied: exact interval",))
    assert entry(table, LABELS, "originals less modified").estimate == 0
    (detected,) = detection(found)
    labels = ("256x256", DETECTORS[0], "tamper@1000")
    assert [entry(detected, labels, name).estimate for name in ("AUC", "p", "found at 5 % false alarms", "false alarms")] == [0.5, 1, 0, 0]


def test_a_detector_without_error_keeps_an_interval() -> None:
    found = section(SETS["told apart"]())
    (detected,) = detection(found)
    labels = ("256x256", DETECTORS[0], "tamper@1000")
    best = entry(detected, labels, "AUC")
    assert (best.estimate, best.high) == (1, 1)
    assert best.low < 0.95, "sixteen patients are no proof that it never errs"
    assert best.validity.reasons == ("every pair of images told apart: exact interval",)
    assert 0 < entry(detected, labels, "p").estimate < 0.05
    (table,) = readers(found)
    fooled = entry(table, LABELS, "modified, original truth")
    assert (fooled.estimate, fooled.low, fooled.best) == (0, 0, True)
    assert fooled.high > 0.05
    (stopped, *_) = stopping(found)
    assert stopped.lines[0].labels[2] == ""


def test_where_no_reader_is_fooled_none_pass() -> None:
    (table,) = defense(section(SETS["untouched"]()))
    labels = ("256x256", READERS[0], DETECTORS[0], "tamper@1000")
    assert entry(table, labels, "of these passed").note == "none fooled"
    fooled = entry(table, labels, "fooled")
    assert fooled.estimate == 0
    assert fooled.high > 0.05
    change = entry(table, labels, "difference")
    assert change.low < change.estimate == 0 < change.high


def test_without_texture_the_rule_still_answers() -> None:
    def bare(row: Row) -> Row | None:
        return None if row["metric"] == "texture" else row

    table, *others = stopping(section(made(kept=bare)))
    assert not others
    assert [line.labels[1] for line in table.lines if line.labels[2] == "here"] == ["tamper@3000"], "the last without grids"
    assert {line.entries[4].note for line in table.lines} == {"not measured"}


def test_a_cell_that_is_not_there_is_said_not_to_be() -> None:
    (table,) = readers(section(SETS["nothing attacked"]()))
    assert entry(table, LABELS, "modified, original truth").note == "not run"
    assert entry(table, LABELS, "originals").estimate is not None
    (table,) = readers(section(SETS["a reader misses an attack"]()))
    assert (READERS[0], "tamper@1000") not in {line.labels[1:] for line in table.lines}
    assert (READERS[0], "tamper@2000") in {line.labels[1:] for line in table.lines}
    assert ("all readers", "tamper@1000") in {line.labels[1:] for line in table.lines}
    (table,) = clean(section(made(ONE, changes={f"{READERS[0]} none": {"status": "failed", "error": "x"}})))
    assert table.lines[0].labels[1] == READERS[0]
    assert {one.note for one in table.lines[0].entries} == {"failed"}


def test_readers_that_disagree_about_the_truth_are_not_believed() -> None:
    def broken(row: Row) -> Row:
        wrong = (row["target"], row["metric"], row["case"]) == (READERS[1], "correct", images()[3].case)
        return {**row, "value": 1 - float(str(row["value"]))} if wrong else row

    (table,) = readers(section(made(ONE, kept=broken)))
    bad, good = (entry(table, ("256x256", name, "tamper@1000"), "originals") for name in (READERS[1], READERS[0]))
    assert bad.validity.level == "invalid"
    assert bad.validity.reasons == (f"1 images are cancerous to one reader's rows and healthy to another's ({images()[3].case}, ...)",)
    assert good.validity.level == "ok"
    mean = entry(table, ("256x256", "all readers", "tamper@1000"), "originals")
    assert mean.validity.reasons == ("mean without mammo-resnet-2, which cannot be used",)


def test_a_case_that_misses_a_score_is_counted_as_missing() -> None:
    def lost(row: Row) -> Row | None:
        gone = (row["target"], row["attack"], row["metric"]) in {(READERS[0], "tamper@1000", "score"), (DETECTORS[0], "tamper@1000", "tamper-score")}
        return None if gone and row["case"] == images()[0].case else row

    found = section(made(ONE, kept=lost))
    (table,) = readers(found)
    for column, cases in (("modified, original truth", 31), ("originals less modified", 31), ("originals", 32)):
        one = entry(table, LABELS, column)
        assert (one.cases, one.validity.level) == (cases, "ok" if cases == 32 else "warn")
    (detected,) = detection(found)
    both = entry(detected, ("256x256", DETECTORS[0], "tamper@1000"), "AUC")
    assert (both.cases, both.expected, both.validity.level) == (62, 64, "warn")
    (shares, _) = lesions(found)
    assert shares.lines[0].entries[0].cases == 15
    assert shares.lines[0].entries[0].validity.level == "warn"
    (behind,) = defense(found)
    assert behind.lines[0].entries[0].validity.level == "warn"


def test_figures_leave_out_what_is_invalid() -> None:
    figure, *_ = roc(section(SETS["invalid"]()))
    assert set(figure.points[READERS[0]]) == {"originals", "guessing"}
    assert set(figure.points[DETECTORS[0]]) == {"tamper@1000", "guessing"}
    changes = {f"{name} tamper@2000": {"level": "invalid", "reasons": ("V1: no",)} for name in (*READERS, *DETECTORS)}
    grids, noticed, _ = sweep(section(made(changes=changes)))
    assert [point[0] for point in grids.points["256x256, grid index"]["tampered less clean"]] == [1000, 3000, 4000]
    assert [point[0] for point in noticed.points["256x256, detectors"][DETECTORS[0]]] == [1000, 3000, 4000]


def test_a_difference_that_is_the_same_everywhere_keeps_an_interval() -> None:
    names = np.array([f"p{number}" for number in range(12)])
    ones, zeros = np.ones(12), np.zeros(12)
    up, level, down = (rate_difference(*both, names) for both in ((ones, zeros), (ones, ones), (zeros, ones)))
    assert (up.estimate, up.high) == (1, 1)
    assert 0.4 < up.low < 0.8
    assert (down.low, down.high) == (-1, -up.low)
    assert level.low == -level.high < 0
    some = rate_difference(np.arange(12) < 6, zeros, names)
    assert some.low < some.estimate == 0.5 < some.high
    assert np.isnan(rate_difference(ones, zeros, np.full(12, "p")).low)
    assert rate_difference(np.ones(48), np.zeros(48), np.arange(48)).low > up.low, "more images say more"


def test_an_area_without_anything_to_read_says_why() -> None:
    assert area(Readings(None, 0, Validity("missing", ("queued",)))).note == "not run"
    scored = Scored.of([0.1, 0.9, 0.4], [False, True, False], ["a", "b", "c"], ["p", "p", "p"])
    lonely = area(Readings(scored, 3, Validity()))
    assert (lonely.estimate, lonely.patients) == (1, 1)


def test_a_distance_of_too_few_images_is_none() -> None:
    few = Images(np.ones((1, 3)), np.array(["a"]), np.array(["p"]))
    some = Images(np.random.default_rng(0).normal(size=(6, 3)), np.array(list("abcdef")), np.array(list("ppqqrr")))
    assert np.isnan(distance([Pair.of(few, some)]).estimate)
    assert np.isnan(halves(few).estimate)
    assert np.isfinite(distance([Pair.of(some, some)]).estimate)
    assert np.isnan(distance([]).estimate)


def test_the_interval_of_detection_holds_its_estimate_where_every_image_scores_a_little_more_than_its_own_original() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=60)
    names = [f"image{row}" for row in range(60)]
    tampered = scores + random.uniform(0, 0.02, 60)
    marked = [f"{name}~" for name in names]
    both = Scored.of([*scores, *tampered], [False] * 60 + [True] * 60, [*names, *marked], [*names, *names])
    found = area(Readings(both, 120, Validity()))
    assert found.estimate is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.estimate < found.high
    resampled = auc_interval(both.scores, both.positive, both.patients)
    assert resampled.estimate < resampled.low, "resampled patients bring their own pairs along too often"


def test_a_figure_draws_an_interval_beside_its_estimate() -> None:
    drawn = traces("name", "title", "words", "data", {"panel": (Trace("one", ((0.0, 0.5, 0.6, 0.7), (1.0, 0.5, 0.4, 0.6))),)}, ("x", "y"))
    assert drawn.points == {"panel": {"one": [[0.0, 0.5, 0.6, 0.7], [1.0, 0.5, 0.4, 0.6]]}}
    assert "<svg" in drawn.svg
