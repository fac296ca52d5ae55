from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pictures

from pipeline.records import Box
from pipeline.sandbox.draw import CAST, Truth, draw_decoy, draw_group, draw_portrait, draw_scenery
from pipeline.sandbox.figure import EYES, HAIR, Style


def around(picture: Pictures.Image, box: Box, side: int = 96) -> np.ndarray:
    """The face with some room around it, its box *side* pixels wide."""
    room = box.width * 7 // 10
    window = picture.crop((box.left - room, box.top - room, box.right + room, box.bottom + room))
    size = round(window.width * side / box.width)
    return np.asarray(window.resize((size, size), Pictures.Resampling.BOX))


def test_the_same_seed_gives_the_same_pixels() -> None:
    """A picture depends on its seed alone."""
    first, again, other = draw_portrait([3, 1]), draw_portrait([3, 1]), draw_portrait([3, 2])

    assert first.picture.tobytes() == again.picture.tobytes()
    assert first.truth == again.truth
    assert first.picture.tobytes() != other.picture.tobytes()


def test_a_portrait_has_one_face_inside_the_picture() -> None:
    """The true box lies within the picture and is a square."""
    for number in range(20):
        drawing = draw_portrait([5, number])
        (face,) = drawing.truth.faces
        box = face.box

        assert box.width == box.height
        assert box.left >= 0
        assert box.right <= drawing.picture.width
        assert box.bottom <= drawing.picture.height
        assert abs(face.tilt) <= 25


def test_a_group_has_two_to_six_different_characters() -> None:
    """Nobody stands twice in one picture, and no face lies upon another."""
    for number in range(8):
        faces = draw_group([6, number]).truth.faces

        assert 2 <= len(faces) <= 6
        assert len({face.identity for face in faces}) == len(faces)
        assert all(a.box.overlap(b.box) == 0 for a in faces for b in faces if a is not b)


def test_tags_are_those_of_a_board() -> None:
    """Colours, style, count and character are tags."""
    drawing = draw_portrait([7, 0])
    (face,) = drawing.truth.faces

    assert {"1girl", "solo", f"{face.identity}_(sandbox)", f"{face.hair}_hair"} <= set(drawing.truth.tags)
    assert list(drawing.truth.tags) == sorted(drawing.truth.tags)


def test_the_cast_shows_every_colour_and_style() -> None:
    """No word of the vocabulary is left without an example."""
    assert {who.hair for who in CAST} == set(HAIR)
    assert {who.eyes for who in CAST} >= set(EYES) - {"black"}
    assert {who.style for who in CAST} == set(Style)
    assert {word for who in CAST for word in who.wears} == {"hat", "glasses", "hair_ribbon"}
    assert len({(who.hair, who.eyes, who.style) for who in CAST}) == len(CAST)


def test_scenery_and_decoys_have_no_face() -> None:
    """Their truth is empty, whatever a detector may say."""
    assert draw_scenery([8, 0]).truth.faces == ()
    assert draw_decoy([8, 0]).truth.faces == ()


def test_truth_survives_json() -> None:
    """What is written to the board's file is read back unchanged."""
    truth = draw_group([9, 0]).truth

    assert Truth.from_json(truth.to_json()) == truth


def cascade_file() -> Path:
    """The third-party cascade, where this machine has it."""
    places = [os.environ.get("KAOSET_CASCADES", ""), "../shared/cascades"]
    for place in filter(None, places):
        path = Path(place) / "lbpcascade_animeface.xml"
        if path.exists():
            return path
    pytest.skip("lbpcascade_animeface.xml is not on this machine: set KAOSET_CASCADES")


def test_the_cascade_finds_the_faces_where_the_truth_says() -> None:
    """The old detector finds more than nine of ten drawn faces, in boxes that fit the true ones."""
    cascade = cv2.CascadeClassifier(str(cascade_file()))
    overlaps = []
    for number in range(40):
        drawing = draw_portrait([11, number])
        pixels = around(drawing.picture, drawing.truth.faces[0].box)
        grey = cv2.equalizeHist(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))
        hits = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(24, 24))
        start = (pixels.shape[0] - 96) // 2
        true = Box(left=start, top=start, width=96, height=96)
        boxes = [Box(left=int(x), top=int(y), width=int(w), height=int(h)) for x, y, w, h in hits]
        overlaps.append(max((box.overlap(true) for box in boxes), default=0.0))

    assert sum(overlap > 0.5 for overlap in overlaps) >= 37
    assert float(np.median(overlaps)) > 0.8
