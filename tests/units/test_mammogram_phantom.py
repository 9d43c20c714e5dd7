"""The embedded mammograms: determined by their seed, written as INbreast files, their labels, sides and outlines telling the same story."""

from __future__ import annotations

import csv
import pickle
import plistlib
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch

from medrobust.data.mammogram_phantom import MammogramPhantom
from medrobust.errors import DataError
from medrobust.imaging.mammogram import Mammogram, Woman, mammogram, woman
from medrobust.imaging.mammogram_anatomy import PIXEL, SHAPE, power_law

SMALL = MammogramPhantom(train=2, val=1, test=6)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests that only read: every file is checked by its digest each time."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _cache(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(kept))


@pytest.fixture(scope="module")
def shown() -> list[tuple[Woman, bool, Mammogram]]:
    """Sixteen breasts, half of them oblique, half of them cancerous."""
    found = []
    for index in range(16):
        random = np.random.default_rng([5, index])
        one = woman(random, cancerous=index % 2 == 1)
        found.append((one, index % 4 > 1, mammogram(random, one, oblique=index % 4 > 1)))
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "INbreast.csv").open() as file:
        return list(csv.DictReader(file, delimiter=";"))


def test_files_are_inbreast_s_and_say_the_same_of_side_and_view() -> None:
    folder = SMALL.make("test") / "test"
    rows = rows_of(folder)
    names = {path.name: path for path in (folder / "AllDICOMs").iterdir()}
    muscles = list((folder / "PectoralMuscle" / "Pectoral_Muscle_XML").iterdir())
    assert len(rows) == len(names) == len(muscles) + sum(row["View"] == "CC" for row in rows)
    for row in rows:
        short = {"MLO": "ML", "CC": "CC"}[row["View"]]
        patient = row["File Name"][:8]
        path = names[f"{row['File Name']}_{patient}_MG_{row['Laterality']}_{short}_ANON.dcm"]
        dataset = pydicom.dcmread(path)
        assert (dataset.Modality, dataset.PhotometricInterpretation, dataset.BitsAllocated) == ("MG", "MONOCHROME2", 16)
        assert (dataset.PatientID, dataset.ImageLaterality, dataset.ViewPosition) == (patient, row["Laterality"], row["View"])
        assert [float(edge) for edge in dataset.PixelSpacing] == [PIXEL, PIXEL]
        assert "phantom" in dataset.ImageComments
        pixels = dataset.pixel_array
        assert (pixels.dtype, pixels.shape) == (np.uint16, SHAPE)
        wall, free = (0, -1) if row["Laterality"] == "L" else (-1, 0)
        assert (pixels[:, wall] > 0).mean() > 0.4
        assert (pixels[:, free] == 0).all()
        assert row["Bi-Rads"][0] in "123456"


