"""Hides what the sandbox board holds: the plan of its posts, how their files are made, and the truth to judge by."""

from __future__ import annotations

import bisect
import ctypes
import hashlib
import io
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from pipeline.errors import StoreError, UsageError
from pipeline.records import Box, Reason, Record
from pipeline.sandbox.draw import Drawing, Truth, draw_decoy, draw_group, draw_portrait, draw_scenery
from pipeline.sandbox.figure import FaceTruth

VERSION = 2  # raised when the same seed would give another board; an older cache is then left alone
DEFAULT_POSTS = 600
SINCE = datetime(2005, 1, 1, tzinfo=UTC)  # OLD and some BOUNDARY posts lie before it


class Kind(StrEnum):
    """What a post was planted for."""

    PORTRAIT = "portrait"  # one face; what a dataset wants
    GROUP = "group"  # two to six faces
    NEAR_COPY = "near_copy"  # of a portrait: rescaled, recompressed, slightly recoloured, or cropped by 3 %
    REPOST = "repost"  # the same bytes as a portrait, under another number
    NO_FACE = "no_face"  # landscapes, patterns, fruit
    DECOY = "decoy"  # toys, owls, houses: something like a face
    TINY = "tiny"  # a face under 32 pixels
    MONOCHROME = "monochrome"  # a portrait without colour
    OLD = "old"  # a portrait of 2003 or 2004
    BOUNDARY = "boundary"  # a portrait of the hours when it is 2005 in UTC and 2004 in New York, or shortly before
    RATED = "rated"  # a portrait, as harmless as all others, rated s, q or e
    HIDDEN = "hidden"  # the board shows neither md5 nor file
    DELETED = "deleted"  # deleted, with its file
    GONE = "gone"  # listed, and the file host answers 404
    VIDEO = "video"  # mp4, webm
    UGOIRA = "ugoira"  # a zip of frames
    ANIMATED = "animated"  # gif, png or webp with frames, and the board says so
    ANIMATED_UNSTATED = "animated_unstated"  # the same, and the board does not say so
    HTML = "html"  # a web page named .jpg
    TRUNCATED = "truncated"  # ends before its last row
    EMPTY = "empty"  # no bytes at all
    BOMB = "bomb"  # a few kilobytes that unpack to 900 megapixels
    WRONG_MD5 = "wrong_md5"  # re-encoded by the host: whole, and not what the board named
    WRONG_EXTENSION = "wrong_extension"  # a PNG named .jpg; fine
    CMYK = "cmyk"  # a JPEG in four colours; fine
    SIXTEEN_BIT = "sixteen_bit"  # a PNG with 16 bits a channel; fine
    PALETTE = "palette"  # a PNG with 256 colours; fine
    EXIF_ROTATED = "exif_rotated"  # a JPEG that lies on its side and says so; fine


# Of 600 posts; portraits are the rest.
SHARES: dict[Kind, int] = {
    Kind.GROUP: 60,
    Kind.NEAR_COPY: 60,
    Kind.REPOST: 15,
    Kind.NO_FACE: 40,
    Kind.DECOY: 16,
    Kind.TINY: 14,
    Kind.MONOCHROME: 16,
    Kind.OLD: 20,
    Kind.BOUNDARY: 8,
    Kind.RATED: 24,
    Kind.HIDDEN: 10,
    Kind.DELETED: 12,
    Kind.GONE: 3,
    Kind.VIDEO: 6,
    Kind.UGOIRA: 4,
    Kind.ANIMATED: 6,
    Kind.ANIMATED_UNSTATED: 3,
    Kind.HTML: 4,
    Kind.TRUNCATED: 6,
    Kind.EMPTY: 3,
    Kind.BOMB: 2,
    Kind.WRONG_MD5: 3,
    Kind.WRONG_EXTENSION: 6,
    Kind.CMYK: 5,
    Kind.SIXTEEN_BIT: 4,
    Kind.PALETTE: 5,
    Kind.EXIF_ROTATED: 8,
}

