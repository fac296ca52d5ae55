"""pipeline.lanes: many hosts served fairly by few threads."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing

import pytest

from pipeline.lanes import AHEAD, fan_out

Item = tuple[str, int]  # lane, number


def items(**counts: int) -> list[Item]:
    return [(lane, number) for lane, count in counts.items() for number in range(count)]


def lane_of(item: Item) -> str:
    return item[0]


class Works:
    """Work that takes a moment, and counts what is under way."""

    def __init__(self, seconds: float = 0.002) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.busy: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.begun: list[Item] = []

    def __call__(self, item: Item) -> int:
        with self.lock:
            self.begun.append(item)
            for name in (item[0], "all"):
                self.busy[name] += 1
                self.most[name] = max(self.most[name], self.busy[name])
        time.sleep(self.seconds)
        with self.lock:
            for name in (item[0], "all"):
                self.busy[name] -= 1
        return item[1]


def run(what: Iterable[Item], works: Works, *, threads: int = 4, per_lane: int = 1) -> list[tuple[Item, int]]:
    stop = threading.Event()
    return list(fan_out(what, works, lane=lane_of, threads=threads, per_lane=per_lane, stop=stop))


def lanes_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lane")]


def test_every_item_comes_back_once() -> None:
    """With what became of it."""
    what = items(a=30, b=3, c=1)

    assert sorted(run(what, Works())) == sorted((item, item[1]) for item in what)


def test_a_lane_is_not_crowded() -> None:
    """However many threads there are."""
    works = Works()

    run(items(a=20, b=20), works, threads=8, per_lane=2)

    assert (works.most["a"], works.most["b"]) == (2, 2)


def test_items_without_a_lane_hold_nobody_up() -> None:
    """Files of this machine are nobody's host."""
    works = Works(0.02)

    run([("", number) for number in range(16)], works, threads=8)

    assert works.most["all"] == 8


def test_a_long_lane_does_not_hold_up_a_short_one() -> None:
    """The lane that was served longest ago is next, so that few items end early."""
    works = Works()

    run(items(long=100, short=3), works, threads=1)

    assert max(works.begun.index(("short", number)) for number in range(3)) < 10


def test_a_slow_lane_holds_up_no_other() -> None:
    """Its own threads wait; the others go on."""
    slow = threading.Event()
    done: list[Item] = []

    def work(item: Item) -> None:
        if item[0] == "slow":
            slow.wait()

    what = [("slow", 1), ("slow", 2), *items(quick=50)]
    for item, _ in fan_out(what, work, lane=lane_of, threads=2, per_lane=1, stop=threading.Event()):
        done.append(item)
        if len(done) == 50:
            assert {lane for lane, _ in done} == {"quick"}
            slow.set()

    assert len(done) == 52


def test_an_error_of_the_work_is_raised() -> None:
    """And nothing is left running."""

    def work(item: Item) -> None:
        raise ValueError(f"cannot do {item}")

    with pytest.raises(ValueError, match="cannot do"):
        list(fan_out(items(a=5), work, lane=lane_of, threads=2, per_lane=1, stop=threading.Event()))
    assert lanes_alive() == []


def test_an_error_of_the_stream_is_raised() -> None:
    """What came before it is given first, or not; it is not swallowed."""

    def stream() -> Iterator[Item]:
        yield "a", 1
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        run(stream(), Works())
    assert lanes_alive() == []


def test_who_leaves_early_leaves_no_thread_behind() -> None:
    """Work that waits is told by `stop`, which is as it was afterwards."""
    stop = threading.Event()

    def work(_: Item) -> None:
        stop.wait(60.0)

    begin = time.monotonic()
    outcomes = fan_out(
        [("", 0), *items(a=3)], lambda item: item[0] and work(item), lane=lane_of, threads=2, per_lane=1, stop=stop
    )
    with closing(outcomes):
        next(outcomes)

    assert lanes_alive() == []
    assert not stop.is_set()
    assert time.monotonic() - begin < 30.0


def test_a_stream_without_end_is_not_swallowed() -> None:
    """What waits is bounded, and so is what nobody has read yet."""
    count = itertools.count()
    stop = threading.Event()

    outcomes = fan_out((("a", number) for number in count), lane_of, lane=lane_of, threads=2, per_lane=2, stop=stop)
    with closing(outcomes):
        next(outcomes)
        time.sleep(0.2)

    assert next(count) <= AHEAD + 10
