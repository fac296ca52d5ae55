from __future__ import annotations

import make
import pytest

from pipeline.records import Reason, Verdict
from pipeline.review import ReviewCrops
from pipeline.stage import fingerprint


@pytest.mark.parametrize(
    ("score", "agreed", "reason"),
    [(0.9, False, None), (0.89, False, Reason.WAITING), (0.5, True, None), (0.49, True, Reason.WAITING)],
)
def test_the_rule_says_what_is_sure(score: float, agreed: bool, reason: Reason | None) -> None:
    """Two detectors that agree are believed sooner than one alone."""
    crop = make.face_crop(detection=make.detection(score=score, agreed=agreed))

    assert ReviewCrops(accept_agreed=0.5, accept_alone=0.9, decisions={}).against(crop) is reason


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [(Verdict.KEEP, None), (Verdict.REJECT, Reason.REJECTED), (Verdict.UNSURE, Reason.UNSURE)],
)
def test_a_person_counts_more_than_the_rule(verdict: Verdict, reason: Reason | None) -> None:
    """Whatever the score is, the decision stands."""
    for score in (0.0, 1.0):
        crop = make.face_crop(detection=make.detection(score=score))
        decisions = {crop.sha256: make.decision(crop.sha256, verdict)}
        assert ReviewCrops(decisions=decisions).against(crop) is reason


def test_decisions_do_not_change_the_configuration() -> None:
    """The fingerprint is of the rule alone."""
    crop = make.face_crop()

    assert fingerprint(ReviewCrops(decisions={})) == fingerprint(
        ReviewCrops(decisions={crop.sha256: make.decision(crop.sha256)})
    )
