from __future__ import annotations

from typing import Any

import make
import pytest

from pipeline.filter import FilterCrops
from pipeline.records import Reason
from pipeline.score import Model
from pipeline.stage import Dropped, Kept, fingerprint
from pipeline.store import Store


@pytest.mark.parametrize(
    ("rule", "crop", "reason"),
    [
        ({"min_face": 201}, {}, Reason.FACE_TOO_SMALL),
        ({"min_score": 0.95}, {}, Reason.LOW_SCORE),
        ({"min_sharpness": 501}, {}, Reason.BLURRED),
        ({"min_contrast": 51}, {}, Reason.FLAT),
        ({"min_chroma": 21}, {}, Reason.MONOCHROME),
    ],
)
def test_each_rule_drops_with_its_reason(rule: dict[str, Any], crop: dict[str, Any], reason: Reason) -> None:
    """What is just under the limit is dropped, and why is said."""
    assert FilterCrops(**rule).against(make.face_crop(**crop)) is reason


def test_what_meets_every_limit_goes_on(store: Store) -> None:
    """A limit itself is allowed."""
    crop = make.face_crop()
    rules = FilterCrops(min_face=200, min_score=0.9, min_sharpness=500, min_contrast=50, min_chroma=20)

    assert list(rules([crop], store)) == [Kept(crop, (crop,))]


def test_every_crop_gets_one_outcome(store: Store) -> None:
    """Kept or dropped, none is missing."""
    good, small = make.face_crop(1), make.face_crop(2, detection=make.detection(2, box=make.box(side=20)))

    assert list(FilterCrops()([good, small], store)) == [Kept(good, (good,)), Dropped(small, Reason.FACE_TOO_SMALL)]


def test_a_model_of_ones_own_scores_anew(store: Store) -> None:
    """A crop goes on with the score that the model gives its evidence, and is judged by it."""
    evidence = (("a seen", 1.0),)
    crop = make.face_crop(detection=make.detection(score=0.9, evidence=evidence))
    sure, unsure = Model((("a seen", 3.0),)), Model((("a seen", -3.0),))

    (kept,) = FilterCrops(min_score=0.5, model=sure)([crop], store)
    (dropped,) = FilterCrops(min_score=0.5, model=unsure)([crop], store)

    assert isinstance(kept, Kept)
    assert kept.outputs[0].detection.score == 0.9526
    assert dropped == Dropped(crop, Reason.LOW_SCORE)


def test_what_a_person_kept_goes_on(store: Store) -> None:
    """Whatever the rules say; with the score of one's own model all the same."""
    crop = make.face_crop(detection=make.detection(score=0.9, evidence=(("a seen", 1.0),)), sharpness=0.0)
    rules = FilterCrops(
        min_score=0.5, min_sharpness=100, model=Model((("a seen", -3.0),)), kept=frozenset({crop.sha256})
    )

    (outcome,) = rules([crop], store)

    assert isinstance(outcome, Kept)
    assert outcome.outputs[0].detection.score == 0.0474
    assert rules.against(crop) is None


def test_who_kept_what_is_no_configuration() -> None:
    """So that one decision does not let everything be judged again."""
    assert fingerprint(FilterCrops(kept=frozenset("ab"))) == fingerprint(FilterCrops())
