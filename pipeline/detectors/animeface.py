"""Where the memory layout that `animeface` expects of Pillow is forged, so that it sees with any Pillow.

animeface 2.0.3 reads pictures through the image struct of Pillow 4.2.1; Pillow 12 changed that struct, and the package
then finds nothing and says nothing. Its compiled network is called here directly, with an object of the old layout laid
over a NumPy array.
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from animeface import _nvxs
from PIL import Image, ImageDraw

from pipeline.detectors import Face
from pipeline.errors import DetectorError
from pipeline.pixels import Pixels
from pipeline.records import Box, Landmarks

# Side of the normalised box in sides of animeface's own: between the 1 / 0.69 measured on faces in real pictures and
# the 1 / 0.73 on 150 of the sandbox. The centres agree: 0.2 % of the side to the right, 0.0 % down.
_SIDE = 1 / 0.7

_SMALLEST_WINDOW = 42.6  # pixels; nv_face_detect.c: the window of the network at the first scale
_TOO_NARROW = 43  # pixels; a picture with a shorter side holds no window


# The pixels that colours are measured from are picked by a generator that runs on from picture to picture: without a
# fresh seed, colours would depend on what was looked at before. The handle finds what the module is linked with too.
_seed = ctypes.CDLL(_nvxs.__file__).nv_srand
_seed.argtypes = [ctypes.c_ulong]
_seed.restype = None
_SEED = 8273  # the one that the library starts with


class _Imaging(ctypes.Structure):
    """ImagingMemoryInstance of Pillow 4.2.1, libImaging/Imaging.h."""

    _fields_: ClassVar = [
        ("mode", ctypes.c_char * 7),
        ("type", ctypes.c_int),
        ("depth", ctypes.c_int),
        ("bands", ctypes.c_int),
        ("xsize", ctypes.c_int),
        ("ysize", ctypes.c_int),
        ("palette", ctypes.c_void_p),
        ("image8", ctypes.c_void_p),
        ("image32", ctypes.c_void_p),
        ("image", ctypes.c_void_p),
        ("block", ctypes.c_void_p),
        ("pixelsize", ctypes.c_int),
        ("linesize", ctypes.c_int),
        ("destroy", ctypes.c_void_p),
    ]


class _ImagingObject(ctypes.Structure):
    """ImagingObject of Pillow 4.2.1, _imaging.c; its first two fields are every Python object's."""

    _fields_: ClassVar = [
        ("ob_refcnt", ctypes.c_ssize_t),
        ("ob_type", ctypes.c_void_p),
        ("image", ctypes.POINTER(_Imaging)),
        ("access", ctypes.c_void_p),
    ]


def _ask(pixels_HWC: Pixels) -> list[dict[str, Any]]:
    """Run the network over a picture; what it says is in the words of the package's C code."""
    height, width = pixels_HWC.shape[:2]
    rows_HWC = np.zeros((height, width, 4), np.uint8)
    rows_HWC[:, :, :3] = pixels_HWC
    addresses = rows_HWC.ctypes.data + np.arange(height, dtype=np.uintp) * np.uintp(width * 4)
    rows = addresses.ctypes.data
    image = _Imaging(
        mode=b"RGB",
        depth=8,
        bands=3,
        xsize=width,
        ysize=height,
        image32=rows,
        image=rows,
        pixelsize=4,
        linesize=width * 4,
    )
    # The type is `object`, which the garbage collector never looks into, and the count never falls to nothing.
    forged = _ImagingObject(ob_refcnt=1 << 30, ob_type=id(object), image=ctypes.pointer(image))
    _seed(_SEED)
    found: list[dict[str, Any]] = _nvxs.detect(ctypes.cast(ctypes.addressof(forged), ctypes.py_object).value)
    return found


