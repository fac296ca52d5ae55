"""The animeface network sees through the forged picture, and says so when it does not."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from pipeline.detectors import animeface
from pipeline.detectors.animeface import AnimeFace, drawn_face
from pipeline.errors import DetectorError
from pipeline.records import Box


@pytest.mark.parametrize("side", [112, 160, 320])
def test_sees_a_drawn_face(side: int) -> None:
    """One face, where it is, as the cascade would box it, with its colours."""
    (face,) = AnimeFace.ready().detect(drawn_face(side))

    assert face.score > 0.9
    assert face.box.overlap(Box(left=side // 7, top=side * 2 // 7, width=side * 5 // 7, height=side * 5 // 7)) > 0.7
    assert face.eyes is not None
    assert int(face.eyes[5:], 16) > int(face.eyes[1:3], 16)  # rather blue than red
    assert len(face.hair or "") == 7


def test_sees_nothing_where_nothing_is() -> None:
    """Plain colours, noise, and pictures that are too small hold no face."""
    noise = np.random.default_rng(1).integers(0, 256, (120, 120, 3), dtype=np.uint8)

    for picture in (np.zeros((200, 200, 3), np.uint8), noise, np.zeros((1, 1, 3), np.uint8), drawn_face()[:40]):
        assert AnimeFace().detect(picture) == []


def test_sees_the_same_in_any_layout() -> None:
    """Rows that do not lie one after the other in memory are no trouble."""
    plain = drawn_face()
    wide = np.zeros((128, 256, 4), np.uint8)
    wide[:, :128, :3] = plain

    assert AnimeFace().detect(wide[:, :128, :3]) == AnimeFace().detect(plain) != []


def test_colours_do_not_depend_on_what_came_before() -> None:
    """The same picture gives the same colours, whatever was looked at in between: manifests are compared by bytes."""
    detector = AnimeFace()

    seen = []
    for side in (112, 96, 160):
        detector.detect(drawn_face(side))
        seen += detector.detect(drawn_face(128))

    assert seen[0] == seen[1] == seen[2]


def test_leaves_the_memory_in_order() -> None:
    """The forged object survives the garbage collector, many times over."""
    picture = drawn_face(96)
    first = AnimeFace().detect(picture)

    for _ in range(100):
        assert AnimeFace().detect(picture) == first
        gc.collect(0)
    gc.collect()


def test_blindness_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that finds nothing in a drawing of a face is not used."""
    monkeypatch.setattr(animeface._nvxs, "detect", lambda _: [], raising=True)

    with pytest.raises(DetectorError, match="blind"):
        AnimeFace.ready()
