"""Hostile bytes end as BadImage with the right reason; good ones as upright sRGB pixels."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from PIL import Image, ImageCms

from pipeline.errors import StoreError
from pipeline.pixels import BadImage, Picture, decode, encode_png, fit, inspect, inspect_file, phash, resize
from pipeline.records import Reason
from pipeline.workers import Calls, Crashed, Workers

LIMIT = 1_000_000  # pixels


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """A soft gradient with a red corner at the top left, so that a turn shows."""
    down, across = np.mgrid[0:height, 0:width]
    pixels = np.stack([across * 255 // width, down * 255 // height, (across + down) % 256], axis=2).astype(np.uint8)
    pixels[: height // 4, : width // 4] = (255, 0, 0)
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reason(data: bytes, look: Callable[..., Any] = inspect) -> Reason:
    with pytest.raises(BadImage) as caught:
        look(data, max_pixels=LIMIT)
    return caught.value.reason


KNOWN = {Reason.EMPTY, Reason.NOT_AN_IMAGE, Reason.TRUNCATED, Reason.CORRUPT, Reason.TOO_MANY_PIXELS, Reason.ANIMATED}


def verdict(data: bytes, look: Callable[..., Any]) -> BadImage | None:
    try:
        look(data, max_pixels=LIMIT)
    except BadImage as bad:
        return bad
    return None


def near(data: bytes, expected: Image.Image, tolerance: float) -> bool:
    return bool(np.abs(decode(data, max_pixels=LIMIT).astype(int) - np.asarray(expected)).mean() <= tolerance)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_knows_every_still_format(kind: str) -> None:
    """The format is what the bytes are, and the size is read."""
    still = inspect(saved(scene(), kind), max_pixels=LIMIT)

    assert (still.format, still.width, still.height) == (kind, 96, 64)


def test_two_views_of_a_camera_are_one_jpeg() -> None:
    """An MPO file holds a second view, which is no film."""
    data = saved(scene(), "MPO", save_all=True, append_images=[scene()])

    assert inspect(data, max_pixels=LIMIT).format == "JPEG"


def test_no_bytes() -> None:
    """A file of no bytes is EMPTY."""
    assert reason(b"") is Reason.EMPTY


@pytest.mark.parametrize(
    "data", [b"<!DOCTYPE html><html>", b"\x00" * 100, b"8BPS\x00\x01", b"RIFF\x00\x00\x00\x00AVI "]
)
def test_other_bytes(data: bytes) -> None:
    """A page, zeros, a Photoshop file or a video are NOT_AN_IMAGE."""
    assert reason(data) is Reason.NOT_AN_IMAGE


def _blank(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(("width", "height"), [(10_000, 1_000), (1_000, 12_000)])
def test_a_strip_is_refused_by_its_header(width: int, height: int) -> None:
    """Whatever its area: of the faces of a panorama nothing is left in a picture as small as detectors want it."""
    with pytest.raises(BadImage, match="is a strip") as refused:
        inspect(_blank(width, height)[:200], max_pixels=10**9)

    assert refused.value.reason is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize(("width", "height"), [(9_999, 100), (10_000, 2_600)])
def test_long_is_not_yet_a_strip(width: int, height: int) -> None:
    """What is shorter, or not so narrow, is a picture like any other."""
    assert inspect(_blank(width, height), max_pixels=10**9).width == width


def test_too_many_pixels_by_the_header() -> None:
    """A bomb is refused by its header: it has no rows to decode."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data += struct.pack(">I", 0) + b"IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))

    assert reason(data) is Reason.TOO_MANY_PIXELS


def test_the_limit_itself_is_allowed() -> None:
    """Exactly max_pixels is not too many; one fewer is."""
    data = saved(scene(), "PNG")

    assert inspect(data, max_pixels=96 * 64).width == 96
    with pytest.raises(BadImage, match="96 x 64"):
        inspect(data, max_pixels=96 * 64 - 1)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_more_than_one_frame(kind: str) -> None:
    """A film is ANIMATED, whatever its format."""
    data = saved(scene(), kind, save_all=True, append_images=[scene().rotate(90)], duration=100)

    assert reason(data) is Reason.ANIMATED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_cut_off(kind: str, share: float) -> None:
    """A picture that ends before its last row is TRUNCATED, also where the JPEG is decoded reduced."""
    data = saved(scene(640, 480), kind)

    assert reason(data[: int(len(data) * share)]) is Reason.TRUNCATED


