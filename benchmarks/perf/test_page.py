"""A page of 2,000 entrants: how large it is, how long it takes to draw up, and how long Chromium takes to sort it."""

from __future__ import annotations

import shutil
import statistics
import sys
import time
from pathlib import Path

import pytest

from medrobust.leaderboard.render.html import html_text

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "units"))

from overviews import leaderboard, many

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
SORT = """async (key) => {
  const button = document.querySelector(`#o1-standings th[data-key="${key}"] button`);
  const settled = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  await settled();
  const began = performance.now();
  button.click();
  const script = performance.now() - began;
  document.body.getBoundingClientRect();
  const laid = performance.now() - began;
  await settled();
  return [script, laid, performance.now() - began];
}"""


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome is installed")
def test_two_thousand_entrants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    board = leaderboard(many(2000))
    began = time.perf_counter()
    text = html_text(board)
    drawn = time.perf_counter() - began
    path = tmp_path / "index.html"
    path.write_text(text, encoding="utf-8")
    said = [f"\npage of 2,000 entrants, 8 attacks: {len(text.encode()) / 1e6:.2f} MB, drawn up in {drawn:.1f} s"]
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        for every in (False, True):
            page.goto(f"{path.as_uri()}#o1{'?1.rows=all' if every else ''}")
            page.reload()
            taken = [page.evaluate(SORT, key) for key in ("worst", "entrant", "queries", "tier", "clean", "worst", "attack-3") for _ in range(3)]
            for name, i in (("script", 0), ("with layout", 1), ("until painted", 2)):
                values = [one[i] for one in taken]
                low, middle, high = min(values), statistics.median(values), max(values)
                rows = "all rows listed" if every else "as it opens"
                said.append(f"  sort, {rows}, {name:14s} {middle:6.1f} ms  ({low:.1f} to {high:.1f})")
        browser.close()
    with capsys.disabled():
        print("\n".join(said))
