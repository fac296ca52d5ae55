"""Hides films: a frame of each shot becomes a picture, with its real time, and near copies of the last are left out."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_to_bytes, urlsplit

import cv2
import numpy as np

from pipeline.errors import UsageError, WorldError
from pipeline.http import Fetched, Part, Refused
from pipeline.pixels import Pixels, encode_png, phash
from pipeline.records import Post, Reason
from pipeline.sources import Page
from pipeline.sources.folder import files_below

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEOS = frozenset({"mp4", "mkv", "avi", "webm", "mov"})
# FFmpeg's names of what reads those. A text that is named .avi may be a play list, which names files and hosts to open.
DEMUXERS = "mov,matroska,avi"
CHOICE = 1  # raised when the same settings choose other frames
SMALL = 128  # pixels of the longer side of the frames that are compared
MIN_GAP_MS = 250  # between two looks: a flashing screen is one scene
FLAT = 3.0  # standard deviation of brightness; the perceptual hash of a black screen is that of its noise
MAX_PIXELS = 64_000_000  # of a frame; 8K has 33 million
MAX_FRAMES = 1_000_000  # of a film; four hours at 60 a second are fewer
LEG_MS = 10_000  # a film is sought by legs, and read on within one; films seldom have key frames further apart
BEFORE_MS = 1_000  # frames just before a key frame may need the key frame before it
STEP_MS = 40  # to a frame without a time, where the film states no rate
UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED: the film does not say how its colours are meant
BT709 = 1  # AVCOL_SPC_BT709
# W3C Media Fragments: time and place in what the address names.
FRAGMENTS = {"": "", "l": "&xywh=percent:0,0,50,100", "r": "&xywh=percent:50,0,50,100"}


@dataclass(frozen=True, kw_only=True)
class VideoSource:
    """Lists frames of the films in a folder; the same film gives the same posts, whatever lies beside it."""

    name: str
    path: Path  # a film, or a folder of films
    rating: str | None = "g"  # of all of them: a film does not say
    every_s: float = 1.0  # longest time from one look to the next
    scene_threshold: float = 27.0  # mean change of hue, saturation and value; as PySceneDetect's ContentDetector
    max_distance: int = 6  # bits of 64, to a kept frame, that make a near copy
    last_kept: int = 8  # kept frames that a new one is compared with
    halves: bool = False  # the left and the right half of each frame too
    max_s: float = 14_400.0  # seconds of each film that are looked at
    limit: int | None = None  # posts in one call of pages()
    _reader: _Reader = field(default_factory=lambda: _Reader(), init=False, compare=False, repr=False)  # noqa: PLW0108  stands below

    @property
    def listing(self) -> str:
        """Name, place, and all that chooses frames: with other settings each film is looked at again."""
        rules = (
            f"{CHOICE} {self.every_s:g} {self.scene_threshold:g} {self.max_distance} {self.last_kept} {self.max_s:g}"
        )
        return f"{self.name} {Path(self.path).expanduser().resolve()} [{rules}]"

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """List all frames, film by film, sorted by name; a film that is remembered unchanged is not decoded again.

        The cursor is `{"films": {path: {"size": bytes, "mtime_ns": n, "sha256": hex, "times": [ms, …]}}}`, given with
        each film that was decoded. The last page has none: everything was listed, so what is missing has gone. A film
        that gives no frame is one post without a file.

        Raises:
            UsageError: There is no such folder, or no film in it.
            WorldError: PyAV is not installed.
        """
        _av()
        root, files = self._files()
        past = (cursor or {}).get("films", {})
        names = [_relative(root, file) for file in files]
        known = {name: past[name] for name in names if name in past}
        left = self.limit
        for file, name in zip(files, names, strict=True):
            if left == 0:
                break
            entry = self._entry(file, known.get(name))
            fresh = entry != known.get(name)
            known[name] = entry
            posts = tuple(self._posts(file, name, entry))[:left]
            left = None if left is None else left - len(posts)
            yield Page(posts, {"films": dict(known)} if fresh else None)
        yield Page((), None)

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Decode the frame and write it as a PNG of our own making."""
        address, _, fragment = (post.file_url or "").partition("#t=")
        file = Path(os.fsdecode(unquote_to_bytes(urlsplit(address).path)))
        seconds, _, place = fragment.partition("&")
        content = post.id.rpartition("#")[2][:8]
        pixels_HWC = self._reader.frame(file, content, int(seconds.replace(".", "")))
        if isinstance(pixels_HWC, Refused):
            return pixels_HWC
        png = encode_png(_half(pixels_HWC, place))
        if len(png) > max_bytes:
            return Refused(Reason.TOO_LARGE)
        part = Part(target)
        part.begin({})
        with part.append() as whole:
            whole.write(png)
        part.finish()
        return Fetched(hashlib.md5(png, usedforsecurity=False).hexdigest(), len(png))

    def _files(self) -> tuple[Path, list[Path]]:
        path = Path(self.path).expanduser()
        if path.is_file() and _ending(path) in VIDEOS:
            path = path.resolve()
            return path.parent, [path]
        endings = ", ".join(f".{one}" for one in sorted(VIDEOS))
        if not path.is_dir():
            raise UsageError(
                f"{self.path}: is no folder and no film ({endings}); give the path of source {self.name!r}"
            )
        root = path.resolve()
        files = list(files_below(root, VIDEOS))
        if not files:
            raise UsageError(f"{self.path}: holds no film ({endings}); give the path of source {self.name!r} again")
        return root, files

    def _entry(self, file: Path, known: dict[str, Any] | None) -> dict[str, Any]:
        """Say what is in *file*; its frames are looked for only where neither its date nor its bytes are known."""
        try:
            status = file.stat()
            facts = {"size": status.st_size, "mtime_ns": status.st_mtime_ns}
            if known and facts.items() <= known.items():
                return known
            sha256 = _sha256(file)
        except OSError:
            return {"size": None, "mtime_ns": None, "sha256": "unread", "times": []}
        same = known is not None and known["sha256"] == sha256
        return {**facts, "sha256": sha256, "times": known["times"] if known and same else self._times(file)}

    def _times(self, file: Path) -> list[int]:
        """Choose frames, in one pass; gives their times in milliseconds, rising."""
        wants = _Chooser(
            every_ms=round(self.every_s * 1000),
            threshold=self.scene_threshold,
            max_distance=self.max_distance,
            kept=deque(maxlen=self.last_kept),
        )
        times: list[int] = []
        first = last = None
        with _Film(file) as film:
            for at_ms, frame in film.frames():
                first = at_ms if first is None else first
                if at_ms - first > self.max_s * 1000:
                    break
                if last is not None and at_ms <= last:
                    continue  # the film's clock was set back: a time must name one frame
                last = at_ms
                small_HWC = film.small(frame)
                if small_HWC is not None and wants(at_ms, small_HWC):
                    times.append(at_ms)
        return times

    def _posts(self, file: Path, name: str, entry: dict[str, Any]) -> Iterator[Post]:
        content = entry["sha256"][:8]
        common: dict[str, Any] = {
            "rating": self.rating,
            "tags": ("_".join(Path(name).stem.split()),),
            "posted_at": _moment(entry["mtime_ns"]),
        }
        page = f"{self.name}:{name}"
        if not entry["times"]:
            yield Post(id=f"{page}#{content}", file_url=None, page_url=page, **common)
        for at_ms in entry["times"]:
            place = f"{page}@{at_ms:08}"  # with zeros, so that posts sorted by id come in the order of the film
            address = f"{file.as_uri()}#t={at_ms // 1000}.{at_ms % 1000:03}"
            for part in ("", "l", "r") if self.halves else ("",):
                yield Post(
                    id=f"{place}#{content}{part}",
                    file_url=address + FRAGMENTS[part],
                    page_url=place,
                    ext="png",
                    **common,
                )


