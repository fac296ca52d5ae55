"""Faces are found where they are, by one detector or two, and what a picture does to a worker costs that picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import make
import numpy as np
import planted
import pytest

from pipeline.detect import DetectFaces
from pipeline.errors import DetectorError, StoreError
from pipeline.pixels import Pixels, encode_png
from pipeline.records import Box, Image, Reason
from pipeline.sandbox.draw import draw_portrait
from pipeline.score import Model
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


def test_another_score_judges_anew() -> None:
    """What the evidence is worth belongs to the configuration."""
    shipped, own = (DetectFaces(model=model, workers=Workers(1)) for model in (None, Model((("bias", 1.0),))))

    assert fingerprint(shipped) != fingerprint(own)


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

    found = [face for one in outcomes if isinstance(one, Kept) for face in one.outputs if face.score >= 0.5]
    right = [face for face in found if face.box.overlap(images[face.image_sha256].truth.faces[0].box) > 0.5]
    assert len(right) >= 15
    assert len(found) - len(right) <= 1
