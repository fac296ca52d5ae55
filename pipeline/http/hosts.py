"""One pace a host, for all threads and all runs that share a data folder; slower where the host is slow or busy."""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pipeline.errors import StoreError
from pipeline.http.answers import NeverError

# Requests travel unevenly fast: with a hundredth more between them no host counts more than the rate in ten seconds.
SLACK = 1.01
MAX_GAP_S = 60.0  # that a busy or slow host can bring about; a recipe's own may be longer
UNDER_WAY = 4  # requests to one host at once, on average, while it answers slowly (Scrapy's target concurrency)
EASE = 0.9  # what remains, after each good answer, of a gap that the host does not need any more
FLOOR_S = 60.0  # how long a run's pace holds the others on the same folder after its last request
PATIENCE_S = 60.0  # how long a host that gave files may fail until it is parked
MAX_HOLD_S = 3600.0  # what lies further ahead was written before the machine was started anew
PORTS = {"http": 80, "https": 443}
SLOTS = 1 << 16
SLOT = struct.Struct("<6d16x")  # 64 bytes: it never crosses a page


@dataclass
class _State:
    """What is known of a host's pace, in seconds of the machine's monotonic clock."""

    last: float = 0.0  # when the last request was let through
    not_before: float = 0.0  # the host asked to be left alone until then
    gap_s: float = 0.0  # that the host's answers made necessary
    floor_s: float = 0.0  # the longest gap that a run asks for
    floor_until: float = 0.0  # when that run is taken to be over
    busy_at: float = 0.0  # when the gap was doubled last

    @property
    def values(self) -> tuple[float, ...]:
        """All of it, in the order of its writing."""
        return self.last, self.not_before, self.gap_s, self.floor_s, self.floor_until, self.busy_at

    def checked(self, now: float) -> _State:
        """Forget what cannot be: damage, or another life of the machine."""
        sane = all(math.isfinite(value) and value >= 0 for value in self.values)
        past = self.last <= now and self.busy_at <= now
        return self if sane and past and self.not_before <= now + MAX_HOLD_S else _State()

    def floored(self, gap_s: float, now: float) -> float:
        """Take part in the floor, and give it: the slowest of the runs sets the pace of all."""
        if gap_s >= self.floor_s or now >= self.floor_until:
            self.floor_s, self.floor_until = gap_s, now + gap_s + FLOOR_S
        return self.floor_s


