"""Where work is done by other processes, so that a crash or an endless loop costs one task and not the run.

The processes know nothing of the program that started them: unlike those of multiprocessing they do not import its main
module, with all of Prefect behind it. They come from a `pipeline.nursery`, so that one that dies is replaced at once.
Each has a connection of its own, so that one that dies in the middle of a word holds no lock that others wait for.

A task that its worker dies of, that takes too long or too much memory is tried once more, with no other task running:
the machine or a neighbour may have been to blame. What a stopped worker, a stopped program or a machine that slept
lets pass is nobody's time.
"""

from __future__ import annotations

import errno
import math
import os
import pickle
import resource
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from queue import LifoQueue
from threading import Lock
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pipeline.errors import WorldError
from pipeline.nursery import Child, Nursery, NurseryError

Task = TypeVar("Task")
Result = TypeVar("Result")

_IN_HAND_S = 1.0  # work that a worker holds: whatever keeps the parent busy for less, the worker does not wait for it
_FEWEST, _MOST = 2, 64  # tasks that a worker holds
_IN_HAND_BYTES = 50_000  # of tasks that a worker has not done; a pipe takes four times as much before it blocks
_LOOK_S = 0.5  # how often a worker that says nothing is looked at
_STOPPED_S = 10.0  # a worker that is stopped (SIGSTOP) for longer is given up, and another does its tasks
_STOPS = 3  # a task whose workers are stopped so often stops them itself
_STARTS = 3  # so many processes in a row die before they listen: then none ever will
_END_S = 5.0  # a process that has closed its connection is on its way out
_START_S = 120.0  # a loaded machine needs seconds to import NumPy and OpenCV; more means that it never will
_NO_MEMORY = 70  # exit status (EX_SOFTWARE); what ran out of memory is as good as crashed
_CV_NO_MEMORY = -4  # cv::Error::StsNoMem; cv2.error is no MemoryError

MEMORY = 5 << 29  # bytes; Pillow takes up to 18 for a pixel of a transparent WebP, and a hundred million are allowed


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker died of the task, twice, the second time with no other task running."""

    detail: str  # the signal, the exit status or the memory limit; the same for the same cause


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The task took longer than the time limit, twice, the second time with no other task running."""

    detail: str


@dataclass(eq=False, slots=True)
class _Job(Generic[Task]):
    task: Task
    suspect: bool = False  # a worker has died of it once
    stops: int = 0  # workers that were stopped while they were at it
    size: int = 0  # bytes on the way to its worker


@dataclass(eq=False, slots=True)
class _Worker(Generic[Task]):
    """One process, and the jobs it has been given, oldest first."""

    process: Child
    connection: Connection
    lifeline: int  # file descriptor; the process ends when it is closed, by us or by our death
    function: Callable[[Any], Any]  # what it does with tasks
    memory: int  # bytes
    jobs: deque[_Job[Task]] = field(default_factory=deque)
    began: float = field(default_factory=time.monotonic)  # when it was started, or its oldest job begun, at most
    spent_s: float = 0.0  # on its oldest job, or on starting, as far as it was running
    stopped_s: float = 0.0  # for how long it has been stopped by now
    listens: bool = False  # it has imported what it needs

    def left_s(self, timeout_s: float) -> float:
        """Seconds that it still has for its oldest job, or for starting."""
        return (timeout_s if self.listens else _START_S) - self.spent_s

    def begin(self) -> None:
        """Count the time for the next job from now."""
        self.began, self.spent_s, self.stopped_s = time.monotonic(), 0.0, 0.0

    def look(self, seen: float, now: float) -> None:
        """Charge it for the time since *seen*, when it was looked at last.

        No look charges more than the next is due: if more time has passed, we were stopped, or the machine slept, and
        so perhaps was the worker.
        """
        passed = min(now - max(seen, self.began), 2 * _LOOK_S)
        if _is_stopped(self.process.pid):
            self.stopped_s += passed
        else:
            self.spent_s += passed
            self.stopped_s = 0.0

    def has_room(self, most: int) -> bool:
        """Whether it can be given one more job."""
        held = len(self.jobs)
        return held < _FEWEST or (held < most and sum(job.size for job in self.jobs) < _IN_HAND_BYTES)

    def give(self, function: Callable[[Any], Any], job: _Job[Task]) -> None:
        if self.listens and not self.jobs:
            self.begin()
        self.jobs.append(job)
        words = ForkingPickler.dumps((None if function is self.function else function, job.task))
        job.size = len(words)
        self.function = function
        self.connection.send_bytes(words)

    def end(self) -> str:
        """Wait until the process has ended, and say how it did."""
        self.connection.close()
        try:
            status = self.process.wait(_END_S)
        except TimeoutError:
            self.process.kill()
            status = self.process.wait()
        os.close(self.lifeline)
        if status == _NO_MEMORY:
            return f"more than {self.memory >> 20} MB of memory"
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.end()


