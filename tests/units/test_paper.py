"""The paper's numbers as printed, and ours beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from rows import Plan, synthetic, write_committed
from seg_rows import made

from medrobust.cli.app import call
from medrobust.errors import SpecError
from medrobust.leaderboard.build import text
from medrobust.leaderboard.page import page, paper_page
from medrobust.leaderboard.paper import tables
from medrobust.leaderboard.printed import numbers
from medrobust.leaderboard.section import sections
from medrobust.leaderboard.tables import Entry, Table
from medrobust.leaderboard.text import whole as shown
from medrobust.stats import wilson

PLAN = Plan(patients=4, attacks=("fnaf-random", "fnaf-fd-paper"))


@pytest.fixture(scope="module")
def segmented() -> dict[str, Table]:
    return {table.name: table for table in tables("seg", sections(made())[0])}


@pytest.fixture(scope="module")
def beside() -> dict[str, Table]:
    return {table.name: table for table in tables("fnaf", sections(synthetic(PLAN))[0])}


def entry(table: Table, labels: tuple[str, ...], column: str) -> Entry:
    (line,) = [line for line in table.lines if line.labels == labels]
    return line.entries[[one.name for one in table.columns].index(column)]


@pytest.mark.parametrize(
    ("table", "labels", "column", "expected"),
    [
        ("paper-quality", ("4x", "U-Net"), "SSIM, paper", "0.7213 ± 0.2621"),
        ("paper-quality", ("8x", "FNAF-robust U-Net"), "NMSE, paper", "0.04962 ± 0.05670"),
        ("paper-rate", ("4x", "U-Net"), "RS, paper", "84.44"),
        ("paper-rate", ("8x", "I-RIM"), "FD, paper", "63.88"),
        ("paper-rate", ("4x", "FNAF-robust U-Net"), "RS, paper", "12.71"),
        ("paper-loss", ("4x", "I-RIM"), "RS, paper", "1.164"),
        ("paper-loss", ("8x", "FNAF-robust U-Net"), "FD, paper", "0.467"),
        ("paper-information", ("4x", "Random features"), "accepted, paper", "99.82"),
        ("paper-information", ("8x", "Robust U-Net FNAF"), "IP loss, paper", "5.20"),
        ("paper-transfer", ("4x", "U-Net", "I-RIM"), "rate, paper", "89.48"),
    ],
)
def test_the_papers_numbers_read_as_printed(beside, table, labels, column, expected):
    found = next(one for one in beside[table].columns if one.name == column)
    assert shown(entry(beside[table], labels, column), found) == expected


def test_the_papers_lesions_carry_wilson_intervals_of_its_counts(beside):
    found = entry(beside["paper-lesions"], ("U-Net",), "cartilage, paper")
    assert (found.estimate, found.low, found.high) == pytest.approx((1 / 8, *wilson(1, 8)))
    assert entry(beside["paper-lesions"], ("FNAF-robust U-Net",), "meniscus, paper").estimate == 1


def test_ours_are_the_leaderboards_own_numbers(beside):
    found = {table.name: table for table in page(synthetic(PLAN)).chapters[0].tables}
    rate = entry(found["attack-rate"], ("8x", "recon-unet", "fnaf-robust"), "fnaf-fd-paper")
    ours = entry(beside["paper-rate"], ("8x", "FNAF-robust U-Net"), "FD, ours")
    assert (ours.estimate, ours.low, ours.high) == (rate.estimate, rate.low, rate.high)
    moved = entry(found["transfer"], ("4x", "fnaf-random", "recon-unet", "none"), "recon-irim")
    assert entry(beside["paper-transfer"], ("4x", "U-Net", "I-RIM"), "rate, ours").estimate == moved.estimate
    clean = entry(found["clean"], ("4x", "recon-irim", "none"), "NMSE")
    assert entry(beside["paper-quality"], ("4x", "I-RIM"), "NMSE, ours").estimate == clean.estimate


def test_a_cell_that_was_not_run_says_so(beside):
    assert entry(beside["paper-information"], ("4x", "Random features"), "accepted, ours").note == "not run"
    small = tables("fnaf", sections(synthetic(Plan(patients=2, models=(("recon-unet", "none"),), attacks=(), conditions=("4x",))))[0])
    for table in small:
        for line in table.lines:
            ours = [one for one, column in zip(line.entries, table.columns, strict=True) if "ours" in column.name]
            if line.labels[:2] != ("4x", "U-Net") and line.labels != ("U-Net",):
                assert {one.note for one in ours} == {"not run"}


def test_both_data_sets_are_named_on_every_table(beside):
    for table in beside.values():
        assert table.data == "paper: fastMRI single-coil knee, validation set; ours: phantom: MNI152 head, 320x320"
        assert "Different data" in table.caption


def test_printed_numbers_are_no_evidence_for_the_validity_of_ours(beside):
    line = next(line for line in beside["paper-information"].lines if line.labels == ("4x", "Random features"))
    assert line.validity.level == "missing"
    assert all(not one.best for table in beside.values() for line in table.lines for one in line.entries)


def test_every_printed_table_of_the_slides_is_there():
    printed = numbers("fnaf")
    assert {name: len(printed[name]) for name in ("quality", "attack", "information", "transfer", "lesions")} == {
        "quality": 2,
        "attack": 2,
        "information": 4,
        "transfer": 1,
        "lesions": 2,
    }


def test_an_unknown_paper_is_one_line():
    with pytest.raises(SpecError, match="paper: no 'fanf'; did you mean fnaf"):
        paper_page("fanf", synthetic(PLAN))


def test_it_renders_in_every_printable_form(tmp_path: Path):
    found = paper_page("fnaf", synthetic(PLAN))
    assert "84.44" in text(found, "md")
    assert "0.8444" in text(found, "csv")
    assert "± 0.2621" in text(found, "tex") or r"$\pm$ 0.2621" in text(found, "tex")


@pytest.mark.parametrize(
    ("attack", "column", "expected"),
    [
        ("clean", "pancreas, paper", "80.07"),
        ("xi = 0.5", "spleen, paper", "81.87"),
        ("xi = 1.0", "liver, paper", "59.51"),
        ("xi = 1.0", "p, paper", "0.060"),
        ("xi = 2.5", "kidneys, paper", "45.47"),
        ("xi = 3.0", "liver, paper", "5.82"),
        ("xi = 3.0", "p, paper", "0.085"),
        ("xi = 2.0, D only (branch left out)", "kidneys, paper", "82.04"),
        ("xi = 2.0, V only (trained again)", "spleen, paper", "46.94"),
    ],
)
def test_table_one_of_the_segmentation_paper_reads_as_printed(segmented, attack, column, expected):
    table = segmented["paper-dice"]
    found = next(one for one in table.columns if one.name == column)
    assert shown(entry(table, ("all", attack), column), found) == expected


def test_each_part_left_out_or_trained_again_is_the_papers_one_row():
    rows = numbers("seg")["table"]
    assert len(rows) == 11
    for part in "DV":
        out, again = (rows[f"xi = 2.0, {part} only ({how})"] for how in ("branch left out", "trained again"))
        assert (out["dice"], out["p"]) == (again["dice"], again["p"])
        assert out["ours"] != again["ours"]
    assert all(len(values["dice"]) == 4 for values in rows.values())


def test_the_papers_successes_are_those_of_its_text(segmented):
    """Every organ has fallen by 30 % from xi = 2 on, the kidneys last."""
    for attack, fallen in (("xi = 1.5", [False, False, True, True]), ("xi = 2.0", [True] * 4), ("xi = 3.0", [True] * 4)):
        drops = [entry(segmented["paper-drop"], ("all", attack), f"{organ}, paper").estimate for organ in numbers("seg")["organs"]]
        assert [drop >= 0.3 for drop in drops] == fallen


def test_the_segmentation_paper_is_printed_by_the_command(tmp_path: Path, capsys):
    folder = write_committed(made(models=(("seg-unet", "none"),)), tmp_path / "committed")
    assert call(["paper", "seg", str(folder), "--format", "md"]) == 0
    printed = capsys.readouterr().out
    assert "11.19" in printed
    assert "ours: phantom: abdominal CT" in printed
