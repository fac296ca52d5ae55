"""Where work is done by other processes, so that a crash or an endless loop costs one task and not the run.

The processes are started afresh (never forked: OpenCV deadlocks after a fork) and know nothing of the program that
started them: unlike those of multiprocessing they do not import its main module again, with all of Prefect behind it.
Each has a connection of its own, so that one that dies in the middle of a word holds no lock that others wait for.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from pipeline.errors import WorldError

Task = TypeVar("Task")
Result = TypeVar("Result")

_QUEUED = 2  # tasks a worker holds: the one it does, and one to go on with while its result is read
_END_S = 5.0  # a process that has closed its connection is on its way out
_START_S = 120.0  # a loaded machine needs seconds to import NumPy and OpenCV; more means that it never will

# Each process does one thing; libraries that start a thread for each core would make them fight for the cores.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

_SERVE = "import sys; sys.path[:] = {path!r}; from pipeline.workers import serve; serve({connection}, {lifeline})"


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker died of the task, twice, the second time with no other task running."""

    detail: str  # the signal or exit status; the same for the same cause


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The task took longer than the time limit."""

    detail: str


@dataclass(eq=False, slots=True)
class _Job(Generic[Task]):
    task: Task
    suspect: bool = False  # a worker has died of it once


@dataclass(eq=False, slots=True)
class _Worker(Generic[Task]):
    """One process, and the jobs it has been given, oldest first."""

    process: subprocess.Popen[bytes]
    connection: Connection
    lifeline: int  # file descriptor; the process ends when it is closed, by us or by our death
    jobs: deque[_Job[Task]] = field(default_factory=deque)
    since: float = field(
        default_factory=time.monotonic
    )  # seconds; when it was started, or its oldest job begun, at most
    listens: bool = False  # it has imported what it needs

    def overdue_at(self, timeout_s: float) -> float:
        return self.since + (timeout_s if self.listens else _START_S)

    def give(self, function: Callable[[Any], Any], job: _Job[Task]) -> None:
        if self.listens and not self.jobs:
            self.since = time.monotonic()
        self.jobs.append(job)
        self.connection.send((function, job.task))

    def end(self) -> str:
        """Wait until the process has ended, and say how it did."""
        self.connection.close()
        try:
            status = self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        os.close(self.lifeline)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"

    def kill(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.end()


class Workers:
    """A pool of processes that survives what its tasks do to them.

    Use it as a context manager, or call `close`; the processes start with the first task and stay for the next `map`.

    Args:
        count: How many processes, at least 1.
        timeout_s: How long one task may take, in seconds.
    """

    def __init__(self, count: int, *, timeout_s: float = 60.0) -> None:
        if count < 1:
            raise ValueError(f"workers {count}: at least one is needed")
        self.count = count
        self.timeout_s = timeout_s
        self._workers: list[_Worker[Any]] = []
        self._mapping = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End all processes, whatever they do."""
        while self._workers:
            self._workers.pop().kill()

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task]
    ) -> Iterator[tuple[Task, Result | Crashed | TimedOut]]:
        """Do every task in some process, and give each back with its result, in the order in which they are done.

        *tasks* is read only a few tasks ahead of the results. One `map` at a time.

        Args:
            function: Importable by name from a module other than `__main__`; or a partial of such a function.
            tasks: Anything that pickles, small: bytes go through the store.

        Raises:
            WorldError: A process does not even start.
            BaseException: What *function* raised, as it raised it; the other tasks in flight are given up.
        """
        stream = (_Job(task) for task in tasks)
        if self._mapping:
            raise RuntimeError("these workers are at another map; finish it first")
        self._mapping = True
        suspects: deque[_Job[Task]] = deque()  # a neighbour may have taken all the memory: they get a second try
        try:
            yield from self._drain(function, stream, suspects)
            while suspects:
                yield from self._drain(function, iter([suspects.popleft()]), suspects)
        finally:
            self._mapping = False
            self._give_up()

    def _drain(
        self, function: Callable[[Task], Result], stream: Iterator[_Job[Task]], suspects: deque[_Job[Task]]
    ) -> Iterator[tuple[Task, Result | Crashed | TimedOut]]:
        """Do all jobs of *stream*; those that a worker dies of for the first time go to *suspects*."""
        orphans: deque[_Job[Task]] = deque()  # waited behind one that its worker died of
        while True:
            self._feed(function, stream, orphans)
            busy = [worker for worker in self._workers if worker.jobs]
            if not busy:
                return
            first = min(worker.overdue_at(self.timeout_s) for worker in busy)
            ready = wait([worker.connection for worker in busy], max(0.0, first - time.monotonic()))
            for worker in busy:
                if worker.connection in ready:
                    yield from self._collect(worker, suspects, orphans)
                elif time.monotonic() > worker.overdue_at(self.timeout_s):
                    worker.process.kill()
                    job, _ = self._bury(worker, orphans)
                    yield job.task, TimedOut(f"longer than {self.timeout_s:g} s")

    def _feed(
        self, function: Callable[[Task], Result], stream: Iterator[_Job[Task]], orphans: deque[_Job[Task]]
    ) -> None:
        """Give work to whoever has the least, until all have enough or there is none left."""
        while True:
            worker = min(self._workers, key=lambda one: len(one.jobs), default=None)
            all_busy = worker is not None and bool(worker.jobs)
            if worker is not None and len(worker.jobs) >= _QUEUED and len(self._workers) >= self.count:
                return
            job = orphans.popleft() if orphans else next(stream, None)
            if job is None:
                return
            if worker is None or (all_busy and len(self._workers) < self.count):
                worker = self._start(function)
            try:
                worker.give(function, job)
            except (BrokenPipeError, ConnectionResetError):
                # It died while it had nothing to do, or of the job before: `_collect` finds out, and blames the oldest.
                if len(worker.jobs) == 1:
                    self._bury(worker, orphans)
                    orphans.append(job)

    def _collect(
        self, worker: _Worker[Task], suspects: deque[_Job[Task]], orphans: deque[_Job[Task]]
    ) -> Iterator[tuple[Task, Any]]:
        """Read one answer of *worker*, or its death."""
        try:
            failed, answer = worker.connection.recv()
        except (EOFError, OSError, pickle.UnpicklingError):
            job, status = self._bury(worker, orphans)
            if job.suspect:
                yield job.task, Crashed(status)
            else:
                suspects.append(_Job(job.task, suspect=True))
            return
        if failed:
            raise answer
        worker.since = time.monotonic()
        if not worker.listens:
            worker.listens = True
            return
        yield worker.jobs.popleft().task, answer

    def _start(self, function: Callable[[Any], Any]) -> _Worker[Any]:
        """Start a process; it listens as soon as it has imported *function*."""
        ours, theirs = Pipe()
        read_end, lifeline = os.pipe()
        code = _SERVE.format(path=sys.path, connection=theirs.fileno(), lifeline=read_end)
        process = subprocess.Popen(  # noqa: S603 -- our own interpreter and our own line of code
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(), read_end),
            env=os.environ | _ONE_THREAD,
            process_group=0,  # Ctrl-C reaches us alone; we end the others
        )
        theirs.close()
        os.close(read_end)
        ours.send(function)
        worker: _Worker[Any] = _Worker(process, ours, lifeline)
        self._workers.append(worker)
        return worker

    def _bury(self, worker: _Worker[Task], orphans: deque[_Job[Task]]) -> tuple[_Job[Task], str]:
        """Forget a worker; give the job that it was at, and how it ended. What waited behind that job goes on."""
        self._workers.remove(worker)
        status = worker.end()
        if not worker.listens:
            raise WorldError(f"a worker process does not start ({status}); the lines above may say why")
        job = worker.jobs.popleft()
        orphans.extend(worker.jobs)
        return job, status

    def _give_up(self) -> None:
        """End the workers that are still at something which nobody waits for any more."""
        for worker in [one for one in self._workers if one.jobs]:
            self._workers.remove(worker)
            worker.kill()


