"""Where hostile bytes become upright sRGB pixels, and pixels become bytes of our own making."""

from __future__ import annotations

import functools
import io
import math
import re
import struct
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from pipeline.errors import StoreError
from pipeline.records import Box, Reason

Pixels = NDArray[np.uint8]

# Every caller states its own limit, and it is checked on the header before a row is decoded; Pillow's own guard would
# only add a warning below 179 megapixels and an exception above.
Image.MAX_IMAGE_PIXELS = None
# What Pillow grumbles about (odd metadata) is either harmless to the pixels or ends as BadImage.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# Formats in which a second frame makes a film; in TIFF and MPO it is another page or another view.
_FILMS = frozenset({"GIF", "PNG", "WEBP", "AVIF"})

# A panorama, or a page to be scrolled: reduced to what detectors look at, nothing is left of its faces.
_STRIP, _NARROW = 10_000, 4  # pixels of the longer side, from which it may be no more than so many times the other

_SIGNATURES: tuple[tuple[int, bytes], ...] = (
    (0, b"\xff\xd8\xff"),
    (0, b"\x89PNG\r\n\x1a\n"),
    (8, b"WEBP"),
    (0, b"GIF8"),
    (0, b"BM"),
    (0, b"II*\x00"),
    (0, b"MM\x00*"),
    (4, b"ftypavi"),
    (4, b"ftypmif1"),
)

# How a whole file ends; RIFF and AVIF state their lengths instead.
_ENDINGS: dict[bytes, bytes] = {b"\xff\xd8\xff": b"\xff\xd9", b"\x89PNG": b"IEND", b"GIF8": b"\x3b"}

# Pillow's readers raise nearly anything on bytes made to hurt them (found by fuzzing; tests/test_pixels.py).
_HOSTILE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    Image.DecompressionBombError,
    ImageCms.PyCMSError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    UserWarning,
    ValueError,
    struct.error,
    zlib.error,
)

_UPRIGHT: dict[int, Image.Transpose] = {  # EXIF 2.32, tag 0x0112
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = frozenset({5, 6, 7, 8})

_SRGB = ImageCms.createProfile("sRGB")

# A progressive JPEG has about ten scans. Each is one more pass over all pixels, and 1500 fit into some hundred kB.
_MAX_SCANS = 100
_MARKER = re.compile(rb"\xff+([^\x00\xff])")  # ITU-T T.81, B.1.1.2

_BAND = 256  # rows

_PHASH_SIDE = 256  # pixels; the hash itself looks at 32 x 32, so the coarsest JPEG reduction will do


class BadImage(Exception):  # noqa: N818 -- bad data is no error of ours: it ends as Dropped(item, reason, detail)
    """These bytes are not a still picture that can be used.

    Attributes:
        reason: EMPTY, NOT_AN_IMAGE, TOO_MANY_PIXELS, ANIMATED, TRUNCATED or CORRUPT.
        detail: For people; the same for the same bytes.
    """

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[BadImage], tuple[Reason, str]]:
        """Pickle it by what made it, for a worker that says so to its parent."""
        return type(self), (self.reason, self.detail)


class TooHungry(BadImage):
    """These bytes make their decoder ask for more memory than it gets; whoever has a worker lets that worker judge."""


@dataclass(frozen=True, slots=True)
class Still:
    """What a picture is, known once its last row has been decoded."""

    format: str  # JPEG, PNG, WEBP, GIF, BMP, TIFF or AVIF
    width: int  # pixels, upright
    height: int
    phash: str  # 64 bits, 16 hexadecimal digits
    phashes: tuple[str, ...] = ()  # of parts of it, if they were asked for


def inspect(data: bytes, *, max_pixels: int, parts: Callable[[Pixels], tuple[str, ...]] | None = None) -> Still:
    """Check that *data* is a whole still picture, and say which.

    Args:
        data: A file, as it came.
        max_pixels: Width times height; larger pictures are refused by their header, before a row is decoded.
        parts: Hashes parts of it.

    Raises:
        BadImage: It is not one.
    """
    image = _open(data, max_pixels)
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    width, height = image.size
    # One name again: the first hash loads SciPy, whose OpenBLAS loops for ever where it gets no memory.
    image = _whole(image, data, _PHASH_SIDE)
    image, turned = _finished(image, data, _PHASH_SIDE)
    if turned:
        width, height = height, width
    phashes = () if parts is None else parts(_array(image))
    return Still(kind, width, height, str(imagehash.phash(image)), phashes)


