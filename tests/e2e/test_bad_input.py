"""Bad input to the shipped plugins on real files: one line, the documented exit code, and nothing computed before is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from medrobust.cli.app import call
from medrobust.data.fastmri_file import write_volume
from medrobust.imaging.kspace import fft2c
from medrobust.store import open_run
from medrobust.targets import zoo
from medrobust.targets.unet import UNet

SPEC = """\
suite: bad
track: recon-fnaf
data: {name: fastmri, split: test, options: {folder: FOLDER, size: 64}}
targets: [zero-filled, {name: unet, options: {channels: 4, pools: 2}}]
attacks:
  - none
  - {name: fnaf-random, options: {trials: 2}, store: true}
budget: {name: feature, options: {steps: 5}}
metrics: {none: [nmse], attacked: [fnaf-loss, information]}
batch: 2
"""
ROGUES = '''\
from dataclasses import dataclass, replace
from typing import ClassVar

from medrobust.types import Attacked
from medrobust_attacks.fnaf.random_search import RandomSearch


@dataclass(frozen=True)
class Rogue:
    """Random search, spoilt."""

    threat: ClassVar[str] = "black-box"
    how: str = "raises"

    def __call__(self, target, batch, budget, rng):
        found = RandomSearch(trials=1)(target, batch, budget, rng)
        if self.how == "raises" and batch.cases[0].group == "file1.h5":
            raise IndexError("index 64 is out of bounds\\nfor dimension 1 with size 64")
        brighter = batch.image + 3 * (found.image - batch.image)
        return replace(found, image=brighter, truth=brighter) if self.how == "leaves" else found
'''
UNREADABLE = "found a file that HDF5 cannot read"
Damage = Callable[[Path], object]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of two slices, whole."""
    folder = tmp_path_factory.mktemp("scans")
    row, column = np.mgrid[-1:1:64j, -1:1:64j]
    for patient in range(3):
        texture = np.stack([1 + 0.2 * np.sin(9 * column + patient + slice_) for slice_ in range(2)])
        image = np.clip(1 - (1 + 0.2 * patient) * column**2 - row**2, 0, None) * texture
        kspace = fft2c(torch.from_numpy(image * np.exp(0.5j * row))).numpy().astype(np.complex64)
        write_volume(folder / "test" / f"file{patient}.h5", kspace, acquisition="CORPD_FBK", patient_id=f"p{patient}", recon_size=(64, 64))
    return folder


