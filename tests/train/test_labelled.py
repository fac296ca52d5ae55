"""What a cascade learns from: accepted crops are faces, rejected ones are none, the rest is left alone."""

from __future__ import annotations

from pathlib import Path

import make
import numpy as np
import pytest

from pipeline.catalog import Catalog
from pipeline.errors import StoreError, UsageError
from pipeline.manifest import row, to_csv
from pipeline.pixels import encode_png
from pipeline.records import Box, Detection, Verdict
from pipeline.stage import Kept
from pipeline.store import Store
from pipeline.train.labelled import Source, choose, load, of_backgrounds, of_release

FACE = Box(left=100, top=100, width=200, height=200)
ALMOST_THE_SAME = Box(left=110, top=95, width=205, height=205)
REJECTED = Box(left=500, top=300, width=100, height=100)
OPEN = Box(left=600, top=10, width=80, height=80)


def png(width: int = 800, height: int = 600) -> bytes:
    return encode_png(np.full((height, width, 3), 128, np.uint8))


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A release of one crop."""
    crop = make.face_crop(detection=make.detection(box=FACE), family="f1")
    (tmp_path / "001").mkdir()
    (tmp_path / "001" / "data_manifest.csv").write_bytes(to_csv([row(crop, make.image(), make.post(), None, "train")]))
    return tmp_path / "001"


def found(catalog: Catalog, seed: int, boxes: list[Box]) -> list[Detection]:
    """Let the catalog remember what was found in an image."""
    image = make.image(seed)
    finds = tuple(make.detection(seed, box=box) for box in boxes)
    catalog.record("scrape", "x", [(image.post_id, Kept(make.post(seed), (image,)))])
    catalog.record("detect", "y", [(image.sha256, Kept(image, finds))])
    return list(finds)


def rejected(catalog: Catalog, detection: Detection) -> None:
    crop = make.face_crop(detection=detection, sha256=make.sha256(detection.id))
    catalog.record("crop", "z", [(detection.id, Kept(detection, (crop,)))])
    catalog.decide([make.decision(crop.sha256, Verdict.REJECT)])


def test_every_box_is_what_was_said_of_it(release: Path, store: Store, sqlite_catalog: Catalog) -> None:
    """The accepted one is a face, found once more it is the same; the rejected one is nothing; one is undecided."""
    _, _, unwanted, _ = found(sqlite_catalog, 1, [FACE, ALMOST_THE_SAME, REJECTED, OPEN])
    rejected(sqlite_catalog, unwanted)

    (one,) = of_release(release, store, sqlite_catalog)

    assert (one.name, one.width, one.faces, one.ignored, one.family) == (make.sha256(1), 800, (FACE,), (OPEN,), "f1")


def test_a_picture_of_which_all_was_rejected_teaches_too(release: Path, store: Store, sqlite_catalog: Catalog) -> None:
    """It is in no release, and holds just what looks like a face and is none."""
    unwanted, _ = found(sqlite_catalog, 2, [REJECTED, OPEN])
    rejected(sqlite_catalog, unwanted)

    other = next(one for one in of_release(release, store, sqlite_catalog) if one.name == make.sha256(2))

    assert (other.width, other.faces, other.ignored) == (800, (), (OPEN,))


def test_a_rejection_that_was_taken_back_is_none(release: Path, store: Store, sqlite_catalog: Catalog) -> None:
    """The box is undecided again."""
    _, unwanted = found(sqlite_catalog, 1, [FACE, REJECTED])
    rejected(sqlite_catalog, unwanted)
    sqlite_catalog.decide([make.decision(make.sha256(unwanted.id), None)])

    (one,) = of_release(release, store, sqlite_catalog)

    assert one.ignored == (REJECTED,)


def test_without_a_catalog_the_release_says_all(release: Path, store: Store) -> None:
    """Whoever was given a release and its pictures can learn from them."""
    (one,) = of_release(release, store, None)

    assert (one.faces, one.ignored) == ((FACE,), ())


def test_pictures_that_are_gone_are_told(release: Path, store: Store) -> None:
    """A release alone does not hold the pictures that its crops were cut from."""
    with pytest.raises(StoreError, match="not readable in"):
        list(load(of_release(release, store, None)))


def test_pictures_and_boxes_are_reduced_together() -> None:
    """To 640 pixels; a face that is tiny then is left alone."""
    tiny = Box(left=20, top=20, width=30, height=30)
    source = Source(name="a", read=lambda: png(1280, 960), width=1280, faces=(FACE, tiny), ignored=(OPEN,))

    (one,) = load([source])

    assert one is not None
    assert one.grey.shape == (480, 640)
    assert one.faces == (Box(left=50, top=50, width=100, height=100),)
    assert one.ignored == (
        Box(left=300, top=5, width=40, height=40),
        Box(left=10, top=10, width=15, height=15),
    )


def test_what_is_no_picture_is_counted_not_learnt(tmp_path: Path) -> None:
    """Folders of backgrounds come from anywhere; what is not named like a picture is not even read."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(png())
    (tmp_path / "b.jpg").write_text("<html>")
    (tmp_path / "c.txt").write_text("nothing")

    read = [one and one.grey.shape for one in load(of_backgrounds(tmp_path))]

    assert sorted(read, key=str) == [(480, 640), None]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(UsageError, match="nowhere: cannot be read"):
        of_backgrounds(tmp_path / "nowhere")


def test_the_same_pictures_are_chosen_in_any_order() -> None:
    """So that a training can be repeated."""
    sources = [Source(name=str(number), read=bytes) for number in range(30)]

    chosen = choose(sources, 10, seed=3)

    assert chosen == choose(sources[::-1], 10, seed=3)
    assert len({one.name for one in chosen}) == 10
    assert choose(sources, 10, seed=4) != chosen
