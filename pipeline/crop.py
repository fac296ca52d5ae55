"""Where a square is cut out of the full-size image, and how good it is is measured."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipeline.pixels import BadImage, Picture, Pixels, cut, encode_png, phash, resize
from pipeline.records import Box, Detection, FaceCrop, Reason
from pipeline.stage import Dropped, Kept, Outcome, Scope, effect
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

_MEASURED_AT = 128  # pixels a side; so that sharpness does not depend on the size of the crop


@dataclass(frozen=True, kw_only=True, slots=True)
class CropFaces:
    """Cut each detection out of its image; a window that the image cannot fill is dropped, and none is enlarged."""

    name: ClassVar[str] = "crop"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.ITEM

    zoom: float = 1.5  # side of the window in sides of the face's box
    size: int = 256  # pixels; side of the crop
    max_padding: float = 0.25  # share of the window that may lie outside the image
    max_pixels: int = 100_000_000  # width times height
    workers: Workers = effect()

    def key(self, item: Detection, /) -> str:
        """Name the detection by its image and place."""
        return item.id

    def __call__(self, items: Iterable[Detection], store: Store, /) -> Iterator[Outcome[Detection, FaceCrop]]:
        """Cut all neighbouring detections of one image in one worker, which decodes it once.

        Raises:
            StoreError: The bytes of an image are not in the store, or the crop cannot be written.
        """
        work = functools.partial(_cut_all, store, self.zoom, self.size, self.max_padding, self.max_pixels)
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
        return functools.partial(_cut_from, self.zoom, self.size, self.max_padding)


def _cut_all(
    store: Store, zoom: float, size: int, max_padding: float, max_pixels: int, detections: tuple[Detection, ...]
) -> list[Outcome[Detection, FaceCrop]]:
    """Cut detections of one image, in a worker."""
    try:
        picture = Picture(store.get(detections[0].image_sha256), max_pixels=max_pixels)
        return _cut_from(zoom, size, max_padding, store, picture.full(), detections)
    except BadImage as bad:
        return [Dropped(item, bad.reason, bad.detail) for item in detections]


def _cut_from(
    zoom: float, size: int, max_padding: float, store: Store, pixels_HWC: Pixels, detections: tuple[Detection, ...]
) -> list[Outcome[Detection, FaceCrop]]:
    return [_cut_one(store, pixels_HWC, item, zoom, size, max_padding) for item in detections]


def _cut_one(
    store: Store, pixels_HWC: Pixels, detection: Detection, zoom: float, size: int, max_padding: float
) -> Outcome[Detection, FaceCrop]:
    height, width = pixels_HWC.shape[:2]
    window = window_about(detection.box, zoom, width, height)
    padded = outside(window, width, height)
    if window.width < size:
        return Dropped(detection, Reason.TOO_SMALL, f"{window.width} px, the crop has {size}")
    if padded > max_padding:
        return Dropped(detection, Reason.OUTSIDE, f"{padded:.3f} of the window, {max_padding:g} is allowed")
    crop_HWC = crop_face(pixels_HWC, window, size)
    data = encode_png(crop_HWC)
    sharpness, contrast, chroma = measure(crop_HWC)
    crop = FaceCrop(
        sha256=store.put(data),
        detection=detection,
        side=window.width,
        size=size,
        padded=round(padded, 4),
        phash=phash(crop_HWC),
        sharpness=sharpness,
        contrast=contrast,
        chroma=chroma,
    )
    return Kept(detection, (crop,))


def window_about(box: Box, zoom: float, width: int, height: int) -> Box:
    """Put a square of *zoom* times the box's side about its centre, moved inwards where it would leave the image.

    Where the image is smaller than the window, the window holds all of it, with the face as near its middle as that
    allows.

    Args:
        box: A face; the longer side counts.
        zoom: Side of the window in sides of the box.
        width: Of the image, in pixels.
        height: Of the image, in pixels.
    """
    side = round(max(box.width, box.height) * zoom)
    left = round(box.left + (box.width - side) / 2)
    top = round(box.top + (box.height - side) / 2)
    return Box(left=_shifted(left, width - side), top=_shifted(top, height - side), width=side, height=side)


def _shifted(start: int, room: int) -> int:
    """Move the start of the window to between 0 and *room*, which is negative where the image is the smaller."""
    return max(min(0, room), min(start, max(0, room)))


def outside(window: Box, width: int, height: int) -> float:
    """Say which share of the window lies outside an image of that size, 0 to 1."""
    across = min(window.right, width) - max(window.left, 0)
    down = min(window.bottom, height) - max(window.top, 0)
    return 1 - max(0, across) * max(0, down) / window.area


def crop_face(pixels_HWC: Pixels, window: Box, size: int) -> Pixels:
    """Cut *window* out of an image and resize it to a square.

    Args:
        pixels_HWC: RGB, uint8, 0 to 255.
        window: In pixels of *pixels_HWC*; what lies outside the image repeats its edge.
        size: Side of the result, in pixels.

    Returns:
        RGB, uint8, of shape (size, size, 3).

    Raises:
        ValueError: *window* is not square, or does not touch the image.
    """
    height, width = pixels_HWC.shape[:2]
    if window.width != window.height or outside(window, width, height) >= 1:
        raise ValueError(f"{window} is not a square that touches an image of {width} x {height}")
    return resize(cut(pixels_HWC, window), size)


def measure(crop_HWC: Pixels) -> tuple[float, float, float]:
    """Measure sharpness, contrast and chroma, as `FaceCrop` states them, to 2 decimals.

    Sharpness is the variance of the Laplacian (Pech-Pacheco et al., 2000); chroma is the mean of sqrt(a*² + b*²) in
    CIE Lab under D65.
    """
    small_HWC = resize(crop_HWC, _MEASURED_AT).astype(np.float64)
    grey_HW = small_HWC @ np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
    middle = grey_HW[1:-1, 1:-1]
    laplacian_HW = grey_HW[:-2, 1:-1] + grey_HW[2:, 1:-1] + grey_HW[1:-1, :-2] + grey_HW[1:-1, 2:] - 4 * middle
    return round(float(laplacian_HW.var()), 2), round(float(grey_HW.std()), 2), round(_chroma(small_HWC), 2)


_XYZ_OF_RGB = np.array(  # IEC 61966-2-1 (sRGB), divided by the D65 white
    [
        [0.4124564 / 0.95047, 0.3575761 / 0.95047, 0.1804375 / 0.95047],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339 / 1.08883, 0.1191920 / 1.08883, 0.9503041 / 1.08883],
    ]
)


def _chroma(pixels_HWC: NDArray[np.float64]) -> float:
    shade = pixels_HWC / 255
    linear = np.where(shade <= 0.04045, shade / 12.92, ((shade + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ_OF_RGB.T
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return float(np.hypot(500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])).mean())
