"""One model's report: its numbers are the leaderboard's, what speaks against them stands in it, and what was not tested is said."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import norm_rows
import pytest
import seg_rows
from rows import Plan, synthetic

from medrobust.errors import SpecError
from medrobust.leaderboard import shipped
from medrobust.leaderboard.evidence import Evidence, evidence, joined
from medrobust.leaderboard.overview.headlines import HEADLINES
from medrobust.leaderboard.page import PAPERS, TRACKS, page
from medrobust.leaderboard.render.report_html import report_text
from medrobust.leaderboard.report.build import chosen, cut, report
from medrobust.leaderboard.report.content import Part, Report
from medrobust.leaderboard.report.harm import WORST, worst_cases
from medrobust.leaderboard.report.untested import threats
from medrobust.leaderboard.section import Model, Section, sections
from medrobust.leaderboard.seg_deform.attacks import models
from medrobust.leaderboard.seg_deform.clean import clean
from medrobust.leaderboard.tables import Column, Entry, Line, Table
from medrobust.leaderboard.text import number, whole

PLAIN = Model("seg-unet", "none")
EFFECTS = {name: seg_rows.EFFECTS[name] for name in ("xi=2.0", "pgd", "random-field")}
INVALID = {"level": "invalid", "status": "invalid", "reasons": ("V13: left the budget",)}


@pytest.fixture(autouse=True)
def _two_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The leaderboard's own tables cost seconds, and two show how they are cut."""
    monkeypatch.setitem(TRACKS, "seg-deform", (models, clean))
    monkeypatch.delitem(PAPERS, "seg-deform")


def board(changes: dict[str, dict[str, object]] | None = None, entrants: tuple[tuple[str, str], ...] = seg_rows.MODELS, **fields: object) -> Evidence:
    found = seg_rows.made(EFFECTS, entrants, changes)
    return joined([evidence(found.suite, found.rows, [replace(record, **fields) for record in found.records])])  # type: ignore[arg-type]


def one(found: Evidence, model: Model = PLAIN) -> tuple[Report, Part]:
    made = report(found, model)
    (part,) = made.parts
    return made, part


@cache
def plain() -> tuple[Report, Part]:
    """Of the board as it is, once."""
    return one(board())


def gaps(part: Part) -> dict[str, str]:
    return {gap.what: gap.why for gap in part.gaps}


# How it fails


def test_numbers_are_those_of_the_leaderboard() -> None:
    found = board()
    _, part = one(found)
    (overview,) = page(found).overviews
    standing = next(s for s in overview.standings if (s.target, s.defense) == PLAIN)
    (table,) = part.attacks
    entries = {line.labels[0]: line.entries[0] for line in table.lines}
    assert entries["clean images"].estimate == standing.clean.estimate
    assert entries[WORST].estimate == standing.worst.estimate
    assert [entries[name].estimate for name in overview.attacks] == [entry.estimate for entry in standing.by_attack]
    column, missed = overview.headline, standing.missed
    assert missed is not None
    before, worst = (whole(entry, column) for entry in (standing.clean, standing.worst))
    lost = number(missed.estimate or 0, replace(column, scale=100, digits=1))
    sentence = f"Dice is {before} % on clean images and {worst} % in the worst case."
    assert part.short == (f"{sentence} {lost} % of structures are missed altogether under at least one of these attacks.",)


def test_the_worst_cases_are_those_that_lose_most_to_the_attack_that_takes_most() -> None:
    found = board()
    _, part = one(found)
    rows = found.rows[(found.rows["metric"] == "dice") & (found.rows["label"] == "") & (found.rows["defense"] == "none")]
    wide = rows.pivot_table(index="case", columns="attack", values="value")
    loss = (wide["none"] - wide[["xi=2.0", "pgd", "random-field"]].min(axis=1)).sort_values(ascending=False)
    assert [case.case for case in part.worst] == loss.index[:5].to_list()
    first = part.worst[0]
    assert first.attack == wide.loc[first.case, ["xi=2.0", "pgd", "random-field"]].astype(float).idxmin()
    assert first.clean == f"{100 * wide.loc[first.case, 'none']:.1f} %"
    assert first.by == ""


