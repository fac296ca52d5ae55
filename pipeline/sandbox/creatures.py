"""Hides what has eyes or the look of a face and is nobody's: mascots, animals, dolls, logos, patterns."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from PIL import ImageDraw

from pipeline.sandbox.figure import EYES, HAIR
from pipeline.sandbox.ink import Colour, Pen, arc, bend, blade, darker, lighter, mix, through, xy

_INK: Colour = (52, 38, 48)
_FURS: tuple[Colour, ...] = (
    (226, 168, 96),
    (240, 236, 228),
    (96, 84, 84),
    (178, 128, 84),
    (160, 166, 178),
    (60, 56, 64),
)

Thing = Callable[[ImageDraw.ImageDraw, float, float, float, np.random.Generator], None]  # x, y, radius on the canvas


def _pen(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> Pen:
    return Pen(draw, x, y, radius, float(rng.uniform(-12, 12)), _INK, 0.04)


def _bright(rng: np.random.Generator) -> Colour:
    return tuple(HAIR.values())[int(rng.integers(len(HAIR)))]


def _fur(rng: np.random.Generator) -> Colour:
    return _FURS[int(rng.integers(len(_FURS)))]


def _glossy(pen: Pen, x: float, y: float, wide: float, high: float, colour: Colour) -> None:
    """An eye with highlights, as those of characters have."""
    pen.fill(arc(x, y, wide, high), darker(colour, 70))
    pen.fill(arc(x, y + high * 0.25, wide * 0.75, high * 0.6), colour)
    pen.fill(arc(x, y, wide * 0.4, high * 0.5), (30, 24, 34))
    pen.fill(arc(x - wide * 0.35, y - high * 0.4, wide * 0.32, high * 0.28), (255, 255, 255))
    pen.fill(arc(x + wide * 0.3, y + high * 0.4, wide * 0.16, high * 0.14), (255, 255, 255))


# --- mascots ----------------------------------------------------------------------------------------------------------


def slime(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A drop with large eyes."""
    pen, colour = _pen(draw, x, y, radius, rng), _bright(rng)
    pen.shape(
        through(
            xy(
                (0, -1.1),
                (0.45, -0.55),
                (0.95, 0.15),
                (0.85, 0.8),
                (0, 0.95),
                (-0.85, 0.8),
                (-0.95, 0.15),
                (-0.45, -0.55),
            )
        ),
        colour,
    )
    pen.fill(arc(-0.35, -0.35, 0.14, 0.2), lighter(colour, 65))
    iris = tuple(EYES.values())[int(rng.integers(len(EYES)))]
    for side in (-1, 1):
        _glossy(pen, side * 0.36, 0.18, 0.17, 0.24, iris)
        pen.fill(arc(side * 0.6, 0.5, 0.12, 0.06), mix(colour, (240, 90, 110), 50))
    pen.stroke(bend(xy((-0.15, 0.5)), xy((0, 0.66)), xy((0.15, 0.5))), 1.2)


