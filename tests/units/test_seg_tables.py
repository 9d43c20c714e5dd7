"""The tables of the track `seg-deform` on made-up rows, against sums by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from seg_rows import CLEAN, EFFECTS, ORGANS, SLICES, SUBJECTS, Effect, attacked_dice, clean_dice, made

from medrobust.leaderboard.build import FILES, text
from medrobust.leaderboard.evidence import COLUMNS, Evidence, evidence
from medrobust.leaderboard.page import page
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.seg_deform.attacks import attacks, models
from medrobust.leaderboard.seg_deform.chance import chance
from medrobust.leaderboard.seg_deform.clean import clean
from medrobust.leaderboard.seg_deform.cost import cost
from medrobust.leaderboard.seg_deform.defense import defense
from medrobust.leaderboard.seg_deform.missed import missed
from medrobust.leaderboard.seg_deform.panels import panels
from medrobust.leaderboard.seg_deform.paper import seg
from medrobust.leaderboard.seg_deform.perceptibility import perceptibility
from medrobust.leaderboard.seg_deform.rule import organs
from medrobust.leaderboard.seg_deform.ruler import ruler
from medrobust.leaderboard.seg_deform.success import success
from medrobust.leaderboard.seg_deform.surface import surface
from medrobust.leaderboard.seg_deform.sweep import sweep
from medrobust.leaderboard.tables import Entry, Figure, Table

PLAIN = ("all", "seg-unet", "none")
DEFENDED = ("all", "seg-unet", "adversarial")


def section(found: Evidence) -> Section:
    (only,) = sections(found)
    return only


def entry(table: Table, labels: tuple[str, ...], column: str) -> Entry:
    index = [one.name for one in table.columns].index(column)
    return next(line.entries[index] for line in table.lines if line.labels == labels)


def changed(found: Evidence, attack: str, **fields: object) -> Evidence:
    """The plain model's cell of this attack with other fields of its record."""
    records = [replace(one, **fields) if (one.attack, one.defense) == (attack, "none") else one for one in found.records]  # type: ignore[arg-type]
    return evidence(found.suite, found.rows[list(COLUMNS)], records)


def without(found: Evidence, attack: str, metric: str, patient: str) -> Evidence:
    """Without a metric of one subject under an attack."""
    rows = found.rows
    gone = (rows.attack == attack) & (rows.metric == metric) & (rows.patient == patient)
    assert gone.any()
    return evidence(found.suite, rows[~gone][list(COLUMNS)], found.records)


@pytest.fixture(scope="module")
def whole() -> Evidence:
    return made()


@pytest.fixture(scope="module")
def here(whole: Evidence) -> Section:
    return section(whole)


def test_the_clean_line_comes_first_and_every_number_is_a_mean_over_subjects(here: Section) -> None:
    (table,) = attacks(here)
    assert [line.labels for line in table.lines] == [(*model, attack) for model in (PLAIN, DEFENDED) for attack in ("clean", *EFFECTS)]
    for organ in ORGANS:
        assert entry(table, (*PLAIN, "clean"), organ).estimate == pytest.approx(CLEAN[organ])
        found = entry(table, (*PLAIN, "xi=2.0"), organ)
        each = [attacked_dice(EFFECTS["xi=2.0"], organ, subject) for subject in range(SUBJECTS)]
        assert found.estimate == pytest.approx(np.mean(each))
        assert found.low < np.mean(each) < found.high
        assert (found.patients, found.cases) == (SUBJECTS, SUBJECTS)
    assert entry(table, (*PLAIN, "pgd"), "p").estimate == pytest.approx(0.09)
    assert entry(table, (*PLAIN, "pgd"), "p").cases == SUBJECTS * SLICES
    assert entry(table, (*PLAIN, "clean"), "p").note == "not measured"


def test_organs_stand_in_the_order_of_their_labels_and_unknown_ones_by_name(whole: Evidence, here: Section) -> None:
    assert organs(here) == ORGANS
    named = whole.rows.assign(label=whole.rows.label.replace({"pancreas": "thymus", "liver": "bladder"}))
    assert organs(section(evidence(whole.suite, named[list(COLUMNS)], whole.records))) == ("bladder", "kidneys", "spleen", "thymus")