def test_of_a_rate_cases_that_more_attacks_break_come_first_in_words() -> None:
    found = joined([synthetic(Plan(models=(("recon-unet", "none"),), conditions=("4x",), patients=4, transfer=False))])
    rule = HEADLINES["recon-fnaf"]
    (section,) = sections(found)
    made = replace(section, records=tuple(replace(r, control=r.attack == "fnaf-fd-paper") for r in section.records))
    cases = worst_cases(made, Model("recon-unet", "none"), rule)
    assert {case.clean for case in cases} <= {"yes"}
    assert {case.attacked for case in cases} <= {"no"}
    assert [case.by for case in cases] == sorted((case.by for case in cases), reverse=True)


def linf() -> Section:
    """Four cases under two budgets, each with a control that draws noise, two attacks and a replay; all are right when clean."""
    cells = {
        ("net", attack, condition): values
        for condition, attacks in {
            "2/255": {"none": "1111", "noise": "1101", "fgsm": "1111", "pgd": "0111", "pgd from other": "1111"},
            "8/255": {"none": "1111", "noise": "1100", "fgsm": "0111", "pgd": "0011", "pgd from other": "0101"},
        }.items()
        for attack, values in attacks.items()
    }
    special = {"noise": {"control": True}, "pgd from other": {"source": "0" * 12, "threat": ""}}
    changes = {key: special[key[1]] for key in cells if key[1] in special}
    (section,) = sections(joined([norm_rows.made(cells, changes=changes)]))
    return section


def test_a_case_has_one_line_against_clean_images_alone_and_replays_are_counted_apart() -> None:
    cases = worst_cases(linf(), Model("net", "none"), HEADLINES["cls-linf"])
    assert [(case.case, case.condition, case.attack, case.clean, case.attacked, case.by) for case in cases] == [
        ("c00", "8/255", "fgsm", "yes", "no", "2 of 2, 1 of 1 replays"),
        ("c01", "8/255", "pgd", "yes", "no", "1 of 2, 0 of 1 replays"),
        ("c02", "8/255", "pgd from other", "yes", "no", "0 of 2, 1 of 1 replays"),
    ], "the last case is wrong under noise alone"


def test_invalid_cells_are_no_worst_case() -> None:
    _, part = one(board({"seg-unet none pgd": INVALID}))
    assert "pgd" not in {case.attack for case in part.worst}


def test_missed_structures_have_a_line_an_attack() -> None:
    _, part = plain()
    assert part.missed is not None
    assert [line.labels[1] for line in part.missed.lines] == ["clean", *EFFECTS]
    pancreas = [column.name for column in part.missed.columns].index("missed-organ pancreas")
    assert part.missed.lines[1].entries[pancreas].estimate == pytest.approx(2 / 3)


# How sure


def test_every_finding_is_there_once_with_its_cells_the_worst_first() -> None:
    few = {"level": "warn", "reasons": ("V20: 10 patients",)}
    _, part = one(board({f"seg-unet none {name}": few for name in ("none", "xi=2.0")} | {"seg-unet none pgd": INVALID}))
    assert [(doubt.level, doubt.reason, doubt.about) for doubt in part.doubts] == [
        ("invalid", "V13: left the budget", ("all, pgd",)),
        ("warn", "V20: 10 patients", ("all, clean", "all, xi=2.0")),
    ]
    facts = dict(part.sure)
    assert facts["cells by validity"] == "1 ok, 2 warn, 1 invalid"
    assert facts["rank"].startswith("not ranked")
    assert any("1 of 4 cells are not to be believed" in text for text in part.short)
    assert dict(plain()[1].sure)["rank"].startswith("tier 2, rank 2 of 2")


def test_findings_of_another_model_are_not_its_own() -> None:
    _, part = one(board({"seg-unet adversarial pgd": INVALID}))
    assert part.doubts == ()
    assert not any("left the budget" in gap.why for gap in part.gaps)


