"""A process that has imported what workers need and has them by forking, so that a new one costs milliseconds.

A fork deadlocks after OpenCV was used, or beside other threads. This process does nothing but import; where it has
threads all the same, or the system cannot say so, its children are started afresh. They end when the program ends, and
so does it.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe
from multiprocessing.reduction import ForkingPickler, recv_handle, send_handle
from pathlib import Path
from threading import Lock
from typing import Any, NoReturn

_SERVE = "import sys; sys.path[:] = {path!r}; from pipeline.nursery import serve; serve({connection})"
_LIVE = "import sys; sys.path[:] = {path!r}; from pipeline.{module} import {name}; {name}({first}, {second}, {number})"
_ANSWER_S = 120.0  # a loaded machine needs seconds to import NumPy and OpenCV; more means that it never will
_ASK_S = 0.005  # how often it is asked for the end of a child that is awaited

# Each process does one thing; libraries that start a thread for each core would make them fight for the cores.
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Life = Callable[[int, int, int], None]  # two file descriptors, and a number


class NurseryError(Exception):
    """It has died, or does not answer; start another."""


class Nursery:
    """The process, as its owner sees it; several threads may ask it."""

    def __init__(self) -> None:
        ours, theirs = Pipe()
        code = _SERVE.format(path=sys.path, connection=theirs.fileno())
        self._asking = Lock()
        self._connection = ours
        self._process = subprocess.Popen(  # noqa: S603 -- our own interpreter and our own line of code
            [sys.executable, "-c", code],
            stdin=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
            env=os.environ | _ONE_THREAD,
            process_group=0,  # Ctrl-C reaches us alone; we end the others
        )
        theirs.close()

    def bear(self, life: Life, first: int, second: int, number: int, needs: object) -> Child:
        """Start a process that does ``life(first, second, number)``, and nothing else.

        Args:
            life: A function of a module of this package.
            first: A file descriptor; the child has its own of the same.
            second: Another.
            number: Anything.
            needs: What the child will unpickle; the modules for that are imported beforehand, and once for all.

        Raises:
            NurseryError: The process is no more, or does not answer.
        """
        pid: int = self._ask((life, number, bytes(ForkingPickler.dumps(needs))), first, second)
        return Child(pid, self)

    def status(self, pid: int) -> int | None:
        """Say how a child ended: its exit status, or a signal as a negative number; None: it has not.

        Raises:
            NurseryError: The process is no more, or does not answer.
        """
        ended: int | None = self._ask(pid)
        return ended

    @property
    def pid(self) -> int:
        """Its number."""
        return self._process.pid

    def close(self) -> None:
        """End the process; its children are the caller's to end before."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _ask(self, words: object, *handles: int) -> Any:
        with self._asking:
            answered = False
            try:
                self._connection.send(words)
                for handle in handles:
                    send_handle(self._connection, handle, self._process.pid)
                if not self._connection.poll(_ANSWER_S):
                    raise NurseryError(f"no answer in {_ANSWER_S:g} s")
                answer = self._connection.recv()
                answered = True
            except (EOFError, OSError) as error:
                raise NurseryError(str(error)) from error
            finally:
                if not answered:  # by Ctrl-C, too: what comes late would be taken for the answer to the next question
                    self._connection.close()
        return answer


class Child:
    """A process that a nursery has had; used as a `subprocess.Popen` is."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery
        self._status: int | None = None

    def kill(self) -> None:
        """End it, whatever it does. Its number is nobody else's until `wait` has given its end."""
        if self._status is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout_s: float = _ANSWER_S) -> int:
        """Wait for its end, and say how it was: an exit status, or a signal as a negative number.

        Raises:
            TimeoutError: It has not ended.
        """
        end = time.monotonic() + timeout_s
        while self._status is None:
            try:
                self._status = self._nursery.status(self.pid)
            except NurseryError:  # nobody will ever know; what it was at is judged as after any other kill
                self.kill()
                self._status = -signal.SIGKILL
            if self._status is None:
                if time.monotonic() > end:
                    raise TimeoutError(f"process {self.pid} has not ended in {timeout_s:g} s")
                time.sleep(_ASK_S)
        return self._status


def serve(connection_fd: int) -> None:
    """Be the process: import, bear and bury until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = Connection(connection_fd)
    with suppress(EOFError, OSError):
        while True:
            match connection.recv():
                case int(pid):
                    ended, status = os.waitpid(pid, os.WNOHANG)
                    connection.send(os.waitstatus_to_exitcode(status) if ended else None)
                case life, number, words:
                    first, second = recv_handle(connection), recv_handle(connection)
                    with suppress(Exception):  # whatever an import raises, the child meets it again and tells it
                        pickle.loads(words)  # noqa: S301 -- from our owner
                    connection.send(_born(life, first, second, number, connection_fd))
                    os.close(first)
                    os.close(second)


def _born(life: Life, first: int, second: int, number: int, connection_fd: int) -> int:
    """Give the number of a new process."""
    if not _is_alone():
        for handle in (first, second):
            os.set_inheritable(handle, True)  # noqa: FBT003 -- its only parameter
        module, name = life.__module__.rpartition(".")[2], life.__name__
        code = _LIVE.format(path=sys.path, module=module, name=name, first=first, second=second, number=number)
        return os.posix_spawn(sys.executable, [sys.executable, "-c", code], os.environ)
    gc.collect()
    gc.freeze()  # what is shared stays shared
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(connection_fd)
        _live(life, first, second, number)
    return pid


def _live(life: Life, first: int, second: int, number: int) -> NoReturn:
    """Do what a child is for, and end without what is left to do at the end of its parent."""
    status = 1
    try:
        life(first, second, number)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException as error:  # noqa: BLE001 -- nobody is above us
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _is_alone() -> bool:
    """Whether this process has no other thread; False where the system does not say."""
    try:
        return len(list(Path("/proc/self/task").iterdir())) == 1
    except OSError:
        return False
