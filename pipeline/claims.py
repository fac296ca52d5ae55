"""What several runs on one data folder must not do at once: read one listing, fetch one file."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import StoreError

POLL_S = 0.05  # how often a claim of another run is tried again


@dataclass(eq=False)
class Claims:
    """Claims of this run, by name; the kernel takes them back when the process dies, however it dies.

    Each is a lock on one byte of a file that stays empty, at an offset that the name gives. A process must not open the
    file twice: POSIX drops all locks of a process when any of its descriptors is closed.
    """

    file: Path
    _descriptor: int = -1
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _here: set[int] = field(
        default_factory=set
    )  # what a thread of this process holds: the kernel tells none from another

    @contextmanager
    def held(self, name: str, stop: threading.Event) -> Iterator[bool]:
        """Wait until nobody else claims *name*, and claim it; gives False where *stop* was set before that.

        Raises:
            StoreError: The folder cannot be written.
        """
        offset = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big")
        taken = self._take(offset)
        while not taken and not stop.wait(POLL_S):
            taken = self._take(offset)
        try:
            yield taken
        finally:
            if taken:
                self._give_back(offset)

    def close(self) -> None:
        """Give all claims back."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _take(self, offset: int) -> bool:
        with self._lock:
            if offset in self._here:
                return False
            try:
                fcntl.lockf(self._opened(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
            except (BlockingIOError, PermissionError):  # POSIX leaves the choice between EAGAIN and EACCES
                return False
            except OSError as error:
                raise StoreError(f"{self.file}: cannot be locked ({error.strerror}); choose another --data") from error
            self._here.add(offset)
            return True

    def _give_back(self, offset: int) -> None:
        with self._lock:
            self._here.remove(offset)
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, offset)

    def _opened(self) -> int:
        if self._descriptor < 0:
            try:
                self.file.parent.mkdir(parents=True, exist_ok=True)
                self._descriptor = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            except OSError as error:
                raise StoreError(f"{self.file}: {error.strerror}; free some space or choose --data") from error
        return self._descriptor
