"""What processes cost and save: one decode for two stages, a second process, memory, and images that do harm."""

from __future__ import annotations

import io
import itertools
import os
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures

from bench.ways import Picture
from pipeline.crop import CropFaces
from pipeline.detect import DetectFaces, Follow
from pipeline.pixels import decode, inspect
from pipeline.recipe import Recipe
from pipeline.records import Image, Reason
from pipeline.stage import Dropped, Kept
from pipeline.store import Store
from pipeline.workers import MEMORY, Workers

FEW = 4  # pictures of a first run, whose cost is that of starting and is taken off
MAX_PIXELS = 120_000_000
TIMEOUT_S = 2.0  # for one picture, where some never end
HARM_MEMORY = 3 << 28  # bytes; so much a process may take where some take all
BAD_SHARE = 0.01
SIZES = (4, 25, 36, 100)  # megapixels
PROC = Path("/proc")

Progress = Callable[[str, int, int], None]  # what, done, total


# --- what is looked at ------------------------------------------------------------------------------------------------


class HarmfulStore(Store):
    """A store that is unpacked in a worker; some of its bytes do there what a decoder or a detector may do."""

    def get(self, sha256: str) -> bytes:
        """Give the bytes, or do what they say."""
        data = super().get(sha256)
        match data.split(b" ")[0]:
            case b"crashes":
                os.abort()
            case b"loops":
                sum(itertools.repeat(0))  # never lets go of the interpreter's lock
            case b"eats":
                _eat()
        return data


def _eat() -> None:
    """Take all memory that is to be had, piece by piece, and use it."""
    taken = []
    while True:
        taken.append(np.ones(1 << 23))


