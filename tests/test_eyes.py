"""Eyes are found where they are, from a rough word of a detector, or not at all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.eyes import Eyes, look_up, tilt_of, usual_eyes
from pipeline.pixels import Pixels
from pipeline.records import Box
from pipeline.sandbox.draw import CAST, pose_at, scene
from pipeline.sandbox.figure import BOX_SIDE, draw_figures
from pipeline.sandbox.ink import SUPERSAMPLE

FACE = 150  # pixels


def drawn(seed: int) -> tuple[Pixels, Eyes, float]:
    """One of the cast with her head tilted, where her eyes are, and the tilt."""
    rng = np.random.default_rng([seed, 4])
    pose = replace(pose_at(rng, 180, 170, FACE), eyelids="open", tilt=float(rng.uniform(-40, 40)))
    canvas = scene(rng, (360, 380))
    draw_figures(canvas, [(CAST[seed % len(CAST)], pose)], rng)
    cosine, sine = math.cos(math.radians(pose.tilt)), math.sin(math.radians(pose.tilt))
    y = 0.22 + pose.pitch * 0.08
    left, right = (
        (pose.x + pose.scale * (x * cosine - y * sine), pose.y + pose.scale * (x * sine + y * cosine))
        for x in (-0.47 + pose.yaw * 0.16, 0.47 + pose.yaw * 0.16)
    )
    assert pose.scale * BOX_SIDE == pytest.approx(FACE)
    return np.array(canvas.reduce(SUPERSAMPLE)), (left, right), pose.tilt


def test_what_is_told_roughly_is_found_precisely() -> None:
    """Eyes that a detector puts a tenth of the face off are found: half of the tilts to within 1.5 degrees."""
    rng = np.random.default_rng(6)
    told, found = [], []
    for seed in range(30):
        pixels, eyes, tilt = drawn(seed)
        left, right = ((x + rng.uniform(-0.06, 0.06) * FACE, y + rng.uniform(-0.06, 0.06) * FACE) for x, y in eyes)
        told.append(abs(tilt_of((left, right)) - tilt))
        found.append(abs(tilt_of(look_up((left, right), pixels, FACE)) - tilt))

    assert np.median(told) > 3
    assert np.median(found) < 1.5


@pytest.mark.parametrize("shade", [0, 128, 255])
def test_where_nothing_is_darker_they_stay(shade: int) -> None:
    """An even picture tells nothing: the word of the detector stands."""
    eyes = ((60.0, 50.0), (95.0, 60.0))

    found = look_up(eyes, np.full((120, 150, 3), shade, np.uint8), 90)

    assert np.array(found) == pytest.approx(np.array(eyes))


def test_eyes_are_where_they_are_as_a_rule() -> None:
    """Level, and a little above the middle of the box."""
    (x0, y0), (x1, y1) = usual_eyes(Box(left=100, top=200, width=100, height=100))

    assert (x0 + x1) / 2 == 150
    assert y0 == y1 == 243
    assert x1 - x0 == pytest.approx(38)


def test_less_than_a_degree_is_level() -> None:
    """It cannot be told from whole pixels, and no crop is made anew for it."""
    assert tilt_of(((0, 0), (100, 1))) == 0
    assert tilt_of(((0, 0), (100, -10))) == -5.7
