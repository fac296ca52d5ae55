"""A pool of processes survives what its tasks do to them."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import planted
import pytest

from pipeline.errors import WorldError
from pipeline.nursery import Nursery, NurseryError
from pipeline.workers import Calls, Crashed, TimedOut, Workers


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
    """Of an endless stream no more is taken than results given and about a second's work of each process."""
    taken = itertools.count()
    results = workers.map(planted.nap, taken)

    for _ in range(10):
        next(results)

    assert 10 + 8 < next(taken) < 10 + 2 * 11


def test_a_task_of_many_bytes_waits_alone(workers: Workers) -> None:
    """However quick they are, so few tasks are on the way that no pipe is ever full."""
    taken = iter(["x" * 40_000] * 30)
    results = workers.map(planted.length, taken)

    for _ in range(10):
        next(results)

    assert len(list(taken)) >= 30 - 10 - 2 * 2


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
    assert results.pop("no memory") == Crashed("more than 2560 MB of memory")
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


@pytest.mark.parametrize("what", ["array", "picture", "opencv", "list"])
def test_no_task_takes_all_the_memory(what: str) -> None:
    """What asks for more than its share is as good as crashed, whichever library asks."""
    with Workers(1, memory=1 << 30) as workers:
        results = dict(workers.map(planted.harm, ["a", what, "b"]))

    assert results == {"a": "a done", "b": "b done", what: Crashed("more than 1024 MB of memory")}


@pytest.mark.parametrize(
    ("what", "signal_name"), [("native", "SIGSEGV"), ("null", "SIGSEGV"), ("abort", "SIGABRT"), ("kill", "SIGKILL")]
)
def test_native_code_may_die_of_anything(what: str, signal_name: str) -> None:
    """Of a null pointer, of memory that it never asked whether it got, of its own will, or by the kernel's."""
    with Workers(1, memory=1 << 30) as workers:
        results = dict(workers.map(planted.harm, ["a", what, "b"]))

    assert results == {"a": "a done", "b": "b done", what: Crashed(signal_name)}


def test_a_loop_is_tried_once_more(workers: Workers, tmp_path: Path) -> None:
    """A busy machine may have been to blame: the second try, alone, counts."""
    assert list(workers.map(planted.loop_the_first_time, [tmp_path / "marker"])) == [
        (tmp_path / "marker", "second time")
    ]


def told_pids(told: Path, count: int) -> list[int]:
    """Wait until so many tasks have begun."""
    for _ in range(1000):
        if told.exists() and told.read_text().count("\n") >= count:
            break
        time.sleep(0.02)
    return [int(line) for line in told.read_text().splitlines()]


def in_background(results: Iterator[Any]) -> tuple[threading.Thread, list[Any]]:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(results))
    thread.start()
    return thread, found


def test_a_stopped_worker_may_go_on(workers: Workers, tmp_path: Path) -> None:
    """The time in which a worker is stopped is not the task's."""
    task = (tmp_path / "told", 1.0)
    thread, found = in_background(workers.map(planted.tell_and_wait, [task]))

    (pid,) = told_pids(task[0], 1)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5)
    os.kill(pid, signal.SIGCONT)
    thread.join()

    assert found == [(task, "done")]
    assert task[0].read_text().split() == [str(pid)]


