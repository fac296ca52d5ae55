"""What the tests of the dialects share: a board of every kind of post, not drawn, and what Danbooru says of it."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.http import Client
from pipeline.records import Post
from pipeline.sandbox import board
from pipeline.sandbox.draw import Truth
from pipeline.sandbox.posts import SINCE, Kind, PlantedPost, Sandbox
from pipeline.sources import DIALECTS, Fetched, Refused, Source

EXTENSIONS = {Kind.VIDEO: ("mp4", "webm"), Kind.UGOIRA: ("zip",), Kind.ANIMATED: ("gif", "png", "webp")}
Make = Callable[..., Source]


def plant(folder: Path) -> Sandbox:
    """Five posts of each kind with a few bytes each, in an order that mixes kinds and ratings."""
    chance = random.Random(5)
    kinds = list(Kind) * 5
    chance.shuffle(kinds)
    (folder / "files").mkdir(parents=True)
    posts, number = [], 1000
    for turn, kind in enumerate(kinds):
        number += chance.randrange(1, 5)
        posts.append(_planted(folder / "files", number, kind, turn, chance))
    return Sandbox(folder, tuple(posts))


def _planted(folder: Path, number: int, kind: Kind, turn: int, chance: random.Random) -> PlantedPost:
    data = b"" if kind is Kind.EMPTY else chance.randbytes(chance.randrange(100, 3000))
    ext = EXTENSIONS.get(kind, ("jpg", "png"))[turn % len(EXTENSIONS.get(kind, ("jpg", "png")))]
    stated = b"another" + data if kind is Kind.WRONG_MD5 else data
    md5 = hashlib.md5(stated, usedforsecurity=False).hexdigest()
    if kind in {Kind.HIDDEN, Kind.GONE}:
        md5 = hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()
    else:
        (folder / f"{md5}.{ext}").write_bytes(data)
    moves = kind in {Kind.VIDEO, Kind.UGOIRA, Kind.ANIMATED}
    return PlantedPost(
        number=number,
        kind=kind,
        posted_at=SINCE + timedelta(days=turn, seconds=chance.randrange(86_400), milliseconds=chance.randrange(1000)),
        rating="gsqe"[turn % 4],
        ext=ext,
        md5=md5,
        size=len(stated),
        width=640,
        height=480,
        truth=Truth(tags=("1girl", "solo", ("long_hair", "short_hair")[turn % 2])),
        duration=1.5 if moves else None,
    )


@contextmanager
def serve(sandbox: Sandbox, path: str, *, faults: bool = False) -> Iterator[tuple[board.Board, Make]]:
    """The board on its good or bad day, and a maker of sources for what lies below *path*."""
    with board.serve(sandbox, faults=faults) as served:
        client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=6)
        kind = path.partition("-")[0].removeprefix("/") or "danbooru"
        site = f"https://s.invalid{path}"
        yield served, partial(DIALECTS[kind], name="s", address=served.url + path, site=site, client=client)
        client.close()


def listed(source: Source) -> dict[int, Post]:
    """All posts by number; none may come twice."""
    posts = [post for page in source.pages(None) for post in page.posts]
    numbers = [number_of(post) for post in posts]
    assert numbers == sorted(set(numbers), reverse=True)
    return dict(zip(numbers, posts, strict=True))


def killed(make: Make, **fields: Any) -> list[int]:
    """The numbers, where each run is killed after two pages (the first looks for what is new) and another goes on."""
    numbers: list[int] = []
    cursor: dict[str, Any] | None = None
    while cursor is None or cursor["unread"]:
        for page in islice(make(**fields).pages(cursor), 2):
            numbers += [number_of(post) for post in page.posts]
            cursor = page.cursor
    return numbers


def fetched(source: Source, posts: dict[int, Post], folder: Path) -> dict[int, Fetched | Refused]:
    """What each file turned out to be; posts without one are left out."""
    folder.mkdir()
    return {
        number: _told(source.fetch(post, folder / str(number), 10_000))
        for number, post in posts.items()
        if post.file_url is not None
    }


def _told(answer: Fetched | Refused) -> Fetched | Refused:
    return answer if isinstance(answer, Fetched) else Refused(answer.reason)  # the detail may name another checksum


def number_of(post: Post) -> int:
    return int(post.id.partition(":")[2])


def second(moment: datetime | None) -> datetime | None:
    return moment and moment.replace(microsecond=0)


def compare(
    sandbox: Sandbox, path: str, folder: Path, says: dict[str, str], *, faults: bool, **fields: Any
) -> dict[int, Post]:
    """Hold what comes from *path* against what comes in Danbooru's dialect; *says* maps its ratings.

    Returns:
        The posts, to look at what is the dialect's own.
    """
    with serve(sandbox, "") as (_, make):
        known = listed(make())
        files = fetched(make(), known, folder / "known")
    with pytest.MonkeyPatch.context() as patch, serve(sandbox, path, faults=faults) as (served, make):
        patch.setattr(board, "STALL_S", 0.01)
        found = listed(make(page_size=37, **fields))
        theirs = fetched(make(), found, folder / "found")
        assert {one.fault for one in served.log} >= {board.Fault.EMPTY_LIST} or not faults
        assert killed(make, page_size=37, **fields) == list(found)
    assert found.keys() == known.keys()
    for number, post in found.items():
        other = known[number]
        assert second(post.posted_at) == second(other.posted_at)
        # A hidden post has no rating and no tags on some boards, and its file is nobody's.
        if other.file_url is not None:
            assert post.rating == says[other.rating or ""]
            assert post.ext == other.ext or post.file_url is None
            assert post.md5 in {None, other.md5}
            assert set(post.tags) >= set(other.tags)
            assert post.origin_url == other.origin_url
            if post.series:  # where a dialect tells kinds of tags, it tells all of them
                assert (post.artists, post.characters, post.series) == (other.artists, other.characters, other.series)
        else:
            assert (post.file_url, post.md5) == (None, None)
    assert theirs == {number: files[number] for number in theirs}
    return found
