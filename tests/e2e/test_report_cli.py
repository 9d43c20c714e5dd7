"""Reports as a user meets them: written by the verb from a run or a committed folder, read in a real browser, printed."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medrobust.cli.app import call
from medrobust.run import compute
from medrobust.store import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "units"))

import seg_rows
from rows import write_committed

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
browsing = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
INVALID = {"level": "invalid", "status": "invalid", "reasons": ("V13: left the budget",)}
SECTIONS = ("What it is", "How it fails", "How sure we are", "What was not tested")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    effects = {name: seg_rows.EFFECTS[name] for name in ("xi=2.0", "pgd")}
    return write_committed(seg_rows.made(effects, changes={"seg-unet none pgd": INVALID}), tmp_path_factory.mktemp("committed") / "seg")


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "report.html"
    assert call(["report", str(folder), "--target", "seg-unet", "--defense", "none", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


# The verb


def test_a_report_of_a_committed_folder_holds_all_four_parts(written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert [text.count(f"<h2>{title}</h2>") for title in SECTIONS] == [1, 1, 1, 1]
    assert "V13: left the budget" in text
    assert "54c05c49e3cd" in text
    assert "nothing here was measured on a person" in text


def test_a_report_of_a_run_lands_here_and_knows_the_digest_of_its_target(
    make_run: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run()
    for digest in run.digests:
        compute(run.path, digest)
    monkeypatch.chdir(tmp_path)
    assert call(["report", str(run.path), "--target", "unet"]) == 0
    assert capsys.readouterr().out == "report: report-unet.html\n"
    text = (tmp_path / "report-unet.html").read_text(encoding="utf-8")
    target = next(folder.cell.target_digest for folder in run.cells() if folder.cell.columns["target"] == "unet")
    assert f"The digest of what was measured is {target}." in text
    assert "tiny-gradient" in text


def test_mistakes_are_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for arguments, words in (
        ([str(folder), "--target", "seg-nuet"], "report: no target 'seg-nuet' in seg-deform@01234567; did you mean seg-unet"),
        ([str(folder), "--target", "seg-unet", "--defense", "adversaral"], "did you mean adversarial?"),
        ([str(folder)], "--target"),
        ([str(tmp_path / "nothing"), "--target", "x"], "found no folder"),
        ([str(folder), "--target", "seg-unet", "--out", str(tmp_path / "file" / "x.html")], "expected a writable folder"),
    ):
        assert call(["report", *arguments]) == 1
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


# In a browser


@browsing
@pytest.mark.parametrize("dark", [False, True])
def test_it_asks_for_nothing_and_everybody_can_read_it(browser: Browser, written: Path, dark: bool) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme="dark" if dark else "light")
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(written.as_uri())
    assert [url for url in asked if url != written.as_uri() and not url.startswith("data:")] == []
    assert said == []
    assert page.evaluate("getComputedStyle(document.querySelector('.lead li')).borderLeftWidth") == "3px"  # the policy lets our own style in
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.set_viewport_size({"width": 320, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.close()


@browsing
def test_it_prints_on_a4_with_nothing_cut_off(browser: Browser, written: Path, tmp_path: Path) -> None:
    page = browser.new_page(viewport={"width": 688, "height": 900})  # A4 less its margins at 96 dots an inch
    page.goto(written.as_uri())
    page.emulate_media(media="print")
    cut_off = "one => one.getBoundingClientRect().right > innerWidth + 1"
    wide = page.evaluate(f"[...document.querySelectorAll('table')].filter({cut_off}).map(one => one.caption.textContent)")
    assert wide == []
    assert page.evaluate("[...document.querySelectorAll('nav, .skip')].filter(one => one.offsetParent !== null).length") == 0
    assert page.evaluate("document.querySelector('.digests').getBoundingClientRect().height") > 0
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert b"/Count 1\n" not in printed
    page.close()
