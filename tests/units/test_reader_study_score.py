"""Returned files: taken as they are, refused in one line, and measured as the statistics say."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from studies import answers, csv_text, fooled, imrmc_text, made, sealed, subjects, write

from medrobust.cli.app import call
from medrobust.errors import DataError
from medrobust.leaderboard.render.markdown import table_text
from medrobust.reader_study.areas import Samples, all_readers, one_reader
from medrobust.reader_study.check import collected
from medrobust.reader_study.curves import roc
from medrobust.reader_study.key import TAMPERED, Key, Shown
from medrobust.reader_study.returned import BIGGEST, LONGEST, Returned, contained, read
from medrobust.reader_study.score import ScoredStudy, score
from medrobust.stats.auc import auc
from medrobust.stats.delong import delong_chance, delong_partially_paired
from medrobust.stats.obuchowski_rockette import obuchowski_rockette
from medrobust.stats.placements import Scored


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Key]:
    done, key = made(tmp_path_factory.mktemp("study"))
    return done.key, key


# Reading


def test_the_three_forms_say_the_same(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    content = answers(key, "Dr. Æ, O'Neil")
    (tmp_path / "a.csv").write_text(csv_text(content))
    (tmp_path / "excel.csv").write_text("\ufeff" + csv_text(content).replace("\n", "\r\n"), encoding="utf-8")
    (tmp_path / "a.txt").write_text(imrmc_text({**content, "reader": {"name": "Dr. Æ"}}))
    (plain,), (table,), (excel,), (text,) = (
        read(write(tmp_path / "a.json", content)), read(tmp_path / "a.csv"), read(tmp_path / "excel.csv"), read(tmp_path / "a.txt")
    )  # fmt: skip
    assert plain.ratings == table.ratings == excel.ratings == text.ratings
    assert plain.seconds == table.seconds
    assert plain.reader == table.reader == excel.reader
    assert plain.sum() == table.sum() == excel.sum() == plain.checksum == excel.checksum
    assert text.checksum is None


def test_a_spreadsheet_that_pads_and_quotes_changes_nothing(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    lines = csv_text(answers(key)).splitlines()
    padded = [f'"{line}";;;' if line.startswith("#") else line.replace(",", ";") for line in lines]
    (tmp_path / "a.csv").write_text("\n".join(padded))
    (found,) = read(tmp_path / "a.csv")
    assert found.sum() == found.checksum


def test_imrmc_text_may_hold_several_readers(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    rows = [imrmc_text(answers(key, name, seed=seed)) for seed, name in enumerate(("R1", "R2"))]
    (tmp_path / "a.txt").write_text(rows[0] + rows[1].partition("BEGIN DATA:\n")[2])
    found, notes = collected(key, [tmp_path / "a.txt"])
    assert [one.reader.name for one in found] == ["R1", "R2"]
    assert all("no checksum" in note for note in notes)


# Refusing

Change = Callable[[dict[str, Any]], object]


def altered(content: dict[str, Any]) -> None:
    content["answers"][3]["malignancy"] = (content["answers"][3]["malignancy"] + 50) % 101


def first(**fields: object) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["answers"][0].update(fields)

    return change


CHANGES: dict[str, tuple[Change, str]] = {
    "altered": (altered, r"checksum: found '[0-9a-f]{12}', expected '[0-9a-f]{12}': the answers were altered after they were saved"),
    "renamed": (lambda c: c["reader"].update(name="Somebody else"), "checksum: "),
    "unsealed": (lambda c: c.pop("checksum"), "checksum: found 'None'"),
    "another study": (lambda c: c.update(study="0" * 12), "study: found '000000000000', expected '.*': the answers are to another study"),
    "swapped key": (lambda c: c.update(commitment="0" * 64), "commitment: found '0{64}', expected '.*': the key or the answers were changed"),
    "another format": (lambda c: c.update(format="x"), "format: found 'x', expected 'medrobust reader study answers 1'"),
    "above the scale": (first(malignancy=101), "malignancy of image 01A: found '101', expected a number from 0 to 100"),
    "below the scale": (first(tampering=-1), "tampering of image 01A: found '-1', expected a number from 0 to 100"),
    "not a number": (first(malignancy="<b>"), "malignancy of image 01A: found '<b>'"),
    "true": (first(malignancy=True), "malignancy of image 01A: found 'True'"),
    "infinite": (first(malignancy=1e999), "malignancy of image 01A: found 'inf'"),
    "not a number at all": (first(tampering=float("nan")), "tampering of image 01A: found 'nan'"),
    "a list": (first(tampering=[1]), "tampering of image 01A: found"),
    "negative time": (first(item_ms=-5), "item_ms of image 01A: found '-5', expected a number, 0 or more"),
    "twice": (lambda c: c["answers"].append(dict(c["answers"][0])), "image: found '01A' twice, expected each image of the study once"),
    "unknown image": (first(image="99Z"), "checksum|image: found '99Z'"),
    "no image": (first(image=None), "image: found 'None'"),
    "nameless": (lambda c: c["reader"].update(name=" "), "name: found none"),
    "no reader": (lambda c: c.pop("reader"), "answers: found no reader or no list of answers"),
    "a reader of numbers": (lambda c: c["reader"].update(name=7), "name: found int, expected text"),
    "half a year": (lambda c: c["reader"].update(years=1.5), "years: found 1.5, expected a whole number"),
    "no rows": (lambda c: c.update(answers="x"), "answers: "),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_refused_in_one_line(study: tuple[Path, Key], tmp_path: Path, name: str) -> None:
    _, key = study
    content = answers(key)
    change, said = CHANGES[name]
    change(content)
    path = write(tmp_path / "back.json", content)
    with pytest.raises(DataError, match=said) as caught:
        collected(key, [path])
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_an_image_of_another_study_is_refused_even_under_a_right_checksum(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    content = answers(key)
    content["answers"][0]["image"] = "99Z"
    with pytest.raises(DataError, match="image: found '99Z', expected images of the study, 01A to 14"):
        collected(key, [write(tmp_path / "a.json", sealed(content))])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "format: found none"),
        (b"\xff\xfe\x00", "bytes that are no UTF-8"),
        (b"{", "expected JSON as the study's page saves it"),
        (b'{"a":' * 100_000, "RecursionError"),
        (b'{"study": "a", "study": "b"}', "a name stands twice in one object"),
        (b'{"reader": {"years": ' + b"9" * 5000 + b"}}", "expected JSON"),
        (b"BEGIN DATA:\nR1,01A,malignancy\n", "line 1 of the data: found R1,01A,malignancy, expected reader,image,malignancy or tampering,score"),
        (b"BEGIN DATA:\nR1,01A,malignancy,1\nR1,01A,malignancy,2\n", "image 01A: found malignancy twice"),
        (b"BEGIN DATA:\n", "answers: found none"),
        (b'# format: x\nimage,"malig\n', "file: found|format"),
        (b" " * (BIGGEST + 1), f"found {BIGGEST + 1} bytes, expected a file of at most {BIGGEST} bytes"),
    ],
)
def test_what_is_no_returned_file_is_one_line(study: tuple[Path, Key], tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "back.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        collected(study[1], [path])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_missing_file_is_one_line(study: tuple[Path, Key], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file: found none"):
        collected(study[1], [tmp_path / "no.json"])


def test_nothing_returned_is_one_line(study: tuple[Path, Key], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="found no returned file, expected one or more"):
        collected(study[1], [tmp_path])


def test_a_reader_or_answers_that_come_twice_are_refused(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    one = write(tmp_path / "a.json", answers(key, "R1"))
    spelt = write(tmp_path / "b.json", answers(key, "  r\uff11 ", seed=1))
    copied = write(tmp_path / "c.json", answers(key, "R2"))
    with pytest.raises(DataError) as caught:
        collected(key, [one, spelt, copied, one])
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert re.search(r"b\.json: name: found .* again, expected a reader once; a\.json is that reader's, too", lines[0])
    assert re.search(r"c\.json: answers: found the same as in a\.json, expected each reader's own", lines[1])
    assert "a.json: name: found 'R1' again" in lines[2]


def test_every_bad_file_has_its_line_and_nothing_is_scored(study: tuple[Path, Key], tmp_path: Path) -> None:
    sealed_key, key = study
    write(tmp_path / "good.json", answers(key, "R1"))
    for name in ("altered", "another study", "true"):
        content = answers(key, name)
        CHANGES[name][0](content)
        write(tmp_path / f"{name}.json", content)
    with pytest.raises(DataError) as caught:
        score(sealed_key, [tmp_path])
    assert len(str(caught.value).splitlines()) == 3


def test_an_incomplete_file_is_refused_unless_asked(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    content = answers(key)
    content["answers"] = content["answers"][2:]
    content["answers"][0]["malignancy"] = None
    gone = list(key.images)[:2]
    path = write(tmp_path / "a.json", sealed(content))
    whole = 2 * len(key.images)
    expected = f"answers: found {whole - 5} ratings, without {gone[0]} malignancy, {gone[0]} tampering, {gone[1]} malignancy, {gone[1]} tampering, "
    with pytest.raises(DataError, match=re.escape(expected)):
        collected(key, [path])
    (found,), notes = collected(key, [path], allow_incomplete=True)
    assert len(found.ratings) == len(key.images) - 2
    assert any("5 ratings are missing; scored on what there is" in note for note in notes)
    one = one_reader(key, found, "R1")
    rated = len(one.samples.originals.scores) + len(one.samples.tampered["target"].scores)
    assert rated == len(key.images) - 3


# Measuring


def perfect(shown: Shown, _: np.random.Generator) -> tuple[int, int]:
    """Sees the truth under everything, and every modification."""
    return 90 * shown.truth, 100 * (shown.version == TAMPERED)


def deceived(shown: Shown, _: np.random.Generator) -> tuple[int, int]:
    """Believes what an image was made to show, and takes modified ones for genuine."""
    return 90 * shown.target, 100 * (shown.version != TAMPERED)


def taken(key: Key, path: Path, *given: Mapping[str, Any]) -> list[Returned]:
    return collected(key, [write(path / f"{index}.json", content) for index, content in enumerate(given)])[0]


def test_rules_of_reading_have_the_areas_that_they_must(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    found = [one_reader(key, one, one.reader.name) for one in taken(key, tmp_path, answers(key, "p", perfect), answers(key, "d", deceived))]
    for one, areas in zip(found, [(1, 1, 0, 1), (1, 0, 1, 0)], strict=True):
        detection = one.detection[""].first
        assert (one.originals.auc, one.tampered["original"].auc, one.tampered["target"].auc, detection.auc) == areas
    assert found[1].compared["original"].difference.estimate == 1
    assert found[1].compared["target"].difference.estimate == 0


def test_areas_and_tests_are_those_of_the_statistics(study: tuple[Path, Key], tmp_path: Path) -> None:
    """Against arrays made from the key by hand."""
    _, key = study
    content = answers(key, "R1", seed=5)
    (returned,) = taken(key, tmp_path, content)
    found = one_reader(key, returned, "R1")
    rated = {row["image"]: row for row in content["answers"]}
    shown = list(key.images.values())
    original, changed = [one for one in shown if one.version != TAMPERED], [one for one in shown if one.version == TAMPERED]

    def sample(rows: list[Shown], truth: str) -> Scored:
        scores = [rated[one.image]["malignancy"] for one in rows]
        return Scored.of(scores, [getattr(one, truth) for one in rows], [one.case for one in rows], [one.patient for one in rows])

    by_hand = auc([rated[one.image]["malignancy"] for one in original], [one.truth for one in original])
    assert found.originals.auc == pytest.approx(by_hand)
    for convention, truth in (("original", "truth"), ("target", "target")):
        expected = delong_partially_paired(sample(original, "truth"), sample(changed, truth))
        assert found.compared[convention].p == expected.p
        assert found.compared[convention].design == "partially paired"
        assert found.compared[convention].shared == len({one.case for one in original} & {one.case for one in changed}) == 6
    tampering = [rated[one.image]["tampering"] for one in shown]
    seen = delong_chance(tampering, [one.version == TAMPERED for one in shown], [one.patient for one in shown])
    assert found.detection[""].p == seen.p
    assert found.detection[""].first == seen.first
    apart = delong_chance(tampering, [one.version == TAMPERED for one in shown])
    assert seen.first.variance != apart.first.variance, "the two images of a pair are not independent"
    late = [one for one in shown if one.version != TAMPERED or one.condition == "step 70000"]
    by_hand = auc([rated[one.image]["tampering"] for one in late], [one.version == TAMPERED for one in late])
    assert found.detection["step 70000"].first.auc == pytest.approx(by_hand)
    assert found.later is not None
    areas = [found.detection[f"step {step}"].first.auc for step in (70000, 35000)]
    assert found.later.difference.estimate == pytest.approx(areas[0] - areas[1])


def test_over_readers_stands_obuchowski_and_rockette(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    found = taken(key, tmp_path, *(answers(key, f"R{seed}", seed=seed) for seed in range(3)))
    readers = [one_reader(key, one, one.reader.name) for one in found]
    mean = all_readers(key, readers)
    assert mean is not None
    rows = [
        (one.ratings[image.image]["malignancy"], image.target, image.version, one.reader.name, image.case, image.patient)
        for one in found
        for image in key.images.values()
    ]
    scores, truth, version, reader, case, patient = map(list, zip(*rows, strict=True))
    order = sorted(range(len(scores)), key=lambda index: version[index])
    expected = obuchowski_rockette(*([column[index] for index in order] for column in (scores, truth, version, reader, case, patient)))
    assert mean.compared["target"].p == pytest.approx(expected.p)
    assert mean.compared["target"].differences[0].area.estimate == pytest.approx(expected.differences[0].area.estimate)
    assert mean.conditions is not None
    assert mean.conditions.modalities == ("step 70000", "step 35000")
    assert all_readers(key, readers[:1]) is None


def test_cases_are_paired_and_images_are_not_confused(study: tuple[Path, Key], tmp_path: Path) -> None:
    _, key = study
    (one,) = taken(key, tmp_path, answers(key))
    samples = Samples.of(key, one)
    assert len(samples.detection[""].scores) == len(key.images) == 20
    assert len(set(samples.detection[""].patients.tolist())) == 14


def test_the_curve_passes_through_every_threshold() -> None:
    sample = Scored.of([3, 1, 2, 2, 1], [1, 0, 1, 0, 0], list("abcde"))
    assert roc(sample).tolist() == [[0, 0], [0, 0.5], [pytest.approx(1 / 3), 1], [1, 1]]
    corners = roc(sample)
    assert np.trapezoid(corners[:, 1], corners[:, 0]) == pytest.approx(auc(sample.scores, sample.positive))


# Showing

HOSTILE = [
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "a\nb\x00\x1b[31m\u202egnp",
    "x" * 300,
    "| `md` [x](javascript:alert(1)) |",
    "BEGIN DATA: NR: 7, truth",
    "$\\frac{1}{0}$ &amp; {{ 7 * 7 }}",
]


@pytest.fixture(scope="module")
def hostile(study: tuple[Path, Key], tmp_path_factory: pytest.TempPathFactory) -> tuple[ScoredStudy, Path]:
    sealed_key, key = study
    folder = tmp_path_factory.mktemp("hostile")
    paths = [write(folder / f"{index}.json", answers(key, name, seed=index, role=name)) for index, name in enumerate(HOSTILE)]
    scored = score(sealed_key, paths)
    scored.write(folder / "out")
    return scored, folder / "out"


def test_everything_is_written(hostile: tuple[ScoredStudy, Path]) -> None:
    names = {path.name for path in hostile[1].iterdir()}
    assert names == {
        "tables.md", "tables.csv", "tables.json", "roc.svg", "roc.png", "imrmc-original-label.txt", "imrmc-target-label.txt", "imrmc-detection.txt"
    }  # fmt: skip


def test_hostile_names_are_contained_everywhere(hostile: tuple[ScoredStudy, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, out = hostile
    for path in out.iterdir():
        if path.suffix == ".png":
            continue
        text = path.read_text()
        assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", text), path
        assert "x" * (LONGEST + 1) not in text, path
    assert "<script>" not in (out / "tables.md").read_text()
    root = ET.fromstring((out / "roc.svg").read_text())  # noqa: S314 - our own file
    assert not [one for one in root.iter() if one.tag.endswith("script")]
    for row in csv.reader(io.StringIO((out / "tables.csv").read_text())):
        assert not any(field.startswith(("=", "+", "@")) for field in row)
    json.loads((out / "tables.json").read_text())
    for path in out.glob("imrmc-*.txt"):
        assert path.read_text().count("BEGIN DATA:") == 1


def test_imrmc_text_defines_each_truth_once_and_every_reading(hostile: tuple[ScoredStudy, Path], study: tuple[Path, Key]) -> None:
    _, key = study
    original = sum(one.version != TAMPERED for one in key.images.values())
    cases = {"original-label": 14, "target-label": 20, "detection": 20}
    for name, number in cases.items():
        head, _, data = (hostile[1] / f"imrmc-{name}.txt").read_text().partition("BEGIN DATA:\n")
        rows = [line.split(",") for line in data.splitlines()]
        truths = {row[1]: row[3] for row in rows if row[0] == "truth"}
        readings = [row for row in rows if row[0] != "truth"]
        assert len(truths) == sum(row[0] == "truth" for row in rows) == number
        assert len(readings) == len(HOSTILE) * len(key.images)
        assert {row[1] for row in readings} == set(truths)
        assert f"NR: {len(HOSTILE)}\n" in head
        assert f"N0: {sum(value == '0' for value in truths.values())}\n" in head
        assert f"NM: {len({row[2] for row in readings})}\n" in head
        if name != "detection":
            assert sum(row[2] == "original" for row in readings) == len(HOSTILE) * original


def test_our_own_imrmc_text_gives_the_same_areas(hostile: tuple[ScoredStudy, Path]) -> None:
    """Read back by the format alone."""
    scored, out = hostile
    for name, modality, column in (("target-label", "tampered", 1), ("original-label", "tampered", 1), ("original-label", "original", 0)):
        rows = [line.split(",") for line in (out / f"imrmc-{name}.txt").read_text().partition("BEGIN DATA:\n")[2].splitlines()]
        truth = {row[1]: int(row[3]) for row in rows if row[0] == "truth"}
        label = {"target-label": "as intended", "original-label": "as before"}[name]
        lines = [line for line in scored.tables[0].lines if line.labels[0] == label][: len(HOSTILE)]
        for index, line in enumerate(lines, 1):
            read_back = [row for row in rows if row[0] == f"R{index}" and row[2] == modality]
            assert auc([float(row[3]) for row in read_back], [truth[row[1]] for row in read_back]) == pytest.approx(line.entries[column].estimate)


def test_tables_have_the_papers_columns(study: tuple[Path, Key], tmp_path: Path, hostile: tuple[ScoredStudy, Path]) -> None:
    areas = hostile[0].tables[0]
    assert [column.name for column in areas.columns] == ["Original", "Modified", "Detection step 35000", "Detection step 70000"]
    assert len(areas.lines) == 2 * (len(HOSTILE) + 1)
    done, key = made(tmp_path / "one", subjects=subjects(steps=(None,)))
    single = score(done.key, [write(tmp_path / "a.json", answers(key))])
    assert [column.name for column in single.tables[0].columns] == ["Original", "Modified", "Detection"]
    assert len(single.tables[0].lines) == 2
    assert not any("all readers" in line.labels for table in single.tables for line in table.lines)
    for table in hostile[0].tables:
        assert "\n| " in table_text(table)
    for line in areas.lines:
        for entry in line.entries:
            assert entry.estimate is not None
            assert entry.low is not None
            assert entry.high is not None
            assert 0 <= entry.low <= entry.estimate <= entry.high <= 1


def test_a_class_that_is_missing_is_said_not_nan(tmp_path: Path) -> None:
    done, key = made(tmp_path, 4, 0, subjects=[one for one in subjects() if one.truth])
    scored = score(done.key, [write(tmp_path / "a.json", answers(key)), write(tmp_path / "b.json", answers(key, "R2", seed=1))])
    entry = scored.tables[0].lines[0].entries[0]
    assert (entry.estimate, entry.note) == (None, "undefined")
    assert "no negative case" in str(entry.validity.reasons)
    assert "nan" not in scored.json_text.lower()
    scored.write(tmp_path / "out")


def test_a_study_without_a_tampered_image_is_scored_as_far_as_it_goes(tmp_path: Path) -> None:
    done, key = made(tmp_path, 0, 1)
    scored = score(done.key, [write(tmp_path / "a.json", answers(key)), write(tmp_path / "b.json", answers(key, "R2", perfect))])
    assert scored.notes == ("no line over all readers: one of them rated no image of a kind",)
    assert {entry.note for line in scored.tables[0].lines for entry in line.entries} == {"undefined"}
    scored.write(tmp_path / "out")


@pytest.mark.parametrize(("text", "expected"), [("a\nb", "a b"), ("\u202ea", "\\u202ea"), ("x" * 300, "x" * (LONGEST - 1) + "…"), ("  a  b ", "a b")])
def test_strangers_text_is_contained(text: str, expected: str) -> None:
    assert contained(text) == expected


def test_the_verb_prints_tables_and_refuses_in_lines(study: tuple[Path, Key], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sealed_key, key = study
    paths = [str(write(tmp_path / f"{seed}.json", answers(key, f"R{seed}", fooled, seed))) for seed in range(2)]
    assert call(["reader-study", "score", str(sealed_key), *paths, "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "Areas of readers, as the paper's table 3" in text
    assert "all readers" in text
    assert call(["reader-study", "score", str(sealed_key), *paths, "--json"]) == 0
    json.loads(capsys.readouterr().out)
    assert call(["reader-study", "score", str(sealed_key), *paths, paths[0]]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    swapped = made(tmp_path / "other")[0].key
    content = json.loads(swapped.read_text())
    swapped.write_text(json.dumps({**content, "seed": 99}))
    assert call(["reader-study", "score", str(swapped), *paths]) == 1
    assert "it was changed after the study was made" in capsys.readouterr().err
