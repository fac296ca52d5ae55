"""Where the pictures come from that a face network learns from: labelled ones, turned, scaled, mixed and spoiled.

What is drawn has a palette and a pencil of its own; real pictures have others. So every sheet has colours, tones and
textures by chance, and only what makes a face a face stays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.pixels import Pixels
from pipeline.records import Box

GREY = 114  # beside a picture that does not fill the input; as pipeline/detectors/onnx.py has it
LEAST = 7.0  # pixels; a smaller face on a sheet is ignored
_SEEN = 0.4  # share of a face's square on the sheet; with less it is ignored
_MOSAIC = 0.3  # share of the sheets that hold four pictures
_LARGER = 2.5  # a picture is enlarged at most so many times
_COARSE = (16, 80)  # quality of the JPEG that a sheet may go through

Chance = np.random.Generator
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Coloured:
    """A picture and all the faces in it, in the convention of `pipeline.detectors`."""

    pixels_HWC: Pixels  # noqa: N815 - arrays carry their axes
    faces: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()  # where there may be faces that nobody has decided on
    family: str = ""  # pictures that are alike have the same


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the network is shown once."""

    pixels_HWC: Pixels  # noqa: N815 - see above; square
    faces: Floats  # (faces, 3): centre x, centre y and side, in pixels
    ignored: Floats  # (places, 4): left, top, right, bottom; where nothing is learnt


