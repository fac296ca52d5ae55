"""Hides how ink is put on a canvas: colours that mix in whole numbers, curves, a pen that draws in units of a head.

Pillow alone and no fonts; every coordinate is rounded to a whole pixel: the same points give the same pixels anywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

Colour: TypeAlias = tuple[int, int, int]
Points: TypeAlias = NDArray[np.float64]  # (N, 2), in units of the head: its face is about 2 wide

SUPERSAMPLE = 2  # the canvas has this many pixels for each pixel of the picture, in each direction


def mix(first: Colour, second: Colour, percent: int) -> Colour:
    """Blend two colours; 0 gives the first, 100 the second. Whole numbers only."""
    red, green, blue = ((a * (100 - percent) + b * percent) // 100 for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Colour, percent: int) -> Colour:
    """Put *percent* of shadow on a colour."""
    # A shadow is cooler than the thing it lies on.
    return mix(colour, (58, 28, 78), percent)


def lighter(colour: Colour, percent: int) -> Colour:
    """Put *percent* of light on a colour."""
    return mix(colour, (255, 255, 255), percent)


def xy(*pairs: tuple[float, float]) -> Points:
    """Points by hand."""
    return np.array(pairs, dtype=np.float64)


def arc(cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360, steps: int = 28) -> Points:
    """Points on an ellipse; 0 degrees is right, 90 below."""
    angles = np.radians(np.linspace(start, end, steps))
    return np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)


def bend(start: Points, control: Points, end: Points, steps: int = 9) -> Points:
    """A quadratic Bézier curve."""
    t = np.linspace(0, 1, steps)[:, None]
    return (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end


def through(points: Points, *, closed: bool = True, steps: int = 6) -> Points:
    """A Catmull-Rom curve through *points*."""
    if closed:
        padded = np.concatenate([points[-1:], points, points[:2]])
    else:
        padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    p0, p1, p2, p3 = (padded[i : len(padded) - 3 + i, None, :] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    flat: Points = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, points[-1:]])


def blade(root: Points, tip: Points, width: float, bulge: float) -> Points:
    """A lock of hair: from *root*, *width* wide, to a point at *tip*, curved sideways by *bulge*."""
    along = tip - root
    length = float(np.hypot(along[0, 0], along[0, 1])) or 1.0
    across = along[:, ::-1] * (-1, 1) / length
    left, right = root - across * width / 2, root + across * width / 2
    middle = (root + tip) / 2 + across * bulge
    return np.concatenate(
        [bend(left, middle - across * width * 0.55, tip), bend(tip, middle + across * width * 0.45, right)]
    )


def _normals(points: Points, *, closed: bool) -> Points:
    before, after = np.roll(points, 1, axis=0), np.roll(points, -1, axis=0)
    along: Points = after - before if closed else np.gradient(points, axis=0)
    length = np.hypot(along[:, 0], along[:, 1])
    length[length == 0] = 1.0
    normals: Points = np.stack([along[:, 1], -along[:, 0]], axis=1) / length[:, None]
    return normals


@dataclass(frozen=True, slots=True)
class Pen:
    """Draws in the units of a head onto the pixels of a canvas."""

    draw: ImageDraw.ImageDraw
    x: float  # where (0, 0) lies on the canvas
    y: float
    scale: float  # pixels of the canvas for one unit
    angle: float = 0.0  # degrees, clockwise as seen
    ink: Colour = (62, 40, 52)
    weight: float = 0.03  # of a line, in units

    def pixels(self, points: Points) -> list[tuple[int, int]]:
        """Turn, scale and move *points* to whole pixels of the canvas."""
        # Rounded, so that the last bit of a machine's cosine moves no pixel.
        cos, sin = (round(f(math.radians(self.angle)), 9) for f in (math.cos, math.sin))
        x = points[:, 0] * cos - points[:, 1] * sin
        y = points[:, 0] * sin + points[:, 1] * cos
        placed = np.rint(np.stack([x * self.scale + self.x, y * self.scale + self.y], axis=1)).astype(int)
        return [(int(a), int(b)) for a, b in placed.tolist()]

    def fill(self, points: Points, colour: Colour) -> None:
        """A surface without an outline."""
        self.draw.polygon(self.pixels(points), fill=colour)

    def shape(self, points: Points, colour: Colour, weight: float = 1.0) -> None:
        """A surface with an inked outline, *weight* times the usual line."""
        normals = _normals(points, closed=True)
        half = self.weight * weight / 2
        turns = float(np.sum(points[:, 0] * np.roll(points[:, 1], -1) - np.roll(points[:, 0], -1) * points[:, 1]))
        outwards = normals if turns > 0 else -normals
        outer = self.pixels(points + outwards * half)
        self.draw.polygon(outer, fill=self.ink)
        # The corner of a sharp tip is lost between two normals; a thin line closes it.
        self.draw.line([*outer, outer[0]], fill=self.ink, width=max(1, round(half * self.scale * 0.6)))
        self.draw.polygon(self.pixels(points - outwards * half), fill=colour)

    def stroke(self, points: Points, weight: float = 1.0, colour: Colour | None = None) -> None:
        """A line that starts and ends thin, *weight* times the usual line in its middle."""
        swell = np.sin(np.linspace(0.12, np.pi - 0.12, len(points)))[:, None]
        offset = _normals(points, closed=False) * swell * self.weight * weight / 2
        outline = self.pixels(np.concatenate([points + offset, (points - offset)[::-1]]))
        self.draw.polygon(outline, fill=colour or self.ink)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Say where a point lies on the canvas."""
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        return self.x + (x * cos - y * sin) * self.scale, self.y + (x * sin + y * cos) * self.scale