def test_clean_slices_are_ranked_and_missed_organs_pooled(here: Section) -> None:
    (table,) = clean(here)
    assert entry(table, PLAIN, "mean").estimate == pytest.approx(np.mean(list(CLEAN.values())))
    pooled = entry(table, PLAIN, "missed organs")
    assert (pooled.estimate, pooled.cases) == (0, SUBJECTS * SLICES * len(ORGANS))
    assert pooled.high > 0, "no miss among 120 is no proof that there is none"
    assert entry(table, PLAIN, "surface distance").estimate == 1


def test_the_worst_case_takes_each_subject_at_its_lowest(here: Section) -> None:
    (table,) = models(here)
    found = entry(table, PLAIN, "worst case, unmoved truth")
    lowest = [
        min(np.mean([attacked_dice(effect, organ, subject) for organ in ORGANS]) for effect in EFFECTS.values()) for subject in range(SUBJECTS)
    ]
    assert found.estimate == pytest.approx(np.mean(lowest))
    best = {line.labels: line.entries[1].best for line in table.lines}
    assert best == {PLAIN: False, DEFENDED: True}
    two = {"a": Effect((0.2,) * 4, odd=0.2), "b": Effect((0.3,) * 4)}
    (table,) = models(section(made(two, (("seg-unet", "none"),))))
    by_hand = np.mean([np.mean([clean_dice(organ, s) for organ in ORGANS]) * (0.6 if s % 2 else 0.7) for s in range(SUBJECTS)])
    assert entry(table, PLAIN, "worst case, unmoved truth").estimate == pytest.approx(by_hand), "neither attack is the worst of every subject"


def test_the_worst_case_waits_for_every_attack_and_leaves_out_invalid_ones(whole: Evidence) -> None:
    (table,) = models(section(changed(whole, "pgd", status="failed", error="broke")))
    assert entry(table, PLAIN, "worst case, unmoved truth").note == "needs every attack"
    (table,) = models(section(changed(whole, "xi=2.0", level="invalid", reasons=("V1: no",))))
    found = entry(table, PLAIN, "worst case, unmoved truth")
    assert found.estimate == pytest.approx(0.5 * np.mean(list(CLEAN.values())))
    assert found.validity.reasons == ("worst case without xi=2.0, which is invalid",)


def test_success_is_a_relative_drop_of_thirty_percent_organ_by_organ(here: Section) -> None:
    table, shares = success(here)
    for attack, falls in (("xi=1.0", (0.20, 0.10, 0.35, 0.45)), ("pgd", (0.5,) * 4)):
        for organ, fall in zip(ORGANS, falls, strict=True):
            assert entry(table, (*PLAIN, attack), organ).estimate == pytest.approx(fall)
    counts = {attack: entry(table, (*PLAIN, attack), "organs down 30 %").estimate for attack in EFFECTS}
    assert counts == {"xi=0.5": 0, "xi=1.0": 2, "xi=2.0": 4, "xi=2 D only": 0, "pgd": 4, "random-field": 0, "random D only": 0}
    assert entry(table, (*DEFENDED, "xi=2.0"), "organs down 30 %").estimate == 2
    assert entry(table, (*PLAIN, "xi=1.0"), "all organs").estimate == 0
    everyone = entry(table, (*PLAIN, "pgd"), "all organs")
    assert (everyone.estimate, everyone.high) == (1, 1)
    assert everyone.low < 1, "ten of ten subjects leave room"
    assert entry(shares, (*PLAIN, "xi=1.0"), "spleen").estimate == 1
    assert entry(shares, (*PLAIN, "xi=1.0"), "any organ").estimate == 1
    assert entry(shares, (*PLAIN, "xi=1.0"), "kidneys").estimate == 0
    found = entry(table, (*PLAIN, "xi=2.0"), "kidneys")
    assert found.low < found.estimate < found.high


