"""Hides threads that serve many hosts fairly: a slow one holds up its own lane and no other."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 4096  # items that wait at most


def fan_out(
    items: Iterable[T],
    work: Callable[[T], R],
    *,
    lane: Callable[[T], str],
    threads: int,
    per_lane: int,
    stop: threading.Event,
) -> Generator[tuple[T, R]]:
    """Do *work* on *items* in threads, and give each with its result as soon as there is one.

    Args:
        items: Read in a thread of its own, at most `AHEAD` of them ahead. Where the next can be long in coming, it must
            end by itself once nobody wants more.
        work: What it raises is raised here, and so is what *items* raises.
        lane: Names the lane of an item; items without one ("") hold nobody up.
        threads: Items under way at once.
        per_lane: Items of one lane under way at once.
        stop: Set for as long as it takes to leave early, so that no *work* under way goes on waiting for its host.
    """
    lanes: _Lanes[T] = _Lanes(per_lane, threads)
    results: SimpleQueue[tuple[T, R] | Future[None]] = SimpleQueue()
    pool = ThreadPoolExecutor(threads + 1, thread_name_prefix="lane")
    left = 0
    try:
        feeding = pool.submit(_feed, items, lane, lanes)
        for way in [feeding, *(pool.submit(_serve, work, lanes, results) for _ in range(threads))]:
            left += 1
            way.add_done_callback(results.put)
        while left:
            match results.get():
                case Future() as ended:
                    ended.result()
                    left -= 1
                case found:
                    lanes.read()
                    yield found
    finally:
        lanes.abandon()
        _leave(pool, stop, early=left > 0)


def _leave(pool: ThreadPoolExecutor, stop: threading.Event, *, early: bool) -> None:
    """Let no thread outlive the work; those that wait for a host are woken."""
    was_set = stop.is_set()
    if early:
        stop.set()
    pool.shutdown(wait=True, cancel_futures=True)
    if early and not was_set:
        stop.clear()


def _feed(items: Iterable[T], lane: Callable[[T], str], lanes: _Lanes[T]) -> None:
    try:
        for item in items:
            if not lanes.put(lane(item), item):
                return
    finally:
        lanes.end()


def _serve(work: Callable[[T], R], lanes: _Lanes[T], results: SimpleQueue[Any]) -> None:
    while (taken := lanes.take()) is not None:
        lane, item = taken
        try:
            results.put((item, work(item)))
        finally:
            lanes.done(lane)


@dataclass(eq=False)
class _Lanes(Generic[T]):
    """Items that wait, by lane; the lane that was served longest ago is served next."""

    per_lane: int
    unread_limit: int  # results that wait to be read, beyond which nothing new is begun
    waiting: dict[str, deque[T]] = field(default_factory=dict)  # in the order of being served; none is empty
    busy: dict[str, int] = field(default_factory=dict)
    count: int = 0
    unread: int = 0
    ended: bool = False  # nothing more comes
    abandoned: bool = False  # nobody wants more
    changed: threading.Condition = field(default_factory=threading.Condition)

    def put(self, lane: str, item: T) -> bool:
        """Wait for room and add *item*; False when nobody wants it any more."""
        with self.changed:
            self.changed.wait_for(lambda: self.count < AHEAD or self.abandoned)
            if self.abandoned:
                return False
            self.waiting.setdefault(lane, deque()).append(item)
            self.count += 1
            self.changed.notify_all()
            return True

    def take(self) -> tuple[str, T] | None:
        """Wait for an item whose lane is not too busy; None when there will be none."""
        with self.changed:
            while not self.abandoned:
                lane = self._free() if self.unread < self.unread_limit else None
                if lane is not None:
                    return lane, self._begin(lane)
                if self.ended and not self.waiting:
                    return None
                self.changed.wait()
            return None

    def _free(self) -> str | None:
        return next((lane for lane in self.waiting if not lane or self.busy.get(lane, 0) < self.per_lane), None)

    def _begin(self, lane: str) -> T:
        items = self.waiting.pop(lane)
        item = items.popleft()
        if items:
            self.waiting[lane] = items  # behind all others
        self.busy[lane] = self.busy.get(lane, 0) + 1
        self.count -= 1
        self.changed.notify_all()
        return item

    def done(self, lane: str) -> None:
        """Free the lane for the next; its result waits to be read."""
        with self.changed:
            self.unread += 1
            self.busy[lane] -= 1
            if not self.busy[lane]:
                del self.busy[lane]
            self.changed.notify_all()

    def read(self) -> None:
        """Count a result as read."""
        with self.changed:
            self.unread -= 1
            self.changed.notify_all()

    def end(self) -> None:
        """Say that nothing more comes."""
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def abandon(self) -> None:
        """Let all threads go home."""
        with self.changed:
            self.abandoned = True
            self.changed.notify_all()
