"""Hides how two pictures are held against each other to say whether they show the same drawing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np

from pipeline.pixels import Pixels, fit, phash, resize

SIDE = 128  # pixels
COMPARED_AT = 64
EDGE = 0.2  # of the side, left out all round
SCALES = (0.86, 0.93, 1.0, 1.08, 1.16)
SAME_FROM = 0.88  # correlation
VARIATION_FROM = 0.8
_ODD_COLUMNS = sum(1 << (63 - 8 * row - column) for row in range(8) for column in range(1, 8, 2))


class Likeness(StrEnum):
    """What two pictures are to each other."""

    SAME = "same"
    VARIATION = "variation"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is compared of one picture."""

    thumb_HWC: Pixels  # noqa: N815 -- arrays carry their axes


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """How two pictures are alike."""

    likeness: Likeness
    score: float
    mirrored: bool
    how: str


def look(pixels_HWC: Pixels) -> Look:
    """Take what is compared of a picture."""
    return Look(thumb_HWC=fit(pixels_HWC, SIDE))


def compare(one: Look, other: Look) -> Alike:
    """Say what two pictures are to each other; symmetric."""
    first, second = resize(one.thumb_HWC, COMPARED_AT), resize(other.thumb_HWC, COMPARED_AT)
    straight = max(_resemblance(first, second), _resemblance(second, first))
    turned = np.ascontiguousarray(second[:, ::-1])
    in_mirror = max(_resemblance(first, turned), _resemblance(turned, first))
    score = max(straight, in_mirror)
    mirrored_ = in_mirror > straight
    likeness = Likeness.SAME if score >= SAME_FROM else Likeness.VARIATION if score >= VARIATION_FROM else None
    how = {Likeness.SAME: "mirrored" if mirrored_ else "same drawing", Likeness.VARIATION: "other expression"}
    return Alike(
        likeness=likeness or Likeness.DIFFERENT,
        score=max(0.0, score),
        mirrored=mirrored_,
        how=how.get(likeness, "different") if likeness else "different",
    )


def hashes(pixels_HWC: Pixels) -> tuple[int, ...]:
    """Give the hashes under which a picture is looked up: its own, then those of its middle."""
    height, width = pixels_HWC.shape[:2]
    found = [int(phash(pixels_HWC), 16)]
    for share in (0.95, 0.9):
        down, across = int(height * (1 - share) / 2), int(width * (1 - share) / 2)
        found.append(int(phash(np.ascontiguousarray(pixels_HWC[down : height - down, across : width - across])), 16))
    return tuple(found)


def mirrored(phash: int) -> int:
    """Give the hash of the mirror image."""
    return phash ^ _ODD_COLUMNS


def _resemblance(one_HWC: Pixels, other_HWC: Pixels) -> float:
    side = len(one_HWC)
    best = -1.0
    for scale in SCALES:
        scaled = round(side * scale)
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        low, high = round(scaled * EDGE), round(scaled * (1 - EDGE))
        middle_HWC = cv2.resize(one_HWC, (scaled, scaled), interpolation=way)[low:high, low:high]
        found = cv2.matchTemplate(other_HWC, middle_HWC, cv2.TM_CCOEFF_NORMED)
        best = max(best, float(found.max()))
    return best
