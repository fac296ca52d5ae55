"""What is said to become of a detection is what the stages of the recipe do with it."""

from __future__ import annotations

import make
import pytest

from pipeline.benchmark import Fate
from pipeline.benchmark.rule import Rule
from pipeline.recipe import load
from pipeline.records import Detection

RULE = Rule.of(
    load(
        "default",
        ["filter.min_score=0.05", "review.accept_agreed=0.95", "review.accept_alone=0.99", "filter.min_chroma=9"],
    )
)


def detection(score: float, *, agreed: bool) -> Detection:
    return Detection(image_sha256="", box=make.box(0, 0, 24), detector="animeface", score=score, agreed=agreed)


@pytest.mark.parametrize(
    ("score", "agreed", "fate"),
    [
        (0.95, True, Fate.ACCEPTED),
        (0.949, True, Fate.QUEUED),
        (0.95, False, Fate.QUEUED),
        (0.99, False, Fate.ACCEPTED),
        (0.05, False, Fate.QUEUED),
        (0.049, True, Fate.DROPPED),
    ],
)
def test_the_recipe_decides_by_score_and_agreement(score: float, agreed: bool, fate: Fate) -> None:
    """At its own thresholds; nothing is said of size and colour, which are no matter of finding faces."""
    assert RULE(detection(score, agreed=agreed)) is fate
