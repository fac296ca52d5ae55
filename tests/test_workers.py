"""A pool of processes survives what its tasks do to them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import planted
import pytest

from pipeline.workers import Crashed, TimedOut, Workers


@pytest.fixture
def workers() -> Iterator[Workers]:
    with Workers(2, timeout_s=2) as pool:
        yield pool


def test_does_every_task(workers: Workers) -> None:
    """Each task comes back once, with its result."""
    assert sorted(workers.map(planted.double, range(300))) == [(n, n * 2) for n in range(300)]


def test_nothing_to_do(workers: Workers) -> None:
    """Without tasks no process is even started."""
    assert list(workers.map(planted.double, [])) == []
    assert workers._workers == []


def test_reads_only_a_little_ahead(workers: Workers) -> None:
    """Of an endless stream only a few tasks more are taken than results given."""
    taken = itertools.count()
    results = workers.map(planted.double, taken)

    for _ in range(10):
        next(results)

    assert next(taken) < 10 + 8


def test_processes_stay(workers: Workers) -> None:
    """The next map finds the same processes."""
    first = {pid for _, pid in workers.map(planted.where, range(40))}
    second = {pid for _, pid in workers.map(planted.where, range(40))}

    assert first | second <= {worker.process.pid for worker in workers._workers}
    assert len(first) == 2


def test_a_crash_costs_one_task(workers: Workers) -> None:
    """A worker that dies takes its own task with it, and no other."""
    tasks = [*"abc", "abort", *"defgh", "no memory", "leave", *"ij"]

    results = dict(workers.map(planted.misbehave, tasks))

    assert results.pop("abort") == Crashed("SIGABRT")
    assert results.pop("no memory") == Crashed("exit status 70")
    assert results.pop("leave") == Crashed("exit status 3")
    assert results == {name: f"{name} done" for name in "abcdefghij"}


def test_a_crash_is_tried_once_more(workers: Workers, tmp_path: Path) -> None:
    """One death may be a neighbour's fault: the second try counts."""
    assert list(workers.map(planted.crash_the_first_time, [tmp_path / "marker"])) == [
        (tmp_path / "marker", "second time")
    ]


def test_an_endless_loop_costs_one_task(workers: Workers) -> None:
    """A task over the time limit is given up, also where Python itself cannot interrupt it."""
    results = dict(workers.map(planted.misbehave, [*"abc", "loop", *"defgh"]))

    assert results.pop("loop") == TimedOut("longer than 2 s")
    assert results == {name: f"{name} done" for name in "abcdefgh"}


def test_an_idle_worker_may_die(workers: Workers) -> None:
    """A process killed while it waits is replaced, and no task is blamed."""
    list(workers.map(planted.double, range(20)))
    for worker in workers._workers:
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()

    assert sorted(workers.map(planted.double, range(20))) == [(n, n * 2) for n in range(20)]


def test_an_exception_comes_home(workers: Workers) -> None:
    """What a task raises is raised here, with where it was raised; the pool goes on to work."""
    with pytest.raises(LookupError, match="no such thing") as caught:
        list(workers.map(planted.misbehave, [*"abc", "raise", *"def"]))

    assert "in misbehave" in caught.value.__notes__[0]
    assert dict(workers.map(planted.misbehave, "abc")) == {name: f"{name} done" for name in "abc"}


def test_ctrl_c_is_not_theirs(workers: Workers) -> None:
    """A worker goes on with its task when it is interrupted."""
    assert dict(workers.map(planted.misbehave, ["interrupt"])) == {"interrupt": "interrupt done"}


def test_one_map_at_a_time(workers: Workers) -> None:
    """Two maps over the same processes would read each other's results."""
    first = workers.map(planted.double, range(5))
    next(first)

    with pytest.raises(RuntimeError, match="finish it first"):
        next(workers.map(planted.double, range(5)))
    first.close()
    assert len(list(workers.map(planted.double, range(5)))) == 5


def test_the_main_module_is_not_imported(workers: Workers) -> None:
    """A program needs no guard around its main lines, and its imports cost the workers nothing."""
    assert dict(workers.map(planted.main_module, [1])) == {1: "None"}


@pytest.mark.parametrize("task", ["loop", "wait"])
def test_they_die_with_us(tmp_path: Path, task: str) -> None:
    """When the parent is killed, its workers end at once, in the middle of whatever they do."""
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
            import sys, threading, time
            sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
            from pipeline.workers import Workers
            from planted import misbehave

            workers = Workers(2)
            thread = threading.Thread(target=lambda: dict(workers.map(misbehave, ["a", "{task}", "b"])), daemon=True)
            thread.start()
            time.sleep(0.5)
            while thread.is_alive() and (len(workers._workers) < 2 or not all(one.listens for one in workers._workers)):
                time.sleep(0.05)
            print(*(worker.process.pid for worker in workers._workers), flush=True)
            time.sleep(60)
        """)
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()

    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2
    assert not [pid for pid in pids if alive(pid)]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
