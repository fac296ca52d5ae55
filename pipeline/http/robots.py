"""What a host's robots.txt closes to programs like ours, by RFC 9309."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from protego import Protego

MAX_BYTES = 512 << 10  # RFC 9309 asks for at least 500 KiB to be read
MAX_AGE_S = 24 * 3600.0
MAX_DELAY_S = 60.0
AGENT = "kaoset"


@dataclass(frozen=True)
class Rules:
    """Those of one host."""

    parsed: Protego
    read_at: float

    def closes(self, url: str) -> bool:
        """Whether the address is closed to us."""
        return not self.parsed.can_fetch(url, AGENT)

    @property
    def gap_s(self) -> float:
        """Seconds between two requests that the host asks for."""
        rate = self.parsed.request_rate(AGENT)
        asked = max(self.parsed.crawl_delay(AGENT) or 0.0, rate.seconds / rate.requests if rate else 0.0)
        return float(min(asked, MAX_DELAY_S))


@dataclass
class RobotRules:
    """Remembers the rules of each host; they are asked for once a day, however many threads want to know."""

    clock: Callable[[], float]
    _known: dict[str, Rules] = field(default_factory=dict)
    _locks: dict[str, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, origin: str, ask: Callable[[], str]) -> Rules:
        """Give the rules of an origin (``https://host``); *ask* brings their text, empty where there is none."""
        with self._lock:
            lock = self._locks.setdefault(origin, threading.Lock())
        with lock:
            known = self._known.get(origin)
            if known is None or self.clock() > known.read_at + MAX_AGE_S:
                known = self._known[origin] = Rules(Protego.parse(ask()), self.clock())
            return known
