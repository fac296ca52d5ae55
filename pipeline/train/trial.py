"""How good a cascade is on pictures that it did not learn from."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from pipeline.records import Box
from pipeline.train.patterns import WINDOW
from pipeline.train.windows import Labelled

NEIGHBOURS = (1, 2, 3, 5, 8, 12)  # windows that must agree
SCALE_FACTOR = 1.1  # each round looks for faces this much larger
SAME = 0.4  # overlap of a found box with the labelled one; as in the bench


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a cascade found when so many windows had to agree."""

    neighbours: int  # minNeighbors of OpenCV
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


def trials(cascade: Path, pictures: Sequence[Labelled]) -> list[Trial]:
    """Let OpenCV run a cascade over pictures, and judge it for each number of windows that must agree."""
    runner = cv2.CascadeClassifier(str(cascade))
    began = time.perf_counter()
    finds = [_find(runner, one) for one in pictures]
    seconds = time.perf_counter() - began
    found = []
    for neighbours in NEIGHBOURS:
        sure = [[box for box, votes in some if votes > neighbours] for some in finds]
        counts = [_compare(some, one) for some, one in zip(sure, pictures, strict=True)]
        right, wrong, missed = (sum(count[place] for count in counts) for place in range(3))
        found.append(
            Trial(
                neighbours=neighbours,
                right=right,
                wrong=wrong,
                missed=missed,
                seconds=seconds,
                pictures=len(pictures),
            )
        )
    return found


def _find(runner: cv2.CascadeClassifier, picture: Labelled) -> list[tuple[Box, int]]:
    """Give all boxes, the surest first, and how many windows agree: OpenCV keeps those of more than minNeighbors."""
    smallest = (WINDOW, WINDOW)
    rows, votes = runner.detectMultiScale2(
        picture.grey, scaleFactor=SCALE_FACTOR, minNeighbors=min(NEIGHBOURS), minSize=smallest
    )
    surest = sorted((-int(vote), *map(int, row)) for vote, row in zip(np.ravel(votes), rows, strict=True))
    return [(Box(left=left, top=top, width=wide, height=high), -vote) for vote, left, top, wide, high in surest]


def _compare(found: Sequence[Box], picture: Labelled) -> tuple[int, int, int]:
    """Pair boxes with faces, the surest first: how many are right, wrong, missed.

    What lies where nobody has decided counts neither way, and neither does a face that is smaller than the window.
    """
    left = [face for face in picture.faces if face.width >= WINDOW]
    open_ = [*picture.ignored, *(face for face in picture.faces if face.width < WINDOW)]
    right = wrong = 0
    for box in found:
        best = max(left, key=box.overlap, default=None)
        if best is not None and box.overlap(best) >= SAME:
            left.remove(best)
            right += 1
        elif not any(box.overlap(one) > 0 for one in open_):
            wrong += 1
    return right, wrong, len(left)
