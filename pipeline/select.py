"""Which posts are worth asking a board for their file: everything that the post itself can answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from pipeline.records import NOTHING_FORGOTTEN, Forgotten, Post, Reason
from pipeline.sources import MOVING
from pipeline.stage import Dropped, Kept, Outcome, Scope
from pipeline.store import Store


@dataclass(frozen=True, kw_only=True)
class SelectPosts:
    """Drop posts whose file cannot be had or is not wanted, before anything is downloaded."""

    name: ClassVar[str] = "select"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.ITEM

    ratings: tuple[str, ...] = ("g",)  # any when empty
    since: date | None = None  # first day wanted, UTC
    until: date | None = None  # first day no longer wanted, UTC
    with_tags: tuple[str, ...] = ()  # all of them must be there
    without_tags: tuple[str, ...] = ()  # none of them may be there
    drop_deleted: bool = True
    forgotten: Forgotten = NOTHING_FORGOTTEN  # what shall never come back

    def key(self, item: Post, /) -> str:
        """A post is known by its id."""
        return item.id

    def __call__(self, items: Iterable[Post], store: Store, /) -> Iterator[Outcome[Post, Post]]:  # noqa: ARG002  pure
        """Judge each post by itself; the first reason is the one that is told."""
        for post in items:
            reason = self._reason(post)
            yield Dropped(post, reason) if reason else Kept(post, (post,))

    def _reason(self, post: Post) -> Reason | None:
        return (
            forgotten(post, self.forgotten)
            or no_file(post)
            or not_still(post)
            or (deleted(post) if self.drop_deleted else None)
            or wrong_rating(post, self.ratings)
            or outside_dates(post, self.since, self.until)
            or wrong_tags(post, self.with_tags, self.without_tags)
        )


def forgotten(post: Post, what: Forgotten) -> Reason | None:
    """Somebody wished that it goes, and never comes back."""
    return Reason.FORGOTTEN if what.holds(post) else None


def no_file(post: Post) -> Reason | None:
    """The board hides the file, or has none."""
    return None if post.file_url else Reason.NO_FILE


def not_still(post: Post) -> Reason | None:
    """Video, ugoira, flash, or an animation that the board knows to be one."""
    return Reason.NOT_STILL if post.animated or post.ext in MOVING else None


def deleted(post: Post) -> Reason | None:
    """The board's people took it down."""
    return Reason.DELETED if post.deleted else None


def wrong_rating(post: Post, ratings: tuple[str, ...]) -> Reason | None:
    """An unknown rating is a wrong one, unless any will do."""
    return Reason.RATING if ratings and post.rating not in ratings else None


def outside_dates(post: Post, since: date | None, until: date | None) -> Reason | None:
    """Judge by the day of release where it is known, else by the day of posting, in UTC."""
    if since is None and until is None:
        return None
    day = post.released_on or (post.posted_at and post.posted_at.date())
    if day is None:
        return Reason.NO_DATE
    if since is not None and day < since:
        return Reason.TOO_OLD
    if until is not None and day >= until:
        return Reason.TOO_NEW
    return None


def wrong_tags(post: Post, with_tags: tuple[str, ...], without_tags: tuple[str, ...]) -> Reason | None:
    """Tags count whole, whatever their case."""
    tags = {tag.lower() for tag in post.tags}
    if any(tag.lower() in tags for tag in without_tags):
        return Reason.TAG_EXCLUDED
    if any(tag.lower() not in tags for tag in with_tags):
        return Reason.TAG_MISSING
    return None
