"""Hides what is worn on a face or stands before it: hands, books, cups, locks of hair, masks, hoods, speech bubbles."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pipeline.sandbox.figure import HAIR, Sitter
from pipeline.sandbox.ink import Colour, Pen, Points, arc, bend, blade, darker, lighter, mix, through, xy

_COVERS: tuple[Colour, ...] = (
    (176, 52, 60),
    (50, 92, 150),
    (70, 120, 82),
    (222, 176, 74),
    (96, 68, 122),
    (232, 226, 214),
)
_PAPER: Colour = (255, 255, 255)
_PRINT: Colour = (30, 28, 34)

Prop = Callable[[Sitter], None]


def _side(rng: np.random.Generator) -> int:
    return 1 if rng.integers(2) else -1


def _one(rng: np.random.Generator, choices: tuple[Colour, ...]) -> Colour:
    return choices[int(rng.integers(len(choices)))]


# --- before a face ----------------------------------------------------------------------------------------------------


def _capsule(start: tuple[float, float], end: tuple[float, float], radius: float) -> Points:
    """A finger: round at both ends."""
    along = math.degrees(math.atan2(end[1] - start[1], end[0] - start[0]))
    tip = arc(*end, radius, radius, along - 90, along + 90, 9)
    root = arc(*start, radius, radius, along + 90, along + 270, 9)
    return np.concatenate([tip, root])


def hand(s: Sitter) -> None:
    """An open hand before an eye, a cheek or the mouth, with its sleeve."""
    pen, who, rng = s.head, s.who, s.rng
    side = _side(rng)
    x, y = side * float(rng.uniform(0.15, 0.6)), float(rng.uniform(0.5, 1.05))
    lean = side * float(rng.uniform(-0.25, 0.35))
    sleeve = xy((x - 0.3, y + 0.5), (x + 0.3, y + 0.5), (x + side * 0.9 + 0.45, 3.2), (x + side * 0.9 - 0.45, 3.2))
    pen.shape(sleeve, who.cloth)
    pen.shape(xy((x - 0.36, y + 0.42), (x + 0.36, y + 0.42), (x + 0.38, y + 0.62), (x - 0.38, y + 0.62)), who.trim)
    skin = mix(who.skin, (236, 150, 120), 12)
    for index, length in enumerate((0.5, 0.62, 0.58, 0.44)):
        root = (x - 0.27 + 0.18 * index, y - 0.12)
        tip = (root[0] + (index - 1.5) * 0.06 - lean, root[1] - length)
        pen.shape(_capsule(root, tip, 0.095), skin)
    pen.shape(_capsule((x - side * 0.2, y + 0.2), (x - side * 0.55, y - 0.1), 0.1), skin)
    palm = through(
        xy(
            (x - 0.36, y - 0.15),
            (x, y - 0.2),
            (x + 0.36, y - 0.15),
            (x + 0.33, y + 0.3),
            (x, y + 0.5),
            (x - 0.33, y + 0.3),
        )
    )
    pen.shape(palm, skin)
    for index in range(4):  # the palm goes over into the fingers without a line
        pen.fill(arc(x - 0.27 + 0.18 * index, y - 0.13, 0.075, 0.12), skin)
    pen.stroke(bend(xy((x - 0.2, y + 0.05)), xy((x, y + 0.14)), xy((x + 0.22, y + 0.02))), 0.7)


def lock(s: Sitter) -> None:
    """Hair that falls over one eye."""
    pen, who, rng = s.head, s.who, s.rng
    side = _side(rng)
    colour = HAIR[who.hair]
    root, tip = xy((side * 0.18, -0.78)), xy((side * float(rng.uniform(0.45, 0.65)), float(rng.uniform(0.85, 1.15))))
    pen.shape(blade(root, tip, float(rng.uniform(0.95, 1.15)), -0.34 * side), colour)
    for dx in (-0.2, 0.0, 0.2):
        pen.stroke(
            bend(root + xy((dx, 0.1)), (root + tip) / 2 + xy((side * 0.3 + dx, 0)), tip), 0.6, darker(colour, 40)
        )


def book(s: Sitter) -> None:
    """An open book held before the lower face, with the fingers that hold it."""
    pen, who, rng = s.head, s.who, s.rng
    top, cover = float(rng.uniform(0.42, 0.66)), _one(rng, _COVERS)
    for side in (-1, 1):
        leaf = xy((0.0, top + 0.1), (1.25, top - 0.02), (1.25, top + 1.55), (0.0, top + 1.7)) * (side, 1)
        pen.shape(leaf, mix(cover, (20, 20, 30), 0 if side < 0 else 12))
        pen.stroke(xy((0.2, top + 0.24), (0.7, top + 0.18), (1.08, top + 0.14)) * (side, 1), 1.0, lighter(cover, 50))
        for index in range(3):
            y = top + 0.75 + index * 0.2
            pen.shape(_capsule((side * 1.32, y), (side * 1.08, y), 0.09), who.skin)
    pen.shape(xy((-0.06, top + 0.08), (0.06, top + 0.08), (0.06, top + 1.72), (-0.06, top + 1.72)), darker(cover, 30))
    label = xy((0.4, top + 0.5), (0.95, top + 0.46), (0.95, top + 0.9), (0.4, top + 0.95))
    pen.shape(label, lighter(cover, 70), 0.7)


def cup(s: Sitter) -> None:
    """A mug at the mouth."""
    pen, who, rng = s.head, s.who, s.rng
    colour, x = _one(rng, _COVERS), float(rng.uniform(-0.15, 0.15))
    ring = np.concatenate([arc(x + 0.52, 0.95, 0.28, 0.3, -90, 90, 14), arc(x + 0.52, 0.95, 0.15, 0.17, 90, -90, 14)])
    pen.shape(ring, colour)
    pen.shape(xy((x - 0.48, 0.6), (x + 0.48, 0.6), (x + 0.42, 1.35), (x - 0.42, 1.35)), colour)
    pen.shape(arc(x, 0.6, 0.48, 0.13), lighter(colour, 35))
    for side in (-1, 1):
        pen.shape(_capsule((x + side * 0.6, 1.2), (x + side * 0.25, 1.05), 0.11), who.skin)


BEFORE: tuple[Prop, ...] = (hand, hand, cup)


# --- worn -------------------------------------------------------------------------------------------------------------


def medical_mask(s: Sitter) -> None:
    """Cloth over mouth and nose."""
    pen, pose, rng = s.head, s.pose, s.rng
    cloth = ((246, 248, 250), (150, 196, 226), (52, 52, 60), (244, 190, 204))[int(rng.integers(4))]
    x = pose.yaw * 0.16
    for side in (-1, 1):
        pen.stroke(
            bend(xy((side * 0.6 + x, 0.5)), xy((side * 0.85, 0.42)), xy((side * 0.95, 0.3))), 1.6, darker(cloth, 25)
        )
    pen.shape(
        through(
            xy(
                (x - 0.72, 0.5),
                (x, 0.42),
                (x + 0.72, 0.5),
                (x + 0.62, 0.86),
                (x + 0.2, 1.09),
                (x - 0.2, 1.09),
                (x - 0.62, 0.86),
            )
        ),
        cloth,
    )
    for y in (0.62, 0.76, 0.9):
        pen.stroke(bend(xy((x - 0.5, y)), xy((x, y - 0.04)), xy((x + 0.5, y))), 0.7, darker(cloth, 30))


def eye_patch(s: Sitter) -> None:
    """Cloth over one eye."""
    pen, pose, rng = s.head, s.pose, s.rng
    side, cloth = _side(rng), ((250, 250, 250), (40, 36, 42))[int(rng.integers(2))]
    x = side * 0.47 + pose.yaw * 0.16
    pen.stroke(bend(xy((-side * 0.9, -0.5)), xy((0, -0.15)), xy((side * 0.95, 0.35))), 1.8, darker(cloth, 20))
    pen.shape(
        through(xy((x - 0.36, -0.1), (x, -0.2), (x + 0.36, -0.1), (x + 0.36, 0.35), (x, 0.58), (x - 0.36, 0.35))), cloth
    )


def dark_glasses(s: Sitter) -> None:
    """Glasses that nobody sees through."""
    pen, pose, rng = s.head, s.pose, s.rng
    x0, tint = pose.yaw * 0.17, ((34, 30, 40), (90, 40, 50), (40, 60, 80))[int(rng.integers(3))]
    for side in (-1, 1):
        glass = through(xy((-0.38, -0.18), (0.0, -0.24), (0.38, -0.18), (0.34, 0.2), (0, 0.34), (-0.34, 0.2)))
        pen.shape(glass + xy((side * 0.46 + x0, 0.22)), tint)
        pen.fill(
            xy((-0.22, -0.12), (-0.05, -0.14), (-0.2, 0.12), (-0.28, 0.05)) + xy((side * 0.46 + x0, 0.22)),
            lighter(tint, 45),
        )
    pen.stroke(bend(xy((x0 - 0.14, 0.14)), xy((x0, 0.06)), xy((x0 + 0.14, 0.14))), 2.0, tint)


def half_mask(s: Sitter) -> None:
    """A carnival mask round the eyes, which look through it."""
    pen, pose, rng = s.head, s.pose, s.rng
    cloth = _one(rng, _COVERS)
    x0, y = pose.yaw * 0.16, 0.22 + pose.pitch * 0.08
    for side in (-1, 1):
        ring = np.concatenate(
            [
                through(xy((0.0, 0.02), (0.25, -0.42), (0.9, -0.5), (1.0, 0.0), (0.62, 0.46), (0.2, 0.36))),
                through(xy((0.47, 0.38), (0.2, 0.2), (0.18, -0.2), (0.47, -0.36), (0.78, -0.2), (0.76, 0.2))),
            ]
        )
        pen.fill(ring * (side, 1) + (x0, y), cloth)
        for edge in (ring[:36], ring[36:]):
            pixels = pen.pixels(edge * (side, 1) + (x0, y))
            pen.draw.line([*pixels, pixels[0]], fill=pen.ink, width=max(1, round(pen.weight * pen.scale * 0.8)))


def hood(s: Sitter) -> None:
    """Cloth round the head, open at the face; at times with the ears of an animal."""
    pen, rng = s.head, s.rng
    cloth = _one(rng, _COVERS)
    if rng.integers(2):
        for side in (-1, 1):
            pen.shape(through(xy((0.5, -1.3), (0.75, -2.0), (1.15, -1.1))) * (side, 1), cloth)
            pen.fill(through(xy((0.66, -1.35), (0.78, -1.75), (0.98, -1.2))) * (side, 1), lighter(cloth, 50))
    outside = through(xy((0, -1.55), (0.9, -1.25), (1.38, -0.3), (1.36, 0.7), (1.0, 1.5), (0.5, 1.6)), closed=False)
    inside = through(xy((0.36, 1.2), (0.8, 0.85), (0.98, 0.2), (0.9, -0.5), (0.5, -0.9), (0, -1.0)), closed=False)
    half = np.concatenate([outside, inside])
    whole = np.concatenate([outside, inside, (inside * (-1, 1))[::-1], (outside * (-1, 1))[::-1]])
    pen.fill(whole, cloth)
    for side in (-1, 1):
        pixels = pen.pixels(half * (side, 1))
        for edge in (pixels[: len(outside)], pixels[len(outside) :]):
            pen.draw.line(edge, fill=pen.ink, width=max(2, round(pen.weight * pen.scale)))
        pen.stroke(bend(xy((side * 1.2, -0.4)), xy((side * 1.26, 0.2)), xy((side * 1.1, 0.9))), 1.0, darker(cloth, 40))


def helmet(s: Sitter) -> None:
    """A shell over the skull, with a rim, cheek guards and a crest."""
    pen, rng = s.head, s.rng
    shell = ((150, 156, 170), (196, 160, 84), (70, 82, 120), (150, 60, 56))[int(rng.integers(4))]
    for side in (-1, 1):
        pen.shape(
            through(xy((0.86, -0.5), (1.24, -0.4), (1.18, 0.5), (0.84, 0.95), (0.8, 0.3))) * (side, 1),
            darker(shell, 18),
        )
    pen.shape(
        np.concatenate(
            [
                arc(0, -0.4, 1.28, 1.28, 180, 360, 30),
                through(xy((1.28, -0.4), (0.6, -0.5), (0, -0.36), (-0.6, -0.5), (-1.28, -0.4)), closed=False),
            ]
        ),
        shell,
    )
    pen.shape(through(xy((-0.1, -0.45), (0.1, -0.45), (0.14, -1.6), (-0.14, -1.6))), lighter(shell, 30))
    pen.fill(through(xy((-0.8, -0.8), (-0.5, -1.3), (-0.35, -1.3), (-0.6, -0.75))), lighter(shell, 45))


MASKS: tuple[Prop, ...] = (medical_mask, medical_mask, eye_patch, dark_glasses, half_mask)
HEADWEAR: tuple[Prop, ...] = (hood, hood, helmet)


# --- words ------------------------------------------------------------------------------------------------------------


def sign(pen: Pen, x: float, y: float, size: float, rng: np.random.Generator, colour: Colour = _PRINT) -> None:
    """One sign of a script that nobody can read: a few strokes in a square."""
    for _ in range(int(rng.integers(3, 7))):
        flat = bool(rng.integers(2))
        at, start, end = rng.uniform(-0.42, 0.42), rng.uniform(-0.45, -0.1), rng.uniform(0.1, 0.45)
        ends = xy((start, at), (end, at + 0.04)) if flat else xy((at, start), (at + rng.uniform(-0.15, 0.15), end))
        thick = pen.pixels(ends * size + (x, y))
        pen.draw.line(thick, fill=colour, width=max(1, round(size * pen.scale * 0.11)))


def column(
    pen: Pen, x: float, top: float, size: float, count: int, rng: np.random.Generator, colour: Colour = _PRINT
) -> None:
    """Signs below each other."""
    for index in range(count):
        sign(pen, x, top + (index + 0.5) * size * 1.1, size, rng, colour)


def bubble(pen: Pen, x: float, y: float, wide: float, high: float, rng: np.random.Generator) -> None:
    """A bubble of speech with columns of signs."""
    toward = 1 if x < 0 else -1
    pen.shape(
        xy((x - 0.12, y + high * 0.7), (x + 0.16, y + high * 0.7), (x + toward * wide * 0.7, y + high * 1.45)), _PAPER
    )
    spiky = rng.integers(4) == 0
    outline = arc(x, y, wide, high, steps=41)[:-1]
    if spiky:
        outline[::2] = (outline[::2] - (x, y)) * 1.14 + (x, y)
    pen.shape(outline, _PAPER)
    pen.fill(arc(x + toward * 0.05, y + high * 0.62, wide * 0.4, high * 0.3), _PAPER)
    size = min(wide, high) * 0.34
    columns = max(1, int(wide * 1.2 / (size * 1.25)))
    for index in range(columns):
        offset = (index - (columns - 1) / 2) * size * 1.25
        room = high * 1.5 * math.sqrt(max(0.1, 1 - (offset / wide) ** 2))
        count = max(1, int(room / (size * 1.1)))
        column(pen, x + offset, y - count * size * 0.55, size, int(rng.integers(max(1, count - 2), count + 1)), rng)
