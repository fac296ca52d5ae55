"""Where the faces of an image are found: looks are cheap on a reduced picture, and a second opinion costs a window.

With two detectors the first proposes on the whole picture and the second judges each proposal in a small window round
it; what both see is `agreed`. One detector alone looks at the whole picture, again enlarged where small faces may hide,
and judges what it found a second time itself, mirrored. Boxes are given in pixels of the upright full-size image.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pipeline.detectors import Detector, Face, build
from pipeline.pixels import BadImage, Pixels, cut, decode, fit, resize, scale_to
from pipeline.records import Box, Detection, Image, Reason
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

_JUDGED_AT = 96  # pixels; side of a face's box when it is judged (design notes: precision 0.95, recall 0.84)
_MARGIN = 1.5  # side of the window round it, in sides of the box; the networks want to see some hair and neck
_SAME = 0.3  # overlap above which two boxes are of the same face
_INSIDE = 0.6  # share of the smaller box that lies in the larger one, above which they are of the same face
_WORTH_REVIEW = 5  # windows; what the judge does not confirm is shown to a person if the proposer is that sure
"""5 is the limit that scripts use with this cascade alone."""
_DOUBTED = 0.5  # factor on the score of what was proposed and not confirmed
_COARSE = 2  # the judge looks at the whole picture too, this many times smaller: cheap, and finds large faces
_CROWD = 2.5  # where a face is less than this many times the smallest that can be found, smaller ones may be near
_CLOSER = 2  # longer side of the second, closer look in sides of the first, at most


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectFaces:
    """Find the faces of each image; an image without one is dropped."""

    name: ClassVar[str] = "detect"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.ITEM

    detectors: tuple[str, ...] = ("lbpcascade", "animeface")  # one, or one that proposes and one that judges
    side: int = 640  # pixels; longer side of the picture that is looked at
    min_face: int = 48  # pixels of the image; smaller faces need not be found
    max_pixels: int = 100_000_000  # width times height
    workers: Workers = effect()  # noqa: RUF009 -- it gives a field

    def __post_init__(self) -> None:
        """Refuse what cannot be looked with.

        Raises:
            ValueError: Neither one nor two detectors are named.
        """
        if not 1 <= len(self.detectors) <= 2:
            raise ValueError(f"detectors {self.detectors}: one, or one that proposes and one that judges")

    def key(self, item: Image, /) -> str:
        """Name the image by its bytes."""
        return item.sha256

    def __call__(self, items: Iterable[Image], store: Store, /) -> Iterator[Outcome[Image, Detection]]:
        """Look at each image in some worker.

        Raises:
            DetectorError: A detector is missing, or blind.
            StoreError: The bytes of an image are not in the store.
        """
        look = functools.partial(_look, store, self.detectors, self.side, self.min_face, self.max_pixels)
        for image, seen in self.workers.map(look, items):
            match seen:
                case Crashed(detail):
                    yield Dropped(image, Reason.CRASHED, detail)
                case TimedOut(detail):
                    yield Dropped(image, Reason.TIMED_OUT, detail)
                case Dropped():
                    yield seen
                case ():
                    yield Dropped(image, Reason.NO_FACE)
                case _:
                    yield Kept(image, seen)


def _look(
    store: Store, detectors: tuple[str, ...], side: int, min_face: int, max_pixels: int, image: Image
) -> tuple[Detection, ...] | Dropped[Image]:
    """Find the faces of one image, in a worker."""
    first, *others = (_built(name) for name in detectors)
    try:
        picture_HWC = decode(store.get(image.sha256), max_pixels=max_pixels, at_least=side * _CLOSER)
    except BadImage as bad:
        return Dropped(image, bad.reason, bad.detail)
    smallest = max(1.0, min_face * picture_HWC.shape[1] / image.width)
    if others:
        found = look_together(picture_HWC, first, others[0], side)
    else:
        found = look_alone(picture_HWC, first, side, smallest)
    scale = image.width / picture_HWC.shape[1]
    return tuple(
        Detection(
            image_sha256=image.sha256,
            box=_inside(_scaled(one.face.box, scale), image.width, image.height),
            detector=one.detector,
            score=round(one.face.score, 4),
            agreed=one.agreed,
            hair=one.face.hair,
            eyes=one.face.eyes,
        )
        for one in sorted(found, key=lambda one: (one.face.box.top, one.face.box.left))
    )


_built = functools.cache(build)  # once for each worker


@dataclass(frozen=True, slots=True)
class Found:
    """A face, and who saw it."""

    face: Face
    detector: str
    agreed: bool = False


def look_together(picture_HWC: Pixels, proposer: Detector, judge: Detector, side: int) -> list[Found]:
    """Let *proposer* point at faces and *judge* say whether they are.

    What the judge confirms is agreed, and has the judge's box, score and colours. What it does not confirm is kept at
    half its score if the proposer is sure enough of it to show it to a person. The judge also looks at the whole
    picture, much reduced, for large faces that nobody proposed.

    Args:
        picture_HWC: RGB, uint8; longer side *side* or more, boxes come in its pixels.
        proposer: Quick on a whole picture.
        judge: Precise in a window.
        side: Longer side of the picture that *proposer* sees, in pixels.
    """
    proposals = _on_fitted(picture_HWC, proposer, side)
    found = []
    for face in proposals:
        confirmed = _judged(picture_HWC, face.box, judge)
        if confirmed:
            found.append(Found(confirmed, judge.name, agreed=True))
        elif face.neighbours is None or face.neighbours >= _WORTH_REVIEW:
            found.append(Found(replace(face, score=face.score * _DOUBTED), proposer.name))
    for face in _on_fitted(picture_HWC, judge, side // _COARSE):
        agreed = any(face.box.overlap(other.box) > _SAME for other in proposals)
        found.append(Found(_reconsidered(picture_HWC, face, judge), judge.name, agreed=agreed))
    return _distinct(found)


def look_alone(picture_HWC: Pixels, detector: Detector, side: int, smallest: float) -> list[Found]:
    """Let one detector find faces and judge each again.

    Args:
        picture_HWC: RGB, uint8; longer side *side* or more, boxes come in its pixels.
        detector: It finds, and judges.
        side: Longer side of the picture that it sees first, in pixels.
        smallest: Pixels of *picture_HWC*; where faces down to this size may have been missed, it looks closer.
    """
    faces = _on_fitted(picture_HWC, detector, side)
    longer = max(picture_HWC.shape[:2])
    limit = detector.smallest * longer / min(side, longer)
    crowded = not faces or min(face.box.width for face in faces) < limit * _CROWD
    if crowded and smallest < limit:
        closer = min(side * _CLOSER, round(longer * detector.smallest / smallest))
        faces += _seen_in(scale_to(picture_HWC, closer), picture_HWC, detector)
    return _distinct([Found(_reconsidered(picture_HWC, face, detector), detector.name) for face in faces])


def _on_fitted(picture_HWC: Pixels, detector: Detector, side: int) -> list[Face]:
    """Look at the whole picture with its longer side reduced to *side* pixels."""
    return _seen_in(fit(picture_HWC, side), picture_HWC, detector)


def _seen_in(scaled_HWC: Pixels, picture_HWC: Pixels, detector: Detector) -> list[Face]:
    """Look at a scaled copy of a picture; boxes come in pixels of *picture_HWC*."""
    scale = picture_HWC.shape[1] / scaled_HWC.shape[1]
    return [replace(face, box=_scaled(face.box, scale)) for face in detector.detect(scaled_HWC)]


def _judged(picture_HWC: Pixels, box: Box, judge: Detector, *, mirrored: bool = False) -> Face | None:
    """Look at one place with the face made `_JUDGED_AT` pixels large; give what is seen there, if anything."""
    window = _scaled_about_centre(box, _MARGIN)
    size = round(_JUDGED_AT * _MARGIN)
    seen_HWC = resize(cut(picture_HWC, window), size)
    if mirrored:
        seen_HWC = np.ascontiguousarray(seen_HWC[:, ::-1])
    scale = window.width / size
    faces = [
        replace(face, box=_moved(_scaled(_mirrored(face.box, size) if mirrored else face.box, scale), window))
        for face in judge.detect(seen_HWC)
    ]
    return max(
        (face for face in faces if face.box.overlap(box) > _SAME), key=lambda face: (face.score, face.box), default=None
    )


def _reconsidered(picture_HWC: Pixels, face: Face, judge: Detector) -> Face:
    """Give *face* the mean score of three looks: as found, in a window of its own, and that window mirrored."""
    again = [_judged(picture_HWC, face.box, judge, mirrored=mirrored) for mirrored in (False, True)]
    return replace(face, score=(face.score + sum(one.score for one in again if one)) / 3)


def _distinct(found: list[Found]) -> list[Found]:
    """Keep the surest of those that are of the same face."""
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.agreed, one.face.score, one.face.box), reverse=True):
        if not any(_same(one.face.box, other.face.box) for other in kept):
            kept.append(one)
    return kept


def _same(first: Box, second: Box) -> bool:
    overlap = first.overlap(second)
    common = overlap * (first.area + second.area) / (1 + overlap)
    return overlap > _SAME or common > _INSIDE * min(first.area, second.area)


def _scaled(box: Box, scale: float) -> Box:
    return Box(
        left=round(box.left * scale),
        top=round(box.top * scale),
        width=round(box.width * scale),
        height=round(box.height * scale),
    )


def _scaled_about_centre(box: Box, scale: float) -> Box:
    side = round(box.width * scale)
    return Box(
        left=round(box.left + (box.width - side) / 2),
        top=round(box.top + (box.height - side) / 2),
        width=side,
        height=side,
    )


def _moved(box: Box, origin: Box) -> Box:
    return replace(box, left=box.left + origin.left, top=box.top + origin.top)


def _mirrored(box: Box, width: int) -> Box:
    return replace(box, left=width - box.right)


def _inside(box: Box, width: int, height: int) -> Box:
    """Move a square into the image; one that is larger than the image is made smaller about its centre first."""
    side = min(box.width, width, height)
    left, top = round(box.left + (box.width - side) / 2), round(box.top + (box.height - side) / 2)
    return Box(left=max(0, min(left, width - side)), top=max(0, min(top, height - side)), width=side, height=side)