def test_a_drop_of_exactly_thirty_percent_counts_and_one_of_half_the_subjects_is_in_doubt() -> None:
    effects = {"exact": Effect((0.3,) * 4), "half": Effect((0.25, 0.5, 0.5, 0.5), odd=0.12), "short": Effect((0.2999,) * 4)}
    table, shares = success(section(made(effects, (("seg-unet", "none"),))))
    counts = {
        attack: [entry(table, (*PLAIN, attack), name).estimate for name in ("organs down 30 %", "of them beyond doubt", "all organs")]
        for attack in effects
    }
    # "exact": every subject falls alike, so nothing is known of how much others would vary, and nothing is beyond doubt.
    assert counts == {"exact": [4, 0, 1], "half": [4, 3, 0.5], "short": [0, 0, 0]}
    pancreas = entry(shares, (*PLAIN, "half"), "pancreas")
    assert pancreas.estimate == 0.5
    assert pancreas.low < 0.35
    assert pancreas.high > 0.65


def test_an_organ_that_was_never_found_cannot_fall() -> None:
    found = made({"pgd": Effect((0.5,) * 4)}, (("seg-unet", "none"),))
    rows = found.rows.copy()
    rows.loc[(rows.metric == "dice") & (rows.label == "pancreas"), "value"] = 0.0
    table, shares = success(section(evidence(found.suite, rows[list(COLUMNS)], found.records)))
    assert entry(table, (*PLAIN, "pgd"), "pancreas").note == "clean Dice is 0"
    assert entry(table, (*PLAIN, "pgd"), "organs down 30 %").note == "needs every organ"
    assert entry(shares, (*PLAIN, "pgd"), "pancreas").note == "not measured"
    assert entry(shares, (*PLAIN, "pgd"), "all organs").estimate == 1, "of the organs that can fall"


def test_the_ruler_tells_what_has_only_moved(here: Section) -> None:
    table, each = ruler(here)
    before = np.mean(list(CLEAN.values()))
    found = {name: entry(table, (*PLAIN, "xi=1.0"), name).estimate for name in ("clean", "unmoved truth", "moved truth", "perfect segmenter", "drop")}
    lost = np.mean([CLEAN[organ] * fall for organ, fall in zip(ORGANS, EFFECTS["xi=1.0"].falls, strict=True)])
    expected = {"clean": before, "unmoved truth": before - lost, "moved truth": before - 0.6 * lost, "perfect segmenter": 1 - 0.4 * lost}
    assert found == pytest.approx({**expected, "drop": lost})
    share = entry(table, (*PLAIN, "xi=1.0"), "only moved truth")
    assert share.estimate == pytest.approx(0.4)
    assert share.low is None, "the same share in every subject has no interval"
    assert (share.patients, share.cases) == (SUBJECTS, SUBJECTS)
    assert entry(table, (*PLAIN, "pgd"), "only moved truth").estimate == 0
    assert entry(each, (*PLAIN, "xi=2 D only", "liver"), "only moved truth").estimate == pytest.approx(0.9)
    assert [line.labels[4] for line in each.lines[:4]] == list(ORGANS)


def test_the_share_has_an_interval_by_subject(whole: Evidence) -> None:
    rows = whole.rows.copy()
    odd = rows.patient.isin([f"s{subject:02d}" for subject in range(1, SUBJECTS, 2)])
    chosen = odd & (rows.attack == "xi=1.0") & (rows.metric == "dice-warped") & (rows.label == "")
    rows.loc[chosen, "value"] += 0.02
    table, _ = ruler(section(evidence(whole.suite, rows[list(COLUMNS)], whole.records)))
    share = entry(table, (*PLAIN, "xi=1.0"), "only moved truth")
    lost = np.mean([CLEAN[organ] * fall for organ, fall in zip(ORGANS, EFFECTS["xi=1.0"].falls, strict=True)])
    assert share.estimate == pytest.approx(0.4 + 0.01 / lost)
    assert share.low < share.estimate < share.high


