"""Proposals are cheap, a judge sees each, and only doubt is worth a second look."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image as Pictures

from pipeline.detectors import Face
from pipeline.detectors.animeface import AnimeFace, drawn_face
from pipeline.look import Found, find, plausible
from pipeline.pixels import Pixels
from pipeline.records import Box, Landmarks
from pipeline.score import Model

RED, BLUE, GREEN = (250, 10, 10), (10, 10, 250), (10, 250, 10)
CONFIDENT = Model((("bias", -3.0), ("judge seen", 6.0), ("proposer seen", 1.0)))
MARKS = Landmarks(left_eye=(70, 50), right_eye=(30, 50), mouth=(50, 75), nose=(50, 60), chin=(50, 90))


def square(left: int, top: int, side: int) -> Box:
    return Box(left=left, top=top, width=side, height=side)


@dataclass(frozen=True)
class Patches:
    """Takes squares of one colour for faces, and remembers the size of every picture that it was shown."""

    name: str
    colours: tuple[tuple[int, int, int], ...]
    shift: int = 0  # pixels to the right by which its boxes are off
    smallest: float = 4.0
    sight: int | None = None
    shown: list[int] = field(default_factory=list)

    def detect(self, pixels_HWC: Pixels, _least: float = 0.0, /) -> list[Face]:
        self.shown.append(pixels_HWC.shape[1])
        faces = []
        for colour in self.colours:
            down, across = np.nonzero((np.abs(pixels_HWC.astype(int) - colour) < 20).all(axis=2))
            if down.size >= 16:
                left, top, side = int(across.min()), int(down.min()), int(down.max() - down.min() + 1)
                faces.append(Face(box=square(left + self.shift, top, side), score=0.8, hair="#123456"))
        return faces


def patched(**where: tuple[int, int, int]) -> Pixels:
    picture = np.full((600, 600, 3), 128, np.uint8)
    for colour, (left, top, side) in where.items():
        picture[top : top + side, left : left + side] = {"red": RED, "blue": BLUE, "green": GREEN}[colour]
    return picture


def said(found: Found) -> dict[str, float]:
    return dict(found.evidence)


def test_the_judge_confirms_or_does_not() -> None:
    """What both see is of both and has the judge's colours; the other is kept with a low probability."""
    picture = patched(red=(50, 60, 100), blue=(300, 320, 150))
    proposer, judge = Patches("proposer", (RED, BLUE)), Patches("judge", (RED,))

    red, blue = find(picture, [proposer, judge], CONFIDENT, 600, 1.0)

    assert (red.detectors, red.face.hair) == (("proposer", "judge"), "#123456")
    assert red.face.score == pytest.approx(1 / (1 + math.exp(-4)))
    assert blue.detectors == ("proposer",)
    assert blue.face.score == pytest.approx(1 / (1 + math.exp(2)))


def test_a_box_is_the_middle_of_what_was_proposed() -> None:
    """Two proposers that are off to either side by ten pixels meet in the middle; the judge moves no box."""
    first, second = Patches("first", (RED,), shift=-10), Patches("second", (RED,), shift=10)

    (found,) = find(
        patched(red=(50, 60, 100)), [first, second, Patches("judge", (RED,), shift=30)], CONFIDENT, 600, 1.0
    )

    assert found.face.box == square(50, 60, 100)
    assert found.detectors == ("first", "second", "judge")  # in the order in which they are asked


def test_only_doubt_is_worth_a_second_look() -> None:
    """The judge is shown a sure place once, and a doubtful one in other ways until one of them confirms it."""
    picture = patched(red=(250, 260, 100))
    sure, doubtful = Patches("judge", (RED,)), Patches("judge", (RED,))

    find(picture, [Patches("proposer", (RED,)), sure], CONFIDENT, 600, 1.0)
    (found,) = find(picture, [Patches("proposer", (RED,)), doubtful], Model((("again seen", 3.0),)), 600, 1.0)

    assert (len(sure.shown), len(doubtful.shown)) == (1, 2)
    assert said(found)["again seen"] == 1.0


