"""Whatever bytes lie in the store, detect and crop give each image an outcome: no exception, no crash, no hang."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import make
import numpy as np
import planted
import pytest
from PIL import Image as Pictures

from pipeline.crop import CropFaces
from pipeline.detect import DetectFaces
from pipeline.detectors import lbpcascade
from pipeline.detectors.animeface import drawn_face
from pipeline.errors import DetectorError
from pipeline.records import Reason
from pipeline.stage import Dropped, Kept, Outcome
from pipeline.workers import Workers

SIDE = 56  # pixels
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "jpeg": ("JPEG", {"quality": 60}),
    "progressive": ("JPEG", {"quality": 60, "progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 60}),
    "gif": ("GIF", {}),
    "tiff": ("TIFF", {"compression": "tiff_lzw"}),
    "avif": ("AVIF", {"quality": 50}),
}
BAD = {Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.CORRUPT, Reason.TOO_MANY_PIXELS, Reason.ANIMATED}


def saved(picture: Pictures.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def face(kind: str) -> bytes:
    name, options = KINDS[kind]
    return saved(Pictures.fromarray(drawn_face(SIDE)), name, **options)


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers(2, timeout_s=30) as pool:
        yield pool


@pytest.fixture(scope="module")
def detectors() -> tuple[str, ...]:
    try:
        lbpcascade.find()
    except DetectorError:
        return ("animeface",)
    return ("lbpcascade", "animeface")


Look = Callable[[dict[str, bytes]], dict[str, Outcome[Any, Any]]]


@pytest.fixture(params=["detect", "crop"])
def look(request: pytest.FixtureRequest, workers: Workers, detectors: tuple[str, ...]) -> Look:
    """Send files through one of the stages; outcomes come by the files' names."""

    def through(files: dict[str, bytes]) -> dict[str, Outcome[Any, Any]]:
        store = planted.FilesStore(files)
        if request.param == "detect":
            images = [make.image(sha256=name, width=SIDE, height=SIDE) for name in files]
            found = list(DetectFaces(detectors=detectors, max_pixels=10**8, workers=workers)(images, store))
            return {outcome.item.sha256: outcome for outcome in found}
        faces = [make.detection(image_sha256=name, box=make.box(8, 8, 32)) for name in files]
        cut = list(CropFaces(size=32, max_pixels=10**8, workers=workers)(faces, store))
        return {outcome.item.image_sha256: outcome for outcome in cut}

    return through


def reasons(outcomes: dict[str, Outcome[Any, Any]]) -> set[Reason]:
    return {outcome.reason for outcome in outcomes.values() if isinstance(outcome, Dropped)}


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_at_every_byte(look: Look, kind: str) -> None:
    """Each of them is a bad image, unless enough came for a whole one."""
    whole = face(kind)

    outcomes = look({f"{size}": whole[:size] for size in range(len(whole) + 1)})

    assert len(outcomes) == len(whole) + 1
    assert reasons(outcomes) <= BAD | {Reason.NO_FACE}
    assert isinstance(outcomes["0"], Dropped)
    assert outcomes["0"].reason is Reason.EMPTY


@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_anywhere(look: Look, kind: str) -> None:
    """Wrong bytes in the middle make a bad image or a strange one, and that is all."""
    rng = random.Random(f"spoilt {kind}")
    files = {}
    for number in range(200):
        spoilt = bytearray(face(kind))
        for _ in range(rng.choice([1, 3, 20])):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        files[str(number)] = bytes(spoilt)

    outcomes = look(files)

    assert len(outcomes) == 200
    assert reasons(outcomes) <= BAD | {Reason.NO_FACE, Reason.TOO_SMALL, Reason.OUTSIDE}


def png_header(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return bomb + struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))


def jpeg_header(width: int, height: int) -> bytes:
    small = saved(Pictures.new("RGB", (8, 8)), "JPEG")
    return small.replace(struct.pack(">BHH", 8, 8, 8), struct.pack(">BHH", 8, height, width))


def bmp_header(width: int, height: int) -> bytes:
    small = saved(Pictures.new("RGB", (8, 8)), "BMP")
    return small[:18] + struct.pack("<ii", width, height) + small[26:]


@pytest.mark.parametrize("header", [png_header, jpeg_header, bmp_header])
@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_001, 10_000), (60_000, 2_000)])
def test_too_many_pixels(look: Look, header: Callable[[int, int], bytes], width: int, height: int) -> None:
    """A picture of four hundred megapixels, or a panorama, is refused by its header: nothing lies behind it."""
    (outcome,) = look({"huge": header(width, height)}).values()

    assert isinstance(outcome, Dropped)
    assert (outcome.reason, outcome.detail) == (
        Reason.TOO_MANY_PIXELS,
        f"{width} x {height} is more than 100000000 pixels",
    )


def plain(width: int, height: int, mode: str = "RGB") -> Pictures.Image:
    return Pictures.new(mode, (width, height), "white" if mode != "I;16" else 40_000)


@pytest.mark.parametrize(
    "data",
    [
        saved(plain(1, 1), "PNG"),
        saved(plain(1, 1), "JPEG"),
        saved(plain(1, 4000), "PNG"),
        saved(plain(4000, 1), "JPEG"),
        saved(plain(2, 9000), "WEBP"),
        saved(plain(300, 300), "PNG"),
        saved(plain(300, 300, "1"), "PNG"),
        saved(plain(300, 300, "I;16"), "PNG"),
        saved(plain(300, 300, "CMYK"), "JPEG"),
        saved(plain(300, 300, "CMYK"), "TIFF"),
        saved(plain(300, 300, "LAB"), "TIFF"),
        saved(plain(1, 1, "F"), "TIFF"),
    ],
)
def test_a_picture_without_a_face(workers: Workers, detectors: tuple[str, ...], data: bytes) -> None:
    """One pixel, one row, one column, sixteen bits, print colours: no face, and nothing worse."""
    width, height = Pictures.open(io.BytesIO(data)).size
    image = make.image(sha256="x", width=width, height=height)

    (outcome,) = DetectFaces(detectors=detectors, workers=workers)([image], planted.FilesStore({"x": data}))

    assert outcome == Dropped(image, Reason.NO_FACE)


def test_an_animation(look: Look) -> None:
    """More than one frame is no still picture, also where it came past the door."""
    frames = Pictures.fromarray(drawn_face(SIDE)), Pictures.fromarray(drawn_face(SIDE)).rotate(90)
    data = saved(frames[0], "GIF", save_all=True, append_images=[frames[1]], duration=100)

    assert reasons(look({"film": data})) == {Reason.ANIMATED}


@pytest.mark.parametrize("mode", ["L", "I;16", "CMYK", "RGBA"])
def test_a_face_in_other_pixels(workers: Workers, mode: str) -> None:
    """Grey, sixteen bits, print colours and transparency hide no face."""
    pixels = drawn_face(400)
    picture = Pictures.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        picture = Pictures.fromarray(np.asarray(picture).astype(np.uint16) * 257)
    data = saved(picture, "TIFF" if mode == "CMYK" else "PNG")
    image = make.image(sha256="x", width=400, height=400)

    (outcome,) = DetectFaces(detectors=("animeface",), workers=workers)([image], planted.FilesStore({"x": data}))

    assert isinstance(outcome, Kept)
    assert len(outcome.outputs) == 1