def test_broken_inside() -> None:
    """A PNG with its end in place and rubbish in its middle is CORRUPT."""
    data = bytearray(saved(scene(), "PNG"))
    data[60:160] = bytes(100)

    assert reason(bytes(data)) is Reason.CORRUPT


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("look", [inspect, decode])
def test_nothing_but_bad_image(kind: str, look: Callable[..., Any]) -> None:
    """Cut anywhere or with any bytes changed, a file is good or BadImage, and nothing else is ever raised."""
    whole = saved(scene(48, 40), kind, **({"exif": b"Exif\x00\x00II*\x00\x08\x00\x00\x00"} if kind == "JPEG" else {}))
    rng = random.Random(f"{kind}")
    cut = [whole[:size] for size in range(0, len(whole), max(1, len(whole) // 120))]
    flipped = []
    for _ in range(250):
        changed = bytearray(whole)
        for _ in range(rng.choice([1, 2, 8])):
            changed[rng.randrange(min(len(whole), rng.choice([64, len(whole)])))] = rng.randrange(256)
        flipped.append(bytes(changed))

    bad = [one for data in cut + flipped if (one := verdict(data, look))]

    assert {one.reason for one in bad} <= KNOWN
    assert not [one.detail for one in bad if " at 0x" in one.detail]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_upright(kind: str, orientation: int) -> None:
    """All eight EXIF orientations come out the same way up, and so do the stated sides."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    lying = scene().transpose(back[orientation]) if orientation > 1 else scene()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(lying, kind, exif=exif, **({"quality": 95} if kind in {"JPEG", "WEBP"} else {}))

    still = inspect(data, max_pixels=LIMIT)

    assert (still.width, still.height) == (96, 64)
    assert near(data, scene(), 4)


def test_transparent_over_white() -> None:
    """What is see-through turns white, in RGBA, in a palette, and half in half."""
    clear = scene().convert("RGBA")
    clear.putalpha(0)
    half = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    palette = Image.new("P", (8, 8), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])

    assert decode(saved(clear, "PNG"), max_pixels=LIMIT).min() == 255
    assert set(decode(saved(half, "PNG"), max_pixels=LIMIT).ravel()) == {127}
    assert decode(saved(palette, "PNG", transparency=1), max_pixels=LIMIT).min() == 255
    assert decode(saved(palette, "GIF", transparency=1), max_pixels=LIMIT).min() == 255


def test_sixteen_bits_are_scaled() -> None:
    """A 16-bit grey ramp becomes an 8-bit one; it is not clipped to white."""
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (16, 1))

    for kind in ("PNG", "TIFF"):
        pixels = decode(saved(Image.fromarray(ramp), kind), max_pixels=LIMIT)
        assert np.abs(pixels[0, :, 0].astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bits_are_divided_to_the_nearest() -> None:
    """Each of the 65536 shades, from samples of 16 and of 32 bits."""
    every = np.arange(65536).reshape(256, 256)
    expected = np.rint(every / 257)

    for samples in (every.astype(np.uint16), every.astype(np.int32)):
        data = saved(Image.fromarray(samples), "TIFF")
        assert (decode(data, max_pixels=LIMIT)[..., 0] == expected).all()

    outside = np.array([[-5, 0, 65535, 2**31 - 1]], np.int32)
    assert decode(saved(Image.fromarray(outside), "TIFF"), max_pixels=LIMIT)[0, :, 0].tolist() == [0, 0, 255, 255]


def test_sixteen_bits_take_little_memory() -> None:
    """A large scan is not spread over eight bytes a sample."""
    data = saved(Image.fromarray(np.zeros((1000, 1000), np.uint16)), "PNG")
    tracemalloc.start()
    try:
        decode(data, max_pixels=LIMIT)
        assert tracemalloc.get_traced_memory()[1] < 12 * 1_000_000
    finally:
        tracemalloc.stop()


def test_scans_without_an_end() -> None:
    """A few hundred kB can hold a thousand passes over all pixels; they are refused before one is made."""
    data = saved(scene(), "JPEG", progressive=True)
    end = data.rindex(b"\xff\xda")

    assert reason(data[:end] + data[end:-2] * 200 + b"\xff\xd9") is Reason.CORRUPT
    assert inspect(data, max_pixels=LIMIT).format == "JPEG"


@pytest.mark.parametrize("where", ["before", "behind"])
def test_what_looks_like_scans_beside_the_picture_is_none(where: str) -> None:
    """Metadata and what a telephone puts behind the picture may hold any bytes."""
    data = saved(scene(), "JPEG", progressive=True)
    noise = b"\xff\xda\x00\x02" * 1000
    comment = b"\xff\xfe" + struct.pack(">H", len(noise) + 2) + noise

    whole = data[:2] + comment + data[2:] if where == "before" else data + noise + b"\xff\xd9"
    assert inspect(whole, max_pixels=LIMIT).width == 96


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "F", "I"])
def test_every_mode_gives_rgb(mode: str) -> None:
    """Grey, palette, bitmap, print and float pictures all come out as RGB."""
    pixels = decode(saved(scene().convert(mode), "TIFF"), max_pixels=LIMIT)

    assert (pixels.shape, pixels.dtype) == ((64, 96, 3), np.uint8)


def test_print_colours() -> None:
    """A CMYK JPEG looks like what was printed."""
    assert near(saved(scene().convert("CMYK"), "JPEG", quality=95), scene(), 6)


def test_follows_a_colour_profile() -> None:
    """Pixels in another colour space come out in sRGB; a broken profile is ignored."""
    lab = ImageCms.createProfile("LAB")
    srgb = ImageCms.createProfile("sRGB")
    wide = bytearray(ImageCms.ImageCmsProfile(srgb).tobytes())
    named = bytes(wide).replace("sRGB".encode("utf-16-be"), "xxxx".encode("utf-16-be"))
    swapped = named.replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")
    red = Image.new("RGB", (8, 8), (255, 0, 0))

    plain = decode(saved(red, "PNG", icc_profile=swapped), max_pixels=LIMIT)[0, 0]
    broken = decode(saved(red, "PNG", icc_profile=b"rubbish"), max_pixels=LIMIT)[0, 0]
    other = decode(saved(red, "PNG", icc_profile=ImageCms.ImageCmsProfile(lab).tobytes()), max_pixels=LIMIT)[0, 0]

    assert plain[1] > 200 > plain[0]  # red and green have changed places
    assert tuple(broken) == tuple(other) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_no_profile_harms(mode: str) -> None:
    """Cut anywhere or with any bytes changed, a profile changes colours at most."""
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    whole = whole.replace("sRGB".encode("utf-16-be"), "xxxx".encode("utf-16-be"))
    dice = random.Random(5)
    for _ in range(60):
        profile = bytearray(whole[: dice.choice((len(whole), dice.randrange(len(whole))))])
        for at in dice.sample(range(len(profile)), min(len(profile), 6)):
            profile[at] = dice.randrange(256)
        kind = "JPEG" if mode == "CMYK" else "PNG"

        assert decode(saved(scene(8, 8).convert(mode), kind, icc_profile=bytes(profile)), max_pixels=LIMIT).shape == (
            8,
            8,
            3,
        )


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF"])
@pytest.mark.parametrize("at_least", [100, 333, 640, 5000])
def test_reduced_but_not_below(kind: str, at_least: int) -> None:
    """A reduced picture keeps at least the pixels that were asked for, and fewer than three times as many."""
    longer = max(decode(saved(scene(1000, 700), kind), max_pixels=LIMIT, at_least=at_least).shape)

    assert min(at_least, 1000) <= longer <= max(at_least * 3, 1000 if at_least > 500 else 0)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("at_least", [200, 400, 640])
def test_a_picture_is_what_decode_gives(kind: str, at_least: int) -> None:
    """Reduced and in full, in either order, whether one was made of the other or not."""
    data = saved(scene(1000, 700), kind)
    reduced, full = decode(data, max_pixels=LIMIT, at_least=at_least), decode(data, max_pixels=LIMIT)

    first, second = Picture(data, max_pixels=LIMIT), Picture(data, max_pixels=LIMIT)

    assert np.array_equal(first.reduced(at_least), reduced)
    assert np.array_equal(first.full(), full)
    assert np.array_equal(second.full(), full)
    assert np.array_equal(second.reduced(at_least), reduced)


def test_a_picture_is_decoded_once() -> None:
    """Where its decoder cannot reduce it, in full costs little more than reduced."""
    data = saved(Image.effect_noise((1600, 1400), 60).convert("RGB"), "PNG")

    def seconds(look: Callable[[], Any]) -> float:
        began = time.process_time()
        look()
        return time.process_time() - began

    picture = Picture(data, max_pixels=10 * LIMIT)
    first = min(seconds(lambda: Picture(data, max_pixels=10 * LIMIT).reduced(700)) for _ in range(3))
    picture.reduced(700)

    assert seconds(picture.full) < first / 2


def test_a_verdict_travels(tmp_path: Path) -> None:
    """A worker can say of a file what it is, or what is wrong with it."""
    good, bad = tmp_path / "good", tmp_path / "bad"
    good.write_bytes(saved(scene(), "PNG"))
    bad.write_bytes(saved(scene(), "PNG")[:200])

    with Calls(1) as call:
        still = call(partial(inspect_file, max_pixels=LIMIT), good)
        verdict = call(partial(inspect_file, max_pixels=LIMIT), bad)
        with pytest.raises(StoreError, match="cannot be read"):
            call(partial(inspect_file, max_pixels=LIMIT), tmp_path / "none")

    assert still == inspect(good.read_bytes(), max_pixels=LIMIT)
    assert isinstance(verdict, BadImage)
    assert (verdict.reason, verdict.detail) == (Reason.TRUNCATED, "OSError: image file is truncated")


def test_a_picture_that_takes_all_memory(tmp_path: Path) -> None:
    """Its worker dies of it, twice; where there is no worker, it is corrupt."""
    data = saved(Image.new("RGB", (9000, 9000)), "PNG")
    (tmp_path / "large").write_bytes(data)

    with Calls(1, memory=300 << 20) as call:
        assert call(partial(inspect_file, max_pixels=10**8), tmp_path / "large") == Crashed(
            "more than 300 MB of memory"
        )
        assert isinstance(call(partial(inspect_file, max_pixels=10**6), tmp_path / "large"), BadImage)


def test_a_hundred_megapixels_fit(tmp_path: Path) -> None:
    """The largest picture that is allowed, with transparency, is looked at in what a worker may take."""
    (tmp_path / "large").write_bytes(saved(Image.new("RGBA", (10_000, 10_000), (9, 9, 9, 99)), "PNG", compress_level=1))

    with Workers(1) as workers:
        ((_, size),) = workers.map(planted.look_in_full, [tmp_path / "large"])

    assert size == 300_000_000


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_picture_lies_in_memory_once_as_it_is_decoded_and_once_as_pixels(tmp_path: Path, kind: str) -> None:
    """Four bytes a pixel and three: 25 megapixels are looked at in full in 175 MB."""
    (tmp_path / "large").write_bytes(saved(Image.new("RGB", (5000, 5000), (9, 99, 199)), kind))

    with Workers(1, memory=280 << 20) as workers:  # of which a process has some eighty before it begins
        ((_, size),) = workers.map(planted.look_in_full, [tmp_path / "large"])

    assert size == 75_000_000


def test_reduced_picture_hashes_alike() -> None:
    """The hash of a picture hardly moves when it is saved smaller, in another format."""
    large, small = scene(1200, 800), scene(1200, 800).resize((500, 333))

    first = inspect(saved(large, "JPEG", quality=80), max_pixels=LIMIT).phash
    second = inspect(saved(small, "PNG"), max_pixels=LIMIT).phash

    assert (int(first, 16) ^ int(second, 16)).bit_count() <= 4
    assert first == phash(decode(saved(large, "JPEG", quality=80), max_pixels=LIMIT, at_least=256))


def test_our_png_is_a_png() -> None:
    """What encode_png writes, Pillow reads back unchanged."""
    for pixels in (np.asarray(scene()), np.zeros((1, 1, 3), np.uint8), np.asarray(scene(33, 7))):
        assert np.array_equal(decode(encode_png(pixels), max_pixels=LIMIT), pixels)


def test_our_png_never_changes() -> None:
    """Crops are named by these bytes: they are the same on every machine and in every year."""
    assert hashlib.sha256(encode_png(np.asarray(scene()))).hexdigest() == PNG_OF_SCENE


def test_resize_and_fit() -> None:
    """One gives a square, the other keeps the proportions and never enlarges."""
    pixels = np.asarray(scene(960, 640))

    assert resize(pixels, 50).shape == (50, 50, 3)
    assert fit(pixels, 300).shape == (200, 300, 3)
    assert fit(pixels, 2000) is pixels


PNG_OF_SCENE = "4ef7e1f3d64f8215963cace06013a0702e63bfb4d5bffaedc44f46202e6ad81a"