def test_doubt_that_no_answer_can_end_is_left() -> None:
    """Where second looks count for nothing, nobody takes one."""
    judge = Patches("judge", (RED,))

    (found,) = find(
        patched(red=(250, 260, 100)), [Patches("proposer", (RED,)), judge], Model((("again seen", 0.1),)), 600, 1.0
    )

    assert (len(judge.shown), found.face.score) == (1, 0.5)


def test_a_cascade_beside_a_network_sees_windows() -> None:
    """It is shown the places that the network proposes, and no whole picture; what it confirms, it has seen."""
    witness = Patches("cascade", (RED,))
    net = Patches("net", (RED, BLUE), sight=300)

    red, blue = find(
        patched(red=(50, 60, 100), blue=(300, 320, 150)), [net, witness, Patches("judge", ())], CONFIDENT, 600, 1.0
    )

    assert (red.detectors, blue.detectors) == (("net", "cascade"), ("net",))
    assert max(witness.shown) < 100


def test_a_cascade_searches_where_the_network_sees_nothing() -> None:
    """What the network is blind to is still found."""
    cascade, net = Patches("cascade", (RED,)), Patches("net", (GREEN,), sight=300)

    (found,) = find(patched(red=(50, 60, 100)), [net, cascade, Patches("judge", (RED,))], CONFIDENT, 600, 1.0)

    assert found.detectors == ("cascade", "judge")


def test_an_improbable_place_is_not_looked_at_again() -> None:
    """Nobody spends time on what is not going to be shown to anyone."""
    judge = Patches("judge", (RED,))

    find(patched(red=(50, 60, 100)), [Patches("proposer", (RED,)), judge], Model((("bias", -9.0),)), 600, 1.0)

    assert len(judge.shown) == 1


def test_the_judge_searches_where_nobody_saw_anything() -> None:
    """It sees the whole picture, half as large, and what it finds is its own."""
    judge = Patches("judge", (RED,))

    (found,) = find(patched(red=(50, 60, 100)), [Patches("proposer", (GREEN,)), judge], CONFIDENT, 600, 1.0)

    assert (found.detectors, found.face.box) == (("judge",), square(50, 60, 100))
    assert judge.shown[0] == 300


def test_small_faces_need_not_be_found() -> None:
    """A face under the limit is left out, and costs the judge nothing."""
    picture = patched(red=(50, 60, 40), blue=(300, 320, 150))
    judge = Patches("judge", (RED, BLUE))

    (found,) = find(picture, [Patches("proposer", (RED, BLUE)), judge], CONFIDENT, 600, 50.0)

    assert found.face.box == square(300, 320, 150)
    assert len(judge.shown) == 1


def test_one_face_is_found_once() -> None:
    """A box in the other is of the same face."""
    picture = patched(red=(100, 100, 100))
    picture[120:160, 120:160] = BLUE

    assert len(find(picture, [Patches("judge", (RED, BLUE))], CONFIDENT, 600, 1.0)) == 1


def test_a_closer_look_finds_small_faces() -> None:
    """A face too small for the reduced picture is found, unless it is smaller than what is asked for."""
    picture = np.full((1000, 1000, 3), 200, np.uint8)
    picture[450:560, 450:560] = drawn_face(110)

    assert len(find(picture, [AnimeFace()], Model(), 640, 48.0)) == 1
    assert find(picture, [AnimeFace()], Model(), 640, 110.0) == []


def test_a_network_looks_closer_part_by_part() -> None:
    """What brings every picture to one size is shown parts of a large one, if a small face says that more may be."""
    picture = patched(red=(50, 60, 12), blue=(560, 570, 20))
    net = Patches("net", (RED, BLUE), smallest=10.0, sight=300)

    red, blue = find(picture, [net, Patches("judge", (RED, BLUE))], CONFIDENT, 400, 1.0)

    assert (red.face.box, blue.face.box) == (square(50, 60, 12), square(560, 570, 20))
    assert net.shown == [600, *[300] * 9]


