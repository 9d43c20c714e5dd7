"""Exports: nothing is lost, nothing invalid passes as a value, and what others define is held against their own definition."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import norm_rows
import pandas as pd
import pytest
import seg_rows
from rows import Plan, synthetic, write_committed

from medrobust.cli.app import call
from medrobust.errors import SpecError
from medrobust.leaderboard.evidence import COLUMNS, Evidence, evidence
from medrobust.leaderboard.export import challenger, eee, rows
from medrobust.leaderboard.export.direction import higher_is_better
from medrobust.leaderboard.sources import load

MODELS = (("recon-unet", "none"), ("recon-unet", "fnaf-robust"), ("zero-filled", "none"))
PLAN = Plan(models=MODELS, attacks=("fnaf-random",), conditions=("4x",), patients=3)
INVALID = {"4x recon-unet none fnaf-random": {"level": "invalid", "reasons": ("V13: left the budget",), "status": "invalid"}}
SCHEMA = json.loads((Path(__file__).parent / "every_eval_ever" / "eval.schema.json").read_text(encoding="utf-8"))
MADE = 1760492095.25


def found_with(changes: dict[str, dict[str, object]] | None = None) -> Evidence:
    """With a metric of which neither direction is better."""
    whole = synthetic(PLAN, changes)
    return evidence(whole.suite, whole.rows.assign(metric=whole.rows["metric"].replace("feature-location", "texture")), whole.records)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_committed(found_with(INVALID), tmp_path / "committed")


def without(found: Evidence, case: str, attack: str, target: str = "zero-filled") -> Evidence:
    gone = (found.rows["case"] == case) & (found.rows["attack"] == attack) & (found.rows["target"] == target)
    return evidence(found.suite, found.rows[~gone], found.records)


# Rows


def test_every_row_is_there_with_its_cell_and_whether_to_believe_it(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = load(folder).rows
    for form in ("csv", "parquet"):
        out = tmp_path / f"rows.{form}"
        assert call(["export", str(folder), "--format", form, "--out", str(out)]) == 0
        assert capsys.readouterr().out == f"{out}: {len(held)} rows of {held['cell'].nunique()} cells\n"
        read = pd.read_csv(out, keep_default_na=False) if form == "csv" else pd.read_parquet(out)
        assert list(read.columns) == [*COLUMNS, "cell", *rows.KNOWN]
        assert len(read) == len(held)
        assert read["value"].to_list() == held["value"].to_list()
        invalid = read[read["validity"] == "invalid"]
        assert set(zip(invalid["target"], invalid["defense"], invalid["attack"], strict=True)) == {("recon-unet", "none", "fnaf-random")}
        assert set(invalid["reasons"]) == {"V13: left the budget"}
    assert pd.read_parquet(tmp_path / "rows.parquet").dtypes["value"] == "float64"


def test_names_of_any_kind_come_back_as_they_went(tmp_path: Path) -> None:
    whole = synthetic(PLAN)
    hostile = '=HYPERLINK("x"), \u202e"quoted"\nline'
    records = [replace(record, target=hostile if record.target == "zero-filled" else record.target) for record in whole.records]
    renamed = evidence("x", whole.rows.assign(target=whole.rows["target"].replace("zero-filled", hostile)), records)
    rows.write_csv(renamed, tmp_path / "rows.csv")
    assert hostile in set(pd.read_csv(tmp_path / "rows.csv", keep_default_na=False)["target"])


def test_tables_are_those_of_the_leaderboard(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["export", str(folder), "--format", "tex", "--out", str(tmp_path / "tables.tex")]) == 0
    capsys.readouterr()
    assert call(["leaderboard", str(folder), "--format", "tex"]) == 0
    assert (tmp_path / "tables.tex").read_text(encoding="utf-8") == capsys.readouterr().out


# challengeR


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_task_holds_each_case_of_each_algorithm_once_as_challenger_checks(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "challenge.csv"
    assert call(["export", str(folder), "--format", "challenger", "--metric", "ssim", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "9 values of 3 algorithms in 1 tasks, 0 missing (NA)" in said
    assert 'as.challenge(read.csv("challenge.csv"), by = "task", algorithm = "algorithm", case = "case", value = "value",' in said
    assert said.endswith("smallBetter = FALSE)\n")
    found = lines(out)
    assert list(found[0]) == list(challenger.HEAD)
    assert set(Counter((one["task"], one["case"], one["algorithm"]) for one in found).values()) == {1}
    assert {one["algorithm"] for one in found} == {"recon-unet", "recon-unet + fnaf-robust", "zero-filled"}
    assert {one["task"] for one in found} == {"phantom: MNI152 head, 320x320 test, 4x, clean"}
    value = load(folder).rows.query("metric == 'ssim' and target == 'zero-filled' and case == 'vol01.h5'")["value"].item()
    assert float(next(one["value"] for one in found if one["case"] == "vol01.h5" and one["algorithm"] == "zero-filled")) == value


def test_clean_images_are_one_task_however_many_budgets_there_are() -> None:
    answers = {"net": {"none": "1101", "pgd": "0100"}, "net + jpeg": {"none": "1100", "pgd": "1000"}}
    budgets = ("2/255", "4/255", "8/255")
    whole = norm_rows.made({key: values for budget in budgets for key, values in norm_rows.board(answers, budget).items()})
    found = challenger.challenge(whole).table
    assert list(dict.fromkeys(found["task"])) == ["made: by hand test, clean", *(f"made: by hand test, {budget}, pgd" for budget in budgets)]
    assert len(found) == 4 * 2 * 4
    clean = found[found["task"] == "made: by hand test, clean"]
    assert clean["value"].to_list() == [1, 1, 0, 1, 1, 1, 0, 0]


def test_clean_images_of_conditions_with_other_values_or_an_invalid_cell_stay_tasks_of_their_own() -> None:
    tasks = set(challenger.challenge(synthetic(replace(PLAN, conditions=("4x", "8x"))), "ssim").table["task"])
    assert tasks == {f"phantom: MNI152 head, 320x320 test, {condition}, clean" for condition in ("4x", "8x")}
    answers = {"net": {"none": "1101", "pgd": "0100"}, "net + jpeg": {"none": "1100", "pgd": "1000"}}
    cells = {key: values for budget in ("1", "2", "4") for key, values in norm_rows.board(answers, budget).items()}
    found = challenger.challenge(norm_rows.made(cells, changes={("net", "none", "4"): {"level": "invalid"}})).table
    assert {task for task in found["task"] if task.endswith("clean")} == {"made: by hand test, 1 and 2, clean", "made: by hand test, 4, clean"}


def test_what_is_missing_or_invalid_is_na_and_never_a_number() -> None:
    whole = without(synthetic(PLAN, INVALID), "vol00.h5#001", "fnaf-random")
    found = challenger.challenge(whole, "fnaf-loss")
    table = found.table[found.table["task"].str.endswith("4x, fnaf-random")]
    assert found.better is False
    assert found.invalid == 1
    assert table[table["algorithm"] == "recon-unet"]["value"].isna().all()
    lacking = table[(table["algorithm"] == "zero-filled") & table["value"].isna()]
    assert lacking["case"].to_list() == ["vol00.h5#001"]
    assert len(table) == 3 * 12
    assert table[table["algorithm"] == "recon-unet + fnaf-robust"]["value"].notna().all()


def test_a_cell_that_was_not_measured_is_na_where_others_were() -> None:
    found = challenger.challenge(synthetic(PLAN, {"4x zero-filled none fnaf-random": {"status": "failed"}}), "fnaf-loss")
    table = found.table[found.table["task"].str.endswith("4x, fnaf-random")]
    assert table[table["algorithm"] == "zero-filled"]["value"].isna().all()
    assert len(table) == 36


def test_na_is_written_as_r_reads_it(tmp_path: Path) -> None:
    found = challenger.challenge(without(synthetic(PLAN), "vol00.h5#001", "fnaf-random"), "fnaf-loss")
    challenger.write(found, tmp_path / "x.csv")
    text = (tmp_path / "x.csv").read_text()
    assert "vol00.h5#001,zero-filled,NA\n" in text
    assert "nan" not in text
    assert ",\n" not in text


def test_labels_are_chosen_or_averaged_and_said() -> None:
    whole = seg_rows.made()
    by_label = {label: challenger.challenge(whole, "missed-organ", label).table["value"] for label in seg_rows.ORGANS}
    mean = challenger.challenge(whole, "missed-organ")
    assert "mean over the labels kidneys, liver, pancreas, spleen" in mean.metric
    expected = sum(by_label.values()) / 4
    assert [math.isclose(one, other) for one, other in zip(mean.table["value"], expected, strict=True)].count(False) == 0


def test_the_headline_is_what_the_track_is_ranked_by() -> None:
    found = challenger.challenge(synthetic(PLAN))
    assert found.better is True
    assert set(found.table["value"]) <= {0.0, 1.0}
    assert "no feature is lost" in found.metric
    loss = challenger.challenge(synthetic(PLAN), "fnaf-loss").table
    assert ((loss["value"] < 1e-3).astype(float) == found.table["value"]).all()


def test_tasks_of_one_algorithm_are_left_out_unless_there_are_no_others() -> None:
    found = challenger.challenge(synthetic(replace(PLAN, models=PLAN.models[:2])), "fnaf-loss")
    assert (found.table["task"].nunique(), found.alone) == (1, 2)
    found = challenger.challenge(synthetic(replace(PLAN, models=PLAN.models[:1], transfer=False)), "fnaf-loss")
    assert (found.table["task"].nunique(), found.alone) == (1, 0)


def test_a_metric_that_cannot_be_ranked_by_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["--metric", "sism"], "--metric: found no values of 'sism'; did you mean ssim"),
        (["--metric", "ssim", "--label", "liver"], "found no values of 'ssim' labelled 'liver'"),
        (["--metric", "texture"], "neither direction of it is better"),
        (["--format", "xlsx"], "xlsx"),
    ):
        assert call(["export", str(folder), "--format", "challenger", "--out", str(tmp_path / "x"), *arguments]) == 1
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()
    assert call(["export", str(tmp_path / "nothing"), "--format", "csv", "--out", str(tmp_path / "x")]) == 1
    assert "found no folder" in capsys.readouterr().err


def test_directions_come_from_the_plugins() -> None:
    assert [higher_is_better(name) for name in ("ssim", "nmse", "texture")] == [True, False, None]
    with pytest.raises(SpecError, match="no 'sism'"):
        higher_is_better("sism")


# Every Eval Ever


def made(changes: dict[str, dict[str, object]] | None = None) -> eee.Export:
    return eee.export(found_with(changes), MADE, "a hospital")


def check(content: Any) -> None:
    jsonschema.Draft7Validator(SCHEMA).validate(content)


def test_the_schema_is_the_version_that_is_claimed() -> None:
    assert SCHEMA["version"] == eee.VERSION
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_every_file_is_valid_and_lies_where_the_store_wants_it() -> None:
    files = made(INVALID).files
    assert len(files) == 3
    pattern = r"data/recon-fnaf/(medrobust|unknown)/[A-Za-z0-9+._-]+/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.json"
    for path, content in files.items():
        check(content)
        assert pd.Series([path]).str.fullmatch(pattern).all()
        assert path.split("/")[2:4] == content["model_info"]["id"].split("/")
    models = {content["model_info"]["name"]: content["model_info"] for content in files.values()}
    assert models["recon-unet"]["id"] == "medrobust/recon-unet"
    assert models["recon-unet"]["additional_details"]["model_availability"] == "open_weights"
    assert models["zero-filled"]["additional_details"]["model_availability"] == "unknown"


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("schema_version",), None),
        (("source_metadata", "evaluator_relationship"), "nobody"),
        (("evaluation_results", 0, "score_details", "score"), "0.5"),
        (("evaluation_results", 0, "metric_config", "lower_is_better"), None),
        (("further",), 1),
    ],
)
def test_the_schema_would_refuse_what_is_wrong(where: tuple[Any, ...], value: object) -> None:
    content: Any = json.loads(json.dumps(next(iter(made().files.values()))))
    place = content
    for step in where[:-1]:
        place = place[step]
    place[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(content)


def test_a_result_is_the_mean_of_its_rows_with_its_interval_and_direction() -> None:
    found = synthetic(PLAN)
    content = next(content for content in made().files.values() if content["model_info"]["name"] == "zero-filled")
    result = next(one for one in content["evaluation_results"] if one["evaluation_name"] == "recon-fnaf, 4x, fnaf-random, fnaf-loss")
    mine = found.rows.query("metric == 'fnaf-loss' and label == '' and target == 'zero-filled' and attack == 'fnaf-random'")
    assert result["score_details"]["score"] == pytest.approx(mine["value"].mean())
    interval = result["score_details"]["uncertainty"]["confidence_interval"]
    assert interval["lower"] < result["score_details"]["score"] < interval["upper"]
    assert result["score_details"]["uncertainty"]["num_samples"] == 12
    assert result["metric_config"]["lower_is_better"] is True
    assert result["metric_config"]["metric_unit"] == "sigma^2"
    assert result["generation_config"]["additional_details"]["cell"] in set(mine["cell"])
    names = [one["evaluation_result_id"] for one in content["evaluation_results"]]
    assert len(set(names)) == len(names)


def test_what_the_schema_has_no_place_for_is_left_out_and_said() -> None:
    found = made(INVALID)
    names = [one["evaluation_name"] for content in found.files.values() for one in content["evaluation_results"]]
    assert not any("q=" in name or "texture" in name or "within-budget" in name for name in names)
    assert "texture: neither direction is better, which the schema cannot say" in found.left
    assert "recon-unet, recon-fnaf, 4x, fnaf-random: invalid: V13: left the budget" in found.left
    plain = next(content for content in found.files.values() if content["model_info"]["name"] == "recon-unet")
    assert "recon-fnaf, 4x, fnaf-random, fnaf-loss" not in {one["evaluation_name"] for one in plain["evaluation_results"]}


def test_one_patient_has_no_interval_and_no_value_at_all_is_one_line() -> None:
    found = eee.export(synthetic(replace(PLAN, patients=1)), MADE, "x")
    spreads = [one["score_details"]["uncertainty"] for content in found.files.values() for one in content["evaluation_results"]]
    assert not any("confidence_interval" in spread for spread in spreads)
    for content in found.files.values():
        check(content)
    failed = {f"4x {target} {defense} {attack}": {"status": "failed"} for target, defense in PLAN.models for attack in ("none", "fnaf-random")}
    with pytest.raises(SpecError, match="found no value of a cell to be believed"):
        eee.export(synthetic(replace(PLAN, transfer=False), failed), MADE, "x")


def test_equal_evidence_has_equal_files_and_names_no_folder_can_refuse(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert made().files == made().files
    assert [eee.portable(name) for name in ("data", "CON.x", "../a b\u202e", "", "résumé")] == ["data_", "CON.x_", "a-b", "unnamed", "r-sum"]
    assert call(["export", str(folder), "--format", "eee", "--out", str(tmp_path / "store"), "--organization", "a hospital"]) == 0
    written = sorted((tmp_path / "store").glob("data/*/*/*/*.json"))
    said = capsys.readouterr().out
    assert len(written) == 3
    assert all(str(path) in said for path in written)
    assert "left out: recon-unet, recon-fnaf, 4x, fnaf-random: invalid: V13: left the budget" in said
    for path in written:
        check(json.loads(path.read_text(encoding="utf-8")))
