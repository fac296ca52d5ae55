"""The set of hard pictures: what is in it, and whether its truth is true."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pictures
from PIL import ImageChops, ImageDraw

from pipeline.errors import StoreError, UsageError
from pipeline.records import Box
from pipeline.sandbox import hard
from pipeline.sandbox.draw import CAST, pose_at
from pipeline.sandbox.figure import Manner, Pose, draw_figure, face_truth
from pipeline.sandbox.hard import Art, Difficulty, DrawnFace, Labelled, View, draw_hard
from pipeline.sandbox.ink import SUPERSAMPLE, Pen
from pipeline.sandbox.profile import draw_profile, profile_truth
from pipeline.sandbox.toon import draw_toon, fellow, toon_box

SIZE = (400, 400)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Labelled]:
    """One picture of each difficulty."""
    return hard.build(tmp_path_factory.mktemp("hard"), len(Difficulty))


def faces_of(difficulty: Difficulty, pictures: int = 4) -> list[DrawnFace]:
    return [face for number in range(pictures) for face in draw_hard((1, number), difficulty)[1]]


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    """And another one others; truth included."""
    some = (Difficulty.MANGA, Difficulty.DARK, Difficulty.TOON, Difficulty.JPEG)
    first, again, other = (
        hard.build(tmp_path / name, 8, seed, difficulties=some) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )

    assert [one.path.read_bytes() for one in first] == [one.path.read_bytes() for one in again]
    assert [one.faces for one in first] == [one.faces for one in again]
    assert first[0].path.read_bytes() != other[0].path.read_bytes()


def test_every_difficulty_has_its_turn(whole: list[Labelled]) -> None:
    """None is drawn more often than another; every file is a picture of its name."""
    assert Counter(one.difficulty for one in whole) == Counter(Difficulty)
    for one in whole:
        with Pictures.open(one.path) as picture:
            assert min(picture.size) >= 300
        assert one.difficulty in one.path.name
        assert all(one.difficulty in face.tags for face in one.faces)


def test_a_finished_set_is_not_drawn_again(whole: list[Labelled]) -> None:
    """It is read from its folder."""
    drawn: list[int] = []

    again = hard.build(whole[0].path.parents[1], len(Difficulty), progress=lambda done, _: drawn.append(done))

    assert (again, drawn) == (whole, [])


def test_progress_tells_of_each_picture(tmp_path: Path) -> None:
    """From the first to the last."""
    told: list[tuple[int, int]] = []

    hard.build(tmp_path, 2, progress=lambda *now: told.append(now), difficulties=[Difficulty.LOGO])

    assert told == [(1, 2), (2, 2)]


def test_an_empty_set_is_refused(tmp_path: Path) -> None:
    """Nothing can be measured with it."""
    with pytest.raises(UsageError, match="0 pictures"):
        hard.build(tmp_path, 0)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """The person can choose another."""
    (tmp_path / "file").touch()

    with pytest.raises(StoreError, match="file"):
        hard.build(tmp_path / "file", 1)


# --- the boxes --------------------------------------------------------------------------------------------------------


def what_moves(first: Pictures.Image, second: Pictures.Image) -> Box:
    """The part of a picture in which two drawings differ."""
    left, top, right, bottom = ImageChops.difference(first, second).getbbox() or (0, 0, 0, 0)
    return Box(left=left, top=top, width=right - left, height=bottom - top)


def holds(box: Box, part: Box) -> bool:
    return box.left <= part.left and box.top <= part.top and part.right <= box.right and part.bottom <= box.bottom


def drawn(view: View, pose: Pose) -> Pictures.Image:
    canvas = Pictures.new("RGB", (SIZE[0] * SUPERSAMPLE, SIZE[1] * SUPERSAMPLE), (200, 220, 240))
    draw = draw_profile if view is View.PROFILE else draw_figure
    draw(ImageDraw.Draw(canvas), CAST[1], pose, np.random.default_rng(4))
    return canvas.reduce(SUPERSAMPLE)


@pytest.mark.parametrize(("tilt", "turn"), [(0, 0), (-42, 0), (10, 90), (-10, -90), (5, 180)])
@pytest.mark.parametrize(("view", "yaw"), [(View.FRONT, 0.4), (View.THREE_QUARTER, -1.3), (View.PROFILE, 2.0)])
def test_a_box_holds_the_face(view: View, yaw: float, tilt: float, turn: float) -> None:
    """Whatever moves when somebody shuts the eyes and opens the mouth lies in it, and fills a good part of it."""
    pose = replace(pose_at(np.random.default_rng(9), 200, 200, 150), yaw=yaw, tilt=tilt, turn=turn, blush=False)
    shown = replace(pose, eyelids="open", mouth="line"), replace(pose, eyelids="closed", mouth="open")
    moving = what_moves(*(drawn(view, one) for one in shown))

    truth = (profile_truth if view is View.PROFILE else face_truth)(CAST[1], pose)

    assert holds(truth.box, moving)
    assert moving.width * moving.height > 0.1 * truth.box.area


def test_a_box_holds_the_face_of_a_chibi() -> None:
    """Its larger eyes, too."""
    manner = Manner(eye_wide=1.22, eye_high=1.25, eye_apart=1.06, eye_level=0.08, jaw=1.1, chin=0.78)
    pose = replace(pose_at(np.random.default_rng(9), 200, 200, 150), body=0.5, manner=manner, mouth="line")

    moving = what_moves(*(drawn(View.FRONT, replace(pose, eyelids=lids)) for lids in ("open", "closed")))

    assert holds(face_truth(CAST[1], pose).box, moving)


@pytest.mark.parametrize("number", range(6))
def test_a_box_holds_the_face_of_the_second_style(number: int) -> None:
    """Eyes and mouth, however the head leans and turns."""
    who = fellow(np.random.default_rng([3, number]), 200, 200, 150, tilt=35)
    pictures = []
    for lids, mouth in ((0.0, "line"), (1.0, "open")):
        canvas = Pictures.new("RGB", (SIZE[0] * SUPERSAMPLE, SIZE[1] * SUPERSAMPLE))
        draw_toon(ImageDraw.Draw(canvas), replace(who, lids=lids, mouth=mouth))
        pictures.append(canvas.reduce(SUPERSAMPLE))
    moving = what_moves(*pictures)

    assert holds(toon_box(who), moving)
    assert moving.width * moving.height > 0.15 * toon_box(who).area


# --- what is hidden ---------------------------------------------------------------------------------------------------


def sheet_with_a_face(x: float) -> hard._Sheet:
    sheet = hard._Sheet(Pictures.new("RGB", (400, 400)))
    box = Box(left=0, top=0, width=200, height=200)
    face = DrawnFace(box=box, style=Art.ANIME, view=View.FRONT, tilt=0.0, occluded=0.0, tags=("plain",))
    sheet.seat(Pen(ImageDraw.Draw(sheet.canvas), x, 200, 100), (0, 0), (0.8, 0.8), face)
    return sheet


def test_what_is_laid_over_a_face_is_hidden() -> None:
    """A sheet over its left half leaves the other half, and the face says that it is covered."""
    sheet = sheet_with_a_face(200)

    sheet.lay(lambda draw: draw.rectangle([0, 0, 199, 400], fill=(1, 2, 3)))

    (face,) = sheet.faces()
    assert face.occluded == pytest.approx(0.5, abs=0.02)
    assert "covered" in face.tags


def test_what_lies_beside_a_face_hides_nothing() -> None:
    """Nor does what was there before."""
    sheet = sheet_with_a_face(200)

    sheet.lay(lambda draw: draw.rectangle([0, 0, 60, 60], fill=(1, 2, 3)))

    assert [face.occluded for face in sheet.faces()] == [0.0]


def test_what_lies_beyond_the_border_is_hidden() -> None:
    """A face in the middle of the border is seen by half."""
    (face,) = sheet_with_a_face(400).faces()

    assert face.occluded == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    "difficulty", [Difficulty.HAND, Difficulty.HAIR_OVER_EYE, Difficulty.BOOK, Difficulty.CUT_OFF, Difficulty.MASK]
)
def test_a_covered_face_says_by_how_much(difficulty: Difficulty) -> None:
    """Something of it, and never so much that nobody could tell."""
    shares = [face.occluded for face in faces_of(difficulty)]

    assert float(np.mean(shares)) > 0.08
    assert max(shares) <= 0.75


# --- the difficulties -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("difficulty", [Difficulty.LOGO, Difficulty.PATTERN])
def test_signs_and_patterns_have_no_face(difficulty: Difficulty) -> None:
    """Whatever a detector may say."""
    assert faces_of(difficulty) == []


@pytest.mark.parametrize("difficulty", [Difficulty.MASCOT, Difficulty.ANIMAL, Difficulty.DOLL])
def test_creatures_are_alone_or_with_somebody(difficulty: Difficulty) -> None:
    """Only the people count."""
    assert {bool(draw_hard((1, number), difficulty)[1]) for number in range(12)} == {True, False}


def test_small_faces_are_24_to_48_pixels() -> None:
    """No face of the set is smaller."""
    assert {24 <= face.side <= 48 for face in faces_of(Difficulty.SMALL)} == {True}


def test_a_crowd_is_six_to_twelve() -> None:
    """Faces, none upon another."""
    faces = draw_hard((1, 0), Difficulty.CROWD)[1]

    assert 6 <= len(faces) <= 12
    assert max(face.occluded for face in faces) < 0.75


def test_a_close_up_fills_the_picture() -> None:
    """Nearly from edge to edge."""
    picture, (face,) = draw_hard((1, 0), Difficulty.CLOSE_UP)

    assert face.side > 0.55 * min(picture.size)


@pytest.mark.parametrize(
    ("difficulty", "least", "most"),
    [(Difficulty.TILTED, 20, 45), (Difficulty.LYING, 55, 125), (Difficulty.UPSIDE_DOWN, 140, 180)],
)
def test_a_turned_head_says_how_far(difficulty: Difficulty, least: float, most: float) -> None:
    """In degrees from upright, to either side."""
    leans = [abs(face.tilt) for face in faces_of(difficulty)]

    assert least <= min(leans)
    assert max(leans) <= most


def test_views_are_told_apart() -> None:
    """Front, three-quarter, profile."""
    asked = (Difficulty.PLAIN, Difficulty.THREE_QUARTER, Difficulty.PROFILE)

    assert [{face.view for face in faces_of(one)} for one in asked] == [{view} for view in View]


def test_manga_is_black_and_white() -> None:
    """No pixel has a colour."""
    pixels = np.asarray(draw_hard((1, 0), Difficulty.MANGA)[0])

    assert int(np.ptp(pixels.astype(int), axis=2).max()) == 0


def test_night_is_dark() -> None:
    """Far darker than the same by day could be."""
    assert float(np.asarray(draw_hard((1, 0), Difficulty.DARK)[0]).mean()) < 70


def test_the_second_style_stands_alone() -> None:
    """In its own pictures, and in no other."""
    assert {face.style for face in faces_of(Difficulty.TOON)} == {Art.TOON}
    assert {face.style for face in faces_of(Difficulty.CROWD, 1)} == {Art.ANIME}


def test_a_face_survives_json() -> None:
    """What is written beside the pictures is read back unchanged."""
    face = faces_of(Difficulty.HAND, 1)[0]

    assert DrawnFace.from_json(face.to_json()) == face