# The reason to drop a post of this kind, the best one first; a kind that is not here is to be kept.
REASONS: dict[Kind, tuple[Reason, ...]] = {
    Kind.NEAR_COPY: (Reason.DUPLICATE, Reason.SAME_CROP),  # all but one of its group, whichever that is
    Kind.REPOST: (Reason.SAME_BYTES,),  # all but one of its group
    Kind.NO_FACE: (Reason.NO_FACE, Reason.LOW_SCORE, Reason.WAITING),  # what may be one is shown to a person
    Kind.DECOY: (Reason.NO_FACE, Reason.LOW_SCORE, Reason.WAITING),
    Kind.TINY: (Reason.FACE_TOO_SMALL, Reason.TOO_SMALL, Reason.NO_FACE),
    Kind.MONOCHROME: (Reason.MONOCHROME,),
    Kind.OLD: (Reason.TOO_OLD,),
    Kind.RATED: (Reason.RATING,),
    Kind.HIDDEN: (Reason.NO_FILE,),
    Kind.DELETED: (Reason.DELETED,),
    Kind.GONE: (Reason.GONE,),
    Kind.VIDEO: (Reason.NOT_STILL,),
    Kind.UGOIRA: (Reason.NOT_STILL,),
    Kind.ANIMATED: (Reason.NOT_STILL, Reason.ANIMATED),
    Kind.ANIMATED_UNSTATED: (Reason.ANIMATED,),
    Kind.HTML: (Reason.NOT_AN_IMAGE,),
    Kind.TRUNCATED: (Reason.TRUNCATED,),
    Kind.EMPTY: (Reason.EMPTY,),
    Kind.BOMB: (Reason.TOO_MANY_PIXELS,),
    Kind.WRONG_MD5: (Reason.WRONG_MD5,),
}