def test_a_network_that_sees_nothing_is_believed() -> None:
    """Pictures without a face are many, and are not looked at part by part."""
    net = Patches("net", (GREEN,), smallest=10.0, sight=300)

    find(patched(red=(50, 60, 12)), [net, Patches("judge", ())], CONFIDENT, 400, 1.0)

    assert net.shown == [600]


@pytest.mark.parametrize("degrees", [-50, 50])
def test_a_detector_that_is_alone_looks_for_tilted_faces(degrees: int) -> None:
    """A face that the upright look misses is found where it is, and its eyes with it."""
    picture = np.array(Pictures.fromarray(drawn_face(600)).rotate(-degrees, fillcolor=(206, 226, 240)))
    assert AnimeFace().detect(picture) == []

    (found,) = find(picture, [AnimeFace()], Model(), 640, 48.0)

    assert found.face.box.overlap(square(70, 150, 430)) > 0.4
    assert found.face.landmarks is not None
    (left, right) = found.face.landmarks.left_eye, found.face.landmarks.right_eye
    assert math.degrees(math.atan2(left[1] - right[1], left[0] - right[0])) == pytest.approx(degrees, abs=10)


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_second_look_sees_who_lies_or_stands_on_the_head(turn: int) -> None:
    """The judge, which knows upright faces alone, confirms a doubtful place turned; its eyes are where they are."""
    picture = np.full((400, 400, 3), (206, 226, 240), np.uint8)
    picture[70:270, 100:300] = drawn_face(200)  # its face is in the middle of the picture
    picture = np.rot90(picture, -turn // 90)

    (found,) = find(np.ascontiguousarray(picture), [_Everywhere(square(115, 115, 170)), AnimeFace()], Model(), 400, 1.0)

    assert said(found)["again seen"] == 1.0
    assert found.face.landmarks is not None
    (left, right) = found.face.landmarks.left_eye, found.face.landmarks.right_eye
    assert math.degrees(math.atan2(left[1] - right[1], left[0] - right[0])) % 360 == pytest.approx(turn, abs=12)


@dataclass(frozen=True)
class _Everywhere:
    """Proposes one place, whatever it is shown."""

    box: Box
    name: str = "proposer"
    smallest: float = 1.0
    sight: None = None

    def detect(self, _pixels_HWC: Pixels, _least: float = 0.0, /) -> list[Face]:
        return [Face(box=self.box, score=0.5)]


def test_parts_belong_somewhere() -> None:
    """Eyes apart, the mouth between and below, the chin under it; also when the whole face lies."""
    lying = Landmarks(left_eye=(50, 70), right_eye=(50, 30), mouth=(25, 50), nose=(40, 50), chin=(10, 50))

    assert plausible(MARKS, square(0, 0, 100)) == 1.0
    assert plausible(lying, square(0, 0, 100)) == 1.0


@pytest.mark.parametrize(
    "wrong",
    [{"mouth": (50, 20)}, {"mouth": (95, 75)}, {"chin": (50, 60)}, {"left_eye": (32, 50)}, {"left_eye": (115, 50)}],
)
def test_parts_in_odd_places_speak_against_a_face(wrong: dict[str, tuple[int, int]]) -> None:
    """Each that is not where it belongs lowers the share."""
    values = {"left_eye": (70, 50), "right_eye": (30, 50), "mouth": (50, 75), "nose": (50, 60), "chin": (50, 90)}

    assert plausible(Landmarks(**{**values, **wrong}), square(0, 0, 100)) < 1.0


def test_eyes_in_one_place_are_none() -> None:
    """Nonsense is no face, and no error."""
    same = Landmarks(left_eye=(50, 50), right_eye=(50, 50), mouth=(50, 50), nose=(50, 50), chin=(50, 50))

    assert plausible(same, square(0, 0, 100)) == 0.0
