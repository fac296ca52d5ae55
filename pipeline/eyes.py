"""Where the eyes of a face are: as its detector says, looked up in the picture, or where they are as a rule."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from pipeline.pixels import Pixels, cut_turned
from pipeline.records import Box, Detection, Landmarks

Place = tuple[float, float]  # x and y, in pixels
Eyes = tuple[Place, Place]  # the one that is seen on the left first

# Where parts of a face may be, in sides of its box. Drawn eyes are 0.38 apart, and 0.07 above its middle.
_APART = (0.2, 0.65)
_OFF = 0.25  # how far the middle between them may lie from the middle of the box, each way
_MOUTH_BELOW = (0.1, 0.6)  # below the line of the eyes, square to it
_MOUTH_ASIDE = 0.25
_STEEPEST = 45.0  # degrees; beyond it the eyes are rather two other things
_LEVEL = 1.0  # degrees; less cannot be told
_AS_A_RULE = ((-0.19, -0.07), (0.19, -0.07))  # across and down from the middle of the box

# How they are looked up, in sides of the box; chosen on 127 drawn faces. Half of the tilts up to 20 degrees are told to
# within 0.9 (animeface: 2.1), up to 30 within 1.0 (3.3), up to 45 within 2.0 (8.2).
_SIDE = 64  # pixels; side of the picture that is looked at
_CHEEKS = (0.2, 0.13, 0.21)  # to either side, from, to; below the middle between the eyes
_AROUND = (0.16, 0.14)  # half axes of the ellipse in which an eye is the dark part
_FURTHEST = 0.08  # how far an eye may be from where it is said to be, each way
_LOOKS, _STEPS = 2, 4
_DARK, _DARKEST = 30, 130  # how much darker than the cheeks a pixel begins to count, and counts in full; 0 to 255


def eyes_of(detection: Detection) -> Eyes | None:
    """Give the eyes that the detector saw; None where it saw none, or its landmarks make no face."""
    marks = detection.landmarks
    if marks is None or not _make_a_face(marks, detection.box):
        return None
    return marks.right_eye, marks.left_eye


def _make_a_face(marks: Landmarks, box: Box) -> bool:
    """Say whether eyes and mouth are where they can be in a box: a guess of a detector that saw none is far off."""
    (x0, y0), (x1, y1) = marks.right_eye, marks.left_eye
    side = max(box.width, box.height)
    apart = math.hypot(x1 - x0, y1 - y0)
    if not _APART[0] <= apart / side <= _APART[1] or abs(tilt_of(((x0, y0), (x1, y1)))) > _STEEPEST:
        return False
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    cosine, sine = (x1 - x0) / apart, (y1 - y0) / apart
    mouth_x, mouth_y = marks.mouth[0] - x, marks.mouth[1] - y
    aside, below = mouth_x * cosine + mouth_y * sine, mouth_y * cosine - mouth_x * sine
    return (
        max(abs(x - box.left - box.width / 2), abs(y - box.top - box.height / 2)) <= _OFF * side
        and _MOUTH_BELOW[0] <= below / side <= _MOUTH_BELOW[1]
        and abs(aside) <= _MOUTH_ASIDE * side
    )


def usual_eyes(box: Box) -> Eyes:
    """Say where the eyes are in a box, as a rule."""
    side, x, y = max(box.width, box.height), box.left + box.width / 2, box.top + box.height / 2
    left, right = ((x + across * side, y + down * side) for across, down in _AS_A_RULE)
    return left, right


def tilt_of(eyes: Eyes) -> float:
    """Say by how many degrees the line of the eyes falls to the right, to one decimal; 0 where it is all but level."""
    (x0, y0), (x1, y1) = eyes
    tilt = round(math.degrees(math.atan2(y1 - y0, x1 - x0)), 1)
    return 0.0 if abs(tilt) < _LEVEL else tilt


def look_up(eyes: Eyes, pixels_HWC: Pixels, face: float) -> Eyes:
    """Find the middles of the eyes more precisely than a detector tells them: what is darker than the cheeks.

    Args:
        eyes: Roughly.
        pixels_HWC: RGB, uint8; the picture that they are in.
        face: Side of the face's box, in pixels.
    """
    for _ in range(_LOOKS):
        eyes = _looked_up(eyes, pixels_HWC, face)
    return eyes


def _looked_up(eyes: Eyes, pixels_HWC: Pixels, face: float) -> Eyes:
    (x0, y0), (x1, y1) = eyes
    turned = math.atan2(y1 - y0, x1 - x0)
    middle, apart = ((x0 + x1) / 2, (y0 + y1) / 2), math.hypot(x1 - x0, y1 - y0) / face
    upright_HWC = cut_turned(pixels_HWC, middle, face, round(math.degrees(turned), 1), _SIDE)
    # Whole numbers: the tilt decides on the pixels of a crop.
    luma_HW = upright_HWC.astype(np.int64) @ np.array([299, 587, 114]) // 1000  # ITU-R BT.601
    down_HW, across_HW = (np.mgrid[0:_SIDE, 0:_SIDE] + 0.5) / _SIDE - 0.5
    aside, top, bottom = _CHEEKS
    cheeks = luma_HW[(np.abs(across_HW) < aside) & (down_HW > top) & (down_HW < bottom)]
    dark_HW = (int(np.median(cheeks)) - luma_HW - _DARK).clip(0, _DARKEST - _DARK)
    found = [_middle_of_the_dark(dark_HW, across_HW, down_HW, start) for start in (-apart / 2, apart / 2)]
    cosine, sine = math.cos(turned), math.sin(turned)
    left, right = (
        (middle[0] + face * (x * cosine - y * sine), middle[1] + face * (x * sine + y * cosine)) for x, y in found
    )
    return left, right


def _middle_of_the_dark(
    dark_HW: NDArray[np.int64], across_HW: NDArray[np.float64], down_HW: NDArray[np.float64], start: float
) -> Place:
    """Move an ellipse to the middle of what is dark in it, from (*start*, 0), until it stays (mean shift)."""
    x, y = start, 0.0
    for _ in range(_STEPS):
        inside = ((across_HW - x) / _AROUND[0]) ** 2 + ((down_HW - y) / _AROUND[1]) ** 2 <= 1
        weights = np.where(inside, dark_HW, 0)
        if not (total := int(weights.sum())):
            break
        columns, rows = np.arange(_SIDE) @ weights.sum(axis=0), np.arange(_SIDE) @ weights.sum(axis=1)
        x, y = ((int(place) / total + 0.5) / _SIDE - 0.5 for place in (columns, rows))
        x, y = max(start - _FURTHEST, min(start + _FURTHEST, x)), max(-_FURTHEST, min(_FURTHEST, y))
    return x, y