def inspect_file(
    path: Path, *, max_pixels: int, parts: Callable[[Pixels], tuple[str, ...]] | None = None
) -> Still | BadImage:
    """Give what `inspect` gives or raises, for a file; for a worker, which a decoder may crash.

    Raises:
        MemoryError: The picture, or this process, takes too much.
        StoreError: The file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror}); check the data folder") from error
    try:
        return inspect(data, max_pixels=max_pixels, parts=parts)
    except TooHungry as hungry:
        raise MemoryError(hungry.detail) from None
    except BadImage as bad:
        return bad


class Picture:
    """A still picture that is looked at reduced, and in full where that pays, and decoded twice only if that is faster.

    It is for workers: where memory runs out, that is said as it is.

    Args:
        data: A file, as it came.
        max_pixels: Width times height; larger pictures are refused by their header.

    Raises:
        BadImage: By its methods; it is not a whole still picture.
        MemoryError: By its methods; the picture, or this process, takes too much.
    """

    def __init__(self, data: bytes, *, max_pixels: int) -> None:
        self._data, self._max_pixels = data, max_pixels
        self._whole: Image.Image | None = None
        self._full_HWC: Pixels | None = None

    def reduced(self, at_least: int) -> Pixels:
        """Give what `decode` gives with *at_least*."""
        with _hungry():
            image = _open(self._data, self._max_pixels)
            size = image.size
            image = _whole(image, self._data, at_least)
            drafted = image.size != size
            pixels_HWC = _array(_finished(image, self._data, at_least)[0])
        if not drafted and _factor(size, at_least) == 1:
            self._full_HWC = pixels_HWC
        elif not drafted:
            self._whole = image
        return pixels_HWC

    def full(self) -> Pixels:
        """Give what `decode` gives."""
        if self._full_HWC is None:
            with _hungry():
                image = self._whole or _whole(_open(self._data, self._max_pixels), self._data, None)
                self._full_HWC, self._whole = _array(_finished(image, self._data, None)[0]), None
        return self._full_HWC


@contextmanager
def _hungry() -> Iterator[None]:
    try:
        yield
    except TooHungry as hungry:
        raise MemoryError(hungry.detail) from None


def decode(data: bytes, *, max_pixels: int, at_least: int | None = None) -> Pixels:
    """Decode a still picture: upright, in sRGB, over white where it is transparent.

    Args:
        data: A file, as it came.
        max_pixels: Width times height; larger pictures are refused by their header.
        at_least: The longer side may come reduced, by a whole factor and much faster, but not below this many pixels.

    Returns:
        RGB, uint8, of shape (height, width, 3).

    Raises:
        BadImage: It is not a whole still picture.
    """
    image = _whole(_open(data, max_pixels), data, at_least)
    return _array(_finished(image, data, at_least)[0])


def resize(pixels_HWC: Pixels, size: int) -> Pixels:
    """Resize to a square of *size* pixels a side, antialiased, in integer arithmetic: the same bytes on every machine.

    Args:
        pixels_HWC: RGB, uint8.
        size: Side of the result, in pixels.

    Returns:
        RGB, uint8, of shape (size, size, 3).
    """
    return _resized(pixels_HWC, size, size)


def fit(pixels_HWC: Pixels, side: int) -> Pixels:
    """Reduce a picture so that its longer side has *side* pixels; a smaller one comes back as it is.

    Returns:
        RGB, uint8, with the proportions of *pixels_HWC* to within half a pixel.
    """
    return pixels_HWC if max(pixels_HWC.shape[:2]) <= side else scale_to(pixels_HWC, side)


def scale_to(pixels_HWC: Pixels, side: int) -> Pixels:
    """Reduce or enlarge a picture so that its longer side has *side* pixels.

    Returns:
        RGB, uint8, with the proportions of *pixels_HWC* to within half a pixel.
    """
    height, width = pixels_HWC.shape[:2]
    longer = max(height, width)
    scaled = max(1, round(width * side / longer)), max(1, round(height * side / longer))
    times = min(longer // side, height, width)
    if times >= 2:  # by whole numbers first: a bilinear filter would step over pixels
        whole_HWC = pixels_HWC[: height // times * times, : width // times * times]
        pixels_HWC = _made(cv2.resize(whole_HWC, (width // times, height // times), interpolation=cv2.INTER_AREA))
    # Detectors see no less in a bilinear picture than in a Lanczos one, and OpenCV's exact one, which is whole-number
    # arithmetic as Pillow's is, is made in a fifth of the time of that.
    return _made(cv2.resize(pixels_HWC, scaled, interpolation=cv2.INTER_LINEAR_EXACT))


def _made(pixels: object) -> Pixels:
    """Tell the type checker what OpenCV gives."""
    return np.asarray(pixels, np.uint8)


def cut(pixels_HWC: Pixels, window: Box) -> Pixels:
    """Cut *window* out of a picture; what lies outside the picture repeats its edge. It may be a view of the picture.

    Returns:
        RGB, uint8, of the window's height and width.
    """
    height, width = pixels_HWC.shape[:2]
    if window.left >= 0 and window.top >= 0 and window.right <= width and window.bottom <= height:
        return pixels_HWC[window.top : window.bottom, window.left : window.right]
    top, rows, above = _held(window.top, window.height, height)
    left, columns, before = _held(window.left, window.width, width)
    below, behind = window.height - rows - above, window.width - columns - before
    part_HWC = pixels_HWC[top : top + rows, left : left + columns]
    return _made(cv2.copyMakeBorder(part_HWC, above, below, before, behind, cv2.BORDER_REPLICATE))


def _held(start: int, length: int, whole: int) -> tuple[int, int, int]:
    """Say which part of a line, from 0 to *whole*, a stretch of it holds: its start, its length, and what lies before.

    A stretch that lies beyond one end holds the last pixel there.
    """
    first = min(max(start, 0), whole - 1)
    count = max(1, min(start + length, whole) - first)
    return first, count, min(max(0, first - start), length - count)


def rotate(pixels_HWC: Pixels, degrees: float) -> Pixels:
    """Turn a picture about its middle, clockwise as seen; it keeps its size, and the corners that open are grey."""
    turned = Image.fromarray(pixels_HWC).rotate(-degrees, Image.Resampling.BILINEAR, fillcolor=(128, 128, 128))
    return np.array(turned)


def cut_turned(pixels_HWC: Pixels, middle: tuple[float, float], side: float, degrees: float, size: int) -> Pixels:
    """Cut a square that stands askew out of a picture, upright: turned and reduced at once, each pixel made once.

    The kernel is the cubic of Keys (1981) with a = -1/2, widened where the square is reduced, as Pillow's BICUBIC is;
    whole pixels are averaged first where it would be wide, as Pillow's `reducing_gap` has it. Coordinates, weights and
    sums are whole numbers: the same bytes on every machine.

    Args:
        pixels_HWC: RGB, uint8; what lies outside the picture repeats its edge.
        middle: Of the square, x and y, in pixels; the first pixel reaches from 0 to 1.
        side: Of the square, in pixels.
        degrees: By which the square is turned, clockwise as seen; it comes back turned the other way.
        size: Side of the result, in pixels.

    Returns:
        RGB, uint8, of shape (size, size, 3).
    """
    step = side / size
    whole = max(1, int(step / _STEEPEST))
    reach = whole * (math.ceil(side * 0.71 / whole) + 8)  # half a diagonal, and the kernel
    left, top = math.floor(middle[0]) - reach, math.floor(middle[1]) - reach
    around_HWC = _averaged(pixels_HWC, Box(left=left, top=top, width=2 * reach, height=2 * reach), whole)
    step /= whole
    across, down = (round(way * step * _ONE) for way in _direction(degrees))
    odd = 2 * np.arange(size, dtype=np.int64) + 1 - size  # twice the distance from the middle
    start_x, start_y = (round(at * _ONE / whole) - _ONE // 2 for at in (middle[0] - left, middle[1] - top))
    out_HWC = np.empty((size, size, 3), np.uint8)
    for first in range(0, size, _ROWS):
        rows = odd[first : first + _ROWS, None]
        x = start_x + (odd * across - rows * down) // 2
        y = start_y + (odd * down + rows * across) // 2
        out_HWC[first : first + _ROWS] = _sampled(around_HWC, x.ravel(), y.ravel(), step).reshape(-1, size, 3)
    return out_HWC


def _averaged(pixels_HWC: Pixels, window: Box, whole: int) -> Pixels:
    """Cut *window* out and average squares of *whole* pixels, in bands: all of it may be larger than the picture."""
    if whole == 1:
        return cut(pixels_HWC, window)
    bands = range(window.top, window.bottom, rows := whole * max(1, _BAND // whole))
    heights = (min(rows, window.bottom - top) for top in bands)
    return np.concatenate(
        [
            np.array(Image.fromarray(cut(pixels_HWC, replace(window, top=top, height=height))).reduce(whole))
            for top, height in zip(bands, heights, strict=True)
        ]
    )


_ONE = 1 << 16  # fixed point: one pixel
_PHASES = 256  # places between two pixels that have weights of their own
_WEIGHT = 1 << 12  # fixed point: the sum of the weights in a row
_ROWS = 64  # of what is made at once
_STEEPEST = 1.5  # pixels a pixel, above which whole pixels are averaged first


def _direction(degrees: float) -> tuple[float, float]:
    """Cosine and sine, to nine digits: what a library does with the last one is its own."""
    return round(math.cos(math.radians(degrees)), 9), round(math.sin(math.radians(degrees)), 9)


def _sampled(pixels_HWC: Pixels, x: NDArray[np.int64], y: NDArray[np.int64], step: float) -> Pixels:
    """Weigh the pixels around each place (fixed point, from the middle of the first pixel), one tap after the other."""
    width = pixels_HWC.shape[1]
    weights, first = _cubic(round(step, 6))
    flat = pixels_HWC.reshape(-1, 3)
    corner = (y // _ONE + first) * width + x // _ONE + first
    across, down = (weights.take(at % _ONE * _PHASES // _ONE, axis=1)[..., None] for at in (x, y))
    total = np.zeros((len(x), 3), np.int32)
    for row in range(len(weights)):
        line = np.zeros((len(x), 3), np.int32)
        for column in range(len(weights)):
            line += flat[row * width + column :].take(corner, axis=0) * across[column]
        total += (line >> 4) * down[row]
    unit = _WEIGHT * _WEIGHT >> 4
    return ((total + unit // 2) // unit).clip(0, 255).astype(np.uint8)


@functools.cache
def _cubic(step: float) -> tuple[NDArray[np.int32], int]:
    """Give the weights by tap and phase, and where the first tap lies, counted from the pixel."""
    wide = max(1.0, step)
    reach = math.ceil(2 * wide)
    rows = []
    for phase in range(_PHASES):
        near = [_keys(abs(tap - (phase + 0.5) / _PHASES) / wide) for tap in range(1 - reach, reach + 1)]
        row = [round(one / sum(near) * _WEIGHT) for one in near]
        row[reach - 1] += _WEIGHT - sum(row)  # even colour stays what it is
        rows.append(row)
    return np.array(rows, np.int32).T.copy(), 1 - reach


def _keys(x: float) -> float:
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    return ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def phash(pixels_HWC: Pixels) -> str:
    """Hash what a picture looks like: 64 bits as 16 hexadecimal digits; alike pictures differ in few bits."""
    return str(imagehash.phash(Image.fromarray(pixels_HWC)))


def encode_png(pixels_HWC: Pixels) -> bytes:
    """Write a PNG without metadata; the same pixels give the same bytes, whatever Pillow is installed.

    Crops are named by the SHA-256 of these bytes. Pillow brings a deflate of its own that changes with its security
    releases and would rename them all, so the file is put together here, over the standard library's zlib.

    Args:
        pixels_HWC: RGB, uint8.
    """
    height, width = pixels_HWC.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits a channel, RGB, not interlaced
    body = zlib.compress(_filtered(pixels_HWC), 6)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def encode_as(pixels_HWC: Pixels, kind: str, quality: int) -> bytes:
    """Write a file that loses something, without metadata or profile, which means sRGB; one Pillow, the same bytes.

    Args:
        pixels_HWC: RGB, uint8.
        kind: ``jpg`` (colours at full resolution, for drawn lines suffer first) or ``webp``.
        quality: 1 to 100.
    """
    file = io.BytesIO()
    if kind == "jpg":
        Image.fromarray(pixels_HWC).save(file, "JPEG", quality=quality, subsampling=0, optimize=True)
    else:
        Image.fromarray(pixels_HWC).save(file, "WEBP", quality=quality, method=4)
    return file.getvalue()


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _filtered(pixels_HWC: Pixels) -> bytes:
    """Apply to each row the PNG filter that leaves the least (PNG specification, 12.8): none, sub, up or average."""
    height, width = pixels_HWC.shape[:2]
    rows = pixels_HWC.astype(np.int16).reshape(height, width * 3)
    left = np.zeros_like(rows)
    left[:, 3:] = rows[:, :-3]
    above = np.zeros_like(rows)
    above[1:] = rows[:-1]
    ways = np.stack([rows, rows - left, rows - above, rows - (left + above) // 2]).astype(np.uint8)
    leftover = np.minimum(ways, 256 - ways.astype(np.int16)).sum(axis=2, dtype=np.int64)
    best = leftover.argmin(axis=0)
    chosen = ways[best, np.arange(height)]
    return np.concatenate([best[:, None].astype(np.uint8), chosen], axis=1).tobytes()


def _resized(pixels_HWC: Pixels, width: int, height: int) -> Pixels:
    # The gap lets Pillow average whole pixels first: as good to the eye, and several times faster on a large window.
    image = Image.fromarray(pixels_HWC).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return np.array(image)


def _open(data: bytes, max_pixels: int) -> Image.Image:
    """Read the header, and refuse what it already gives away."""
    if not data:
        raise BadImage(Reason.EMPTY, "the file has no bytes")
    if not any(data.startswith(mark, offset) for offset, mark in _SIGNATURES):
        raise BadImage(Reason.NOT_AN_IMAGE, f"starts with {data[:12]!r}")
    try:
        image = Image.open(io.BytesIO(data), formats=_FORMATS)
        film = image.format in _FILMS and bool(getattr(image, "is_animated", False))
    except _HOSTILE as error:
        raise _spoilt(data, error) from None
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(Reason.TOO_MANY_PIXELS, f"{width} x {height} is more than {max_pixels} pixels")
    if max(width, height) >= max(_STRIP, _NARROW * min(width, height)):
        raise BadImage(Reason.TOO_MANY_PIXELS, f"{width} x {height} is a strip, of which no face would be left")
    if film:
        raise BadImage(Reason.ANIMATED, "has more than one frame")
    if image.format in {"JPEG", "MPO"} and _has_too_many_scans(data):
        raise BadImage(Reason.CORRUPT, f"has more than {_MAX_SCANS} scans")
    return image


def _has_too_many_scans(data: bytes) -> bool:
    """Count the scans of a JPEG up to its end, without decoding one."""
    if data.count(b"\xff\xda") <= _MAX_SCANS:
        return False
    scans, at = 0, 0  # what looks like a scan may be chance in metadata, or in what a telephone puts behind the picture
    while scans <= _MAX_SCANS and (found := _MARKER.search(data, at)):
        at = found.end()
        marker = found[1][0]
        if marker == 0xD9:  # end of the image
            return False
        scans += marker == 0xDA
        if not (0xD0 <= marker <= 0xD8 or marker == 0x01):  # all others state their length
            at += int.from_bytes(data[at : at + 2], "big")
    return scans > _MAX_SCANS


def _whole(image: Image.Image, data: bytes, at_least: int | None) -> Image.Image:
    """Decode to the last row; a JPEG reduced by its decoder where it may be."""
    try:
        if at_least is not None:
            longer = max(image.size)
            width, height = (max(1, side * at_least // longer) for side in image.size)
            image.draft(None, (width, height))
        image.load()
    except _HOSTILE as error:
        raise _spoilt(data, error) from None
    return image


def _finished(image: Image.Image, data: bytes, at_least: int | None) -> tuple[Image.Image, bool]:
    """Make upright sRGB of what was decoded; say also whether the picture lay on its side."""
    try:
        turn, profile = _orientation(image), image.info.get("icc_profile")
        # One name for all of them: what has been turned into something else is let go.
        image = _reduced(_eight_bits(image), at_least)
        image = _in_srgb(image, profile)
        image = _over_white(image)
    except _HOSTILE as error:
        raise _spoilt(data, error) from None
    if turn in _UPRIGHT:
        image = image.transpose(_UPRIGHT[turn])
    return image, turn in _ON_ITS_SIDE


def _array(image: Image.Image) -> Pixels:
    pixels_HWC = np.empty((image.height, image.width, 3), np.uint8)
    for top, band in _bands(image):
        pixels_HWC[top : top + _BAND] = np.asarray(band)
    return pixels_HWC


def _spoilt(data: bytes, error: Exception) -> BadImage:
    """Tell a picture that was cut off from one that is broken inside."""
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return TooHungry(Reason.CORRUPT, "takes too much memory")
    if isinstance(error, Image.DecompressionBombError):
        return BadImage(Reason.TOO_MANY_PIXELS, str(error))
    detail = "does not decode" if " at 0x" in str(error) else f"{type(error).__name__}: {error}"
    cut = "truncated" in str(error).lower() or isinstance(error, EOFError) or _ends_early(data)
    return BadImage(Reason.TRUNCATED if cut else Reason.CORRUPT, detail)


def _ends_early(data: bytes) -> bool:
    if data.startswith(b"RIFF"):
        return int.from_bytes(data[4:8], "little") + 8 > len(data)
    if data.startswith(b"ftyp", 4):
        return _boxes_end(data) > len(data)
    return any(data.startswith(start) and end not in data[-1024:] for start, end in _ENDINGS.items())


def _boxes_end(data: bytes) -> int:
    """Follow the top-level boxes of an AVIF (ISO/IEC 14496-12, 4.2) to where the last of them says it ends."""
    at = 0
    while 0 <= at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if size < 8:  # 0 means to the end of the file; 1, a 64-bit size, no still picture needs
            return len(data)
        at += size
    return at


def _orientation(image: Image.Image) -> int:
    """Read EXIF orientation, 1 to 8; asked after loading, because Pillow turns a TIFF itself while it loads."""
    try:
        return int(image.getexif().get(0x0112, 1))
    except _HOSTILE:
        return 1  # broken metadata beside whole pixels


def _eight_bits(image: Image.Image) -> Image.Image:
    """Bring palettes, bitmaps and 16- or 32-bit samples to 8-bit channels."""
    match image.mode:
        case "P" | "PA" | "1" | "La" | "RGBa" | "RGBX" | "YCbCr" | "HSV" | "LAB":
            return image.convert("RGBA" if image.has_transparency_data else "RGB")
        case "L" | "RGB" if image.has_transparency_data:
            return image.convert("RGBA")
        case "I;16" | "I;16B" | "I;16L" | "I;16N" | "I":
            # Pillow's own conversion clips at 255, which turns the picture white.
            return Image.fromarray(_from_sixteen_bits(np.asarray(image)))
        case "F":
            shades = np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0)
            full = 1.0 if shades.max() <= 1.0 else 255.0  # TIFF names no range; these two are the custom
            return Image.fromarray(np.clip(shades * (255.0 / full) + 0.5, 0, 255).astype(np.uint8))
        case _:
            return image


def _from_sixteen_bits(samples_HW: NDArray[np.integer]) -> Pixels:
    """Divide by 257, to the nearest; never wider than 16 bits, for such pictures are large."""
    samples = np.empty(samples_HW.shape, np.uint16)
    np.clip(samples_HW, 0, 65535, out=samples, casting="unsafe")
    shades: Pixels = (samples // np.uint16(257)).astype(np.uint8)
    samples %= np.uint16(257)
    shades += samples > 128
    return shades


def _reduced(image: Image.Image, at_least: int | None) -> Image.Image:
    factor = 1 if at_least is None else _factor(image.size, at_least)
    return image.reduce(factor) if factor > 1 else image


def _factor(size: tuple[int, int], at_least: int) -> int:
    """By how much a picture of that size may be reduced."""
    return max(1, max(size) // at_least)


def _in_srgb(image: Image.Image, icc_profile: bytes | None) -> Image.Image:
    """Follow an embedded colour profile; one that is broken or speaks of other channels is ignored."""
    if not icc_profile:
        return image
    colours, alpha = (image.convert("RGB"), image.getchannel("A")) if image.mode == "RGBA" else (image, None)
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile))
        if "sRGB" in ImageCms.getProfileDescription(profile):
            return image
        if profile.profile.xcolor_space == "RGB " and colours.mode == "L":
            colours = colours.convert("RGB")
        matched = ImageCms.profileToProfile(colours, profile, _SRGB, outputMode="RGB")
    except _HOSTILE:
        return image
    if matched is None:
        return image
    if alpha is not None:
        matched.putalpha(alpha)
    return matched


def _over_white(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image  # `convert` would copy it, and a picture of 25 megapixels takes 100 MB
    if image.mode not in {"LA", "RGBA"}:
        return image.convert("RGB")
    plain = Image.new("RGB", image.size)
    for top, band in _bands(image):
        white = Image.new("RGBA", band.size, (255, 255, 255, 255))
        plain.paste(Image.alpha_composite(white, band.convert("RGBA")).convert("RGB"), (0, top))
    return plain


def _bands(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Go through a picture from top to bottom, so that what is made of it on the way is never as large as all of it."""
    for top in range(0, image.height, _BAND):
        yield top, image.crop((0, top, image.width, min(top + _BAND, image.height)))
