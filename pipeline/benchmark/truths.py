"""Hides the forms in which people keep boxes of faces: CSV, COCO's JSON, YOLO's text files."""

from __future__ import annotations

import csv
import json
import math
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from PIL import Image as Pictures

from pipeline.benchmark import Truth
from pipeline.errors import UsageError
from pipeline.records import Box

PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
_COLUMNS = ("file", "left", "top", "width", "height")
_TRANSPOSED = frozenset({5, 6, 7, 8})  # values of the EXIF tag that turn a picture by 90 degrees
_ORIENTATION = 0x0112


def read(path: Path) -> list[Truth]:
    """Read a truth by what its name says it is: a folder is YOLO's, .csv is a table, .json is COCO's.

    Pictures are named relative to the folder that holds the file. All boxes are in pixels of the upright picture. A
    picture comes once, however often and by how many spellings of its path it is named, and so does each of its boxes.

    Raises:
        UsageError: It is none of these, or something in it is wrong; the message names the file and the line.
    """
    try:
        if path.is_dir():
            return _once(read_yolo(path))
        if path.suffix.lower() == ".csv":
            return _once(read_csv(path))
        if path.suffix.lower() == ".json":
            return _once(read_coco(path))
    except OSError as error:
        raise UsageError(f"{error.filename or path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    raise UsageError(f"{path}: no truth; name a .csv, a COCO .json, or a folder of pictures with YOLO's .txt files")


def _once(truths: list[Truth]) -> list[Truth]:
    """Put together what is said of one picture in several places: else each would miss the faces of the other."""
    same: dict[str, list[Truth]] = defaultdict(list)
    for truth in truths:
        same[os.path.normpath(truth.path)].append(truth)
    return [
        Truth(
            path=some[0].path,
            faces=tuple(dict.fromkeys(face for truth in some for face in truth.faces)),
            group=some[0].group if len({truth.group for truth in some}) == 1 else "",
        )
        for some in same.values()
    ]


def read_csv(path: Path) -> list[Truth]:
    """Read a table with the columns file, left, top, width, height and, if there is one, label.

    A row with no numbers says that the picture has no face. Pictures keep the order in which they come first; the
    group of a picture is the label that all of its rows have.
    """
    faces: dict[str, list[Box]] = {}
    paths: dict[str, Path] = {}
    labels: dict[str, set[str]] = defaultdict(set)
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file, strict=True)
        try:
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            if missing:
                raise UsageError(
                    f"{path}:1: no column {', '.join(missing)}; the first line names {', '.join(_COLUMNS)}"
                )
            for row in table:
                where = f"{path}:{table.line_num}"
                name = (row["file"] or "").strip()
                if not name or None in row:
                    raise UsageError(f"{where}: {'more cells than columns' if name else 'names no file'}")
                if name not in faces:
                    paths[name] = _picture(path.parent, name, where)
                faces.setdefault(name, []).extend(_boxes([row[column] for column in _COLUMNS[1:]], where))
                labels[name].add((row.get("label") or "").strip())
        except csv.Error as error:
            raise UsageError(f"{path}:{max(1, table.line_num)}: no CSV ({error})") from error
    if not faces:
        raise UsageError(f"{path}: no rows; one for each face is needed")
    return [
        Truth(
            path=paths[name],
            faces=tuple(boxes),
            group=next(iter(labels[name])) if len(labels[name]) == 1 else "",
        )
        for name, boxes in faces.items()
    ]


def _boxes(cells: list[str | None], where: str) -> list[Box]:
    words = [(cell or "").strip() for cell in cells]
    if not any(words):
        return []
    return [_box(words, where)]


