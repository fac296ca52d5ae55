"""What a network is shown: however a picture is turned, its boxes stay on its faces."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.records import Box
from pipeline.train import sheets
from pipeline.train.sheets import Coloured, Sheet, sheet, spoiled

FACE = Box(left=220, top=90, width=60, height=60)


def picture(*faces: Box, ignored: tuple[Box, ...] = ()) -> Coloured:
    """Black, with a white disc in the place of each face."""
    pixels_HWC = np.zeros((300, 400, 3), np.uint8)
    y, x = np.mgrid[:300, :400]
    for face in (*faces, *ignored):
        far = np.hypot(x - face.left - face.width / 2 + 0.5, y - face.top - face.height / 2 + 0.5)
        pixels_HWC[far < face.width / 2] = 255
    return Coloured(pixels_HWC, faces, ignored)


@pytest.fixture
def unspoiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let colours be."""
    monkeypatch.setattr(sheets, "spoiled", lambda pixels_HWC, _: pixels_HWC)
    monkeypatch.setattr(sheets, "_beside", lambda _: (0, 0, 0))


def drawn(seed: int, one: Coloured, side: int = 256) -> Sheet:
    return sheet([one], side, np.random.default_rng(seed))


@pytest.mark.usefixtures("unspoiled")
def test_boxes_stay_on_their_faces() -> None:
    """Turned, mirrored, scaled or one of four: the white disc fills the box, and nothing white lies elsewhere."""
    seen = 0
    for seed in range(60):
        one = drawn(seed, picture(FACE))
        left = one.pixels_HWC[:, :, 0].astype(int)
        for x, y, side in one.faces:
            inside = left[max(0, round(y - side / 4)) : round(y + side / 4), max(0, round(x - side / 4)) :][
                :, : round(side / 2)
            ]
            if side > 12:
                assert inside.mean() > 200
                seen += 1
            left[max(0, round(y - side / 2) - 3) : round(y + side / 2) + 3, max(0, round(x - side / 2) - 3) :][
                :, : round(side) + 6
            ] = 0
        for x0, y0, x1, y1 in one.ignored:
            left[int(y0) : int(y1) + 2, int(x0) : int(x1) + 2] = 0
        assert (left > 128).mean() < 0.01
    assert seen > 30


def test_undecided_places_stay_undecided() -> None:
    """They travel as faces do, and are none."""
    made = [drawn(seed, picture(ignored=(FACE,))) for seed in range(20)]

    assert all(len(one.faces) == 0 for one in made)
    assert sum(len(one.ignored) > 0 for one in made) > 15


def test_a_face_beyond_the_border_is_undecided() -> None:
    """Of a face of which little is left on the sheet nobody could say that it is one."""
    for seed in range(60):
        for x, y, side in drawn(seed, picture(FACE)).faces:
            on = [max(0.0, min(256.0, at + side / 2) - max(0.0, at - side / 2)) for at in (x, y)]
            assert on[0] * on[1] >= 0.39 * side**2


def test_the_same_chance_gives_the_same_sheet() -> None:
    """And another chance another one."""
    first, again, other = (drawn(seed, picture(FACE)) for seed in (1, 1, 2))

    assert np.array_equal(first.pixels_HWC, again.pixels_HWC)
    assert np.array_equal(first.faces, again.faces)
    assert not np.array_equal(first.pixels_HWC, other.pixels_HWC)


def test_spoiling_keeps_the_picture_what_it_is() -> None:
    """Its size, its type, and mostly its shapes: what was lighter than the rest differs from it still."""
    before = picture(FACE).pixels_HWC
    inside, outside = before[:, :, 0] > 0, before[:, :, 0] == 0
    kept = 0
    for seed in range(50):
        after = spoiled(before, np.random.default_rng(seed))
        assert after.shape == before.shape
        assert after.dtype == np.uint8
        kept += abs(float(after[inside].mean()) - float(after[outside].mean())) > 10
    assert kept > 40
