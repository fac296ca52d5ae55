"""Hides how one harmless anime character is drawn: who and in which pose go in, polygons and the truth come out.

Everything is a polygon on a canvas of twice the size, which is then reduced: Pillow alone, no fonts, every coordinate
rounded to a whole pixel, every choice taken from one seeded generator. So the same seed gives the same pixels anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from PIL import Image as Pictures
from PIL import ImageDraw

from pipeline.records import Box, Record
from pipeline.sandbox.ink import (
    SUPERSAMPLE,
    Colour,
    Pen,
    Points,
    arc,
    bend,
    blade,
    darker,
    lighter,
    mix,
    through,
    xy,
)

# The square that lbpcascade_animeface puts around a drawn face, in units of the head; measured on 300 upright drawings.
BOX_SIDE = 2.45
BOX_CENTRE = (0.0, 0.40)

# The colour words of Jin et al., arXiv 1708.05509, table 1: 13 of hair, 10 of eyes.
HAIR: dict[str, Colour] = {
    "blonde": (245, 213, 110),
    "brown": (134, 84, 52),
    "black": (52, 47, 60),
    "blue": (74, 112, 205),
    "pink": (247, 158, 190),
    "purple": (141, 94, 186),
    "green": (88, 168, 100),
    "red": (202, 58, 56),
    "silver": (200, 208, 222),
    "white": (244, 242, 246),
    "orange": (240, 141, 58),
    "aqua": (98, 206, 208),
    "grey": (136, 138, 148),
}
EYES: dict[str, Colour] = {
    "blue": (52, 112, 214),
    "red": (206, 44, 52),
    "brown": (134, 78, 40),
    "green": (46, 150, 78),
    "purple": (132, 68, 186),
    "yellow": (228, 178, 32),
    "pink": (232, 92, 150),
    "aqua": (36, 178, 188),
    "black": (58, 54, 66),
    "orange": (232, 120, 36),
}


class Style(StrEnum):
    """How the hair is worn; the value is its tag."""

    SHORT = "short_hair"
    LONG = "long_hair"
    TWINTAILS = "twintails"
    DRILLS = "drill_hair"
    PONYTAIL = "ponytail"


class Fringe(StrEnum):
    """The shape of the hair above the eyes."""

    STRAIGHT = "straight"
    PARTED = "parted"
    SWEPT = "swept"
    SPIKY = "spiky"
    ROUND = "round"
    CURTAIN = "curtain"


@dataclass(frozen=True, kw_only=True, slots=True)
class Character:
    """Somebody who looks the same in every picture."""

    name: str
    hair: str  # a key of HAIR
    eyes: str  # a key of EYES
    style: Style
    fringe: Fringe
    wears: tuple[str, ...] = ()  # of "hat", "glasses", "hair_ribbon"
    hat: str = "beret"  # beret, cap, straw or witch; matters with "hat" only
    outfit: str = "sailor"  # sailor, hoodie, shirt, turtleneck or dress
    cloth: Colour = (64, 84, 140)
    trim: Colour = (226, 74, 82)
    skin: Colour = (254, 228, 210)
    ahoge: bool = False  # one strand that stands up

    @property
    def tag(self) -> str:
        """The name as a board writes it."""
        return f"{self.name}_(sandbox)"


@dataclass(frozen=True, kw_only=True, slots=True)
class FaceTruth(Record):
    """One drawn face."""

    box: Box  # the square that lbpcascade_animeface would give, in pixels of the picture
    identity: str  # Character.name
    hair: str  # a key of HAIR
    eyes: str  # a key of EYES
    attributes: tuple[str, ...]  # Jin's words as tags: blue_hair, red_eyes, long_hair, smile …
    tilt: float  # degrees, clockwise as seen


@dataclass(frozen=True, kw_only=True, slots=True)
class Manner:
    """How a hand draws faces, as factors on the plain way."""

    eye_wide: float = 1.0
    eye_high: float = 1.0
    eye_apart: float = 1.0
    eye_level: float = 0.0  # how much lower the eyes lie, in units of the head
    jaw: float = 1.0  # width of the lower face
    chin: float = 1.0  # length of the lower face


@dataclass(frozen=True, kw_only=True, slots=True)
class Pose:
    """How one head stands in one picture."""

    x: float  # of the middle of the head, in pixels of the picture
    y: float
    scale: float  # pixels for one unit of the head
    tilt: float = 0.0  # degrees, clockwise as seen
    yaw: float = 0.0  # -1 to 1: looks to the left, to the right
    pitch: float = 0.0  # -1 to 1: looks up, down
    eyelids: str = "open"  # open, wink or closed
    mouth: str = "smile"  # smile, open, line or cat
    blush: bool = False
    light: int = -1  # -1: from the left, 1: from the right
    line: float = 1.0  # weight of the ink
    ink: Colour = (62, 40, 52)
    shade: int = 24  # how much darker the shadows are, 0 to 60
    sway: float = 0.0  # -1 to 1: where the wind blows the hair
    raised: float = 0.0  # -1 to 1: the eyebrows
    turn: float = 0.0  # degrees, clockwise as seen, by which the whole figure lies
    body: float = 1.0  # size of the body, where the head is 1
    manner: Manner = Manner()


# --- one character ----------------------------------------------------------------------------------------------------

NECK = 0.98  # below the middle of the head: what head and body turn about


@dataclass(frozen=True, slots=True)
class Sitter:
    """A character in a pose, with the pens to draw it."""

    who: Character
    pose: Pose
    head: Pen
    hanging: Pen  # what hangs from the head turns less than it
    body: Pen
    rng: np.random.Generator
    hair: Colour
    dark: Colour  # of the hair, in shadow

    def jitter(self, size: float) -> float:
        """Give a little more or less, by chance."""
        return float(self.rng.uniform(-size, size))


def sit(draw: ImageDraw.ImageDraw, who: Character, pose: Pose, rng: np.random.Generator) -> Sitter:
    """Seat *who*: make the pens that draw head, hanging hair and body."""
    scale = pose.scale * SUPERSAMPLE
    weight = 0.034 * pose.line
    hair = HAIR[who.hair]

    def pen(x: float, y: float, tilt: float, size: float = 1.0) -> Pen:
        return Pen(draw, x, y, scale * size, tilt + pose.turn, pose.ink, weight / size)

    head = pen(pose.x * SUPERSAMPLE, pose.y * SUPERSAMPLE, pose.tilt)
    return Sitter(
        who,
        pose,
        head,
        pen(head.x, head.y, pose.tilt * 0.5),
        pen(*head.at(0, NECK), pose.tilt * 0.2, pose.body),
        rng,
        hair,
        darker(hair, pose.shade + 4),
    )


def _hair_behind(s: Sitter) -> None:
    """What hangs behind the neck."""
    sway = s.pose.sway
    pen = s.hanging
    match s.who.style:
        case Style.SHORT:
            pen.shape(
                through(
                    xy(
                        (-1.12, -0.3),
                        (-1.2, 0.5),
                        (-1.02, 1.02),
                        (-0.3, 1.18),
                        (0.3, 1.18),
                        (1.02, 1.02),
                        (1.2, 0.5),
                        (1.12, -0.3),
                        (0, -1.2),
                    )
                ),
                s.dark,
            )
        case Style.LONG:
            _long(s)
        case Style.PONYTAIL:
            side = 1 if s.who.hat != "cap" else -1
            tail = through(
                xy(
                    (0.35, -1.15),
                    (1.05, -1.45),
                    (1.75, -0.9),
                    (1.95 + 0.3 * sway, 0.4),
                    (1.6 + 0.5 * sway, 1.9),
                    (1.35 + 0.3 * sway, 0.6),
                    (1.1, -0.2),
                )
            )
            pen.shape(tail * (side, 1), s.dark)
            pen.stroke(through(xy((1.2, -1.0), (1.62, -0.2), (1.62 + 0.45 * sway, 1.4)), closed=False) * (side, 1), 0.8)
            pen.shape(
                through(xy((-1.1, -0.3), (-1.1, 0.45), (-0.7, 0.95), (0.7, 0.95), (1.1, 0.45), (1.1, -0.3))), s.dark
            )
        case Style.TWINTAILS:
            for side in (-1, 1):
                tail = through(
                    xy(
                        (0.85, -0.75),
                        (1.5, -0.95),
                        (2.0, -0.2),
                        (2.05 + 0.2 * sway * side, 1.1),
                        (1.75 + 0.4 * sway * side, 2.6),
                        (1.45 + 0.2 * sway * side, 1.4),
                        (1.25, 0.1),
                    )
                )
                pen.shape(tail * (side, 1), s.hair)
                pen.fill(blade(xy((1.45, -0.2)), xy((1.7 + 0.35 * sway * side, 2.2)), 0.22, 0.1) * (side, 1), s.dark)
                pen.stroke(
                    through(xy((1.2, -0.6), (1.72, 0.2), (1.74 + 0.3 * sway * side, 1.8)), closed=False) * (side, 1),
                    0.7,
                )
            pen.shape(
                through(xy((-1.08, -0.3), (-1.08, 0.5), (-0.7, 0.95), (0.7, 0.95), (1.08, 0.5), (1.08, -0.3))), s.dark
            )
        case Style.DRILLS:
            pen.shape(
                through(xy((-1.1, -0.3), (-1.12, 0.5), (-0.75, 1.05), (0.75, 1.05), (1.12, 0.5), (1.1, -0.3))), s.dark
            )
            for side in (-1, 1):
                _drill(s, side)


def _long(s: Sitter) -> None:
    sway = s.pose.sway
    left, right = -1.45 + 0.25 * sway, 1.45 + 0.25 * sway
    s.hanging.shape(
        through(
            xy(
                (0, -1.25),
                (-1.08, -0.75),
                (-1.22, 0.3),
                (left, 1.5),
                (left - 0.05, 2.9),
                (-0.5, 3.1),
                (0.5, 3.1),
                (right + 0.05, 2.9),
                (right, 1.5),
                (1.22, 0.3),
                (1.08, -0.75),
            )
        ),
        s.dark,
    )
    for x in (-1.15, -0.95, 0.95, 1.15):
        s.hanging.stroke(bend(xy((x * 0.95, 0.2)), xy((x * 1.1, 1.2)), xy((x * 1.1 + 0.2 * sway, 2.6))), 0.6)


def _drill(s: Sitter, side: int) -> None:
    """Curls like wood shavings, each smaller than the one above."""
    for ring in range(6):
        y, wide = 0.25 + ring * 0.38, 0.42 - ring * 0.045
        middle = (1.28 + 0.04 * ring + 0.06 * ring * s.pose.sway * side, y)
        disc = arc(middle[0], middle[1], wide, 0.27) * (side, 1)
        s.hanging.shape(disc, s.hair if ring % 2 == 0 else mix(s.hair, s.dark, 50))
        s.hanging.stroke(arc(middle[0], middle[1] - 0.05, wide * 0.75, 0.16, 20, 160, 9) * (side, 1), 0.7)


def body(s: Sitter) -> None:
    """A whole little person: legs, skirt, arms, shoulders, neck and clothes."""
    pen, who = s.body, s.who
    skirt = darker(who.trim if who.outfit in {"sailor", "turtleneck", "shirt"} else who.cloth, 12)
    for side in (-1, 1):
        pen.shape(xy((0.12, 3.1), (0.5, 3.1), (0.46, 4.6), (0.16, 4.6)) * (side, 1), who.skin)
        pen.shape(xy((0.14, 3.9), (0.48, 3.9), (0.46, 4.6), (0.15, 4.6)) * (side, 1), lighter(who.cloth, 80))
        pen.shape(through(xy((0.1, 4.55), (0.5, 4.5), (0.66, 4.85), (0.08, 4.86))) * (side, 1), darker(who.trim, 40))
    hem = xy((-1.25, 3.35), (-0.75, 3.5), (-0.25, 3.42), (0.25, 3.42), (0.75, 3.5), (1.25, 3.35))
    pen.shape(np.concatenate([xy((-0.62, 1.9)), hem, xy((0.62, 1.9))]), skirt)
    for x in (-0.5, 0.0, 0.5):
        pen.stroke(xy((x * 0.9, 2.4), (x * 1.3, 2.9), (x * 1.5, 3.4)), 0.8)
    for side in (-1, 1):
        pen.shape(arc(side * 1.42, 2.62, 0.2, 0.24), who.skin)
        arm = through(xy((0.8, 0.5), (1.22, 0.75), (1.5, 1.5), (1.66, 2.5), (1.2, 2.56), (1.02, 1.7), (0.8, 1.3)))
        pen.shape(arm * (side, 1), mix(who.cloth, darker(who.cloth, 26), 100 if side == -s.pose.light else 0))
    waist = ((-0.72, 2.35), (0.72, 2.35), (0.86, 1.5), (1.05, 0.66), (0.7, 0.42), (0.36, 0.35))
    pen.shape(through(xy((-0.36, 0.35), (-0.7, 0.42), (-1.05, 0.66), (-0.86, 1.5), *waist)), who.cloth)
    fold = through(xy((0.6, 0.8), (0.95, 0.8), (0.82, 1.5), (0.7, 2.28), (0.45, 2.3), (0.58, 1.5)))
    pen.fill(fold * (-s.pose.light, 1), darker(who.cloth, 22))
    pen.shape(
        xy((-0.34, -0.4), (-0.34, 0.36), (-0.5, 0.5), (0, 0.95), (0.5, 0.5), (0.34, 0.36), (0.34, -0.4)), who.skin
    )
    under_chin = xy((-0.32, -0.3), (-0.32, 0.12), (0.05, 0.34), (0.32, 0.12), (0.32, -0.3))
    pen.fill(under_chin, darker(who.skin, s.pose.shade))
    _OUTFITS[who.outfit](s)


def _sailor(s: Sitter) -> None:
    for side in (-1, 1):
        collar = xy((0.3, 0.3), (1.05, 0.55), (0.9, 1.2), (0.0, 1.5)) * (side, 1)
        s.body.shape(collar, lighter(s.who.cloth, 78))
        s.body.stroke(xy((0.95, 0.62), (0.82, 1.12), (0.05, 1.38)) * (side, 1), 1.4, s.who.trim)
        s.body.shape(through(xy((0.0, 1.45), (0.5, 1.2), (0.6, 1.75))) * (side, 1), s.who.trim)
    s.body.shape(arc(0, 1.46, 0.13, 0.13), s.who.trim)


def _hoodie(s: Sitter) -> None:
    for side in (-1, 1):
        s.body.shape(
            through(xy((0.28, 0.2), (0.9, 0.25), (1.0, 0.65), (0.4, 1.05), (0.02, 1.1))) * (side, 1),
            lighter(s.who.cloth, 16),
        )
        s.body.stroke(bend(xy((0.25, 1.0)), xy((0.3, 1.5)), xy((0.22, 2.0))) * (side, 1), 1.6, s.who.trim)


def _shirt(s: Sitter) -> None:
    for side in (-1, 1):
        s.body.shape(xy((0.02, 0.92), (0.34, 0.22), (0.75, 0.6), (0.5, 1.15)) * (side, 1), lighter(s.who.cloth, 85))
    s.body.shape(xy((-0.12, 0.95), (0.12, 0.95), (0.22, 2.6), (0, 2.9), (-0.22, 2.6)), s.who.trim)


def _turtleneck(s: Sitter) -> None:
    s.body.shape(through(xy((-0.4, 0.05), (0, 0.18), (0.4, 0.05), (0.48, 0.5), (0, 0.68), (-0.48, 0.5))), s.who.cloth)
    s.body.stroke(bend(xy((-0.4, 0.25)), xy((0, 0.45)), xy((0.4, 0.25))), 0.8)
    for y in (1.3, 1.75, 2.2):
        s.body.stroke(bend(xy((-0.8, y)), xy((0, y + 0.25)), xy((0.8, y))), 2.2, s.who.trim)


def _dress(s: Sitter) -> None:
    frill = lighter(s.who.cloth, 70)
    for x in (-0.62, -0.36, -0.12, 0.12, 0.36, 0.62):
        s.body.shape(arc(x, 0.98 - 0.75 * abs(x), 0.18, 0.18), frill)
    s.body.shape(arc(0, 0.98, 0.15, 0.19), s.who.trim)
    s.body.fill(arc(0.03, 0.93, 0.05, 0.06), lighter(s.who.trim, 60))


_OUTFITS: dict[str, Callable[[Sitter], None]] = {
    "sailor": _sailor,
    "hoodie": _hoodie,
    "shirt": _shirt,
    "turtleneck": _turtleneck,
    "dress": _dress,
}


def _face(s: Sitter) -> None:
    """Ears, skin, blush, nose, mouth, eyes and eyebrows."""
    pen, pose, skin = s.head, s.pose, s.who.skin
    shadow = darker(skin, pose.shade // 2)
    turn = pose.yaw * 0.1
    for side in (-1, 1):
        pen.shape(arc(side * 0.96 - turn, 0.28, 0.13, 0.2), skin)
    outline = through(
        xy(
            (-0.94, -0.5), (-0.95, 0.1), (-0.87, 0.45), (-0.62 + turn, 0.8), (-0.22 + turn * 2, 1.05),
            (turn * 2.4, 1.1), (0.22 + turn * 2, 1.05), (0.62 + turn, 0.8), (0.87, 0.45), (0.95, 0.1), (0.94, -0.5),
            (0, -1.1),
        )
    )  # fmt: skip
    pen.shape(shaped(outline, pose.manner), skin)
    side = -pose.light
    cheek = through(xy((0.9, -0.2), (0.91, 0.1), (0.83, 0.44), (0.58, 0.78), (0.24, 1.0), (0.6, 0.62), (0.78, 0.3)))
    pen.fill(shaped(cheek, pose.manner) * (side, 1), shadow)
    for x in (-0.56, 0.56):
        if pose.blush:
            _blush(s, x + pose.yaw * 0.2)
    nose_x = pose.yaw * 0.27
    nose_y = 0.56 + pose.pitch * 0.06
    pen.stroke(bend(xy((nose_x, nose_y - 0.05)), xy((nose_x + 0.05 * side, nose_y)), xy((nose_x, nose_y + 0.03))), 0.8)
    _mouth(s)


def shaped(outline: Points, manner: Manner) -> Points:
    """Change the lower part of a face as *manner* has it."""
    below = np.clip(outline[:, 1:] / 0.8, 0.0, 1.0)
    stretch = np.concatenate(
        [outline[:, :1] * below * (manner.jaw - 1), (outline[:, 1:] - 0.3) * below * (manner.chin - 1)], axis=1
    )
    longer: Points = outline + stretch
    return longer


def _blush(s: Sitter, x: float) -> None:
    y = 0.54 + s.pose.pitch * 0.05
    pink = mix(s.who.skin, (250, 96, 112), 42)
    s.head.fill(arc(x, y, 0.2, 0.085), mix(s.who.skin, pink, 55))
    for dx in (-0.09, 0.0, 0.09):
        s.head.stroke(
            xy((x + dx + 0.03, y - 0.055), (x + dx, y), (x + dx - 0.03, y + 0.055)), 0.7, mix(pink, (230, 60, 80), 50)
        )


def _mouth(s: Sitter) -> None:
    pen, pose = s.head, s.pose
    x, y = pose.yaw * 0.22, 0.79 + pose.pitch * 0.05
    match pose.mouth:
        case "smile":
            pen.stroke(bend(xy((x - 0.19, y - 0.03)), xy((x, y + 0.12)), xy((x + 0.19, y - 0.03))), 1.0)
        case "line":
            pen.stroke(bend(xy((x - 0.11, y)), xy((x, y - 0.02)), xy((x + 0.11, y + 0.01))), 0.9)
        case "cat":
            for side in (-1, 1):
                pen.stroke(
                    bend(xy((x, y - 0.02)), xy((x + side * 0.09, y + 0.1)), xy((x + side * 0.18, y - 0.03))), 1.0
                )
        case _:
            pen.shape(
                through(
                    xy(
                        (x - 0.19, y - 0.06),
                        (x, y - 0.035),
                        (x + 0.19, y - 0.06),
                        (x + 0.11, y + 0.13),
                        (x, y + 0.17),
                        (x - 0.11, y + 0.13),
                    )
                ),
                (150, 48, 58),
                0.8,
            )
            pen.fill(arc(x, y + 0.11, 0.085, 0.045), (238, 128, 130))


def _eye(s: Sitter, side: int) -> None:
    """One eye and its eyebrow."""
    pen, pose = s.head, s.pose
    near = 1 - 0.22 * max(0.0, pose.yaw * side)  # the far eye is narrower
    manner = pose.manner
    x = side * 0.47 * manner.eye_apart + pose.yaw * 0.16
    y = 0.22 + pose.pitch * 0.08 + manner.eye_level
    wide, high = 0.29 * near * manner.eye_wide, 0.32 * manner.eye_high
    brow = mix(pose.ink, s.dark, 35)
    lift = -0.06 * pose.raised
    pen.stroke(
        bend(
            xy((x - side * wide * 0.9, y - 0.5 + lift)),
            xy((x, y - 0.6 + lift)),
            xy((x + side * wide * 1.1, y - 0.46 + lift)),
        ),
        1.3,
        brow,
    )
    if pose.eyelids == "closed" or (pose.eyelids == "wink" and side == pose.light):
        lid = bend(xy((x - wide, y + 0.1)), xy((x, y - 0.22)), xy((x + wide, y + 0.1)))
        pen.stroke(lid, 2.6)
        pen.stroke(xy((x + side * wide * 0.9, y + 0.06), (x + side * wide * 1.25, y + 0.14)), 1.4)
        return
    colour = EYES[s.who.eyes]
    white = through(
        xy(
            (-wide, -0.02),
            (-wide * 0.6, -high * 0.85),
            (0, -high),
            (wide * 0.7, -high * 0.8),
            (wide, 0),
            (wide * 0.72, high * 0.8),
            (0, high * 0.98),
            (-wide * 0.75, high * 0.75),
        )
    )
    shift = (x, y)
    pen.fill(white * (side, 1) + shift, (252, 250, 252))
    look = pose.yaw * 0.05
    iris = arc(x + look, y + 0.015, wide * 0.76, high * 0.94)
    pen.fill(iris, darker(colour, 58))
    pen.fill(arc(x + look, y + 0.03, wide * 0.66, high * 0.84), darker(colour, 8))
    pen.fill(arc(x + look, y - 0.02, wide * 0.66, high * 0.84, 180, 360, 14), darker(colour, 54))
    pen.fill(arc(x + look, y + 0.13, wide * 0.42, high * 0.42), lighter(colour, 38))
    pen.fill(arc(x + look, y + 0.01, wide * 0.34, high * 0.48), darker(colour, 82))
    glint = pose.light * wide * 0.32
    pen.fill(arc(x + look + glint, y - high * 0.42, wide * 0.3, high * 0.27), (255, 255, 255))
    pen.fill(arc(x + look - glint * 1.1, y + high * 0.42, wide * 0.15, high * 0.13), (255, 255, 255))
    lash = np.concatenate(
        [
            bend(xy((-wide * 1.08, 0.05)), xy((-wide * 0.7, -high * 1.42)), xy((wide * 0.5, -high * 1.0))),
            bend(xy((wide * 0.5, -high * 1.0)), xy((wide * 0.95, -high * 0.75)), xy((wide * 1.3, -0.02))),
        ]
    )
    pen.stroke(lash * (side, 1) + shift, 4.4, mix(pose.ink, (20, 12, 24), 50))
    pen.stroke(
        bend(xy((-wide * 0.6, high * 0.95)), xy((0, high * 1.12)), xy((wide * 0.7, high * 0.85))) * (side, 1) + shift,
        0.9,
    )
    pen.stroke(
        bend(xy((-wide * 0.7, -high * 1.15)), xy((0, -high * 1.5)), xy((wide * 0.9, -high * 1.0))) * (side, 1) + shift,
        0.55,
    )


# Tips of the locks from the left temple to the right: x, y, how far the lock bends.
_TIPS: dict[Fringe, tuple[tuple[float, float, float], ...]] = {
    Fringe.STRAIGHT: (
        (-0.72, -0.1, 0.0), (-0.4, -0.13, 0.0), (-0.08, -0.12, 0.0),
        (0.26, -0.14, 0.0), (0.6, -0.11, 0.0), (0.86, -0.06, 0.0),
    ),
    Fringe.PARTED: (
        (-0.98, 0.3, 0.1), (-0.74, 0.08, 0.12), (-0.42, -0.18, 0.14),
        (0.42, -0.18, -0.14), (0.74, 0.08, -0.12), (0.98, 0.3, -0.1),
    ),
    Fringe.SWEPT: (
        (-0.92, 0.22, 0.1), (-0.6, 0.0, 0.22), (-0.2, -0.08, 0.25),
        (0.24, -0.02, 0.25), (0.66, 0.06, 0.2), (0.98, 0.3, 0.06),
    ),
    Fringe.SPIKY: (
        (-0.9, 0.16, -0.05), (-0.58, -0.1, 0.05), (-0.26, 0.1, -0.04), (0.04, -0.12, 0.04),
        (0.34, 0.1, 0.05), (0.64, -0.08, -0.04), (0.92, 0.18, 0.05),
    ),
    Fringe.ROUND: (
        (-0.86, 0.1, 0.06), (-0.52, -0.06, 0.05), (-0.16, -0.14, 0.02),
        (0.2, -0.13, -0.02), (0.56, -0.05, -0.05), (0.88, 0.12, -0.06),
    ),
    Fringe.CURTAIN: (
        (-0.98, 0.42, 0.06), (-0.8, 0.12, 0.14), (-0.3, -0.24, 0.24), (0.06, 0.12, -0.02),
        (0.42, -0.22, -0.2), (0.84, 0.12, -0.14), (1.0, 0.42, -0.06),
    ),
}  # fmt: skip


def _fringe_points(s: Sitter) -> Points:
    """The hair in front, as one outline: over the skull and back along the tips."""
    turn = s.pose.yaw * 0.1
    tips = _TIPS[s.who.fringe]
    crown = arc(0, -0.12, 1.13, 1.2, 176, 364, 30)
    parts = [crown]
    edge = xy((1.06, 0.12))
    count = len(tips)
    # From right to left, so that the outline goes round once.
    for index, (x, y, lean) in enumerate(reversed(tips)):
        tip = xy((x + turn + s.jitter(0.035) + s.pose.sway * 0.03, y + s.jitter(0.045)))
        next_x = 1.0 - 2.0 * (index + 1) / count
        valley = xy((next_x * 0.98 + turn, -0.42 - 0.1 * (1 - abs(next_x)) + s.jitter(0.04)))
        if s.who.fringe is Fringe.STRAIGHT:
            valley[0, 1] = tip[0, 1] - 0.13
        if index == count - 1:
            valley = xy((-1.06, 0.12))
        middle = (edge + tip) / 2
        parts.append(bend(edge, middle + xy((lean + 0.03, 0.06)), tip, 7))
        middle = (valley + tip) / 2
        parts.append(bend(tip, middle + xy((lean, 0.02)), valley, 7))
        edge = valley
    return np.concatenate(parts)


def _hair_front(s: Sitter) -> None:
    """Side locks, fringe, its shadow on the face, the shine, the strand that stands up."""
    pen = s.head
    longer = 0.35 if s.who.style in {Style.LONG, Style.TWINTAILS, Style.PONYTAIL} else 0.0
    fringe = _fringe_points(s)
    for side in (-1, 1):
        tip = xy((side * (0.98 + s.jitter(0.05)) + s.pose.sway * 0.12, 1.0 + longer + s.jitter(0.12)))
        lock = blade(xy((side * 1.0, -0.25)), tip, 0.26, -0.1 * side)
        pen.shape(lock, s.hair)
    # The inside of the fringe lies on the forehead as a shadow, a little lower than the hair itself.
    inner = fringe[30:]
    inner = inner[(np.abs(inner[:, 0]) < 0.86)]
    shade = np.concatenate([xy((0.84, -0.5)), inner * (0.97, 1) + (0.02 * s.pose.light, 0.07), xy((-0.84, -0.5))])
    pen.fill(shade, darker(s.who.skin, 6 + s.pose.shade // 2))
    for side in (-1, 1):  # no shadow on the eyes
        _eye(s, side)
    pen.shape(fringe, s.hair)
    _strands(s)
    _shine(s)
    if s.who.ahoge:
        lean = 0.25 * s.pose.light + 0.3 * s.pose.sway
        pen.shape(
            np.concatenate([
                bend(xy((-0.06, -1.26)), xy((lean - 0.35, -1.75)), xy((lean + 0.3, -1.72))),
                bend(xy((lean + 0.3, -1.72)), xy((lean - 0.1, -1.62)), xy((0.08, -1.24))),
            ]),
            s.hair,
        )  # fmt: skip


def _strands(s: Sitter) -> None:
    for x in (-0.75, -0.42, -0.1, 0.22, 0.52, 0.8):
        bottom = xy((x * 1.05 + s.jitter(0.04), -0.42 + 0.25 * abs(x)))
        s.head.stroke(bend(xy((x * 0.45, -1.05)), xy((x * 0.95, -0.85)), bottom), 0.55, darker(s.hair, 45))
    side = -s.pose.light
    shadow = through(xy((0.62, -1.0), (0.98, -0.6), (1.08, -0.05), (0.95, -0.25), (0.78, -0.65))) * (side, 1)
    s.head.fill(shadow, s.dark)


def _shine(s: Sitter) -> None:
    """The ring of light that glossy hair has."""
    bright = lighter(s.hair, 46)
    shift = 0.2 * s.pose.light
    upper = arc(shift, -0.3, 0.72, 0.52, 205, 335, 15)
    lower = arc(shift, -0.3, 0.72, 0.52, 205, 335, 15)[::-1]
    lower[::2] += (0, 0.09)
    lower[1::2] += (0, 0.2)
    s.head.fill(np.concatenate([upper, lower]), bright)


def _bow(pen: Pen, x: float, y: float, size: float, colour: Colour) -> None:
    for side in (-1, 1):
        pen.shape(
            through(xy((0.0, 0.0), (0.55, -0.4), (0.7, 0.05), (0.5, 0.35))) * (side * size, size) + (x, y), colour
        )
        pen.shape(xy((0.02, 0.1), (0.3, 0.75), (0.42, 0.5)) * (side * size, size) + (x, y), darker(colour, 14))
    pen.shape(arc(x, y, 0.14 * size, 0.16 * size, steps=14), lighter(colour, 14))


def _ribbons(s: Sitter) -> None:
    match s.who.style:
        case Style.TWINTAILS | Style.DRILLS:
            y = -0.8 if s.who.style is Style.TWINTAILS else -0.05
            for side in (-1, 1):
                _bow(s.head, side * (1.02 if y < -0.5 else 1.2), y, 0.55, s.who.trim)
        case Style.PONYTAIL:
            _bow(s.head, 0.72, -1.12, 0.7, s.who.trim)
        case _:
            _bow(s.head, 0.75 * -s.pose.light if s.who.name < "m" else 0.72, -1.02, 0.62, s.who.trim)


def _glasses(s: Sitter) -> None:
    x0 = s.pose.yaw * 0.17
    y = 0.26 + s.pose.pitch * 0.08
    frame = mix(s.who.trim, (110, 80, 90), 45)
    for side in (-1, 1):
        rim = through(
            xy((-0.37, -0.2), (-0.35, 0.16), (-0.2, 0.37), (0.2, 0.37), (0.35, 0.16), (0.37, -0.2)), closed=False
        )
        ring = rim + xy((side * 0.47 + x0, y))
        _outline(s.head, ring, 0.8, frame)
        s.head.stroke(xy((side * 0.83 + x0, y - 0.08), (side * 0.98, y - 0.1)), 1.2, frame)
    s.head.stroke(bend(xy((x0 - 0.13, y - 0.05)), xy((x0, y - 0.12)), xy((x0 + 0.13, y - 0.05))), 1.2, frame)


def _outline(pen: Pen, points: Points, weight: float, colour: Colour) -> None:
    pixels = pen.pixels(points)
    pen.draw.line(pixels, fill=colour, width=max(2, round(pen.weight * weight * pen.scale)))


def hat(s: Sitter) -> None:
    """Put on the hat that the character wears."""
    pen, cloth, trim = s.head, s.who.cloth, s.who.trim
    match s.who.hat:
        case "beret":
            lean = 0.25 * s.pose.light
            pen.shape(
                through(
                    xy(
                        (-1.15, -0.82),
                        (-1.3 + lean, -1.3),
                        (lean, -1.72),
                        (1.3 + lean, -1.3),
                        (1.15, -0.82),
                        (0, -1.08),
                    )
                ),
                cloth,
            )
            pen.stroke(bend(xy((-1.05, -0.86)), xy((0, -1.2)), xy((1.05, -0.86))), 2.2, darker(cloth, 40))
            pen.shape(arc(lean, -1.74, 0.1, 0.12, steps=12), trim)
        case "cap":
            pen.shape(
                through(xy((-1.12, -0.72), (-1.0, -1.3), (0, -1.62), (1.0, -1.3), (1.12, -0.72), (0, -0.92))), cloth
            )
            pen.shape(
                through(xy((-0.95, -0.8), (0, -1.02), (0.95, -0.8), (1.0, -0.62), (0, -0.78), (-1.0, -0.62))), trim
            )
            pen.shape(arc(0, -1.24, 0.2, 0.2), lighter(cloth, 70))
        case "straw":
            straw = (238, 208, 132)
            pen.shape(arc(0, -0.86, 1.95, 0.36), darker(straw, 14))
            pen.shape(
                through(xy((-1.05, -0.9), (-0.95, -1.5), (0, -1.72), (0.95, -1.5), (1.05, -0.9), (0, -0.8))), straw
            )
            pen.fill(
                through(xy((-1.04, -0.92), (-1.0, -1.18), (0, -1.1), (1.0, -1.18), (1.04, -0.92), (0, -0.82))), trim
            )
        case _:
            pen.shape(
                through(
                    xy(
                        (-0.95, -0.92),
                        (-0.55, -1.7),
                        (0.1, -2.3),
                        (0.75, -2.55),
                        (0.5, -2.1),
                        (0.6, -1.6),
                        (0.95, -0.92),
                    )
                ),
                cloth,
            )
            pen.shape(arc(0, -0.88, 1.75, 0.3), darker(cloth, 18))
            pen.fill(
                through(xy((-0.93, -0.98), (-0.82, -1.25), (0, -1.16), (0.82, -1.25), (0.93, -0.98), (0, -0.88))),
                trim,
            )


def _draw_behind(s: Sitter) -> None:
    _hair_behind(s)
    body(s)


def _draw_front(s: Sitter) -> None:
    _face(s)
    _hair_front(s)
    if "glasses" in s.who.wears:
        _glasses(s)
    if "hat" in s.who.wears:
        hat(s)
    if "hair_ribbon" in s.who.wears:
        _ribbons(s)


def draw_figure(draw: ImageDraw.ImageDraw, who: Character, pose: Pose, rng: np.random.Generator) -> None:
    """Draw one figure on a canvas of `SUPERSAMPLE` times the size of the picture."""
    sitter = sit(draw, who, pose, rng)
    _draw_behind(sitter)
    _draw_front(sitter)


def draw_figures(canvas: Pictures.Image, figures: Sequence[tuple[Character, Pose]], rng: np.random.Generator) -> None:
    """Draw *figures* side by side onto *canvas*, which is `SUPERSAMPLE` times the size of the picture.

    All that hangs behind a head is drawn first, so that nobody's hair covers a neighbour's face.
    """
    draw = ImageDraw.Draw(canvas)
    sitters = [sit(draw, who, pose, rng) for who, pose in figures]
    for sitter in sitters:
        _draw_behind(sitter)
    for sitter in sitters:
        _draw_front(sitter)


def attributes(who: Character, pose: Pose) -> tuple[str, ...]:
    """Jin's words that hold of *who* in *pose*, as tags; a closed pair of eyes has no colour to be seen."""
    words = [f"{who.hair}_hair", who.style.value, *who.wears]
    if pose.eyelids != "closed":
        words.append(f"{who.eyes}_eyes")
    if who.style is not Style.SHORT and who.style is not Style.LONG:
        words.append("long_hair")
    if pose.blush:
        words.append("blush")
    if pose.mouth in {"smile", "cat"} or (pose.mouth == "open" and pose.eyelids == "closed"):
        words.append("smile")
    if pose.mouth == "open":
        words.append("open_mouth")
    return tuple(sorted(words))


def face_truth(who: Character, pose: Pose) -> FaceTruth:
    """The truth about the face of *who* in *pose*."""
    cos, sin = math.cos(math.radians(pose.tilt + pose.turn)), math.sin(math.radians(pose.tilt + pose.turn))
    cx, cy = BOX_CENTRE
    side = round(BOX_SIDE * pose.scale)
    x = pose.x + (cx * cos - cy * sin) * pose.scale
    y = pose.y + (cx * sin + cy * cos) * pose.scale
    return FaceTruth(
        box=Box(left=round(x - side / 2), top=round(y - side / 2), width=side, height=side),
        identity=who.name,
        hair=who.hair,
        eyes=who.eyes,
        attributes=attributes(who, pose),
        tilt=round(pose.tilt + pose.turn, 2),
    )