def test_what_is_loaded_lies_with_its_chest_wall_to_the_left_and_its_lesion_in_the_breast() -> None:
    folder = SMALL.make("test") / "test"
    cases = SMALL.cases("test")
    batch = SMALL.load(cases)
    assert batch.image.shape == (len(cases), 1, 256, 256)
    assert (batch.image.dtype, batch.truth.dtype) == (torch.float32, torch.int64)
    assert [batch.context[name].dtype for name in ("lesion", "breast", "outlined")] == [torch.float32, torch.float32, torch.bool]
    assert batch.image.flatten(1).amin(1).tolist() == [-1] * len(cases)
    assert batch.image.flatten(1).amax(1).tolist() == [1] * len(cases)
    assert batch.context["outlined"].all()
    birads = {row["File Name"]: int(row["Bi-Rads"][0]) for row in rows_of(folder)}
    sides = {row["File Name"]: row["Laterality"] for row in rows_of(folder)}
    assert set(sides.values()) == {"L", "R"}
    assert [int(truth) for truth in batch.truth] == [int(birads[case.case] >= 3) for case in cases]
    lesion, breast = batch.context["lesion"], batch.context["breast"]
    assert torch.equal(lesion.flatten(1).any(1), batch.truth == 1)
    assert (breast[..., 0].flatten(1).mean(1) > 0.4).all()
    assert (breast[..., -1] == 0).all()
    for one, inside, image, case in zip(lesion, breast, batch.image, cases, strict=True):
        if one.any():
            assert inside[one > 0].all()
            assert image[one > 0].mean() > image[inside > 0].mean()
        stored = pydicom.dcmread(next((folder / "AllDICOMs").glob(f"{case.case}_*"))).pixel_array.astype(np.float64)
        turned = stored[:, ::-1] if sides[case.case] == "R" else stored
        mean = turned[: SHAPE[0] // 2 * 2, : SHAPE[1] // 2 * 2].reshape(256, 2, 204, 2).mean((1, 3))
        assert np.corrcoef(mean.ravel(), image[0, :, :204].ravel())[0, 1] > 0.998
        assert (image[0, :, 204:] == -1).all()


def test_the_native_grid_is_shown_as_it_is_stored() -> None:
    whole = replace(SMALL, size=(512, 408))
    cases = whole.cases("test")
    image = whole.load(cases[:2]).image
    assert image.shape == (2, 1, 512, 408)
    stored = pydicom.dcmread(next((SMALL.make("test") / "test" / "AllDICOMs").glob(f"{cases[0].case}_*")))
    pixels = stored.pixel_array[:, ::-1] if stored.ImageLaterality == "R" else stored.pixel_array
    np.testing.assert_allclose(image[0, 0], 2 * pixels / pixels.max() - 1.0, atol=1e-6)


def test_rules_label_the_same_images_differently() -> None:
    many = MammogramPhantom(train=0, val=0, test=24)
    labels = {}
    for rule in many.rules:
        data = replace(many, labels=rule)
        cases = data.cases("test")
        labels[rule] = dict(zip((case.case for case in cases), data.load(cases).truth.tolist(), strict=True))
        assert rule in data.label
    rows = {row["File Name"]: row for row in rows_of(many.make("test") / "test")}
    threes = {name for name, row in rows.items() if row["Bi-Rads"] == "3"}
    assert threes
    assert labels["birads>=3"].keys() == rows.keys()
    assert rows.keys() - labels["birads>=4 drop 3"].keys() == threes
    assert all(labels["birads>=3"][name] == 1 for name in threes)
    folder = many.make("test") / "test" / "AllXML"
    masses = {path.stem for path in folder.iterdir() if b"Mass" in path.read_bytes()}
    assert {name for name, label in labels["mass"].items() if label} == masses
    assert any(labels["mass"][name] != labels["birads>=3"][name] for name in rows)
    assert len({replace(many, labels=rule).digest for rule in many.rules}) == 3


def test_the_default_holds_enough_of_both_in_every_density() -> None:
    """Counted from the women alone, without an image."""
    default = MammogramPhantom()
    for split, least in (("train", 150), ("test", 60)):
        images: dict[bool, int] = {True: 0, False: 0}
        densities = set()
        for index in range(getattr(default, split)):
            _, one, views = default._patient(split, index)
            images[one.birads >= 3] += len(views)
            densities.add((one.density, one.birads >= 3))
        assert min(images.values()) >= least
        assert len(densities) == 8


def test_every_byte_comes_from_the_seed_in_another_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = content(MammogramPhantom(test=2).make("test"))
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "other"))
    script = "from medrobust.data.mammogram_phantom import MammogramPhantom; MammogramPhantom(test=2).make('test')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert content(next((tmp_path / "other" / "mammogram-phantom").iterdir())) == here
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "third"))
    assert content(MammogramPhantom(test=2, seed=1).make("test")) != here


