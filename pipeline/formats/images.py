"""`images/` and `faces.npy`: every crop decoded once for both, part by part, so that a killed run goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from pipeline.formats.crops import UNDER_WAY, Crops, Published, one_line, whole
from pipeline.manifest import MANIFEST, sha256_of
from pipeline.pixels import BadImage, decode, encode_as, resize

FACES = "faces.npy"
PART = 4096  # crops between two receipts
MAX_CROP_PIXELS = 4096 * 4096
_KINDS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}
_PNG_HEADER, _RGB_OF_8_BITS = 26, b"\x08\x02"  # bytes; its last two: bits a sample, kind of colour


def write(crops: Crops) -> None:
    """Write each crop under its name, and all of them reduced into one array, in the order of the manifest."""
    images = crops.folder / "images"
    images.mkdir(exist_ok=True)
    count, size = len(crops.rows), crops.train_size
    if (crops.folder / FACES).exists():  # moved there when all were written
        crops.tell(count)
        return
    receipt = crops.folder / f"{UNDER_WAY}receipt"
    with whole(crops.folder / FACES) as aside:
        done = _done(receipt, aside, size)
        _write_from(done, crops, aside, receipt)
    receipt.unlink(missing_ok=True)


def _write_from(done: int, crops: Crops, aside: Path, receipt: Path) -> None:
    count, size = len(crops.rows), crops.train_size
    # Written, not mapped into memory: on a full disk a mapped file ends the process with a bus error.
    with aside.open("r+b" if done else "wb") as faces:
        head = {"descr": "|u1", "fortran_order": False, "shape": (count, size, size, 3)}
        np.lib.format.write_array_header_1_0(faces, head)
        faces.seek(faces.tell() + done * size * size * 3)
        faces.truncate()
        crops.tell(done)
        for index in range(done, count):
            one = crops.rows[index]
            png = crops.store.get(one.crop_sha256)
            pixels_HWC = decode(png, max_pixels=MAX_CROP_PIXELS)
            (crops.folder / one.file).write_bytes(_encoded(one.file, png, pixels_HWC, crops.quality))
            faces.write(resize(pixels_HWC, size).tobytes())
            crops.tell(1)
            if (index + 1) % PART == 0:
                faces.flush()
                os.sync()  # one for thousands of files; a receipt must not be on the disk before what it is for
                with whole(receipt) as note:
                    note.write_text(str(index + 1))


def faults(release: Published) -> Iterator[str]:
    """Read every crop: its name, kind, mode and sides, and the same face in the array."""
    wrong = _wrong_with_faces(release)
    if wrong:
        yield f"{FACES}: {wrong}"
    side = 0 if wrong else _mapped(release.folder).shape[1]
    named = set()
    for face_HWC, row in zip(_faces(release, side), release.rows, strict=False):
        path = release.folder / row["file"]
        if path.suffix not in _KINDS or row["file"] != f"images/{row['crop_sha256']}{path.suffix}":
            yield f"{MANIFEST}: {row['file']} is not named by its crop_sha256"
            continue
        named.add(path.name)
        if not path.is_file():
            yield f"{row['file']}: in the manifest, but missing"
            continue
        yield from _faults_of(path, row, face_HWC)
    yield from strangers(release.folder / "images", named, "not in the manifest")


def strangers(folder: Path, known: set[str], why: str) -> Iterator[str]:
    """Name what lies in a folder and is not *known*."""
    try:
        there = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        yield f"{folder.name}: not readable ({error.strerror})"
        return
    yield from (f"{folder.name}/{name}: {why}" for name in there if name not in known)


def faults_of_bytes(data: bytes, suffix: str, size: str) -> Iterator[str]:
    """Judge a picture by the rules of all readers: the kind that its name says, RGB of 8 bits, as large as stated."""
    try:
        with PIL.Image.open(BytesIO(data), formats=tuple(_KINDS.values())) as image:
            kind, mode, sides = image.format, image.mode, image.size
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        yield f"no picture ({one_line(error)})"
        return
    if kind != _KINDS[suffix]:
        yield f"holds a {kind}"
    if mode != "RGB" or (kind == "PNG" and data[_PNG_HEADER - 2 : _PNG_HEADER] != _RGB_OF_8_BITS):
        yield f"{mode} pixels{' of 16 bits' if data[24] == 16 else ''}, RGB of 8 bits expected"  # 16 in byte 24: PNG
    if not size.isdecimal() or sides != (int(size), int(size)):
        yield f"{sides[0]}x{sides[1]} pixels, {size}x{size} expected"


def _faults_of(path: Path, row: dict[str, str], face_HWC: NDArray[np.uint8] | None) -> Iterator[str]:
    named = f"images/{path.name}"
    data = path.read_bytes()
    if path.suffix == ".png" and sha256_of(path) != row["crop_sha256"]:
        yield f"{named}: its bytes are not those of crop_sha256"
    wrong = list(faults_of_bytes(data, path.suffix, row["size"]))
    yield from (f"{named}: {one}" for one in wrong)
    if wrong:
        return
    try:
        pixels_HWC = decode(data, max_pixels=MAX_CROP_PIXELS)
    except BadImage as bad:
        yield f"{named}: does not decode ({bad.reason})"
        return
    # What loses something is not what the array was made of.
    if path.suffix == ".png" and face_HWC is not None and (resize(pixels_HWC, face_HWC.shape[0]) != face_HWC).any():
        yield f"{FACES}: another face than {named} in its place"


def _mapped(release: Path) -> np.memmap[Any, np.dtype[Any]]:
    array = np.load(release / FACES, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.memmap):
        raise ValueError("is no array")  # noqa: TRY004 - of what was read
    return array


def _wrong_with_faces(release: Published) -> str | None:
    try:
        faces = _mapped(release.folder)
    except (OSError, ValueError, EOFError) as error:
        return f"not readable ({one_line(error)})"
    if faces.dtype != np.uint8:
        return f"{faces.dtype}, uint8 expected"
    if faces.ndim != 4 or len(faces) != release.count:
        return f"shape {faces.shape} does not fit {release.count} rows"
    side = release.train_size or faces.shape[1]
    if faces.shape[1:] != (side, side, 3) or not faces.flags.c_contiguous:
        return f"{faces.shape}, N x {side} x {side} x 3 expected"
    if (release.folder / FACES).stat().st_size != faces.offset + faces.nbytes:
        return "more bytes than its header says"
    return None


def _faces(release: Published, side: int) -> Iterator[NDArray[np.uint8] | None]:
    """Read one face after the other: a mapped file would count as memory once it was looked at."""
    if not side:
        yield from repeat(None)
        return
    with (release.folder / FACES).open("rb") as file:
        file.seek(_mapped(release.folder).offset)
        for _ in range(release.count):
            yield np.frombuffer(file.read(side * side * 3), np.uint8).reshape(side, side, 3)


def _encoded(name: str, png: bytes, pixels_HWC: NDArray[np.uint8], quality: int) -> bytes:
    """Give a crop in the format of its file; a PNG is the crop itself, byte for byte."""
    suffix = Path(name).suffix
    return png if suffix == ".png" else encode_as(pixels_HWC, suffix[1:], quality)


def _done(receipt: Path, faces: Path, size: int) -> int:
    """Say how many crops an interrupted run has certainly written."""
    try:
        done = int(receipt.read_text())
        return done if faces.stat().st_size >= done * size * size * 3 else 0
    except (OSError, ValueError):
        return 0
