"""A crop is the square round a face, at the border and beyond, the same bytes each time."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import make
import numpy as np
import planted
import pytest
from PIL import Image as Pictures

from pipeline.crop import CropFaces, Square, crop_face, measure, outside, shifted_inwards, window_about
from pipeline.detect import DetectFaces, Follow
from pipeline.detectors.animeface import drawn_face
from pipeline.pixels import Pixels, decode, encode_png
from pipeline.records import Box, Detection, FaceCrop, Landmarks, Reason
from pipeline.sandbox.draw import CAST
from pipeline.sandbox.figure import Fringe, Pose, draw_figures, face_truth
from pipeline.sandbox.ink import SUPERSAMPLE
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


def window(left: float, top: float, side: int) -> Square:
    return Square(left + side / 2, top + side / 2, side)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (square(80, 60, 40), window(70, 50, 60)),  # in the middle
        (square(0, 0, 40), window(0, 0, 60)),  # moved inwards at the top left
        (square(160, 110, 40), window(140, 90, 60)),  # and at the bottom right
        (
            square(50, 0, 120),
            window(20, -30, 180),
        ),  # higher than the image: all of it, the face as near the middle as it goes
        (square(50, 30, 120), window(20, 0, 180)),
        (square(0, 0, 150), window(-25, -38, 225)),  # larger than the image both ways
    ],
)
def test_the_window(box: Box, expected: Square) -> None:
    """1.5 times the box about its centre, moved inwards; an image of 200 x 150 lies inside whatever it cannot fill."""
    assert shifted_inwards(window_about(box, 1.5), 200, 150, box) == expected


def test_a_box_that_is_no_square() -> None:
    """The longer side counts, about the centre."""
    assert window_about(Box(left=50, top=50, width=20, height=40), 1.5) == window(30, 40, 60)


def test_the_share_outside() -> None:
    """None, some, or all of a window lies outside."""
    assert outside(window(0, 0, 50), 50, 50) == 0
    assert outside(window(-50, 0, 100), 100, 100) == 0.5
    assert outside(window(200, 0, 50), 100, 100) == 1


def test_the_share_of_a_turned_window_outside() -> None:
    """A square on its tip loses its four corners: triangles of height (sqrt(2) - 1) / 2 of its side."""
    assert outside(Square(50, 50, 100, 45.0), 100, 100) == pytest.approx(4 * ((2**0.5 - 1) / 2) ** 2, abs=1e-5)
    assert str(outside(Square(50, 50, 60, 33.0), 100, 100)) == "0.0"  # and never the "-0.0" of a rounded sum


def test_a_turned_window_is_moved_inwards_no_further_than_the_face_allows() -> None:
    """In the corner of an image it is moved, and the whole box of the face stays within its sides."""
    box = square(0, 0, 100)
    moved = shifted_inwards(window_about(box, 1.5, 30.0), 1000, 1000, box)

    x, y = moved.seen((50, 50))
    assert outside(moved, 1000, 1000) < outside(window_about(box, 1.5, 30.0), 1000, 1000)
    assert 50 <= round(x, 6) <= 100
    assert 50 <= round(y, 6) <= 100


def test_cuts_what_is_there() -> None:
    """Without a change of size the crop is the window, pixel for pixel."""
    pixels = ramp(200, 150)

    assert np.array_equal(crop_face(pixels, window(30, 40, 64), 64), pixels[40:104, 30:94])


def test_repeats_the_edge() -> None:
    """What lies outside the image has the colours of its edge."""
    crop = crop_face(ramp(100, 100), window(-20, -20, 140), 140)

    assert np.array_equal(crop[20:120, 20:120], ramp(100, 100))
    assert (crop[:20, :20] == crop[20, 20]).all()
    assert (crop[120:, 60] == crop[119, 60]).all()


@pytest.mark.parametrize("side", [64, 100, 240])
def test_a_turned_window_comes_back_upright(side: int) -> None:
    """Each pixel is the one that lies there, whether the window is reduced or not."""
    askew = Square(125.0, 125.0, side, 30.0)
    crop = crop_face(ramp(250, 250), askew, 64).astype(int)

    for row, column in ((32, 32), (10, 10), (10, 54), (50, 20)):
        x, y = askew.moved(*((place + 0.5) * side / 64 - side / 2 for place in (column, row)))
        assert crop[row, column, :2] == pytest.approx((x - 0.5, y - 0.5), abs=1.5)


def test_a_turned_window_of_a_huge_picture_needs_little_memory() -> None:
    """A worker that holds a picture needs less than as much again for a face that fills it."""
    huge = np.zeros((3000, 3000, 3), np.uint8)
    tracemalloc.start()

    crop_face(huge, Square(1500.0, 1500.0, 2400, 30.0), 64)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < huge.nbytes


def test_a_turned_window_repeats_the_edge_too() -> None:
    """Even colour stays even, to the last bit, wherever the window lies."""
    assert (crop_face(np.full((80, 80, 3), 77, np.uint8), Square(5.0, 70.0, 60, -40.0), 32) == 77).all()


@pytest.mark.parametrize("turned", [0.0, 30.0])
def test_does_not_alias(turned: float) -> None:
    """A fine pattern becomes even grey when it is reduced, and no coarser pattern."""
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255

    assert crop_face(stripes, Square(256.0, 256.0, 360, turned), 70).std() < 3


def test_refuses_a_window_beside_the_image() -> None:
    """That is a bug of the caller."""
    with pytest.raises(ValueError, match="does not touch"):
        crop_face(ramp(100, 100), window(300, 0, 50), 10)


def portrait(tilt: float) -> tuple[Pixels, Detection]:
    """Somebody with aqua eyes who leans her head, and what a perfect detector says."""
    kuro = next(one for one in CAST if one.name == "kuro")
    who = replace(kuro, fringe=Fringe.STRAIGHT, cloth=(120, 90, 60), trim=(160, 120, 90), wears=())
    pose = Pose(x=250.0, y=220.0, scale=80.0, tilt=tilt)
    canvas = Pictures.new("RGB", (500 * SUPERSAMPLE, 560 * SUPERSAMPLE), (230, 220, 210))
    draw_figures(canvas, [(who, pose)], np.random.default_rng(1))
    cosine, sine = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))

    def at(x: float, y: float) -> tuple[int, int]:
        return round(pose.x + pose.scale * (x * cosine - y * sine)), round(
            pose.y + pose.scale * (x * sine + y * cosine)
        )

    marks = Landmarks(
        left_eye=at(0.47, 0.22), right_eye=at(-0.47, 0.22), nose=at(0, 0.56), mouth=at(0, 0.8), chin=at(0, 1.1)
    )
    found = make.detection(box=face_truth(who, pose).box, landmarks=marks)
    return np.array(canvas.reduce(SUPERSAMPLE)), found


def slope(crop_HWC: Pixels) -> float:
    """By how many degrees the line between two aqua things falls to the right."""
    red, green, blue = np.moveaxis(crop_HWC.astype(int), 2, 0)
    rows, columns = np.nonzero((green - red > 60) & (blue - red > 60))
    right = columns > len(crop_HWC) / 2
    (x0, y0), (x1, y1) = ((columns[side].mean(), rows[side].mean()) for side in (~right, right))
    return math.degrees(math.atan2(y1 - y0, x1 - x0))


def cut_one(pixels: Pixels, found: Detection, store: Store, **wishes: Any) -> Outcome[Detection, FaceCrop]:
    (outcome,) = CropFaces(**{"size": 128, **wishes}, workers=Workers(1)).cutter(store, pixels, (found,))
    return outcome


def crop_of(outcome: Outcome[Detection, FaceCrop]) -> FaceCrop:
    assert isinstance(outcome, Kept)
    return outcome.outputs[0]


@pytest.mark.parametrize("tilt", [-28.0, -9.0, 17.0, 40.0])
def test_a_tilted_face_comes_out_upright(tilt: float, store: Store) -> None:
    """Its eyes are level within two degrees, and the record says by how many it was turned."""
    pixels, found = portrait(tilt)

    crop = crop_of(cut_one(pixels, found, store, align="eyes"))
    as_it_is = crop_of(cut_one(pixels, found, store))

    assert abs(slope(decode(store.get(crop.sha256), max_pixels=20_000))) < 2
    assert crop.turned == pytest.approx(tilt, abs=2)
    assert as_it_is.turned == 0
    assert slope(decode(store.get(as_it_is.sha256), max_pixels=20_000)) == pytest.approx(tilt, abs=2)


def test_a_level_face_is_left_as_it_is(store: Store) -> None:
    """Its crop is the same as without alignment, byte for byte."""
    pixels, found = portrait(0.0)

    assert cut_one(pixels, found, store, align="eyes") == cut_one(pixels, found, store)


@pytest.mark.parametrize(
    "nonsense",
    [
        {"left_eye": (205, 205), "right_eye": (200, 200)},  # one upon the other
        {"left_eye": (900, 40)},  # far from the box
        {"left_eye": (290, 320)},  # too steep
        {"mouth": (250, 100)},  # above the eyes
        {"mouth": (360, 280)},  # beside the face
    ],
    ids=str,
)
def test_landmarks_that_make_no_face_turn_nothing(nonsense: dict[str, tuple[int, int]], store: Store) -> None:
    """The crop is cut as if there were none."""
    pixels, found = portrait(17.0)
    assert found.landmarks is not None
    odd = replace(found, landmarks=replace(found.landmarks, **nonsense))

    assert crop_of(cut_one(pixels, odd, store, align="eyes")).turned == 0


@pytest.mark.parametrize(
    ("policy", "padded"), [("shift", 0.0), ("pad", pytest.approx(1 / 6, abs=0.001)), ("drop", None)]
)
def test_what_is_done_at_the_border(policy: str, padded: float | None, store: Store) -> None:
    """A window of 90 that sticks out by 15 is moved inwards, or its edge repeated, or the face is dropped."""
    found = make.detection(box=square(0, 50, 60))

    outcome = cut_one(ramp(200, 160), found, store, size=64, margin_policy=policy)

    if padded is None:
        assert outcome == Dropped(found, Reason.OUTSIDE, "0.167 of the window, 0 is allowed")
    else:
        assert crop_of(outcome).padded == padded


def test_padding_has_a_limit(store: Store) -> None:
    """Where more of a window that is not moved lies outside, the face is dropped."""
    found = make.detection(box=square(0, 50, 60))

    outcome = cut_one(ramp(200, 160), found, store, size=64, margin_policy="pad", max_padding=0.1)

    assert outcome == Dropped(found, Reason.OUTSIDE, "0.167 of the window, 0.1 is allowed")


def test_the_largest_face_alone(store: Store) -> None:
    """The others are told first, so that what a kill leaves to be judged always holds the largest."""
    small, large, medium = (make.detection(box=square(left, 20, side)) for left, side in ((0, 50), (60, 70), (130, 60)))

    outcomes = CropFaces(size=64, faces="largest", workers=Workers(1)).cutter(
        store, ramp(200, 160), (small, large, medium)
    )

    assert outcomes[:2] == [
        Dropped(small, Reason.NOT_LARGEST, "50 px, 70 px has the largest face"),
        Dropped(medium, Reason.NOT_LARGEST, "60 px, 70 px has the largest face"),
    ]
    assert crop_of(outcomes[2]).detection == large


def test_a_crop_knows_its_colours(store: Store) -> None:
    """Measured where the eyes are, on a tilted face too."""
    pixels, found = portrait(28.0)

    for align in ("none", "eyes"):
        crop = crop_of(cut_one(pixels, found, store, align=align))
        assert (crop.hair_colour, crop.eye_colour) == ("black", "aqua")


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
    assert np.array_equal(pixels, crop_face(picture, window(65, 45, 90), 64))
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
    crop = CropFaces(size=64, align="eyes", workers=workers)
    told: list[Outcome[Detection, FaceCrop]] = []
    detect = DetectFaces(detectors=("animeface",), workers=workers, follow=Follow(do=crop.cutter, tell=told.extend))

    found = list(detect([*images, faceless], store))

    faces = [face for one in found if isinstance(one, Kept) for face in one.outputs]
    assert len(faces) == 2
    assert sorted(told, key=lambda one: one.item.id) == sorted(crop(faces, store), key=lambda one: one.item.id)
    plain = DetectFaces(detectors=("animeface",), workers=workers)
    assert fingerprint(plain) == fingerprint(detect)
    assert sorted(plain([*images, faceless], store), key=str) == sorted(found, key=str)
