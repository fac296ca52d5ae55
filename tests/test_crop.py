"""A crop is the square round a face, at the border and beyond, the same bytes each time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import make
import numpy as np
import planted
import pytest
from PIL import Image as Pictures

from pipeline.crop import CropFaces, crop_face, measure, outside, window_about
from pipeline.detect import DetectFaces, Follow
from pipeline.detectors.animeface import drawn_face
from pipeline.pixels import Pixels, decode, encode_png
from pipeline.records import Box, Detection, FaceCrop, Reason
from pipeline.stage import Dropped, Kept, Outcome, fingerprint
from pipeline.store import Store
from pipeline.workers import Workers


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2) as pool:
        yield pool


def square(left: int, top: int, side: int) -> Box:
    return Box(left=left, top=top, width=side, height=side)


def ramp(width: int, height: int) -> Pixels:
    """Red grows to the right, green downwards: a pixel says where it comes from."""
    down, across = np.mgrid[0:height, 0:width]
    return np.stack([across % 256, down % 256, np.zeros_like(down)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("box", "window"),
    [
        (square(80, 60, 40), square(70, 50, 60)),  # in the middle
        (square(0, 0, 40), square(0, 0, 60)),  # moved inwards at the top left
        (square(160, 110, 40), square(140, 90, 60)),  # and at the bottom right
        (
            square(50, 0, 120),
            square(20, -30, 180),
        ),  # higher than the image: all of it, the face as near the middle as it goes
        (square(50, 30, 120), square(20, 0, 180)),
        (square(0, 0, 150), square(-25, -38, 225)),  # larger than the image both ways
    ],
)
def test_the_window(box: Box, window: Box) -> None:
    """1.5 times the box about its centre, moved inwards; an image of 200 x 150 lies inside whatever it cannot fill."""
    assert window_about(box, 1.5, 200, 150) == window


def test_a_box_that_is_no_square() -> None:
    """The longer side counts, about the centre."""
    assert window_about(Box(left=50, top=50, width=20, height=40), 1.5, 200, 200) == square(30, 40, 60)


def test_the_share_outside() -> None:
    """None, some, or all of a window lies outside."""
    assert outside(square(0, 0, 50), 50, 50) == 0
    assert outside(square(-50, 0, 100), 100, 100) == 0.5
    assert outside(square(200, 0, 50), 100, 100) == 1


def test_cuts_what_is_there() -> None:
    """Without a change of size the crop is the window, pixel for pixel."""
    pixels = ramp(200, 150)

    assert np.array_equal(crop_face(pixels, square(30, 40, 64), 64), pixels[40:104, 30:94])


def test_repeats_the_edge() -> None:
    """What lies outside the image has the colours of its edge."""
    crop = crop_face(ramp(100, 100), square(-20, -20, 140), 140)

    assert np.array_equal(crop[20:120, 20:120], ramp(100, 100))
    assert (crop[:20, :20] == crop[20, 20]).all()
    assert (crop[120:, 60] == crop[119, 60]).all()


def test_does_not_alias() -> None:
    """A fine pattern becomes even grey when it is reduced, and no coarser pattern."""
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255

    assert crop_face(stripes, square(0, 0, 512), 100).std() < 3


@pytest.mark.parametrize("window", [square(300, 0, 50), Box(left=0, top=0, width=10, height=20)])
def test_refuses_a_window_that_is_none(window: Box) -> None:
    """A window beside the image, or one that is not square, is a bug of the caller."""
    with pytest.raises(ValueError, match="not a square that touches"):
        crop_face(ramp(100, 100), window, 10)


def test_measures() -> None:
    """Sharpness falls when a picture is blurred; grey has no chroma; even grey has nothing."""
    rng = np.random.default_rng(3)
    noise = np.repeat(np.repeat(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), 4, axis=0), 4, axis=1)
    blurred = np.array(Pictures.fromarray(noise).reduce(4).resize((128, 128), Pictures.Resampling.BICUBIC))
    grey = np.full((128, 128, 3), 100, np.uint8)
    red = np.full((128, 128, 3), (255, 0, 0), np.uint8)

    assert measure(noise)[0] > measure(blurred)[0] * 3
    assert measure(grey) == (0.0, 0.0, pytest.approx(0, abs=0.01))
    assert measure(red)[2] == pytest.approx(104.55, abs=0.1)  # CIE Lab of sRGB red: a* 80.09, b* 67.20
    half = np.concatenate([grey[:64] * 0, grey[:64] * 0 + 254])
    assert measure(half)[1] == pytest.approx(127, abs=1)


def test_the_stage(store: Store, workers: Workers) -> None:
    """Each detection becomes a crop in the store, or is dropped with the reason."""
    picture = ramp(200, 160)
    image = store.put(encode_png(picture))
    inside, border, small, wide = (
        Detection(image_sha256=image, box=box, detector="animeface", score=0.9)
        for box in (square(80, 60, 60), square(0, 100, 60), square(90, 70, 30), square(10, 0, 150))
    )
    broken = make.detection(image_sha256=store.put(b"\x89PNG\r\n\x1a\n nothing"))
    stage = CropFaces(size=64, max_padding=0.1, workers=workers)

    outcomes = {one.item.id: one for one in stage([inside, border, small, wide, broken], store)}

    assert len(outcomes) == 5
    assert outcomes[small.id] == Dropped(small, Reason.TOO_SMALL, "45 px, the crop has 64")
    assert outcomes[wide.id] == Dropped(wide, Reason.OUTSIDE, "0.368 of the window, 0.1 is allowed")
    last = outcomes[broken.id]
    assert isinstance(last, Dropped)
    assert last.reason is Reason.TRUNCATED
    first = outcomes[inside.id]
    assert isinstance(first, Kept)
    (crop,) = first.outputs
    assert (crop.detection, crop.side, crop.size, crop.padded, crop.family) == (inside, 90, 64, 0.0, "")
    pixels = decode(store.get(crop.sha256), max_pixels=10_000)
    assert np.array_equal(pixels, crop_face(picture, square(65, 45, 90), 64))
    assert crop.sharpness, crop.contrast == measure(pixels)[:2]


def test_the_same_bytes_in_any_company(store: Store, workers: Workers) -> None:
    """A detection gives the same crop alone, among others, in any order."""
    image = store.put(encode_png(ramp(400, 300)))
    items = [
        Detection(image_sha256=image, box=square(left, 80, 90), detector="animeface", score=0.9)
        for left in (20, 120, 250)
    ]
    stage = CropFaces(size=64, workers=workers)

    together = {one.item.id: one for one in stage(items, store)}
    alone = {one.item.id: one for item in reversed(items) for one in stage([item], store)}

    assert together == alone


def test_what_costs_a_worker_costs_one_picture(tmp_path: Path) -> None:
    """Where an image crashes or stalls the worker, all its detections are dropped, and no others."""
    store = planted.PlantedStore(tmp_path)
    deadly, endless, good = store.put(b"abort"), store.put(b"loop"), store.put(encode_png(ramp(100, 100)))
    items = [
        make.detection(image_sha256=image, box=square(left, 10, 50))
        for image in (deadly, endless, good)
        for left in (5, 9)
    ]

    with Workers(2, timeout_s=1) as workers:
        outcomes = list(CropFaces(size=64, workers=workers)(items, store))

    dropped = {one.item.id: one.reason for one in outcomes if isinstance(one, Dropped)}
    assert dropped == {item.id: Reason.CRASHED for item in items[:2]} | {
        item.id: Reason.TIMED_OUT for item in items[2:4]
    }
    assert len(outcomes) == 6


def test_the_faces_are_cut_where_they_are_found(store: Store, workers: Workers) -> None:
    """A worker that has the pixels at hand gives the outcomes that the stage would give; detection stays as it is."""
    pixels = np.full((900, 900, 3), 200, np.uint8)
    pixels[200:500, 300:600] = drawn_face(300)
    images = [
        make.image(sha256=store.put(encode_png(pixels[:, shift:])), width=900 - shift, height=900) for shift in (0, 40)
    ]
    faceless = make.image(sha256=store.put(encode_png(pixels[:150])), width=900, height=150)
    crop = CropFaces(size=64, workers=workers)
    told: list[Outcome[Detection, FaceCrop]] = []
    detect = DetectFaces(detectors=("animeface",), workers=workers, follow=Follow(do=crop.cutter, tell=told.extend))

    found = list(detect([*images, faceless], store))

    faces = [face for one in found if isinstance(one, Kept) for face in one.outputs]
    assert len(faces) == 2
    assert sorted(told, key=lambda one: one.item.id) == sorted(crop(faces, store), key=lambda one: one.item.id)
    plain = DetectFaces(detectors=("animeface",), workers=workers)
    assert fingerprint(plain) == fingerprint(detect)
    assert sorted(plain([*images, faceless], store), key=str) == sorted(found, key=str)
