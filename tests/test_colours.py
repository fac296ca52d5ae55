"""Colours are named as they were drawn, without a detector's help, and not where there are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pipeline import colours, labels
from pipeline.colours import Colours, colours_of
from pipeline.crop import crop_face, window_about
from pipeline.eyes import usual_eyes
from pipeline.pixels import Pixels
from pipeline.sandbox.draw import CAST, pose_at, scene
from pipeline.sandbox.figure import EYES, HAIR, Character, draw_figures, face_truth
from pipeline.sandbox.ink import SUPERSAMPLE

FACES = 60


def somebody(seed: int) -> Character:
    """One of the cast, whose hair and eyes have any colours."""
    rng = np.random.default_rng([seed, 1])
    who = CAST[seed % len(CAST)]
    return replace(who, hair=list(HAIR)[int(rng.integers(13))], eyes=list(EYES)[int(rng.integers(10))])


def as_it_is(pixels_HWC: Pixels) -> Pixels:
    return pixels_HWC


def measured(
    who: Character, seed: int, eyelids: str = "open", printed: Callable[[Pixels], Pixels] = as_it_is
) -> Colours:
    """Draw the front of a face somewhere, cut it out, and measure it where eyes usually are."""
    rng = np.random.default_rng([seed, 2])
    pose = pose_at(rng, 210, 200, 160, tilt=8)
    canvas = scene(rng, (420, 420))
    draw_figures(canvas, [(who, replace(pose, yaw=pose.yaw * 0.4, eyelids=eyelids))], rng)
    box = face_truth(who, pose).box
    window = window_about(box, 1.5)
    crop = crop_face(printed(np.array(canvas.reduce(SUPERSAMPLE))), window, 128)
    (x0, y0), (x1, y1) = (window.seen(eye) for eye in usual_eyes(box))
    scale = 128 / window.side
    eyes = ((x0 * scale, y0 * scale), (x1 * scale, y1 * scale))
    return colours_of(crop, eyes=eyes, face=box.width * scale)


def test_the_names_are_those_of_the_labels() -> None:
    """In their order: 13 of hair, 10 of eyes."""
    assert tuple(colours.HAIR) == labels.HAIR
    assert tuple(colours.EYES) == labels.EYES


def test_drawn_colours_get_their_names() -> None:
    """At least 95 of 100 colours of hair, and 85 of eyes; and a name that is sure of itself is right."""
    cast = [somebody(seed) for seed in range(FACES)]
    found = [measured(who, seed) for seed, who in enumerate(cast)]

    hair = [one.hair_colour == who.hair for one, who in zip(found, cast, strict=True)]
    eyes = [one.eye_colour == who.eyes for one, who in zip(found, cast, strict=True)]
    sure = [right for right, one in zip(hair, found, strict=True) if one.hair_confidence >= 0.5]
    sure += [right for right, one in zip(eyes, found, strict=True) if one.eye_confidence >= 0.5]

    assert np.mean(hair) >= 0.95
    assert np.mean(eyes) >= 0.85
    assert len(sure) > FACES
    assert np.mean(sure) >= 0.98


def test_what_is_measured_is_the_colour_of_the_picture() -> None:
    """Close to the paint, in each channel."""
    who = replace(CAST[0], hair="red", eyes="blue")

    found = measured(who, 3)

    for told, paint in ((found.hair, HAIR["red"]), (found.skin, who.skin)):
        seen = [int(told[at : at + 2], 16) for at in (1, 3, 5)]
        assert np.abs(np.array(seen) - paint).max() < 25


def test_white_hair_is_white_in_dim_light() -> None:
    """The white of the eyes tells what light there is."""
    who = replace(CAST[3], hair="white", wears=())

    dim = measured(who, 5, printed=lambda pixels: (pixels * np.array((170, 170, 190)) // 255).astype(np.uint8))

    assert dim.hair_colour == "white"


@pytest.mark.parametrize(
    ("dark", "light"),
    [((0, 0, 0), (255, 255, 255)), ((40, 20, 10), (255, 240, 214)), ((10, 20, 60), (240, 248, 255))],
    ids=["grey", "sepia", "blue"],
)
def test_a_print_of_one_ink_has_no_colours(dark: tuple[int, int, int], light: tuple[int, int, int]) -> None:
    """Whatever the ink."""

    def printed(pixels_HWC: Pixels) -> Pixels:
        shade_HW1 = pixels_HWC.mean(axis=2, keepdims=True) / 255
        return (np.array(dark) + (np.array(light) - np.array(dark)) * shade_HW1).astype(np.uint8)

    assert measured(CAST[0], 3).hair_colour == "red"
    assert measured(CAST[0], 3, printed=printed) == Colours()


def test_closed_eyes_have_no_colour() -> None:
    """Lids and lashes are no iris."""
    found = measured(replace(CAST[3], hair="aqua"), 4, eyelids="closed")

    assert (found.eyes, found.eye_colour, found.eye_confidence) == ("", "", 0.0)
    assert found.hair_colour == "aqua"


def grey(seed: int) -> Pixels:
    return np.repeat(np.random.default_rng(seed).integers(0, 256, (64, 64, 1), np.uint8), 3, axis=2)


@pytest.mark.parametrize(
    ("crop", "eyes"),
    [
        (grey(1), ((22.0, 28.0), (42.0, 28.0))),  # without colour
        (np.full((64, 64, 3), (255, 0, 0), np.uint8), ((-900.0, 28.0), (-880.0, 28.0))),  # the face is elsewhere
    ],
    ids=["monochrome", "elsewhere"],
)
def test_nothing_is_made_up(crop: Pixels, eyes: tuple[tuple[float, float], tuple[float, float]]) -> None:
    """A picture without colour, or without the face, has no colours."""
    assert colours_of(crop, eyes=eyes, face=42.0) == Colours()


@pytest.mark.parametrize("seed", range(8))
def test_any_pixels_will_do(seed: int) -> None:
    """Noise, even colour, an eye at the border: always an answer, with a confidence of 0 to 1."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (16 + seed * 9, 16 + seed * 9, 3), np.uint8)
    crop = noise if seed % 2 else np.broadcast_to(noise[0, 0], noise.shape).copy()
    x, y = rng.uniform(0, len(crop), 2)

    found = colours_of(crop, eyes=((x, y), (x + len(crop) / 4, y + 1)), face=len(crop) / 1.5)

    assert 0 <= found.hair_confidence <= 1
    assert 0 <= found.eye_confidence <= 1