def test_no_share_is_given_of_a_drop_that_may_be_none() -> None:
    effects = {"nothing": Effect((0.0,) * 4), "barely": Effect((0.008,) * 4, 0.5), "unsure": Effect((-0.05,) * 4, 0.5, odd=0.15)}
    effects["sure"] = Effect((0.02,) * 4, 0.5)
    table, _ = ruler(section(made(effects, (("seg-unet", "none"),))))
    notes = {attack: entry(table, (*PLAIN, attack), "only moved truth").note for attack in effects}
    assert notes == {"nothing": "drop too small", "barely": "drop too small", "unsure": "drop too small", "sure": ""}
    assert entry(table, (*PLAIN, "nothing"), "drop").estimate == pytest.approx(0)


def test_a_subject_without_its_moved_dice_leaves_the_share_and_is_counted(whole: Evidence) -> None:
    table, _ = ruler(section(without(whole, "xi=1.0", "dice-warped", "s03")))
    share = entry(table, (*PLAIN, "xi=1.0"), "only moved truth")
    assert share.estimate == pytest.approx(0.4)
    assert (share.cases, share.expected, share.validity.level) == (SUBJECTS - 1, SUBJECTS, "warn")


def test_an_attack_that_does_not_beat_chance_is_marked(here: Section) -> None:
    (table,) = chance(here)
    plain = [line.labels[3:] for line in table.lines if line.labels[:3] == PLAIN]
    wide = [(attack, "random-field") for attack in ("xi=0.5", "xi=1.0", "xi=2.0", "xi=2 D only", "pgd")]
    assert sorted(plain) == sorted([*wide, ("xi=2 D only", "random D only")]), "random lines are not compared with themselves"
    found = entry(table, (*PLAIN, "xi=2.0", "random-field"), "difference")
    means = [np.mean([attacked_dice(EFFECTS[name], organ, s) for organ in ORGANS for s in range(SUBJECTS)]) for name in ("xi=2.0", "random-field")]
    assert found.estimate == pytest.approx(means[0] - means[1])
    assert found.low < found.estimate < found.high < 0
    marked = {line.labels[3:] for line in table.lines if line.labels[:3] == PLAIN and line.entries[2].validity.level == "warn"}
    assert marked == {("xi=0.5", "random-field"), ("xi=2 D only", "random-field"), ("xi=2 D only", "random D only")}
    reasons = entry(table, (*PLAIN, "xi=2 D only", "random D only"), "difference").validity.reasons
    assert reasons == ("not measurably beyond random",)


def test_doing_more_on_average_is_not_enough() -> None:
    effects = {"unsure": Effect((0.14,) * 4, odd=0.03), "random-field": Effect((0.15,) * 4)}
    (table,) = chance(section(made(effects, (("seg-unet", "none"),))))
    found = entry(table, (*PLAIN, "unsure", "random-field"), "difference")
    assert found.estimate < 0 < found.high
    assert found.validity.reasons == ("not measurably beyond random",)


def test_another_perceptibility_than_that_of_chance_is_no_equal_contest(here: Section) -> None:
    (table,) = chance(here)
    reasons = {line.labels[3:]: line.entries[4].validity.reasons for line in table.lines if line.labels[:3] == PLAIN}
    unequal = {labels: found[0].split(":")[0] for labels, found in reasons.items() if found}
    above, below = "p above that of random", "p below that of random"
    wide = {"xi=0.5": below, "xi=1.0": below, "xi=2 D only": below, "pgd": above}
    assert unequal == {(attack, "random-field"): words for attack, words in wide.items()}, ".074 against .075 is equal, and .056 against .056"
    assert entry(table, (*PLAIN, "pgd", "random-field"), "p, random").estimate == pytest.approx(0.075)
    assert not chance(section(made({"pgd": Effect((0.5,) * 4)}))), "nothing to compare with"


def test_beyond_random_is_asked_of_both_rulers() -> None:
    effects = {"moves": Effect((0.4,) * 4, 0.9, 0.07), "random-field": Effect((0.2,) * 4, 0.2, 0.07)}
    (table,) = chance(section(made(effects, (("seg-unet", "none"),))))
    (line,) = table.lines
    assert [one.validity.level for one in line.entries] == ["ok", "ok", "ok", "warn", "ok", "ok"]
    assert line.entries[3].estimate == pytest.approx(np.mean(list(CLEAN.values())) * (0.16 - 0.04))