HARMS = {"crashes": Reason.CRASHED, "eats": Reason.CRASHED, "loops": Reason.TIMED_OUT}


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages `detect` and `crop`, as a recipe configures them."""

    recipe: Recipe
    store: Store

    def crop(self, workers: Workers) -> CropFaces:
        """Cut what is found."""
        return CropFaces(size=self.recipe.crop.size, max_pixels=MAX_PIXELS, workers=workers)

    def detect(self, workers: Workers, follow: Follow[Any] | None) -> DetectFaces:
        """Find faces."""
        return DetectFaces(
            detectors=self.recipe.detect.detectors,
            side=self.recipe.detect.side,
            min_face=self.recipe.filter.min_face,
            max_pixels=MAX_PIXELS,
            workers=workers,
            follow=follow,
        )

    def together(self, images: Sequence[Image], workers: Workers) -> list[Any]:
        """Cut each face where it is found; give all outcomes."""
        told: list[Any] = []
        follow = Follow(do=self.crop(workers).cutter, tell=told.extend)
        return [*self.detect(workers, follow)(images, self.store), *told]

    def apart(self, images: Sequence[Image], workers: Workers) -> list[Any]:
        """Find all faces first, and cut them after that; give all outcomes."""
        found = list(self.detect(workers, None)(images, self.store))
        faces = [face for one in found if isinstance(one, Kept) for face in one.outputs]
        return [*found, *self.crop(workers)(faces, self.store)]


# --- one decode for two stages ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Saved:
    """What looking for faces and cutting them costs a picture, in one process each time."""

    format: str
    pictures: int
    pixels: float  # a picture, on average
    apart_s: float  # processor time a picture
    together_s: float


def one_decode(recipe: Recipe, pictures: Sequence[Picture], store: Store, progress: Progress) -> Iterator[Saved]:
    """Compare two stages that each decode with one decode for both, as JPEG and as PNG."""
    stages = Stages(recipe, store)
    for kind in ("JPEG", "PNG"):
        images = [_as(kind, picture, store) for picture in pictures]
        seconds = []
        for name, way in (("apart", stages.apart), ("together", stages.together)):
            progress(f"one decode, {kind}, {name}", 0, len(images))
            few, many = (_processor_s(way, some) for some in (images[:FEW], images))
            seconds.append((many - few) / max(1, len(images) - FEW))
        pixels = sum(image.width * image.height for image in images) / len(images)
        yield Saved(kind, len(images), pixels, *seconds)


def _processor_s(way: Callable[[Sequence[Image], Workers], list[Any]], images: Sequence[Image]) -> float:
    """Give the user and system time of a process that does this, from its start to its end."""
    before_s = _children_s()
    with Workers(1) as workers:
        way(images, workers)
    return _children_s() - before_s


def _children_s() -> float:
    """Give the user and system time of all processes that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _as(kind: str, picture: Picture, store: Store) -> Image:
    """Write a picture as another kind of file; only that and its bytes are others."""
    pixels_HWC = decode(picture.path.read_bytes(), max_pixels=MAX_PIXELS)
    buffer = io.BytesIO()
    Pictures.fromarray(pixels_HWC).save(buffer, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return replace(picture.image, sha256=store.put(buffer.getvalue()), format=kind)


# --- memory -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Peak:
    """The most that a process had in memory for one picture."""

    format: str
    megapixels: float
    bytes: int  # resident; 0 where it cannot be measured


def memory(recipe: Recipe, picture: Picture, store: Store, progress: Progress) -> Iterator[Peak]:
    """Find the faces of a picture with a face, enlarged to several sizes, and cut them; each in a fresh process."""
    stages = Stages(recipe, store)
    for kind in ("JPEG", "PNG"):
        for size in SIZES:
            progress(f"memory, {kind}", SIZES.index(size), len(SIZES))
            image = _enlarged(picture, size * 1e6, kind, store)
            with Workers(1) as workers:
                stages.together([image], workers)
                yield Peak(kind, image.width * image.height / 1e6, _peak_of_children())


def _enlarged(picture: Picture, pixels: float, kind: str, store: Store) -> Image:
    with Pictures.open(picture.path) as small:
        scale = (pixels / (small.width * small.height)) ** 0.5
        large = small.convert("RGB").resize((round(small.width * scale), round(small.height * scale)))
    buffer = io.BytesIO()
    large.save(buffer, kind, **({"quality": 90} if kind == "JPEG" else {"compress_level": 1}))
    still = inspect(buffer.getvalue(), max_pixels=MAX_PIXELS)
    sha256 = store.put(buffer.getvalue())
    return replace(picture.image, sha256=sha256, width=still.width, height=still.height, format=kind)


def _peak_of_children() -> int:
    """Give the most that any process which was started here, or by one of those, has in memory until now, bytes."""
    try:
        told = [(PROC / child / "status").read_text(encoding="utf-8") for child in _descendants(str(os.getpid()))]
    except OSError:
        return 0
    peaks = [text.partition("VmHWM:")[2] for text in told]
    return max((int(text.split()[0]) << 10 for text in peaks if text), default=0)


def _descendants(pid: str) -> Iterator[str]:
    for child in (PROC / pid / "task" / pid / "children").read_text(encoding="ascii").split():
        yield child
        yield from _descendants(child)


# --- a second process, and harm ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Harmed:
    """A run over pictures of which some do harm, beside the same run without those."""

    harm: str
    pictures: int
    bad: int
    seconds: float
    processor_s: float  # user and system time of all processes
    wrong: int  # outcomes that are not those of the undisturbed run, or bad pictures with another reason


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast undisturbed processes are, and what harm costs two of them."""

    pictures: int
    one_s: float  # by one process
    two_s: float  # by two
    processor_s: float  # of both together
    harmed: tuple[Harmed, ...]


def pace(recipe: Recipe, pictures: Sequence[Picture], store: Store, progress: Progress) -> Pace:
    """Run over *pictures* with one process, with two, and with two while every hundredth picture does harm."""
    stages = Stages(recipe, HarmfulStore(store.root))
    images = [picture.image for picture in pictures]
    progress("one process", 0, len(images))
    one_s, _, _ = _timed(stages, images, 1)
    progress("two processes", 0, len(images))
    first_s, processor_s, clean = _timed(stages, images, 2)
    harmed = []
    for harm, reason in HARMS.items():
        progress(f"1 % {harm}", 0, len(images))
        bad = _bad(harm, max(1, round(BAD_SHARE * len(images))), stages.store)
        seconds, spent_s, said = _timed(stages, _strewn(images, bad), 2)
        wanted = {**clean, **{image.sha256: reason for image in bad}}
        wrong = sum(said.get(key) != one for key, one in wanted.items())
        harmed.append(Harmed(harm, len(images), len(bad), seconds, spent_s, wrong))
    again_s, _, _ = _timed(stages, images, 2)
    return Pace(len(images), one_s, (first_s + again_s) / 2, processor_s, tuple(harmed))


def _timed(stages: Stages, images: Sequence[Image], count: int) -> tuple[float, float, dict[str, Reason | None]]:
    """Give the seconds that processes need for *images*, on the clock and of the processors, and what is said of each.

    The clock runs when all have started; the time of the processors is that from their start to their end.
    """
    before_s = _children_s()
    with closing(Workers(count, timeout_s=TIMEOUT_S, memory=min(MEMORY, HARM_MEMORY))) as workers:
        stages.together([image for image in images if image.bytes][: FEW * count], workers)  # they build detectors
        began = time.perf_counter()
        outcomes = stages.together(images, workers)
        seconds = time.perf_counter() - began
    of_images = [one for one in outcomes if isinstance(one.item, Image)]
    said = {one.item.sha256: one.reason if isinstance(one, Dropped) else None for one in of_images}
    return seconds, _children_s() - before_s, said


def _bad(harm: str, count: int, store: Store) -> list[Image]:
    """Make images of no bytes that can be looked at."""
    return [
        Image(
            sha256=store.put(f"{harm} {number}".encode()),
            md5="0" * 32,
            post_id=f"bad:{number}",
            width=1,
            height=1,
            bytes=0,
            format="",
            phash="0" * 16,
        )
        for number in range(count)
    ]


def _strewn(images: Sequence[Image], bad: Sequence[Image]) -> list[Image]:
    """Put the bad ones among the others, evenly."""
    strewn = list(images)
    for number, one in enumerate(bad):
        strewn.insert(round((number + 0.5) * len(images) / len(bad)) + number, one)
    return strewn
