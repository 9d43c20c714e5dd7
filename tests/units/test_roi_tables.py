"""The tables of the track `roi` on synthetic rows, against plain sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from medrobust.digests import digest
from medrobust.leaderboard import pictures
from medrobust.leaderboard.evidence import COLUMNS, Evidence, Record, evidence
from medrobust.leaderboard.page import page
from medrobust.leaderboard.pictures import Picture
from medrobust.leaderboard.roi.classifier import classifier
from medrobust.leaderboard.roi.epochs import epochs
from medrobust.leaderboard.roi.faithfulness import faithfulness
from medrobust.leaderboard.roi.flips import flips
from medrobust.leaderboard.roi.localisation import cumulative, grades, localisation, ranks
from medrobust.leaderboard.roi.overlays import overlays
from medrobust.leaderboard.roi.paired import paired
from medrobust.leaderboard.roi.paper import roi
from medrobust.leaderboard.section import Section, sections
from medrobust.leaderboard.tables import Entry, Figure, Table

PATIENTS = 24
EXPLAINERS = {"relevance-blank": 0.4, "ogp": 0.7, "grad-cam": 0.15, "free: random": 0.1}


def rows(explainers: dict[str, float], targets: tuple[str, ...] = ("roi-resnet",), conditions: tuple[str, ...] = ("all",)) -> Evidence:
    records: list[Record] = []
    found: list[dict[str, object]] = []
    for condition in conditions:
        for order, target in enumerate(targets):
            for attack in ("none", "mask", *explainers):
                names = {"track": "roi", "data": "glioma-phantom", "split": "test", "condition": condition, "seed": 0}
                names |= {"target": target, "defense": "none", "attack": attack}
                explains = attack in explainers
                record = Record(
                    digest=digest(names),
                    data_label="phantom: gliomas",
                    cases=PATIENTS,
                    explains=explains,
                    cost={"forward passes": 10.0 * PATIENTS, "gradient passes": 0.0, "probe seconds": 1.0 * PATIENTS},
                    **names,  # type: ignore[arg-type]
                )
                records.append(record)
                rng = np.random.default_rng(int(record.digest, 16))
                for patient in range(PATIENTS):
                    of = {**names, "patient": f"p{patient:02d}", "case": f"p{patient:02d}", "unit": ""}
                    grade = "HGG" if patient % 5 < 3 else "LGG"
                    for (metric, label), value in values(attack, explainers.get(attack, 0.0), grade, order, rng).items():
                        found.append({**of, "metric": metric, "label": label, "value": value})
    return evidence("roi@01234567", pd.DataFrame(found)[list(COLUMNS)], records)


def values(attack: str, level: float, grade: str, order: int, rng: np.random.Generator) -> dict[tuple[str, str], float]:
    noise = float(rng.normal(0, 0.02))
    if attack == "none":
        score = float(np.clip(rng.random() * 0.6 + (0.35 + 0.05 * order if grade == "HGG" else 0.1 - 0.05 * order), 0.01, 0.99))
        clean = {("score", ""): score, ("correct", ""): float((score >= 0.5) == (grade == "HGG"))}
        return {**clean, ("undecided", ""): 0.0, ("saturated", ""): 0.0, ("lost-tumour", ""): 0.01}
    if attack == "mask":
        direction = "HGG->LGG" if grade == "HGG" else "LGG->HGG"
        return {("flip", direction): float(grade == "HGG"), ("probability-change", ""): 0.4, ("image-l1", ""): 0.01}
    best = level + (0.1 if grade == "HGG" else -0.1) + 0.05 * order + noise
    found = {("dice-grouping", ""): best, ("deletion", ""): 0.5 - best / 2, ("insertion", ""): best, ("pointing", ""): 1.0, ("missed", ""): 0.0}
    found |= {("seed-agreement", ""): 0.8, ("randomisation", ""): 1.0 if attack.startswith("free") else 0.1, ("randomised-dice", ""): 0.3}
    if attack != "grad-cam":
        found |= {("dice-ceiling", ""): 0.9, ("dice-relative", ""): best / 0.9}
        found |= {("dice-rank", str(rank)): best / rank for rank in (1, 2, 3)} | {("dice-cumulative", str(rank)): best / 2 for rank in range(1, 6)}
    return found


def section(found: Evidence) -> Section:
    (only,) = sections(found)
    return only


def entry(table: Table, labels: tuple[str, ...], column: str) -> Entry:
    index = [one.name for one in table.columns].index(column)
    return next(line.entries[index] for line in table.lines if line.labels == labels)


@pytest.fixture(scope="module")
def whole() -> Evidence:
    return rows(EXPLAINERS)


def test_best_grouping_is_a_mean_over_volumes_and_only_the_best_is_bold(whole: Evidence) -> None:
    (table,) = localisation(section(whole))
    expected = whole.rows[(whole.rows.attack == "ogp") & (whole.rows.metric == "dice-grouping")].value
    found = entry(table, ("all", "roi-resnet", "ogp"), "best grouping")
    assert found.estimate == pytest.approx(expected.mean())
    assert found.low < expected.mean() < found.high
    bold = {line.labels[-1] for line in table.lines if line.entries[0].best}
    assert bold == {"ogp"}
    voxels = entry(table, ("all", "roi-resnet", "grad-cam"), "rank 1")
    assert (voxels.estimate, voxels.note) == (None, "not measured"), "a map of voxels has no ranked regions"


def test_differences_are_paired_and_the_line_that_is_best_is_compared_with() -> None:
    found = rows({**EXPLAINERS, "free: T2w": 0.35})
    (table,) = paired(section(found))
    assert [line.labels[-1] for line in table.lines] == ["relevance-blank", "ogp", "grad-cam"]
    wide = found.rows[found.rows.metric == "dice-grouping"].pivot_table(index="patient", columns="attack", values="value")
    for name in ("relevance-blank", "ogp", "grad-cam"):
        labels = ("all", "roi-resnet", name)
        over, behind = (entry(table, labels, f"best grouping {word}") for word in ("over the best free line", "behind the best explainer"))
        assert over.estimate == pytest.approx((wide[name] - wide["free: T2w"]).mean())
        assert behind.estimate == pytest.approx((wide["ogp"] - wide[name]).mean())
    blank = entry(table, ("all", "roi-resnet", "relevance-blank"), "best grouping over the best free line")
    alone = entry(localisation(section(found))[0], ("all", "roi-resnet", "relevance-blank"), "best grouping")
    assert blank.high - blank.low < 0.5 * (alone.high - alone.low), "what moves both in a volume cancels"
    assert entry(table, ("all", "roi-resnet", "ogp"), "best grouping behind the best explainer").estimate == 0
    assert entry(table, ("all", "roi-resnet", "grad-cam"), "rank 1 over the best free line").estimate is None
    assert not paired(section(rows({"ogp": 0.7, "grad-cam": 0.1}))), "no line to compare with"


def test_ranks_stand_alone_and_together(whole: Evidence) -> None:
    (alone,), (together,) = ranks(section(whole)), cumulative(section(whole))
    labels = ("all", "roi-resnet", "relevance-blank")
    first, second = (entry(alone, labels, f"rank {rank}").estimate for rank in (1, 2))
    assert first == pytest.approx(2 * second)
    assert [column.name for column in together.columns] == ["1", "1 to 2", "1 to 3", "1 to 4", "1 to 5"]


def test_grades_are_told_apart_by_the_truth_of_the_clean_cell(whole: Evidence) -> None:
    (table,) = grades(section(whole))
    high, low = (entry(table, ("all", "roi-resnet", "ogp"), grade) for grade in ("HGG", "LGG"))
    own = whole.rows[(whole.rows.attack == "ogp") & (whole.rows.metric == "dice-grouping")].set_index("case").value
    is_high = own.index.map(lambda case: int(case[1:]) % 5 < 3)
    assert (high.estimate, low.estimate) == pytest.approx((own[is_high].mean(), own[~is_high].mean()))
    assert (high.cases, low.cases) == (15, 9)


def test_a_map_that_ignores_the_weights_is_flagged_and_no_other(whole: Evidence) -> None:
    (table,) = faithfulness(section(whole))
    flagged = {line.labels[-1] for line in table.lines if line.entries[-2].validity.level == "warn"}
    assert flagged == {"free: random"}
    assert [line.entries[-1].estimate for line in table.lines] == pytest.approx([0.3] * len(table.lines))


def test_the_classifiers_area_is_scikit_learns(whole: Evidence) -> None:
    (table,) = classifier(section(whole))
    scores = whole.rows[(whole.rows.metric == "score")]
    truth = [int(case[1:]) % 5 < 3 for case in scores.case]
    found = entry(table, ("all", "roi-resnet", "none"), "AUC")
    assert found.estimate == pytest.approx(roc_auc_score(truth, scores.value))
    assert found.low < found.estimate < found.high


def test_flips_keep_their_directions_apart_and_explainers_are_no_attacks(whole: Evidence) -> None:
    (table,) = flips(section(whole))
    assert [line.labels[1] for line in table.lines] == ["mask"]
    down, up = (entry(table, ("all", "mask", "roi-resnet", "none"), name) for name in ("HGG → LGG", "LGG → HGG"))
    assert (down.estimate, up.estimate) == (1, 0)
    assert (down.cases, up.cases) == (15, 9)


def test_maps_over_training_are_ranked_against_the_loss() -> None:
    many = rows({"relevance-blank": 0.3}, tuple(f"epoch-{i}" for i in range(6)))
    figure, table = epochs(section(many))
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    clean = many.rows[many.rows.metric == "score"]
    high = np.array([int(case[1:]) % 5 < 3 for case in clean.case])
    loss = clean.assign(value=-np.log(np.where(high, clean.value, 1 - clean.value))).groupby("target")["value"].mean()
    dice = many.rows[many.rows.metric == "dice-grouping"].groupby("target")["value"].mean()
    found = entry(table, ("all", "relevance-blank"), "best grouping")
    assert found.estimate == pytest.approx(spearmanr(loss, dice).statistic)
    assert found.low <= found.estimate <= found.high
    assert entry(table, ("all", "relevance-blank"), "deletion").estimate > 0
    assert not epochs(section(rows({"relevance-blank": 0.3})))


def test_a_checkpoint_that_is_missing_is_no_correlation() -> None:
    many = rows({"relevance-blank": 0.3}, tuple(f"epoch-{i}" for i in range(6)))
    lacking = [replace(one, status="failed") if one.target == "epoch-2" and one.attack == "none" else one for one in many.records]
    assert not epochs(section(evidence(many.suite, many.rows[list(COLUMNS)], lacking)))


def test_the_papers_numbers_stand_beside_ours(whole: Evidence) -> None:
    methods, together, _ = roi(section(whole))
    labels = ("all", "optimized global")
    assert entry(methods, labels, "best grouping, paper").estimate == 0.72
    assert entry(methods, labels, "rank 3, paper").estimate == 0.21
    assert entry(methods, labels, "best grouping, ours").estimate == pytest.approx(0.72, abs=0.05)
    assert entry(methods, ("all", "LIME"), "best grouping, ours").note == "not run"
    assert entry(together, ("all", "blank"), "1 to 5, paper").estimate == 0.16
    (_, _, grid) = roi(section(rows({"relevance-blank": 0.3}, conditions=("T2w 50", "T2w 100"))))
    assert entry(grid, ("T2w", "blank"), "n = 100, paper").estimate == 0.40
    assert entry(grid, ("T2w", "blank"), "n = 50, ours").estimate == pytest.approx(0.32, abs=0.05)
    assert entry(grid, ("T1w", "max"), "n = 250, ours").estimate is None


def test_the_page_holds_every_table(whole: Evidence) -> None:
    (chapter,) = page(whole).chapters
    names = [part.name for part in chapter.parts]
    assert names[:6] == ["localisation", "paired", "ranks", "cumulative", "grades", "faithfulness"]
    assert {"classifier", "flips", "explainer-cost", "paper-methods", "paper-cumulative"} <= set(names)


def pictured(found: Evidence, folder: Path) -> Evidence:
    """The evidence with two pictures an explainer, written to a committed folder and read again."""
    rng = np.random.default_rng(0)
    made = []
    for record in found.records:
        if record.explains:
            for case in ("p00", "p01"):
                truth = np.zeros((16, 16), dtype=bool)
                truth[4:9, 5:11] = True
                image, relevance = (rng.integers(0, 256, shape).astype(np.uint8) for shape in ((4, 16, 16), (16, 16)))
                made.append(Picture(record.digest, case, {"image": image, "truth": truth, "relevance": relevance}))
    pictures.commit(made, folder)
    return replace(found, pictures=tuple(pictures.committed(folder)))


def test_pictures_survive_their_file_and_are_drawn_once_a_model(whole: Evidence, tmp_path: Path) -> None:
    found = pictured(whole, tmp_path)
    assert len(found.pictures) == 2 * len(EXPLAINERS)
    (figure,) = overlays(section(found))
    assert figure.points == {case: dict.fromkeys(EXPLAINERS, True) for case in ("p00", "p01")}
    assert figure.png.startswith(b"\x89PNG")
    assert figure.svg == overlays(section(found))[0].svg
    again = tmp_path / "again"
    pictures.commit(found.pictures, again)
    assert (again / pictures.PICTURES).read_bytes() == (tmp_path / pictures.PICTURES).read_bytes()
    assert not overlays(section(whole))


def test_an_empty_truth_and_a_flat_map_are_drawn(whole: Evidence) -> None:
    flat = np.zeros((16, 16), dtype=np.uint8)
    cell = next(record.digest for record in whole.records if record.explains)
    one = Picture(cell, "p00", {"image": flat[None], "truth": flat > 0, "relevance": flat})
    (figure,) = overlays(section(replace(whole, pictures=(one,))))
    assert list(figure.points) == ["p00"]