ARTISTS = ("sunahama", "=kaigara", "砂絵師", "dune_(artist)", "o'sand")
SAMPLE_WIDTH = 850  # pixels; a wider picture has a sample of this width
# Of these no smaller file can be made.
_UNSHRINKABLE = frozenset(
    {
        *(Kind.HIDDEN, Kind.GONE, Kind.VIDEO, Kind.UGOIRA, Kind.HTML, Kind.TRUNCATED, Kind.EMPTY, Kind.BOMB),
        Kind.SIXTEEN_BIT,
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PlantedPost(Record):
    """One post of the board, and everything that is true of it."""

    number: int  # its id on the board
    kind: Kind
    posted_at: datetime  # aware UTC, whole milliseconds
    rating: str  # g, s, q, e
    ext: str  # as the board states it
    md5: str  # of the original, as the board would state it
    size: int  # bytes, as stated
    width: int  # pixels, upright, as stated
    height: int
    truth: Truth  # of the picture as it looks when upright
    duration: float | None = None  # seconds, as stated, of what moves
    group: str | None = None  # posts with the same group show the same picture
    reasons: tuple[Reason, ...] = ()  # why the pipeline may drop it, the best one first; none: it is to be kept

    @property
    def reason(self) -> Reason | None:
        """The reason that says best why to drop it; None when it is to be kept."""
        return self.reasons[0] if self.reasons else None

    @property
    def shrinkable(self) -> bool:
        """Whether the board can make smaller files of it."""
        return self.kind not in _UNSHRINKABLE

    @property
    def has_sample(self) -> bool:
        """Whether there is a JPEG that is narrower than the original."""
        return self.shrinkable and self.width > SAMPLE_WIDTH and self.ext in {"jpg", "png", "webp"}

    @property
    def file(self) -> str:
        """Its name below ``files/``; a HIDDEN or GONE post has none."""
        return f"{self.md5}.{self.ext}"

    @property
    def tags(self) -> tuple[str, ...]:
        """As the board lists them, those of every kind."""
        return tuple(sorted({*self.truth.tags, *self.artists, *self.series}))

    @property
    def artists(self) -> tuple[str, ...]:
        """Who drew it; nobody knows of every tenth, and copies have their original's. One name is like a formula."""
        place = zlib.crc32((self.group or str(self.number)).encode()) % 10
        return () if place == 9 else (ARTISTS[place % len(ARTISTS)],)

    @property
    def characters(self) -> tuple[str, ...]:
        """Who is on it."""
        return tuple(tag for tag in self.truth.tags if tag.endswith("_(sandbox)"))

    @property
    def series(self) -> tuple[str, ...]:
        """What they are from."""
        return ("sandbox_stories",) if self.characters else ("original",)


@dataclass(frozen=True)
class Sandbox:
    """A finished board in a folder: ``board.json`` and ``files/<md5>.<ext>``."""

    folder: Path
    posts: tuple[PlantedPost, ...]  # by rising number

    @property
    def kinds(self) -> dict[Kind, tuple[PlantedPost, ...]]:
        """The posts of each kind; every kind is there."""
        return {kind: tuple(post for post in self.posts if post.kind is kind) for kind in Kind}

    @property
    def duplicate_groups(self) -> dict[str, tuple[int, ...]]:
        """Which posts show the same picture: the numbers, by group."""
        groups: dict[str, list[int]] = {}
        for post in self.posts:
            if post.group is not None:
                groups.setdefault(post.group, []).append(post.number)
        return {group: tuple(numbers) for group, numbers in groups.items()}

    def truth_of(self, number: int) -> PlantedPost:
        """Everything about the post with that number.

        Raises:
            KeyError: The board has no such post.
        """
        place = bisect.bisect_left(self.posts, number, key=lambda post: post.number)
        if place == len(self.posts) or self.posts[place].number != number:
            raise KeyError(number)
        return self.posts[place]

    def path(self, post: PlantedPost) -> Path | None:
        """Where the bytes of a post lie; None when it has none."""
        path = self.folder / "files" / post.file
        return path if path.exists() else None

    def bytes_of(self, number: int) -> bytes:
        """The file of a post, as the board sends it."""
        return (self.folder / "files" / self.truth_of(number).file).read_bytes()

    @classmethod
    def load(cls, folder: Path) -> Sandbox:
        """Read a board that `build` finished."""
        body = json.loads((folder / "board.json").read_text())
        return cls(folder, tuple(PlantedPost.from_json(row) for row in body["posts"]))


def build(
    cache: Path,
    posts: int = DEFAULT_POSTS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Sandbox:
    """Draw a board, or take the finished one from the folder *cache*.

    Args:
        cache: Holds one folder for each board; a board is drawn aside and moved there when it is whole.
        posts: How many; the shares of the kinds scale with it.
        seed: The same seed gives the same bytes.
        progress: Called with (files drawn, posts) after each.
        workers: Processes that draw; as many as there are cores when None. A small board is drawn by this one.

    Raises:
        UsageError: *posts* is not positive.
        StoreError: The folder cannot be written.
    """
    if posts < 1:
        raise UsageError(f"posts: {posts} is too few; a board needs at least one post")
    folder = cache / f"board-{VERSION}-{posts}-{seed}"
    if (folder / "board.json").exists():
        return Sandbox.load(folder)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=".drawing-", dir=cache))
    except OSError as error:
        raise StoreError(f"{cache}: cannot be written ({error.strerror}); choose another folder") from error
    try:
        _draw_all(aside, plan(posts, seed), progress, workers)
        _publish(aside, folder)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror}); free some space") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return Sandbox.load(folder)


def _publish(aside: Path, folder: Path) -> None:
    aside.chmod(0o755)
    try:
        aside.rename(folder)
    except OSError:
        # Somebody else finished the same board meanwhile: it holds the same bytes.
        if not (folder / "board.json").exists():
            raise


def _draw_all(
    folder: Path, plans: tuple[Plan, ...], progress: Callable[[int, int], None] | None, workers: int | None
) -> None:
    (folder / "files").mkdir()
    planted: list[PlantedPost] = []
    for post in _planted(folder, plans, workers):
        planted.append(post)
        if progress is not None:
            progress(len(planted), len(plans))
    body = {"version": VERSION, "posts": [post.to_json() for post in planted]}
    (folder / "board.json").write_text(json.dumps(body))


