from __future__ import annotations

import make
import pytest

from pipeline.card import Agreement, agreement
from pipeline.card.agreement import kappa
from pipeline.records import ReviewDecision, Verdict

KEEP, REJECT, UNSURE = Verdict.KEEP, Verdict.REJECT, Verdict.UNSURE


def _said(crop: str, verdict: Verdict | None, reviewer: str = "kim", **fields: str) -> ReviewDecision:
    return make.decision(crop, verdict, reviewer=reviewer, **fields)


def test_people_are_held_against_the_rule() -> None:
    """By what stands last; a crop of another dataset is none of ours."""
    said = [_said("a", REJECT), _said("a", KEEP), _said("b", REJECT), _said("c", UNSURE), _said("foreign", KEEP)]

    counted = agreement(said, {"a": True, "b": True, "c": False, "d": True})

    assert (counted.sure, counted.unsure) == ({KEEP: 1, REJECT: 1}, {UNSURE: 1})


def test_what_was_taken_back_was_never_said() -> None:
    """The decision before it stands."""
    assert agreement([_said("a", KEEP), _said("a", None)], {"a": False}) == Agreement()
    assert agreement([_said("a", KEEP), _said("a", REJECT), _said("a", None)], {"a": True}).sure == {KEEP: 1}


def test_reviewers_are_held_against_each_other() -> None:
    """Each pair that saw one crop, by the last word of each; who has decided most comes first."""
    said = [_said("a", KEEP, "kim"), _said("a", KEEP, "lee"), _said("b", KEEP, "lee"), _said("b", REJECT, "kim")]
    said += [_said("b", KEEP, "kim"), _said("c", KEEP, "lee"), _said("a", REJECT, "")]

    counted = agreement(said, dict.fromkeys("abc", False))

    assert (counted.seen_twice, counted.agreed_twice) == (4, 2)
    assert counted.reviewers == {"lee": 3, "kim": 2, "somebody": 1}


def test_an_undo_names_what_it_takes_back() -> None:
    """Though something else was said since."""
    said = [_said("a", REJECT, op="one"), _said("a", KEEP, "lee", op="two"), _said("a", None, undoes="one")]

    assert agreement(said, {"a": False}).reviewers == {"lee": 1}


def test_kappa_is_what_cohen_has() -> None:
    """The example of his table: 20 and 15 of 50 the same, which is 0.4 beyond chance."""
    assert kappa({(KEEP, KEEP): 20, (KEEP, REJECT): 5, (REJECT, KEEP): 10, (REJECT, REJECT): 15}) == 0.4


@pytest.mark.parametrize("pairs", [{}, {(KEEP, KEEP): 9}], ids=["nothing", "one word alone"])
def test_kappa_cannot_always_be_told(pairs: dict[tuple[Verdict, Verdict], int]) -> None:
    """Where chance alone would agree wholly, there is nothing beyond it."""
    assert kappa(pairs) is None


def test_reviewers_who_agree_by_chance_alone_have_no_kappa() -> None:
    """Each says keep half of the time, whatever the other says."""
    words = [(KEEP, KEEP), (KEEP, REJECT), (REJECT, KEEP), (REJECT, REJECT)]
    said = [_said(f"{crop}", pair[place], name) for crop, pair in enumerate(words) for place, name in enumerate("ab")]

    counted = agreement(said, dict.fromkeys("0123", False))

    assert (counted.seen_twice, counted.agreed_twice, counted.kappa) == (4, 2, 0.0)


def test_what_nobody_has_looked_at_is_counted() -> None:
    """Accepted by rule alone, or with many others at once; and the sample that was drawn of these."""
    said = [_said("bulk", KEEP, via="bulk"), _said("both", KEEP, via="bulk"), _said("both", KEEP, via="grid")]
    said += [_said("good", KEEP, via="audit"), _said("bad", REJECT, via="audit"), _said("no", REJECT, via="bulk")]
    crops = ("by rule", "bulk", "both", "good", "bad", "no")

    counted = agreement(said, {**dict.fromkeys(crops, True), "waits": False})

    assert (counted.unseen, counted.audited, counted.audited_false) == (4, 2, 1)


def test_a_sample_is_told_with_its_bound() -> None:
    """Rounded up, for it says "at most"."""
    counted = Agreement(unseen=12_345, audited=300, audited_false=3)

    assert counted.audit == (
        "Of 12,345 crops that nobody had looked at, 300 were drawn by chance and shown to a person: 3 of them were no "
        "faces. So at most 2.6% of the others are none, with 95 % certainty."
    )
    assert "at most 1.0%" in Agreement(unseen=9999, audited=300).audit
    assert Agreement(unseen=9999).audit == ""


def test_a_decision_on_a_face_that_was_cut_anew_counts_once() -> None:
    """For one of the crops that it is about; the others were looked at all the same."""
    said = [_said("old", REJECT), _said("foreign", KEEP)]

    counted = agreement(said, {"a": True, "b": True}, {"a": said[0], "b": said[0]})

    assert (counted.sure, counted.reviewers, counted.unseen) == ({REJECT: 1}, {"kim": 1}, 0)


def test_an_older_report_can_be_read() -> None:
    """What it did not count is as if nobody knew."""
    body = agreement([_said("a", KEEP)], {"a": True}).to_json()
    for name in ("kappa", "unseen", "audited", "audited_false"):
        del body[name]

    assert Agreement.from_json(body) == Agreement(sure={KEEP: 1}, reviewers={"kim": 1})


def test_a_report_is_read_as_it_was_written() -> None:
    """With all that is counted now."""
    counted = Agreement(sure={KEEP: 3}, seen_twice=2, agreed_twice=1, kappa=0.25, unseen=9, audited=2, audited_false=1)

    assert Agreement.from_json(counted.to_json()) == counted
