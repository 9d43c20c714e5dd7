"""The files: equal bytes from equal evidence, one page without requests, nothing that a name can break out of."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from overviews import leaderboard, overview
from rows import ENVIRONMENT, Plan, record, records, rows_of, synthetic, write_committed

from medrobust.cell import Cell, Configured
from medrobust.errors import SpecError, StoreError
from medrobust.files import write_json
from medrobust.leaderboard import build, commit, figures
from medrobust.leaderboard.build import FILES, assemble, text
from medrobust.leaderboard.evidence import evidence
from medrobust.leaderboard.glossary import glossary
from medrobust.leaderboard.page import Page, page
from medrobust.leaderboard.render import html
from medrobust.leaderboard.sources import load
from medrobust.leaderboard.text import visible
from medrobust.store import MARKER, Run, create_or_open

PLAN = Plan(models=(("recon-unet", "none"), ("recon-unet", "fnaf-robust")), attacks=("fnaf-random", "fnaf-gradient"), conditions=("4x",), patients=4)
INVALID = {"4x recon-unet none fnaf-gradient": {"level": "invalid", "status": "invalid", "reasons": ("V11: better query not returned",)}}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=https://evil.example/x onerror=alert(1)>',
    "safe\u202egnp.exe",
    "a&b_c%d$e#f{g}h~i^j\\k",
    "=cmd|' /C calc'!A0",
    "[x](javascript:alert(1)) | `y`",
    "\u05d0\u05d1\u05d2 \u0645 \u65e5\u672c",
    "zero\u200bwidth\u0007bell\nnewline",
    "{{ 7 * 7 }} {% raw %}",
    "$\\frac{1}{0}$",
]


def hostile() -> Page:
    """Every name a user chooses, chosen badly."""
    models = (*((name, "none") for name in HOSTILE[:8]), (HOSTILE[0], HOSTILE[1]))
    attacks = (*HOSTILE[:2], *HOSTILE[-2:])
    plan = replace(PLAN, models=models, attacks=attacks, conditions=(HOSTILE[2],), label=HOSTILE[0], data=HOSTILE[1], patients=3)
    changes = {
        f"{HOSTILE[2]} {HOSTILE[0]} none {HOSTILE[0]}": {"level": "warn", "reasons": tuple(HOSTILE)},
        f"{HOSTILE[2]} {HOSTILE[1]} none {HOSTILE[0]}": {"status": "failed", "error": HOSTILE[0]},
    }
    found = synthetic(plan, changes)
    return page(evidence(HOSTILE[0], found.rows, [replace(one, environment={HOSTILE[1]: HOSTILE[0]}, config=HOSTILE[0]) for one in found.records]))


@pytest.fixture(scope="module")
def bad() -> Page:
    return hostile()


@pytest.fixture(scope="module")
def good() -> Page:
    return page(synthetic(PLAN, INVALID))


class Elements(HTMLParser):
    """Every element with its attributes, and the text of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.data: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.data.append(data)


def test_two_builds_give_the_same_bytes(good):
    again = page(synthetic(PLAN, INVALID))
    for form in FILES:
        assert text(again, form) == text(good, form)


def test_the_page_asks_nobody_for_anything(good, bad):
    for one in (good, bad):
        html = text(one, "html")
        elements = Elements(html).found
        assert {tag for tag, _ in elements} & {"link", "iframe", "object", "embed", "base", "form"} == set()
        assert [attributes for tag, attributes in elements if tag == "script"] == ([{}] if one.overviews else [])
        for _, attributes in elements:
            for name, value in attributes.items():
                assert not name.startswith("on")
                if name in ("src", "href", "srcset", "action", "data", "poster"):
                    assert (value or "").startswith(("#", "data:image/svg+xml;base64,", "data:image/png;base64,"))
        style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
        assert style
        assert "url(" not in style[1]
        assert "@import" not in style[1]


def test_the_policy_allows_our_style_and_script_by_digest_alone(good):
    html = text(leaderboard(overview()), "html")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    rules = {name: value for name, _, value in (rule.strip().partition(" ") for rule in policy[1].split(";"))}
    assert rules.keys() == {"default-src", "img-src", "style-src", "script-src", "base-uri", "form-action"}
    assert (rules["default-src"], rules["img-src"]) == ("'none'", "data:")
    for name, element in (("style-src", "style"), ("script-src", "script")):
        (content,) = re.findall(rf"<{element}>(.*?)</{element}>", html, re.DOTALL)
        assert rules[name] == f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
    assert "style=" not in html.replace("data-style=", "")
    assert "script-src" not in text(replace(good, overviews=()), "html")


