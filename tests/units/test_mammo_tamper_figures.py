"""What the track `mammo-tamper` draws: ROC curves, sweeps over steps, and images before and after."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mammo_rows import DETECTORS, EFFECTS, READERS, images, made, score, tamper_score
from sklearn.metrics import roc_auc_score, roc_curve

from medrobust.leaderboard import pictures
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.mammo_tamper.panels import difference, panels
from medrobust.leaderboard.mammo_tamper.roc import ALARMS, rates, roc
from medrobust.leaderboard.mammo_tamper.stopping import stopping
from medrobust.leaderboard.mammo_tamper.sweep import sweep
from medrobust.leaderboard.pictures import Picture
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.tables import Figure, Table
from medrobust.stats import Scored

ALL = images()
TRUTH = np.array([image.cancerous for image in ALL])


def section(found: Evidence) -> Section:
    (only,) = sections(found)
    return only


@pytest.fixture(scope="module")
def here() -> Section:
    return section(made())


def sample(scores: np.ndarray, truth: np.ndarray) -> Scored:
    return Scored.of(scores, truth, np.arange(len(scores)))


def on_curve(scores: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Sensitivities by scikit-learn's curve, straight between its points, the highest of each upright part."""
    alarms, hits, _ = roc_curve(truth, scores, drop_intermediate=False)
    found = []
    for rate in ALARMS:
        at = np.flatnonzero(alarms <= rate)[-1]
        more = (rate - alarms[at]) / (alarms[at + 1] - alarms[at]) if at + 1 < len(alarms) else 0
        found.append(hits[at] + more * (hits[min(at + 1, len(hits) - 1)] - hits[at]))
    return np.array(found)


@pytest.mark.parametrize("kind", ["apart", "ties", "swapped", "tied", "separated"])
def test_curves_are_the_empirical_ones(kind: str) -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(60) < 0.4
    noisy = truth + rng.normal(size=60)
    scores = {"apart": noisy, "ties": noisy.round(), "swapped": -noisy, "tied": np.zeros(60), "separated": -truth.astype(float)}[kind]
    assert rates(sample(scores, truth), np.ones((1, 60)))[0] == pytest.approx(on_curve(scores, truth))


def test_weights_count_cases_as_often_as_they_are_drawn() -> None:
    rng = np.random.default_rng(5)
    truth, scores, drawn = rng.random(30) < 0.5, rng.normal(size=30).round(1), rng.integers(0, 3, 30)
    again = np.repeat(np.arange(30), drawn)
    found = rates(sample(scores, truth), np.stack([drawn.astype(float), np.where(truth, 1.0, 0.0)]))
    assert found[0] == pytest.approx(on_curve(scores[again], truth[again]))
    assert np.isnan(found[1]).all(), "no healthy image drawn, no curve"


def test_the_roc_figure_draws_what_its_table_says(here: Section) -> None:
    figure, table = roc(here)
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert list(figure.points) == [*READERS, *DETECTORS]
    assert list(figure.points[READERS[0]]) == ["originals", *sorted(EFFECTS), "guessing"]
    assert list(figure.points[DETECTORS[0]]) == [*sorted(EFFECTS), "guessing"]
    said = np.array([score(READERS[0], image, EFFECTS["tamper@2000"]) for image in ALL])
    line = next(one for one in table.lines if one.labels == ("256x256", READERS[0], "tamper@2000"))
    assert [one.estimate for one in line.entries] == pytest.approx(on_curve(said, TRUTH).tolist())
    drawn = figure.points[READERS[0]]["tamper@2000"]
    assert [point[0] for point in drawn] == [100 * rate for rate in ALARMS]
    assert [point[1] for point in drawn] == pytest.approx(100 * on_curve(said, TRUTH))
    assert all(low <= middle <= high for _, middle, low, high in drawn)
    for one in (one for row in table.lines for one in row.entries[:-1] if one.low is not None):
        assert one.low < one.high, "no interval of no width"
    assert {row.entries[-1].low for row in table.lines} == {None}, "with nothing but alarms the sensitivity is 1 by definition"
    assert roc_auc_score(TRUTH, said) < 0.5
    assert drawn[6][1] < drawn[6][0], "a reader turned round lies below the diagonal"
    forms = np.concatenate([[tamper_score(DETECTORS[0], image, one) for image in ALL] for one in (None, EFFECTS["tamper@3000"])])
    line = next(one for one in table.lines if one.labels == ("256x256", DETECTORS[0], "tamper@3000"))
    assert [one.estimate for one in line.entries] == pytest.approx(on_curve(forms, np.repeat([False, True], len(ALL))).tolist())
    assert figure.svg == roc(here)[0].svg  # type: ignore[union-attr]


