"""Where the windows come from that a cascade learns from: faces, varied, and what it still takes for faces."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from pipeline.records import Box
from pipeline.train.cascade_file import classifier
from pipeline.train.patterns import WINDOW, Stage, Windows, passes

Grey: TypeAlias = NDArray[np.uint8]  # H x W

PYRAMID = 1.15  # each size at which false alarms are looked for is this much smaller than the one before
NEAR = 0.2  # a window that overlaps a face by more (intersection over union) is no false alarm
OF_ONE_SIZE = 64  # windows of one size of one picture, at most: those of one place are alike
VARIED_AT_ONCE = 512
TRIES = 20  # varied faces looked at for each one wanted, at most


@dataclass(frozen=True, slots=True)
class Labelled:
    """A grey picture and all the faces in it, in the convention of `pipeline.detectors`."""

    grey: Grey
    faces: tuple[Box, ...] = ()
    ignored: tuple[Box, ...] = ()  # where there may be faces that nobody has decided on
    family: str = ""  # pictures that are alike have the same


def varied_faces(
    faces: Sequence[tuple[Grey, Box]], stages: Sequence[Stage], count: int, chance: np.random.Generator
) -> tuple[Windows, float]:
    """Vary faces until *count* pass the stages so far, or hardly any do; also give the share that did."""
    kept: list[Windows] = []
    seen = found = 0
    while found < count and seen < TRIES * count:
        some = [faces[int(index)] for index in chance.integers(len(faces), size=VARIED_AT_ONCE)]
        windows = np.stack([varied(grey_HW, box, chance) for grey_HW, box in some])
        good = windows[passes(stages, windows)]
        kept.append(good)
        seen, found = seen + len(windows), found + len(good)
    return np.concatenate(kept)[:count], found / seen


def varied(grey_HW: Grey, box: Box, chance: np.random.Generator) -> Grey:
    """Cut a face out a little moved, larger or smaller, tilted, mirrored, lighter or darker, and coarser.

    Returns:
        uint8 of shape (24, 24).
    """
    side = box.width * chance.uniform(0.92, 1.12)
    x = box.left + box.width / 2 + box.width * chance.uniform(-0.06, 0.06)
    y = box.top + box.height / 2 + box.height * chance.uniform(-0.06, 0.06)
    between = 2 * WINDOW
    source, x, y = _round(grey_HW, x, y, side)
    share = min(1.0, 2 * between / side)  # a warp alone would skip pixels
    if share < 1:
        source = np.asarray(cv2.resize(source, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)
    matrix = cv2.getRotationMatrix2D((x * share, y * share), chance.normal(0, 7), between / side / share)
    matrix = np.add(matrix, [[0, 0, between / 2 - share * x], [0, 0, between / 2 - share * y]])
    cut = cv2.warpAffine(source, matrix, (between, between), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if chance.random() < 0.5:
        cut = cv2.flip(cut, 1)
    if chance.random() < 0.3:
        cut = _as_jpeg(cut, int(chance.integers(30, 95)))
    toned = 255 * (cut / 255.0) ** chance.uniform(0.7, 1.4) + chance.normal(0, 2, cut.shape)
    small = cv2.resize(np.clip(toned, 0, 255).astype(np.uint8), (WINDOW, WINDOW), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _as_jpeg(cut: MatLike, quality: int) -> MatLike:
    _, packed = cv2.imencode(".jpg", cut, [cv2.IMWRITE_JPEG_QUALITY, quality])
    unpacked = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return cut if unpacked is None else unpacked


def _round(grey_HW: Grey, x: float, y: float, side: float) -> tuple[Grey, float, float]:
    """Give the part of a picture that a turned square about a place can touch, and the place in it."""
    height, width = grey_HW.shape
    reach = math.ceil(side)
    left, top = (max(0, min(int(at) - reach, end - 1)) for at, end in ((x, width), (y, height)))
    part = grey_HW[top : max(top + 1, int(y) + reach), left : max(left + 1, int(x) + reach)]
    return part, x - left, y - top


def false_alarms(
    pictures: Sequence[Labelled],
    stages: Sequence[Stage],
    count: int,
    chance: np.random.Generator,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[Windows, float]:
    """Look for *count* windows that are no face and pass the stages so far; also give their share of all of them.

    *stop* is asked after each picture.
    """
    runner = classifier(stages) if stages else None
    kept = [np.empty((0, WINDOW, WINDOW), np.uint8)]
    seen = found = 0
    for index in chance.permutation(len(pictures)):
        for windows, looked_at in _of_picture(pictures[index], runner, chance):
            good = windows[passes(stages, windows)]
            seen, found = seen + looked_at, found + len(good)
            kept.append(good)
        if found >= 2 * count or stop():  # of so many some are alike
            break
    windows = np.unique(np.concatenate(kept), axis=0)
    return windows[chance.permutation(len(windows))[:count]], found / max(seen, 1)


def _of_picture(
    picture: Labelled, runner: cv2.CascadeClassifier | None, chance: np.random.Generator
) -> Iterator[tuple[Windows, int]]:
    """Give windows of a picture that hold no face, size by size, and how many were looked at."""
    scale = 1.0
    height, width = picture.grey.shape
    while min(height, width) / scale >= WINDOW:
        shape = round(width / scale), round(height / scale)
        reduced = np.asarray(cv2.resize(picture.grey, shape, interpolation=cv2.INTER_LINEAR), np.uint8)
        corners, looked_at = _drawn(reduced, chance) if runner is None else _passed(reduced, runner, chance)
        free = [(x, y) for x, y in corners if not _may_hold_a_face(x, y, scale, picture)]
        if free:
            windows = np.stack([reduced[y : y + WINDOW, x : x + WINDOW] for x, y in free])
        else:
            windows = np.empty((0, WINDOW, WINDOW), np.uint8)
        yield windows, looked_at
        scale *= PYRAMID


def _drawn(reduced: Grey, chance: np.random.Generator) -> tuple[list[tuple[int, int]], int]:
    """Choose any windows of one size."""
    spare = np.array(reduced.shape) - WINDOW + 1
    count = min(OF_ONE_SIZE, int(spare.prod()))
    return [(int(x), int(y)) for y, x in chance.integers(0, spare, (count, 2))], count


def _passed(
    reduced: Grey, runner: cv2.CascadeClassifier, chance: np.random.Generator
) -> tuple[list[tuple[int, int]], int]:
    """Choose windows of one size that a cascade lets pass, and tell of how many it looked at they stand for."""
    found = runner.detectMultiScale(
        reduced, scaleFactor=2.0, minNeighbors=0, minSize=(WINDOW, WINDOW), maxSize=(WINDOW, WINDOW)
    )
    rows = sorted((int(x), int(y)) for x, y, *_ in found)  # its threads find them in any order
    height, width = reduced.shape
    # OpenCV looks at every other row and column of small windows.
    looked_at = math.ceil((height - WINDOW + 1) / 2) * math.ceil((width - WINDOW + 1) / 2)
    if len(rows) > OF_ONE_SIZE:
        looked_at = round(looked_at * OF_ONE_SIZE / len(rows))
        rows = [rows[index] for index in chance.choice(len(rows), OF_ONE_SIZE, replace=False)]
    return [(min(x, width - WINDOW), min(y, height - WINDOW)) for x, y in rows], looked_at


def _may_hold_a_face(x: int, y: int, scale: float, picture: Labelled) -> bool:
    side = round(WINDOW * scale)
    window = Box(left=round(x * scale), top=round(y * scale), width=side, height=side)
    return any(window.overlap(face) > NEAR for face in picture.faces) or any(
        window.overlap(box) > 0 for box in picture.ignored
    )