def blob(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A round thing with feet, an antenna, and a belly."""
    pen, colour = _pen(draw, x, y, radius, rng), _bright(rng)
    for side in (-1, 1):
        pen.shape(arc(side * 0.45, 0.95, 0.3, 0.18), darker(colour, 20))
        pen.shape(through(xy((0.85, 0.1), (1.25, -0.1), (1.2, 0.3), (0.9, 0.4))) * (side, 1), colour)
    pen.stroke(bend(xy((0, -0.9)), xy((0.1, -1.3)), xy((0.3, -1.35))), 2.0)
    pen.shape(arc(0.32, -1.38, 0.13, 0.13), (250, 210, 80))
    pen.shape(arc(0, 0, 1.0, 1.0, steps=36), colour)
    pen.fill(arc(0, 0.4, 0.6, 0.45), lighter(colour, 60))
    if rng.integers(3) == 0:
        pen.shape(arc(0, -0.15, 0.42, 0.42), (255, 255, 255))
        _glossy(pen, 0, -0.12, 0.22, 0.26, darker(colour, 50))
    else:
        for side in (-1, 1):
            pen.fill(arc(side * 0.32, -0.15, 0.1, 0.16), _INK)
            pen.fill(arc(side * 0.32 - 0.03, -0.22, 0.04, 0.05), (255, 255, 255))
    pen.shape(through(xy((-0.2, 0.22), (0.2, 0.22), (0.1, 0.42), (-0.1, 0.42))), (150, 48, 58))


def robot(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A box with a screen for a face."""
    pen, colour = _pen(draw, x, y, radius, rng), mix(_bright(rng), (190, 196, 206), 50)
    pen.shape(xy((-0.4, 0.8), (0.4, 0.8), (0.55, 1.6), (-0.55, 1.6)), darker(colour, 15))
    for side in (-1, 1):
        pen.shape(xy((0.95, -0.2), (1.15, -0.2), (1.15, 0.3), (0.95, 0.3)) * (side, 1), darker(colour, 30))
    pen.shape(xy((-0.95, -0.75), (0.95, -0.75), (0.95, 0.75), (-0.95, 0.75)), colour)
    pen.shape(xy((-0.75, -0.55), (0.75, -0.55), (0.75, 0.5), (-0.75, 0.5)), (30, 40, 56))
    glow = ((110, 230, 240), (250, 200, 90), (140, 240, 150))[int(rng.integers(3))]
    for side in (-1, 1):
        pen.fill(arc(side * 0.34, -0.1, 0.16, 0.2), glow)
    pen.stroke(bend(xy((-0.25, 0.25)), xy((0, 0.42)), xy((0.25, 0.25))), 1.8, glow)


# --- animals ----------------------------------------------------------------------------------------------------------


def cat(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Sits and looks at you."""
    pen, fur = _pen(draw, x, y, radius, rng), _fur(rng)
    pen.stroke(bend(xy((0.6, 2.2)), xy((1.9, 2.1)), xy((1.5, 1.1))), 7.0, fur)
    pen.shape(through(xy((0, 0.5), (0.6, 0.9), (0.85, 1.9), (0.6, 2.4), (-0.6, 2.4), (-0.85, 1.9), (-0.6, 0.9))), fur)
    for side in (-1, 1):
        pen.shape(xy((0.35, -0.6), (0.95, -1.2), (0.95, -0.15)) * (side, 1), fur)
        pen.fill(xy((0.5, -0.6), (0.86, -0.98), (0.86, -0.3)) * (side, 1), (240, 170, 170))
    pen.shape(arc(0, 0, 1.0, 0.82, steps=36), fur)
    pen.fill(arc(0, 0.36, 0.42, 0.3), lighter(fur, 55))
    iris = tuple(EYES.values())[int(rng.integers(len(EYES)))]
    for side in (-1, 1):
        pen.shape(arc(side * 0.42, -0.05, 0.22, 0.22), lighter(iris, 30), 0.7)
        pen.fill(arc(side * 0.42, -0.05, 0.07, 0.19), _INK)
        pen.fill(arc(side * 0.42 - 0.06, -0.13, 0.05, 0.05), (255, 255, 255))
        pen.stroke(bend(xy((0.02, 0.34)), xy((side * 0.14, 0.46)), xy((side * 0.24, 0.36))), 0.8)
        for dy in (-0.06, 0.08):
            pen.stroke(xy((side * 0.5, 0.3 + dy), (side * 0.9, 0.28 + 2 * dy), (side * 1.2, 0.25 + 3 * dy)), 0.5)
    pen.fill(xy((-0.1, 0.22), (0.1, 0.22), (0, 0.34)), (220, 120, 130))


def dog(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """A muzzle, hanging ears, a tongue."""
    pen, fur = _pen(draw, x, y, radius, rng), _fur(rng)
    pen.shape(through(xy((-0.5, 0.6), (0.5, 0.6), (0.8, 2.2), (-0.8, 2.2))), fur)
    pen.shape(
        through(xy((0, -0.9), (0.75, -0.55), (0.85, 0.2), (0.5, 0.85), (-0.5, 0.85), (-0.85, 0.2), (-0.75, -0.55))), fur
    )
    for side in (-1, 1):
        pen.shape(
            through(xy((0.55, -0.75), (1.05, -0.6), (1.2, 0.4), (0.9, 0.55), (0.75, -0.1))) * (side, 1), darker(fur, 35)
        )
        pen.fill(arc(side * 0.36, -0.18, 0.13, 0.15), (44, 30, 30))
        pen.fill(arc(side * 0.36 - 0.04, -0.24, 0.045, 0.05), (255, 255, 255))
        pen.stroke(bend(xy((side * 0.2, -0.46)), xy((side * 0.36, -0.54)), xy((side * 0.5, -0.44))), 1.4)
    pen.shape(through(xy((-0.2, 0.6), (0.2, 0.6), (0.16, 1.05), (-0.16, 1.05))), (234, 120, 130))
    pen.shape(
        through(xy((0, 0.05), (0.48, 0.32), (0.42, 0.66), (0, 0.74), (-0.42, 0.66), (-0.48, 0.32))), lighter(fur, 55)
    )
    pen.shape(through(xy((-0.18, 0.12), (0.18, 0.12), (0, 0.32))), (40, 32, 36))
    pen.stroke(xy((0, 0.3), (0, 0.42), (0, 0.56)), 0.9)


def rabbit(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Two long ears over a pale head."""
    pen, fur = _pen(draw, x, y, radius, rng), lighter(_fur(rng), 45)
    for side in (-1, 1):
        pen.shape(through(xy((0.2, -0.7), (0.25, -1.8), (0.5, -2.1), (0.75, -1.7), (0.65, -0.6))) * (side, 1), fur)
        pen.fill(
            through(xy((0.36, -0.85), (0.38, -1.6), (0.5, -1.8), (0.6, -1.5), (0.54, -0.8))) * (side, 1),
            (250, 190, 196),
        )
    pen.shape(through(xy((-0.5, 0.7), (0.5, 0.7), (0.85, 2.0), (-0.85, 2.0))), fur)
    pen.shape(
        through(xy((0, -0.85), (0.7, -0.5), (0.95, 0.2), (0.5, 0.8), (-0.5, 0.8), (-0.95, 0.2), (-0.7, -0.5))), fur
    )
    for side in (-1, 1):
        _glossy(pen, side * 0.45, -0.02, 0.14, 0.2, (190, 40, 60))
        pen.fill(arc(side * 0.6, 0.32, 0.15, 0.08), (250, 190, 196))
        pen.stroke(bend(xy((0, 0.4)), xy((side * 0.1, 0.52)), xy((side * 0.2, 0.42))), 0.8)
    pen.fill(arc(0, 0.3, 0.09, 0.06), (230, 120, 140))


def fish(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Seen from the side: one eye, fins, scales."""
    pen, colour = _pen(draw, x, y, radius, rng), _bright(rng)
    pen.shape(through(xy((0.9, 0), (1.6, -0.6), (1.45, 0), (1.6, 0.6))), darker(colour, 25))
    pen.shape(through(xy((-0.1, -0.5), (0.3, -1.0), (0.6, -0.4))), darker(colour, 25))
    pen.shape(through(xy((-1.1, 0.05), (-0.5, -0.55), (0.4, -0.5), (1.1, 0), (0.4, 0.5), (-0.5, 0.6))), colour)
    for row in (-0.2, 0.05, 0.3):
        for col in (0.0, 0.25, 0.5):
            pen.stroke(arc(col, row, 0.13, 0.13, -70, 70, 7), 0.6, darker(colour, 40))
    pen.shape(arc(-0.62, -0.1, 0.17, 0.17), (255, 255, 255))
    pen.fill(arc(-0.64, -0.09, 0.09, 0.09), _INK)


# --- dolls ------------------------------------------------------------------------------------------------------------


def rag_doll(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Cloth, wool for hair, buttons for eyes, a stitched mouth."""
    pen, wool, cloth = _pen(draw, x, y, radius, rng), _bright(rng), _bright(rng)
    skin = ((238, 208, 176), (214, 170, 130), (248, 232, 214))[int(rng.integers(3))]
    for side in (-1, 1):
        pen.shape(through(xy((0.35, 0.95), (1.1, 1.2), (1.3, 1.6), (1.05, 1.7), (0.4, 1.4))) * (side, 1), skin)
        for index in range(5):
            start = xy((side * (0.55 + 0.1 * index), -0.5))
            pen.shape(
                blade(start, start + xy((side * (0.35 + 0.05 * index), 1.3 - 0.12 * index)), 0.16, 0.12), wool, 0.7
            )
    pen.shape(xy((-0.45, 0.85), (0.45, 0.85), (0.95, 2.3), (-0.95, 2.3)), cloth)
    pen.shape(arc(0, 0, 0.95, 0.95, steps=36), skin)
    for index in range(7):
        pen.shape(arc(-0.75 + 0.25 * index, -0.72 - 0.18 * math.sin(index * math.pi / 6), 0.2, 0.24), wool, 0.7)
    for side in (-1, 1):
        pen.shape(
            arc(side * 0.36, 0.02, 0.18, 0.18), ((60, 60, 70), (190, 50, 60), (60, 90, 170))[int(rng.integers(3))]
        )
        for dx, dy in ((-0.05, -0.05), (0.05, -0.05), (-0.05, 0.05), (0.05, 0.05)):
            pen.fill(arc(side * 0.36 + dx, 0.02 + dy, 0.025, 0.025, steps=8), (240, 240, 240))
        pen.fill(arc(side * 0.55, 0.36, 0.14, 0.1), mix(skin, (240, 110, 110), 50))
    pen.stroke(bend(xy((-0.35, 0.42)), xy((0, 0.62)), xy((0.35, 0.42))), 0.9)
    for index in range(5):
        px = -0.28 + 0.14 * index
        py = 0.52 - 0.9 * px * px
        pen.stroke(xy((px, py - 0.07), (px, py), (px, py + 0.07)), 0.7)


def peg_doll(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Turned from wood: a round head on a barrel, painted with a few lines."""
    pen, cloth = _pen(draw, x, y, radius, rng), _bright(rng)
    wood = (244, 216, 172)
    pen.shape(through(xy((-0.55, 0.7), (0.55, 0.7), (0.75, 1.4), (0.62, 2.5), (-0.62, 2.5), (-0.75, 1.4))), cloth)
    for row in range(3):
        pen.stroke(
            bend(xy((-0.66, 1.2 + 0.4 * row)), xy((0, 1.34 + 0.4 * row)), xy((0.66, 1.2 + 0.4 * row))),
            2.4,
            lighter(cloth, 50),
        )
    pen.shape(arc(0, 0, 0.95, 0.9, steps=36), wood)
    black = (44, 36, 40)
    pen.fill(
        np.concatenate([arc(0, 0, 0.94, 0.89, 180, 360, 20), xy((0.8, 0.1), (0.6, -0.3), (-0.6, -0.3), (-0.8, 0.1))]),
        black,
    )
    for side in (-1, 1):
        pen.stroke(bend(xy((side * 0.5, 0.14)), xy((side * 0.34, 0.04)), xy((side * 0.18, 0.14))), 1.6)
    pen.stroke(bend(xy((-0.04, 0.26)), xy((0.04, 0.3)), xy((-0.03, 0.36))), 0.8)
    pen.fill(arc(0, 0.5, 0.08, 0.05), (206, 60, 60))


# --- logos and patterns -----------------------------------------------------------------------------------------------


def badge(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """The sign of a firm that does not exist: a disc that smiles, the head of somebody or of an animal, leaves."""
    pen, colour = Pen(draw, x, y, radius, 0.0, _INK, 0.05), _bright(rng)
    pen.fill(arc(0, 0, 1.0, 1.0, steps=48), darker(colour, 25))
    pen.fill(arc(0, 0, 0.86, 0.86, steps=48), lighter(colour, 75))
    match int(rng.integers(4)):
        case 0:
            for side in (-1, 1):
                pen.fill(arc(side * 0.3, -0.18, 0.12, 0.2), darker(colour, 60))
            pen.fill(
                np.concatenate([arc(0, 0.08, 0.55, 0.5, 10, 170, 16), arc(0, 0.0, 0.55, 0.36, 170, 10, 16)]),
                darker(colour, 60),
            )
        case 1:
            for side in (-1, 1):
                pen.fill(xy((0.15, -0.3), (0.55, -0.68), (0.6, 0.05)) * (side, 1), darker(colour, 45))
            pen.fill(arc(0, 0.12, 0.58, 0.48), darker(colour, 45))
            for side in (-1, 1):
                pen.fill(arc(side * 0.24, 0.06, 0.09, 0.13), (255, 255, 255))
        case 2:
            pen.fill(arc(0, -0.05, 0.5, 0.5, 150, 390, 20), darker(colour, 50))
            pen.fill(arc(0, 0.12, 0.36, 0.4), lighter(colour, 85))
            for side in (-1, 1):
                pen.fill(arc(side * 0.14, 0.06, 0.05, 0.09), darker(colour, 60))
        case _:
            for angle in (0, 72, 144, 216, 288):
                leaf = Pen(draw, x, y, radius, angle, _INK, 0.05)
                leaf.fill(through(xy((0, -0.1), (0.2, -0.4), (0, -0.66), (-0.2, -0.4))), darker(colour, 45))


def socket(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Two holes and a slot in a plate."""
    pen = Pen(draw, x, y, radius, 0.0, (120, 116, 120), 0.04)
    pen.shape(through(xy((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)), steps=3), lighter(_bright(rng), 88))
    pen.shape(arc(0, 0, 0.7, 0.7, steps=36), (226, 222, 214))
    for side in (-1, 1):
        pen.fill(arc(side * 0.28, -0.12, 0.1, 0.16), (50, 46, 48))
    pen.fill(xy((-0.14, 0.26), (0.14, 0.26), (0.14, 0.36), (-0.14, 0.36)), (50, 46, 48))


def moth(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Wings with two spots like eyes."""
    pen, wing = _pen(draw, x, y, radius, rng), mix(_bright(rng), (180, 140, 100), 50)
    for side in (-1, 1):
        pen.shape(through(xy((0.08, -0.1), (0.5, -0.85), (1.2, -0.8), (1.15, 0.0), (0.6, 0.25))) * (side, 1), wing)
        pen.shape(through(xy((0.08, 0.1), (0.8, 0.15), (0.9, 0.75), (0.35, 0.95))) * (side, 1), lighter(wing, 25))
        pen.shape(arc(side * 0.68, -0.35, 0.26, 0.26), (250, 240, 210))
        pen.fill(arc(side * 0.68, -0.35, 0.15, 0.17), (40, 30, 40))
        pen.fill(arc(side * 0.64, -0.42, 0.05, 0.05), (255, 255, 255))
        pen.stroke(bend(xy((side * 0.05, -0.5)), xy((side * 0.2, -0.9)), xy((side * 0.4, -1.05))), 0.8)
    pen.shape(arc(0, 0.05, 0.12, 0.62), darker(wing, 45))


def dots(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    """Pairs of dots over a bow, again and again, as on cloth for children."""
    pen, colour = Pen(draw, x, y, radius, 0.0, _INK, 0.04), _bright(rng)
    for row in range(-1, 2):
        for col in range(-1, 2):
            cx, cy = col * 0.68 + (0.34 if row % 2 else 0.0), row * 0.62
            pen.fill(arc(cx, cy, 0.27, 0.27), mix(colour, (254, 228, 210), 60))
            for side in (-1, 1):
                pen.fill(arc(cx + side * 0.1, cy - 0.03, 0.04, 0.06, steps=10), (50, 40, 50))
            pen.stroke(bend(xy((cx - 0.09, cy + 0.1)), xy((cx, cy + 0.16)), xy((cx + 0.09, cy + 0.1))), 0.7)


MASCOTS: tuple[Thing, ...] = (slime, blob, robot)
ANIMALS: tuple[Thing, ...] = (cat, dog, rabbit, fish)
DOLLS: tuple[Thing, ...] = (rag_doll, peg_doll)
LOGOS: tuple[Thing, ...] = (badge,)
PATTERNS: tuple[Thing, ...] = (socket, moth, dots)
