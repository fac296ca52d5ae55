from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import make
import pytest

from pipeline.records import Box, FaceCrop, Post, Reason, Record, ReviewDecision


@pytest.mark.parametrize(
    "record",
    [
        make.post(tags=("blue_hair", "1girl"), released_on=date(2011, 4, 1), origin_url="https://x.invalid"),
        make.post(posted_at=None, md5=None, file_url=None),
        make.image(),
        make.detection(hair="#aabbcc"),
        make.face_crop(),
        make.face_crop(turned=-12.5, hair="#aabbcc", hair_colour="silver", hair_confidence=0.7),
        make.decision("a" * 64),
        make.decision("a" * 64, None),
    ],
)
def test_a_record_survives_json(record: Record) -> None:
    """What is written as JSON is read back equal, whatever is nested in it."""
    assert type(record).from_json(record.to_json()) == record


def test_json_times_are_utc() -> None:
    """A time with another offset is written as the same moment in UTC."""
    post = make.post(posted_at=datetime(2020, 1, 1, 22, tzinfo=timezone(timedelta(hours=-5))))

    assert post.to_json()["posted_at"] == "2020-01-02T03:00:00+00:00"


def test_an_older_record_takes_defaults() -> None:
    """A body that lacks a field of today is read with the field's default."""
    body = make.face_crop().to_json()
    del body["family"]

    assert FaceCrop.from_json(body).family == ""


def test_overlap_is_intersection_over_union() -> None:
    """Two boxes that share a third of their union say so; apart, they say 0."""
    box = Box(left=0, top=0, width=10, height=10)

    assert box.overlap(Box(left=5, top=0, width=10, height=10)) == pytest.approx(1 / 3)
    assert box.overlap(Box(left=10, top=0, width=10, height=10)) == 0
    assert box.overlap(box) == 1


def test_the_same_crop_of_two_boxes_is_two_items() -> None:
    """A crop is known by where it was cut, not by its bytes."""
    one = make.face_crop(detection=make.detection(box=Box(left=0, top=0, width=50, height=50)))
    other = make.face_crop(detection=make.detection(box=Box(left=9, top=0, width=50, height=50)))

    assert one.sha256 == other.sha256
    assert one.id != other.id


def test_only_what_is_not_the_items_fault_is_tried_again() -> None:
    """The line was bad, or the host was not even asked."""
    assert [reason for reason in Reason if reason.transient] == [Reason.UNREACHABLE, Reason.PARKED]


def test_what_failed_is_not_what_was_unwanted() -> None:
    """All that lies with the server or the line; neither the picture's kind nor the recipe's limits."""
    assert {reason.value for reason in Reason if reason.failed} == {
        *("gone", "forbidden", "not_for_ai", "robots", "unreachable", "parked"),
        *("empty", "not_an_image", "wrong_md5", "truncated", "corrupt"),
    }


def test_an_image_is_known_by_its_md5() -> None:
    """As boards name files."""
    assert make.image(1).id == make.md5(1)


def test_a_host_has_a_rate_and_an_end() -> None:
    """A hundred files in a hundred seconds, and fifty left."""
    assert (make.host_count().rate, make.host_count().eta_s) == (1.0, 50.0)


@pytest.mark.parametrize(
    ("fields", "eta_s"),
    [({"parked": "answers 503"}, None), ({"done": 0, "failed": 0}, None), ({"waiting": 0, "parked": "gone"}, 0.0)],
    ids=["parked", "nothing came yet", "nothing left"],
)
def test_the_end_is_not_guessed(fields: dict[str, Any], eta_s: float | None) -> None:
    """Of a host that is parked, or has answered nothing yet, nobody knows it."""
    assert make.host_count(**fields).eta_s == eta_s


def test_a_host_that_was_just_begun_has_no_rate() -> None:
    """No time has passed: nothing is divided by it."""
    begun = make.host_count()

    assert make.host_count(at=begun.began_at).rate == 0.0


def test_a_naive_time_counts_as_utc() -> None:
    """Times without an offset are taken to be UTC."""
    decision = make.decision("b" * 64, decided_at=datetime(2026, 1, 1))  # noqa: DTZ001

    assert ReviewDecision.from_json(decision.to_json()).decided_at == datetime(2026, 1, 1, tzinfo=UTC)


def test_records_cannot_be_changed() -> None:
    """A record is frozen."""
    with pytest.raises(AttributeError):
        make.post().id = "other:1"  # type: ignore[misc]
    assert isinstance(make.post(), Post)
