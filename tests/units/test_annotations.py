from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrobust.data.annotations import Box, read_annotations
from medrobust.errors import DataError

PLUS = "file,slice,study_level,x,y,width,height,label\n"
CALIVA = "filename,slice,numBBs,labels,coords\n"

sizes = st.integers(1, 400)
places = st.floats(-100, 400, allow_nan=False)
edges = st.floats(0.125, 200, allow_nan=False)
boxes = st.builds(Box, st.just("f"), st.just(0), places, places, edges, edges, st.just("tear"))


def table(tmp_path, text):
    path = tmp_path / "boxes.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return path


def test_a_fastmri_plus_row_is_flipped_up_and_down_and_its_slice_counts_from_0(tmp_path):
    read = read_annotations(table(tmp_path, PLUS + "file1000001,15,No,100,200,24,16,Meniscus Tear\n"))
    (box,), dropped = read.placed(320, 320)
    assert box == Box("file1000001", 15, 320 - 200 - 16, 100, 16, 24, "Meniscus Tear")
    assert dropped == {}
    assert read.boxes("file1000001", 15, 320, 320) == (box,)
    assert read.boxes("file1000001", 14, 320, 320) == ()


def test_a_caliva_row_counts_slices_from_1_and_gives_both_ends(tmp_path):
    text = CALIVA + "file1000196,26,1,['Med_Men'],[[176.5 234.5 193.75  210.75]]\n"
    (box,), _ = read_annotations(table(tmp_path, text)).placed()
    assert box == Box("file1000196", 25, 320 - 210.75, 176.5, 17.0, 58.0, "Med_Men")


def test_several_boxes_of_a_caliva_row_keep_their_labels(tmp_path):
    text = CALIVA + "f,1,2,['BML_Med_Tib' 'CartMedFem'],\"[[ 10. 30. 100. 140.]\n [ 50. 60. 200. 220.]]\"\nf,2,1,['Cyst'],[[1 2 3 4]]\n"
    read = read_annotations(table(tmp_path, text))
    assert [(box.label, box.slice, box.row, box.column, box.height, box.width) for box in read.placed()[0]] == [
        ("BML_Med_Tib", 0, 180, 10, 40, 20),
        ("CartMedFem", 0, 100, 50, 20, 10),
        ("Cyst", 1, 316, 1, 1, 1),
    ]
    assert read.most == 2


def test_both_tables_agree_on_one_lesion(tmp_path):
    plus = read_annotations(table(tmp_path, PLUS + "f,4,No,50,60,20,30,Cyst\n")).boxes("f", 4, 320, 320)
    caliva = read_annotations(table(tmp_path, CALIVA + "f,5,1,['Cyst'],[[50 70 60 90]]\n")).boxes("f", 4, 320, 320)
    assert plus == caliva


def test_rows_without_a_box_are_dropped_and_counted_by_reason(tmp_path):
    text = (
        PLUS
        + "f,0,Yes,,,,,Motion artifact\nf,1,Yes,,,,,Motion artifact\nf,2,No,10,10,0,5,Cyst\n"
        + "f,3,No,400,10,5,5,Cyst\nf,4,No,310,0,20,5,Joint Effusion \n"
    )
    kept, dropped = read_annotations(table(tmp_path, text)).placed(320, 320)
    assert dropped == {"study level": 2, "zero size": 1, "outside the image": 1}
    assert kept == (Box("f", 4, 315, 310, 5, 10, "Joint Effusion"),)


def test_the_flip_uses_the_height_of_the_image_it_is_asked_for(tmp_path):
    read = read_annotations(table(tmp_path, PLUS + "f.h5,0,No,1,2,3,4,x\n"))
    assert read.boxes("f", 0, 256, 256)[0].row == 250
    assert read.boxes("f", 0, 320, 320)[0].row == 314


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r":1: found columns a, b, expected file,slice"),
        ("", ":1: found columns none"),
        (PLUS + "f,0,No,1,2,3,4,x\nf,one,No,1,2,3,4,x\n", r":3: slice: found 'one', expected an integer of at least 0"),
        (PLUS + "f,-1,No,1,2,3,4,x\n", r":2: slice: found '-1'"),
        (PLUS + "f,0,No,1,,3,4,x\n", r":2: y: found '', expected a number"),
        (PLUS + "f,0,No,1,nan,3,4,x\n", r":2: y: found 'nan', expected a number"),
        (PLUS + "f,0,Maybe,1,2,3,4,x\n", r":2: study_level: found 'Maybe', expected Yes or No"),
        (PLUS + "f,0,No,1,2\n", r":2: found 5 fields, expected 8"),
        (PLUS + "f,0,No,1,2,3,4,x,y\n", r":2: found 9 fields, expected 8"),
        (PLUS + ",0,No,1,2,3,4,x\n", r":2: file: found nothing"),
        (CALIVA + "f,0,1,['a'],[[1 2 3 4]]\n", r":2: slice: found '0', expected an integer of at least 1"),
        (CALIVA + "f,1,2,['a'],[[1 2 3 4]]\n", r":2: found 1 labels and 4 coordinates, expected 2 and 8"),
        (CALIVA + "f,1,1,['a'],[[1 2 3]]\n", r":2: found 1 labels and 3 coordinates"),
        (CALIVA + "f,1,1,['a'],\"[[1 2 3\n 4]]\"\nf,1,1,['a'],[[1 two 3 4]]\n", r":4: coords: found 'two', expected a number"),
    ],
)
def test_a_malformed_row_is_one_line_with_its_line_number(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read_annotations(table(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_or_no_text_is_one_line(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read_annotations(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(DataError, match=r"bytes\.csv"):
        read_annotations(tmp_path / "bytes.csv")


@given(boxes, sizes)
def test_the_flip_is_its_own_inverse(box, rows):
    twice = box.flipped(rows).flipped(rows)
    assert twice.row == pytest.approx(box.row, abs=1e-9)
    assert (twice.column, twice.height, twice.width) == (box.column, box.height, box.width)


@given(boxes, sizes, sizes)
def test_a_clipped_box_lies_in_the_image_and_in_the_box_and_clipping_again_changes_nothing(box, rows, columns):
    clipped = box.clipped(rows, columns)
    outside = box.row >= rows or box.column >= columns or box.row + box.height <= 0 or box.column + box.width <= 0
    assert (clipped is None) == outside
    if clipped is not None:
        assert clipped.row >= max(0, box.row)
        assert clipped.column >= max(0, box.column)
        assert clipped.row + clipped.height <= min(rows, box.row + box.height) + 1e-9
        assert clipped.column + clipped.width <= min(columns, box.column + box.width) + 1e-9
        again = clipped.clipped(rows, columns)
        assert again is not None
        assert (again.row, again.column) == (clipped.row, clipped.column)


@given(st.integers(0, 300), st.integers(1, 20))
def test_a_flipped_box_covers_the_flipped_pixels(row, height):
    import numpy as np

    drawn = np.zeros((320, 4))
    drawn[row : row + height] = 1
    box = Box("f", 0, row, 0, height, 4, "x").flipped(320)
    rows = np.flatnonzero(np.flipud(drawn)[:, 0])
    assert (rows[0], rows[-1] + 1) == (box.row, box.row + box.height)
