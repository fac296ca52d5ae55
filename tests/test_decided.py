from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import make
import pytest

from pipeline.decided import at_most, carried, in_force, standing
from pipeline.records import Box, FaceCrop, ReviewDecision, Verdict

KEEP, REJECT = Verdict.KEEP, Verdict.REJECT
IMAGES = {make.sha256(seed): make.image(seed) for seed in ("one", "two")}


def _said(verdict: Verdict | None, op: str = "", **fields: Any) -> ReviewDecision:
    return make.decision("a", verdict, op=op, **fields)


def _words(*said: ReviewDecision) -> list[Verdict | None]:
    return [one.verdict for one in standing(said).get("a", [])]


def test_what_was_said_stands_in_its_order() -> None:
    """Of each crop for itself."""
    other = make.decision("b", REJECT)
    said = [_said(KEEP), other, _said(REJECT)]

    assert standing(said) == {"a": [said[0], said[2]], "b": [other]}


def test_an_undo_without_a_name_takes_back_the_last() -> None:
    """More of them than decisions take back nothing else."""
    assert _words(_said(KEEP), _said(REJECT), _said(None)) == [KEEP]
    assert _words(_said(KEEP), _said(None), _said(None), _said(REJECT)) == [REJECT]


def test_an_undo_takes_back_what_it_names() -> None:
    """Though another decision came since; and nothing where that is not there any more."""
    first, second = _said(KEEP, "one"), _said(REJECT, "two")

    assert _words(first, second, _said(None, "three", undoes="one")) == [REJECT]
    assert _words(first, second, _said(None, "three", undoes="one"), _said(None, "four", undoes="one")) == [REJECT]


def test_a_crop_of_which_nothing_stands_is_not_there() -> None:
    """As if nobody had looked at it."""
    assert standing([_said(KEEP, "one"), _said(None, undoes="one"), make.decision("b", None)]) == {}


def test_a_label_stands_until_another_is_given() -> None:
    """A verdict says nothing of it; an empty one takes it away."""
    labelled = _said(KEEP, label="miku")

    assert in_force([labelled, _said(REJECT)]) == _said(REJECT, label="miku")
    assert in_force([labelled, _said(KEEP, label="")]).label == ""
    assert in_force([labelled, _said(KEEP, label=""), _said(REJECT)]).label == ""
    assert in_force([_said(KEEP)]).label is None


# --- the same face ----------------------------------------------------------------------------------------------------


def _crop(name: str, image: str = "one", family: str = "F", phash: int = 0, **box: int) -> FaceCrop:
    place = Box(**{"left": 100, "top": 100, "width": 200, "height": 200, **box})
    detection = make.detection(image, box=place)
    return make.face_crop(name, detection=detection, phash=phash, family=family)


def _about(crop: FaceCrop, verdict: Verdict = KEEP, **fields: Any) -> dict[str, ReviewDecision]:
    found = crop.detection
    where = {"image_sha256": found.image_sha256, "box": found.box, "phash": crop.phash, "family": crop.family}
    return {crop.sha256: make.decision(crop.sha256, verdict, **{**where, **fields})}


def test_a_decision_is_about_its_bytes() -> None:
    """Whatever else lies at that place."""
    crop, moved = _crop("a"), _crop("b", left=110)
    decisions = _about(crop) | _about(moved, REJECT)

    assert carried([crop], decisions, {}, {}) == {crop.sha256: decisions[crop.sha256]}


def test_a_decision_is_about_the_face_that_is_cut_otherwise() -> None:
    """Where the boxes overlap by half; another face of the picture is another face."""
    decisions = _about(_crop("a"))
    near, far = _crop("b", left=140, family=""), _crop("c", left=260, family="")

    assert carried([near, far], decisions, {}, {}) == {near.sha256: decisions[make.sha256("crop a")]}


def test_a_decision_is_about_the_near_copies_of_a_face() -> None:
    """In another picture of the family, at the same place, and alike to the eye."""
    decisions = _about(_crop("a"))
    copy = _crop("b", "two", phash=0b11)

    assert carried([copy], decisions, {}, IMAGES) == {copy.sha256: decisions[make.sha256("crop a")]}


