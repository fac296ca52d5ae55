"""How people's own labels are read, and what is said of those that are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pictures

from pipeline.benchmark import Truth
from pipeline.benchmark.truths import read
from pipeline.errors import UsageError
from pipeline.records import Box

BOX = Box(left=10, top=20, width=30, height=40)
HEAD = "file,left,top,width,height"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures of 200 by 100 pixels."""
    for name in ("a.png", "b.png"):
        Pictures.new("RGB", (200, 100)).save(tmp_path / name)
    return tmp_path


def table(folder: Path, *lines: str, head: str = HEAD) -> Path:
    path = folder / "labels.csv"
    path.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return path


def coco(folder: Path, **parts: Any) -> Path:
    body = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [{"id": 9, "image_id": 1, "bbox": [10, 20, 30, 40], "category_id": 3}],
        "categories": [{"id": 3, "name": "front"}, {"id": 4, "name": "side"}],
        **parts,
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def test_a_table_is_read(folder: Path) -> None:
    """Rows of one picture belong together; one without numbers has no face; labels are groups."""
    path = table(folder, "a.png,10,20,30,40,easy", "b.png,,,,,empty", "a.png,50,20,30,40,easy", head=HEAD + ",label")

    assert read(path) == [
        Truth(path=folder / "a.png", faces=(BOX, Box(left=50, top=20, width=30, height=40)), group="easy"),
        Truth(path=folder / "b.png", faces=(), group="empty"),
    ]


def test_a_table_needs_no_labels(folder: Path) -> None:
    """Fractions of pixels are rounded; the mark that Excel puts first is no part of a name."""
    path = folder / "labels.csv"
    path.write_text(f"\ufeff{HEAD}\na.png,9.6,20.4,30,40\n", encoding="utf-8")

    assert read(path) == [Truth(path=folder / "a.png", faces=(BOX,))]


def test_different_labels_in_one_picture_make_no_group(folder: Path) -> None:
    """Its wrong boxes could belong to either."""
    path = table(folder, "a.png,10,20,30,40,easy", "a.png,50,20,30,40,hard", head=HEAD + ",label")

    assert [one.group for one in read(path)] == [""]


def test_lines_may_end_as_on_windows(folder: Path) -> None:
    """The end is no part of the last number."""
    path = folder / "labels.csv"
    path.write_bytes(f"{HEAD}\r\na.png,10,20,30,40\r\n".encode())

    assert read(path) == [Truth(path=folder / "a.png", faces=(BOX,))]


def test_a_picture_may_be_named_by_its_whole_path(folder: Path) -> None:
    """As many programs write it."""
    assert read(table(folder, f"{folder / 'a.png'},10,20,30,40")) == [Truth(path=folder / "a.png", faces=(BOX,))]


def test_a_picture_comes_once_by_whatever_path(folder: Path) -> None:
    """Else each of the two would miss the faces of the other; and a box that is said twice is one face."""
    path = table(folder, "a.png,10,20,30,40", "./a.png,50,20,30,40", f"{folder}/a.png,10,20,30,40")

    assert read(path) == [
        Truth(path=folder / "a.png", faces=(BOX, Box(left=50, top=20, width=30, height=40))),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.png,10,20,30", "labels.csv:3: .* are not four numbers"),
        ("a.png,ten,20,30,40", "labels.csv:3: .*ten.* are not four numbers"),
        ("a.png,nan,20,30,40", "labels.csv:3: .*nan.* are not four numbers"),
        ("a.png,1e400,20,30,40", "labels.csv:3: .*1e400.* are not four numbers"),
        ("a.png,10,20,-30,40", "labels.csv:3: a box of -30 × 40 pixels is empty"),
        ("a.png,10,20,0,40", "labels.csv:3: a box of 0 × 40 pixels is empty"),
        ("a.png,10,20,30,40,50,60", "labels.csv:3: more cells than columns"),
        (",10,20,30,40", "labels.csv:3: names no file"),
        ("c.png,10,20,30,40", "labels.csv:3: names c.png, which is not in"),
    ],
)
def test_a_bad_row_is_named(folder: Path, line: str, message: str) -> None:
    """By its file and line."""
    path = table(folder, "a.png,10,20,30,40", line)

    with pytest.raises(UsageError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no column file, left, top, width, height"),
        (b"file,left,top\na.png,1,2\n", "labels.csv:1: no column width, height"),
        (f"{HEAD}\n".encode(), "no rows"),
        (f'{HEAD}\n"a.png,1,2,3,4\n'.encode(), "labels.csv:.: no CSV"),
        (b'"file,left\n', "labels.csv:1: no CSV"),
        (b"\xff\xfe\x00", "not UTF-8"),
    ],
)
def test_a_table_that_is_none_is_named(folder: Path, content: bytes, message: str) -> None:
    """With what it lacks."""
    (folder / "labels.csv").write_bytes(content)

    with pytest.raises(UsageError, match=message):
        read(folder / "labels.csv")


def test_coco_is_read(folder: Path) -> None:
    """An image without annotations has no face; a category that all faces of an image have is its group."""
    assert read(coco(folder)) == [
        Truth(path=folder / "a.png", faces=(BOX,)),
        Truth(path=folder / "b.png", faces=()),
    ]
    rows = [{"image_id": key, "bbox": [10, 20, 30, 40], "category_id": kind} for key, kind in ((1, 3), (2, 4))]
    assert [one.group for one in read(coco(folder, annotations=rows))] == ["front", "side"]


