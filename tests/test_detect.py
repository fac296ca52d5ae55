"""Faces are found where they are, by one detector or two, and what a picture does to a worker costs that picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import make
import numpy as np
import planted
import pytest
from PIL import Image as Pictures

from pipeline.detect import DetectFaces, Found, look_alone, look_together
from pipeline.detectors import Face
from pipeline.detectors.animeface import AnimeFace, drawn_face
from pipeline.errors import DetectorError, StoreError
from pipeline.pixels import Pixels, encode_png
from pipeline.records import Box, Image, Reason
from pipeline.sandbox.draw import draw_portrait
from pipeline.stage import Dropped, Kept, fingerprint
from pipeline.workers import Workers


@pytest.fixture
def store(tmp_path: Path) -> planted.PlantedStore:
    return planted.PlantedStore(tmp_path)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2, timeout_s=2) as pool:
        yield pool


def square(left: int, top: int, side: int) -> Box:
    return Box(left=left, top=top, width=side, height=side)


def stored(store: planted.PlantedStore, pixels_HWC: Pixels) -> Image:
    height, width = pixels_HWC.shape[:2]
    return make.image(sha256=store.put(encode_png(pixels_HWC)), width=width, height=height)


def plain(colour: tuple[int, int, int], side: int = 120) -> Pixels:
    return np.full((side, side, 3), colour, np.uint8)


def test_a_face_in_a_picture(store: planted.PlantedStore, workers: Workers) -> None:
    """Box, score and detector come back in pixels of the image, however much it was reduced to be looked at."""
    picture = np.full((2000, 2000, 3), 90, np.uint8)
    image = stored(store, picture)

    outcomes = list(DetectFaces(detectors=("touchy",), workers=workers)([image], store))

    (outcome,) = outcomes
    assert isinstance(outcome, Kept)
    (face,) = outcome.outputs
    assert (face.image_sha256, face.detector, face.agreed) == (image.sha256, "touchy", False)
    assert face.box.overlap(square(500, 500, 1000)) > 0.99


def test_what_a_picture_does_costs_that_picture(store: planted.PlantedStore, workers: Workers) -> None:
    """A native crash and an endless loop drop their image with a reason; all others keep their outcome."""
    good = [stored(store, plain((number, 9, 9))) for number in range(12)]
    aborts, loops, empty = (stored(store, plain(c)) for c in (planted.ABORTS, planted.LOOPS, planted.EMPTY))
    broken = make.image(sha256=store.put(b"\xff\xd8\xff no picture at all"))
    items = [*good[:5], aborts, *good[5:8], loops, empty, broken, *good[8:]]

    outcomes = list(DetectFaces(detectors=("touchy",), workers=workers)(items, store))

    dropped = {one.item.sha256: one.reason for one in outcomes if isinstance(one, Dropped)}
    assert dropped == {
        aborts.sha256: Reason.CRASHED,
        loops.sha256: Reason.TIMED_OUT,
        empty.sha256: Reason.NO_FACE,
        broken.sha256: Reason.TRUNCATED,
    }
    assert sorted(one.item.sha256 for one in outcomes) == sorted(one.sha256 for one in items)


def test_a_broken_detector_ends_the_run(store: planted.PlantedStore, workers: Workers) -> None:
    """What is wrong with the machine is not blamed on the picture."""
    with pytest.raises(DetectorError, match="broken"):
        list(DetectFaces(detectors=("touchy",), workers=workers)([stored(store, plain(planted.RAISES))], store))


def test_a_missing_image_ends_the_run(store: planted.PlantedStore, workers: Workers) -> None:
    """Bytes that the catalog names and the store has not are an error of the data folder."""
    with pytest.raises(StoreError, match="run the build again"):
        list(DetectFaces(detectors=("touchy",), workers=workers)([make.image()], store))


def test_the_number_of_workers_is_no_configuration() -> None:
    """The fingerprint knows the detectors and the sizes, and not who did the work."""
    one, two = (DetectFaces(workers=Workers(count)) for count in (1, 2))

    assert fingerprint(one) == fingerprint(two)
    assert fingerprint(DetectFaces(side=320, workers=Workers(1))) != fingerprint(one)
    with pytest.raises(ValueError, match="one that judges"):
        DetectFaces(detectors=(), workers=Workers(1))


@dataclass(frozen=True)
class Patches:
    """Takes squares of one colour for faces."""

    colours: tuple[tuple[int, int, int], ...]
    name: str = "patches"
    smallest: float = 4.0
    neighbours: int | None = None

    def detect(self, pixels_HWC: Pixels, /) -> list[Face]:
        faces = []
        for colour in self.colours:
            down, across = np.nonzero((np.abs(pixels_HWC.astype(int) - colour) < 20).all(axis=2))
            if down.size >= 16:
                box = square(int(across.min()), int(down.min()), int(down.max() - down.min() + 1))
                faces.append(Face(box=box, score=0.8, neighbours=self.neighbours, hair="#123456"))
        return faces


RED, BLUE, GREEN = (250, 10, 10), (10, 10, 250), (10, 250, 10)


def patched(**where: tuple[int, int, int]) -> Pixels:
    picture = np.full((600, 600, 3), 128, np.uint8)
    for colour, (left, top, side) in where.items():
        picture[top : top + side, left : left + side] = {"red": RED, "blue": BLUE, "green": GREEN}[colour]
    return picture


def test_what_both_see_is_agreed() -> None:
    """The judge's box, score and colours are taken; what only the sure proposer sees waits with half its score."""
    picture = patched(red=(50, 60, 100), blue=(300, 320, 150))
    proposer, judge = Patches((RED, BLUE), "proposer", neighbours=5), Patches((RED,), "judge")

    first, second = look_together(picture, proposer, judge, 600, 1.0)

    assert (first.detector, first.agreed, first.face.hair) == ("judge", True, "#123456")
    assert first.face.box.overlap(square(50, 60, 100)) > 0.95
    assert second == Found(
        Face(box=square(300, 320, 150), score=0.4, neighbours=5, hair="#123456"), "proposer", agreed=False
    )