@dataclass
class _Chooser:
    """Says of each frame whether it is taken: at a cut or when it is time, unless it looks like one of the last."""

    every_ms: int
    threshold: float
    max_distance: int
    kept: deque[int]  # perceptual hashes
    _looked_ms: int | None = None
    _before: Pixels | None = None  # HSV, reduced
    _cut: bool = False

    def __call__(self, at_ms: int, small_HWC: Pixels) -> bool:
        hsv_HWC: Pixels = cv2.cvtColor(small_HWC, cv2.COLOR_RGB2HSV).astype(np.uint8, copy=False)
        self._cut = self._cut or _change(self._before, hsv_HWC) >= self.threshold
        self._before = hsv_HWC
        if self._looked_ms is not None:
            since = at_ms - self._looked_ms
            if since < (MIN_GAP_MS if self._cut else self.every_ms):
                return False
        self._looked_ms, self._cut = at_ms, False
        if float(hsv_HWC[:, :, 2].std()) < FLAT:
            return False
        look = int(phash(small_HWC), 16)
        if any((look ^ one).bit_count() <= self.max_distance for one in self.kept):
            return False
        self.kept.append(look)
        return True


class _Film:
    """One film, opened; where nothing can be read of it, it has no frames."""

    def __init__(self, file: Path) -> None:
        self._stack = ExitStack()
        self._container: InputContainer | None = None
        self._stream: VideoStream | None = None
        self._troubles = _troubles()
        try:
            self._open(file)
        except self._troubles:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container = self._stream = None
        self._stack.close()

    def seek(self, at_ms: int) -> bool:
        """Go to the key frame before *at_ms*; False where the film cannot."""
        if self._container is None or self._stream is None or not self._stream.time_base:
            return False
        ticks = Fraction(max(0, at_ms), 1000) / self._stream.time_base
        try:
            self._container.seek(int(ticks), stream=self._stream)
        except self._troubles:
            return False
        return True

    def frames(self, *, counted: bool = True) -> Iterator[tuple[int, VideoFrame]]:
        """Give whole frames, as they are shown, with their times in milliseconds, from where the film stands.

        Args:
            counted: A frame without a time gets that of the one before it and a step. After `seek` nobody knows the
                one before: end there.
        """
        last: int | None = None
        for frame in self._decoded():
            at_ms = _time(frame)
            if at_ms is None:
                if not counted:
                    return
                at_ms = 0 if last is None else last + self._step_ms
            last = at_ms
            if at_ms >= 0 and frame.width * frame.height <= MAX_PIXELS:
                yield at_ms, frame

    def small(self, frame: VideoFrame) -> Pixels | None:
        """Reduce a frame to `SMALL` pixels; None where it has no colours that can be read."""
        longer = max(frame.width, frame.height)
        size = [max(1, side * SMALL // longer) for side in (frame.width, frame.height)]
        return self._converted(frame, size[0], size[1], "AREA")

    def pixels(self, frame: VideoFrame) -> Pixels | None:
        """Give a frame whole, as it is meant to be seen: upright, its pixels square."""
        width, height = frame.width, frame.height
        shape = self._stream.sample_aspect_ratio if self._stream is not None else None
        if shape and Fraction(1, 4) <= shape <= 4:
            width, height = (round(width * shape), height) if shape > 1 else (width, round(height / shape))
        straight_HWC = self._converted(frame, width, height, "BICUBIC")
        if straight_HWC is None:
            return None
        return np.ascontiguousarray(np.rot90(straight_HWC, round(frame.rotation / 90)))

    def _open(self, file: Path) -> None:
        av = _av()
        limit = {"max_pixels": str(MAX_PIXELS)}
        # As bytes, not by name: no name means a protocol then, and any name will do.
        data = self._stack.enter_context(file.open("rb"))
        container = self._stack.enter_context(
            av.open(
                data,
                "r",
                options=limit,
                container_options={"format_whitelist": DEMUXERS, "protocol_whitelist": "none"},
                metadata_errors="replace",
            )
        )
        cover = av.stream.Disposition.attached_pic
        stream = next((one for one in container.streams.video if not one.disposition & cover), None)
        if stream is None or stream.codec_context is None:  # a codec that nobody knows has no context
            return
        # With threads a damaged film gives now these frames, now those.
        stream.codec_context.thread_count = 1
        # What no other frame is built upon is skipped: twice as fast, and nothing is lost on twos.
        stream.codec_context.skip_frame = "NONREF"
        stream.codec_context.options = {**limit, "err_detect": "crccheck+bitstream+buffer+explode"}
        self._container, self._stream = container, stream
        rate = stream.average_rate
        self._step_ms = max(1, round(1000 / rate)) if rate else STEP_MS

    def _decoded(self) -> Iterator[VideoFrame]:
        """Decode as far as anything comes; behind what is broken, from the next key frame on.

        What is built upon a broken frame is painted over by guesses that depend on where the reading began.
        """
        if self._container is None or self._stream is None:
            return
        packets = self._container.demux(self._stream)
        count, sound = 0, False
        while count < MAX_FRAMES:
            try:
                packet = next(packets, None)
            except self._troubles:
                return
            if packet is None:
                return
            count += 1
            sound = sound and not packet.is_corrupt
            try:
                frames = packet.decode()
            except self._troubles:
                sound = False
                continue
            for frame in frames:
                sound = not frame.is_corrupt and (sound or frame.key_frame)
                if sound:
                    yield frame

    def _converted(self, frame: VideoFrame, width: int, height: int, way: str) -> Pixels | None:
        """Convert to RGB in whole numbers: the same on every machine."""
        kinds = _av().video.reformatter.Interpolation
        flags = kinds[way] | kinds.ACCURATE_RND | kinds.BITEXACT | kinds.FULL_CHR_H_INT | kinds.FULL_CHR_H_INP
        # Where a film does not say, players take high definition for BT.709; FFmpeg takes all for BT.601.
        high = (
            frame.colorspace == UNSPECIFIED and (frame.width >= 1280 or frame.height > 576) and not frame.format.is_rgb
        )
        try:
            rgb = frame.reformat(
                width, height, "rgb24", src_colorspace=BT709 if high else None, interpolation=int(flags), threads=1
            )
            return np.asarray(rgb.to_ndarray(), np.uint8)
        except self._troubles:
            return None


class _Track:
    """A film read from one place on, and the frame that was read last."""

    def __init__(self, file: Path, leg: int) -> None:
        self.place = (file, leg)
        self.at_ms = -1
        self._pixels_HWC: Pixels | None = None
        self._film = _Film(file)
        sought = leg == 0 or self._film.seek(leg * LEG_MS - BEFORE_MS)
        self._frames = self._film.frames(counted=leg == 0) if sought else iter(())

    def read_to(self, at_ms: int) -> Pixels | None:
        """Decode on to the frame of that time; None when the film passes it by."""
        while self.at_ms < at_ms:
            now_ms, frame = next(self._frames, (at_ms + 1, None))
            self.at_ms = now_ms
            # One that lies beyond is kept as well: it may be asked for next.
            self._pixels_HWC = self._film.pixels(frame) if frame is not None and now_ms >= at_ms else None
        return self._pixels_HWC if self.at_ms == at_ms else None

    def close(self) -> None:
        """Let go of the film."""
        self._film.close()


class _Reader:
    """Keeps films open where they were read last: frames are mostly asked for in the order of the film."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._contents: dict[Path, tuple[int, int, str]] = {}  # size, time of the last change, SHA-256
        self._leg: _Track | None = None
        self._start: _Track | None = None  # for what no leg leads to; a film without an index is read but once so

    def frame(self, file: Path, content: str, at_ms: int) -> Pixels | Refused:
        """Give the frame shown at *at_ms*, if the film's SHA-256 still begins with *content*."""
        with self._lock:
            try:
                sha256 = self._sha256(file)
            except FileNotFoundError:
                return Refused(Reason.GONE, "moved or deleted after it was listed")
            except OSError as error:
                return Refused(Reason.UNREACHABLE, error.strerror or "cannot be read")
            if not sha256.startswith(content):
                return Refused(Reason.WRONG_MD5, "changed after it was listed")
            pixels_HWC = self._find(file, at_ms)
        return Refused(Reason.CORRUPT, "the film gives this frame no more") if pixels_HWC is None else pixels_HWC

    def _sha256(self, file: Path) -> str:
        status = file.stat()
        facts = (status.st_size, status.st_mtime_ns)
        known = self._contents.get(file)
        if known is None or known[:2] != facts:
            self._close()  # or what is open would be read on
            known = self._contents[file] = (*facts, _sha256(file))
        return known[2]

    def _close(self) -> None:
        for track in filter(None, (self._leg, self._start)):
            track.close()
        self._leg = self._start = None

    def _find(self, file: Path, at_ms: int) -> Pixels | None:
        """Look along the leg, then from the start: the way to a frame never depends on what was asked for before."""
        if leg := at_ms // LEG_MS:
            self._leg = _track(self._leg, file, leg, at_ms)
            found = self._leg.read_to(at_ms)
            if found is not None:
                return found
        self._start = _track(self._start, file, 0, at_ms)
        return self._start.read_to(at_ms)


def _track(track: _Track | None, file: Path, leg: int, at_ms: int) -> _Track:
    """Give *track* where it leads to that time, else a new one."""
    if track is not None and track.place == (file, leg) and track.at_ms <= at_ms:
        return track
    if track is not None:
        track.close()
    return _Track(file, leg)


def _av() -> Any:
    """Give PyAV, which only films need.

    Raises:
        WorldError: It is not installed.
    """
    try:
        import av  # noqa: PLC0415  an extra: whoever reads no films need not have it
        import av.stream  # noqa: PLC0415
        import av.video.reformatter  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise WorldError("films are read by PyAV, which is missing; pip install 'kaoset[video]'") from error
    return av


def _troubles() -> tuple[type[Exception], ...]:
    """What PyAV raises on bytes that were cut, or made to hurt (found by fuzzing; tests/sources/test_video.py)."""
    own: type[Exception] = _av().FFmpegError
    return (own, ArithmeticError, LookupError, MemoryError, OSError, RuntimeError, ValueError)


def _time(frame: VideoFrame) -> int | None:
    """Read when a frame is shown, in milliseconds; None where the film does not say."""
    ticks = frame.dts if frame.pts is None else frame.pts
    return None if ticks is None or not frame.time_base else round(ticks * frame.time_base * 1000)


def _change(before_HWC: Pixels | None, now_HWC: Pixels) -> float:
    """Measure the mean change of hue, saturation and value, 0 to 255; a first frame is all change."""
    if before_HWC is None or before_HWC.shape != now_HWC.shape:
        return 255.0
    return float(np.abs(before_HWC.astype(np.int16) - now_HWC).mean())


def _half(pixels_HWC: Pixels, place: str) -> Pixels:
    width = pixels_HWC.shape[1]
    match place:
        case "":
            return pixels_HWC
        case "xywh=percent:0,0,50,100":
            return pixels_HWC[:, : (width + 1) // 2]
        case _:
            return pixels_HWC[:, width // 2 :]


def _ending(file: Path) -> str:
    return file.suffix.lower().removeprefix(".")


def _relative(root: Path, file: Path) -> str:
    return os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _moment(mtime_ns: int | None) -> datetime | None:
    try:
        return None if mtime_ns is None else datetime.fromtimestamp(mtime_ns // 10**9, UTC)
    except (ValueError, OverflowError, OSError):
        return None