@pytest.mark.parametrize(
    "other",
    [
        _crop("b", "two", family="G"),
        _crop("b", "two", family=""),
        _crop("b", "two", left=500, top=350),
        _crop("b", "two", phash=(1 << 11) - 1),
        _crop("b", "three"),
    ],
    ids=["another family", "no family yet", "another place", "looks otherwise", "an unknown picture"],
)
def test_a_decision_is_not_about_another_face(other: FaceCrop) -> None:
    """What stands elsewhere, or looks otherwise, is looked at for itself."""
    assert carried([other], _about(_crop("a")), {}, IMAGES) == {}


def test_two_faces_of_one_picture_are_two() -> None:
    """However alike they are."""
    assert carried([_crop("b", left=400)], _about(_crop("a")), {}, IMAGES) == {}


def test_places_are_those_of_the_whole_picture() -> None:
    """A copy of half the size has its faces at half the distance."""
    small = make.image("two", width=400, height=300)
    copy = _crop("b", "two", left=50, top=50, width=100, height=100)

    assert carried([copy], _about(_crop("a")), {}, {**IMAGES, small.sha256: small}).keys() == {copy.sha256}


def test_the_newest_decision_counts() -> None:
    """Of those about one face."""
    old = _about(_crop("a"), KEEP, decided_at=datetime(2026, 1, 1, tzinfo=UTC))
    new = _about(_crop("b", left=110), REJECT, decided_at=datetime(2026, 1, 3, tzinfo=UTC))
    crop = _crop("c", left=105)

    for decisions in (old | new, new | old):
        assert carried([crop], decisions, {}, {})[crop.sha256].verdict is REJECT


def test_the_same_place_says_more_than_a_copy() -> None:
    """Though what was said of the copy is newer."""
    here = _about(_crop("a"), KEEP)
    there = _about(_crop("b", "two"), REJECT, decided_at=datetime(2026, 1, 3, tzinfo=UTC))
    crop = _crop("c", left=105)

    assert carried([crop], here | there, {}, IMAGES)[crop.sha256].verdict is KEEP


def test_an_older_decision_is_found_by_its_crop() -> None:
    """It does not say itself where its face lay."""
    crop = _crop("a")
    decisions = {crop.sha256: make.decision(crop.sha256)}
    moved, copy = _crop("b", left=110), _crop("c", "two")

    found = carried([moved, copy], decisions, {crop.sha256: crop}, IMAGES)

    assert found == dict.fromkeys((moved.sha256, copy.sha256), decisions[crop.sha256])
    assert carried([moved], decisions, {}, IMAGES) == {}


def test_a_family_is_known_by_its_name_of_today() -> None:
    """Two families met since, and took one name."""
    decisions = _about(_crop("a", family="old"))
    copy = _crop("b", "two", family="new")

    assert carried([copy], decisions, {}, IMAGES) == {}
    assert carried([copy], decisions, {}, IMAGES, {make.sha256("one"): "new"}).keys() == {copy.sha256}


# --- how many are false at most ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("false", "seen", "bound"),
    # 1 - 0.05^(1/n) where none is false; the others are the 95 % quantile of Beta(false + 1, seen - false).
    [(0, 300, 0.009936), (0, 1, 0.95), (1, 2, 0.974679), (3, 300, 0.025641), (10, 20, 0.698046), (300, 300, 1.0)],
)
def test_the_bound_is_exact(false: int, seen: int, bound: float) -> None:
    """As Clopper and Pearson have it."""
    assert at_most(false, seen) == pytest.approx(bound, abs=1e-6)


def test_nothing_drawn_says_nothing() -> None:
    """All may be false."""
    assert at_most(0, 0) == 1.0


def test_more_certainty_costs_more() -> None:
    """The bound grows with it."""
    assert at_most(1, 100, 0.9) < at_most(1, 100, 0.95) < at_most(1, 100, 0.99)