def test_the_sweep_draws_what_its_tables_say(here: Section) -> None:
    grids, noticed, table = sweep(here)
    assert isinstance(grids, Figure)
    assert isinstance(noticed, Figure)
    assert isinstance(table, Table)
    stopped = stopping(here)[0]
    drawn = grids.points["256x256, grid index"]["tampered less clean"]
    assert [point[0] for point in drawn] == [1000, 2000, 3000, 4000]
    assert [point[1] for point in drawn] == [line.entries[2].estimate for line in stopped.lines]
    assert list(noticed.points) == ["256x256, readers", "256x256, detectors"]
    assert [point[1] for point in noticed.points["256x256, readers"]["readers, modified"]] == [line.entries[9].estimate for line in stopped.lines]
    best = [max(line.entries[index].estimate or 0 for index in (2, 3)) for line in table.lines]
    assert best == [line.entries[8].estimate for line in stopped.lines]
    assert list(noticed.points["256x256, detectors"]) == list(DETECTORS)
    assert not sweep(section(made({"tamper@1000": EFFECTS["tamper@1000"]}))), "one step is no sweep"


def picture(cell: str, number: int, bright: int, outlined: bool) -> Picture:
    """A grey image in which the attack has raised a square."""
    image = np.full((40, 30), 100, dtype=np.uint8)
    attacked, truth = image.copy(), np.zeros((40, 30), dtype=np.uint8)
    attacked[10:20, 8:16] = 100 + bright
    if outlined:
        truth[12:18, 10:14] = 1
    return Picture(cell, ALL[number].case, {"image": image, "attacked": attacked, "truth": truth})


def pictured(names: tuple[str, ...] = tuple(EFFECTS), numbers: tuple[int, ...] = (0, 1, 2, 3, 4, 6)) -> Evidence:
    """With pictures in the cells of the first reader."""
    found = made()
    cells = {record.attack: record.digest for record in found.records if record.target == READERS[0]}
    kept = [picture(cells[name], number, 10 * order, ALL[number].cancerous) for order, name in enumerate(names, 1) for number in numbers]
    return replace(found, pictures=tuple(kept))


def test_two_injected_and_two_removed_images_are_shown_where_the_rule_stops(tmp_path: Path) -> None:
    found = pictured()
    pictures.commit(found.pictures, tmp_path)
    here = section(replace(found, pictures=tuple(pictures.committed(tmp_path))))
    one, every = panels(here)
    assert isinstance(one, Figure)
    assert isinstance(every, Figure)
    assert "attack tamper@2000" in one.description
    assert list(one.points) == [ALL[number].case for number in (0, 1, 2, 3)]
    assert [value["done"] for value in one.points.values()] == ["injected", "injected", "removed", "removed"]
    assert [value["outlined"] for value in one.points.values()] == [False, False, True, True]
    assert list(every.points) == [ALL[0].case, ALL[2].case], "one of each kind"
    assert all(all(names.values()) and list(names) == sorted(EFFECTS) for names in every.points.values())
    assert one.png.startswith(b"\x89PNG")
    assert b"MODIFIED BY COMPUTER, NOT AS ACQUIRED" in one.png, "a picture that is cut out of the page says so too"
    assert b"MODIFIED BY COMPUTER, NOT AS ACQUIRED" in (tmp_path / "pictures.h5").read_bytes()
    assert one.svg == panels(here)[0].svg  # type: ignore[union-attr]


def test_every_tampered_image_says_so() -> None:
    one, every = panels(section(pictured()))
    assert isinstance(one, Figure)
    assert isinstance(every, Figure)
    assert one.svg.count(">modified</text>") == 4 + 1, "on each of four images, and above their column"
    assert every.svg.count(">modified</text>") == 2 * len(EFFECTS)


def test_differences_are_signed_and_in_the_images_intensity() -> None:
    arrays = picture("c", 0, 51, False).arrays
    found = difference(arrays)
    assert found.max() == pytest.approx(0.4)
    assert found.min() == 0
    assert difference({"image": arrays["attacked"], "attacked": arrays["image"]}).min() == pytest.approx(-0.4)


def test_without_pictures_of_the_chosen_attack_the_last_is_shown() -> None:
    one, _ = panels(section(pictured(("tamper@1000", "tamper@3000"))))
    assert "attack tamper@3000" in one.description  # type: ignore[union-attr]
    (alone,) = panels(section(pictured(("tamper@1000",), (0, 1))))
    assert [value["done"] for value in alone.points.values()] == ["injected", "injected"]  # type: ignore[union-attr]


def test_pictures_of_another_kind_and_of_unknown_cases_are_not_drawn() -> None:
    found = made()
    cell = next(record.digest for record in found.records if (record.target, record.attack) == (READERS[0], "tamper@1000"))
    odd = Picture(cell, ALL[0].case, {"image": np.zeros((4, 4), dtype=np.uint8), "relevance": np.zeros((4, 4), dtype=np.uint8)})
    unknown = replace(picture(cell, 0, 5, False), case="nobody")
    assert not panels(section(replace(found, pictures=(odd,))))
    assert not panels(section(replace(found, pictures=(unknown,))))
    assert not panels(section(found))


def test_an_image_of_nothing_is_drawn() -> None:
    found = made()
    cell = next(record.digest for record in found.records if (record.target, record.attack) == (READERS[0], "tamper@1000"))
    blank = np.zeros((12, 9), dtype=np.uint8)
    (figure,) = panels(section(replace(found, pictures=(Picture(cell, ALL[2].case, {"image": blank, "attacked": blank}),))))
    assert list(figure.points) == [ALL[2].case]  # type: ignore[union-attr]
