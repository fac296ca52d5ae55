"""Work for other processes to do in tests, some of it harmful; here because a worker imports it by name."""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

from pipeline.detectors import DETECTORS, Face
from pipeline.errors import DetectorError
from pipeline.pixels import Pixels
from pipeline.records import Box
from pipeline.store import Store


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


ABORTS, LOOPS, RAISES, EMPTY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)  # of the whole picture


class Touchy:
    """Finds one face in the middle, unless the colour of that middle says otherwise."""

    name = "touchy"
    smallest = 1.0

    def detect(self, pixels_HWC: Pixels, /) -> list[Face]:
        height, width = pixels_HWC.shape[:2]
        match tuple(int(band) for band in pixels_HWC[height // 2, width // 2]):
            case (200, 0, 0):
                os.abort()
            case (0, 200, 0):
                sum(itertools.repeat(0))
            case (0, 0, 200):
                raise DetectorError("touchy: broken")
            case (200, 200, 0):
                return []
        side = min(width, height) // 2
        box = Box(left=(width - side) // 2, top=(height - side) // 2, width=side, height=side)
        return [Face(box=box, score=0.75)]


class PlantedStore(Store):
    """A store whose pickle brings the planted detectors into the worker that unpacks it; some of its bytes do harm."""

    def get(self, sha256: str) -> bytes:
        data = super().get(sha256)
        if data == b"abort":
            os.abort()
        if data == b"loop":
            sum(itertools.repeat(0))
        return data


DETECTORS["touchy"] = Touchy
