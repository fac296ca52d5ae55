"""Hides how pictures reach the page: only pixels that we have decoded and encoded again, never a scraped byte."""

from __future__ import annotations

import numpy as np

from pipeline.errors import StoreError
from pipeline.pixels import BadImage, Pixels, cut, decode, encode_as, encode_png, fit, resize
from pipeline.records import Box
from pipeline.store import Store

CONTEXT_SIDE = 1600  # pixels, longer side of a whole image on the page
CONTEXT_QUALITY = 88
MAX_PIXELS = 200_000_000


def context_jpeg(store: Store, image_sha256: str) -> bytes:
    """Give a whole image, at most `CONTEXT_SIDE` wide or high.

    Raises:
        StoreError: It is not there any more, or cannot be decoded.
    """
    pixels_HWC = _decoded(store, image_sha256, at_least=CONTEXT_SIDE)
    return encode_as(fit(pixels_HWC, CONTEXT_SIDE), "jpg", CONTEXT_QUALITY)


def cut_somewhere(store: Store, image_sha256: str, rng: np.random.Generator, size: int) -> tuple[bytes, Box] | None:
    """Cut a square out of an image where chance wants it, as the PNG of a crop; None where the image is too small.

    Raises:
        StoreError: The image is not there any more, or cannot be decoded.
    """
    pixels_HWC = _decoded(store, image_sha256)
    height, width = pixels_HWC.shape[:2]
    if min(height, width) < size:
        return None
    side = int(rng.integers(size, min(height, width) + 1))
    left, top = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
    box = Box(left=left, top=top, width=side, height=side)
    return encode_png(resize(cut(pixels_HWC, box), size)), box


def _decoded(store: Store, image_sha256: str, at_least: int | None = None) -> Pixels:
    try:
        return decode(store.get(image_sha256), max_pixels=MAX_PIXELS, at_least=at_least)
    except BadImage as error:
        raise StoreError(f"{image_sha256}: is no whole picture any more ({error}); run the build again") from error
