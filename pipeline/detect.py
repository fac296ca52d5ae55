"""Where the faces of an image are found: looks are cheap on a reduced picture, and a second opinion costs a window.

With two detectors the first proposes on the whole picture and the second judges each proposal in a small window round
it; what both see is `agreed`. A detector that is alone, or finds a picture in which nothing is agreed on, looks at the
whole of it: first as it is, then closer where small faces may hide, then tilted where there seems to be none; and looks
again, in a mirror, at whatever it found. Boxes are given in pixels of the upright full-size image.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from pipeline.detectors import Detector, Face, build, named
from pipeline.pixels import BadImage, Picture, Pixels, cut, fit, resize, rotate, scale_to
from pipeline.records import Box, Detection, Image, Landmarks, Reason
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

Done = TypeVar("Done")

_JUDGED_AT = 72  # pixels; side of a proposed face when it is judged: as sure as at 96, in less time (`make bench`)
_MIRRORED_AT = 80  # pixels; what fools a network once rarely does so at another size in a mirror (bench: half of them)
_CERTAIN = 0.97  # the score of a look that needs no third
_MARGIN = 1.5  # side of the window round it, in sides of the box; the networks want to see some hair and neck
_SAME = 0.3  # overlap above which two boxes are of the same face
_INSIDE = 0.6  # share of the smaller box that lies in the larger one, above which they are of the same face
_WORTH_REVIEW = (
    5  # windows that agree, the limit of the usual scripts: a person is shown what the judge does not confirm
)
_DOUBTED = 0.5  # factor on the score of what was proposed and not confirmed
_CROWD = 1.5  # where a face is less than this many times the smallest that can be found, smaller ones may be near
_CLOSER = 2  # longer side of the closer look in sides of the first, at most
_TILTS = (-25.0, 25.0)  # degrees; upright, animeface loses every fifth drawn face at 35 degrees and half at 50


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
    version: ClassVar[int] = 2
    scope: ClassVar[Scope] = Scope.ITEM

    detectors: tuple[str, ...] = ("lbpcascade", "animeface")  # one, or one that proposes and one that judges
    side: int = 640  # pixels; longer side of the picture that is looked at
    min_face: int = 48  # pixels of the image; smaller faces need not be found
    max_pixels: int = 100_000_000  # width times height
    workers: Workers = effect()
    follow: Follow[Any] | None = field(default=None, compare=False, repr=False, metadata={"effect": True})

    def __post_init__(self) -> None:
        """Refuse what cannot be looked with, and name what is a file by what it holds: another file judges anew.

        Raises:
            ValueError: Neither one nor two detectors are named.
            UsageError: There is no such detector, or its file is not what it must be.
        """
        if not 1 <= len(self.detectors) <= 2:
            raise ValueError(f"detectors {self.detectors}: one, or one that proposes and one that judges")
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
        look = functools.partial(_look, store, self.detectors, self.side, self.min_face, self.max_pixels, do)
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


def _look(
    store: Store,
    detectors: tuple[str, ...],
    side: int,
    min_face: int,
    max_pixels: int,
    do: Callable[[Store, Pixels, tuple[Detection, ...]], Done] | None,
    image: Image,
) -> tuple[Kept[Image, Detection], Done | None] | Dropped[Image]:
    """Find the faces of one image, and do with them what follows, in a worker."""
    try:
        picture = Picture(store.get(image.sha256), max_pixels=max_pixels)
        faces = _faces(picture.reduced(side * _CLOSER), detectors, side, min_face, image)
    except BadImage as bad:
        return Dropped(image, bad.reason, bad.detail)
    if not faces:
        return Dropped(image, Reason.NO_FACE)
    done = None
    if do is not None:
        with suppress(BadImage):  # only in full: whoever looks at it next says so
            done = do(store, picture.full(), faces)
    return Kept(image, faces), done


def _faces(
    picture_HWC: Pixels, detectors: tuple[str, ...], side: int, min_face: int, image: Image
) -> tuple[Detection, ...]:
    """Find the faces of one image in a reduced copy of it."""
    first, *others = (_built(name) for name in detectors)
    smallest = max(1.0, min_face * picture_HWC.shape[1] / image.width)
    if others:
        found = look_together(picture_HWC, first, others[0], side, smallest)
    else:
        found = look_alone(picture_HWC, first, side, smallest)
    scale = image.width / picture_HWC.shape[1]
    return tuple(
        Detection(
            image_sha256=image.sha256,
            box=_inside(face.box, image.width, image.height),
            detector=one.detector,
            score=round(face.score, 4),
            agreed=one.agreed,
            hair=face.hair,
            eyes=face.eyes,
            skin=face.skin,
            landmarks=face.landmarks,
        )
        for one in sorted(found, key=lambda one: (one.face.box.top, one.face.box.left))
        for face in [_mapped(one.face, scale)]
    )


_built = functools.cache(build)  # once for each worker


@dataclass(frozen=True, slots=True)
class Found:
    """A face, and who saw it."""

    face: Face
    detector: str
    agreed: bool = False


def look_together(picture_HWC: Pixels, proposer: Detector, judge: Detector, side: int, smallest: float) -> list[Found]:
    """Let *proposer* point at faces and *judge* say whether they are.

    What the judge confirms is agreed, and has the judge's box, score and colours. What it does not confirm is kept at
    half its score if the proposer is sure enough of it to show it to a person. Where nothing is agreed on, the judge
    looks for itself.

    Args:
        picture_HWC: RGB, uint8; boxes come in its pixels.
        proposer: Quick on a whole picture.
        judge: Precise in a window.
        side: Longer side of the picture that the detectors see, in pixels.
        smallest: Smaller faces need not be found; pixels of *picture_HWC*.
    """
    found = []
    for face in _on_fitted(picture_HWC, proposer, side):
        confirmed = _judged(picture_HWC, face.box, judge, _JUDGED_AT)
        if confirmed:
            found.append(Found(confirmed, judge.name, agreed=True))
        elif face.neighbours is None or face.neighbours >= _WORTH_REVIEW:
            found.append(Found(replace(face, score=face.score * _DOUBTED), proposer.name))
    if not any(one.agreed for one in found):
        found += _weighed(picture_HWC, _on_fitted(picture_HWC, judge, side), judge, smallest)
    return _distinct(one for one in found if one.face.box.width >= smallest)


def look_alone(picture_HWC: Pixels, detector: Detector, side: int, smallest: float) -> list[Found]:
    """Let one detector find faces, and look at each again in a mirror; the score is the mean of both looks.

    Args:
        picture_HWC: RGB, uint8; boxes come in its pixels.
        detector: It finds, and judges.
        side: Longer side of the picture that it sees first, in pixels.
        smallest: Smaller faces need not be found; pixels of *picture_HWC*.
    """
    faces = _on_fitted(picture_HWC, detector, side)
    longer = max(picture_HWC.shape[:2])
    limit = detector.smallest * longer / min(side, longer)
    if smallest < limit and min((face.box.width for face in faces), default=0) < limit * _CROWD:
        closer = min(side * _CLOSER, math.ceil(longer * detector.smallest / smallest))
        faces += _seen_in(scale_to(picture_HWC, closer), picture_HWC, detector)
    if not faces:
        reduced_HWC = fit(picture_HWC, side // 2)
        faces = [face for tilt in _TILTS for face in _seen_tilted(reduced_HWC, picture_HWC, detector, tilt)]
        return _distinct(Found(replace(face, score=face.score * _DOUBTED), detector.name) for face in faces)
    return _weighed(picture_HWC, faces, detector, smallest)


def _weighed(picture_HWC: Pixels, faces: list[Face], judge: Detector, smallest: float) -> list[Found]:
    """Look again at each face that *judge* found, in a mirror."""
    found = _distinct(Found(face, judge.name) for face in faces if face.box.width >= smallest)
    return [replace(one, face=_reconsidered(picture_HWC, one.face, judge)) for one in found]


def _on_fitted(picture_HWC: Pixels, detector: Detector, side: int) -> list[Face]:
    """Look at the whole picture with its longer side reduced to *side* pixels."""
    return _seen_in(fit(picture_HWC, side), picture_HWC, detector)


def _seen_in(scaled_HWC: Pixels, picture_HWC: Pixels, detector: Detector) -> list[Face]:
    """Look at a scaled copy of a picture; boxes come in pixels of *picture_HWC*."""
    scale = picture_HWC.shape[1] / scaled_HWC.shape[1]
    return [_mapped(face, scale) for face in detector.detect(scaled_HWC)]


def _seen_tilted(reduced_HWC: Pixels, picture_HWC: Pixels, detector: Detector, tilt: float) -> list[Face]:
    """Look at a reduced copy turned by *tilt* degrees, clockwise as seen; squares turn back about their centres."""
    height, width = reduced_HWC.shape[:2]
    turn = np.array([[math.cos(r := math.radians(tilt)), math.sin(r)], [-math.sin(r), math.cos(r)]])
    faces = []
    for face in detector.detect(rotate(reduced_HWC, tilt)):
        off = np.array(
            [face.box.left + face.box.width / 2 - width / 2, face.box.top + face.box.height / 2 - height / 2]
        )
        x, y = turn @ off + (width / 2, height / 2)
        box = replace(face.box, left=round(x - face.box.width / 2), top=round(y - face.box.height / 2))
        faces.append(replace(face, box=_scaled(box, picture_HWC.shape[1] / width), landmarks=None))
    return faces


def _judged(picture_HWC: Pixels, box: Box, judge: Detector, face_side: int) -> Face | None:
    """Look at one place with the face made *face_side* pixels large; give what is seen there, if anything."""
    window = _about_centre(box, _MARGIN)
    size = round(face_side * _MARGIN)
    faces = judge.detect(resize(cut(picture_HWC, window), size))
    return _best_at(box, [_mapped(face, window.width / size, window.left, window.top) for face in faces])


def _reconsidered(picture_HWC: Pixels, face: Face, judge: Detector) -> Face:
    """Give *face* the mean score of two looks, as found and mirrored; of a third too, unless both were certain."""
    scores = [face.score, _mirrored_score(picture_HWC, face.box, judge)]
    if min(scores) < _CERTAIN:
        third = _judged(picture_HWC, face.box, judge, _JUDGED_AT)
        scores.append(third.score if third else 0.0)
    return replace(face, score=sum(scores) / len(scores))


def _mirrored_score(picture_HWC: Pixels, box: Box, judge: Detector) -> float:
    """Look at one place in a mirror; 0 when nothing is seen there."""
    size = round(_MIRRORED_AT * _MARGIN)
    mirrored_HWC = np.ascontiguousarray(resize(cut(picture_HWC, _about_centre(box, _MARGIN)), size)[:, ::-1])
    edge = (size - _MIRRORED_AT) // 2
    seen = _best_at(Box(left=edge, top=edge, width=_MIRRORED_AT, height=_MIRRORED_AT), judge.detect(mirrored_HWC))
    return seen.score if seen else 0.0


def _best_at(box: Box, faces: list[Face]) -> Face | None:
    there = [face for face in faces if face.box.overlap(box) > _SAME]
    return max(there, key=lambda face: (face.score, face.box), default=None)


def _distinct(found: Iterable[Found]) -> list[Found]:
    """Keep the surest of those of one face; of two as sure the smaller, for a whole body may pass for a face."""
    kept: list[Found] = []
    surest = sorted(found, key=lambda one: (-one.agreed, -round(one.face.score, 2), one.face.box.area, one.face.box))
    for one in surest:
        if not any(_same(one.face.box, other.face.box) for other in kept):
            kept.append(one)
    return kept


def _same(first: Box, second: Box) -> bool:
    overlap = first.overlap(second)
    common = overlap * (first.area + second.area) / (1 + overlap)
    return overlap > _SAME or common > _INSIDE * min(first.area, second.area)


def _mapped(face: Face, scale: float, left: int = 0, top: int = 0) -> Face:
    """Give a face in pixels of the picture that the one it was seen in is a part of, from (*left*, *top*) on."""
    box = _scaled(face.box, scale)
    box = replace(box, left=box.left + left, top=box.top + top)
    marks = face.landmarks and Landmarks(
        **{
            name: (round(x * scale) + left, round(y * scale) + top)
            for name, (x, y) in ((field.name, getattr(face.landmarks, field.name)) for field in fields(Landmarks))
        }
    )
    return replace(face, box=box, landmarks=marks)


def _scaled(box: Box, scale: float) -> Box:
    return Box(
        left=round(box.left * scale),
        top=round(box.top * scale),
        width=round(box.width * scale),
        height=round(box.height * scale),
    )


def _about_centre(box: Box, zoom: float) -> Box:
    side = round(box.width * zoom)
    left, top = round(box.left + (box.width - side) / 2), round(box.top + (box.height - side) / 2)
    return Box(left=left, top=top, width=side, height=side)


def _inside(box: Box, width: int, height: int) -> Box:
    """Move a square into the image; one that is larger than the image is made smaller about its centre first."""
    side = min(box.width, width, height)
    left, top = round(box.left + (box.width - side) / 2), round(box.top + (box.height - side) / 2)
    return Box(left=max(0, min(left, width - side)), top=max(0, min(top, height - side)), width=side, height=side)
