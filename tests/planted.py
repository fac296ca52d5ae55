"""Work for other processes to do in tests, some of it harmful; here because a worker imports it by name."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path


def double(number: int) -> int:
    return number * 2


def misbehave(what: str) -> str:
    match what:
        case "abort":
            os.abort()
        case "loop":
            return str(sum(itertools.repeat(0)))  # never lets go of the interpreter's lock
        case "raise":
            raise LookupError("no such thing")
        case "no memory":
            raise MemoryError
        case "leave":
            sys.exit(3)
        case "interrupt":
            os.kill(os.getpid(), signal.SIGINT)
    return f"{what} done"


def crash_the_first_time(marker: Path) -> str:
    if marker.exists():
        return "second time"
    marker.touch()
    os.abort()


def where(_task: int) -> int:
    return os.getpid()


def main_module(_task: int) -> str:
    return str(sys.modules["__main__"].__dict__.get("__file__"))