def test_a_patient_is_the_same_whatever_the_size_of_the_splits_and_in_one_split_alone() -> None:
    more = replace(SMALL, test=7, train=0)
    cases = SMALL.cases("test")
    assert more.cases("test")[: len(cases)] == cases
    assert torch.equal(more.load(cases).image, SMALL.load(cases).image)
    assert more.digest != SMALL.digest
    patients = [{case.patient for case in SMALL.cases(split)} for split in ("train", "val", "test")]
    assert [len(some) for some in patients] == [2, 1, 6]
    assert len(set.union(*patients)) == 9
    images = [image.numpy().tobytes() for split in ("train", "val", "test") for image in SMALL.load(SMALL.cases(split)).image]
    assert len(set(images)) == len(images)


def test_views_are_chosen_and_named() -> None:
    data = replace(SMALL, views=("CC",))
    assert {case.case[-2:] for case in data.cases("test")} == {"cc"}
    assert data.digest != SMALL.digest
    assert "CC alone" in data.label
    assert SMALL.label == "phantom: mammograms, 256x256, birads>=3 (BI-RADS 3 and above cancerous, 0 left out)"


def test_it_goes_to_another_process_without_what_it_keeps() -> None:
    cases = SMALL.cases("test")
    batch = SMALL.load(cases)
    sent = pickle.dumps(SMALL)
    assert len(sent) < batch.image.numel()
    assert torch.equal(pickle.loads(sent).load(cases).image, batch.image)  # noqa: S301 - our own


def test_a_damaged_file_is_named_and_unknown_splits_and_options_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path))
    one = MammogramPhantom(test=1)
    victim = next(one.make("test").rglob("*.dcm"))
    victim.write_bytes(victim.read_bytes()[:-7] + b"damage!")
    with pytest.raises(DataError, match=f"{victim.name}: found sha256"):
        one.make("test")
    with pytest.raises(DataError, match="mammogram-phantom: found no split 'tset', expected one of train, val, test"):
        SMALL.cases("tset")
    with pytest.raises(ValueError, match="labels: found 'pathology', expected one that mammogram-phantom can serve: birads>=3, birads"):
        MammogramPhantom(labels="pathology")
    with pytest.raises(ValueError, match="test: found 0, expected at least 1"):
        MammogramPhantom(test=0)
    with pytest.raises(ValueError, match=r"size: found \(8, 8\)"):
        MammogramPhantom(size=(8, 8))
    with pytest.raises(ValueError, match="views: found none"):
        MammogramPhantom(views=())


def test_the_texture_follows_the_power_law(shown: list[tuple[Woman, bool, Mammogram]]) -> None:
    """Slope of the radial spectrum of squares inside breasts without calcifications, below the noise; that of real ones is about 3."""
    slopes = []
    for _, _, one in (row for row in shown if not row[0].coarse):
        top, left = int(np.median(np.nonzero(one.image > 0)[0])) - 64, 24
        square = one.image[top : top + 128, left : left + 128].astype(np.float64)
        window = np.hanning(128)
        power = np.abs(np.fft.fft2((square - square.mean()) * window[:, None] * window[None])) ** 2
        frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
        edges = np.geomspace(0.025, 0.15, 8)
        radial = [np.log(power[(frequency >= low) & (frequency < high)].mean()) for low, high in pairwise(edges)]
        slopes.append(-np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), radial, 1)[0])
    assert 2.3 < float(np.mean(slopes)) < 3.3


@pytest.mark.parametrize("beta", [2.0, 3.0])
def test_power_law_noise_has_its_exponent(beta: float) -> None:
    field = power_law(np.random.default_rng(1), (256, 256), beta)
    power = np.abs(np.fft.fft2(field)) ** 2
    frequency = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)[None])
    inside = (frequency > 0.01) & (frequency < 0.5)
    slope = -np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0]
    assert slope == pytest.approx(beta, abs=0.1)
    assert (field.mean(), field.std()) == pytest.approx((0, 1), abs=1e-5)


