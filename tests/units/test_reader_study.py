"""A study is balanced, blinded, repeatable and sealed."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import stat
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from studies import SALT, made, subjects

from medrobust import tampered
from medrobust.artifacts import collect, save_attacked
from medrobust.assemble import case_digest
from medrobust.cell import Cell, Configured
from medrobust.cli.app import call
from medrobust.errors import DataError, SpecError, StoreError
from medrobust.provenance import Statement, write_dicom, write_png
from medrobust.reader_study.draw import draw
from medrobust.reader_study.folders import from_folders
from medrobust.reader_study.key import ORIGINAL, TAMPERED, Key, read_key
from medrobust.reader_study.make import make
from medrobust.reader_study.subjects import Subject, from_run
from medrobust.store import CellFolder, State, create_or_open
from medrobust.types import Attacked, Batch, Case

# The draw


@settings(deadline=None, max_examples=40)
@given(pairs=st.integers(0, 8), singles=st.integers(0, 8), seed=st.integers(0, 2**32), per_patient=st.integers(1, 4))
def test_a_draw_shows_each_case_once_balanced(pairs: int, singles: int, seed: int, per_patient: int) -> None:
    if not pairs + singles:
        return
    given_ = subjects(24, per_patient=per_patient)
    drawn = draw(given_, pairs, singles, seed)
    assert Counter(len(item.images) for item in drawn.items) == Counter({2: pairs, 1: singles})
    screens = [{one.case for one in item.images} for item in drawn.items]
    assert all(len(cases) == 1 for cases in screens)
    assert len(set().union(*screens)) == pairs + singles
    for item in drawn.items:
        assert [one.image for one in item.images] == [item.item + letter for letter in "AB"[: len(item.images)]]
        if len(item.images) == 2:
            assert {one.version for one in item.images} == {ORIGINAL, TAMPERED}
    known = {one.case: one for one in given_}
    every = [one for item in drawn.items for one in item.images]
    for one in every:
        subject = known[one.case]
        right = subject.original if one.version == ORIGINAL else next(v.pixels for v in subject.versions if v.condition == one.condition)
        assert np.array_equal(drawn.pixels[one.image], right)
        assert one.target == (one.truth if one.version == ORIGINAL else 1 - one.truth)
    lefts = sum(item.images[0].version == ORIGINAL for item in drawn.items if len(item.images) == 2)
    assert abs(lefts - pairs / 2) <= 0.5
    versions = Counter(item.images[0].version for item in drawn.items if len(item.images) == 1)
    assert abs(versions[ORIGINAL] - versions[TAMPERED]) <= 1
    truths = Counter(known[next(iter(cases))].truth for cases in screens)
    assert abs(truths[0] - truths[1]) <= 1
    conditions = Counter(one.condition for one in every if one.version == TAMPERED)
    assert max(conditions.values(), default=0) - min(conditions.values(), default=0) <= 2 or len(conditions) < 2


def test_patients_not_seen_yet_come_first() -> None:
    drawn = draw(subjects(24, per_patient=4), 0, 6, 3)
    assert len({item.images[0].patient for item in drawn.items}) == 6


def test_the_seed_alone_decides() -> None:
    given_ = subjects()
    first, again, other = draw(given_, 4, 4, 7), draw(given_[::-1], 4, 4, 7), draw(given_, 4, 4, 8)
    assert first.items == again.items
    assert first.items != other.items


def test_the_order_of_items_says_nothing_of_pairs_singles_or_truth() -> None:
    kinds = ["".join(str(len(item.images)) for item in draw(subjects(), 6, 6, seed).items) for seed in range(20)]
    assert len(set(kinds)) > 15


@pytest.mark.parametrize(("pairs", "singles"), [(0, 0), (-1, 4), (10, 7)])
def test_a_draw_that_cannot_be_made_is_one_line(pairs: int, singles: int) -> None:
    with pytest.raises(SpecError, match=r"^reader-study: found .*, expected .*$"):
        draw(subjects(), pairs, singles, 0)


def test_one_class_alone_is_taken_where_there_is_no_other() -> None:
    drawn = draw([one for one in subjects() if one.truth], 3, 3, 0)
    assert {one.truth for item in drawn.items for one in item.images} == {1}


# The page


class Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append((self.found[-1][0] if self.found else "", data))


def told(page: Path) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="study-data">(.*?)</script>', page.read_text(), re.S)
    return dict(json.loads(text))


def test_the_page_knows_names_and_pixels_and_nothing_else(tmp_path: Path) -> None:
    study, key = made(tmp_path)
    page = study.page.read_text()
    content = told(study.page)
    assert set(content) == {"format", "study", "commitment", "items"}
    assert (content["study"], content["commitment"]) == (key.study, key.commitment)
    for item, expected in zip(content["items"], key.items, strict=True):
        assert set(item) == {"item", "images"}
        for image, shown in zip(item["images"], expected.images, strict=True):
            assert set(image) == {"image", "src"}
            with Image.open(io.BytesIO(base64.b64decode(image["src"].removeprefix("data:image/png;base64,")))) as opened:
                assert opened.info == {}, "metadata would tell"
                assert hashlib.sha256(np.asarray(opened).tobytes()).hexdigest() == shown.pixels
    without = re.sub(r'"src": "[^"]*"', "", page)
    for secret in ("case-", "patient-", key.salt, "35000", "70000", "said of", "made", *(shown.pixels for shown in key.images.values())):
        assert secret not in without.replace("made for", ""), secret
    assert all(key.images[name].statement for name in key.images if key.images[name].version == TAMPERED), "the key names each"


def test_the_page_asks_for_nothing_and_runs_nothing_but_its_own(tmp_path: Path) -> None:
    study, _ = made(tmp_path)
    page = Elements(study.page.read_text())
    policies = [attributes["content"] for tag, attributes in page.found if attributes.get("http-equiv") == "Content-Security-Policy"]
    (policy,) = policies
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:; script-src 'sha256-")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", study.page.read_text(), re.S)
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy
    for _, attributes in page.found:
        assert not any(name.startswith("on") or name == "style" for name in attributes)
        assert (attributes.get("src") or attributes.get("href") or "data:").startswith("data:")
    assert not re.search(r"https?://|\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|@import|url\(", study.page.read_text())
    assert any("modified by computer" in data for _, data in page.texts), "the page says so as a whole"


HOSTILE = ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "</title></script><b>", "{{ 7 * 7 }}{% raw %}", "&lt;b&gt;"]


@pytest.mark.parametrize("title", HOSTILE)
def test_a_hostile_title_is_text(tmp_path: Path, title: str) -> None:
    study, _ = made(tmp_path, title=title)
    page = Elements(study.page.read_text())
    assert sum(tag == "script" for tag, _ in page.found) == 2
    assert not any(tag in {"img", "b"} for tag, _ in page.found)
    assert "".join(data for tag, data in page.texts if tag == "h1").startswith(title)


def test_equal_seed_and_salt_give_equal_bytes_and_a_fresh_salt_another_study(tmp_path: Path) -> None:
    first, again = made(tmp_path / "a"), made(tmp_path / "b")
    assert first[0].page.read_bytes() == again[0].page.read_bytes()
    assert first[0].key.read_bytes() == again[0].key.read_bytes()
    other = made(tmp_path / "c", salt=None)[1]
    assert other.items == first[1].items
    assert other.commitment != first[1].commitment
    assert len(other.salt) == 64


def test_a_seed_that_nobody_gave_is_random(tmp_path: Path) -> None:
    seeds = {read_key(make(subjects(), {}, tmp_path / name, 3, 3).key).seed for name in "ab"}
    assert len(seeds) == 2
    assert min(seeds) > 2**32, "small seeds can be tried"


# The key


def test_a_key_reads_back_and_is_its_owners_alone(tmp_path: Path) -> None:
    study, key = made(tmp_path)
    assert stat.S_IMODE(study.key.stat().st_mode) == 0o600
    assert study.key.parent.name == "sealed"
    assert key.salt == SALT
    assert key.conditions == ("step 35000", "step 70000")
    assert key.study == key.commitment[:12]


def changes() -> list[tuple[str, Any]]:
    return [("seed", 2), ("title", "other"), ("salt", "00"), ("source", {}), ("commitment", "0" * 64), ("study", "0" * 12)]


@pytest.mark.parametrize(("field", "value"), changes())
def test_a_key_that_was_changed_is_refused(tmp_path: Path, field: str, value: object) -> None:
    study, _ = made(tmp_path)
    content = json.loads(study.key.read_text())
    study.key.write_text(json.dumps({**content, field: value}))
    with pytest.raises(DataError, match=r"commitment: found a key that gives .* it was changed after the study was made"):
        read_key(study.key)


def test_a_key_with_one_truth_turned_is_refused(tmp_path: Path) -> None:
    study, _ = made(tmp_path)
    content = json.loads(study.key.read_text())
    content["items"][0]["images"][0]["truth"] ^= 1
    study.key.write_text(json.dumps(content))
    with pytest.raises(DataError, match="commitment"):
        read_key(study.key)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": "medrobust reader study key 1"}', "[" * 100_000, "\x00"])
def test_what_is_no_key_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"key\.json: ") as caught:
        read_key(path)
    assert "\n" not in str(caught.value)


def test_a_study_is_never_written_over(tmp_path: Path) -> None:
    study, key = made(tmp_path)
    with pytest.raises(StoreError, match="found a study that is there already"):
        made(tmp_path, seed=2)
    assert read_key(study.key) == key


def test_conditions_go_from_the_earliest_checkpoint() -> None:
    drawn = draw(subjects(steps=(None, 9, 100)), 8, 0, 0)
    assert Key("", SALT, 0, {}, drawn.items).conditions == ("step 9", "step 100", "tampered")


# Subjects from folders


def folders(tmp_path: Path, lines: str, names: tuple[str, ...] = ("a.png", "b.png")) -> tuple[Path, Path, Path]:
    for folder, value in (("originals", 40), ("tampered", 90)):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in names:
            Image.fromarray(np.full((12, 10), value, dtype=np.uint8) + np.arange(10, dtype=np.uint8)).save(tmp_path / folder / name)
    (tmp_path / "truths.csv").write_text(lines)
    return tmp_path / "originals", tmp_path / "tampered", tmp_path / "truths.csv"


def test_folders_of_png_give_subjects(tmp_path: Path) -> None:
    found, source = from_folders(*folders(tmp_path, "image,truth,patient,checkpoint\na.png,0,p1,35000\nb.png,1,p1,\n"))
    assert [(one.case, one.patient, one.truth) for one in found] == [("a.png", "p1", 0), ("b.png", "p1", 1)]
    versions = [one.versions[0] for one in found]
    assert [(one.direction, one.target, one.checkpoint) for one in versions] == [("inject", 1, 35000), ("remove", 0, None)]
    assert (int(found[0].original.min()), int(found[0].versions[0].pixels.max())) == (0, 255), "one span for both"
    assert "truths" in source


def test_folders_of_dicom_give_subjects(tmp_path: Path) -> None:
    said = Statement("x", "0" * 12, "c", "p", "d")
    plane = np.linspace(0, 1, 120).reshape(12, 10)
    for folder, values in (("originals", plane), ("tampered", plane[::-1])):
        write_dicom(tmp_path / folder / "a.dcm", values, (0, 1), said)
        write_png(tmp_path / folder / "b.png", values, (0, 1), said)
    (tmp_path / "truths.csv").write_text("image,truth\na.dcm,0\nb.png,1\n")
    found, _ = from_folders(tmp_path / "originals", tmp_path / "tampered", tmp_path / "truths.csv")
    expected = (plane * 255).round().astype(np.uint8)
    assert all(np.array_equal(one.original, expected) and np.array_equal(one.versions[0].pixels, expected[::-1]) for one in found)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("image\na.png\n", "found columns image; expected image, truth"),
        ("image,truth,colour\na.png,0,x\n", "found columns image, truth, colour"),
        ("image,truth\n", "found no line"),
        ("image,truth\na.png,2\n", "truths.csv:2: truth: found '2', expected 0 or 1"),
        ("image,truth\n../truths.csv,0\n", "found '../truths.csv', expected the name of a file"),
        ("image,truth\nc.png,0\n", "found 'c.png'"),
        ("image,truth,checkpoint\na.png,0,early\n", "checkpoint: found 'early', expected a whole number or nothing"),
        ("image,truth\na.png,0\na.png,0\n", "each once"),
        ("image,truth\nbad.png,0\n", "expected a readable PNG or DICOM file"),
        ("image,truth\ncolour.png,0\n", "found pixels of shape (12, 10, 3), expected one grey plane"),
        ("image,truth,tampered\na.png,0,small.png\n", "expected the same"),
    ],
)
def test_folders_that_cannot_be_used_are_one_line(tmp_path: Path, lines: str, said: str) -> None:
    paths = folders(tmp_path, lines)
    (paths[0] / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (paths[1] / "bad.png").write_bytes(b"")
    colour = np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8)
    for folder in paths[:2]:
        Image.fromarray(colour).save(folder / "colour.png")
        Image.fromarray(colour[:9, :9, 0]).save(folder / "small.png")
    with pytest.raises(DataError) as caught:
        from_folders(*paths)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


# Subjects from a run


class Made:
    """Six images of three patients, as a data set."""

    digest = "d" * 12
    listed = tuple(Case(f"case/{index}", f"p{index // 2}", f"case/{index}") for index in range(6))

    def cases(self, split: str) -> tuple[Case, ...]:
        return self.listed

    def load(self, cases: tuple[Case, ...]) -> Batch:
        names = [case.case for case in self.listed]
        at = torch.tensor([names.index(case.case) for case in cases])
        image = -1 + 2 * torch.rand(6, 1, 16, 12, generator=torch.Generator().manual_seed(0))
        return Batch(image[at], at % 2, tuple(cases))


def a_run(out: Path, options: tuple[dict[str, Any], ...], truth: torch.dtype = torch.int64) -> Path:
    """A run directory with one cell of stored images an attack."""
    data = Made()
    cells = []
    for index, option in enumerate(options):
        columns = {"target": "reader", "defense": "none", "attack": f"cyclegan-{index}"}
        configured = {name: Configured(name) for name in ("mammograms", "reader", "budget")}
        data_of = (configured["mammograms"], data.digest, "mammograms", "test", None, 6, case_digest(data.listed))
        tried = (configured["reader"], "t" * 12, None, Configured("cyclegan", options=option), configured["budget"], ())
        cells.append(Cell("mammo", "all", 0, *data_of, *tried, columns, store=True))
    run = create_or_open("made", {}, cells, out)
    batch = data.load(data.listed)
    for index, cell in enumerate(cells):
        folder = CellFolder(run.path / "cells" / cell.digest, cell)
        save_attacked(folder.path, batch, Attacked(batch.image.roll(1 + index, 2)))
        folder.write(State(status="done", artifact=collect(folder.stored, data.listed)))
    return run.path


def test_a_run_gives_its_stored_images_as_subjects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_run(tmp_path, ({"direction": "tamper", "step": 35000}, {"direction": "inject", "step": None, "training": {"steps": 70000}}))
    monkeypatch.setattr(tampered, "build", lambda *_: Made())
    found, source = from_run(path)
    assert [one.case for one in found] == [case.case for case in Made.listed]
    clean = Made().load(Made.listed).image
    for index, one in enumerate(found):
        early, late = one.versions
        assert (early.checkpoint, early.direction, early.target) == (35000, ("inject", "remove")[index % 2], 1 - index % 2)
        assert (late.checkpoint, late.direction, late.target) == (70000, "inject", 1)
        low, high = float(clean[index].min()), float(clean[index].max())
        expected = ((clean[index, 0].numpy() - low) / (high - low) * 255).round().astype(np.uint8)
        assert np.abs(one.original.astype(int) - expected).max() <= 1
        assert np.array_equal(early.pixels, np.roll(one.original, 1, 0))
        assert "cyclegan-0" in early.statement
    assert source["data"] == "mammograms"
    assert len(source["cells"]) == 2
    assert [one.versions[0].condition for one in from_run(path, ["cyclegan-1"])[0]] == ["cyclegan-1"] * 6


def test_a_run_of_another_task_or_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_run(tmp_path, ({"direction": "tamper"},))
    data = Made()
    monkeypatch.setattr(tampered, "build", lambda *_: data)
    whole = data.load(data.listed)
    monkeypatch.setattr(data, "load", lambda cases: replace(whole, truth=whole.image), raising=False)
    with pytest.raises(StoreError, match="found no truth of 0 or 1, expected a run of a classification task"):
        from_run(path)
    monkeypatch.setattr(data, "digest", "e" * 12, raising=False)
    with pytest.raises(Exception, match="found digest eeeeeeeeeeee, expected dddddddddddd"):
        from_run(path)


# The verb


def test_the_verb_makes_a_study_from_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tuple(f"{index}.png" for index in range(8))
    lines = "image,truth\n" + "".join(f"{name},{index % 2}\n" for index, name in enumerate(names))
    originals, changed, truths = folders(tmp_path, lines, names)
    given_ = ["--originals", str(originals), "--tampered", str(changed), "--truths", str(truths)]
    assert call(["reader-study", "make", *given_, "--out", str(tmp_path / "out"), "--pairs", "4", "--singles", "4", "--title", "T"]) == 0
    text = capsys.readouterr().out
    assert "4 pairs and 4 single images, 6 original (3 healthy, 3 cancerous), 6 tampered (3 healthy, 3 cancerous), 8 patients" in text
    key = read_key(tmp_path / "out" / "sealed" / "key.json")
    assert key.title == "T"
    assert told(tmp_path / "out" / "study.html")["study"] == key.study
    assert call(["reader-study", "make", *given_[:4], "--out", str(tmp_path / "other")]) == 1
    assert "expected either a RUN, or --originals, --tampered and --truths" in capsys.readouterr().err


def test_subjects_may_be_of_any_kind_that_has_pixels(tmp_path: Path) -> None:
    one = Subject("c", "p", 0, np.zeros((9, 9), dtype=np.uint8), subjects(1, (9, 9), (None,))[0].versions)
    assert len(made(tmp_path, 1, 0, subjects=[one])[1].images) == 2


@pytest.mark.parametrize("arguments", ["reader-study --help", "reader-study make --help", "reader-study score --help", "images --help"])
def test_help_imports_no_torch(arguments: str) -> None:
    heavy = "sorted({'torch', 'numpy', 'pandas'} & set(sys.modules))"
    code = f"import sys\nfrom medrobust.cli.app import call\nprint(call({arguments.split()!r}), {heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_scoring_imports_no_torch() -> None:
    code = "import sys, medrobust.reader_study.score, medrobust.reader_study.folders, medrobust.reader_study.make; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "False"