@dataclass(eq=False, slots=True)
class _Round(Generic[Task]):
    """What one `map` has to do."""

    function: Callable[[Any], Any]
    fresh: Iterator[_Job[Task]]
    orphans: deque[_Job[Task]] = field(default_factory=deque)  # waited behind one that its worker died of
    suspects: deque[_Job[Task]] = field(default_factory=deque)  # to be tried once more, alone
    task_s: float = math.inf  # what a task takes, about
    seen: float = field(default_factory=time.monotonic)  # when silent workers were looked at

    def next(self) -> _Job[Task] | None:
        return self.orphans.popleft() if self.orphans else next(self.fresh, None)

    def learn(self, took_s: float) -> None:
        self.task_s = took_s if self.task_s == math.inf else 0.9 * self.task_s + 0.1 * took_s

    def suspect(self, job: _Job[Task], verdict: Crashed | TimedOut) -> Iterator[tuple[Task, Crashed | TimedOut]]:
        """Put *job* aside the first time; give the verdict the second time."""
        if job.suspect:
            yield job.task, verdict
            return
        job.suspect = True
        self.suspects.append(job)

    @property
    def in_hand(self) -> int:
        """How many tasks a worker may hold: a second's work."""
        return max(_FEWEST, min(_MOST, int(_IN_HAND_S / max(self.task_s, 1e-6))))


