"""A study in a real browser: made, read by keys alone, left and resumed, saved, scored."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from medrobust.cli.app import call
from medrobust.reader_study.check import collected
from medrobust.reader_study.key import Key
from medrobust.reader_study.returned import read

sys.path.insert(0, str(Path(__file__).parents[1] / "units"))

from studies import made, subjects

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Key]:
    """Three pairs and three single images."""
    done, key = made(tmp_path_factory.mktemp("study"), 3, 3, subjects=subjects(size=(64, 48)), title="Reading <b>mammograms</b>")
    return done.page, key


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 800})
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
        outside = [url[:80] for url in self.requests if url != path.as_uri() and not url.startswith(("data:image/png;base64,", "blob:"))]
        assert outside == []


def opened(context: BrowserContext, path: Path) -> tuple[Page, Seen]:
    page = context.new_page()
    seen = Seen(page)
    page.goto(path.as_uri())
    return page, seen


def begin(page: Page, name: str = "R-07") -> None:
    """The form, by keys alone."""
    page.keyboard.press("Tab")
    assert focus(page) == "name", "the first stop is the first field"
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type("radiologist")
    page.keyboard.press("Tab")
    page.keyboard.type("12")
    page.keyboard.press("Tab")
    page.keyboard.type("5000")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    ready(page)


def ready(page: Page) -> None:
    for letter in "AB"[: images(page)]:
        page.wait_for_selector(f"#viewer-{letter}[data-ready=yes]")


def images(page: Page) -> int:
    return int(page.evaluate("document.body.dataset.images"))


def focus(page: Page) -> str:
    return str(page.evaluate("document.activeElement.id"))


def tab_to(page: Page, name: str) -> None:
    for _ in range(12):
        if focus(page) == name:
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no number of tabs reaches {name}, the last was {focus(page)}")


def expected(image: str) -> tuple[int, int]:
    """What the script answers for an image."""
    number = 7 * int(image[:2]) + (3 if image.endswith("B") else 0)
    return number, 100 if number % 2 else 0


def rate(page: Page, item: str) -> None:
    """Every rating of the screen by keys, from the first slider on; the last Enter goes on."""
    tab_to(page, "A-malignancy")
    for letter in "AB"[: images(page)]:
        for value in expected(item + letter):
            page.keyboard.type(f"{value:02d}")
            page.keyboard.press("Enter")


def answer_until(page: Page, key: Key, start: int, end: int) -> None:
    for item in key.items[start:end]:
        assert page.evaluate("document.body.dataset.item") == item.item
        rate(page, item.item)


def downloaded(page: Page, button: str, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    with page.expect_download() as waiting:
        page.focus(f"#{button}")
        page.keyboard.press("Enter")
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def test_a_study_is_read_by_keys_left_resumed_saved_and_scored(
    context: BrowserContext, study: tuple[Path, Key], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, key = study
    page, seen = opened(context, path)
    assert page.locator("h1").first.inner_text() == "Reading <b>mammograms</b>"
    assert key.study in page.locator("#start").inner_text()
    begin(page)
    answer_until(page, key, 0, 2)
    copy = downloaded(page, "copy", tmp_path / "copy")
    answer_until(page, key, 2, 3)
    page.reload()
    assert "3 of 6 items are rated, item 4 is next" in page.locator("#who").inner_text()
    page.keyboard.press("Tab")
    assert focus(page) == "continue"
    page.keyboard.press("Enter")
    ready(page)
    answer_until(page, key, 3, 6)
    assert "All 6 items are rated" in page.locator("#outcome").inner_text()
    whole, table = downloaded(page, "json", tmp_path), downloaded(page, "csv", tmp_path)
    assert whole.name == f"answers-{key.study}-r-07.json"
    seen.check(path)

    (found,), (from_table,) = read(whole), read(table)
    assert found.checksum == found.sum() == from_table.sum(), "page and library agree on the checksum"
    assert found.ratings == from_table.ratings
    assert found.ratings == {image: dict(zip(("malignancy", "tampering"), expected(image), strict=True)) for image in key.images}
    assert (found.reader.name, found.reader.role, found.reader.years, found.reader.volume) == ("R-07", "radiologist", 12, 5000)
    assert set(found.seconds) == set(key.images)
    assert all(0 < spent < 600 for spent in found.seconds.values())
    sealed = path.parent / "sealed" / "key.json"
    assert call(["reader-study", "score", str(sealed), str(whole), "--out", str(tmp_path / "out")]) == 0
    assert "R-07" in capsys.readouterr().out
    assert call(["reader-study", "score", str(sealed), str(copy)]) == 1
    assert "--allow-incomplete scores the rest" in capsys.readouterr().err
    content = json.loads(whole.read_text())
    content["answers"][0]["malignancy"] ^= 1
    whole.write_text(json.dumps(content))
    assert call(["reader-study", "score", str(sealed), str(whole)]) == 1
    assert "altered after they were saved" in capsys.readouterr().err


def test_what_is_missing_is_asked_for_and_answers_can_be_changed(context: BrowserContext, study: tuple[Path, Key]) -> None:
    path, _ = study
    page, seen = opened(context, path)
    begin(page)
    page.keyboard.press("n")
    assert "Please rate cancer" in page.locator("#status").inner_text()
    assert focus(page) == "A-malignancy"
    assert page.get_attribute("#A-malignancy", "aria-valuetext") == "not rated yet"
    rate(page, "01")
    page.keyboard.press("p")
    assert page.locator("#place").inner_text() == "Item 1 of 6"
    assert page.get_attribute("#A-malignancy", "aria-valuetext") == "7"
    page.focus("#A-malignancy")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.locator("output[for=A-malignancy]").inner_text() == "9"
    page.wait_for_timeout(1100)
    for figure in "100":
        page.keyboard.press(figure)
    assert page.locator("output[for=A-malignancy]").inner_text() == "100"
    seen.check(path)


def test_a_click_in_the_middle_is_an_answer(context: BrowserContext, study: tuple[Path, Key]) -> None:
    page, _ = opened(context, study[0])
    begin(page)
    page.click("#A-tampering")
    assert page.locator("output[for=A-tampering]").inner_text() == "50"
    assert "unrated" not in (page.get_attribute("#A-tampering", "class") or "")


PIXELS = """(at) => { const c = document.querySelector(at + " canvas"), o = new OffscreenCanvas(c.width, c.height).getContext("2d");
  o.drawImage(c, 0, 0); const d = o.getImageData(0, 0, c.width, c.height).data;
  let sum = 0, n = 0; for (let i = 0; i < d.length; i += 4) if (d[i + 3]) { sum += d[i]; n++; } return [sum / n, n]; }"""


def test_images_zoom_move_and_change_window_by_keys_and_mouse(context: BrowserContext, study: tuple[Path, Key]) -> None:
    path, key = study
    page, seen = opened(context, path)
    begin(page)
    pair = next(index for index, item in enumerate(key.items) if len(item.images) == 2)
    answer_until(page, key, 0, pair)
    ready(page)

    def said(letter: str = "A") -> str:
        return page.locator(f"#viewer-{letter} .readout").inner_text()

    def mean(letter: str = "A") -> float:
        return float(page.evaluate(PIXELS, f"#viewer-{letter}")[0])

    page.focus("#viewer-A")
    before = mean(), page.evaluate(PIXELS, "#viewer-A")[1]
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert "zoom 1.6" in said("A")
    assert "zoom 1.6" in said("B"), "both move together"
    assert page.evaluate(PIXELS, "#viewer-A")[1] > before[1]
    page.keyboard.press("l")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowUp")
    assert "level 122" in said("A")
    assert "level 128" in said("B"), "one moves alone"
    assert mean() > before[0], "a lower level is brighter"
    page.keyboard.press("r")
    assert said().startswith("zoom 1.0  window 255  level 128")
    assert mean() == pytest.approx(before[0], abs=0.5)
    page.keyboard.press("i")
    assert mean() == pytest.approx(255 - before[0], abs=1)
    page.keyboard.press("r")
    box = page.locator("#viewer-B").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.wheel(0, -400)
    assert "zoom 2.8" in said("B"), "what was not linked was not reset, and zooms on"
    assert focus(page) == "viewer-A"
    page.keyboard.press("w")
    page.mouse.down()
    page.mouse.move(middle[0] + 60, middle[1] + 20, steps=3)
    page.mouse.up()
    assert "window 315  level 118" in said("B")
    assert page.evaluate("getComputedStyle(document.querySelector('#viewer-A')).backgroundColor") == "rgb(0, 0, 0)"
    page.focus("#zoom-out")
    page.keyboard.press("ArrowRight")
    assert focus(page) == "zoom-in", "one tab stop, arrows inside"
    page.keyboard.press("?")
    assert page.locator("#help").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("#help").is_hidden()
    seen.check(path)


@pytest.mark.parametrize(("size", "scheme"), [((320, 600), "light"), ((320, 600), "dark"), ((1280, 640), "dark"), ((1920, 1200), "light")])
def test_nothing_runs_over_the_side_or_out_of_contrast(browser: Browser, study: tuple[Path, Key], size: tuple[int, int], scheme: Any) -> None:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    page, seen = opened(context, study[0])

    def fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert page.evaluate(CONTRAST) == []

    fits()
    begin(page)
    fits()
    if size[0] > 320:
        assert page.evaluate("document.documentElement.scrollHeight") <= size[1], "image and ratings are on one screen"
    dark = "getComputedStyle(document.querySelector('.foot')).backgroundColor"
    assert page.evaluate(dark) == "rgb(20, 24, 30)", "images are read in the dark"
    page.keyboard.press("?")
    fits()
    page.keyboard.press("Escape")
    page.click(".head .theme")
    assert page.evaluate(dark) == "rgb(255, 255, 255)"
    fits()
    seen.check(study[0])
    context.close()


CONTRAST = """() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.disabled || e.closest("script, style, noscript, option")) continue;
    const [a, b] = [light(parse(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(`${e.tagName} ${e.className} ${e.textContent.trim().slice(0, 30)}: ${((a + 0.05) / (b + 0.05)).toFixed(2)}`);
  }
  return bad;
}"""  # noqa: E501


def test_everything_that_can_be_used_has_a_name_and_a_visible_focus(context: BrowserContext, study: tuple[Path, Key]) -> None:
    page, _ = opened(context, study[0])
    begin(page)
    nameless = page.evaluate("""() => [...document.querySelectorAll("button, input, select, [tabindex='0']")].filter((e) =>
      !(e.labels && e.labels.length) && !e.getAttribute("aria-label") && !e.textContent.trim()).map((e) => e.id)""")
    assert nameless == []
    stops = []
    for _ in range(14):
        page.keyboard.press("Tab")
        stops.append(focus(page))
        visible = page.evaluate("""() => { const e = document.activeElement, r = e.closest(".rating"), s = getComputedStyle(r || e);
          return r ? s.borderTopColor !== "rgba(0, 0, 0, 0)" : s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2; }""")
        assert visible or stops[-1] == "", stops[-1]
    assert {"viewer-A", "A-malignancy", "A-tampering", "next", "copy"} <= set(stops)


HOSTILE = '<img src=x onerror="document.title=1">\u202eÆ世' + "x" * 100


def test_a_hostile_name_and_a_hostile_store_are_text(context: BrowserContext, study: tuple[Path, Key], tmp_path: Path) -> None:
    path, key = study
    page, seen = opened(context, path)
    begin(page, HOSTILE)
    answer_until(page, key, 0, 6)
    saved = downloaded(page, "json", tmp_path)
    (one,), _ = collected(key, [saved])
    assert len(one.reader.name) <= 60
    assert "\u202e" not in one.reader.name
    assert "Æ世" in one.reader.name
    page.reload()
    assert page.locator("#who img").count() == 0
    assert page.title().startswith("Reading")
    place = f"medrobust-study-{key.commitment}"
    for kept in ("null", "[", '{"reader": 1}', '{"reader": {"name": "a"}, "at": 99, "ratings": {"01A": {"malignancy": "<b>"}, "x": 1}, "times": []}'):
        page.evaluate("([place, kept]) => localStorage.setItem(place, kept)", [place, kept])
        page.evaluate("window.onpagehide = null")
        page.reload()
    seen.check(path)


def test_a_browser_that_keeps_nothing_says_so(context: BrowserContext, study: tuple[Path, Key]) -> None:
    context.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    page, _ = opened(context, study[0])
    begin(page)
    assert page.locator("#lost").is_visible()


def test_answers_are_erased_when_asked_alone(context: BrowserContext, study: tuple[Path, Key]) -> None:
    path, key = study
    page, seen = opened(context, path)
    begin(page)
    rate(page, "01")
    page.reload()
    page.click("#another")
    page.keyboard.press("Enter")
    assert page.locator("#resume").is_visible(), "the first button keeps them"
    page.click("#another")
    page.click("#erase-yes")
    assert page.evaluate("place => localStorage.getItem(place)", f"medrobust-study-{key.commitment}") is None
    assert focus(page) == "name"
    page.reload()
    assert page.locator("#form").is_visible()
    seen.check(path)
