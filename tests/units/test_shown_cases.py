"""Cases with pictures: what the attack turned comes first and says so, and truths are outlined."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from norm_rows import EPSILON, board, made, record, rows
from PIL import Image
from scipy import ndimage

from medrobust.leaderboard.asked import cases_called, phantom
from medrobust.leaderboard.evidence import Evidence
from medrobust.leaderboard.glossary import checks, said
from medrobust.leaderboard.measure import Measured, flagged, ranked
from medrobust.leaderboard.overview.build import overviews
from medrobust.leaderboard.overview.planes import images
from medrobust.leaderboard.overview.raster import OUTLINE, outlined
from medrobust.leaderboard.overview.security import allowed
from medrobust.leaderboard.pictures import Picture
from medrobust.leaderboard.tables import Entry, Validity
from medrobust.stats import Sample

GREY = np.full((6, 7), 100, dtype=np.uint8)
TRUTH = np.zeros((6, 7), dtype=np.uint8)
TRUTH[1:5, 0:4] = 1


def colours(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_the_outline_is_the_ring_around_a_region() -> None:
    drawn = colours(outlined(GREY, TRUTH))
    ring = ndimage.binary_dilation(TRUTH) & (TRUTH == 0)
    assert ((drawn == OUTLINE).all(axis=2) == ring).all()
    assert (drawn[~ring] == 100).all()


def test_a_truth_of_one_structure_is_outlined_and_an_empty_one_left_out() -> None:
    arrays = {"image": GREY, "attacked": GREY + 1, "truth": TRUTH}
    assert [caption.partition(" \N{PLUS-MINUS SIGN}")[0] for caption, _ in images(arrays)] == [
        "clean, truth outlined",
        "attacked, truth outlined",
        "difference,",
    ]
    assert (colours(images(arrays)[0][1]) == OUTLINE).all(axis=2).any()
    empty = images({**arrays, "truth": np.zeros_like(TRUTH)})
    assert [caption for caption, _ in empty][:2] == ["clean", "attacked"]
    assert len(empty) == 3, "no black square"
    several = {**arrays, "truth": TRUTH * 2, "before": TRUTH, "after": TRUTH}
    assert [caption for caption, _ in images(several)][-1] == "truth"


def pictured() -> Evidence:
    """Of four cases the third falls; each has a picture and a score."""
    cells = board({"net": {"none": "1110", "pgd": "1100"}})
    further = [
        (one := record("cls-linf", "net", attack, EPSILON, 4), rows(one, "score", scores))
        for attack, scores in (("none", (0.9, 0.8, 0.12, 0.2)), ("pgd", (0.8, 0.7, 0.91, 0.1)))
    ]
    found = made(cells, further=further)
    attacked = next(one.digest for one in found.records if one.attack == "pgd")
    pictures = tuple(Picture(attacked, f"c{i:02d}", {"image": GREY, "attacked": GREY}) for i in range(4))
    return replace(found, pictures=pictures)


def test_what_the_attack_turned_comes_first_with_its_score() -> None:
    (one,) = overviews(pictured())
    assert [shown.case for shown in one.shown] == ["c02", "c00", "c01", "c03"]
    assert [shown.turned for shown in one.shown] == [True, False, False, False]
    assert dict(one.shown[0].facts)["score"] == "0.12 \N{RIGHTWARDS ARROW} 0.91, right before, wrong after"
    assert dict(one.shown[3].facts)["score"] == "0.20 \N{RIGHTWARDS ARROW} 0.10, wrong before and after"


def test_a_budget_is_said_in_words() -> None:
    norm = {"name": "norm", "norm": "linf", "epsilon": "4/255", "low": -1.0, "high": 1.0}
    changes = ({}, {"epsilon": "20 HU"}, {"norm": "l2"}, {"epsilon": "inf"})
    cells = [record("cls-linf", "net", "pgd", "c", 3, budget=norm | change) for change in changes]
    words = [dict(allowed([one], ["c"]))["c"] for one in cells]
    assert words == [
        "each pixel may change by up to 4/255 where intensities lie between \N{MINUS SIGN}1 and 1: 0.78 % of that range",
        "each pixel may change by up to 20 HU",
        "the Euclidean length of the change is at most 4/255",
        "no bound",
    ]
    assert allowed(cells, ["another"]) == ()


@pytest.mark.parametrize(
    ("track", "label", "expected"),
    [
        ("cls-linf", "phantom: mammograms, 128x128", "images"),
        ("cls-linf", "phantom: MNI152 gliomas, 64x64x64", "volumes"),
        ("seg-deform", "OpenKBP, 128x128", "slices"),
        ("strange", "any", "cases"),
    ],
)
def test_a_case_is_called_what_it_is(track: str, label: str, expected: str) -> None:
    assert cases_called(track, label) == expected
    assert phantom(label) == label.startswith("phantom")


def test_a_plugin_is_described_by_its_own_first_sentence_and_a_stranger_by_none() -> None:
    from medrobust.registry import load

    assert said("attacks", "art-pgd") == " ".join((load("attacks", "art-pgd").__doc__ or "").partition("\n\n")[0].split())
    assert said("attacks", "nobody's") == ""
    assert [word.name for word in checks(["V10: late", "V99: unknown", "not a check", "V13: left"])] == ["V10", "V13"]


def column(*values: str) -> list[Measured]:
    held = [Sample.of(np.array(list(text), dtype=float), np.array([f"p{i}" for i in range(len(text))])) for text in values]
    return [Measured(Entry(float(one.values.mean()), patients=len(one.values), cases=len(one.values), expected=len(one.values)), one) for one in held]


def test_where_all_are_at_the_floor_nobody_is_best() -> None:
    assert [one.best for one in ranked(column("000000", "000000"), better=True)] == [False, False]
    assert [one.best for one in ranked(column("111111", "000000"), better=True)] == [True, False]


def test_what_is_not_of_all_that_its_column_is_of_is_not_best() -> None:
    high, low = column("111111", "000000")
    part = replace(high, entry=flagged(high.entry, "partial: worst case without pgd, which is not run"))
    (other,) = column("111110")
    assert [one.best for one in ranked([part, low, other], better=True)] == [False, False, True]
    invalid = replace(high, entry=replace(high.entry, validity=Validity("invalid")))
    assert [one.best for one in ranked([invalid, low, other], better=True)] == [False, False, True]