class Workers:
    """A pool of processes that survives what its tasks do to them.

    Use it as a context manager, or call `close`; the processes start with the first task and stay for the next `map`.

    Args:
        count: How many processes, at least 1.
        timeout_s: How long one task may take, in seconds.
        memory: How much each process may take, in bytes.
    """

    def __init__(self, count: int, *, timeout_s: float = 60.0, memory: int = MEMORY) -> None:
        if count < 1:
            raise ValueError(f"workers {count}: at least one is needed")
        self.count = count
        self.timeout_s = timeout_s
        self.memory = memory
        self._workers: list[_Worker[Any]] = []
        self._nursery: Nursery | None = None
        self._mapping = False
        self._failed_starts = 0  # in a row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, whatever they do."""
        while self._workers:
            self._workers.pop().kill()
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Crashed | TimedOut]]:
        """Do every task in some process, and give each back with its result, in the order in which they are done.

        *tasks* is read ahead of the results by about a second's work of each process. One `map` at a time.

        Args:
            function: Importable by name from a module other than `__main__`; or a partial of such a function.
            tasks: Anything that pickles, small: bytes go through the store.

        Raises:
            WorldError: No process even starts.
            BaseException: What *function* raised, as it raised it; the other tasks in flight are given up.
        """
        if self._mapping:
            raise RuntimeError("these workers are at another map; finish it first")
        self._mapping = True
        work = _Round(function, (_Job(task) for task in tasks))
        try:
            yield from self._drain(work)
            while work.suspects:
                while len(self._workers) < min(self.count, len(work.suspects)):
                    self._start(function)  # one starts while another is at its task
                work.orphans.append(work.suspects.popleft())
                yield from self._drain(work)
        finally:
            self._mapping = False
            self._give_up()

    def _drain(self, work: _Round[Task]) -> Iterator[tuple[Task, Any]]:
        """Do all that is left but the suspects."""
        while True:
            self._feed(work)
            if not any(worker.jobs for worker in self._workers):
                return
            watched = [worker for worker in self._workers if worker.jobs or not worker.listens]
            first = min(worker.left_s(self.timeout_s) for worker in watched)
            ready = wait([worker.connection for worker in watched], max(0.0, min(first, _LOOK_S)))
            for worker in watched:
                if worker.connection in ready:
                    yield from self._collect(worker, work)
            if not ready or time.monotonic() - work.seen > _LOOK_S:
                yield from self._look(work, [worker for worker in watched if worker.connection not in ready])

    def _feed(self, work: _Round[Task]) -> None:
        """Give work to whoever has the least, until all have enough or there is none left."""
        while True:
            worker = min(self._workers, key=lambda one: (len(one.jobs), not one.listens), default=None)
            may_start = len(self._workers) < self.count and (worker is None or bool(worker.jobs))
            if not may_start and worker is not None and not worker.has_room(work.in_hand):
                return
            job = work.next()
            if job is None:
                return
            if worker is None or may_start:
                worker = self._start(work.function)
            try:
                worker.give(work.function, job)
            except (BrokenPipeError, ConnectionResetError):
                # It died while it had nothing to do, or of the job before: `_collect` finds out, and blames the oldest.
                if len(worker.jobs) == 1:
                    worker.jobs.clear()
                    self._bury(worker, work)
                    work.orphans.append(job)

    def _collect(self, worker: _Worker[Task], work: _Round[Task]) -> Iterator[tuple[Task, Any]]:
        """Read one answer of *worker*, or its death."""
        try:
            took_s, answer = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            job, status = self._bury(worker, work)
            if job is not None:
                yield from work.suspect(job, Crashed(status))
            return
        if took_s is None:
            raise answer
        worker.begin()
        if not worker.listens:
            worker.listens = True
            self._failed_starts = 0
            return
        work.learn(took_s)
        yield worker.jobs.popleft().task, answer

    def _look(self, work: _Round[Task], silent: Sequence[_Worker[Task]]) -> Iterator[tuple[Task, Any]]:
        """Give up those workers that have been at one job, or stopped, for too long."""
        now = time.monotonic()
        for worker in silent:
            worker.look(work.seen, now)
        work.seen = now
        for worker in silent:
            stopped = worker.stopped_s > _STOPPED_S
            if not stopped and worker.left_s(self.timeout_s) > 0:
                continue
            worker.process.kill()
            job, _ = self._bury(worker, work)
            if job is None:
                continue
            job.stops += stopped
            if not stopped:
                yield from work.suspect(job, TimedOut(f"longer than {self.timeout_s:g} s"))
            elif job.stops < _STOPS:
                work.orphans.append(job)
            else:
                yield job.task, Crashed("SIGSTOP")

    def _start(self, function: Callable[[Any], Any]) -> _Worker[Any]:
        """Start a process; it listens as soon as it has imported *function*."""
        ours, theirs = Pipe()
        read_end, lifeline = os.pipe()
        try:
            process = self._born(theirs.fileno(), read_end, function)
        except BaseException:
            ours.close()
            os.close(lifeline)
            raise
        finally:
            theirs.close()
            os.close(read_end)
        worker: _Worker[Any] = _Worker(process, ours, lifeline, function, self.memory)
        self._workers.append(worker)
        with suppress(BrokenPipeError, ConnectionResetError):  # dead already: whoever listens to it finds out
            ours.send(function)
        return worker

    def _born(self, connection_fd: int, lifeline_fd: int, function: Callable[[Any], Any]) -> Child:
        """Have a process from the nursery; from another one if that has died.

        Raises:
            WorldError: Several in a row have.
        """
        while True:
            if self._nursery is None:
                self._nursery = Nursery()
            try:
                return self._nursery.bear(serve, connection_fd, lifeline_fd, self.memory, function)
            except NurseryError as error:
                self._nursery.close()
                self._nursery = None
                self._failed_start(str(error))

    def _failed_start(self, how: str) -> None:
        self._failed_starts += 1
        if self._failed_starts >= _STARTS:
            raise WorldError(f"a worker process does not start ({how}); the lines above may say why")

    def _bury(self, worker: _Worker[Task], work: _Round[Task]) -> tuple[_Job[Task] | None, str]:
        """Forget a worker; give the job that it was at, if any, and how it ended. What waited behind that goes on.

        Raises:
            WorldError: It is one of several in a row that died before they could begin.
        """
        self._workers.remove(worker)
        status = worker.end()
        job = worker.jobs.popleft() if worker.listens and worker.jobs else None
        work.orphans.extend(worker.jobs)
        if not worker.listens:
            self._failed_start(status)
        return job, status

    def _give_up(self) -> None:
        """End the workers that are still at something which nobody waits for any more."""
        for worker in [one for one in self._workers if one.jobs]:
            self._workers.remove(worker)
            worker.kill()


