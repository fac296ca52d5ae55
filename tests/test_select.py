"""pipeline.select: what a post itself can answer."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import make
import pytest

from pipeline.records import Post, Reason
from pipeline.select import SelectPosts
from pipeline.stage import Dropped, Kept, fingerprint
from pipeline.store import Store


def judge(post: Post, **fields: Any) -> Reason | None:
    (outcome,) = SelectPosts(**fields)([post], Store(root=None))  # type: ignore[arg-type]  it touches no store
    return outcome.reason if isinstance(outcome, Dropped) else None


def test_a_wanted_post_goes_on_unchanged() -> None:
    """What is kept is the post itself."""
    post = make.post()

    assert list(SelectPosts()([post], Store(root=None))) == [Kept(post, (post,))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"file_url": None}, Reason.NO_FILE),
        ({"file_url": None, "animated": True, "deleted": True, "rating": "e"}, Reason.NO_FILE),
        ({"animated": True, "deleted": True}, Reason.NOT_STILL),
        ({"ext": "mp4"}, Reason.NOT_STILL),
        ({"ext": "zip"}, Reason.NOT_STILL),
        ({"ext": "gif"}, None),
        ({"ext": ""}, None),
        ({"deleted": True, "rating": "e"}, Reason.DELETED),
        ({"rating": "s"}, Reason.RATING),
        ({"rating": None}, Reason.RATING),
        ({"posted_at": None}, None),
    ],
)
def test_the_first_reason_is_told(fields: dict[str, Any], reason: Reason | None) -> None:
    """The order of the checks is fixed, so that counts mean the same in every run."""
    assert judge(make.post(**fields)) is reason


@pytest.mark.parametrize("rating", ["g", "e", None])
def test_no_ratings_mean_any(rating: str | None) -> None:
    """Whoever names no rating takes them all, unknown ones too."""
    assert judge(make.post(rating=rating), ratings=()) is None


def test_deleted_posts_may_be_wanted() -> None:
    """They keep their file on the board."""
    assert judge(make.post(deleted=True), drop_deleted=False) is None


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (datetime(2004, 12, 31, 23, 59, 59, tzinfo=UTC), Reason.TOO_OLD),
        (datetime(2005, 1, 1, tzinfo=UTC), None),
        (datetime(2005, 12, 31, 23, 59, 59, tzinfo=UTC), None),
        (datetime(2006, 1, 1, tzinfo=UTC), Reason.TOO_NEW),
        (None, Reason.NO_DATE),
    ],
)
def test_the_window_is_days_in_utc(moment: datetime | None, reason: Reason | None) -> None:
    """The first day is in, the last is out; no date is no answer."""
    window = {"since": date(2005, 1, 1), "until": date(2006, 1, 1)}

    assert judge(make.post(posted_at=moment), **window) is reason


def test_the_release_counts_before_the_posting() -> None:
    """A picture of an old game that was posted yesterday is old."""
    post = make.post(released_on=date(2004, 1, 1), posted_at=datetime(2020, 1, 1, tzinfo=UTC))

    assert judge(post, since=date(2005, 1, 1)) is Reason.TOO_OLD


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"with_tags": ("1girl", "SOLO")}, None),
        ({"with_tags": ("1girl", "hat")}, Reason.TAG_MISSING),
        ({"without_tags": ("hat",)}, None),
        ({"without_tags": ("Solo",)}, Reason.TAG_EXCLUDED),
        ({"with_tags": ("hat",), "without_tags": ("solo",)}, Reason.TAG_EXCLUDED),
        ({"without_tags": ("sol",)}, None),
    ],
)
def test_tags_count_whole(fields: dict[str, Any], reason: Reason | None) -> None:
    """All wanted ones, none of the unwanted ones, whatever their case."""
    assert judge(make.post(tags=("1girl", "Solo")), **fields) is reason


def test_another_window_is_another_stage() -> None:
    """A changed field judges again."""
    assert fingerprint(SelectPosts()) != fingerprint(SelectPosts(since=date(2005, 1, 1)))
