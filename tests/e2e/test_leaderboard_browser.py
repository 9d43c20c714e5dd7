"""The leaderboard in a real browser: sorted, filtered, linked to, read by keys alone, without a script, on a phone and in the dark."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from medrobust.leaderboard.render.html import html_text
from medrobust.leaderboard.render.index import index_entries, index_text

sys.path.insert(0, str(Path(__file__).parents[1] / "units"))

from overviews import DICE, leaderboard, many, overview

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Locator, Page

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
SIZES = (320, 768, 1440, 3840)
LONG = "x" * 300
HOSTILE = ("<script>document.title='owned'</script>", "safe\u202egnp.exe", LONG, '"><img src=x onerror="document.title=1">', "a & b \\\\ c {d} & e")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages on disk: everything an overview can show, hostile names, a long board, and the index."""
    folder = tmp_path_factory.mktemp("pages")
    second = replace(overview("second data set", ("20 HU",), 3), curves=(), matrices=(), heat=None, shown=())
    whole = leaderboard(overview(), second)
    for name, content in (("whole", html_text(whole)), ("hostile", html_text(hostile())), ("many", html_text(leaderboard(many(230, 2))))):
        (folder / f"{name}.html").write_text(content, encoding="utf-8")
    entries = (*index_entries("seg linf", "whole.html", whole), *index_entries(HOSTILE[0], "hostile.html", hostile()))
    (folder / "index.html").write_text(index_text(entries), encoding="utf-8")
    return folder


def hostile() -> Any:
    """Every name chosen badly."""
    made = overview(HOSTILE[0], (HOSTILE[1],))
    names = [*HOSTILE, "plain"]
    standings = [replace(one, target=name, defense=HOSTILE[0]) for one, name in zip(made.standings, names, strict=True)]
    curves = tuple(replace(part, curves=tuple(replace(c, name=names[i % 6], attack=LONG) for i, c in enumerate(part.curves))) for part in made.curves)
    matrices = tuple(replace(part, rows=HOSTILE[:4], columns=HOSTILE[:4]) for part in made.matrices)
    pictures = tuple(replace(one, target=HOSTILE[0], defense=HOSTILE[0], condition=HOSTILE[1], case=LONG) for one in made.shown)
    column = replace(DICE, name=LONG)
    bad = replace(made, standings=tuple(standings), curves=curves, matrices=matrices, shown=pictures, attacks=(*HOSTILE[:3], LONG), headline=column)
    return leaderboard(replace(bad, findings=tuple({"id": HOSTILE[0], "level": HOSTILE[1], "message": LONG} for _ in range(2))), suite=HOSTILE[0])


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1440, "height": 1000}, permissions=["clipboard-read", "clipboard-write"], reduced_motion="reduce")
    yield opened
    opened.close()


