"""Hides a second way to draw people: round heads, bulging eyes, yellow skin, no line for a nose; nobody's character."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import ImageDraw

from pipeline.records import Box
from pipeline.sandbox.ink import SUPERSAMPLE, Colour, Pen, Points, arc, bend, darker, lighter, mix, through, xy

BOX_SIDE = 2.35  # from above the eyes to the chin, with the ears, in units of the head
BOX_CENTRE = (0.0, 0.22)

_SKINS: tuple[Colour, ...] = ((255, 216, 66), (250, 204, 60), (255, 226, 96), (244, 196, 72), (226, 172, 58))
_HAIR: tuple[Colour, ...] = ((60, 90, 180), (120, 66, 36), (40, 38, 44), (214, 214, 220), (206, 80, 44), (150, 70, 150))
_CLOTH: tuple[Colour, ...] = (
    (236, 110, 50),
    (84, 170, 90),
    (70, 120, 210),
    (90, 180, 190),
    (200, 60, 70),
    (150, 110, 190),
)
_INK: Colour = (30, 24, 26)


class Head(StrEnum):
    """Its outline."""

    ROUND = "round"
    EGG = "egg"
    PEAR = "pear"
    BLOCK = "block"


class Hair(StrEnum):
    """How it is worn."""

    NONE = "none"
    TUFT = "tuft"
    CURLS = "curls"
    BOWL = "bowl"
    BUN = "bun"
    FLAT = "flat"
    SIDES = "sides"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fellow:
    """Somebody of this style, in one picture."""

    x: float  # of the middle of the head, in pixels of the picture
    y: float
    scale: float  # pixels for one unit of the head
    tilt: float  # degrees, clockwise as seen
    yaw: float  # -1 to 1: looks to the left, to the right
    head: Head
    hair: Hair
    skin: Colour
    hair_colour: Colour
    cloth: Colour
    look: tuple[float, float]  # -1 to 1: where the pupils are
    lids: float  # 0 to 1: how far the eyelids hang; 1 is closed
    mouth: str  # smile, open, line or teeth
    glasses: bool


def fellow(
    rng: np.random.Generator, x: float, y: float, side: float, *, tilt: float = 20.0, yaw: float = 1.0
) -> Fellow:
    """Make somebody up.

    Args:
        rng: Every choice is taken from it.
        x: Of the middle of the face, in pixels of the picture.
        y: The same.
        side: Of the box of the face, in pixels.
        tilt: The head leans by no more than this, in degrees, to either side.
        yaw: The head is turned by no more than this, 0 to 1.
    """

    def one(choices: tuple[Colour, ...]) -> Colour:
        return choices[int(rng.integers(len(choices)))]

    return Fellow(
        x=x,
        y=y,
        scale=side / BOX_SIDE,
        tilt=round(float(rng.uniform(-tilt, tilt)), 2),
        yaw=float(rng.uniform(-yaw, yaw)),
        head=tuple(Head)[int(rng.integers(len(Head)))],
        hair=tuple(Hair)[int(rng.integers(len(Hair)))],
        skin=one(_SKINS),
        hair_colour=one(_HAIR),
        cloth=one(_CLOTH),
        look=(float(rng.uniform(-1, 1)), float(rng.uniform(-0.6, 0.6))),
        lids=1.0 if rng.integers(12) == 0 else float(rng.choice((0.0, 0.0, 0.25, 0.45))),
        mouth=("smile", "open", "line", "teeth")[int(rng.integers(4))],
        glasses=bool(rng.integers(6) == 0),
    )


def toon_box(who: Fellow) -> Box:
    """The square of the face, in pixels of the picture."""
    cos, sin = math.cos(math.radians(who.tilt)), math.sin(math.radians(who.tilt))
    cx, cy = BOX_CENTRE[0] + who.yaw * 0.12, BOX_CENTRE[1]
    side = round(BOX_SIDE * who.scale)
    x = who.x + (cx * cos - cy * sin) * who.scale
    y = who.y + (cx * sin + cy * cos) * who.scale
    return Box(left=round(x - side / 2), top=round(y - side / 2), width=side, height=side)


def draw_toon(draw: ImageDraw.ImageDraw, who: Fellow) -> None:
    """Draw one of them on a canvas of `SUPERSAMPLE` times the size of the picture."""
    x, y, scale = who.x * SUPERSAMPLE, who.y * SUPERSAMPLE, who.scale * SUPERSAMPLE
    head = Pen(draw, x, y, scale, who.tilt, _INK, 0.055)
    trunk = Pen(draw, *head.at(0, 0.95), scale, who.tilt * 0.2, _INK, 0.055)
    _body(trunk, who)
    _hair_behind(head, who)
    for side in (-1, 1):
        # The ear of the side that the head is turned to lies behind it.
        if who.yaw * side < 0.45:
            ear = arc(side * 1.0 - who.yaw * 0.3, 0.28, 0.17, 0.2)
            head.shape(ear, who.skin)
            head.stroke(_ear_line(side, who.yaw), 0.8)
    head.shape(_outline(who.head), who.skin)
    _mouth(head, who)
    _hair_front(head, who)
    for side in (1, -1) if who.yaw > 0 else (-1, 1):  # the nearer eye bulges over the other
        _eye(head, who, -side)


def _ear_line(side: int, yaw: float) -> Points:
    x = side * 1.02 - yaw * 0.3
    return bend(xy((x, 0.2)), xy((x + side * 0.08, 0.28)), xy((x, 0.36)))


def _outline(head: Head) -> Points:
    match head:
        case Head.ROUND:
            return arc(0, 0.18, 1.04, 1.06, steps=40)
        case Head.EGG:
            return through(
                xy(
                    (0, -1.35),
                    (0.72, -0.9),
                    (0.94, 0.1),
                    (0.8, 0.85),
                    (0, 1.25),
                    (-0.8, 0.85),
                    (-0.94, 0.1),
                    (-0.72, -0.9),
                )
            )
        case Head.PEAR:
            return through(
                xy(
                    (0, -1.0),
                    (0.66, -0.75),
                    (0.86, 0.0),
                    (1.02, 0.65),
                    (0.6, 1.15),
                    (0, 1.24),
                    (-0.6, 1.15),
                    (-1.02, 0.65),
                    (-0.86, 0.0),
                    (-0.66, -0.75),
                )
            )
        case _:
            return through(
                xy(
                    (-0.5, -1.1),
                    (0.5, -1.1),
                    (0.88, -0.9),
                    (0.92, 0.2),
                    (0.86, 0.95),
                    (0.45, 1.22),
                    (-0.45, 1.22),
                    (-0.86, 0.95),
                    (-0.92, 0.2),
                    (-0.88, -0.9),
                )
            )


def _eye(pen: Pen, who: Fellow, side: int) -> None:
    """A ball that stands out of the face."""
    x, y, r = side * 0.38 + who.yaw * 0.42, -0.02, 0.4
    ball = arc(x, y, r, r * 1.04, steps=36)
    pen.shape(ball, (255, 255, 255))
    pen.fill(arc(x + who.look[0] * 0.2, y + who.look[1] * 0.2, 0.075, 0.085, steps=14), _INK)
    if who.lids > 0:
        edge = 180 - 360 * who.lids / 2
        start, end = 270 - (180 - edge), 270 + (180 - edge)
        pen.shape(arc(x, y, r, r * 1.04, start, end, 24), darker(who.skin, 8))
    if who.glasses:
        ring = pen.pixels(arc(x, y, r * 1.12, r * 1.12, steps=36))
        pen.draw.line([*ring, ring[0]], fill=(70, 60, 80), width=max(2, round(pen.scale * 0.07)))


def _mouth(pen: Pen, who: Fellow) -> None:
    x = who.yaw * 0.34
    match who.mouth:
        case "smile":
            pen.stroke(bend(xy((x - 0.48, 0.68)), xy((x, 1.02)), xy((x + 0.48, 0.66))), 1.2)
            pen.stroke(bend(xy((x + 0.42, 0.6)), xy((x + 0.52, 0.64)), xy((x + 0.52, 0.72))), 0.9)
        case "line":
            pen.stroke(bend(xy((x - 0.36, 0.78)), xy((x, 0.74)), xy((x + 0.36, 0.8))), 1.2)
        case "open":
            pen.shape(
                through(xy((x - 0.4, 0.62), (x, 0.58), (x + 0.4, 0.62), (x + 0.28, 0.94), (x, 1.02), (x - 0.28, 0.94))),
                (110, 30, 40),
            )
            pen.fill(arc(x, 0.9, 0.18, 0.09), (230, 110, 110))
        case _:
            pen.shape(
                through(xy((x - 0.44, 0.62), (x + 0.44, 0.6), (x + 0.38, 0.86), (x, 0.92), (x - 0.38, 0.86))),
                (252, 252, 250),
            )
            for dx in (-0.2, 0.0, 0.2):
                pen.stroke(xy((x + dx, 0.62), (x + dx, 0.76), (x + dx, 0.9)), 0.6)
            pen.stroke(bend(xy((x - 0.4, 0.75)), xy((x, 0.77)), xy((x + 0.4, 0.74))), 0.5)


def _hair_behind(pen: Pen, who: Fellow) -> None:
    colour = who.hair_colour
    if who.hair is Hair.CURLS:
        for angle in range(150, 400, 25):
            cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            pen.shape(arc(round(1.02 * cos, 6), round(-0.12 + 1.12 * sin, 6), 0.36, 0.36), colour)
    elif who.hair is Hair.BUN:
        pen.shape(arc(-0.3 * (1 if who.yaw > 0 else -1), -1.35, 0.42, 0.4), colour)
    elif who.hair is Hair.BOWL:
        pen.shape(arc(0, 0.0, 1.2, 1.25, 150, 390, 36), colour)


def _hair_front(pen: Pen, who: Fellow) -> None:
    colour = who.hair_colour
    turn = who.yaw * 0.15
    match who.hair:
        case Hair.TUFT:
            for dx in (-0.22, 0.0, 0.22):
                pen.stroke(bend(xy((dx, -1.02)), xy((dx * 2, -1.5)), xy((dx * 3 + 0.15, -1.42))), 2.0, colour)
        case Hair.CURLS:
            for angle in range(205, 340, 22):
                cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
                pen.shape(arc(round(0.86 * cos + turn, 6), round(-0.12 + 0.86 * sin, 6), 0.27, 0.25), colour)
        case Hair.BOWL | Hair.BUN:
            fringe = through(
                xy(
                    (-1.06, -0.1),
                    (-0.98, -0.75),
                    (-0.5, -1.15),
                    (0.2, -1.22),
                    (0.8, -0.95),
                    (1.06, -0.1),
                    (0.7 + turn, -0.5),
                    (0.2 + turn, -0.6),
                    (-0.4 + turn, -0.52),
                )
            )
            pen.shape(fringe, colour)
        case Hair.FLAT:
            pen.shape(
                xy((-0.9, -0.5), (-0.92, -1.5), (0.92, -1.55), (0.9, -0.5), (0.5 + turn, -0.62), (-0.5 + turn, -0.6)),
                colour,
            )
        case Hair.SIDES:
            for side in (-1, 1):
                pen.shape(through(xy((0.82, -0.5), (1.15, -0.3), (1.12, 0.15), (0.9, 0.1))) * (side, 1), colour)
            pen.shape(through(xy((-0.3, -1.12), (0.0, -1.5), (0.45, -1.3), (0.3, -1.05))), colour)
        case _:
            pen.fill(arc(-0.3, -0.62, 0.16, 0.09), lighter(who.skin, 55))


def _body(pen: Pen, who: Fellow) -> None:
    cloth = who.cloth
    for side in (-1, 1):
        pen.shape(xy((0.1, 2.6), (0.6, 2.6), (0.56, 3.9), (0.12, 3.9)) * (side, 1), mix(cloth, (40, 50, 90), 70))
        pen.shape(through(xy((0.05, 3.85), (0.55, 3.8), (0.8, 4.1), (0.05, 4.12))) * (side, 1), (70, 50, 44))
        arm = through(xy((0.6, 0.45), (1.05, 0.65), (1.35, 1.7), (1.3, 2.35), (1.0, 2.35), (0.95, 1.6), (0.6, 1.2)))
        pen.shape(arm * (side, 1), who.skin)
        sleeve = through(xy((0.5, 0.35), (1.05, 0.5), (1.3, 1.15), (0.9, 1.3), (0.55, 1.2)))
        pen.shape(sleeve * (side, 1), cloth)
    pen.shape(xy((-0.3, -0.3), (0.3, -0.3), (0.32, 0.5), (-0.32, 0.5)), who.skin)
    pen.shape(
        through(
            xy(
                (-0.5, 0.28),
                (0, 0.42),
                (0.5, 0.28),
                (0.85, 0.9),
                (0.9, 2.0),
                (0.75, 2.75),
                (-0.75, 2.75),
                (-0.9, 2.0),
                (-0.85, 0.9),
            )
        ),
        cloth,
    )
    for side in (-1, 1):
        pen.shape(xy((0.02, 0.6), (0.2, 0.2), (0.55, 0.34), (0.36, 0.72)) * (side, 1), lighter(cloth, 60))
