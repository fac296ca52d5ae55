from __future__ import annotations

import make

from pipeline.card import Agreement, agreement
from pipeline.records import ReviewDecision, Verdict

KEEP, REJECT, UNSURE = Verdict.KEEP, Verdict.REJECT, Verdict.UNSURE


def _said(crop: str, verdict: Verdict | None, reviewer: str = "kim") -> ReviewDecision:
    return make.decision(crop, verdict, reviewer=reviewer)


def test_people_are_held_against_the_rule() -> None:
    """By what stands last; a crop of another dataset is none of ours."""
    said = [_said("a", REJECT), _said("a", KEEP), _said("b", REJECT), _said("c", UNSURE), _said("foreign", KEEP)]

    counted = agreement(said, {"a": True, "b": True, "c": False, "d": True})

    assert (counted.sure, counted.unsure) == ({KEEP: 1, REJECT: 1}, {UNSURE: 1})


def test_what_was_taken_back_was_never_said() -> None:
    """The decision before it stands."""
    assert agreement([_said("a", KEEP), _said("a", None)], {"a": True}) == Agreement()
    assert agreement([_said("a", KEEP), _said("a", REJECT), _said("a", None)], {"a": True}).sure == {KEEP: 1}


def test_reviewers_are_held_against_each_other() -> None:
    """Each pair that saw one crop, by the last word of each; who has decided most comes first."""
    said = [_said("a", KEEP, "kim"), _said("a", KEEP, "lee"), _said("b", KEEP, "lee"), _said("b", REJECT, "kim")]
    said += [_said("b", KEEP, "kim"), _said("c", KEEP, "lee"), _said("a", REJECT, "")]

    counted = agreement(said, dict.fromkeys("abc", False))

    assert (counted.seen_twice, counted.agreed_twice) == (4, 2)
    assert counted.reviewers == {"lee": 3, "kim": 2, "somebody": 1}
