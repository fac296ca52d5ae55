"""Hides how a head is drawn from the side."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import ImageDraw

from pipeline.records import Box
from pipeline.sandbox.figure import (
    BOX_SIDE,
    EYES,
    Character,
    FaceTruth,
    Pose,
    Sitter,
    Style,
    body,
    face_truth,
    hat,
    sit,
)
from pipeline.sandbox.ink import Points, arc, bend, darker, lighter, mix, through, xy

CENTRE = (-0.24, 0.40)  # of the box, in units of a head that looks to the left

# A head that looks to the left, from the forehead down over nose, lips and chin and back along the jaw.
_SKIN = through(
    xy(
        (-0.5, -0.95), (-0.84, -0.4), (-0.9, -0.05), (-0.87, 0.2), (-0.98, 0.42), (-1.03, 0.5), (-0.92, 0.58),
        (-0.94, 0.67), (-0.88, 0.73), (-0.9, 0.82), (-0.84, 0.9), (-0.8, 1.03), (-0.62, 1.11), (-0.3, 1.02),
        (0.06, 0.86), (0.3, 0.55), (0.7, 0.2), (0.6, -0.8),
    ),
    steps=4,
)  # fmt: skip
_CAP = (
    (-0.99, 0.06), (-0.74, -0.22), (-0.66, 0.1), (-0.42, -0.24), (-0.3, 0.08), (-0.1, -0.2), (-0.06, 0.2),
    (0.0, 0.98), (0.2, 0.3), (0.27, 0.02), (0.5, 0.5), (0.52, 0.95),
)  # fmt: skip
_BEHIND: dict[Style, tuple[tuple[float, float], ...]] = {
    Style.SHORT: ((0.2, -1.2), (1.15, -0.5), (1.3, 0.3), (1.05, 1.05), (0.4, 1.2), (0.1, 0.6)),
    Style.LONG: ((0.2, -1.2), (1.2, -0.6), (1.35, 0.5), (1.6, 1.8), (1.5, 3.0), (0.5, 3.0), (0.1, 1.4)),
    Style.TWINTAILS: ((0.5, -0.9), (1.2, -1.1), (1.9, -0.3), (2.0, 1.1), (1.6, 2.6), (1.4, 1.2), (1.0, 0.1)),
    Style.PONYTAIL: ((0.7, -0.9), (1.5, -1.3), (2.2, -0.6), (2.3, 0.8), (1.8, 1.9), (1.7, 0.6), (1.0, 0.0)),
    Style.DRILLS: ((0.2, -1.2), (1.15, -0.5), (1.4, 0.4), (1.25, 1.3), (1.1, 2.3), (0.75, 1.4), (0.1, 0.6)),
}


def draw_profile(draw: ImageDraw.ImageDraw, who: Character, pose: Pose, rng: np.random.Generator) -> None:
    """Draw *who* with the head seen from the side; it looks to the left where the yaw is negative."""
    s = sit(draw, who, pose, rng)
    aside = _aside(pose)
    s.hanging.shape(through(xy(*_BEHIND[who.style])) * aside, s.dark)
    body(s)
    s.head.shape(_SKIN * aside, who.skin)
    jaw = through(xy((0.25, 0.5), (0.02, 0.84), (-0.5, 1.06), (-0.3, 0.9), (0.0, 0.6)))
    s.head.fill(jaw * aside, darker(who.skin, pose.shade // 2))
    _features(s, aside)
    s.head.shape(arc(0.24, 0.3, 0.15, 0.22) * aside, who.skin)
    s.head.stroke(arc(0.25, 0.3, 0.08, 0.13, 100, 280, 9) * aside, 0.7)
    _hair(s, aside)
    if "hat" in who.wears:
        hat(s)


def profile_truth(who: Character, pose: Pose) -> FaceTruth:
    """The truth about a face that is drawn so; the box lies where the face is, and not the back of the head."""
    truth = face_truth(who, pose)
    cos, sin = np.cos(np.radians(truth.tilt)), np.sin(np.radians(truth.tilt))
    cx, cy = CENTRE[0] * _aside(pose)[0], CENTRE[1]
    side = round(BOX_SIDE * pose.scale)
    left = pose.x + float(cx * cos - cy * sin) * pose.scale - side / 2
    top = pose.y + float(cx * sin + cy * cos) * pose.scale - side / 2
    return replace(truth, box=Box(left=round(left), top=round(top), width=side, height=side))


def _aside(pose: Pose) -> tuple[int, int]:
    return (1, 1) if pose.yaw < 0 else (-1, 1)


def _features(s: Sitter, aside: tuple[int, int]) -> None:
    """The eye, the eyebrow, a blush and the mouth."""
    pen, pose, manner = s.head, s.pose, s.pose.manner
    level, high = 0.22 + manner.eye_level, 0.3 * manner.eye_high

    def at(points: Points) -> Points:
        return points * aside

    if pose.blush:
        pen.fill(at(arc(-0.42, 0.56, 0.2, 0.08)), mix(s.who.skin, (250, 96, 112), 30))
    brow = bend(xy((-0.8, level - 0.44)), xy((-0.55, level - 0.58)), xy((-0.26, level - 0.42)))
    pen.stroke(at(brow), 1.3, mix(pose.ink, s.dark, 35))
    if pose.mouth == "open":
        lips = through(xy((-0.92, 0.7), (-0.72, 0.7), (-0.66, 0.76), (-0.76, 0.86), (-0.9, 0.84)))
        pen.shape(at(lips), (150, 48, 58), 0.8)
    else:
        corner = 0.72 if pose.mouth in {"smile", "cat"} else 0.76
        pen.stroke(at(bend(xy((-0.9, 0.735)), xy((-0.8, 0.78)), xy((-0.68, corner)))), 1.0)
    if pose.eyelids != "open":
        pen.stroke(at(bend(xy((-0.8, level + 0.02)), xy((-0.55, level + 0.2)), xy((-0.28, level)))), 2.6)
        return
    white = through(
        xy((-0.77, level), (-0.72, level - high * 0.8), (-0.52, level - high), (-0.3, level - 0.05),
           (-0.4, level + high * 0.7), (-0.62, level + high * 0.95), (-0.74, level + high * 0.6))
    )  # fmt: skip
    pen.fill(at(white), (252, 250, 252))
    colour = EYES[s.who.eyes]
    pen.fill(at(arc(-0.63, level + 0.01, 0.125, high * 0.92)), darker(colour, 58))
    pen.fill(at(arc(-0.63, level + 0.05, 0.1, high * 0.75)), darker(colour, 6))
    pen.fill(at(arc(-0.64, level, 0.055, high * 0.5)), darker(colour, 82))
    pen.fill(at(arc(-0.63, level + high * 0.5, 0.06, high * 0.25)), lighter(colour, 38))
    pen.fill(at(arc(-0.67, level - high * 0.42, 0.055, high * 0.24)), (255, 255, 255))
    lash = np.concatenate(
        [
            bend(xy((-0.83, level - 0.05)), xy((-0.74, level - high * 1.35)), xy((-0.5, level - high))),
            bend(xy((-0.5, level - high)), xy((-0.3, level - high * 0.7)), xy((-0.2, level + 0.02))),
        ]
    )
    pen.stroke(at(lash), 4.2, mix(pose.ink, (20, 12, 24), 50))
    pen.stroke(
        at(bend(xy((-0.72, level + high * 0.9)), xy((-0.6, level + high * 1.1)), xy((-0.42, level + 0.24)))), 0.9
    )


def _hair(s: Sitter, aside: tuple[int, int]) -> None:
    """The skull's hair, with a fringe to the front and a lock before the ear."""
    skull = arc(0.06, -0.1, 1.15, 1.2, 172, 405, 40)
    tips = xy(*_CAP)[::-1]
    wobble = s.rng.uniform(-0.04, 0.04, tips.shape)
    edge = np.concatenate(
        [
            bend(a[None], (a[None] + b[None]) / 2 + xy((0.05, 0.02)), b[None], 5)
            for a, b in zip(tips + wobble, (tips + wobble)[1:], strict=False)
        ]
    )
    s.head.shape(np.concatenate([skull, edge]) * aside, s.hair)
    for x, y in ((-0.6, -0.4), (-0.2, -0.45), (0.35, -0.3), (0.75, 0.1), (0.95, 0.4)):
        strand = bend(xy((0.1 + x * 0.2, -1.1)), xy((x, -0.9)), xy((x, y)))
        s.head.stroke(strand * aside, 0.55, darker(s.hair, 45))
    upper = arc(-0.05, -0.3, 0.78, 0.55, 200, 320, 15)
    lower = arc(-0.05, -0.3, 0.78, 0.55, 200, 320, 15)[::-1]
    lower[::2] += (0, 0.09)
    lower[1::2] += (0, 0.2)
    s.head.fill(np.concatenate([upper, lower]) * aside, lighter(s.hair, 46))
    if s.who.style in {Style.TWINTAILS, Style.PONYTAIL}:
        knot = (0.95, -0.75)
        s.head.shape(arc(*knot, 0.2, 0.24) * aside, s.who.trim)