def sheet(pictures: Sequence[Coloured], side: int, chance: Chance) -> Sheet:
    """Make a sheet of *side* pixels of pictures drawn by chance."""

    def one(part: int) -> Sheet:
        return _placed(pictures[int(chance.integers(len(pictures)))], part, chance)

    made = _mosaic([one(side // 2) for _ in range(4)]) if chance.random() < _MOSAIC else one(side)
    return Sheet(spoiled(made.pixels_HWC, chance), made.faces, made.ignored)


def _mosaic(quarters: Sequence[Sheet]) -> Sheet:
    side = quarters[0].pixels_HWC.shape[0]
    corners = [(0, 0), (side, 0), (0, side), (side, side)]
    above, below = (np.concatenate([one.pixels_HWC for one in some], axis=1) for some in (quarters[:2], quarters[2:]))
    faces = [one.faces + np.array([x, y, 0], np.float32) for one, (x, y) in zip(quarters, corners, strict=True)]
    ignored = [one.ignored + np.array([x, y, x, y], np.float32) for one, (x, y) in zip(quarters, corners, strict=True)]
    return Sheet(np.concatenate([above, below]), np.concatenate(faces), np.concatenate(ignored))


def _placed(picture: Coloured, side: int, chance: Chance) -> Sheet:
    """Put a picture, or a part of it, on a square: turned, mirrored, smaller or larger."""
    height, width = picture.pixels_HWC.shape[:2]
    angle = _angle(chance)
    if picture.faces and chance.random() < 0.65:
        face = picture.faces[int(chance.integers(len(picture.faces)))]
        wanted = _face_side(side, chance)
        scale = wanted / face.width
        x, y = face.left + face.width / 2, face.top + face.height / 2
        reach = max(0.0, side / 2 - 0.4 * wanted)
        to_x, to_y = (side / 2 + chance.uniform(-reach, reach) for _ in range(2))
    else:
        scale = side / max(width, height) * chance.uniform(0.6, 1.5)
        x, y = width / 2, height / 2
        to_x, to_y = (side * chance.uniform(0.35, 0.65) for _ in range(2))
    scale = min(max(scale, 0.3 * side / max(width, height)), _LARGER)
    pixels_HWC = picture.pixels_HWC
    reduced = 1.0
    if scale < 0.7:  # a warp alone would skip pixels
        pixels_HWC = np.asarray(cv2.resize(pixels_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        reduced = pixels_HWC.shape[1] / width
    turned = np.asarray(cv2.getRotationMatrix2D((0, 0), angle, scale), np.float64)
    if chance.random() < 0.5:
        turned[:, 0] *= -1
    turned[:, 2] = np.array([to_x, to_y]) - turned[:, :2] @ np.array([x, y])
    warp = turned.copy()
    warp[:, :2] /= reduced
    canvas_HWC = cv2.warpAffine(pixels_HWC, warp, (side, side), flags=cv2.INTER_LINEAR, borderValue=_beside(chance))
    faces = [_moved(box, turned, scale) for box in picture.faces]
    kept = [face for face in faces if face[2] >= LEAST and _share_on(face, side) >= _SEEN]
    dropped = [face for face in faces if face[2] < LEAST or _share_on(face, side) < _SEEN]
    dropped += [_moved(box, turned, scale) for box in picture.ignored]
    places = [[x - half, y - half, x + half, y + half] for x, y, size in dropped for half in [size * 0.6]]
    clipped = np.clip(np.array(places, np.float32).reshape(-1, 4), 0, side)
    return Sheet(np.asarray(canvas_HWC, np.uint8), np.array(kept, np.float32).reshape(-1, 3), clipped)


def _angle(chance: Chance) -> float:
    """Draw how far a picture is turned, in degrees: mostly upright, often lying, at times in any way."""
    way = chance.random()
    if way < 0.45:
        return float(chance.normal(0, 8))
    if way < 0.7:
        return float(chance.integers(4) * 90 + chance.normal(0, 10))
    return float(chance.uniform(0, 360))


def _face_side(side: int, chance: Chance) -> float:
    """Draw how large a face is: as many of each size, or as many small ones as large ones."""
    least, most = 9.0, 1.05 * side
    if chance.random() < 0.4:
        return float(chance.uniform(least, most))
    return math.exp(chance.uniform(math.log(least), math.log(most)))


def _beside(chance: Chance) -> tuple[int, int, int]:
    if chance.random() < 0.6:
        return GREY, GREY, GREY
    red, green, blue = (int(value) for value in chance.integers(0, 256, 3))
    return red, green, blue


def _moved(box: Box, turned: NDArray[np.float64], scale: float) -> tuple[float, float, float]:
    """Give the centre and the side of a square that is turned with its picture: it stays upright, and as large."""
    middle = np.array([box.left + box.width / 2, box.top + box.height / 2, 1.0])
    x, y = turned @ middle
    return float(x), float(y), (box.width + box.height) / 2 * scale


def _share_on(face: tuple[float, float, float], side: int) -> float:
    x, y, size = face
    wide, high = (max(0.0, min(side, at + size / 2) - max(0.0, at - size / 2)) for at in (x, y))
    return wide * high / size**2


# --- what happens to pixels -------------------------------------------------------------------------------------------


def spoiled(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    """Change colours, tones and textures by chance, and lose some of the detail."""
    out = pixels_HWC
    for share, change in _CHANGES:
        if chance.random() < share:
            out = change(out, chance)
    return np.ascontiguousarray(out)


def _hue(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    hsv = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2HSV)
    hue, saturation, value = cv2.split(hsv)
    hue = cv2.LUT(hue, ((np.arange(256) + int(chance.normal(0, 22))) % 180).astype(np.uint8))
    saturation = cv2.LUT(saturation, _curve(np.arange(256) * chance.uniform(0.2, 1.7)))
    return np.asarray(cv2.cvtColor(cv2.merge([hue, saturation, value]), cv2.COLOR_HSV2RGB), np.uint8)


def _swapped(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    return pixels_HWC[:, :, chance.permutation(3)]


def _tones(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    """Another curve for each channel: gamma, contrast and light."""
    gamma, gain, more = chance.uniform(0.6, 1.7), chance.uniform(0.6, 1.25), chance.uniform(-25, 25)
    curves = [
        _curve(255 * (np.arange(256) / 255) ** (gamma * own) * gain + more) for own in chance.uniform(0.85, 1.18, 3)
    ]
    return np.asarray(cv2.LUT(pixels_HWC, np.stack(curves, axis=1)[None]), np.uint8)


def _night(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    """Leave little light, and that of one colour."""
    curves = [_curve(np.arange(256) * light) for light in chance.uniform(0.1, 0.5) * chance.uniform(0.6, 1.0, 3)]
    return np.asarray(cv2.LUT(pixels_HWC, np.stack(curves, axis=1)[None]), np.uint8)


def _curve(values: NDArray[np.floating]) -> Pixels:
    return np.asarray(np.clip(values, 0, 255), np.uint8)


def _grey(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    """Black and white; half of the time in few tones, as ink has them."""
    grey_HW = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2GRAY)
    if chance.random() < 0.5:
        levels = int(chance.integers(3, 7))
        grey_HW = cv2.LUT(grey_HW, _curve(np.round(np.arange(256) / 255 * levels) * 255 / levels))
    return np.asarray(cv2.cvtColor(grey_HW, cv2.COLOR_GRAY2RGB), np.uint8)


def _lines(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    """Only the lines, as a pencil would draw them: what is darker than its surroundings."""
    grey_HW = cv2.cvtColor(pixels_HWC, cv2.COLOR_RGB2GRAY)
    around = cv2.GaussianBlur(grey_HW, (0, 0), float(chance.uniform(1.5, 5)))
    drawn = cv2.divide(grey_HW, around, scale=255 * chance.uniform(0.9, 1.0))
    return np.asarray(cv2.cvtColor(drawn, cv2.COLOR_GRAY2RGB), np.uint8)


def _texture(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    """Let light and colour change softly across: shading, paper, a lamp."""
    height, width = pixels_HWC.shape[:2]
    cells = int(chance.integers(2, 24))
    coarse = chance.normal(0, chance.uniform(6, 32), (cells, cells, 3)).astype(np.float32)
    if chance.random() < 0.5:
        coarse[:] = coarse[:, :, :1]
    more = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.add(pixels_HWC, more, dtype=cv2.CV_8U), np.uint8)


def _noise(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    grain = chance.standard_normal(pixels_HWC.shape, np.float32) * np.float32(chance.uniform(2, 22))
    return np.asarray(cv2.add(pixels_HWC, grain, dtype=cv2.CV_8U), np.uint8)


def _blurred(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels_HWC, (0, 0), float(chance.uniform(0.4, 1.6))), np.uint8)


def _coarser(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    height, width = pixels_HWC.shape[:2]
    share = chance.uniform(0.4, 0.85)
    small = cv2.resize(pixels_HWC, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
    way = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_NEAREST)[int(chance.integers(3))]
    return np.asarray(cv2.resize(small, (width, height), interpolation=way), np.uint8)


def _as_jpeg(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    _, packed = cv2.imencode(".jpg", pixels_HWC, [cv2.IMWRITE_JPEG_QUALITY, int(chance.integers(*_COARSE))])
    unpacked = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return pixels_HWC if unpacked is None else np.asarray(unpacked, np.uint8)


def _holes(pixels_HWC: Pixels, chance: Chance) -> Pixels:
    """Cover some places, so that no single part of a face is needed."""
    out = pixels_HWC.copy()
    height, width = out.shape[:2]
    for _ in range(int(chance.integers(1, 7))):
        wide, high = (int(size) for size in chance.uniform(0.02, 0.14, 2) * width)
        left, top = int(chance.integers(width)), int(chance.integers(height))
        out[top : top + high, left : left + wide] = chance.integers(0, 256, 3)
    return out


_CHANGES = (
    (0.5, _hue),
    (0.12, _swapped),
    (0.6, _tones),
    (0.2, _texture),
    (0.1, _night),
    (0.12, _grey),
    (0.06, _lines),
    (0.2, _holes),
    (0.15, _blurred),
    (0.12, _coarser),
    (0.2, _noise),
    (0.3, _as_jpeg),
)  # in this order: shares of the sheets, and what is done to them