def serve(connection_fd: int, lifeline_fd: int) -> None:
    """Be a worker: do what comes through the connection until it is closed.

    Args:
        connection_fd: File descriptor of our end of the connection.
        lifeline_fd: Reading end of a pipe that nobody writes to; when its other end closes, this process is to end.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(lifeline_fd)
    connection = Connection(connection_fd)

    def confess(_kind: type[BaseException], error: BaseException, at: TracebackType | None) -> None:
        if isinstance(error, MemoryError):
            os._exit(70)  # as good as a crash, and tried again alone like one (70 is EX_SOFTWARE)
        error.add_note("".join(traceback.format_tb(at)))
        with suppress(ConnectionError):  # the parent has gone: there is nobody to confess to
            try:
                connection.send((True, error))
            except (pickle.PicklingError, TypeError, AttributeError):
                connection.send((True, RuntimeError("".join(traceback.format_exception(error)))))

    sys.excepthook = confess
    with suppress(EOFError, ConnectionError):
        connection.recv()  # imports what the tasks need, outside their time limit
        connection.send((False, None))
        _work(connection)


def _work(connection: Connection) -> None:
    """Do one task after the other until the parent has no more, or is no more."""
    while True:
        function, task = connection.recv()
        try:
            result = function(task)
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error  # of the task, not of the connection
        connection.send((False, result))


def _die_with(lifeline_fd: int) -> None:
    """Ask the kernel for a SIGIO, which ends us, when the other end of the pipe closes.

    PR_SET_PDEATHSIG would do it when the *thread* ends that started us; and a thread of our own would wait for
    the interpreter's lock, which an endless loop in native code never lets go.
    """
    import fcntl  # noqa: PLC0415 -- not on every system; there the closed connection ends us, one task later

    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, fcntl.fcntl(lifeline_fd, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
