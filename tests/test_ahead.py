"""pipeline.ahead and judge: a stage at work on items that are still being found."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import make
import pytest

from pipeline.ahead import Ahead, Batch
from pipeline.catalog import Catalog
from pipeline.errors import InvariantError
from pipeline.judge import judge, recall_stage
from pipeline.records import Post
from pipeline.stage import Kept, Outcome, Scope
from pipeline.store import Store


@dataclass(frozen=True)
class KeepAll:
    """Keeps what comes, one by one."""

    name: ClassVar[str] = "keep-all"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.ITEM

    def key(self, item: Post, /) -> str:
        return item.id

    def __call__(self, items: Iterable[Post], _store: Store, /) -> Iterator[Outcome[Post, Post]]:
        for item in items:
            yield Kept(item, (item,))


def ids(batches: Iterable[Batch]) -> list[str]:
    return [post.id for batch in batches for post in batch]


def test_what_is_offered_is_worked_on_before_the_end() -> None:
    """The work does not wait for the last batch."""
    seen, first = [], threading.Event()

    def work(batches: Iterable[Batch]) -> int:
        for batch in batches:
            seen.append(len(batch))
            first.set()
        return sum(seen)

    ahead = Ahead(work, threading.Event())
    ahead.offer([1, 2])
    assert first.wait(10)

    assert ahead.finish([3]) == 3
    ahead.close()


def test_an_error_of_the_work_is_told_to_who_offers_more() -> None:
    """A full disk ends the reading of the boards too."""

    def work(batches: Iterable[Batch]) -> int:
        raise ValueError(f"cannot work on {next(iter(batches))}")

    ahead = Ahead(work, threading.Event())
    ahead.offer([1])

    with pytest.raises(ValueError, match=r"cannot work on \[1\]"):
        ahead.finish([])
    with pytest.raises(ValueError, match="cannot work"):
        ahead.offer([2])
    ahead.close()


def test_who_stops_waits_for_no_more_batches() -> None:
    """The work ends by itself."""
    stop = threading.Event()
    ahead = Ahead(lambda batches: len(ids(batches)), stop)

    stop.set()
    ahead.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_a_stream_is_judged_like_a_list(sqlite_catalog: Catalog, tmp_path: Any) -> None:
    """What comes in batches is remembered all the same."""
    posts = [make.post(number) for number in range(10)]
    ahead = Ahead(
        lambda batches: judge(KeepAll(), batches, sqlite_catalog, Store(tmp_path), lambda *_: None), threading.Event()
    )

    ahead.offer(posts[:4])
    ahead.offer(posts[4:5])
    judged = ahead.finish(posts[5:])
    ahead.close()

    report, kept = recall_stage(KeepAll(), posts, sqlite_catalog)
    assert (judged, report.seen, kept) == (10, 10, posts)


@dataclass(frozen=True)
class LosesOne(KeepAll):
    """Says nothing of the first."""

    name: ClassVar[str] = "loses-one"

    def __call__(self, items: Iterable[Post], store: Store, /) -> Iterator[Outcome[Post, Post]]:
        yield from list(super().__call__(items, store))[1:]


def test_a_lost_item_of_a_stream_is_found_out(sqlite_catalog: Catalog, tmp_path: Any) -> None:
    """Counts add up, or the run ends."""
    batches = [[make.post(1)], [make.post(2)]]

    with pytest.raises(InvariantError, match="loses-one: 1 items got no outcome, among them sandbox:1"):
        judge(LosesOne(), batches, sqlite_catalog, Store(tmp_path), lambda *_: None)