def test_a_weak_proposal_is_forgotten() -> None:
    """What fewer than five windows propose and the judge does not confirm is not even shown to a person."""
    picture = patched(red=(50, 60, 100), blue=(300, 320, 150))
    proposer, judge = Patches((RED, BLUE), "proposer", neighbours=4), Patches((RED,), "judge")

    assert [one.detector for one in look_together(picture, proposer, judge, 600, 1.0)] == ["judge"]


def test_the_judge_looks_for_itself() -> None:
    """Where nothing is agreed on, the judge searches the whole picture; what it finds is its own."""
    (found,) = look_together(
        patched(red=(50, 60, 100)), Patches((GREEN,), "proposer"), Patches((RED,), "judge"), 600, 1.0
    )

    assert (found.detector, found.agreed) == ("judge", False)
    assert found.face.box == square(50, 60, 100)


def test_small_faces_need_not_be_found() -> None:
    """A face under the limit is left out."""
    picture = patched(red=(50, 60, 40), blue=(300, 320, 150))

    (found,) = look_alone(picture, Patches((RED, BLUE)), 600, 50.0)

    assert found.face.box == square(300, 320, 150)


def test_one_face_is_found_once() -> None:
    """Boxes of the same face, one in the other too, give way to the surest."""
    picture = patched(red=(100, 100, 100))
    picture[120:160, 120:160] = BLUE

    assert len(look_alone(picture, Patches((RED, BLUE)), 600, 1.0)) == 1


def test_a_closer_look_finds_small_faces() -> None:
    """A face too small for the reduced picture is found, unless it is smaller than what is asked for."""
    picture = np.full((1000, 1000, 3), 200, np.uint8)
    picture[450:560, 450:560] = drawn_face(110)

    assert len(look_alone(picture, AnimeFace(), 640, 48.0)) == 1
    assert look_alone(picture, AnimeFace(), 640, 110.0) == []


@pytest.mark.parametrize("degrees", [-50, 50])
def test_a_tilted_look_finds_tilted_faces(degrees: int) -> None:
    """A face that the upright look misses is found tilted, with half its score: a person decides."""
    picture = np.array(Pictures.fromarray(drawn_face(600)).rotate(degrees, fillcolor=(206, 226, 240)))
    assert AnimeFace().detect(picture) == []

    (found,) = look_alone(picture, AnimeFace(), 640, 48.0)

    assert 0.2 < found.face.score <= 0.5
    assert found.face.box.overlap(square(70, 150, 430)) > 0.4


def test_drawn_characters_are_found(tmp_path: Path) -> None:
    """animeface alone finds the faces of the sandbox, where they are, and little else."""
    store = planted.PlantedStore(tmp_path)
    drawings = [draw_portrait((11, number), long_side=(700, 800)) for number in range(16)]
    images = {stored(store, np.asarray(one.picture)).sha256: one for one in drawings}
    items = [
        make.image(sha256=sha256, width=one.picture.width, height=one.picture.height) for sha256, one in images.items()
    ]

    with Workers(2) as workers:
        outcomes = list(DetectFaces(detectors=("animeface",), workers=workers)(items, store))

    found = [face for one in outcomes if isinstance(one, Kept) for face in one.outputs if face.score >= 0.6]
    right = [face for face in found if face.box.overlap(images[face.image_sha256].truth.faces[0].box) > 0.5]
    assert len(right) >= 15
    assert len(found) - len(right) <= 1