def test_a_crowd_of_coco_has_no_box(folder: Path) -> None:
    """Its outline is of many."""
    path = coco(folder, annotations=[{"image_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1}])

    assert [one.faces for one in read(path)] == [(), ()]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"images": []}, "no images"),
        ({"images": "none"}, "no list of images"),
        ({"images": [7]}, r"images\[0\]: no id"),
        ({"images": [{"id": 1}]}, "image 1: no file_name"),
        ({"images": [{"id": 1}, {"id": 1}]}, r"images\[1\]: the id 1 is taken"),
        ({"categories": 5}, "no list of categories"),
        ({"categories": [{"id": [1]}]}, r"categories\[0\]: no id"),
        (
            {"annotations": [{"image_id": 1, "bbox": [1, 2, 3, 4], "category_id": [1]}]},
            r"annotations\[0\]: no category_id",
        ),
        ({"annotations": [{"image_id": 1, "bbox": [10**400, 2, 3, 4]}]}, r"annotations\[0\]: .* are not four numbers"),
        ({"images": [{"id": 1, "file_name": "c.png"}]}, "names c.png, which is not in"),
        ({"annotations": None}, "no list of annotations"),
        ({"annotations": [{"bbox": [1, 2, 3, 4]}]}, r"annotations\[0\]: no image_id"),
        ({"annotations": [{"image_id": [1], "bbox": [1, 2, 3, 4]}]}, r"annotations\[0\]: no image_id"),
        ({"annotations": [{"image_id": 5, "bbox": [1, 2, 3, 4]}]}, r"annotations\[0\]: image_id 5 is not among"),
        ({"annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}, r"annotations\[0\]: .* are not four numbers"),
        ({"annotations": [{"image_id": 1, "bbox": {"x": 1}}]}, r"annotations\[0\]: .* are not four numbers"),
        ({"annotations": [{"image_id": 1, "bbox": 4}]}, r"annotations\[0\]: no bbox"),
    ],
)
def test_what_is_wrong_in_coco_is_named(folder: Path, parts: dict[str, Any], message: str) -> None:
    """By its place."""
    with pytest.raises(UsageError, match=message):
        read(coco(folder, **parts))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{\n"images": [,]}', "labels.json:2: no JSON"),
        ("[1]", "no COCO file"),
        ("[" * 200_000, "nested too deep"),
        ('{"images": 1' + "0" * 5000 + "}", "thousands of digits"),
    ],
)
def test_json_that_is_none_is_named(folder: Path, text: str, message: str) -> None:
    """By its line."""
    (folder / "labels.json").write_text(text)

    with pytest.raises(UsageError, match=message):
        read(folder / "labels.json")


def test_yolo_is_read(folder: Path) -> None:
    """Shares become pixels; a picture without a text, or with an empty one, has no face."""
    (folder / "a.txt").write_text("0 0.125 0.4 0.15 0.4\n\n")

    assert read(folder) == [Truth(path=folder / "a.png", faces=(BOX,)), Truth(path=folder / "b.png", faces=())]


def test_yolo_keeps_labels_beside_images(folder: Path) -> None:
    """As its own tools lay them out."""
    for name in ("images", "labels"):
        (folder / name / "train").mkdir(parents=True)
    (folder / "a.png").rename(folder / "images" / "train" / "a.png")
    (folder / "b.png").unlink()
    (folder / "labels" / "train" / "a.txt").write_text("0 0.125 0.4 0.15 0.4")

    assert read(folder) == [Truth(path=folder / "images" / "train" / "a.png", faces=(BOX,))]


def test_yolo_means_the_upright_picture(folder: Path) -> None:
    """As EXIF turns it."""
    exif = Pictures.Exif()
    exif[0x0112] = 8
    Pictures.new("RGB", (100, 200)).save(folder / "c.jpg", exif=exif)
    (folder / "c.txt").write_text("0 0.125 0.4 0.15 0.4")

    assert read(folder)[2].faces == (BOX,)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1", r"a\.txt:2: .* is not `class cx cy w h`"),
        ("0 0.5 0.5 1.5 0.1", r"a\.txt:1: .* is not `class cx cy w h`"),
        ("0 half 0.5 0.5 0.1", r"a\.txt:1: .* is not `class cx cy w h`"),
        ("0 0.5 0.5 nan 0.1", r"a\.txt:1: .* is not `class cx cy w h`"),
        ("0 0.5 0.5 0 0.1", r"a\.txt:1: a box of 0 × 10 pixels is empty"),
    ],
)
def test_a_bad_line_of_yolo_is_named(folder: Path, text: str, message: str) -> None:
    """By its file and line."""
    (folder / "a.txt").write_text(text)

    with pytest.raises(UsageError, match=message):
        read(folder)


def test_a_text_that_is_none_is_named(folder: Path) -> None:
    """By its own name, not by that of the folder."""
    (folder / "a.txt").write_bytes(b"\xff\xfe0")

    with pytest.raises(UsageError, match=r"a\.txt: not UTF-8"):
        read(folder)


def test_a_folder_without_labels_is_named(folder: Path) -> None:
    """Else everything that is found would be wrong."""
    with pytest.raises(UsageError, match=r"has a \.txt with its boxes"):
        read(folder)


@pytest.mark.parametrize("content", [b"no picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
def test_a_label_of_what_is_no_picture_is_named(folder: Path, content: bytes) -> None:
    """Its size is needed."""
    (folder / "a.png").write_bytes(content)
    (folder / "a.txt").write_text("0 0.5 0.5 0.1 0.1")

    with pytest.raises(UsageError, match=r"a\.png: no picture"):
        read(folder)


@pytest.mark.parametrize("name", ["labels.xml", "nowhere.csv"])
def test_another_file_is_refused(tmp_path: Path, name: str) -> None:
    """With what could be given."""
    with pytest.raises(UsageError, match=r"no truth; name a|cannot be read"):
        read(tmp_path / name)