def test_what_can_be_seen_is_a_mean_over_slices(here: Section) -> None:
    (table,) = perceptibility(here)
    names = ("p", "mean displacement", "largest displacement", "folded", "lowest shading", "highest shading", "SSIM")
    found = [entry(table, (*PLAIN, "xi=2.0"), name).estimate for name in names]
    assert found == pytest.approx([0.074, 1.5, 6.0, 0, -40, 60, 0.97])
    assert "clean" not in {line.labels[3] for line in table.lines}


def test_missed_organs_are_counted(here: Section) -> None:
    (table,) = missed(here)
    labels = (*PLAIN, "xi=2.0", "pancreas")
    found = [entry(table, labels, name) for name in ("missed", "slices missed", "slices with the organ")]
    assert [one.estimate for one in found] == [pytest.approx(2 / 3), 20, 30]
    assert found[0].low < 2 / 3 < found[0].high
    assert entry(table, (*PLAIN, "clean", "pancreas"), "slices missed").estimate == 0


def test_surfaces_and_costs_have_a_line_a_cell(here: Section) -> None:
    (distances,), (prices,) = surface(here), cost(here)
    assert len(distances.lines) == len(prices.lines) == 2 * (1 + len(EFFECTS))
    assert entry(distances, (*PLAIN, "pgd"), "liver").estimate == 3
    assert entry(prices, (*PLAIN, "pgd"), "forward passes").estimate == 1


def test_a_defense_is_paired_with_its_plain_model(here: Section) -> None:
    (table,) = defense(here)
    assert [line.labels for line in table.lines] == [(*DEFENDED, attack) for attack in ("clean", *EFFECTS)]
    gain = entry(table, (*DEFENDED, "pgd"), "gain")
    assert gain.estimate == pytest.approx(0.25 * np.mean(list(CLEAN.values())))
    assert gain.low > 0
    assert entry(table, (*DEFENDED, "clean"), "gain").estimate == 0
    gains = [entry(table, (*DEFENDED, "xi=1.0"), name).estimate for name in ("gain, moved truth", "gain")]
    assert gains[0] == pytest.approx(0.6 * gains[1])
    assert not defense(section(made(models=(("seg-unet", "none"),))))


def test_the_sweep_draws_what_its_table_says(here: Section) -> None:
    figure, table = sweep(here)
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert [column.name for column in table.columns] == ["clean", "xi = 0.5", "xi = 1", "xi = 2"], "`xi=2 D only` is no strength"
    drawn = figure.points["seg-unet, unmoved truth"]["liver"]
    assert [point[0] for point in drawn] == [0, 0.5, 1, 2]
    assert drawn[2][1] == pytest.approx(100 * 0.95 * 0.65)
    assert drawn[3][2] < drawn[3][1] < drawn[3][3]
    assert len(figure.points["seg-unet, perfect segmenter"]["liver"]) == 3, "there is no clean line of a truth that moved"
    rulers = ("unmoved truth", "moved truth", "perfect segmenter")
    assert list(figure.points) == [f"{model}, {words}" for model in ("seg-unet", "seg-unet + adversarial") for words in rulers]
    assert figure.svg == sweep(here)[0].svg  # type: ignore[union-attr]
    assert not sweep(section(made({"xi=2.0": EFFECTS["xi=2.0"]})))


def test_a_model_put_through_one_strength_alone_has_no_curve(whole: Evidence) -> None:
    kept = [one for one in whole.records if one.defense == "none" or one.attack in ("none", "xi=2.0")]
    rows = whole.rows[whole.rows.cell.isin([one.digest for one in kept])]
    figure, table = sweep(section(evidence(whole.suite, rows[list(COLUMNS)], kept)))
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert {name.partition(",")[0] for name in figure.points} == {"seg-unet"}
    assert {line.labels[2] for line in table.lines} == {"none"}


def test_an_invalid_strength_is_not_drawn(whole: Evidence) -> None:
    figure, _ = sweep(section(changed(whole, "xi=1.0", level="invalid", reasons=("V1: no",))))
    assert isinstance(figure, Figure)
    assert [point[0] for point in figure.points["seg-unet, unmoved truth"]["liver"]] == [0, 0.5, 2]


