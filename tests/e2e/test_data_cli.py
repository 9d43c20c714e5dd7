from __future__ import annotations

import json

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from medrobust.cli.data import app
from medrobust.data.fastmri import FastMRI
from medrobust.data.fastmri_file import write_volume
from medrobust.data.splits import read_splits
from medrobust.errors import DataError, SpecError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for index in range(6):
        kspace = (random.normal(size=(2, 36, 36)) + 1j * random.normal(size=(2, 36, 36))).astype(np.complex64)
        write_volume(tmp_path / "knees" / f"file{index}.h5", kspace, acquisition="CORPD_FBK", patient_id=f"p{index // 2}", recon_size=(32, 32))
    return tmp_path / "knees"


def run(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def test_check_says_ok_for_every_whole_file(folder):
    result = run("check", folder)
    assert result.exit_code == 0
    assert result.output.splitlines()[0] == "file0.h5: ok, 2 slices 36 x 36, single-coil, CORPD_FBK, patient p0"
    assert len(result.output.splitlines()) == 6


def test_check_names_every_file_that_is_wrong_and_ends_with_1(folder):
    with h5py.File(folder / "file1.h5", "r+") as file:
        file["kspace"][1, 0, 0] = np.nan
    (folder / "file2.h5").write_bytes((folder / "file2.h5").read_bytes()[:3000])
    result = run("check", folder)
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert len(lines) == 6
    assert "file1.h5: kspace[1]: found NaN or infinity, expected finite values" in lines[1]
    assert "file2.h5: found a file that HDF5 cannot read" in lines[2]
    assert "ok" in lines[3]
    table = json.loads(run("check", folder, "--json").output)
    assert [row["ok"] for row in table] == [True, False, False, True, True, True]


def test_check_finds_a_patient_in_two_split_folders(folder):
    for index in range(6):
        target = folder / ("train" if index % 2 else "val")
        target.mkdir(exist_ok=True)
        (folder / f"file{index}.h5").rename(target / f"file{index}.h5")
    result = run("check", folder)
    assert result.exit_code == 1
    assert "patient 'p0': found in train and val, expected in one split" in result.output


def test_a_broken_file_of_a_split_folder_is_named_once(folder):
    assert run("split", folder).exit_code == 0
    (folder / "file2.h5").write_text("broken")
    lines = run("check", folder).output.splitlines()
    assert sum("file2.h5" in line for line in lines) == 1


def test_check_of_a_folder_without_files_is_an_error(tmp_path):
    result = run("check", tmp_path)
    assert isinstance(result.exception, DataError)
    assert "found no *.h5 file" in str(result.exception)


def test_split_writes_patients_that_the_data_set_follows(folder):
    result = run("split", folder, "--seed", 3, "--fractions", "train=0.67,test=0.33")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == ["train: 2 patients, 4 files", "test: 1 patients, 2 files"]
    splits = read_splits(folder / "splits.yaml")
    assert sorted(splits["train"] + splits["test"]) == ["p0", "p1", "p2"]
    data = FastMRI(str(folder), size=32)
    assert len(data.cases("train")) == 8
    assert {case.patient for case in data.cases("test")} == set(splits["test"])
    assert run("check", folder).exit_code == 0


def test_split_keeps_a_file_that_is_there_unless_forced(folder, tmp_path):
    out = tmp_path / "mine.yaml"
    assert run("split", folder, "--out", out).exit_code == 0
    before = out.read_text()
    assert isinstance(run("split", folder, "--out", out, "--seed", 1).exception, DataError)
    assert out.read_text() == before
    assert run("split", folder, "--out", out, "--force").exit_code == 0
    assert out.read_text() == before


@pytest.mark.parametrize("fractions", ["train=0.5", "train", "train=a,val=b"])
def test_split_refuses_fractions_that_are_none(folder, fractions):
    result = run("split", folder, "--fractions", fractions)
    assert isinstance(result.exception, SpecError)
    assert not (folder / "splits.yaml").exists()


def test_make_writes_an_embedded_set_where_it_is_asked_to(tmp_path):
    options = ["--option", "size=32", "--option", "slices=2", "--option", "test=2"]
    result = run("make", "mri-phantom", "--split", "test", "--out", tmp_path / "phantom", *options)
    assert result.exit_code == 0, result.output
    assert run("check", tmp_path / "phantom").exit_code == 0
    data = FastMRI(str(tmp_path / "phantom"), size=32)
    assert data.load(data.cases("test")).image.shape == (4, 1, 32, 32)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["real-mr"], "found no --source or --out"),
        (["fastmri", "--option", "folder=x"], "'fastmri' has no files of its own"),
        (["mri-phantom", "--option", "colour=red"], "no field 'colour'"),
        (["mri-phantom", "--option", "size"], "expected NAME=VALUE"),
        (["mri-fantom"], "did you mean mri-phantom"),
    ],
)
def test_make_says_what_would_be_right(arguments, message):
    result = run("make", *arguments)
    assert isinstance(result.exception, SpecError)
    assert message in str(result.exception)


def test_make_real_mr_of_an_empty_folder_is_an_error(tmp_path):
    result = run("make", "real-mr", "--source", tmp_path, "--out", tmp_path / "out")
    assert isinstance(result.exception, DataError)