class _Slate:
    """Keeps the states of all hosts: in a file that runs share, or in memory.

    The file is a table of 64-byte slots by the hash of the host's name: it needs no room for hosts that nobody asks,
    and no writing that could end half done. Two hosts that fall into one slot are asked at one pace.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._memory: dict[int, _State] = {}
        self._descriptor = -1

    @contextmanager
    def of(self, name: str, now: Callable[[], float]) -> Iterator[tuple[_State, float]]:
        """Give the state of a host and the time, to nobody else until it is left; it is written down then."""
        slot = int.from_bytes(hashlib.sha256(name.encode()).digest()[:2], "big") % SLOTS
        with self._lock:
            if self._file is None:
                state = self._memory.setdefault(slot, _State())
                yield state, now()
                return
            try:
                with self._locked(self._file) as file:
                    raw = os.pread(file, SLOT.size, slot * SLOT.size)
                    moment = now()
                    state = (_State(*SLOT.unpack(raw)) if len(raw) == SLOT.size else _State()).checked(moment)
                    before = state.values
                    yield state, moment
                    if state.values != before:
                        os.pwrite(file, SLOT.pack(*state.values), slot * SLOT.size)
            except OSError as error:
                raise StoreError(f"{self._file}: {error.strerror}; free some space or choose --data") from error

    @contextmanager
    def _locked(self, file: Path) -> Iterator[int]:
        if self._descriptor < 0:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)  # for microseconds; a dead process holds no lock
        try:
            yield self._descriptor
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1


@dataclass
class Host:
    """One host's turnstile, and whether it is worth asking at all."""

    name: str
    _slate: _Slate
    _clock: Callable[[], float]
    _turn: threading.Condition = field(default_factory=threading.Condition)
    _tickets: int = 0
    _serving: int = 0
    _failed: int = 0  # files in a row that did not come
    _gave_at: float = -math.inf  # when it gave a final answer last
    _parked: str = ""
    reached: bool = False  # it has answered in this run, whatever it said

    def take_turn(self, gap_s: float, stop: threading.Event) -> None:
        """Return when the next request may be sent; at once when *stop* is set.

        The threads of this process pass in the order of their coming. Of several processes that wait for the same
        moment the first to wake passes, and the others wait for the next.

        Args:
            gap_s: What the caller's recipe wants between two requests, at least.
            stop: Ends all waiting.
        """
        with self._turn:
            ticket = self._tickets
            self._tickets += 1
            while ticket != self._serving:
                self._turn.wait()
        try:
            while (pause := self._pass(gap_s)) > 0 and not stop.wait(pause):
                pass  # another run may have passed, or somebody may have been told to wait meanwhile
        finally:
            with self._turn:
                self._serving += 1
                self._turn.notify_all()

    def _pass(self, gap_s: float) -> float:
        """Pass and give 0, or give the seconds until it is worth trying again."""
        with self._slate.of(self.name, self._clock) as (state, now):
            gap = max(state.floored(gap_s, now), state.gap_s) * SLACK
            due = max(state.last + gap if state.last else now, state.not_before)
            if due <= now:
                state.last = now
            return max(0.0, due - now)

    def passed(self) -> None:
        """Count the gap from now on: the connection that took so long stands, and what was let through is sent."""
        with self._slate.of(self.name, self._clock) as (state, now):
            state.last = now

    def hold(self, seconds: float) -> None:
        """Let nobody through for *seconds*."""
        with self._slate.of(self.name, self._clock) as (state, now):
            state.not_before = max(state.not_before, now + seconds)

    def answered(self, latency_s: float, *, busy: bool) -> None:
        """Learn from an answer: double the gap of a busy host, follow a slow one, ease off where all is well."""
        with self._slate.of(self.name, self._clock) as (state, now):
            self.reached = True
            bearable = latency_s / UNDER_WAY
            if busy and now - latency_s < state.busy_at:
                return  # it was sent before the host could be given more time
            if busy:
                state.busy_at = now
                wanted = max(2 * max(state.gap_s, state.floor_s), latency_s)
            elif bearable > state.gap_s:
                wanted = (state.gap_s + bearable) / 2
            else:
                wanted = EASE * state.gap_s + (1 - EASE) * bearable
            state.gap_s = min(wanted, MAX_GAP_S)

    def recovered(self) -> None:
        """Trust the host again: it gave a final answer."""
        with self._turn:
            self._failed, self._gave_at = 0, self._clock()

    def failed(self, why: str, limit: int) -> None:
        """Count a file that did not come; after *limit* in a row the host is parked for the rest of the run.

        Not while it gave another only just now: then these files are to blame, or it is being started anew.
        """
        with self._turn:
            self._failed += 1
            if self._failed >= limit and self._clock() - self._gave_at > PATIENCE_S:
                self._parked = why

    @property
    def parked(self) -> str:
        """Why the host is left alone for the rest of the run; empty when it is not."""
        return self._parked


class Hosts:
    """The hosts of a run.

    Args:
        file: Shared by all runs of a data folder, so that they keep one pace; None: this run is alone.
        clock: Seconds, the same for all processes of a machine.
    """

    def __init__(self, file: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._slate = _Slate(file)
        self._clock = clock
        self._hosts: dict[str, Host] = {}
        self._lock = threading.Lock()

    def of(self, url: str) -> Host:
        """Give the host that an address is on: one machine, whichever way its name and port are written.

        Raises:
            NeverError: It is no address of http or https.
        """
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError as error:
            raise NeverError(f"{url!r} is no address that can be asked") from error
        if parts.scheme not in PORTS or not host:
            raise NeverError(f"{parts.scheme or 'no'}: is not http or https")
        return self.at(f"{host}:{'' if port in {None, PORTS[parts.scheme]} else port}")

    def at(self, name: str) -> Host:
        """Give the host of that name and port."""
        with self._lock:
            return self._hosts.setdefault(name, Host(name, self._slate, self._clock))

    def parked(self) -> dict[str, str]:
        """Say which hosts are left alone, and why."""
        with self._lock:
            return {name: host.parked for name, host in self._hosts.items() if host.parked}

    def close(self) -> None:
        """Let go of the shared file."""
        self._slate.close()