@pytest.fixture
def spec(scans: Path, tmp_path: Path) -> Callable[..., str]:
    """Writes the spec with some text replaced, and returns its path."""

    def write(*replacements: tuple[str, str], folder: Path = scans, name: str = "spec.yaml") -> str:
        text = SPEC
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        (tmp_path / name).write_text(text.replace("FOLDER", str(folder)))
        return str(tmp_path / name)

    return write


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Installs a distribution of one entry point, and returns the folder that its modules lie in."""

    def install(group: str, point: str) -> Path:
        information = tmp_path / "site" / "strange-1.0.dist-info"
        information.mkdir(parents=True)
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(f"[medrobust.{group}]\n{point}\n")
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        return tmp_path / "site"

    return install


def command(spec: str, out: Path) -> list[str]:
    return ["run", spec, "--out", str(out), "--executor", "local", "--shard", "1/1"]


def error(capsys: Capture) -> str:
    """The one line of a command that failed."""
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def content(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def statuses(out: Path) -> Counter[str]:
    (run,) = out.iterdir()
    return Counter(folder.state().status for folder in open_run(run).cells())


def attempts(out: Path) -> set[int]:
    (run,) = out.iterdir()
    return {folder.state().attempts for folder in open_run(run).cells()}


def inside(change: Callable[[h5py.File], object]) -> Damage:
    """Damage done to what an HDF5 file holds."""

    def damage(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return damage


def replaced(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Damage:
    """A dataset in another form."""

    def change(file: h5py.File) -> None:
        array = file[name][()]
        del file[name]
        file[name] = make(array)

    return inside(change)


# Files


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda path: os.truncate(path, 9000), f"{UNREADABLE} (Unable to synchronously open file (truncated file: eof = 9000"),
        (lambda path: path.write_text("kspace: none"), f"{UNREADABLE} (Unable to synchronously open file (file signature not found))"),
        (lambda path: path.unlink() or path.mkdir(), UNREADABLE),
        (inside(lambda file: file.pop("kspace")), "kspace: found nothing, expected a dataset; the file has ismrmrd_header, reconstruction_esc"),
        (inside(lambda file: file.pop("ismrmrd_header")), "ismrmrd_header: found nothing, expected a dataset"),
        (replaced("kspace", lambda array: array[0]), "kspace: found shape (64, 64), expected (slices, H, W) or (slices, coils, H, W)"),
        (replaced("kspace", lambda array: array.real), "kspace: found type float32, expected complex64"),
        (replaced("kspace", lambda array: array[..., :60]), "kspace: found 64 x 60, expected at least size = 64 on both sides"),
        (replaced("reconstruction_esc", lambda array: array[:1]), "reconstruction_esc: found 1 slices, expected 2, as kspace has"),
        (inside(lambda file: file.attrs.pop("patient_id")), "attribute patient_id: found nothing, expected text"),
    ],
    ids=["truncated", "text", "folder", "no k-space", "no header", "rank", "real k-space", "small", "slices", "no patient"],
)
def test_a_file_that_is_not_what_it_claims_is_one_line_before_anything_is_computed(
    spec: Callable[..., str], scans: Path, tmp_path: Path, capsys: Capture, damage: Damage, line: str
) -> None:
    folder = shutil.copytree(scans, tmp_path / "damaged")
    damage(folder / "test" / "file1.h5")
    assert call(command(spec(folder=folder), tmp_path / "runs")) == 1
    assert error(capsys).startswith(f"{folder / 'test' / 'file1.h5'}: {line}")
    assert not (tmp_path / "runs").exists()


def test_a_file_damaged_after_a_run_loses_no_row_and_is_as_good_as_new_once_it_is_back(
    spec: Callable[..., str], scans: Path, tmp_path: Path, capsys: Capture
) -> None:
    folder, out = shutil.copytree(scans, tmp_path / "damaged"), tmp_path / "runs"
    arguments = command(spec(folder=folder), out)
    assert call(arguments) == 0
    before = content(out)
    capsys.readouterr()
    victim = folder / "test" / "file2.h5"
    whole = victim.read_bytes()
    os.truncate(victim, 9000)
    assert call(arguments) == 1
    assert error(capsys).startswith(f"{victim}: ")
    assert content(out) == before
    victim.write_bytes(whole)
    assert call(arguments) == 0
    assert attempts(out) == {1}


def test_nan_in_k_space_fails_the_cells_and_keeps_the_cases_before_it(spec: Callable[..., str], scans: Path, tmp_path: Path, capsys: Capture) -> None:
    folder, out = shutil.copytree(scans, tmp_path / "damaged"), tmp_path / "runs"
    with h5py.File(folder / "test" / "file1.h5", "r+") as file:
        file["kspace"][1, 3, 3] = np.nan
    assert call(command(spec(folder=folder), out)) == 2
    said = capsys.readouterr()
    assert said.out.count(f"{folder / 'test' / 'file1.h5'}: kspace[1]: found NaN or infinity, expected finite values") == 4
    assert "Traceback" not in said.out + said.err
    (run,) = out.iterdir()
    assert {len(cell.complete_cases()) for cell in open_run(run).cells()} == {2}
    assert open_run(run).rows().empty


# Specs


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("size: 64", "sise: 64", "3: data: fastmri: no field 'sise'; did you mean size?"),
        ("size: 64", "size: big", '3: data: fastmri: size: found "big", expected a valid integer'),
        ("budget:", "buget:", "8: buget: unknown field; did you mean budget"),
        ("trials: 2", "trails: 2", "7: attacks[1]: fnaf-random: no field 'trails'; did you mean trials?"),
        ("fnaf-random", "fnaf-randm", "7: attacks[1]: no 'fnaf-randm' among attacks; did you mean fnaf-random"),
        ("name: fastmri", "name: fastmr", "3: data: no 'fastmr' among data; did you mean fastmri?"),
        ("zero-filled", "recon-unett", "4: targets[0]: no 'recon-unett' among zoo models and targets; did you mean recon-unet"),
        ("[nmse]", "[nsme]", "9: metrics.none[0]: no 'nsme' among metrics; did you mean nmse"),
        ("name: feature", "name: featur", "8: budget: no 'featur' among budgets; did you mean feature?"),
        ("steps: 5", "steps: 0", "8: budget: feature: steps: found 0, expected 1 or more"),
        ("steps: 5", "intensity: [6, 3]", "8: budget: feature: intensity: found (6.0, 3.0), expected 0 <= low <= high"),
        ("steps: 5", "box: [0.5, 1.5]", "8: budget: feature: box: found (0.5, 1.5), expected 0 <= first < last <= 1"),
        (
            "feature, options: {steps: 5}",
            "linf, options: {radius: 0.1}",
            "8: budget: found 'linf', expected 'feature', the budget that attack 'fnaf-random' searches",
        ),
        ("trials: 2", "trials: 0", "7: attacks[1]: fnaf-random: trials: found 0, expected 1 or more"),
        ("fnaf-random, options: {trials: 2}", "fnaf-fd, options: {restarts: 0}", "7: attacks[1]: fnaf-fd: restarts: found 0, expected at least 1"),
        (
            "fnaf-random, options: {trials: 2}",
            "fnaf-gradient, options: {move: -8}",
            "7: attacks[1]: fnaf-gradient: move: found -8.0, expected at least 0",
        ),
        ("pools: 2", "pools: 0", "4: targets[1]: unet: pools: found 0, expected at least 1"),
        (
            "fastmri, split: test, options: {folder: FOLDER, size: 64}",
            "mri-phantom, split: test, options: {acceleration: 0.5}",
            "3: data: mri-phantom: acceleration: found 0.5, expected a number of at least 1",
        ),
        ("size: 64", "size: 64, acceleration: 0.5", "3: data: fastmri: acceleration: found 0.5, expected a number of at least 1"),
    ],
)
def test_a_mistake_in_a_spec_is_one_line_with_its_place(
    spec: Callable[..., str], tmp_path: Path, capsys: Capture, old: str, new: str, line: str
) -> None:
    wrong = spec((old, new))
    assert call(command(wrong, tmp_path / "runs")) == 1
    assert error(capsys).startswith(f"{wrong}:{line}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("split: test", "split: tset", "found no split 'tset', expected one of test"),
        ("FOLDER", "/no/such/folder", "/no/such/folder: found no such folder, expected a folder of fastMRI files"),
    ],
)
def test_data_that_are_not_there_are_one_line(spec: Callable[..., str], tmp_path: Path, capsys: Capture, old: str, new: str, line: str) -> None:
    assert call(command(spec((old, new)), tmp_path / "runs")) == 1
    assert line in error(capsys)


# Weights


def test_weights_that_are_not_those_of_the_card_are_one_line_and_lose_no_row(
    spec: Callable[..., str], distribution: Callable[[str, str], Path], tmp_path: Path, capsys: Capture
) -> None:
    package = distribution("zoo", "strange = strange_zoo") / "strange_zoo"
    package.mkdir()
    (package / "__init__.py").touch()
    fields = {"task": "reconstruction", "architecture": "unet", "options": {"channels": 4, "pools": 2}, "target": "toy"}
    card = zoo.save(package / "toy", fields, UNet(channels=4, pools=2).build())
    arguments = command(spec(("zero-filled, ", "toy, ")), tmp_path / "runs")
    assert call(arguments) == 0
    before = content(tmp_path / "runs")
    capsys.readouterr()
    weights = package / "toy" / "weights.safetensors"
    whole = weights.read_bytes()
    state = load_file(weights)
    state["head.2.bias"] += 0.01
    save_file(state, weights)
    assert call(arguments) == 1
    found = error(capsys)
    assert found.startswith(f"{weights}: digest ")
    assert f", expected {card.digest} as card.yaml names it" in found
    weights.write_bytes(whole[:100])
    assert call(arguments) == 1
    assert error(capsys).startswith(f"{weights}: ")
    assert content(tmp_path / "runs") == before
    weights.write_bytes(whole)
    assert call(arguments) == 0
    assert attempts(tmp_path / "runs") == {1}


# Disks


def test_a_full_disk_is_one_line_a_cell_keeps_the_finished_ones_and_resumes(spec: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "runs"
    arguments = command(spec(("{trials: 2}, store: true", "{trials: 1}, store: true")), out)
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000)); from medrobust.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stdout.count("File too large; expected a writable folder with free space") == 2
    assert "Traceback" not in done.stdout + done.stderr
    assert statuses(out) == {"done": 2, "failed": 2}
    assert call(arguments) == 0
    assert statuses(out) == {"done": 4}
    assert attempts(out) == {1, 2}


SHORT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0})); from medrobust.cli import main; main()"
"""The command on a disk where no file may grow beyond so many bytes."""


def said_on_a_short_disk(arguments: list[str], size: int, **environment: str) -> str:
    """The one line of an error."""
    whole = [sys.executable, "-c", SHORT.format(size), *arguments]
    done = subprocess.run(whole, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in done.stdout + done.stderr
    return line


def test_a_disk_that_is_full_when_the_embedded_data_are_made_is_one_line(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    options = [f"--option={each}" for each in ("train=0", "val=0", "test=1", "slices=1", "size=32")]
    arguments = ["data", "make", "mri-phantom", "--split", "test", *options]
    found = said_on_a_short_disk(arguments, 8_000, MEDROBUST_CACHE=str(cache))
    assert found.endswith(": cannot write the embedded data: File too large; set MEDROBUST_CACHE to a folder with free space")
    assert not list(cache.rglob("*.h5"))
    made = [*arguments, "--out", str(tmp_path / "copy")]
    assert subprocess.run([sys.executable, "-m", "medrobust", *made], env={**os.environ, "MEDROBUST_CACHE": str(cache)}, check=False).returncode == 0
    found = said_on_a_short_disk([*arguments, "--out", str(tmp_path / "other")], 8_000, MEDROBUST_CACHE=str(cache))
    assert found.endswith(".h5: File too large; expected a writable folder with free space")
    assert not list((tmp_path / "other").rglob("*.h5"))


def test_checkpoints_that_cannot_be_written_are_one_line_before_the_first_step(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "file").touch()
    assert call(["train", "recon-unet", "--steps", "1", "--checkpoints", str(tmp_path / "file"), "--out", str(tmp_path / "models")]) == 1
    found = error(capsys)
    assert found.startswith(f"{tmp_path / 'file'}")
    assert found.endswith("; expected a writable folder with free space")


def test_a_folder_that_cannot_be_written_is_one_line(spec: Callable[..., str], tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "runs").touch()
    assert call(command(spec(), tmp_path / "runs")) == 1
    found = error(capsys)
    assert found.startswith(f"{tmp_path / 'runs'}")
    assert found.endswith("; expected a writable folder with free space")


# Plugins


@pytest.mark.parametrize(
    ("how", "code", "found"),
    [
        ("raises", 2, "attack rogue: IndexError: index 64 is out of bounds for dimension 1 with size 64"),
        ("leaves", 3, "invalid default zero-filled rogue"),
    ],
)
def test_a_plugin_that_misbehaves_spoils_its_own_cells_alone(
    spec: Callable[..., str], distribution: Callable[[str, str], Path], tmp_path: Path, capsys: Capture, how: str, code: int, found: str
) -> None:
    (distribution("attacks", "rogue = strange_rogues:Rogue") / "strange_rogues.py").write_text(ROGUES)
    out = tmp_path / "runs"
    rogue = f"\n  - {{name: rogue, options: {{how: {how}}}}}\nbudget"
    assert call(command(spec(("\nbudget", rogue)), out)) == code
    said = capsys.readouterr()
    assert found in said.out
    assert "Traceback" not in said.out + said.err
    assert statuses(out) == {"done": 4, "failed" if how == "raises" else "invalid": 2}
    (run,) = out.iterdir()
    for cell in open_run(run).cells():
        if cell.cell.columns["attack"] == "rogue":
            assert len(cell.complete_cases()) == (2 if how == "raises" else 6)
    if how == "leaves":
        assert call(["show", str(run), "default zero-filled rogue"]) == 0
        assert "left the budget: intensity" in " ".join(capsys.readouterr().out.split())
