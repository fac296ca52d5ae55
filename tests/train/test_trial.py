"""How a cascade is tried on labelled pictures."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.records import Box
from pipeline.train.trial import Trial, _compare
from pipeline.train.windows import Labelled

GREY = np.zeros((100, 100), np.uint8)
FACE = Box(left=0, top=0, width=40, height=40)
NEAR = Box(left=4, top=4, width=40, height=40)
AWAY = Box(left=50, top=50, width=40, height=40)
SMALL = Box(left=60, top=10, width=20, height=20)


@pytest.mark.parametrize(
    ("found", "picture", "counts"),
    [
        ([NEAR], Labelled(GREY, (FACE,)), (1, 0, 0)),
        ([NEAR, FACE], Labelled(GREY, (FACE,)), (1, 1, 0)),
        ([AWAY], Labelled(GREY, (FACE,)), (0, 1, 1)),
        ([AWAY], Labelled(GREY, (FACE,), (AWAY,)), (0, 0, 1)),
        ([SMALL], Labelled(GREY, (SMALL,)), (0, 0, 0)),
        ([], Labelled(GREY, (SMALL,)), (0, 0, 0)),
    ],
    ids=["found", "found twice", "missed", "undecided", "smaller than the window", "too small to miss"],
)
def test_what_counts(found: list[Box], picture: Labelled, counts: tuple[int, int, int]) -> None:
    """Right, wrong and missed; each face is found once at most."""
    assert _compare(found, picture, 24) == counts


def test_shares() -> None:
    """Precision of the boxes, recall of the faces; nothing to find is nothing missed."""
    some = Trial(asked=3, right=6, wrong=2, missed=4, seconds=1.0, pictures=5)
    none = Trial(asked=3, right=0, wrong=0, missed=0, seconds=1.0, pictures=5)

    assert (some.precision, some.recall, round(some.f1, 4)) == (0.75, 0.6, 0.6667)
    assert (none.precision, none.recall) == (1.0, 1.0)
