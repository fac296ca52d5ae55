"""Hides many boards in a process of their own: small files, faults by seed, and the end that each post must come to."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pictures

from pipeline.records import Reason
from pipeline.sandbox import board
from pipeline.sandbox.board import LIES, PLAIN_FAULTS, Asked, Climate, Fault
from pipeline.sandbox.draw import Truth
from pipeline.sandbox.posts import REASONS, SINCE, Kind, PlantedPost, Sandbox, die_with_parent

GAP = 3  # between two ids, at most
PER_HOST = 1_000_000  # ids of one host lie in a million of their own
WRONG_SHARE = 0.05  # of all posts that are planted to be dropped, and of all answers that go wrong
# What is wrong with a post for ever, and how often among a hundred such posts.
BAD: Mapping[Kind | Fault, int] = {
    **dict.fromkeys((Kind.HIDDEN, Kind.DELETED, Kind.RATED, Kind.VIDEO, Kind.ANIMATED), 5),
    **dict.fromkeys((Kind.GONE, Kind.HTML, Kind.TRUNCATED, Kind.EMPTY, Kind.WRONG_MD5), 12),
    **dict.fromkeys((Kind.ANIMATED_UNSTATED, Kind.BOMB, Fault.DENIED), 4),
    Fault.ERROR: 3,  # each costs all the tries there are
}
NEVER = {Fault.DENIED: Reason.FORBIDDEN, Fault.ERROR: Reason.UNREACHABLE}
SLOW_SCALE = 4  # a slow file has longer sides, so that something of it lies on the disk when a kill comes


@dataclass(frozen=True)
class Host:
    """One board, and what must become of its posts."""

    sandbox: Sandbox
    always: Mapping[str, Fault]  # files that never come, or slowly, and how

    def reason(self, post: PlantedPost) -> Reason | None:
        """Say why a post must be dropped; None: it must be kept."""
        return NEVER.get(self.always.get(post.file, Fault.SLOW), post.reason)

    def data(self, post: PlantedPost) -> bytes:
        """The original."""
        return self.sandbox.bytes_of(post.number)


def plant(
    folder: Path, *, hosts: int, posts: int, side: int, bad: float = WRONG_SHARE, slow: float = 0.0, seed: int = 0
) -> list[Host]:
    """Write boards whose files are all different.

    Args:
        folder: Gets a folder for each host.
        hosts: How many.
        posts: Of each host.
        side: Of the pictures, pixels.
        bad: Share of posts that are planted to be dropped, by `BAD`.
        slow: Share of posts whose file is larger and comes slowly.
        seed: The same seed gives the same bytes.
    """
    shares = {"bad": round(posts * bad), "slow": round(posts * slow)}
    return [
        _plant(folder / str(host), posts, side, random.Random(f"{seed} {host}"), host, **shares)
        for host in range(hosts)
    ]


def _plant(folder: Path, posts: int, side: int, chance: random.Random, host: int, *, bad: int, slow: int) -> Host:
    (folder / "files").mkdir(parents=True)
    kinds: list[Kind | Fault] = [*chance.choices(list(BAD), list(BAD.values()), k=bad), *[Fault.SLOW] * slow]
    kinds += [Kind.PORTRAIT] * (posts - len(kinds))
    chance.shuffle(kinds)
    planted, always, number = [], {}, host * PER_HOST + 1
    for kind in kinds:
        number += chance.randint(1, GAP)
        shown = kind if isinstance(kind, Kind) else Kind.PORTRAIT
        post = _write(folder / "files", number, shown, side * SLOW_SCALE if kind is Fault.SLOW else side, chance)
        planted.append(post)
        if isinstance(kind, Fault):
            always[post.file] = kind
    return Host(Sandbox(folder, tuple(planted)), always)


def _write(folder: Path, number: int, kind: Kind, side: int, chance: random.Random) -> PlantedPost:
    data = _MAKERS.get(kind, _jpeg)(number, side)
    ext = {Kind.VIDEO: "mp4", Kind.ANIMATED: "gif", Kind.ANIMATED_UNSTATED: "gif", Kind.BOMB: "png"}.get(kind, "jpg")
    md5 = _md5(str(number).encode() + data if kind in {Kind.WRONG_MD5, Kind.EMPTY} else data)  # no two files are one
    if kind not in {Kind.HIDDEN, Kind.GONE}:
        (folder / f"{md5}.{ext}").write_bytes(data)
    return PlantedPost(
        number=number,
        kind=kind,
        posted_at=SINCE + timedelta(seconds=number),
        rating=chance.choice("sqe") if kind is Kind.RATED else "g",
        ext=ext,
        md5=md5,
        size=len(data),
        width=side,
        height=side,
        truth=Truth(tags=("1girl", "solo")),
        duration=1.0 if kind in {Kind.VIDEO, Kind.ANIMATED} else None,
        reasons=REASONS.get(kind, ()),
    )


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


# --- files ------------------------------------------------------------------------------------------------------------


def _draw(number: int, side: int) -> NDArray[np.uint8]:
    """Some coloured shapes under noise: as costly to decode as a photograph, and unlike any other. RGB, HxWx3."""
    rng = np.random.default_rng(number)
    pixels_HWC = np.empty((side, side, 3), np.int16)
    pixels_HWC[:] = rng.integers(40, 216, 3)
    for _ in range(8):
        top, left = rng.integers(0, side, 2)
        height, width = rng.integers(side // 8, side // 2, 2)
        pixels_HWC[top : top + height, left : left + width] = rng.integers(40, 216, 3)
    pixels_HWC += rng.integers(-12, 13, (side, side, 1), np.int16)
    return pixels_HWC.clip(0, 255).astype(np.uint8)


def _jpeg(number: int, side: int) -> bytes:
    buffer = io.BytesIO()
    Pictures.fromarray(_draw(number, side)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _gif(number: int, side: int) -> bytes:
    buffer = io.BytesIO()
    first, second = (Pictures.fromarray(_draw(number + turn, side)) for turn in range(2))
    first.save(buffer, "GIF", save_all=True, append_images=[second], duration=100)
    return buffer.getvalue()


def _bomb(number: int, side: int) -> bytes:
    """A small PNG whose header says 400 megapixels; what lies behind the end nobody reads, and is unlike any other."""
    buffer = io.BytesIO()
    Pictures.new("1", (side, side)).save(buffer, "PNG")
    data = buffer.getvalue()
    header = b"IHDR" + struct.pack(">II", 20_000, 20_000) + data[24:29]
    return data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:] + str(number).encode()


_MAKERS: Mapping[Kind, Callable[[int, int], bytes]] = {
    Kind.VIDEO: lambda number, _: b"\0\0\0\x18ftypmp42" + str(number).encode(),
    Kind.ANIMATED: _gif,
    Kind.ANIMATED_UNSTATED: _gif,
    Kind.HTML: lambda number, _: f"<!DOCTYPE html><title>{number}</title>".encode(),
    Kind.TRUNCATED: lambda number, side: _jpeg(number, side)[:-300],
    Kind.EMPTY: lambda *_: b"",
    Kind.BOMB: _bomb,
}


# --- serving ----------------------------------------------------------------------------------------------------------


def section(name: str, url: str, **fields: Any) -> dict[str, Any]:
    """Give a source of a recipe that lists all of a board, without any pause unless *fields* say so."""
    return {
        "kind": "danbooru",
        "board": url,
        "name": name,
        "push_down": False,
        "min_gap_s": 0.0,
        "private_hosts": True,
        **fields,
    }


@dataclass(frozen=True)
class Served:
    """Hosts that answer, each on a port of its own; the process that serves them ends with the block of `serve`."""

    hosts: Sequence[Host]
    urls: Sequence[str]
    _wire: Connection

    def sections(self, **fields: Any) -> list[dict[str, Any]]:
        """Give the sources of a recipe, one for each host, named ``h0``, ``h1`` …; *fields* go into each."""
        return [section(f"h{number}", url, **fields) for number, url in enumerate(self.urls)]

    def ends(self) -> dict[str, Reason | None]:
        """Say for every post, by its id in `sections`, why it must be dropped; None: it must be kept."""
        return {
            f"h{number}:{post.number}": host.reason(post)
            for number, host in enumerate(self.hosts)
            for post in host.sandbox.posts
        }

    def log(self) -> list[list[Asked]]:
        """Give the requests that came to each host, by time of arrival."""
        self._wire.send("log")
        found: list[list[Asked]] = self._wire.recv()
        return found

    def count(self) -> int:
        """Say how many requests came to all hosts together."""
        self._wire.send("count")
        return int(self._wire.recv())

    def forget(self) -> None:
        """Begin the logs anew."""
        self._wire.send("forget")
        self._wire.recv()


@contextmanager
def serve(hosts: Sequence[Host], *, share: float = 0.0, seed: int = 0) -> Iterator[Served]:
    """Serve *hosts* from one new process; *share* of their answers go wrong, in all ways that the sandbox knows."""
    context = multiprocessing.get_context("spawn")  # a fork after OpenCV was used deadlocks
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(hosts, share, seed, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Served(hosts, ours.recv(), ours)
    finally:
        ours.close()
        process.terminate()  # fifty servers take their time to close in good order
        process.join()


def _serve(hosts: Sequence[Host], share: float, seed: int, wire: Connection) -> None:
    """Serve until the other end of *wire* is closed."""
    die_with_parent()
    with ExitStack() as stack:
        boards = [
            stack.enter_context(board.serve(host.sandbox, faults=_climate(host, share, f"{seed}{number}")))
            for number, host in enumerate(hosts)
        ]
        wire.send([one.url for one in boards])
        while (word := _next(wire)) is not None:
            wire.send(_answer(word, [one.log for one in boards]))


def _answer(word: str, logs: list[list[Asked]]) -> list[list[Asked]] | int:
    count = sum(len(log) for log in logs)
    if word == "log":
        return logs
    if word == "forget":
        for log in logs:
            log.clear()
    return count


def _climate(host: Host, share: float, seed: str) -> Climate | bool:
    if not share and not host.always:
        return False
    return Climate(seed=int(seed), share=share, kinds=(*PLAIN_FAULTS, *LIES, *LIES), always=host.always)


def _next(wire: Connection) -> str | None:
    try:
        word: str = wire.recv()
    except EOFError:
        return None
    return word