def test_denser_women_have_brighter_breasts_and_the_oblique_view_its_muscle(shown: list[tuple[Woman, bool, Mammogram]]) -> None:
    bright = []
    for one, oblique, view in shown:
        assert (view.muscle is not None) == oblique
        assert view.image.max() <= 4095
        assert 0.15 < (view.image > 0).mean() < 0.75
        assert (view.image[:, -1] == 0).all()
        if view.muscle is not None:
            inside = view.image[:40, :40]
            assert inside.mean() > np.median(view.image[view.image > 0])
        bright.append((one.dense, np.quantile(view.image[view.image > 0], 0.5)))
    assert np.corrcoef(np.array(bright).T)[0, 1] > 0.4


def test_findings_are_what_the_birads_says() -> None:
    kinds: dict[int, set[str]] = {number: set() for number in range(1, 6)}
    for index in range(60):
        random = np.random.default_rng([6, index])
        one = woman(random, cancerous=index % 2 == 1)
        lesion = one.lesion
        assert (one.birads >= 3) == (index % 2 == 1)
        if lesion is not None:
            kinds[one.birads] |= {name for name in ("spiculated", "smooth", "clustered", "obscured") if getattr(lesion, name)}
            assert 4 <= lesion.radius <= 12
        if one.birads == 1:
            assert lesion is None
            assert one.coarse == 0
        if one.birads == 2:
            assert lesion is not None or one.coarse > 0
        if one.birads >= 3:
            assert lesion is not None
    assert kinds == {1: set(), 2: {"smooth"}, 3: {"smooth", "obscured"}, 4: {"spiculated", "clustered"}, 5: {"spiculated", "clustered"}}


def test_outlines_surround_what_is_brighter_than_around_it(shown: list[tuple[Woman, bool, Mammogram]]) -> None:
    """Inside the outlined masses against a ring around them, in every woman but where dense tissue lies on top."""
    differences = []
    for _, _, view in shown:
        for finding in view.findings:
            assert (finding.points > -1).all()
            assert (finding.points < np.array(SHAPE)[::-1]).all()
            if finding.name == "Mass":
                middle = finding.points.mean(0)
                reach = np.hypot(*(finding.points - middle).T).mean()
                far = np.hypot(np.arange(SHAPE[1])[None] - middle[0], np.arange(SHAPE[0])[:, None] - middle[1])
                inside, ring = view.image[far < 0.7 * reach], view.image[(far > 1.5 * reach) & (far < 2 * reach) & (view.image > 0)]
                differences.append(inside.mean() - ring.mean())
    assert len(differences) >= 5
    assert np.mean(np.array(differences) > 100) > 0.7


def test_side_files_name_every_outline() -> None:
    folder = SMALL.make("test") / "test"
    for path in (folder / "AllXML").iterdir():
        (image,) = plistlib.loads(path.read_bytes())["Images"]
        assert image["NumberOfROIs"] == len(image["ROIs"]) > 0
        for region in image["ROIs"]:
            assert region["NumberOfPoints"] == len(region["Point_px"])
            assert region["Name"] in ("Mass", "Spiculated Region", "Cluster", "Calcification")


def test_the_numbers_stay_what_shipped_results_were_measured_on() -> None:
    """Means and deviations to three digits: they hold across processors, where the last bits of a float need not."""
    for index, (birads, views, mean, std, covered) in enumerate(KNOWN):
        random, one, shown = MammogramPhantom()._patient("test", index)
        image = mammogram(random, one, oblique=shown[0] == "MLO").image
        assert (one.birads, shown) == (birads, views)
        assert (image.mean(), image.std()) == pytest.approx((mean, std), rel=1e-3)
        assert np.count_nonzero(image) == pytest.approx(covered, abs=20)


KNOWN = ((1, ("MLO",), 601.452, 811.687, 89985), (4, ("CC", "MLO"), 444.642, 672.688, 87601))