class Calls:
    """Processes for the threads of a program: each call has one for itself, and costs at worst that process.

    Use it as a context manager, or call `close`; the processes start with the first calls.

    Args:
        count: How many calls are served at once, at least 1; the others wait for their turn.
        timeout_s: How long one may take, in seconds.
        memory: How much each process may take, in bytes.
    """

    def __init__(self, count: int, *, timeout_s: float = 60.0, memory: int = MEMORY) -> None:
        self._at_work = {Workers(1, timeout_s=timeout_s, memory=memory): Lock() for _ in range(count)}
        self._free: LifoQueue[Workers] = LifoQueue()  # the one used last first: most programs never need them all
        for one in self._at_work:
            self._free.put(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __call__(self, function: Callable[[Task], Result], task: Task) -> Result | Crashed | TimedOut:
        """Do one task in some process, and wait for its result; may be called from any thread.

        Args:
            function: As for `Workers.map`.
            task: As for `Workers.map`.

        Raises:
            WorldError: No process even starts.
            BaseException: What *function* raised.
        """
        one = self._free.get()
        try:
            with self._at_work[one]:
                ((_, result),) = one.map(function, [task])
        finally:
            self._free.put(one)
        return result

    def close(self) -> None:
        """Wait for the calls under way, and end all processes; more calls start new ones."""
        for one, at_work in self._at_work.items():
            with at_work:  # and not out of the queue: Ctrl-C in the middle of this would leave it empty for ever
                one.close()


def serve(connection_fd: int, lifeline_fd: int, memory: int) -> None:
    """Be a worker: do what comes through the connection until it is closed.

    Args:
        connection_fd: File descriptor of our end of the connection.
        lifeline_fd: Reading end of a pipe that nobody writes to; when its other end closes, this process is to end.
        memory: How much this process may take, in bytes.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(lifeline_fd)
    _take_no_more_than(memory)
    connection = Connection(connection_fd)

    def confess(_kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if _is_out_of_memory(error):
            os._exit(_NO_MEMORY)
        error.add_note("".join(traceback.format_tb(at)))
        with suppress(ConnectionError):  # the parent has gone: there is nobody to confess to
            try:
                connection.send((None, error))
            except (pickle.PicklingError, TypeError, AttributeError):
                connection.send((None, RuntimeError("".join(traceback.format_exception(error)))))

    sys.excepthook = confess
    with suppress(EOFError, ConnectionError):
        function = connection.recv()  # imports what the tasks need, outside their time limit
        connection.send((0.0, None))
        _work(connection, function)


def _work(connection: Connection, function: Callable[[Any], Any]) -> None:
    """Do one task after the other until the parent has no more, or is no more."""
    while True:
        other, task = connection.recv()
        function = other or function
        began = time.monotonic()
        try:
            result = function(task)
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error  # of the task, not of the connection
        connection.send((time.monotonic() - began, result))


def _take_no_more_than(memory: int) -> None:
    """Let the kernel refuse what goes beyond *memory* bytes, and leave no core behind after a crash.

    RLIMIT_DATA counts what a process may write to and nobody else sees: what can blow up, and not the libraries, as
    RLIMIT_AS does. A watch over the resident memory would come too late when it grows by a gigabyte in half a second.
    What runs out of it gets a MemoryError, or in native code a null pointer: both end as a crash. Where the machine
    has less than its processes may take, the kernel is to end this one, and not the program that it works for.
    """
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or getattr(error, "code", None) == _CV_NO_MEMORY


def _is_stopped(pid: int) -> bool:
    """Whether a process waits for a SIGCONT, or for a debugger."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(") ")[2][:1] in "Tt"
    except OSError:  # another kind of system, where such a process is taken for a slow one; or it is no more
        return False


def _die_with(lifeline_fd: int) -> None:
    """Ask the kernel for a SIGIO, which ends us, when the other end of the pipe closes.

    PR_SET_PDEATHSIG would do it when the *thread* ends that started us; and a thread of our own would wait for
    the interpreter's lock, which an endless loop in native code never lets go.
    """
    import fcntl  # noqa: PLC0415 -- not on every system; there the closed connection ends us, one task later

    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, fcntl.fcntl(lifeline_fd, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
