"""`medrobust data`: make the embedded sets, check a folder of fastMRI files, split it by patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

import typer

from medrobust.errors import USAGE, DataError, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

app = typer.Typer(help="Make, check and split data sets.", no_args_is_help=True)

SPLITS = ("train", "val", "test")


@runtime_checkable
class Embedded(Protocol):
    """A data set that makes its own files."""

    def make(self, split: str) -> Path:
        """Make the split where it does not stand; the folder that holds it."""
        ...


@app.command()
def make(
    name: Annotated[str, typer.Argument(help="An embedded data set, such as mri-phantom, or real-mr.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write to; embedded sets go to the user's cache without it.")] = None,
    source: Annotated[Path | None, typer.Option(help="real-mr: the folder that holds the downloaded slices.")] = None,
    option: Annotated[list[str] | None, typer.Option(help="A field of the data set, NAME=VALUE; may be repeated.")] = None,
    split: Annotated[list[str] | None, typer.Option(help="A split to make; all without it.")] = None,
) -> None:
    """Make an embedded data set, or convert the public MR slices of a folder (`real-mr`)."""
    if name == "real-mr":
        if source is None or out is None:
            msg = "data make real-mr: found no --source or --out, expected both folders"
            raise SpecError(msg)
        from medrobust.data.real_kspace import convert

        for line in convert(source, out):
            typer.echo(line)
        return
    from medrobust.registry import build

    data = build("data", name, _options(option or []), "data make")
    if not isinstance(data, Embedded):
        msg = f"data make: '{name}' has no files of its own to make, expected an embedded set such as mri-phantom"
        raise SpecError(msg)
    for one in split or SPLITS:
        folder = data.make(one)
        typer.echo(f"{one}: {folder if out is None else _copy(folder, out)}")


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="A folder of fastMRI files, searched through.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list instead of lines.")] = False,
) -> None:
    """Read every slice of every file: one line a file, and exit code 1 where any is wrong."""
    from medrobust.data.fastmri_file import read_slices, read_volume

    paths = sorted(folder.rglob("*.h5"))
    if not paths:
        msg = f"{folder}: found no *.h5 file, expected fastMRI files"
        raise DataError(msg)
    results: list[dict[str, Any]] = []
    patients: dict[Path, str] = {}
    for path in paths:
        where = str(path.relative_to(folder))
        try:
            volume = read_volume(path)
            for index in range(volume.slices):
                read_slices(path, [index])
        except DataError as error:
            results.append({"file": where, "ok": False, "message": str(error)})
            continue
        patients[path] = volume.patient
        coils = "single-coil" if volume.coils is None else f"{volume.coils} coils"
        mask = ", undersampled" if volume.undersampled else ""
        text = f"{volume.slices} slices {volume.height} x {volume.width}, {coils}, {volume.acquisition}, patient {volume.patient}{mask}"
        results.append({"file": where, "ok": True, "message": text})
    said = {result["message"] for result in results}
    results += [{"file": where, "ok": False, "message": message} for where, message in _leaks(folder, patients) if message not in said]
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    else:
        for result in results:
            typer.echo(f"{result['file']}: ok, {result['message']}" if result["ok"] else result["message"])
    if not all(result["ok"] for result in results):
        raise typer.Exit(USAGE)


@app.command()
def split(
    folder: Annotated[Path, typer.Argument(help="A folder of fastMRI files, searched through.")],
    out: Annotated[Path | None, typer.Option(help="File to write; splits.yaml of the folder without it.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
    fractions: Annotated[str, typer.Option(help="Share of patients of each split.")] = "train=0.8,val=0.1,test=0.1",
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Draw patients into splits and write them down; a patient's files stay together."""
    from medrobust.data.fastmri_file import read_volume
    from medrobust.data.splits import SPLITS as FILE
    from medrobust.data.splits import split_patients, write_splits

    target = out or folder / FILE
    if target.exists() and not force:
        msg = f"{target}: found a file that is there already, expected none (--force writes over it)"
        raise DataError(msg)
    patients = [read_volume(path).patient for path in sorted(folder.rglob("*.h5"))]
    if not patients:
        msg = f"{folder}: found no *.h5 file, expected fastMRI files"
        raise DataError(msg)
    try:
        splits = split_patients(patients, _fractions(fractions), seed)
    except ValueError as error:
        raise SpecError(str(error)) from error
    write_splits(target, splits, f"Split to patients; drawn with seed {seed} by medrobust data split.")
    for name, chosen in splits.items():
        typer.echo(f"{name}: {len(chosen)} patients, {sum(patient in set(chosen) for patient in patients)} files")


def _leaks(folder: Path, patients: Mapping[Path, str]) -> list[tuple[str, str]]:
    """Patients in two splits, where the folder has splits at all."""
    from medrobust.data.splits import SPLITS as FILE
    from medrobust.data.splits import split_files

    if not (folder / FILE).exists() and all(path.parent == folder for path in patients):
        return []
    try:
        splits = split_files(folder)
    except DataError as error:
        return [(FILE, str(error))]
    found: dict[str, set[str]] = {}
    for name, paths in splits.items():
        for path in paths:
            if path in patients:
                found.setdefault(patients[path], set()).add(name)
    return [
        (patient, f"{folder}: patient '{patient}': found in {' and '.join(sorted(names))}, expected in one split")
        for patient, names in sorted(found.items())
        if len(names) > 1
    ]


def _copy(folder: Path, out: Path) -> Path:
    """Every file of the folder, each whole or not at all. Raises StoreError in one line."""
    import shutil

    from medrobust.files import replacing

    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with replacing(out / path.relative_to(folder)) as temporary:
            shutil.copyfile(path, temporary)
    return out


def _options(pairs: list[str]) -> dict[str, Any]:
    import yaml

    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            msg = f"--option: found '{pair}', expected NAME=VALUE"
            raise SpecError(msg)
        options[name.strip()] = yaml.safe_load(value)
    return options


def _fractions(text: str) -> dict[str, float]:
    """`train=0.8,val=0.2` as a mapping. Raises ValueError."""
    pairs = [part.partition("=") for part in text.split(",")]
    try:
        return {name.strip(): float(value) for name, _, value in pairs}
    except ValueError:
        msg = f"--fractions: found '{text}', expected SPLIT=SHARE,SPLIT=SHARE"
        raise ValueError(msg) from None
