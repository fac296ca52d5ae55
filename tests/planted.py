"""Work for other processes to do in tests, some of it harmful; here because a worker imports it by name."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import os
import signal
import sys
import time
from pathlib import Path, PosixPath

import cv2
import numpy as np
from PIL import Image as Pictures

from pipeline.detectors import DETECTORS, Face
from pipeline.errors import DetectorError
from pipeline.pixels import Picture, Pixels
from pipeline.records import Box
from pipeline.store import Store


def double(number: int) -> int:
    return number * 2


def length(text: str) -> int:
    return len(text)


def nap(number: int) -> int:
    """Last a tenth of a second."""
    time.sleep(0.1)
    return number


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


def _array() -> None:
    np.ones(2**31)


def _picture() -> None:
    Pictures.new("RGB", (60_000, 60_000), "red")


def _opencv() -> None:
    cv2.resize(np.zeros((9, 9, 3), np.uint8), (60_000, 60_000))


def _list() -> None:
    list(itertools.repeat(0, 2**31))


def _native() -> None:
    """Write where malloc gave nothing, as C does that does not ask."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    ctypes.memset(libc.malloc(ctypes.c_size_t(2**33)), 1, 2**33)


def _null() -> None:
    ctypes.string_at(0)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


HARM = {harm.__name__[1:]: harm for harm in (_array, _picture, _opencv, _list, _native, _null, _stop, _kill)}


def harm(what: str) -> str:
    """Do what some library, or the kernel, may do to a process."""
    if what in HARM:
        HARM[what]()
    return misbehave(what)


def crash_the_first_time(marker: Path) -> str:
    if marker.exists():
        return "second time"
    marker.touch()
    os.abort()


def loop_the_first_time(marker: Path) -> str:
    if not marker.exists():
        marker.touch()
        misbehave("loop")
    return "second time"


def tell_and_wait(task: tuple[Path, float]) -> str:
    """Write down who does this, and last a while."""
    told, seconds = task
    with told.open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(seconds)
    return "done"


def look_in_full(file: Path) -> int:
    """Look at a picture as the stages do, and say how many bytes its pixels are."""
    picture = Picture(file.read_bytes(), max_pixels=10**8)
    picture.reduced(1280)
    return picture.full().nbytes


def where(_task: int) -> int:
    return os.getpid()


def main_module(_task: int) -> str:
    return str(sys.modules["__main__"].__dict__.get("__file__"))


ABORTS, LOOPS, RAISES, EMPTY = (200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 0)  # of the whole picture


class Touchy:
    """Finds one face in the middle, unless the colour of that middle says otherwise."""

    name = "touchy"
    smallest = 1.0

    def detect(self, pixels_HWC: Pixels, _least: float = 0.0, /) -> list[Face]:
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


class PlantedPath(PosixPath):
    """A folder whose pickle brings its way of reading into the worker that unpacks it; some of its bytes do harm."""

    def read_bytes(self) -> bytes:
        data = super().read_bytes()
        if data.endswith(b"abort"):
            os.abort()
        if data.endswith(b"loop"):
            sum(itertools.repeat(0))
        return data


class FilesStore(Store):
    """A store of files by any name; what is put into it is named, and not kept."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(Path())
        object.__setattr__(self, "files", files)

    def get(self, name: str) -> bytes:
        data: bytes = self.__dict__["files"][name]
        return data

    def put(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()


DETECTORS["touchy"] = Touchy
