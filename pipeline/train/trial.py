"""How good a detector is on pictures that it did not learn from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np

from pipeline.detectors import Detector
from pipeline.records import Box
from pipeline.train.patterns import WINDOW
from pipeline.train.sheets import Coloured
from pipeline.train.windows import Labelled

NEIGHBOURS = (1, 2, 3, 5, 8, 12)  # windows that must agree
SCORES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.8)  # that a box must have
SCALE_FACTOR = 1.1  # each round looks for faces this much larger
SAME = 0.4  # overlap of a found box with the labelled one; as in the bench


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a detector found when so much was asked of a box."""

    asked: float  # minNeighbors of OpenCV, or the least score
    right: int  # faces found
    wrong: int  # boxes where no face is
    missed: int  # faces not found
    seconds: float
    pictures: int

    @property
    def precision(self) -> float:
        """Share of the boxes that hold a face; 1 when there are no boxes."""
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        """Share of the faces that were found; 1 when there are no faces."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


class _Known(Protocol):
    """A picture of which the faces are known."""

    @property
    def faces(self) -> tuple[Box, ...]: ...
    @property
    def ignored(self) -> tuple[Box, ...]: ...


_Picture = TypeVar("_Picture", bound=_Known)
_Finds = list[tuple[Box, float]]  # how sure of it, in the unit of what is asked


def trials(cascade: Path, pictures: Sequence[Labelled]) -> list[Trial]:
    """Let OpenCV run a cascade over pictures, and judge it for each number of windows that must agree.

    A face that is smaller than the window counts neither way.
    """
    runner = cv2.CascadeClassifier(str(cascade))

    def find(picture: Labelled) -> _Finds:
        smallest = (WINDOW, WINDOW)
        rows, votes = runner.detectMultiScale2(
            picture.grey, scaleFactor=SCALE_FACTOR, minNeighbors=min(NEIGHBOURS), minSize=smallest
        )
        # OpenCV keeps those of more than minNeighbors.
        return [
            (Box(left=int(left), top=int(top), width=int(wide), height=int(high)), int(vote) - 1)
            for vote, (left, top, wide, high) in zip(np.ravel(votes), rows, strict=True)
        ]

    return _tried(find, pictures, NEIGHBOURS, WINDOW)


def scored(detector: Detector, pictures: Sequence[Coloured]) -> list[Trial]:
    """Let a detector look at pictures, and judge it for each of `SCORES` that a box must have."""

    def find(picture: Coloured) -> _Finds:
        return [(face.box, face.score) for face in detector.detect(picture.pixels_HWC)]

    return _tried(find, pictures, SCORES, 0)


def _tried(
    find: Callable[[_Picture], _Finds], pictures: Sequence[_Picture], asked: Sequence[float], smallest: int
) -> list[Trial]:
    began = time.perf_counter()
    finds = [sorted(find(one), key=lambda each: (-each[1], each[0])) for one in pictures]
    seconds = time.perf_counter() - began
    found = []
    for least in asked:
        counts = [
            _compare([box for box, sure in some if sure >= least], one, smallest)
            for some, one in zip(finds, pictures, strict=True)
        ]
        right, wrong, missed = (sum(count[place] for count in counts) for place in range(3))
        found.append(
            Trial(asked=least, right=right, wrong=wrong, missed=missed, seconds=seconds, pictures=len(pictures))
        )
    return found


def _compare(found: Sequence[Box], picture: _Known, smallest: int) -> tuple[int, int, int]:
    """Pair boxes with faces, the surest first: how many are right, wrong, missed.

    What lies where nobody has decided counts neither way, and neither does a face that is smaller than *smallest*.
    """
    left = [face for face in picture.faces if face.width >= smallest]
    open_ = [*picture.ignored, *(face for face in picture.faces if face.width < smallest)]
    right = wrong = 0
    for box in found:
        best = max(left, key=box.overlap, default=None)
        if best is not None and box.overlap(best) >= SAME:
            left.remove(best)
            right += 1
        elif not any(box.overlap(one) > 0 for one in open_):
            wrong += 1
    return right, wrong, len(left)