def test_cells_that_are_missing_say_so_everywhere(whole: Evidence) -> None:
    broken = section(changed(whole, "xi=1.0", status="failed", error="collapsed"))
    for table in (attacks(broken)[0], success(broken)[0], ruler(broken)[0], perceptibility(broken)[0]):
        line = next(line for line in table.lines if line.labels == (*PLAIN, "xi=1.0"))
        assert all(one.estimate is None for one in line.entries if one.note != "clean") or table.name == "ruler"
        assert any(one.note == "failed" for one in line.entries)
    share = entry(ruler(broken)[0], (*PLAIN, "xi=1.0"), "only moved truth")
    assert (share.estimate, share.note) == (None, "failed")
    counts = entry(success(broken)[0], (*PLAIN, "xi=1.0"), "organs down 30 %")
    assert counts.note == "needs every organ"
    unclean = section(changed(whole, "none", status="queued"))
    assert entry(success(unclean)[0], (*PLAIN, "pgd"), "liver").note == "not run"
    assert entry(ruler(unclean)[0], (*PLAIN, "pgd"), "only moved truth").note == "not run"


def test_table_one_stands_beside_ours(here: Section) -> None:
    dice, drop = seg(here)
    assert entry(dice, ("all", "xi = 2.0"), "liver, paper").estimate == pytest.approx(0.1119)
    expected = np.mean([attacked_dice(EFFECTS["xi=2.0"], "liver", s) for s in range(SUBJECTS)])
    assert entry(dice, ("all", "xi = 2.0"), "liver, ours").estimate == pytest.approx(expected)
    assert entry(dice, ("all", "xi = 2.0"), "p, paper").estimate == 0.074
    assert entry(dice, ("all", "xi = 1.5"), "liver, ours").note == "not run"
    assert entry(dice, ("all", "xi = 2.0, D only (trained again)"), "pancreas, ours").estimate == pytest.approx(0.72)
    assert entry(dice, ("all", "xi = 2.0, D only (branch left out)"), "pancreas, ours").note == "not run"
    assert (entry(dice, ("all", "clean"), "p, paper").note, entry(dice, ("all", "clean"), "p, ours").note) == ("none", "none")
    assert entry(drop, ("all", "xi = 1.5"), "kidneys, paper").estimate == pytest.approx(1 - 66.97 / 94.74), "29.3 %: no success yet"
    assert entry(drop, ("all", "xi = 1.0"), "liver, ours").estimate == pytest.approx(0.35)
    for table in (dice, drop):
        assert table.data == "paper: 150 private abdominal CT, 75 test subjects, 2-D U-Net; ours: phantom: abdominal CT"
        assert "Different data" in table.caption


def test_the_paper_does_not_stand_beside_other_organs(whole: Evidence) -> None:
    other = evidence(whole.suite, whole.rows.assign(label=whole.rows.label.replace("pancreas", "larynx"))[list(COLUMNS)], whole.records)
    for table in seg(section(other)):
        assert {one.note for line in table.lines for one in line.entries[1::2]} == {"other organs"}
    assert not {part.name for part in page(other).chapters[0].parts} & {"paper-dice", "paper-drop"}


def test_the_page_holds_every_table_in_every_form(whole: Evidence, here: Section) -> None:
    (chapter,) = page(whole).chapters
    names = [part.name for part in chapter.parts]
    assert names == [
        *("models", "attacks", "sweep-figure", "sweep", "success", "success-subjects", "ruler", "ruler-organs", "chance", "perceptibility"),
        *("clean", "defense", "missed", "surface", "cost", "paper-dice", "paper-drop"),
    ]
    assert not panels(here), "no picture was kept"
    for form in FILES:
        assert "xi=2.0" in text(page(whole), form)


def test_a_clean_run_alone_is_a_page(whole: Evidence) -> None:
    (chapter,) = page(made({})).chapters
    assert [part.name for part in chapter.parts if part.name != "paper-dice"] == ["attacks", "clean", "defense", "missed", "surface", "cost"]
