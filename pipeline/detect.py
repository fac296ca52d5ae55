"""Where the faces of an image are found: each is looked at in some worker, once, reduced as far as its faces allow.

How a picture is looked at is in `pipeline.look`, what a face is worth in `pipeline.score`. Boxes are given in pixels of
the upright full-size image.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pipeline import score
from pipeline.detectors import build, named
from pipeline.look import CLOSER, find, mapped
from pipeline.pixels import BadImage, Picture, Pixels
from pipeline.records import Box, Detection, Image, Reason
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

Done = TypeVar("Done")


@dataclass(frozen=True, slots=True)
class Follow(Generic[Done]):
    """What is done with an image whose faces are found, while its pixels are at hand: nobody need decode it again.

    It changes no outcome of the detection, but that of an image which a worker dies of while it does this. What is not
    told was not done, and is left to whoever asks for it.
    """

    do: Callable[[Store, Pixels, tuple[Detection, ...]], Done]  # in a worker, which imports it by name
    tell: Callable[[Done], None]  # here, before the outcome of the image is given


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectFaces:
    """Find the faces of each image; an image without one is dropped."""

    name: ClassVar[str] = "detect"
    version: ClassVar[int] = 4
    scope: ClassVar[Scope] = Scope.ITEM

    detectors: tuple[str, ...] = ("drawn_net", "lbpcascade", "animeface")  # the last judges what the others propose
    side: int = 512  # pixels; longer side of the picture that is looked at
    min_face: int = 48  # pixels of the image; smaller faces need not be found
    max_pixels: int = 100_000_000  # width times height
    model: score.Model | None = None  # None: the one that comes with kaoset for these detectors
    workers: Workers = effect()
    follow: Follow[Any] | None = field(default=None, compare=False, repr=False, metadata={"effect": True})

    def __post_init__(self) -> None:
        """Refuse what cannot be looked with, and name what is a file by what it holds: another file judges anew.

        Raises:
            ValueError: No detector is named, or one twice.
            UsageError: There is no such detector, or its file is not what it must be.
        """
        if not self.detectors or len(set(self.detectors)) < len(self.detectors):
            raise ValueError(f"detectors {self.detectors}: one that judges, and before it others that propose")
        if self.model is None:
            object.__setattr__(self, "model", score.shipped(self.detectors))
        object.__setattr__(self, "detectors", tuple(named(one) for one in self.detectors))

    def key(self, item: Image, /) -> str:
        """Name the image by its bytes."""
        return item.sha256

    def __call__(self, items: Iterable[Image], store: Store, /) -> Iterator[Outcome[Image, Detection]]:
        """Look at each image in some worker.

        Raises:
            DetectorError: A detector is missing, or blind.
            RecipeError: A detector's file is missing, or not what it must be.
            StoreError: The bytes of an image are not in the store.
        """
        do = None if self.follow is None else self.follow.do
        assert self.model is not None  # noqa: S101 -- __post_init__ has seen to it
        how = _How(self.detectors, self.model, self.side, self.min_face)
        look = functools.partial(_look, store, how, self.max_pixels, do)
        for image, seen in self.workers.map(look, items):
            match seen:
                case Crashed(detail):
                    yield Dropped(image, Reason.CRASHED, detail)
                case TimedOut(detail):
                    yield Dropped(image, Reason.TIMED_OUT, detail)
                case Dropped():
                    yield seen
                case found, done:
                    if self.follow is not None and done is not None:
                        self.follow.tell(done)
                    yield found


@dataclass(frozen=True, slots=True)
class _How:
    """How a worker looks."""

    detectors: tuple[str, ...]
    model: score.Model
    side: int
    min_face: int


def _look(
    store: Store,
    how: _How,
    max_pixels: int,
    do: Callable[[Store, Pixels, tuple[Detection, ...]], Done] | None,
    image: Image,
) -> tuple[Kept[Image, Detection], Done | None] | Dropped[Image]:
    """Find the faces of one image, and do with them what follows, in a worker."""
    try:
        picture = Picture(store.get(image.sha256), max_pixels=max_pixels)
        faces = _faces(picture.reduced(round(how.side * CLOSER)), how, image)
    except BadImage as bad:
        return Dropped(image, bad.reason, bad.detail)
    if not faces:
        return Dropped(image, Reason.NO_FACE)
    done = None
    if do is not None:
        with suppress(BadImage):  # only in full: whoever looks at it next says so
            done = do(store, picture.full(), faces)
    return Kept(image, faces), done


def _faces(picture_HWC: Pixels, how: _How, image: Image) -> tuple[Detection, ...]:
    """Find the faces of one image in a reduced copy of it."""
    scale = image.width / picture_HWC.shape[1]
    detectors = [_built(name) for name in how.detectors]
    found = find(picture_HWC, detectors, how.model, how.side, max(1.0, how.min_face / scale))
    return tuple(
        Detection(
            image_sha256=image.sha256,
            box=_inside(face.box, image.width, image.height),
            detector="+".join(one.detectors),
            score=round(face.score, 4),
            agreed=len(one.detectors) > 1,
            hair=face.hair,
            eyes=face.eyes,
            skin=face.skin,
            landmarks=face.landmarks,
            evidence=one.evidence,
        )
        for one in sorted(found, key=lambda one: (one.face.box.top, one.face.box.left))
        for face in [mapped(one.face, scale)]
    )


_built = functools.cache(build)  # once for each worker


def _inside(box: Box, width: int, height: int) -> Box:
    """Move a square into the image; one that is larger than the image is made smaller about its centre first."""
    side = min(box.width, width, height)
    left, top = round(box.left + (box.width - side) / 2), round(box.top + (box.height - side) / 2)
    return Box(left=max(0, min(left, width - side)), top=max(0, min(top, height - side)), width=side, height=side)