def test_a_worker_that_stays_stopped_is_replaced(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another does its task, and the task is not blamed."""
    monkeypatch.setattr("pipeline.workers._STOPPED_S", 1.0)
    task = (tmp_path / "told", 0.5)
    thread, found = in_background(workers.map(planted.tell_and_wait, [task]))

    (pid,) = told_pids(task[0], 1)
    os.kill(pid, signal.SIGSTOP)
    thread.join()

    assert found == [(task, "done")]
    assert not alive(pid)


def test_a_task_that_stops_its_workers(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the third it is dropped."""
    monkeypatch.setattr("pipeline.workers._STOPPED_S", 0.5)

    results = dict(workers.map(planted.harm, ["a", "stop", "b"]))

    assert results == {"a": "a done", "b": "b done", "stop": Crashed("SIGSTOP")}


def test_a_worker_killed_from_outside_costs_nothing(workers: Workers, tmp_path: Path) -> None:
    """Its task is tried once more, and what waited behind it is not even that."""
    tasks = [(tmp_path / f"told{number}", 0.3) for number in range(6)]
    thread, found = in_background(workers.map(planted.tell_and_wait, tasks))

    (pid,) = told_pids(tasks[0][0], 1)
    os.kill(pid, signal.SIGKILL)
    thread.join()

    assert sorted(found) == [(task, "done") for task in tasks]
    assert [task[0].read_text().count("\n") for task in tasks] == [2, 1, 1, 1, 1, 1]


def test_a_worker_may_be_killed_while_it_starts(workers: Workers) -> None:
    """Nothing is blamed for it, neither the machine nor a task."""
    thread, found = in_background(workers.map(planted.double, range(50)))
    while not workers._workers:
        time.sleep(0.001)
    workers._workers[0].process.kill()
    thread.join()

    assert sorted(found) == [(n, n * 2) for n in range(50)]


def test_workers_that_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a few in a row that is told, instead of trying for ever."""
    monkeypatch.setattr(sys, "executable", "/bin/false")

    with Workers(2) as workers, pytest.raises(WorldError, match="does not start"):
        list(workers.map(planted.double, range(5)))


def test_workers_outlive_what_bore_them(workers: Workers) -> None:
    """Where the process that starts them is killed, another takes its place, and no task is lost."""
    assert sorted(workers.map(planted.double, range(10))) == [(n, n * 2) for n in range(10)]
    assert workers._nursery is not None
    os.kill(workers._nursery.pid, signal.SIGKILL)
    os.kill(workers._workers[0].process.pid, signal.SIGKILL)

    assert sorted(workers.map(planted.double, range(300))) == [(n, n * 2) for n in range(300)]


def test_a_dead_worker_is_replaced_in_no_time(workers: Workers) -> None:
    """What its successor needs is imported already: it begins with all modules of the one that died."""
    list(workers.map(planted.double, range(10)))
    first = workers._nursery
    for worker in workers._workers:
        os.kill(worker.process.pid, signal.SIGKILL)

    assert sorted(workers.map(planted.double, range(10))) == [(n, n * 2) for n in range(10)]
    assert workers._nursery is first


def test_a_machine_that_slept_is_no_time_out(tmp_path: Path) -> None:
    """What passes while the program itself stands still is charged to nobody."""
    told = tmp_path / "told"
    script = tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
            import sys
            from pathlib import Path
            sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}
            from pipeline.workers import Workers
            from planted import tell_and_wait

            with Workers(1, timeout_s=2) as workers:
                print(*(result for _, result in workers.map(tell_and_wait, [(Path({str(told)!r}), 1.0)])), flush=True)
        """)
    )
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        (pid,) = told_pids(told, 1)
        for process in (pid, parent.pid):
            os.kill(process, signal.SIGSTOP)
        time.sleep(3)
        for process in (parent.pid, pid):  # it looks before the worker goes on
            os.kill(process, signal.SIGCONT)
        answer, _ = parent.communicate()

    assert answer == "done\n"
    assert told.read_text().split() == [str(pid)]


def test_calls_from_many_threads() -> None:
    """Each gets its own answer; no more are served at once than there are processes."""
    with Calls(2) as call, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: call(planted.double, number), range(40)))
        pids = set(pool.map(lambda number: call(planted.where, number), range(40)))

    assert answers == [number * 2 for number in range(40)]
    assert len(pids) <= 2


def test_a_call_may_die() -> None:
    """Its thread is told, after a second try, and the others do not notice."""
    with Calls(2, timeout_s=1) as call, ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda what: call(planted.misbehave, what), ["a", "abort", "b", "loop", "c"]))

    assert answers == ["a done", Crashed("SIGABRT"), "b done", TimedOut("longer than 1 s"), "c done"]


def test_calls_may_end_their_processes_and_go_on() -> None:
    """Between two times of much work they hold no memory; closing them twice does nothing."""
    with Calls(2) as call:
        first = call(planted.where, 1)
        call.close()
        assert not alive(first)
        assert call(planted.double, 4) == 8


@pytest.mark.parametrize("delay_s", [0.0003, 0.001, 0.003, 0.01])
def test_ctrl_c_while_processes_are_ended(delay_s: float) -> None:
    """They can be ended again afterwards: nothing is left that this waits for."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    call = Calls(4)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: call(planted.tell_and_wait, (Path(os.devnull), 0.2 + number / 100)), range(4)))
    try:
        with suppress(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, delay_s)
            call.close()
            time.sleep(0.05)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    ended = threading.Thread(target=call.close, daemon=True)
    ended.start()
    ended.join(10)

    assert not ended.is_alive()


def test_a_call_raises_what_its_function_raised() -> None:
    """And the process is there for the next."""
    with Calls(1) as call:
        with pytest.raises(LookupError, match="no such thing"):
            call(planted.misbehave, "raise")
        assert call(planted.double, 4) == 8


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


def test_an_answer_that_nobody_waited_for_is_not_taken_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is stopped by Ctrl-C between a question and its answer asks no more: the next question goes to another."""
    nursery = Nursery()
    monkeypatch.setattr(nursery._connection, "poll", _interrupted)
    with pytest.raises(KeyboardInterrupt):
        nursery.status(os.getpid())

    with pytest.raises(NurseryError):
        nursery.status(os.getpid())
    nursery.close()


def _interrupted(_timeout: float) -> bool:
    raise KeyboardInterrupt