def test_findings_of_cells_held_against_each_other_are_there() -> None:
    found = board(threat="white-box")
    rows = found.rows.copy()
    hit = (rows["attack"] == "pgd") & (rows["metric"].isin(["dice", "dice-warped"])) & (rows["defense"] == "none")
    rows.loc[hit, "value"] = 0.93  # gradients do less than answers alone
    records = [replace(r, threat="black-box", cost={"forward passes": 10.0}) if r.attack == "xi=2.0" else r for r in found.records]
    made = joined([evidence(found.suite, rows, records)])
    assert any(verdict.findings for verdict in made.verdicts)
    _, part = one(made)
    assert any(doubt.reason.startswith("V06") for doubt in part.doubts)


# What was not tested


def test_cells_without_numbers_are_gaps_with_their_reason() -> None:
    changes = {"seg-unet none pgd": {"status": "failed", "error": "no memory"}, "seg-unet none xi=2.0": {"status": "queued"}}
    _, part = one(board({**changes, "seg-unet none random-field": INVALID}))
    found = gaps(part)
    assert found["all, pgd"] == "failed: no memory"
    assert found["all, xi=2.0"] == "queued"
    assert found["all, random-field"] == "V13: left the budget"
    assert {gap.level for gap in part.gaps if gap.what == "all, random-field"} == {"invalid"}


def test_attacks_made_on_others_alone_are_gaps() -> None:
    whole = board()
    gone = {record.digest for record in whole.records if (record.target, record.defense, record.attack) == ("seg-unet", "none", "pgd")}
    records = [record for record in whole.records if record.digest not in gone]
    _, part = one(joined([evidence(whole.suite, whole.rows[~whole.rows["cell"].isin(gone)], records)]))
    assert gaps(part)["pgd"] == "other models were put through it, this one was not (all)"
    assert "pgd" not in gaps(plain()[1])


def test_threats_that_no_believed_cell_has_are_gaps() -> None:
    found = gaps(one(board(threat="white-box"))[1])
    assert found["attacks that see the model's answers alone"] == "no black-box cell to be believed"
    assert "attacks that see the model's gradients" not in found
    invalid = {f"seg-unet none {name}": INVALID for name in EFFECTS}
    assert "attacks that see the model's gradients" in gaps(one(board(invalid, threat="white-box"))[1])
    assert gaps(plain()[1])["what attackers were shown"] == "not recorded for 3 of 3 attacked cells"


def test_threats_are_gaps_beside_replays_and_beside_attacks_that_say_nothing() -> None:
    found = board(threat="white-box")
    replay = replace(found.records[1], digest="0" * 12, attack="pgd from seg-unet+adversarial", source=found.records[1].digest, threat="")
    records = [*found.records, replay]
    own = [record for record in records if (record.target, record.defense) == PLAIN]
    said = {gap.what: gap.why for gap in threats(own)}
    assert said == {
        "attacks that see the model's answers alone": "no black-box cell to be believed",
        "attacks that never ask the model": "no no-box cell to be believed",
    }
    unheard = {gap.what: gap.why for gap in threats([replace(record, threat="") for record in own])}
    assert unheard["attacks that see the model's gradients"] == "no white-box cell known to be believed"
    assert unheard["what attackers were shown"] == "not recorded for 3 of 3 attacked cells"
    spoilt = [replace(record, level="invalid") if record.source else record for record in own]
    assert {gap.what: gap.why for gap in threats(spoilt)}["images that were found on another model"] == "no replay to be believed"


def test_phantoms_are_no_patients_and_other_specs_of_the_track_are_named() -> None:
    found = gaps(plain()[1])
    assert "nothing here was measured on a person" in found["patients"]
    assert any(name.startswith("spec seg-deform-openkbp: ") for name in found)
    assert not any(name.startswith("spec seg-deform: ") for name in found)
    real = evidence("seg-deform@0", board().rows, [replace(record, data_label="OpenKBP") for record in board().records])
    assert "patients" not in gaps(one(joined([real]))[1])
    assert "attackers who know of the defense adversarial" in gaps(one(board(), Model("seg-unet", "adversarial"))[1])


# What it is