class Seen:
    """What a page asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def check(self, path: Path) -> None:
        assert self.complaints == []
        assert [url[:80] for url in self.requests if url.partition("#")[0] != path.as_uri() and not url.startswith("data:image/")] == []


def opened(context: BrowserContext, path: Path, fragment: str = "") -> tuple[Page, Seen]:
    page = context.new_page()
    seen = Seen(page)
    page.goto(path.as_uri() + fragment)
    return page, seen


def where(page: Page) -> str:
    """The address now: `page.url` hears of a new fragment a little later."""
    return str(page.evaluate("location.href"))


def listed(page: Page, number: int = 1) -> list[str]:
    """Entrants as they stand, row by row."""
    return page.locator(f"#o{number}-standings tbody tr:not(.group) th").all_inner_texts()


def column(page: Page, key: str, body: int = 0) -> list[str]:
    """What a column says in one condition."""
    place = page.locator("#o1-standings thead th").evaluate_all("(heads, key) => heads.findIndex((head) => head.dataset.key === key)", key)
    cells = page.locator(f"#o1-standings tbody >> nth={body}").locator(f"tr:not(.group) > :nth-child({place + 1})")
    return [text.split("\n")[0] for text in cells.all_inner_texts()]


def press(page: Page, key: str, number: int = 1) -> None:
    page.click(f"#o{number}-standings th[data-key='{key}'] button")


def sorts(page: Page) -> dict[str, str]:
    return dict(page.locator("#o1-standings th[aria-sort]").evaluate_all("(heads) => heads.map((head) => [head.dataset.key, head.ariaSort])"))


def count(page: Page, number: int = 1) -> str:
    return page.locator(f"#o{number} [data-count]").inner_text()


def test_a_column_sorts_both_ways_and_back_and_what_is_missing_stands_last(context: BrowserContext, written: Path) -> None:
    page, seen = opened(context, written / "whole.html")
    before = listed(page)
    press(page, "worst")
    assert sorts(page) == {"worst": "descending"}
    values = [float(text) for text in column(page, "worst")[:-1]]
    assert values == sorted(values, reverse=True)
    assert column(page, "worst")[-1] == "missing"
    press(page, "worst")
    assert sorts(page) == {"worst": "ascending"}
    assert [float(text) for text in column(page, "worst")[:-1]] == sorted(values)
    assert column(page, "worst")[-1] == "missing"
    press(page, "worst")
    assert sorts(page) == {}
    assert listed(page) == before
    page.click("#o1-tools .chooser summary")
    page.check("#o1-tools [data-column=missed]")
    page.keyboard.press("Escape")
    press(page, "missed")
    assert sorts(page) == {"missed": "ascending"}, "the best first: few missed structures"
    press(page, "entrant")
    assert column(page, "entrant", 1) == sorted(column(page, "entrant", 1)), "within every condition"
    seen.check(written / "whole.html")


def test_every_column_can_be_sorted_by(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    keys = page.locator("#o1-standings th[data-key]").evaluate_all("(heads) => heads.map((head) => head.dataset.key)")
    ask_for_all(page)
    assert {"entrant", "tier", "clean", "loss", "worst", "missed", "validity", "patients", "cases", "attack-1", "queries", "best"} < set(keys)
    for key in keys:
        press(page, key)
        assert list(sorts(page)) == [key]
        values = page.evaluate(
            """(key) => { const i = [...document.querySelectorAll("#o1-standings thead th")].findIndex((h) => h.dataset.key === key);
            const rows = [...document.querySelectorAll("#o1-standings tbody:nth-of-type(1) tr:not(.group)")];
            return rows.map((r) => r.cells[i].dataset.v ?? r.cells[i].textContent); }""",
            key,
        )
        known = [value if key == "entrant" else float(value) for value in values if value != ""]
        assert known == sorted(known, reverse=sorts(page)[key] == "descending")
        assert values[len(known) :] == [""] * (len(values) - len(known))


def ask_for_all(page: Page) -> None:
    """Every column."""
    page.click("#o1-tools .chooser summary")
    for box in page.locator("#o1-tools [data-column]").all():
        box.check()
    page.keyboard.press("Escape")


def test_few_columns_are_shown_at_first_and_fit(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    shown = "(heads) => heads.filter((head) => head.offsetWidth).map((head) => head.dataset.key)"
    first = ["entrant", "tier", "worst", "clean", "loss", "validity", "cases"]
    assert page.locator("#o1-standings th[data-key]").evaluate_all(shown) == first
    for width in (1280, 1440, 2560, 3840):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.locator("#o1 .scroll").first.evaluate("(e) => e.scrollWidth <= e.clientWidth"), f"nothing to scroll to at {width}"
    page.set_viewport_size({"width": 320, "height": 900})
    inside = "(e) => e.getBoundingClientRect().right <= document.querySelector('#o1 .scroll').getBoundingClientRect().right"
    assert page.locator("#o1-1 td:nth-child(3)").evaluate(inside), "on a phone the headline stands beside the name"
    page.set_viewport_size({"width": 1440, "height": 900})
    ask_for_all(page)
    assert len(page.locator("#o1-standings th[data-key]").evaluate_all(shown)) == page.locator("#o1-standings th[data-key]").count() > len(first)
    assert "1.show=" in where(page)
    again, _ = opened(context, written / "whole.html", "#" + where(page).partition("#")[2])
    assert again.locator("#o1-standings th[data-key='attack-4']").is_visible()


def test_reasons_do_not_widen_the_table(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    for width in (320, 1280, 2560):
        page.set_viewport_size({"width": width, "height": 900})
        wide = "document.querySelector('#o1-standings').offsetWidth"
        before = page.evaluate(wide)
        page.evaluate("for (const d of document.querySelectorAll('.why')) d.open = true")
        assert page.evaluate(wide) == before
        page.evaluate("for (const d of document.querySelectorAll('.why')) d.open = false")


@pytest.mark.parametrize("script", [True, False])
def test_a_link_lands_where_it_says(browser: Browser, written: Path, script: bool) -> None:
    """Closed details above, tens of pictures on the way: the target's top is on the screen at once, and stays there."""
    context = browser.new_context(java_script_enabled=script, viewport={"width": 1280, "height": 900})
    for anchor in ("o1-cases-1", "o1-cases-3", "o1-matrix-2", "o1-curves-1", "o1-3"):
        page, _ = opened(context, written / "whole.html", f"#{anchor}")
        tops = [page.locator(f"#{anchor}").evaluate("(e) => e.getBoundingClientRect().top") for _ in range(2) if not page.wait_for_timeout(300)]
        assert tops[0] == tops[1]
        assert 0 <= tops[0] < 450, anchor
    page, _ = opened(context, written / "whole.html")
    page.locator("#o1-3").get_by_role("link").first.click()
    page.wait_for_timeout(300)
    assert 0 <= page.locator("#o1-cases-3").evaluate("(e) => e.getBoundingClientRect().top") < 450
    assert page.evaluate("document.activeElement.id") == "o1-cases-3"
    context.close()


