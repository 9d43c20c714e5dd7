"""What the overview shows: its numbers, the places of its curves, the steps of its colours, and how it is cited."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from overviews import DICE, P_VALUE, entry, leaderboard, many, overview

from medrobust.leaderboard.glossary import Word
from medrobust.leaderboard.overview.standing import Curve, Curves, Matrix, Overview, Point
from medrobust.leaderboard.page import Chapter
from medrobust.leaderboard.render.answer import answer, why_unranked
from medrobust.leaderboard.render.cite import citation
from medrobust.leaderboard.render.drawn_curves import BOTTOM, HEIGHT, TOP, WIDTH, draw
from medrobust.leaderboard.render.heat import ends, step
from medrobust.leaderboard.render.html import STYLES, asset, html_text
from medrobust.leaderboard.render.index import index_entries, index_text
from medrobust.leaderboard.render.latex_standings import standings_latex
from medrobust.leaderboard.render.standings import Cell, Reason, Row, View, amount, view
from medrobust.leaderboard.tables import Column, Entry, Table, Validity


@pytest.fixture(scope="module")
def one() -> Overview:
    return overview()


def cell(shown: View, row: Row, key: str) -> Cell:
    return row.cells[[head.key for head in shown.heads].index(key)]


def test_every_number_of_a_standing_is_on_its_row(one: Overview) -> None:
    shown = view(1, one)
    assert [condition for condition, _ in shown.groups] == ["8/255", "16/255"]
    row = shown.rows[0]
    standing = one.standings[0]
    assert standing.clean.estimate is not None
    assert standing.worst.estimate is not None
    assert row.cells[0].text == "seg-unet"
    assert cell(shown, row, "tier").text == "1"
    assert cell(shown, row, "tier").beside == "ranks 1 to 2"
    assert cell(shown, row, "clean").text == f"{100 * standing.clean.estimate:.1f}"
    assert cell(shown, row, "worst").state == "best"
    assert cell(shown, row, "loss").text == f"\N{MINUS SIGN}{100 * (standing.clean.estimate - standing.worst.estimate):.1f}"
    assert float(cell(shown, row, "loss").key) == pytest.approx(standing.worst.estimate - standing.clean.estimate)
    for i, each in enumerate(standing.by_attack, 1):
        assert cell(shown, row, f"attack-{i}").text == f"{100 * (each.estimate or 0):.1f}"
    assert float(cell(shown, row, "queries").key) == standing.cost["queries"]
    assert "megabytes" not in {head.key for head in shown.heads}
    assert [len(row.shown) for row in shown.rows[:6]] == [2, 2, 2, 0, 0, 0]


def test_what_is_not_ranked_says_so_and_why(one: Overview) -> None:
    rows = view(1, one).rows
    invalid, absent = rows[4], rows[5]
    shown = view(1, one)
    assert cell(shown, invalid, "tier").text == cell(shown, absent, "tier").text == "not ranked"
    assert cell(shown, invalid, "worst").state == cell(shown, invalid, "loss").state == "invalid"
    assert [one.text for one in invalid.reasons] == ["V11: the best query was not returned", "V05: success falls as the budget grows"]
    assert [one.check for one in invalid.reasons] == ["V11", "V05"]
    assert (cell(shown, absent, "worst").text, cell(shown, absent, "worst").key) == ("missing", "")
    assert absent.dumbbell.worst is None
    wrong = replace(one.standings[0].by_attack[1], validity=Validity("warn", ("V07: zero",)))
    attacked = replace(one.standings[0], by_attack=(one.standings[0].by_attack[0], wrong, *one.standings[0].by_attack[2:]))
    assert view(1, replace(one, standings=(attacked,))).rows[0].reasons == (Reason(("apgd",), "V07: zero"),)


def test_a_reason_names_the_attacks_that_it_is_about(one: Overview) -> None:
    early, late = (Validity("warn", (f"V10: {share}% of the rise came late",)) for share in (14, 62))
    first = one.standings[0]
    attacks = tuple(replace(entry, validity=said) for entry, said in zip(first.by_attack, (early, late, early, Validity()), strict=True))
    found = replace(first, by_attack=attacks, validity=Validity("warn", (*early.reasons, *late.reasons, "not ranked: alone")))
    (row,) = view(1, replace(one, standings=(found,))).rows
    assert [(reason.about, reason.text[:7]) for reason in row.reasons] == [(("pgd", "square"), "V10: 14"), (("apgd",), "V10: 62"), ((), "not ran")]
    html = html_text(replace(leaderboard(replace(one, standings=(found,))), words=(("Checks", (Word("V10", "The loss rises no more."),)),)))
    assert '<li><b><bdi>pgd, square</bdi></b>: <a href="#word-V10">V10</a><bdi>: 14% of the rise came late</bdi></li>' in html
    assert 'id="word-V10"' in html


def test_an_overview_without_attacks_shows_no_worst_case(one: Overview) -> None:
    calm = replace(one, attacks=(), standings=tuple(replace(standing, by_attack=()) for standing in one.standings))
    keys = {head.key for head in view(1, calm).heads}
    assert not keys & {"loss", "worst", "attack-1"}
    assert [head.name for head in view(1, calm).heads if head.key == "clean"] == [DICE.name]
    assert "Worst case:" not in html_text(leaderboard(calm))


def test_dumbbells_share_one_scale(one: Overview) -> None:
    shown = view(1, one)
    assert shown.scale == (0.0, 1.0)
    for row in shown.rows:
        assert row.dumbbell.clean == pytest.approx(100 * (row.standing.clean.estimate or 0), abs=0.06)
    noisy = (replace(one.standings[0], clean=Entry(40.0), worst=Entry(10.0)),)
    decibel = replace(one, headline=Column("PSNR", shown="dB", better=True), standings=noisy)
    assert view(1, decibel).scale == (0.0, 40.0)
    assert view(1, decibel).rows[0].dumbbell.worst == 25
    endless = replace(one, standings=(replace(one.standings[0], clean=Entry(math.inf)),))
    assert view(1, endless).rows[0].dumbbell.clean == 100
    assert cell(view(1, endless), view(1, endless).rows[0], "loss").text == "not known"


COSTS = [(0, "0"), (12, "12"), (3400.2, "3\u202f400"), (1.25e6, "1.25 million"), (2e9, "2 billion"), (math.nan, "not known")]


@pytest.mark.parametrize(("value", "said"), COSTS)
def test_costs_are_read_by_people(value: float, said: str) -> None:
    assert amount(value) == said


def curves(*points: Point) -> Curves:
    return Curves("t", "linf, HU", DICE, (Curve("model", "pgd", points),))


def test_a_curve_goes_where_its_numbers_are() -> None:
    drawn = draw(curves(Point(0, "0", entry(1.0, 0)), Point(5, "5", entry(0.5, 0)), Point(10, "10", entry(0.0, 0))))
    (line,) = drawn.panels[0].lines
    (first, middle, last) = line.marks
    assert (first.y, last.y) == (TOP, HEIGHT - BOTTOM)
    assert middle.x == pytest.approx((first.x + last.x) / 2)
    assert middle.y == pytest.approx((first.y + last.y) / 2)
    assert not drawn.even
    assert line.lines == (f"M{first.x} {first.y}L{middle.x} {middle.y}L{last.x} {last.y}",)
    assert drawn.panels[0].y[0] == (HEIGHT - BOTTOM, "0")
    assert drawn.panels[0].y[-1] == (TOP, "100")
    assert middle.said == "model, 5: 50.0"


def test_far_budgets_stand_at_even_steps_and_an_unbounded_one_after_a_break() -> None:
    drawn = draw(curves(*(Point(x, str(x), entry(0.5)) for x in (0, 1, 4, 64, math.inf))))
    xs = [mark.x for mark in drawn.panels[0].lines[0].marks]
    assert drawn.even
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.11) == pytest.approx(xs[3] - xs[2], abs=0.11)
    assert drawn.panels[0].breaks is not None
    assert xs[3] < drawn.panels[0].breaks < xs[4]
    assert drawn.panels[0].x[-1].text == "inf"
    bounded, unbounded = drawn.panels[0].lines[0].lines
    assert bounded.count("L") == 3
    assert "L" not in unbounded, "nothing was measured between the largest budget and none"


def test_no_tick_is_lost_and_none_runs_over_the_side_or_another() -> None:
    """The budgets of the boards: close together at first, and a long word at the end."""
    points = [Point(x / 255, f"{x}/255", entry(0.5)) for x in (1, 2, 4, 8)]
    (panel,) = draw(curves(Point(0.0, "clean", entry(0.9)), *points, Point(math.inf, "unbounded", entry(0.0)))).panels
    assert [tick.text for tick in panel.x] == ["clean", "1/255", "2/255", "4/255", "8/255", "unbounded"]
    assert panel.x[-1].anchor == "end"
    for row in (0, 1):
        ends = []
        for tick in (tick for tick in panel.x if tick.row == row):
            wide = 6.2 * len(tick.text)
            left = WIDTH - 4 - wide if tick.anchor == "end" else tick.place - wide / 2
            assert all(right < left for right in ends)
            assert left + wide <= WIDTH
            ends.append(left + wide)


def test_a_curve_says_over_how_many_attacks_its_worst_case_is() -> None:
    points = tuple(Point(x, str(x), entry(0.5)) for x in (0.0, 1.0, 2.0))
    lines = (Curve("model", "worst case", points), Curve("model", "pgd", points))
    first, second = draw(Curves("t", "linf", DICE, lines, over=((1.0, 2), (2.0, 8)))).panels
    assert [count for _, count in first.over] == [2, 8]
    assert [place for place, _ in first.over] == [mark.x for mark in first.lines[0].marks[1:]]
    assert not second.over
    assert first.foot > second.foot
    assert (first.title, second.title) == ("worst case, shared attacks", "pgd")


def test_a_missing_number_breaks_the_line_and_an_invalid_one_is_crossed() -> None:
    wrong = replace(entry(0.4), validity=Validity("invalid", ("V05",)))
    drawn = draw(curves(Point(0, "0", entry(0.9)), Point(1, "1", Entry(note="missing")), Point(2, "2", wrong), Point(3, "3", entry(0.1))))
    (line,) = drawn.panels[0].lines
    assert len(line.lines) == len(line.bands) == 2
    assert [mark.state for mark in line.marks] == ["", "invalid", ""]
    html = html_text(leaderboard(replace(overview(), curves=(curves(Point(0, "0", entry(0.9)), Point(2, "2", wrong)),))))
    assert html.count('<path class="cross"') == 1


def test_harm_is_strong_whichever_way_the_metric_counts() -> None:
    def at(column: Column, value: float) -> int | None:
        return step(value, *ends(Matrix("m", "m", "", (), (), (), column, 0.0, 1.0)))

    assert (at(DICE, 0.0), at(DICE, 1.0), at(DICE, 0.5)) == (8, 0, 4)
    assert (at(Column("error", better=False), 0.0), at(Column("error", better=False), 1.0)) == (0, 8)
    assert (at(P_VALUE, 0.0), at(P_VALUE, 7.0), step(None, 0, 1), step(math.nan, 0, 1)) == (8, 0, None, None)
    assert (step(math.inf, 0, 1), step(math.inf, 1, 0), step(3, 2, 2)) == (8, 0, 0)


def test_the_latex_table_has_a_line_an_entrant_and_a_cell_a_column(one: Overview) -> None:
    shown = view(1, replace(one, standings=(replace(one.standings[0], target="a & b_c", condition="50 % & more"), *one.standings[1:])))
    lines = standings_latex(shown).splitlines()
    rows = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(rows) == len(one.standings)
    assert {len(row.split(" & ")) for row in rows} == {len(shown.heads)}, "the condition is added, the link to pictures is left out"
    assert rows[0].startswith(r"50 \% \& more & a \& b\_c & 1 ")
    assert "$-$" in rows[0]
    assert not re.search(r"(?<![\w$])-\d", "".join(rows)), "a minus is no hyphen"
    assert r"\textit{" in rows[4]
    assert "invalid}" in rows[4]
    layout = re.search(r"tabular\}\{(\w+)\}", standings_latex(shown))
    assert layout
    assert len(layout[1]) == len(shown.heads)


def test_a_citation_changes_with_the_evidence_alone(one: Overview) -> None:
    page = leaderboard(one)
    cited = citation(page, one)
    assert cited == citation(replace(page, digests=page.digests[::-1]), one)
    assert cited != citation(replace(page, digests=page.digests[:-1]), one)
    assert "20 patients, 415 cases, 12 entries" in cited
    assert not re.search(r"20\d\d", cited)
    assert citation(replace(page, suite="a_b%{"), one).count("{") == citation(replace(page, suite="a_b%{"), one).count("}") + 1


def test_what_was_found_is_said_in_sentences(one: Overview) -> None:
    shared = replace(one, compared=(("8/255", ("pgd",)), ("16/255", ("pgd", "apgd", "square"))))
    found = answer(shared)
    first, plain = one.standings[6], one.standings[8]
    assert found.where == "16/255", "where the worst case is over the most attacks"
    assert found.leaders == ("seg-unet", "seg-unet + deform-robust")
    for entry_, words in ((first.worst, "under the worst of 3 attacks that all share"), (first.clean, "on clean images")):
        assert f"{100 * (entry_.estimate or 0):.1f} % [" in found.score
        assert words in found.score
    assert found.beside.startswith("last of 4, seg-unet + jpeg: ")
    assert found.sure.startswith("Not measurably ahead of 1 of the 3 others")
    assert "1 makes another win: missing structures left out." in found.sure
    assert found.believed.startswith("Of 12 entries: 6 without a remark, 2 with a warning, 2 not to be believed, 2 without a number; 4 not ranked.")
    alone = replace(shared, standings=(replace(one.standings[1], tier=1), replace(one.standings[0], tier=2)), sensitivity=())
    assert answer(alone).where == ""
    assert answer(alone).beside.startswith("the same model without deform-robust: ")
    assert answer(alone).sure == "Measurably ahead of the other, by tests of all pairs that hold together at 5 %."
    assert plain.tier == 2
    nobody = replace(one, standings=tuple(replace(s, tier=None, validity=Validity("warn", ("not ranked: pgd is not run",))) for s in one.standings))
    assert answer(nobody).score == "Nobody is ranked: pgd is not run."
    assert why_unranked(replace(one, standings=(replace(one.standings[0], tier=None),))).startswith("an entrant that stands alone")


@pytest.mark.parametrize(
    ("sharing", "said"),
    [
        (1, "a stands first."),
        (2, "a and b share the first tier."),
        (3, "a, b and c share the first tier."),
        (4, "a, b, c and 1 more share the first tier."),
        (5, "a, b, c and 2 more share the first tier."),
    ],
)
def test_who_shares_the_first_tier_is_listed_as_people_list(one: Overview, sharing: int, said: str) -> None:
    model = next(each for each in one.standings if each.condition == "8/255")
    alike = tuple(replace(model, target=name, defense="none", tier=1 if at < sharing else 2) for at, name in enumerate("abcdef"))
    content = html_text(leaderboard(replace(one, standings=alike)))
    found = re.search(r'<p class="finding">(.*?)</p>', content, re.DOTALL)
    assert found
    assert re.sub(r"<[^>]+>", "", found[1]) == said


def test_the_page_claims_no_more_than_tiers_and_power_say(one: Overview) -> None:
    html = html_text(leaderboard(one))
    for false in ("cannot be told apart", "hurts it most", "cannot say so", "ahead of another", "P(best)"):
        assert false not in html
        assert false not in index_text(index_entries("t", "t", leaderboard(one)))
    assert "Nobody in a tier is measurably worse than its first" in html
    assert "to be told apart" in html
    assert "80 % of such test sets" in html


def test_nobody_of_the_first_tier_looks_worse_and_nothing_else_is_marked(one: Overview) -> None:
    marked = [[cell(view(1, one), row, head.key).state == "best" for head in view(1, one).heads] for row in view(1, one).rows[:6]]
    worst = [head.key for head in view(1, one).heads].index("worst")
    assert [[place for place, best in enumerate(row) if best] for row in marked] == [[worst], [worst], [], [], [], []]
    level = replace(one, standings=tuple(replace(standing, tier=1) for standing in one.standings[:2]))
    assert not any(cell.state == "best" for row in view(1, level).rows for cell in row.cells), "of one tier alone nobody is marked"


def test_what_is_put_away_at_first_is_what_few_ask_for(one: Overview) -> None:
    heads = view(1, one).heads
    assert [head.key for head in heads if not head.off] == ["entrant", "tier", "worst", "clean", "loss", "validity", "cases"]
    attacks = {f"attack-{i}" for i in range(1, 5)}
    assert {head.key for head in heads if head.off} == {"missed", "patients", "best", "queries", "gradients", "seconds"} | attacks
    assert next(head.name for head in heads if head.key == "best") == "leads in resamples of patients"
    uneven = replace(one, standings=(replace(one.standings[0], cases=3), *one.standings[1:]))
    assert not next(head.off for head in view(1, uneven).heads if head.key == "patients")


def test_one_thing_is_shown_once(one: Overview) -> None:
    part = Table("transfer", one.matrices[0].title, "", one.data_label, ("found on",), (DICE,), ())
    other = replace(part, name="other", title="Another table")
    chapter = Chapter(one.track, one.data, "test", one.data_label, 20, 415, (part, other))
    html = html_text(replace(leaderboard(one), chapters=(chapter,)))
    assert 'id="d1-other"' in html
    assert 'id="d1-transfer"' not in html


def test_whether_data_are_real_is_said_in_words(one: Overview) -> None:
    made, real = (html_text(leaderboard(replace(one, data_label=label))) for label in ("phantom: CT", "mini-MIAS, 128x128"))
    assert '<span class="data phantom"><b>Made up</b> phantom: CT</span>' in made
    assert "nothing here was measured on a person" in made
    assert '<span class="data real"><b>Real</b> mini-MIAS, 128x128</span>' in real
    assert "nothing here was measured on a person" not in real


def test_the_index_names_the_first_tier_and_what_is_not_ranked(one: Overview) -> None:
    (found,) = index_entries("seg linf", "seg-linf/index.html", leaderboard(one))
    assert found.address == "seg-linf/index.html#o1"
    assert (found.entrants, found.patients, found.cases) == (6, 20, 415)
    names = ("seg-unet", "seg-unet + deform-robust")
    assert [(leader.condition, leader.names) for leader in found.leaders] == [("8/255", names), ("16/255", names)]
    none = replace(one, standings=tuple(replace(standing, tier=None) for standing in one.standings))
    html = index_text(index_entries("t", "t", leaderboard(none)))
    assert "nobody is ranked" in html
    refused = [replace(standing, validity=Validity("warn", ("not ranked: pgd lacks 2 of 9 values",))) for standing in none.standings]
    assert "nobody is ranked: pgd lacks 2 of 9 values" in index_text(index_entries("t", "t", leaderboard(replace(none, standings=tuple(refused)))))
    assert "<script" not in html
    assert "Nothing was measured yet" in index_text([])


@pytest.mark.parametrize("name", STYLES)
def test_every_line_of_a_style_is_a_rule(name: str) -> None:
    """A browser drops what it cannot read, and the rule after it, without a word."""
    for line in asset(name).splitlines():
        assert line.endswith(("{", "}", ";", ",")), line
    assert asset(name).count("{") == asset(name).count("}")


def test_a_page_of_many_entries_stays_small() -> None:
    assert len(html_text(leaderboard(many(200))).encode()) / 200 < 2500 + 200