def test_the_card_is_that_of_the_shipped_model_and_of_no_other() -> None:
    made, _ = plain()
    card = shipped.cards()[PLAIN]
    assert dict(made.card)["digest of its weights"] == card.digest
    assert dict(made.figures)["dice@test"] == "0.9356 [0.9297, 0.9413]"
    assert "by" not in dict(made.card)
    assert "rows themselves do not hold the digest" in made.card_note
    assert report(board(), PLAIN, {PLAIN: card.digest}).card == made.card
    other = report(board(), PLAIN, {PLAIN: "0" * 12})
    assert other.card == ()
    assert "000000000000" in other.card_note
    assert report(board(), Model("seg-unet", "adversarial")).card == ()


def test_a_model_is_found_by_target_by_defense_and_by_its_whole_name() -> None:
    found = board()
    assert chosen(found, "seg-unet") == PLAIN
    assert chosen(found, "seg-unet", "adversarial") == chosen(found, "seg-unet + adversarial") == Model("seg-unet", "adversarial")
    for target, defense, words in (
        ("seg-nuet", "", "no target 'seg-nuet' in seg-deform@01234567; did you mean seg-unet"),
        ("seg-unet", "advesarial", "no target 'seg-unet' with defense 'advesarial' in seg-deform@01234567; did you mean adversarial"),
    ):
        with pytest.raises(SpecError, match=words):
            chosen(found, target, defense)
    defended = board(entrants=(("seg-unet", "adversarial"), ("seg-unet", "other")))
    with pytest.raises(SpecError, match="has the defenses adversarial, other, expected --defense"):
        chosen(defended, "seg-unet")


# Tables


def test_tables_are_cut_to_the_model_and_lose_its_name() -> None:
    both = (PLAIN, Model("seg-unet", "x"))
    lines = tuple(Line((condition, *model, "pgd"), (Entry(0.5),)) for condition in ("4x", "8x") for model in both)
    table = Table("t", "T", "", "data", ("condition", "target", "defense", "attack"), (Column("c"),), lines, 2)
    found = cut(table, PLAIN, alone=False)
    assert found is not None
    assert (found.heads, found.group) == (("condition", "attack"), 1)
    assert [line.labels for line in found.lines] == [("4x", "pgd"), ("8x", "pgd")]
    assert cut(table, Model("other", "none"), alone=False) is None
    assert cut(replace(table, fold=True), PLAIN, alone=False) is None
    assert cut(replace(table, name="paper-x"), PLAIN, alone=False) is None
    unnamed = replace(table, heads=("condition", "a", "b", "attack"))
    assert cut(unnamed, PLAIN, alone=False) is None
    assert cut(unnamed, PLAIN, alone=True) is unnamed


def test_names_are_escaped_and_hidden_characters_shown() -> None:
    hostile = "<script>alert(1)</script>\u202egnp.exe"
    found = board()
    records = [replace(record, reasons=("V1: <u>",), level="warn") for record in found.records]
    records = [replace(record, target=hostile) if record.defense == "none" else record for record in records]
    rows = found.rows.copy()
    rows.loc[rows["defense"] == "none", "target"] = hostile
    text = report_text(report(joined([evidence("<suite>", rows, records)]), Model(hostile, "none")))
    assert "<script" not in text
    assert "\u202e" not in text
    assert "\\u202e" in text
    assert "<u>" not in text
    assert "&lt;suite&gt;" in text
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text


def test_the_leaderboards_own_table_of_clean_scores_stands_first_and_once() -> None:
    _, part = plain()
    assert part.clean is not None
    assert part.clean.title == next(table.title for chapter in page(board()).chapters for table in chapter.tables if table.name == "clean")
    assert [table.name for table in part.tables] == ["models"]
    assert part.tables[0].heads == ("condition",)


def test_what_other_attacks_did_is_said_beside_the_shared_worst_case() -> None:
    whole_board = board()
    gone = {record.digest for record in whole_board.records if record.defense == "adversarial" and record.attack == "pgd"}
    records = [record for record in whole_board.records if record.digest not in gone]
    _, part = one(joined([evidence(whole_board.suite, whole_board.rows[~whole_board.rows["cell"].isin(gone)], records)]))
    assert "% over every attack made on it." in part.short[0]
