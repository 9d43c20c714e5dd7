"""The embedded tumours: determined by their seed, written as BraTS files, their grade in the tumour's tissue and nowhere else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation
from skimage.segmentation import slic
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from medrobust.data.brats import BraTS
from medrobust.data.glioma_phantom import GliomaPhantom
from medrobust.errors import DataError
from medrobust.imaging.anatomy import brain, millimetres
from medrobust.imaging.distractors import distractors
from medrobust.imaging.glioma import ENHANCING, NECROSIS, OEDEMA, Glioma, glioma
from medrobust.imaging.smooth import smooth_field
from medrobust.imaging.volumes import SEQUENCES
from medrobust.types import Batch

SMALL = GliomaPhantom(train=2, val=1, test=5, size=24)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    """Twenty-four subjects at half the resolution of the default set."""
    phantom = GliomaPhantom(test=24, size=32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDROBUST_CACHE", str(tmp_path_factory.mktemp("cache")))
        return phantom.load(phantom.cases("test"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_files_are_brats_volumes_and_are_read_back_as_a_batch() -> None:
    folder = SMALL.make("test")
    image = nibabel.load(folder / "test" / "glioma_test_0000" / "glioma_test_0000_t1ce.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (8.0, 8.0, 8.0)
    batch = SMALL.load(SMALL.cases("test"))
    assert batch.image.shape == (5, 4, 24, 24, 24)
    assert batch.image.dtype == torch.float32
    assert batch.truth.tolist() == [1, 0, 1, 0, 1]
    assert [case.case for case in batch.cases] == SMALL.patients_of("test")
    assert batch.context["tumour"].flatten(1).any(1).all()
    assert (batch.context["lost"] < 0.2).all()
    assert not batch.image[~batch.context["brain"].expand_as(batch.image)].any()
    assert SMALL.label == "phantom: MNI152 gliomas, 24x24x24"


def test_all_splits_in_one_folder_are_read_by_the_loader(tmp_path: Path) -> None:
    for split in ("train", "val", "test"):
        shutil.copytree(SMALL.make(split), tmp_path / "all", dirs_exist_ok=True)
    one = BraTS(str(tmp_path / "all"), size=24)
    for split in ("train", "val", "test"):
        assert one.cases(split) == SMALL.cases(split)
        assert torch.equal(one.load(one.cases(split)).image, SMALL.load(SMALL.cases(split)).image)


def test_every_byte_comes_from_the_seed_in_another_process_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = GliomaPhantom(test=2, size=16)
    here = content(small.make("test"))
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "other"))
    script = "from medrobust.data.glioma_phantom import GliomaPhantom; GliomaPhantom(test=2, size=16).make('test')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert len(list((tmp_path / "other").rglob("*.nii.gz"))) == 10
    assert content(small.make("test")) == here
    monkeypatch.setenv("MEDROBUST_CACHE", str(tmp_path / "third"))
    assert content(replace(small, seed=1).make("test")) != here


def test_a_subject_is_the_same_whatever_the_size_of_its_split_and_of_the_others() -> None:
    few, more = SMALL, replace(SMALL, test=6, train=3)
    assert torch.equal(more.load(more.cases("test")[:5]).image, few.load(few.cases("test")).image)
    assert more.digest != few.digest


def test_no_image_is_in_two_splits() -> None:
    images = [image for split in ("train", "val", "test") for image in SMALL.load(SMALL.cases(split)).image]
    assert len(images) == 8
    assert not any(torch.equal(one, other) for index, one in enumerate(images) for other in images[:index])


def test_the_papers_counts_hold_the_papers_high_grades() -> None:
    counts = {
        split: sum(GliomaPhantom()._high_grade(index) for index in range(count)) for split, count in (("train", 133), ("val", 19), ("test", 38))
    }
    assert counts == {"train": 80, "val": 11, "test": 23}
    for share in (0.0, 0.25, 0.6, 1.0):
        phantom = GliomaPhantom(hgg_share=share)
        for count in (4, 20, 100):
            assert sum(phantom._high_grade(index) for index in range(count)) == round(count * share)


@pytest.mark.parametrize("seed", range(3))
def test_the_grade_changes_the_tissue_of_the_tumour_and_nothing_else(seed: int) -> None:
    """Size, place, distractors, anatomy and noise know nothing of the grade: from one stream, they are the same under either."""
    low, high = (glioma(np.random.default_rng(seed), grade, 32) for grade in (False, True))
    tumour = low.labels > 0
    np.testing.assert_array_equal(tumour, high.labels > 0)
    assert set(np.unique(low.labels)) == {0, NECROSIS}
    assert set(np.unique(high.labels)) == {0, NECROSIS, OEDEMA, ENHANCING}
    outside = ~binary_dilation(tumour, iterations=4)
    np.testing.assert_allclose(low.image[:, outside], high.image[:, outside], atol=0.01 * low.image.max())  # the tumour's soft edge never quite ends
    core = np.isin(high.labels, (NECROSIS, ENHANCING))
    difference = np.abs(low.image[1].astype(float) - high.image[1])
    assert (difference[core] > 0).mean() > 0.9
    oedema = tumour & ~binary_dilation(core)
    assert oedema.sum() > 10
    assert difference[oedema].mean() < 0.3 * difference[core].mean()  # the same swelling, of either grade; the core has a soft edge


def test_the_high_grade_is_a_bright_rim_around_a_dark_core_and_the_low_grade_is_neither() -> None:
    for index in range(12):
        subject = GliomaPhantom(size=32)._subject("test", index)
        t1, t1ce, t2, flair = _relative(subject)
        if index % 5 in {0, 2, 4}:
            rim, core, oedema = (subject.labels == label for label in (ENHANCING, NECROSIS, OEDEMA))
            assert t1ce[rim].mean() > 1.5 * t1ce[core].mean()
            assert t1ce[rim].mean() > 1.3 * t1[rim].mean()
            assert t1[core].mean() < t1[oedema].mean()
            assert flair[core].mean() < flair[oedema].mean()
        else:
            tumour = subject.labels > 0
            assert abs(t1ce[tumour].mean() / t1[tumour].mean() - 1) < 0.25
            assert t2[tumour].mean() > 1.1 * t1[tumour].mean()
            assert flair[tumour].mean() > 1


def _relative(subject: Glioma) -> np.ndarray:
    """Each sequence in units of its median over healthy brain, (4, *shape)."""
    healthy = (subject.image[0] > 0) & (subject.labels == 0)
    relative: np.ndarray = subject.image / np.median(subject.image[:, healthy], axis=1)[:, None, None, None]
    return relative


def _features(tissue: bool) -> tuple[np.ndarray, np.ndarray]:
    """Size and centroid of 120 tumours, and where asked for how much brighter than T1w they are on T1ce; their grades."""
    phantom, rows = GliomaPhantom(size=16), []
    for index in range(120):
        subject = phantom._subject("train", index)
        tumour = subject.labels > 0
        t1, t1ce = _relative(subject)[:2, tumour]
        rows.append([tumour.sum(), *np.argwhere(tumour).mean(0), *([t1ce.mean() / t1.mean()] if tissue else [])])
    return np.array(rows), np.array([phantom._high_grade(index) for index in range(120)])


@pytest.mark.parametrize("tissue", [False, True])
def test_size_and_place_do_not_tell_the_grade_and_the_tissue_does(tissue: bool) -> None:
    features, grades = _features(tissue)
    model = make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression(C=0.1))
    score = cross_val_predict(model, features, grades, cv=10, method="decision_function")
    random = np.random.default_rng(0)
    picks = [random.integers(len(grades), size=len(grades)) for _ in range(500)]
    low, high = np.percentile([roc_auc_score(grades[pick], score[pick]) for pick in picks], [2.5, 97.5])
    if tissue:
        assert low > 0.8
    else:
        assert low < 0.5 < high


def test_brightness_on_t1ce_alone_does_not_tell_the_grade(batch: Batch) -> None:
    brightest = [np.percentile(image, 99.9) for image in batch.image[:, 1].numpy()]
    assert 0.25 < roc_auc_score(batch.truth, brightest) < 0.75


@pytest.mark.parametrize("channel", range(4), ids=SEQUENCES)
def test_no_sequence_s_brightness_finds_the_tumour(batch: Batch, channel: int) -> None:
    """Neither the brightest superpixel nor, with the best threshold of each subject, the brightest voxels; a map of the tumour does both."""

    def found(images: np.ndarray) -> tuple[float, float]:
        dice, hits = [], []
        for image, tumour in zip(images, batch.context["tumour"][:, 0].numpy(), strict=True):
            inside = np.cumsum(tumour.ravel()[np.argsort(-image.ravel(), kind="stable")])
            dice.append((2 * inside / (np.arange(1, inside.size + 1) + tumour.sum())).max())
            labels = slic(image, n_segments=100, compactness=0.1, channel_axis=None, start_label=0)
            size = np.maximum(np.bincount(labels.ravel()), 1)
            brightest = np.argmax(np.bincount(labels.ravel(), image.ravel()) / size)
            hits.append(np.bincount(labels.ravel(), tumour.ravel())[brightest] > 0.5 * size[brightest])
        return float(np.mean(dice)), float(np.mean(hits))

    dice, hits = found(batch.image[:, channel].numpy())
    assert dice < 0.4
    assert hits < 0.35
    if channel == 0:
        dice, hits = found(batch.context["tumour"][:, 0].numpy().astype(float))
        assert dice > 0.99
        assert hits > 0.9


def test_distractors_of_every_kind_lie_outside_the_tumour_alone() -> None:
    random = np.random.default_rng(5)
    grid = millimetres((36, 36, 32), 6.0)
    anatomy = brain(random, grid)
    free = (grid[0] > 0).astype(np.float32)
    kinds = np.zeros(4)
    for _ in range(12):
        signal = np.full((4, 36, 36, 32), 0.5, np.float32)
        distractors(random, signal, grid, anatomy, free, 6.0)
        assert (signal[:, free == 0] == 0.5).all()
        t1, t1ce, t2, flair = signal
        kinds += [
            ((flair > 0.9) & (t2 > 0.75)).any(),
            ((t2 > 0.95) & (flair < 0.25)).any(),
            ((t1ce > 0.85) & (t2 > 0.57) & (flair > 0.6) & (t1 < 0.5)).any(),
            ((t1ce > 0.85) & (t1 == 0.5)).any(),
        ]
    assert (kinds >= 6).all()


def test_a_smooth_field_has_unit_variance_and_is_the_same_at_any_resolution() -> None:
    fields = np.stack([smooth_field(np.random.default_rng(seed), (9, 8, 7), 3) for seed in range(400)])
    np.testing.assert_allclose(fields.var(0), 1, atol=0.35)
    assert fields.var() == pytest.approx(1, abs=0.05)
    coarse, fine = (smooth_field(np.random.default_rng(0), (n, n, n), 3) for n in (15, 45))
    np.testing.assert_allclose(fine[1::3, 1::3, 1::3], coarse, atol=1e-5)


def test_a_damaged_file_is_named() -> None:
    folder = SMALL.make("val")
    victim = next(folder.rglob("*_flair.nii.gz"))
    victim.write_bytes(victim.read_bytes()[:-7] + b"damage!")
    with pytest.raises(DataError, match=f"{victim.name}: found sha256"):
        SMALL.make("val")
    victim.unlink()
    with pytest.raises(DataError, match="missing from the embedded data"):
        SMALL.make("val")


def test_an_unknown_split_and_options_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="glioma-phantom: found no split 'tset', expected one of train, val, test"):
        SMALL.cases("tset")
    with pytest.raises(ValueError, match="size: found 8, expected at least 16"):
        GliomaPhantom(size=8)
    with pytest.raises(ValueError, match=r"hgg_share: found 2, expected a number in \[0, 1\]"):
        GliomaPhantom(hgg_share=2)


def test_the_numbers_stay_what_shipped_results_were_measured_on() -> None:
    """Means and deviations to three digits: they hold across processors, where the last bits of a float need not."""
    subject = GliomaPhantom(size=32)._subject("test", 0)
    assert subject.image.mean((1, 2, 3)) == pytest.approx(KNOWN["mean"], rel=1e-3)
    assert subject.image.std((1, 2, 3)) == pytest.approx(KNOWN["std"], rel=1e-3)
    assert [int((subject.labels == label).sum()) for label in (NECROSIS, OEDEMA, ENHANCING)] == KNOWN["labels"]


KNOWN = {"mean": [63.089, 129.587, 78.8254, 92.7913], "std": [115.889, 243.743, 144.032, 169.13], "labels": [75, 174, 74]}