def test_figures_are_plain_svg_that_ask_nobody_either(good, bad):
    for one in (good, bad):
        figures = [attributes["src"] or "" for tag, attributes in Elements(text(one, "html")).found if tag == "img"]
        assert len(figures) == 4
        for source in figures:
            svg = base64.b64decode(source.partition(",")[2]).decode()
            for element in ET.fromstring(svg).iter():  # noqa: S314 - our own drawing
                assert element.tag.rpartition("}")[2] != "script"
                for name, value in element.attrib.items():
                    if name.endswith("href"):
                        assert value.startswith(("#", "data:image/png;base64,"))
            assert "alert(1)</script>" not in svg
            assert "currentColor" in svg


def test_hostile_names_stay_names(bad):
    html = text(bad, "html")
    shown = "".join(Elements(html).data)
    for name in HOSTILE[:2]:
        assert name not in html
        assert name in shown
    assert "{{ 7 * 7 }}" in shown
    for form in FILES:
        for hidden in "\u202e\u200b\u0007":
            assert hidden not in text(bad, form)
    assert "safe\\u202egnp.exe" in shown


def test_markdown_keeps_its_columns_whatever_the_names(bad):
    for table in re.findall(r"(?:^\|.*\n)+", text(bad, "md"), re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1
    assert "<script" not in text(bad, "md")
    assert not re.search(r"(?<!\\)\]\(", text(bad, "md"))


def test_latex_escapes_its_special_characters(bad):
    body = text(bad, "tex").partition("\n")[2]
    assert r"a\&b\_c\%d\$e\#f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k" in body
    for table in body.split("\n\n"):
        assert table.count(r"\begin{tabular}") == table.count(r"\end{tabular}") == 1
        lines = [line for line in table.splitlines() if line.endswith(r"\\")]
        assert len({len(re.findall(r"(?<!\\)&", line)) for line in lines}) == 1
        assert not any(line.startswith("[") for line in lines)
        bare = re.sub(r"\\.", "", table)
        assert bare.count("{") == bare.count("}")
        assert bare.count("$") % 2 == 0
    assert body.isascii() or all(ord(character) < 0x250 for character in body)


def test_no_spreadsheet_takes_a_name_for_a_formula(bad):
    rows = list(csv.DictReader(io.StringIO(text(bad, "csv"))))
    assert len(rows) > 50
    for row in rows:
        for name in ("data", "table", "line", "column", "note", "reasons"):
            assert row[name][:1] not in ("=", "+", "-", "@")


def test_every_table_of_the_page_can_be_read_aloud(good):
    elements = Elements(text(good, "html")).found
    tags = Counter(tag for tag, _ in elements)
    assert tags["table"] == tags["caption"] == tags["thead"] > 10
    assert all(attributes.get("scope") in ("col", "row", "rowgroup") for tag, attributes in elements if tag == "th")
    assert all(attributes.get("alt") for tag, attributes in elements if tag == "img")
    identities = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(identities) == len(set(identities))
    links = [attributes["href"] or "" for tag, attributes in elements if tag == "a"]
    assert {link[1:] for link in links} <= set(identities)


def test_a_board_among_others_leads_to_them_and_to_the_files_beside_it(good, tmp_path):
    folder = write_committed(synthetic(PLAN, INVALID), tmp_path / "boards" / "one")
    (tmp_path / "boards" / "index.html").write_text("all", encoding="utf-8")
    written = build([folder])
    links = {attributes["href"] or "" for tag, attributes in Elements(written.read_text(encoding="utf-8")).found if tag == "a"}
    away = {link for link in links if not link.startswith("#")}
    assert away >= {"../index.html", "leaderboard.csv", "leaderboard.json", "leaderboard.tex", "leaderboard.md"}
    assert all((folder / link).is_file() for link in away), "no link leads nowhere"
    commit(run_directory(tmp_path / "runs").path, tmp_path / "boards" / "two")
    assert 'href="rows.csv.gz"' in build([tmp_path / "boards" / "two"]).read_text(encoding="utf-8")


def test_the_title_is_for_people_and_the_digest_stands_below(good):
    html = text(good, "html")
    assert "<h1><bdi>False-negative adversarial features on accelerated MRI reconstruction (head phantoms)</bdi></h1>" in html
    assert good.suite in html.partition("<footer")[2]
    assert good.suite not in html.partition("<main")[0]
    assert "<h1><bdi>stranger</bdi></h1>" in text(replace(good, suite="stranger@01234567", title=""), "html")


def test_words_of_a_page_are_explained_on_it(good):
    words = {word.name: word.meaning for _, entries in good.words for word in entries}
    assert {"tier", "worst case, shared attacks", "p value", "hit", "fnaf-random", "fnaf-robust", "V11"} <= set(words)
    assert all(words.values())
    assert words["V11"].startswith("An attack that had a better query must return it")
    assert "V13" not in words, "checks that had nothing to say are left out"
    gradient, second = [replace(one, attack=name, config="fnaf-gradient()") for name, one in zip("ab", records(PLAN), strict=False)]
    attacks = next(entries for heading, entries in glossary([gradient, second]) if heading == "Attacks")
    assert [word.name for word in attacks] == ["a", "b"]
    assert attacks[1].meaning == "like a, set otherwise", "one meaning is said once"
    assert dict(good.models)["recon-unet + fnaf-robust"], "shipped models say what they are"
    html = text(good, "html")
    assert all(f"<dt><bdi>{name}</bdi></dt>" in html for name in ("hit", "fnaf-random", "V11"))


def test_pictures_have_a_size_so_that_nothing_moves_while_they_are_read(good):
    for one in (good, leaderboard(overview())):
        for tag, attributes in Elements(text(one, "html")).found:
            if tag == "img":
                assert int(attributes["width"] or 0) > 0
                assert int(attributes["height"] or 0) > 0
                assert "loading" not in attributes


def test_every_table_and_figure_says_what_data_it_is_of(good):
    html = text(good, "html")
    parts = len(good.chapters[0].parts) + len(good.overviews)
    assert html.count(f'<span class="data phantom"><b>Made up</b> {PLAN.label}</span>') + html.count(f"; ours: {PLAN.label}</span>") == parts + 2


def test_an_invalid_number_is_struck_out_in_every_form(good):
    rate = next(table for table in good.chapters[0].tables if table.name == "attack-rate")
    number = f"{100 * (rate.lines[0].entries[1].estimate or 0):.1f}"
    assert f"<s>{number}</s>" in text(good, "html")
    assert f"~~{number} " in text(good, "md")
    assert "V11: better query not returned" in text(good, "md")
    assert rf"\textit{{{number} " in text(good, "tex")
    entries = [entry for line in json.loads(text(good, "json"))["chapters"][0]["tables"][0]["lines"] for entry in line["entries"]]
    assert [entry["best"] for entry in entries if entry["validity"] == "invalid"] == [False]


def test_json_holds_every_number_of_every_table(good):
    plain = json.loads(text(good, "json"))
    rows = [row for row in csv.DictReader(io.StringIO(text(good, "csv"))) if row["table"] != "overview"]
    numbers = [entry for table in plain["chapters"][0]["tables"] for line in table["lines"] for entry in line["entries"]]
    assert len(rows) == len(numbers)
    assert [row["estimate"] for row in rows] == ["" if one["estimate"] is None else f"{float(one['estimate']):.9g}" for one in numbers]
    assert set(plain["chapters"][0]["figures"][0]["points"]) == {"fnaf-random, 4x"} | {"fnaf-gradient, 4x"}


def test_nothing_tells_when_or_where_it_was_built(good, tmp_path):
    folder = write_committed(synthetic(PLAN, INVALID), tmp_path / "a")
    written = build([folder]).parent
    for form, (name, _) in FILES.items():
        found = (written / name).read_text(encoding="utf-8")
        assert str(tmp_path) not in found
        assert found == text(good, form)
        assert not re.search(r"20\d\d-\d\d-\d\d", found)


def run_directory(out: Path) -> Run:
    """A run on disk as the harness leaves it: two finished cells, one invalid, one failed."""
    plan = replace(PLAN, transfer=False)
    cells, rows = [], []
    for one in records(plan)[:4]:
        attack = None if one.attack == "none" else Configured(one.attack, one.attack, {"trials": 11})
        columns = {"target": one.target, "defense": one.defense, "attack": one.attack}
        cell = Cell(
            one.track,
            one.condition,
            0,
            Configured(one.data),
            "0" * 12,
            one.data_label,
            one.split,
            None,
            one.cases,
            "1" * 12,
            Configured(one.target),
            "2" * 12,
            None,
            attack,
            None,
            (),
            columns,
        )
        cells.append(cell)
        rows.append(rows_of(plan, record(plan, "4x", one.target, one.defense, one.attack)).to_dict("records"))
    run = create_or_open("recon-fnaf", {"suite": "recon-fnaf"}, cells, out)
    for number, (folder, content) in enumerate(zip(run.cells(), rows, strict=True)):
        findings = [{"id": "V13", "level": "invalid", "message": "left the budget"}] if number == 2 else []
        folder.append(sorted(content, key=lambda row: row["metric"] == MARKER))
        write_json(folder.path / "validity.json", {"level": "invalid" if findings else "ok", "checked": ["V13"], "findings": findings})
        write_json(folder.path / "env.json", {"packages": {"torch": "2.13.0"}, "seconds": 1.5, "forward passes": 16 * number, "gradient passes": 0})
        if number == 3:
            folder.write(replace(folder.state(), status="failed", error="out of memory"))
        else:
            folder.finish(folder.state(), "invalid" if findings else "done")
    return run


def test_a_run_and_what_was_committed_of_it_give_the_same_page(tmp_path):
    run = run_directory(tmp_path / "runs")
    commit(run.path, tmp_path / "one")
    commit(run.path, tmp_path / "two")
    for name in ("rows.csv.gz", "cells.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert build([run.path]) == run.path / "leaderboard" / "index.html"
    assert build([tmp_path / "one"]) == tmp_path / "one" / "index.html"
    for name, _ in FILES.values():
        assert (run.path / "leaderboard" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    found = assemble([run.path])
    assert [(one.status, one.reason) for one in found.missing] == [("failed", "out of memory")]
    assert [one.reason for one in found.invalid] == ["V13: left the budget"]
    assert found.attacks[0] == ("fnaf-random", "fnaf-random(trials=11)")
    assert dict(found.environments[0]) == {"torch": "2.13.0"}


def test_committed_rows_are_sorted_with_nine_digits_and_no_time(tmp_path):
    commit(run_directory(tmp_path / "runs").path, tmp_path / "one")
    packed = (tmp_path / "one" / "rows.csv.gz").read_bytes()
    assert packed[4:8] == bytes(4)
    head, *lines = gzip.decompress(packed).decode().splitlines()
    assert head.startswith("track,data,split,patient,case,target")
    names = ("target", "defense", "attack", "metric", "label", "patient")
    found = [tuple(line[name] for name in names) for line in csv.DictReader([head, *lines])]
    assert found == sorted(found)
    assert max(len(line["value"].partition("e")[0].strip("-0.").replace(".", "")) for line in csv.DictReader([head, *lines])) <= 9


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("cells.json", b"{", "cells.json: .*expected JSON"),
        ("cells.json", b'{"suite": "x"}', "cells.json: KeyError 'environments'; expected what `commit`"),
        ("rows.csv.gz", b"not gzip", r"rows\.csv\.gz: .*; expected rows with the columns"),
        ("rows.csv.gz", gzip.compress(b"track,data\na,b\n"), "rows have no column split"),
    ],
)
def test_a_damaged_committed_folder_is_one_line(tmp_path, name, content, expected):
    commit(run_directory(tmp_path / "runs").path, tmp_path / "one")
    (tmp_path / "one" / name).write_bytes(content)
    with pytest.raises(StoreError, match=expected) as error:
        load(tmp_path / "one")
    assert "\n" not in str(error.value)


def test_what_is_no_run_is_one_line(tmp_path):
    with pytest.raises(StoreError, match="found no folder, expected a run directory or a committed leaderboard"):
        load(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"found no suite\.lock\.yaml"):
        load(tmp_path)
    with pytest.raises(SpecError, match="expected at least one run directory"):
        assemble([])
    with pytest.raises(SpecError, match="no 'htm'; did you mean html"):
        text(page(synthetic(PLAN)), "htm")
    write_committed(synthetic(PLAN), tmp_path / "folder")
    (tmp_path / "folder" / "rows.parquet").unlink()
    with pytest.raises(StoreError, match=r"found no rows\.csv\.gz or rows\.parquet"):
        load(tmp_path / "folder")


def test_invisible_characters_are_made_visible():
    assert visible("a\u202eb\u200bc\u0000d\ne") == "a\\u202eb\\u200bc\\u0000d e"
    assert visible("naïve 日本 א") == "naïve 日本 א"


def test_the_environment_stands_on_the_page(good):
    html = text(good, "html")
    for name, value in ENVIRONMENT.items():
        assert f"<dt>{name}</dt><dd><bdi>{value}</bdi></dd>" in html


@pytest.mark.parametrize(("value", "shown"), [(11.0, "11"), (0.01, "0.01"), (1e-3, "10⁻³"), (1e-5, "10⁻⁵"), (5e-4, "5·10⁻⁴")])
def test_an_axis_shows_small_numbers_as_powers_of_ten(value: float, shown: str) -> None:
    assert figures.number(value) == shown


def test_no_tick_of_a_figure_is_cut_to_zero(good: Page) -> None:
    drawn = text(good, "html")
    assert "10⁻³" in drawn
    assert ">0.00<" not in drawn


def test_a_long_table_of_details_is_cut_on_the_page_and_says_so(good, monkeypatch):
    whole = html.html_text(good)
    monkeypatch.setattr(html, "LONGEST", 1)
    cut = html.html_text(good)
    long = next(table for chapter in good.chapters for table in chapter.tables if len(table.lines) > 1)
    note = f"The first 1 of {len(long.lines)} lines; <code>leaderboard.csv</code> and <code>leaderboard.json</code> beside this page hold all."
    assert note in cut
    assert "lines; <code>leaderboard.csv</code>" not in whole
    assert cut.count("<tr") < whole.count("<tr")