def _planted(folder: Path, plans: tuple[Plan, ...], workers: int | None) -> Iterator[PlantedPost]:
    count = min(workers or os.cpu_count() or 1, 1 + len(plans) // 50)
    if count == 1:
        yield from (plant(folder, one) for one in plans)
        return
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_start_drawing)
    try:
        yield from pool.map(plant, [folder] * len(plans), plans, chunksize=8)
    finally:
        pool.shutdown(cancel_futures=True)


def _start_drawing() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    die_with_parent()


def die_with_parent() -> None:
    """Ask the kernel to end this process when the one that started it ends; does nothing where that is unknown."""
    if sys.platform != "linux":
        return
    parent = os.getppid()
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
    ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)
    if os.getppid() != parent:  # it ended between the two lines
        os.kill(os.getpid(), signal.SIGTERM)


# --- the plan ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be drawn for one post."""

    number: int = 0
    kind: Kind
    seed: tuple[int, ...]  # of the picture; a copy has its original's
    turn: int  # counts the posts of its kind: decides between the variants
    posted_at: datetime
    rating: str = "g"
    group: str | None = None
    original: Kind = Kind.PORTRAIT


def counts(posts: int) -> dict[Kind, int]:
    """How many posts of each kind a board of this size holds."""
    shares = {kind: share * posts // DEFAULT_POSTS for kind, share in SHARES.items()}
    return {Kind.PORTRAIT: posts - sum(shares.values()), **shares}


def plan(posts: int, seed: int) -> tuple[Plan, ...]:
    """Decide what a board holds, by rising number and time."""
    rng = np.random.default_rng([seed, 1])
    plans = [
        Plan(
            kind=kind,
            seed=(seed, 2, list(Kind).index(kind), turn),
            turn=turn,
            posted_at=_posted_at(kind, turn, rng),
            rating="sqe"[turn % 3] if kind is Kind.RATED else "g",
        )
        for kind, count in counts(posts).items()
        for turn in range(count)
    ]
    portraits = [one for one in plans if one.kind is Kind.PORTRAIT]
    copied = max(1, SHARES[Kind.NEAR_COPY] * posts // DEFAULT_POSTS * 2 // 3)
    groups: dict[tuple[int, ...], str] = {}
    for index, one in enumerate(plans):
        match one.kind:
            case Kind.NEAR_COPY:
                original = portraits[one.turn % copied]
            case Kind.REPOST:
                original = portraits[(copied + one.turn) % len(portraits)]
            case _:
                continue
        group = groups.setdefault(original.seed, f"group-{original.turn}")
        plans[index] = replace(one, seed=original.seed, group=group)
    plans = [replace(one, group=groups.get(one.seed)) if one.kind is Kind.PORTRAIT else one for one in plans]
    plans.sort(key=lambda one: (one.posted_at, one.seed, one.turn))
    number = 1000
    numbered = []
    for one in plans:
        number += int(rng.integers(1, 9))
        numbered.append(replace(one, number=number))
    return tuple(numbered)


def _posted_at(kind: Kind, turn: int, rng: np.random.Generator) -> datetime:
    """A time fixed by the seed; nothing on the board depends on today."""
    match kind:
        case Kind.OLD:
            first, last = datetime(2003, 1, 2, tzinfo=UTC), datetime(2004, 12, 30, tzinfo=UTC)
        case Kind.BOUNDARY if turn % 2 == 0:
            first, last = SINCE + timedelta(minutes=5), SINCE + timedelta(hours=4, minutes=55)
        case Kind.BOUNDARY:
            first, last = SINCE - timedelta(hours=4), SINCE - timedelta(minutes=5)
        case _:
            first, last = datetime(2005, 1, 3, tzinfo=UTC), datetime(2025, 12, 30, tzinfo=UTC)
    span = int((last - first) / timedelta(milliseconds=1))
    return first + timedelta(milliseconds=int(rng.integers(span)))


# --- the files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """What lies on the file host for a post."""

    data: bytes | None  # None: nothing
    ext: str
    size: tuple[int, int]  # pixels, upright
    truth: Truth
    duration: float | None = None
    named: bytes | None = None  # the bytes that the board took the md5 of, when they are not those of the host


def plant(folder: Path, one: Plan) -> PlantedPost:
    """Make the file of one post, write it below *folder*, and tell the truth about it."""
    made = _MAKERS.get(one.kind, _make_portrait)(one)
    stated = made.named or made.data or b""
    md5 = hashlib.md5(stated, usedforsecurity=False).hexdigest()
    if made.data is None:  # a name for what is not there; no other post may have it
        md5 = hashlib.md5(repr(one.seed).encode(), usedforsecurity=False).hexdigest()
    else:
        (folder / "files" / f"{md5}.{made.ext}").write_bytes(made.data)
    reasons = REASONS.get(one.kind, ())
    if one.kind is Kind.BOUNDARY and one.posted_at < SINCE:
        reasons = (Reason.TOO_OLD,)
    return PlantedPost(
        number=one.number,
        kind=one.kind,
        posted_at=one.posted_at,
        rating=one.rating,
        ext=made.ext,
        md5=md5,
        size=len(stated),
        width=made.size[0],
        height=made.size[1],
        truth=made.truth,
        duration=made.duration,
        group=one.group,
        reasons=reasons,
    )


def _encode(picture: Pictures.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _jpeg(picture: Pictures.Image, quality: int = 92, **options: object) -> bytes:
    return _encode(picture, "JPEG", quality=quality, **options)


def _png(picture: Pictures.Image, **options: object) -> bytes:
    # Level 1: five times as fast as the default, for a file a quarter larger.
    return _encode(picture, "PNG", compress_level=1, **options)


def _file(drawing: Drawing, data: bytes | None, ext: str = "jpg", **more: object) -> _File:
    made = _File(data=data, ext=ext, size=drawing.picture.size, truth=drawing.truth)
    return replace(made, **more)  # type: ignore[arg-type]


def _usual(drawing: Drawing, seed: tuple[int, ...]) -> _File:
    """As most posts are: a JPEG, at times a PNG or a WebP."""
    chance = int(np.random.default_rng([*seed, 7]).integers(100))
    if chance < 10:
        return _file(drawing, _png(drawing.picture), "png")
    if chance < 16:
        return _file(drawing, _encode(drawing.picture, "WEBP", quality=90, method=1), "webp")
    return _file(drawing, _jpeg(drawing.picture, 84 + chance % 12))


def _make_portrait(one: Plan) -> _File:
    return _usual(draw_portrait(one.seed), one.seed)


def _make_group(one: Plan) -> _File:
    return _usual(draw_group(one.seed), one.seed)


def _make_scenery(one: Plan) -> _File:
    return _usual(draw_scenery(one.seed), one.seed)


def _make_decoy(one: Plan) -> _File:
    return _usual(draw_decoy(one.seed), one.seed)


def _make_tiny(one: Plan) -> _File:
    return _usual(draw_portrait(one.seed, face=(14, 30)), one.seed)


def _tagged(drawing: Drawing, picture: Pictures.Image, *tags: str) -> Drawing:
    return Drawing(picture, replace(drawing.truth, tags=tuple(sorted({*drawing.truth.tags, *tags}))))


def _make_monochrome(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    grey = drawing.picture.convert("L")
    picture = grey if one.turn % 2 else grey.convert("RGB")
    return _file(_tagged(drawing, picture, "monochrome", "greyscale"), _jpeg(picture))


def _make_near_copy(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    picture = drawing.picture
    rng = np.random.default_rng([*one.seed, 8, one.turn])
    match one.turn % 4:
        case 0:
            factor = float(rng.uniform(0.6, 0.9))
            size = (round(picture.width * factor), round(picture.height * factor))
            small = picture.resize(size, Pictures.Resampling.LANCZOS)
            copy, quality = _moved(drawing, small, factor, 0, 0), 92
        case 1:
            copy, quality = drawing, int(rng.integers(45, 70))
        case 2:
            gains = [1 + float(rng.uniform(-0.06, 0.06)) for _ in range(3)]
            bands = [
                band.point([min(255, round(i * gain)) for i in range(256)])
                for band, gain in zip(picture.split(), gains, strict=True)
            ]
            copy, quality = _moved(drawing, Pictures.merge("RGB", bands), 1.0, 0, 0), 90
        case _:
            left, top = round(picture.width * 0.03), round(picture.height * 0.03)
            right, bottom = picture.width - left // 2, picture.height - top // 2
            copy, quality = _moved(drawing, picture.crop((left, top, right, bottom)), 1.0, left, top), 91
    return _file(copy, _jpeg(copy.picture, quality))


def _moved(drawing: Drawing, picture: Pictures.Image, factor: float, left: int, top: int) -> Drawing:
    """The truth of a copy: boxes first shifted by what was cut off, then scaled."""

    def move(face: FaceTruth) -> FaceTruth:
        box = face.box
        side = round(box.width * factor)
        x, y = round((box.left - left) * factor), round((box.top - top) * factor)
        return replace(face, box=Box(left=x, top=y, width=side, height=side))

    truth = replace(drawing.truth, faces=tuple(move(face) for face in drawing.truth.faces))
    return Drawing(picture, truth)


def _make_nothing(_: Plan) -> _File:
    """Hidden or gone: the row has a size, the file host has nothing."""
    return _File(data=None, ext="jpg", size=(850, 1200), truth=Truth(tags=("1girl", "solo")))


def _make_video(one: Plan) -> _File:
    noise = np.random.default_rng(one.seed).bytes(20_000)
    heads = {
        "mp4": b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom",
        "webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08\x42\x82\x84webm",
    }
    ext = ("mp4", "webm")[one.turn % 2]
    truth = Truth(tags=("1girl", "animated", "video"))
    return _File(data=heads[ext] + noise, ext=ext, size=(1280, 720), truth=truth, duration=12.5)


def _frames(one: Plan) -> tuple[list[Pictures.Image], Truth]:
    drawing = draw_portrait(one.seed, face=(90, 130), long_side=(320, 400))
    frames = [drawing.picture.rotate(angle) for angle in (0, 4, 8, 4)]
    return frames, Truth(tags=tuple(sorted({*drawing.truth.tags, "animated"})))


def _make_ugoira(one: Plan) -> _File:
    frames, truth = _frames(one)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for index, frame in enumerate(frames):
            # A fixed time, or the bytes would depend on today.
            archive.writestr(zipfile.ZipInfo(f"{index:06}.jpg", (2015, 1, 1, 0, 0, 0)), _jpeg(frame))
    return _File(data=buffer.getvalue(), ext="zip", size=frames[0].size, truth=truth, duration=0.4)


def _make_animated(one: Plan) -> _File:
    frames, truth = _frames(one)
    ext = ("gif", "png", "webp")[one.turn % 3]
    options: dict[str, object] = {"save_all": True, "append_images": frames[1:], "duration": 100}
    if ext == "gif":
        options["loop"] = 0
    data = _encode(frames[0], {"gif": "GIF", "png": "PNG", "webp": "WEBP"}[ext], **options)
    stated = 0.4 if one.kind is Kind.ANIMATED else None
    return _File(data=data, ext=ext, size=frames[0].size, truth=truth, duration=stated)


def _make_html(one: Plan) -> _File:
    page = f"<!DOCTYPE html><html><head><title>Not here</title></head><body>Number {one.turn}</body></html>\n"
    return _File(data=page.encode(), ext="jpg", size=(850, 1200), truth=Truth(tags=("1girl", "solo")))


def _make_truncated(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    ext = "png" if one.turn % 3 == 2 else "jpg"
    data = _png(drawing.picture) if ext == "png" else _jpeg(drawing.picture)
    return _file(drawing, data[: len(data) * 6 // 10], ext)


def _make_empty(_: Plan) -> _File:
    return _File(data=b"", ext="jpg", size=(850, 1200), truth=Truth(tags=("1girl", "solo")))


def _make_bomb(one: Plan) -> _File:
    side = 30_000 + 8 * one.turn
    return _File(data=_bomb(side), ext="png", size=(side, side), truth=Truth(tags=("highres", "no_humans")))


def _bomb(side: int) -> bytes:
    """A valid black PNG of *side* by *side* pixels with one bit each."""
    row = bytes(1 + side // 8)
    pack = zlib.compressobj(9)
    packed = b"".join(pack.compress(row * 500) for _ in range(side // 500))
    packed += pack.compress(row * (side % 500)) + pack.flush()
    return _png_of(struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0), packed)


def _png_of(header: bytes, packed: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def _make_wrong_md5(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    return _file(drawing, _jpeg(drawing.picture, 70), named=_jpeg(drawing.picture, 95))


def _make_wrong_extension(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    return _file(drawing, _png(drawing.picture), "jpg")


def _make_cmyk(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    return _file(drawing, _jpeg(drawing.picture.convert("CMYK")))


def _make_sixteen_bit(one: Plan) -> _File:
    drawing = draw_portrait(one.seed, long_side=(700, 900))
    pixels_HWC = np.asarray(drawing.picture).astype(">u2") * 257  # 255 becomes 65535
    rows = pixels_HWC.astype(">u2").reshape(drawing.picture.height, -1).view(np.uint8)
    unfiltered = np.concatenate([np.zeros((len(rows), 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", *drawing.picture.size, 16, 2, 0, 0, 0)
    return _file(drawing, _png_of(header, zlib.compress(unfiltered.tobytes(), 1)), "png")


def _make_palette(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    return _file(drawing, _png(drawing.picture.quantize(256, dither=Pictures.Dither.NONE)), "png")


def _make_exif_rotated(one: Plan) -> _File:
    drawing = draw_portrait(one.seed)
    # How the pixels are stored, for each value of the EXIF tag 0x0112 (orientation) that turns them back.
    stored, orientation = (
        (Pictures.Transpose.ROTATE_90, 6),
        (Pictures.Transpose.ROTATE_270, 8),
        (Pictures.Transpose.ROTATE_180, 3),
        (Pictures.Transpose.FLIP_LEFT_RIGHT, 2),
    )[one.turn % 4]
    exif = Pictures.Exif()
    exif[0x0112] = orientation
    return _file(drawing, _jpeg(drawing.picture.transpose(stored), exif=exif))


_MAKERS: dict[Kind, Callable[[Plan], _File]] = {
    Kind.GROUP: _make_group,
    Kind.NEAR_COPY: _make_near_copy,
    Kind.NO_FACE: _make_scenery,
    Kind.DECOY: _make_decoy,
    Kind.TINY: _make_tiny,
    Kind.MONOCHROME: _make_monochrome,
    Kind.HIDDEN: _make_nothing,
    Kind.GONE: _make_nothing,
    Kind.VIDEO: _make_video,
    Kind.UGOIRA: _make_ugoira,
    Kind.ANIMATED: _make_animated,
    Kind.ANIMATED_UNSTATED: _make_animated,
    Kind.HTML: _make_html,
    Kind.TRUNCATED: _make_truncated,
    Kind.EMPTY: _make_empty,
    Kind.BOMB: _make_bomb,
    Kind.WRONG_MD5: _make_wrong_md5,
    Kind.WRONG_EXTENSION: _make_wrong_extension,
    Kind.CMYK: _make_cmyk,
    Kind.SIXTEEN_BIT: _make_sixteen_bit,
    Kind.PALETTE: _make_palette,
    Kind.EXIF_ROTATED: _make_exif_rotated,
}