def test_cases_that_an_attack_turned_stand_first(context: BrowserContext, tmp_path: Path) -> None:
    made = overview()
    turned = [replace(one, turned=one.target == "seg-unet" and one.defense == "pgd-training") for one in made.shown]
    (tmp_path / "index.html").write_text(html_text(leaderboard(replace(made, shown=tuple(turned)))), encoding="utf-8")
    page, _ = opened(context, tmp_path / "index.html")
    first = page.locator(".entrant-cases").first
    assert "pgd-training" in first.locator("summary").inner_text()
    assert "2 turned" in first.locator("summary").inner_text()
    assert page.locator(".entrant-cases[open]").count() == 1
    assert first.locator("h4 .badge").all_inner_texts() == ["turned", "turned"]


def test_the_first_screen_says_what_was_found(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    page.set_viewport_size({"width": 1280, "height": 900})
    for place in ("h1", "#o1 .finding", "#o1 .sure", "#o1 .first svg"):
        assert page.locator(place).first.evaluate("(e) => e.getBoundingClientRect().bottom <= innerHeight"), place
    assert "seg-unet" in page.locator("#o1 .finding").inner_text()
    assert "How sure" in page.locator("#o1 .sure").inner_text()


def test_heads_are_repeated_on_paper(context: BrowserContext, written: Path) -> None:
    """A browser leaves buttons out where it repeats the head of a table."""
    page, _ = opened(context, written / "many.html")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("thead button").count() == 0
    assert "worst case" in page.locator("#o1-standings thead").inner_text()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    press(page, "worst")
    assert sorts(page) == {"worst": "descending"}


def test_filters_narrow_the_table_and_say_so(context: BrowserContext, written: Path) -> None:
    page, seen = opened(context, written / "whole.html")
    assert count(page) == "12 of 12 entries shown"
    page.fill("#o1-find", "NNU")
    assert count(page) == "4 of 12 entries shown"
    assert all(name.startswith("nnu-net") for name in listed(page))
    assert len(listed(page, 2)) == 6, "the other table keeps its own view"
    page.select_option("#o1-condition", "2")
    assert count(page) == "2 of 12 entries shown"
    assert page.locator("#o1-standings .group:visible").all_inner_texts() == ["16/255"]
    page.fill("#o1-find", "")
    page.select_option("#o1-tier", "1")
    assert listed(page) == ["seg-unet", "seg-unet + deform-robust"]
    page.select_option("#o1-tier", "none")
    assert listed(page) == ["nnu-net", "nnu-net + pgd-training"]
    page.select_option("#o1-validity", "believed")
    assert listed(page) == ["nnu-net + pgd-training"]
    page.select_option("#o1-tier", "")
    page.select_option("#o1-validity", "=warn")
    assert listed(page) == ["seg-unet + pgd-training"]
    page.fill("#o1-find", "nobody")
    assert count(page) == "0 of 12 entries shown"
    page.get_by_role("button", name="Clear the filters").click()
    assert count(page) == "12 of 12 entries shown"
    assert page.locator("#o1 [role=status][data-count]").count() == 1
    seen.check(written / "whole.html")


def test_columns_are_chosen(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    head, cells = page.locator("#o1-standings th[data-key=clean]"), page.locator("#o1-standings tbody tr:nth-child(2) > :nth-child(4)")
    assert head.is_visible()
    page.click("#o1-tools .chooser summary")
    page.uncheck("#o1-tools [data-column=clean]")
    assert not head.is_visible()
    assert not any(cell.is_visible() for cell in cells.all())
    assert page.locator("#o1-standings .group th").first.is_visible()
    assert page.locator("#o2-standings th[data-key=clean]").is_visible()
    page.keyboard.press("Escape")
    assert not page.locator("#o1-tools .chooser > div").is_visible()
    page.click("#o1-tools [data-do=reset]")
    assert head.is_visible()


def test_a_link_brings_the_whole_view_back(context: BrowserContext, written: Path) -> None:
    page, seen = opened(context, written / "whole.html")
    page.fill("#o1-find", "seg & < ? #")
    page.fill("#o1-find", "seg-unet +")
    page.select_option("#o1-validity", "believed")
    page.select_option("#o1-tier", "2")
    page.select_option("#o1-condition", "1")
    page.click("#o1-tools .chooser summary")
    page.check("#o1-tools [data-column=best]")
    page.uncheck("#o1-tools [data-column=clean]")
    page.keyboard.press("Escape")
    press(page, "best")
    press(page, "worst", 2)
    view = VIEW(page)
    page.get_by_role("button", name="Copy a link to this view").first.click()
    page.wait_for_function("() => document.querySelector('#o1 [data-said]').textContent")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == where(page)
    other, _ = opened(context, written / "whole.html", "#" + link.partition("#")[2])
    assert VIEW(other) == view
    assert listed(other) == ["seg-unet + pgd-training"]
    assert other.locator("#o1").evaluate("(e) => e.getBoundingClientRect().top < innerHeight")
    other.click("nav .wide-only a[href='#o1-matrix-1']")
    other.wait_for_function("location.hash.startsWith('#o1-matrix-1?')")  # another place, the same view
    assert VIEW(other) == view
    other.reload()
    assert VIEW(other) == view
    other.click("#o1-tools [data-do=reset]")
    assert count(other) == "12 of 12 entries shown"
    assert sorts(other) == {}
    assert "2.sort=worst" in where(other)
    assert "1." not in where(other).partition("?")[2]
    seen.check(written / "whole.html")


def VIEW(page: Page) -> list[Any]:  # noqa: N802
    """All that a reader chose, and what came of it."""
    return list(
        page.evaluate("""() => [...document.querySelectorAll("table.standings")].map((t) => [
        [...t.closest("section").querySelectorAll("[data-filter]")].map((f) => f.value),
        [...t.closest("section").querySelectorAll("[data-column]")].map((f) => f.checked),
        [...t.querySelectorAll("th[aria-sort]")].map((h) => [h.dataset.key, h.ariaSort]),
        [...t.querySelectorAll("tbody tr")].map((r) => r.id)])""")
    )


BROKEN = [
    "#o1?1.sort=nothing.descending",
    "#o1?1.sort=tier.up&1.tier=99&1.validity=%00&1.hide=x.constructor.__proto__&9.find=a",
    "#%E0%A4%A",
    "#o1?%",
]


@pytest.mark.parametrize("fragment", BROKEN)
def test_a_broken_link_shows_the_plain_table(context: BrowserContext, written: Path, fragment: str) -> None:
    page, seen = opened(context, written / "whole.html", fragment)
    assert count(page) == "12 of 12 entries shown"
    assert sorts(page) == {}
    page.fill("#o1-find", "nnu")
    assert where(page).endswith("#o1?1.find=nnu"), "what was not understood is dropped"
    seen.check(written / "whole.html")


def test_a_long_board_lists_few_rows_until_asked(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "many.html")
    assert len(listed(page)) == 50
    assert count(page) == "230 of 230 entries shown, the first 50 of them listed"
    press(page, "entrant")
    press(page, "entrant")
    assert listed(page)[0].startswith("model-0229"), "rows that were not listed are sorted too"
    page.get_by_role("button", name="List all 230").click()
    assert len(listed(page)) == 230
    other, _ = opened(context, written / "many.html", "#" + where(page).partition("#")[2])
    assert len(listed(other)) == 230
    page.get_by_role("button", name="List the first 50 alone").click()
    assert len(listed(page)) == 50
    page.fill("#o1-find", "model-01")
    assert len(listed(page)) == 100, "what is not many is listed whole"
    far, _ = opened(context, written / "many.html", "#o1-222")
    assert far.locator("#o1-222").is_visible(), "a link to a row lists it"


def test_from_a_standing_to_its_pictures_and_back(context: BrowserContext, written: Path) -> None:
    page, seen = opened(context, written / "whole.html")
    row = page.locator("#o1-2")
    assert row.locator("details.why").count() == 0
    row.get_by_role("link", name="2 shown").click()
    place = page.locator("#o1-cases-2")
    place.wait_for(state="visible")
    pictures = place.locator("img")
    assert pictures.count() == 10
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function("() => [...document.querySelectorAll('#o1-cases-2 img')].slice(0, 5).every((i) => i.complete && i.naturalWidth === 96)")
    assert [text.split(":")[0] for text in pictures.evaluate_all("(all) => all.map((i) => i.alt)")][:5] == [
        "clean",
        "attacked",
        "difference",
        "prediction",
        "truth",
    ]
    assert "91.2 to 42.0 %" in place.inner_text()
    page.fill("#o1-find", "nnu")
    place.get_by_role("link", name="Back to its standing").click()
    page.locator("#o1-2").wait_for(state="visible")
    assert page.input_value("#o1-find") == "", "a row that was filtered away is shown again"
    page.locator("#o1-3 summary").click()
    assert "V07: gradients are zero" in page.locator("#o1-3").inner_text()
    seen.check(written / "whole.html")


def test_what_is_copied_is_what_is_shown(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    page.fill("#o1-find", "seg-unet 16/255")
    press(page, "worst")
    page.click("#o1-tools .chooser summary")
    page.uncheck("#o1-tools [data-column=clean]")
    page.check("#o1-tools [data-column=attack-2]")
    page.keyboard.press("Escape")
    page.locator("#o1").get_by_role("button", name="Copy as LaTeX").click()
    page.wait_for_function("() => document.querySelector('#o1 [data-said]').textContent")
    copied = page.evaluate("navigator.clipboard.readText()").split("\n")
    begin, end = copied.index("\\midrule"), copied.index("\\bottomrule")
    rows = [re.split(" & ", line[:-3]) for line in copied[begin + 1 : end]]
    assert [row[1] for row in rows] == listed(page)
    assert {row[0] for row in rows} == {"16/255"}
    heads = re.split(" & ", copied[begin - 1][:-3])
    assert {len(row) for row in rows} == {len(heads)}
    assert heads[:5] == ["condition", "entrant", "tier", "worst case, shared attacks (\\%)", "clean to worst case (points)"]
    assert "apgd (\\%)" in heads
    assert not {"clean (\\%)", "pgd (\\%)", "queries"} & set(heads)
    layout = re.search(r"tabular\}\{([lr]+)\}", copied[begin - 3])
    assert layout
    assert len(layout[1]) == len(heads)
    worst = heads.index("worst case, shared attacks (\\%)")
    assert [row[worst].split(" ")[0].replace("\\textbf{", "").rstrip("}") for row in rows] == column(page, "worst", 1)
    page.locator("#o1").get_by_role("button", name="Copy the citation").click()
    page.wait_for_function("() => document.querySelector('#o1 [data-said]').textContent.includes('citation')")
    cited = page.evaluate("navigator.clipboard.readText()")
    assert cited.startswith("@misc{medrobust-seg-linf-")
    assert cited == page.locator("#o1-cite").evaluate("(e) => e.textContent")


def test_without_a_clipboard_the_text_is_selected(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.locator("#o1").get_by_role("button", name="Copy the citation").click()
    page.locator("#o1-cite").wait_for(state="visible")
    assert str(page.evaluate("getSelection().toString()")).startswith("@misc{")


def test_every_control_has_an_effect(context: BrowserContext, written: Path) -> None:
    """A law: whatever can be pressed, chosen or typed into changes what is seen, the address or the clipboard."""
    page, _ = opened(context, written / "whole.html")
    state = """() => JSON.stringify([location.hash, [...document.querySelectorAll(".overview")].map((e) => e.innerText),
        [...document.querySelectorAll("details")].map((d) => d.open)])"""
    controls = page.locator("main :is(button, input, select, summary)")
    page.evaluate("for (const d of document.querySelectorAll('main details')) d.open = !d.matches('.chooser')")
    tried = 0
    for control in controls.all():
        if not control.is_visible() and not control.get_attribute("data-column"):
            continue
        before = page.evaluate(state)
        use(page, control)
        page.wait_for_function(f"(before) => ({state})() !== before", arg=before)
        page.evaluate("""() => { for (const b of document.querySelectorAll("[data-do=reset]"))
              if (location.hash.includes("?") || document.querySelector("[aria-sort]")) b.click();
            for (const s of document.querySelectorAll("[data-said]")) s.textContent = "";
            for (const d of document.querySelectorAll("main details")) d.open = !d.matches(".chooser"); }""")
        tried += 1
    assert tried > 70


def use(page: Page, control: Locator) -> None:
    kind = control.evaluate("(e) => e.type || e.tagName")
    if control.get_attribute("data-do") == "reset":
        before = where(page)
        own = control.evaluate("(b) => b.closest('section').id")
        page.fill(f"#{own}-find", "nnu")
        assert where(page) != before
        before = count(page, int(own[1:]))
        control.dispatch_event("click")
        assert count(page, int(own[1:])) != before
        page.fill("#o1-find", "nnu")
    elif kind == "search":
        control.fill("nnu")
    elif kind == "select-one":
        for value in control.locator("option").evaluate_all("(all) => all.map((o) => o.value)")[::-1]:
            control.select_option(value)
            if value:
                break
    else:
        control.dispatch_event("click")


def test_a_reader_needs_no_mouse(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    stops = []
    for _ in range(60):
        page.keyboard.press("Tab")
        stop = page.evaluate("""() => { const e = document.activeElement, s = getComputedStyle(e), b = e.getBoundingClientRect();
            const inside = (place, end) => Math.min(Math.max(place, 0), end - 1);
            const at = document.elementFromPoint(inside(b.x + b.width / 2, innerWidth), inside(b.y + Math.min(b.height, 40) / 2, innerHeight));
            return { what: e.id || e.closest("th")?.dataset.key || e.dataset.do || e.tagName,
                     ring: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, clear: !!at && (e.contains(at) || at.contains(e)) }; }""")
        assert stop["ring"], stop
        assert stop["clear"], stop
        stops.append(stop["what"])
        if stop["what"] == "o1-find":
            page.keyboard.type("seg-unet")
            assert count(page) == "8 of 12 entries shown"
        elif stop["what"] == "worst":
            page.keyboard.press("Enter")
            assert sorts(page) == {"worst": "descending"}
        elif stop["what"] == "o1-tier":
            page.keyboard.press("n")
            assert page.input_value("#o1-tier") == "none"
            page.keyboard.press("Home")
    order = [stops.index(stop) for stop in ("o1-find", "o1-tier", "reset", "entrant", "worst", "copy")]
    assert order == sorted(order)


def test_a_late_word_of_a_new_address_calls_nobody_back(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html", "#content")
    page.keyboard.press("Tab")
    before = page.evaluate("document.activeElement.outerHTML")
    assert page.evaluate("document.activeElement.id") != "content"
    page.evaluate("dispatchEvent(new HashChangeEvent('hashchange'))")
    assert page.evaluate("document.activeElement.outerHTML") == before


def test_without_a_script_everything_is_there_to_read(browser: Browser, written: Path) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": 1440, "height": 1000})
    page, seen = opened(context, written / "whole.html", "#o1-cases-2")
    assert page.locator("#o1-standings tbody tr:not(.group)").count() == 12
    assert page.locator("button:visible, input:visible, select:visible").count() == 0, "nothing that would do nothing"
    assert page.locator("#o1-standings .why").first.is_visible()
    assert page.locator("#o1-latex").count() == 1
    assert page.locator("svg.panel").first.is_visible()
    page.locator("#o1 summary", has_text="As a LaTeX table").click()
    assert page.locator("#o1-latex").is_visible()
    assert page.locator("#o1-cases-2").is_visible(), "a link into closed details opens them"
    many_rows, _ = opened(context, written / "many.html")
    assert many_rows.locator("#o1-standings tbody tr").count() >= 230
    seen.check(written / "whole.html")
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["whole", "hostile", "index"])
def test_nothing_runs_over_the_side_by_day_or_night(browser: Browser, written: Path, name: str, scheme: Any) -> None:
    context = browser.new_context(color_scheme=scheme)
    page, seen = opened(context, written / f"{name}.html")
    for open_all in (False, True):
        page.evaluate("(open) => { for (const d of document.querySelectorAll('details')) d.open = open || d.open; }", open_all)
        for width in SIZES:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(int(part) for part in re.findall(r"\d+", dark)) < 200) == (scheme == "dark")
    seen.check(written / f"{name}.html")
    context.close()


AXE = [("whole", 320, "light"), ("whole", 1440, "dark"), ("hostile", 320, "dark"), ("index", 1440, "light"), ("index", 320, "dark")]


@pytest.mark.parametrize(("name", "width", "scheme"), AXE)
def test_axe_finds_nothing(browser: Browser, written: Path, name: str, width: int, scheme: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    context = browser.new_context(color_scheme=scheme, bypass_csp=True, viewport={"width": width, "height": 900})
    page, _ = opened(context, written / f"{name}.html")
    page.add_script_tag(content=(Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    page.evaluate("for (const d of document.querySelectorAll('details:not(.chooser)')) d.open = true")
    assert violations(page) == []
    if name == "whole":
        page.click("#o1-tools .chooser summary")
        assert violations(page, "#o1-tools") == []
    context.close()


def violations(page: Page, place: str = "html") -> list[str]:
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("([place, tags]) => axe.run(place, { runOnly: { type: 'tag', values: tags } })", [place, tags])
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]} {one['nodes'][0]['failureSummary'][:200]}" for one in found["violations"]]


def test_hostile_names_stay_names(context: BrowserContext, written: Path) -> None:
    page, seen = opened(context, written / "hostile.html")
    assert page.title() == f"{HOSTILE[0]}: leaderboard"
    assert page.locator("#o1-standings img").count() == 0
    names = listed(page)
    assert HOSTILE[0] in names[0]
    assert "safe\\u202egnp.exe" in names[1]
    assert LONG in names[2]
    page.fill("#o1-find", "<script>document.title= x")
    assert len(listed(page)) >= 1
    page.select_option("#o1-validity", index=2)
    page.select_option("#o1-validity", "")
    page.fill("#o1-find", "a & b")
    page.click("#o1-tools .chooser summary")
    page.uncheck("#o1-tools [data-column=tier]")
    page.keyboard.press("Escape")
    page.locator("#o1").get_by_role("button", name="Copy as LaTeX").click()
    page.wait_for_function("() => document.querySelector('#o1 [data-said]').textContent")
    copied = page.evaluate("navigator.clipboard.readText()").split("\n")
    begin = copied.index("\\midrule")
    row, heads = copied[begin + 1], copied[begin - 1]
    assert r"a \& b \textbackslash{}\textbackslash{} c \{d\} \& e" in row
    assert len(re.findall(r"(?<!\\)&", row)) == len(re.findall(r"(?<!\\)&", heads))
    other, also = opened(context, written / "hostile.html", "#" + where(page).partition("#")[2])
    assert listed(other) == listed(page)
    seen.check(written / "hostile.html")
    also.check(written / "hostile.html")


def test_paper_shows_tables_and_no_controls(context: BrowserContext, written: Path) -> None:
    page, _ = opened(context, written / "whole.html")
    page.emulate_media(media="print")
    assert page.locator("button:visible, input:visible, nav a:visible").count() == page.locator("thead button:visible").count()
    assert page.locator("#o1-standings").is_visible()
    assert page.locator("#o1 .scroll").first.evaluate("(e) => getComputedStyle(e).overflow") == "visible"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    text = page.evaluate("getComputedStyle(document.body).color")
    assert sum(int(part) for part in re.findall(r"\d+", text)) < 200, "dark on white, whatever the screen"


def test_the_index_leads_to_every_leaderboard(context: BrowserContext, written: Path) -> None:
    page, seen = opened(context, written / "index.html")
    assert page.locator("script").count() == 0
    assert HOSTILE[0] in page.locator("table").inner_text()
    assert "seg-unet + deform-robust" in page.locator("table").inner_text(), "the first tier whole"
    page.get_by_role("link", name="seg linf").nth(1).click()
    assert page.locator("#o2").is_visible()
    assert where(page).endswith("whole.html#o2")
    assert seen.complaints == []