def _box(values: list[Any], where: str) -> Box:
    """Make a box of left, top, width and height, rounded to whole pixels."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{where}: {values} are not four numbers (left, top, width, height)") from None
    if len(numbers) != 4 or not all(math.isfinite(number) and abs(number) < 1e6 for number in numbers):
        raise UsageError(f"{where}: {values} are not four numbers (left, top, width, height)")
    left, top, width, height = numbers
    if min(width, height) < 1:
        raise UsageError(f"{where}: a box of {width:g} × {height:g} pixels is empty")
    return Box(left=round(left), top=round(top), width=round(width), height=round(height))


def _picture(folder: Path, name: str, where: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise UsageError(f"{where}: names {name}, which is not in {folder}")
    return path


def read_coco(path: Path) -> list[Truth]:
    """Read COCO's object annotations: images, annotations with a bbox, and categories, whose names are the groups.

    Crowds (`iscrowd`) have no box of their own and are left out.
    """
    body = _json(path)
    images = _by_id(body, "images", path)
    if not images:
        raise UsageError(f"{path}: no images")
    categories = _by_id(body, "categories", path) if body.get("categories") else {}
    faces: dict[Any, list[Box]] = defaultdict(list)
    names: dict[Any, set[str]] = defaultdict(set)
    for number, row in enumerate(_list(body, "annotations", path)):
        where = f"{path}: annotations[{number}]"
        image = _of(row, "image_id", where)
        if image not in images:
            raise UsageError(f"{where}: image_id {image} is not among the images")
        if row.get("iscrowd"):
            continue
        bbox = _of(row, "bbox", where)
        faces[image].append(_box(bbox if isinstance(bbox, list) else [bbox], where))
        category = categories.get(_of(row, "category_id", where), {}) if "category_id" in row else {}
        names[image].add(str(category.get("name", "")))
    several = len({name for some in names.values() for name in some}) > 1
    return [
        Truth(
            path=_picture(path.parent, str(_of(row, "file_name", f"{path}: image {key}")), f"{path}: image {key}"),
            faces=tuple(faces[key]),
            group=next(iter(names[key])) if several and len(names[key]) == 1 else "",
        )
        for key, row in images.items()
    ]


def _by_id(body: dict[str, Any], key: str, path: Path) -> dict[Any, dict[str, Any]]:
    rows: dict[Any, dict[str, Any]] = {}
    for number, row in enumerate(_list(body, key, path)):
        where = f"{path}: {key}[{number}]"
        name = _of(row, "id", where)
        if name in rows:
            raise UsageError(f"{where}: the id {name} is taken; each needs its own")
        rows[name] = row
    return rows


def _json(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: no JSON ({error.msg})") from error
    except RecursionError:
        raise UsageError(f"{path}: no JSON that anybody could read: nested too deep") from None
    except ValueError:
        raise UsageError(f"{path}: no JSON that anybody could read: a number has thousands of digits") from None
    if not isinstance(body, dict):
        raise UsageError(f"{path}: no COCO file; an object with images and annotations is needed")
    return body


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 (byte {error.start}); save it as UTF-8") from error


def _list(body: dict[str, Any], key: str, path: Path) -> list[Any]:
    rows = body.get(key)
    if not isinstance(rows, list):
        raise UsageError(f"{path}: no COCO file; it has no list of {key}")
    return rows


def _of(row: object, key: str, where: str) -> Any:
    if not isinstance(row, dict) or key not in row or isinstance(row[key], dict | list) != (key == "bbox"):
        raise UsageError(f"{where}: no {key}")
    return row[key]


def read_yolo(folder: Path) -> list[Truth]:
    """Read a folder of pictures with a .txt beside each, or in `labels/` where the pictures are in `images/`.

    A line is `class cx cy w h` in shares of the picture; a picture without a file, or with an empty one, has no face.
    """
    pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    labels = {picture: _labels_of(picture, folder) for picture in pictures}
    if not any(path.is_file() for path in labels.values()):
        raise UsageError(f"{folder}: no picture here has a .txt with its boxes beside it, or in labels/")
    return [
        Truth(path=picture, faces=_yolo_boxes(text, picture) if text.is_file() else ())
        for picture, text in labels.items()
    ]


def _labels_of(picture: Path, folder: Path) -> Path:
    beside = picture.with_suffix(".txt")
    parts = list(picture.relative_to(folder).parts)
    if beside.is_file() or "images" not in parts:
        return beside
    parts[parts.index("images")] = "labels"
    return folder.joinpath(*parts).with_suffix(".txt")


def _yolo_boxes(text: Path, picture: Path) -> tuple[Box, ...]:
    wide, high = _size(picture)
    boxes = []
    for number, line in enumerate(_text(text).splitlines(), start=1):
        words, where = line.split(), f"{text}:{number}"
        if not words:
            continue
        try:
            shares = [float(word) for word in words[1:]]
        except ValueError:
            shares = []
        if len(shares) != 4 or not all(0 <= share <= 1 for share in shares):
            raise UsageError(f"{where}: {line.strip()!r} is not `class cx cy w h` with shares from 0 to 1")
        x, y, width, height = shares
        boxes.append(_box([(x - width / 2) * wide, (y - height / 2) * high, width * wide, height * high], where))
    return tuple(boxes)


def _size(picture: Path) -> tuple[int, int]:
    """Read the size of the upright picture from its header."""
    try:
        with Pictures.open(picture) as opened:
            wide, high = opened.size
            turned = opened.getexif().get(_ORIENTATION) in _TRANSPOSED
    except OSError as error:
        if error.errno is not None:  # of the disk, not of what lies on it
            raise
        raise UsageError(f"{picture}: no picture ({error}); take it and its .txt out of the folder") from error
    except (Pictures.DecompressionBombError, SyntaxError, ValueError) as error:
        raise UsageError(f"{picture}: no picture ({error}); take it and its .txt out of the folder") from error
    return (high, wide) if turned else (wide, high)
