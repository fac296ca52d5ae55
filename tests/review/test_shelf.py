from __future__ import annotations

from pathlib import Path

import make
import numpy as np
import pytest
from queued import Face, face, queue, remember

from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.records import Box, Reason
from pipeline.review.shelf import Shelf, open_shelf


def _shelf(data: Path, faces: list[Face], **fields: str) -> Shelf:
    catalog = Catalog(DataFolder(data).catalog)
    remember(catalog, faces)
    found = open_shelf(catalog, data / "review", lambda *_: None, **fields)
    catalog.close()
    return found


def test_every_crop_is_found_by_its_name(tmp_path: Path) -> None:
    """Also among many, and none that is not there."""
    folder = DataFolder(tmp_path)
    faces = [face(folder, seed) for seed in range(300)]

    shelf = _shelf(tmp_path, faces)

    names = [one.crop.sha256 for one in faces]
    assert [shelf.sha256(int(row)) for row in shelf.rows(names)] == names
    assert shelf.row(make.sha256("another")) is None


def test_a_crop_stands_with_its_numbers(tmp_path: Path) -> None:
    """Score, box and image are those of its record."""
    one = face(DataFolder(tmp_path), 7, score=0.25, post={"posted_at": None})

    shelf = _shelf(tmp_path, [one, face(DataFolder(tmp_path), 8)])

    row = shelf.row(one.crop.sha256)
    assert row is not None
    assert shelf["score"][row] == np.float32(0.25)
    assert shelf.box(row) == one.crop.detection.box
    assert shelf.image_sha256(row) == one.image.sha256


@pytest.mark.parametrize(
    ("reason", "word"),
    [(Reason.WAITING, "waiting"), (None, "accepted"), (Reason.LOW_SCORE, "low_score"), (Reason.DUPLICATE, "duplicate")],
)
def test_a_crop_stands_where_it_ended(tmp_path: Path, reason: Reason | None, word: str) -> None:
    """Also what a filter has dropped is here, so that a person can rescue it."""
    one = face(DataFolder(tmp_path), 1, reason=reason)

    shelf = _shelf(tmp_path, [one])

    assert shelf.word("reason", 0) == word


def test_near_copies_of_a_face_are_one_unit(tmp_path: Path) -> None:
    """In two pictures of one family, at the same place; not the other face of the same picture."""
    folder = DataFolder(tmp_path)
    here, there = Box(left=10, top=20, width=200, height=200), Box(left=500, top=20, width=200, height=200)
    one = face(folder, 1, image=1, box=here, family="f")
    copy = face(folder, 2, image=2, box=here, family="f")
    other = face(folder, 3, image=2, box=there, family="f")

    shelf = _shelf(tmp_path, [one, copy, other])

    rows = [shelf.row(name.crop.sha256) or 0 for name in (one, copy, other)]
    assert list(shelf.members(rows[0])) == sorted(rows[:2])
    assert list(shelf.members(rows[2])) == [rows[2]]


def test_faces_of_other_families_are_never_one_unit(tmp_path: Path) -> None:
    """However alike they are and wherever they stand."""
    folder = DataFolder(tmp_path)
    pair = [face(folder, seed, phash=1, box=make.box(), family=f"f{seed}") for seed in (1, 2)]

    shelf = _shelf(tmp_path, pair)

    assert [len(shelf.members(row)) for row in (0, 1)] == [1, 1]


def test_what_was_gathered_is_not_gathered_again(tmp_path: Path) -> None:
    """The next start reads it, and a later run is gathered anew."""
    queue(tmp_path, 3)
    catalog = Catalog(DataFolder(tmp_path).catalog)
    told: list[str] = []

    keys = [open_shelf(catalog, tmp_path / "review", lambda *_: told.append("gathered")).key for _ in range(2)]
    gathered = len(told)
    remember(catalog, [face(DataFolder(tmp_path), 9)])
    later = open_shelf(catalog, tmp_path / "review", lambda *_: told.append("gathered"))
    catalog.close()

    assert keys[0] == keys[1] != later.key
    assert gathered < len(told)


def test_only_the_crops_of_one_recipe(tmp_path: Path) -> None:
    """Where a recipe is named."""
    folder = DataFolder(tmp_path)
    catalog = Catalog(folder.catalog)
    remember(catalog, [face(folder, 1)], "mine")
    remember(catalog, [face(folder, 2)], "other")

    both = open_shelf(catalog, tmp_path / "review", lambda *_: None)
    mine = open_shelf(catalog, tmp_path / "review", lambda *_: None, "mine")
    catalog.close()

    assert (len(both), len(mine)) == (2, 1)


def test_a_crop_of_two_recipes_is_shown_once(tmp_path: Path) -> None:
    """Its bytes are the same, and so is what is said of it."""
    folder = DataFolder(tmp_path)
    catalog = Catalog(folder.catalog)
    for recipe in ("mine", "other"):
        remember(catalog, [face(folder, 1)], recipe)

    shelf = open_shelf(catalog, tmp_path / "review", lambda *_: None)
    catalog.close()

    assert len(shelf) == 1
