"""Where a square is cut out of the full-size image, upright if that is wished, and how good it is is measured."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipeline.colours import colours_of, lab_of
from pipeline.eyes import Place, eyes_of, look_up, tilt_of, usual_eyes
from pipeline.groups import hashes_of_parts
from pipeline.pixels import BadImage, Picture, Pixels, cut, cut_turned, encode_png, phash, resize
from pipeline.records import Box, Detection, FaceCrop, Reason
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

_MEASURED_AT = 128  # pixels a side; so that sharpness does not depend on the size of the crop


@dataclass(frozen=True, kw_only=True, slots=True)
class CropFaces:
    """Cut each detection out of its image; a window that the image cannot fill is dropped, and none is enlarged."""

    name: ClassVar[str] = "crop"
    version: ClassVar[int] = 4
    scope: ClassVar[Scope] = Scope.ITEM

    zoom: float = 1.5  # side of the window in sides of the face's box
    size: int = 256  # pixels; side of the crop
    align: str = "none"  # or "eyes": turned until the line of the eyes is level, where the landmarks make a face
    margin_policy: str = "shift"  # a window that leaves the image is moved inwards; or "pad", or "drop"
    max_padding: float = 0.25  # share of the window that may lie outside the image; nothing may with "drop"
    faces: str = "all"  # or "largest": one of each image
    max_pixels: int = 100_000_000  # width times height
    found_by: str = ""  # fingerprint of what found the faces: a crop holds what that said, and the largest is its word
    workers: Workers = effect()

    def key(self, item: Detection, /) -> str:
        """Name the detection by its image and place."""
        return item.id

    def __call__(self, items: Iterable[Detection], store: Store, /) -> Iterator[Outcome[Detection, FaceCrop]]:
        """Cut all neighbouring detections of one image in one worker, which decodes it once.

        Of an image the largest face is told last: what a kill leaves to be judged always holds it.

        Raises:
            StoreError: The bytes of an image are not in the store, or the crop cannot be written.
        """
        work = functools.partial(_cut_all, store, self._wishes, self.max_pixels)
        groups = (tuple(group) for _, group in itertools.groupby(items, key=lambda item: item.image_sha256))
        for group, result in self.workers.map(work, groups):
            match result:
                case Crashed(detail):
                    yield from (Dropped(item, Reason.CRASHED, detail) for item in group)
                case TimedOut(detail):
                    yield from (Dropped(item, Reason.TIMED_OUT, detail) for item in group)
                case _:
                    yield from result

    @property
    def cutter(self) -> Callable[[Store, Pixels, tuple[Detection, ...]], list[Outcome[Detection, FaceCrop]]]:
        """What cuts the faces of one image, for a worker that has its pixels at hand: the outcomes of this stage."""
        return functools.partial(_cut_from, self._wishes)

    @property
    def _wishes(self) -> _Wishes:
        return _Wishes(**{field.name: getattr(self, field.name) for field in dataclasses.fields(_Wishes)})


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wishes:
    """What a worker must know; the fields are those of `CropFaces`."""

    zoom: float
    size: int
    align: str
    margin_policy: str
    max_padding: float
    faces: str


def _cut_all(
    store: Store, wishes: _Wishes, max_pixels: int, detections: tuple[Detection, ...]
) -> list[Outcome[Detection, FaceCrop]]:
    """Cut detections of one image, in a worker."""
    try:
        picture = Picture(store.get(detections[0].image_sha256), max_pixels=max_pixels)
        return _cut_from(wishes, store, picture.full(), detections)
    except BadImage as bad:
        return [Dropped(item, bad.reason, bad.detail) for item in detections]


def _cut_from(
    wishes: _Wishes, store: Store, pixels_HWC: Pixels, detections: tuple[Detection, ...]
) -> list[Outcome[Detection, FaceCrop]]:
    if wishes.faces == "all":
        return [_cut_one(store, pixels_HWC, item, wishes) for item in detections]
    *others, largest = sorted(detections, key=lambda item: (item.box.area, item.score, item.box))
    said = f"{largest.box.width} px has the largest face"
    return [
        *(Dropped(item, Reason.NOT_LARGEST, f"{item.box.width} px, {said}") for item in others),
        _cut_one(store, pixels_HWC, largest, wishes),
    ]


def _cut_one(store: Store, pixels_HWC: Pixels, detection: Detection, wishes: _Wishes) -> Outcome[Detection, FaceCrop]:
    height, width = pixels_HWC.shape[:2]
    eyes = eyes_of(detection)
    face = max(detection.box.width, detection.box.height)
    turned = tilt_of(look_up(eyes, pixels_HWC, face)) if eyes and wishes.align == "eyes" else 0.0
    window = window_about(detection.box, wishes.zoom, turned)
    if wishes.margin_policy == "shift":
        window = shifted_inwards(window, width, height, detection.box)
    window = placed(window.side, *window.corner, window.turned)
    padded = outside(window, width, height)
    allowed = 0.0 if wishes.margin_policy == "drop" else wishes.max_padding
    if window.side < wishes.size:
        return Dropped(detection, Reason.TOO_SMALL, f"{window.side} px, the crop has {wishes.size}")
    if padded > allowed:
        return Dropped(detection, Reason.OUTSIDE, f"{padded:.3f} of the window, {allowed:g} is allowed")
    crop_HWC = crop_face(pixels_HWC, window, wishes.size)
    sharpness, contrast, chroma = measure(crop_HWC)
    scale = wishes.size / window.side
    places = [window.seen(place) for place in eyes or usual_eyes(detection.box)]
    colours = colours_of(
        crop_HWC,
        eyes=((places[0][0] * scale, places[0][1] * scale), (places[1][0] * scale, places[1][1] * scale)),
        face=face * scale,
    )
    crop = FaceCrop(
        sha256=store.put(encode_png(crop_HWC)),
        detection=detection,
        side=window.side,
        left=window.corner[0],
        top=window.corner[1],
        size=wishes.size,
        turned=turned,
        padded=round(padded, 4),
        phash=phash(crop_HWC),
        phashes=hashes_of_parts(crop_HWC),
        sharpness=sharpness,
        contrast=contrast,
        chroma=chroma,
        **dataclasses.asdict(colours),
    )
    return Kept(detection, (crop,))


@dataclass(frozen=True, slots=True)
class Square:
    """A square of an image, which may stand askew."""

    x: float  # of its middle; the first pixel of the image reaches from 0 to 1
    y: float
    side: int
    turned: float = 0.0  # degrees, clockwise as seen

    @property
    def corner(self) -> Place:
        """Where its upper left corner would be if it were not turned; to two decimals, of which a crop can be told."""
        return round(self.x - self.side / 2, 2), round(self.y - self.side / 2, 2)

    @property
    def direction(self) -> tuple[float, float]:
        """Cosine and sine of the turn."""
        return math.cos(math.radians(self.turned)), math.sin(math.radians(self.turned))

    @property
    def reach(self) -> float:
        """How far it goes from its middle to the left, right, up and down; in pixels."""
        return self.side / 2 * sum(map(abs, self.direction))

    @property
    def corners(self) -> list[Place]:
        """In the order in which one walks round it."""
        half = self.side / 2
        return [self.moved(x, y) for x, y in ((-half, -half), (half, -half), (half, half), (-half, half))]

    def moved(self, across: float, down: float) -> Place:
        """Say where one comes to from its middle, going along its sides."""
        cosine, sine = self.direction
        return self.x + across * cosine - down * sine, self.y + across * sine + down * cosine

    def seen(self, place: Place) -> Place:
        """Say where a place of the image lies, counted along its sides from its corner."""
        cosine, sine = self.direction
        x, y = place[0] - self.x, place[1] - self.y
        return self.side / 2 + x * cosine + y * sine, self.side / 2 - x * sine + y * cosine


def placed(side: int, left: float, top: float, turned: float) -> Square:
    """Put a square where a `FaceCrop`, or a row of the manifest, says: the same numbers cut the same pixels."""
    return Square(round(left + side / 2, 2), round(top + side / 2, 2), side, turned)


def window_about(box: Box, zoom: float, turned: float = 0.0) -> Square:
    """Put a square of *zoom* times the box's side about its centre; one that is not turned holds whole pixels.

    Args:
        box: A face; the longer side counts.
        zoom: Side of the window in sides of the box.
        turned: Degrees, clockwise as seen.
    """
    side = round(max(box.width, box.height) * zoom)
    left = round(box.left + (box.width - side) / 2)
    top = round(box.top + (box.height - side) / 2)
    return Square(left + side / 2, top + side / 2, side, turned)


def shifted_inwards(window: Square, width: int, height: int, box: Box) -> Square:
    """Move a window where it would leave the image, as far as the face stays in it.

    Where the image is smaller than the window, the window holds all of it, with the face as near its middle as that
    allows.

    Args:
        window: About *box*.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
        box: The face.
    """
    reach = window.reach
    x = _shifted(window.x - reach, width - 2 * reach) + reach
    y = _shifted(window.y - reach, height - 2 * reach) + reach
    if not window.turned:  # the box lies in the image, so it stays in the window
        return dataclasses.replace(window, x=x, y=y)
    room = max(0.0, (window.side - max(box.width, box.height)) / 2)
    across, down = (to - window.side / 2 for to in window.seen((x, y)))
    x, y = window.moved(max(-room, min(room, across)), max(-room, min(room, down)))
    return dataclasses.replace(window, x=x, y=y)


def _shifted(start: float, room: float) -> float:
    """Move the start of the window to between 0 and *room*, which is negative where the image is the smaller."""
    return max(min(0, room), min(start, max(0, room)))


def outside(window: Square, width: int, height: int) -> float:
    """Say which share of the window lies outside an image of that size, 0 to 1."""
    inside = window.corners
    for axis, sign, edge in ((0, 1, 0), (0, -1, -width), (1, 1, 0), (1, -1, -height)):
        inside = list(_clipped(inside, axis, sign, edge))
    doubled = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in itertools.pairwise([*inside, *inside[:1]]))
    return max(0.0, round(1 - doubled / 2 / window.side**2, 6))


def _clipped(corners: list[Place], axis: int, sign: int, edge: float) -> Iterator[Place]:
    """Cut off what lies beyond one edge (Sutherland and Hodgman, 1974): what is kept has sign * place >= edge."""
    for first, second in itertools.pairwise([*corners, *corners[:1]]):
        here, there = sign * first[axis] - edge, sign * second[axis] - edge
        if here >= 0:
            yield first
        if (here < 0) != (there < 0):
            share = here / (here - there)
            yield first[0] + share * (second[0] - first[0]), first[1] + share * (second[1] - first[1])


def crop_face(pixels_HWC: Pixels, window: Square, size: int) -> Pixels:
    """Cut *window* out of an image, upright, and resize it to a square.

    Args:
        pixels_HWC: RGB, uint8, 0 to 255.
        window: In pixels of *pixels_HWC*; what lies outside the image repeats its edge.
        size: Side of the result, in pixels.

    Returns:
        RGB, uint8, of shape (size, size, 3).

    Raises:
        ValueError: *window* does not touch the image.
    """
    height, width = pixels_HWC.shape[:2]
    if outside(window, width, height) >= 1:
        raise ValueError(f"{window} does not touch an image of {width} x {height}")
    if window.turned:
        return cut_turned(pixels_HWC, (window.x, window.y), window.side, window.turned, size)
    left, top = round(window.x - window.side / 2), round(window.y - window.side / 2)
    return resize(cut(pixels_HWC, Box(left=left, top=top, width=window.side, height=window.side)), size)


def measure(crop_HWC: Pixels) -> tuple[float, float, float]:
    """Measure sharpness, contrast and chroma, as `FaceCrop` states them, to 2 decimals.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., 2000); chroma is the mean of sqrt(a*² + b*²) in
    CIE Lab under D65.
    """
    small_HWC = resize(crop_HWC, _MEASURED_AT).astype(np.float64)
    grey_HW = small_HWC @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    middle = grey_HW[1:-1, 1:-1]
    laplacian_HW = grey_HW[:-2, 1:-1] + grey_HW[2:, 1:-1] + grey_HW[1:-1, :-2] + grey_HW[1:-1, 2:] - 4 * middle
    lab_HWC = lab_of(small_HWC)
    chroma = float(np.hypot(lab_HWC[..., 1], lab_HWC[..., 2]).mean())
    return round(float(laplacian_HW.var()), 2), round(float(grey_HW.std()), 2), round(chroma, 2)