@dataclass(frozen=True, slots=True)
class AnimeFace:
    """The `animeface` network: measures hair and eye colours too; weak on faces tilted by more than 15 degrees."""

    name: ClassVar[str] = "animeface"
    smallest: ClassVar[float] = _SMALLEST_WINDOW * _SIDE

    @classmethod
    def ready(cls) -> AnimeFace:
        """Build it, and look at a drawn face with it.

        Raises:
            DetectorError: It does not see that face.
        """
        detector = cls()
        if not detector.detect(drawn_face()):
            raise DetectorError(
                "animeface: blind, it finds no face in a drawing of one; install animeface==2.0.3 again"
            )
        return detector

    def detect(self, pixels_HWC: Pixels, _least: float = 0.0, /) -> list[Face]:
        """Find faces of at least `smallest` pixels a side; slow on large pictures."""
        if min(pixels_HWC.shape[:2]) < _TOO_NARROW:
            return []
        return [_face(found) for found in _ask(pixels_HWC)]


def _face(found: dict[str, Any]) -> Face:
    left, top, width, height = found["face_box"]
    side = round((width + height) / 2 * _SIDE)
    x, y = left + width / 2, top + height / 2
    return Face(
        box=Box(left=math.floor(x - side / 2 + 0.5), top=math.floor(y - side / 2 + 0.5), width=side, height=side),
        score=min(1.0, max(0.0, float(found["likelihood"]))),
        hair=_hex(found["hair_color"]),
        eyes=_hex(*(found[eye] for eye in ("left_eye_color", "right_eye_color"))),
        skin=_hex(found["skin_color"]),
        landmarks=Landmarks(
            left_eye=_middle(found["left_eye_box"]),
            right_eye=_middle(found["right_eye_box"]),
            mouth=_middle(found["mouth_box"]),
            nose=found["nose_point"],
            chin=found["chin_point"],
        ),
    )


def _middle(box: tuple[int, int, int, int]) -> tuple[int, int]:
    left, top, width, height = box
    return round(left + width / 2), round(top + height / 2)


def _hex(*colours: tuple[int, int, int]) -> str:
    """Write the mean of some colours as "#rrggbb"."""
    return "#" + "".join(f"{round(sum(band) / len(colours)):02x}" for band in zip(*colours, strict=True))


def drawn_face(side: int = 128) -> Pixels:
    """Draw the plain face that a detector must see.

    Returns:
        RGB, uint8, of shape (side, side, 3).
    """
    unit = side * 3 / 160  # drawn three times as large, in units of 1/160 of the side
    picture = Image.new("RGB", (side * 3, side * 3), (206, 226, 240))
    draw = ImageDraw.Draw(picture)

    def around(x: float, y: float, wide: float, high: float) -> tuple[float, float, float, float]:
        return (x - wide) * unit, (y - high) * unit, (x + wide) * unit, (y + high) * unit

    hair, ink, skin, iris = (92, 62, 150), (52, 36, 50), (255, 228, 210), (60, 110, 200)
    draw.ellipse(around(80, 72, 60, 60), fill=hair)
    draw.rectangle(around(80, 116, 60, 44), fill=hair)
    draw.ellipse(around(80, 88, 46, 50), fill=skin)
    for x in (56, 104):
        draw.ellipse(around(x, 88, 16, 20), fill=(255, 255, 255))
        draw.ellipse(around(x, 89, 12, 18), fill=iris)
        draw.ellipse(around(x, 88, 6, 10), fill=ink)
        draw.ellipse(around(x - 4, 81, 4, 5), fill=(255, 255, 255))
        draw.arc(around(x, 88, 17, 22), 200, 340, fill=ink, width=round(4 * unit))
    draw.pieslice(around(80, 62, 56, 52), 180, 360, fill=hair)
    for x in range(32, 136, 16):
        draw.polygon([(dx * unit, dy * unit) for dx, dy in ((x - 8, 58), (x + 8, 58), (x, 74))], fill=hair)
    draw.arc(around(80, 117, 10, 7), 20, 160, fill=ink, width=round(2.5 * unit))
    return np.array(picture.reduce(3))
