"""pipeline.scrape: only still pictures in the store, nothing beside them, whatever the network does."""

from __future__ import annotations

import hashlib
import itertools
import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import faulty
import make
import numpy as np
import planted
import pytest
from faulty import cut, ranged, reply, stall

from pipeline import lanes
from pipeline.errors import StoreError, UsageError
from pipeline.groups import hashes_of_parts
from pipeline.http import Client
from pipeline.pixels import decode, encode_png
from pipeline.records import Image, Post, Reason
from pipeline.sandbox import board
from pipeline.sandbox.posts import build
from pipeline.scrape import FetchFiles
from pipeline.sources import BOARDS
from pipeline.sources.danbooru import DanbooruSource
from pipeline.stage import Dropped, Kept, Outcome, fingerprint
from pipeline.store import Store
from pipeline.workers import Calls


def picture(seed: int = 0, side: int = 32) -> bytes:
    return encode_png(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8))


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


@dataclass
class Yard:
    """A file host, a store, and the stage between them."""

    server: faulty.Server
    folder: Path
    client: Client = field(
        default_factory=lambda: Client(
            private=True, min_gap_s=0.0, backoff_s=0.01, tries=3, read_timeout_s=1.0, max_wait_s=30.0
        )
    )

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    def stage(self, **fields: Any) -> FetchFiles:
        source = DanbooruSource(
            name="sandbox", address=self.server.address, site="https://s.invalid", client=self.client
        )
        return make.fetch_files(self.folder, {"sandbox": source}, **{"stop": self.client.stop, **fields})

    def post(self, number: int, data: bytes | None = None, *answers: faulty.Answer, **fields: Any) -> Post:
        """A post whose file the host has, unless *answers* say otherwise."""
        given = answers or ((ranged(data),) if data is not None else (reply(404),))
        self.server.on(f"/{number}.png", *given)
        digest = md5(data) if data is not None else make.md5(number)
        return make.post(number, **{"file_url": f"https://s.invalid/{number}.png", "md5": digest, **fields})

    def run(self, *posts: Post, **fields: Any) -> list[Outcome[Post, Image]]:
        stage = self.stage(**fields)
        outcomes = list(stage(posts, self.store))
        stage.settled(posts)
        return sorted(outcomes, key=lambda outcome: outcome.item.id)

    def stored(self) -> set[str]:
        return {path.name for path in self.store.root.rglob("*") if path.is_file()}

    def under_way(self) -> list[str]:
        return sorted(path.name for path in self.parts.iterdir())


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    with faulty.serve() as server:
        yield Yard(server, tmp_path)


def reasons(outcomes: list[Outcome[Post, Image]]) -> list[Reason | None]:
    return [outcome.reason if isinstance(outcome, Dropped) else None for outcome in outcomes]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("lane")]


def test_a_picture_goes_into_the_store(yard: Yard) -> None:
    """The image says what the bytes are, and whose post they came with."""
    data = picture(side=40)
    post = yard.post(1, data)

    (outcome,) = yard.run(post)

    sha256 = hashlib.sha256(data).hexdigest()
    assert isinstance(outcome, Kept)
    (image,) = outcome.outputs
    assert image == Image(
        sha256=sha256,
        md5=md5(data),
        post_id=post.id,
        width=40,
        height=40,
        bytes=len(data),
        format="PNG",
        phash=image.phash,
        phashes=image.phashes,
    )
    assert image.phashes == hashes_of_parts(decode(data, max_pixels=10**6))
    assert yard.store.get(sha256) == data
    assert yard.under_way() == []


def test_every_post_gets_one_outcome(yard: Yard) -> None:
    """Many more posts than threads, some of them bad, each with its reason; the order does not matter."""
    posts = [yard.post(number, picture(number)) for number in range(10, 30)]
    posts += [yard.post(number) for number in range(30, 33)]
    posts += [yard.post(40, None, reply(403)), yard.post(41, None, reply(500)), make.post(42, file_url=None)]

    outcomes = yard.run(*posts)

    assert reasons(outcomes) == [
        *[None] * 20,
        *[Reason.GONE] * 3,
        Reason.FORBIDDEN,
        Reason.UNREACHABLE,
        Reason.NO_FILE,
    ]
    assert [outcome.item for outcome in outcomes] == posts
    assert len(yard.stored()) == 20
    assert yard.under_way() == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"<html><title>Not found</title></html>", Reason.NOT_AN_IMAGE),
        (picture(side=64)[:-3000], Reason.TRUNCATED),
        (picture(side=101), Reason.TOO_MANY_PIXELS),
    ],
)
def test_bad_bytes_are_kept_nowhere(yard: Yard, data: bytes, reason: Reason) -> None:
    """Neither store nor parts hold what is no still picture; the right md5 does not help."""
    outcomes = yard.run(yard.post(1, data), max_pixels=100 * 100)

    assert reasons(outcomes) == [reason]
    assert yard.stored() == set()
    assert yard.under_way() == []


def test_bytes_that_kill_their_decoder_cost_themselves(yard: Yard) -> None:
    """It dies in a process of its own, twice; the others are fetched, and of the bad ones nothing is kept."""
    deadly, endless = (picture(number) + word for number, word in ((1, b"abort"), (2, b"loop")))
    posts = [yard.post(1, deadly), yard.post(2, endless), *(yard.post(number, picture(number)) for number in (3, 4))]

    with Calls(2, timeout_s=3) as calls:
        outcomes = yard.run(*posts, parts=planted.PlantedPath(yard.parts), calls=calls)

    assert outcomes[:2] == [
        Dropped(posts[0], Reason.CRASHED, "SIGABRT"),
        Dropped(posts[1], Reason.TIMED_OUT, "longer than 3 s"),
    ]
    assert reasons(outcomes[2:]) == [None, None]
    assert len(yard.stored()) == 2
    assert yard.under_way() == []


def test_a_picture_that_takes_too_much_memory_costs_itself(yard: Yard) -> None:
    """Its decoder may take so much and no more, whatever its header allows."""
    large = yard.post(1, encode_png(np.zeros((9000, 9000, 3), np.uint8)))

    with Calls(1, memory=1 << 28) as calls:
        outcomes = yard.run(large, yard.post(2, picture()), calls=calls)

    assert outcomes[0] == Dropped(large, Reason.CRASHED, "more than 256 MB of memory")
    assert reasons(outcomes[1:]) == [None]


def test_a_file_that_is_too_large_is_dropped(yard: Yard) -> None:
    """By its header, before its body."""
    assert reasons(yard.run(yard.post(1, picture()), max_bytes=100)) == [Reason.TOO_LARGE]


def test_what_another_run_began_is_gone_on_with(yard: Yard) -> None:
    """The part of a host that went away is found again by the post's id."""
    data = picture(side=200)
    post = yard.post(1, data, cut(data, 50_000, ETag='"1"'), reply(500))
    assert reasons(yard.run(post)) == [Reason.UNREACHABLE]
    assert len(yard.under_way()) == 2

    yard.server.on("/1.png", ranged(data, ETag='"1"'))

    assert reasons(yard.run(post)) == [None]
    assert yard.server.requests[-1].headers["Range"] == "bytes=50000-"
    assert yard.under_way() == []


def test_what_a_killed_run_had_whole_is_not_fetched_again(yard: Yard) -> None:
    """Between the file's last byte and the store a kill loses nothing."""
    data = picture()
    post = yard.post(1, data)
    name = hashlib.sha1((post.md5 or post.id).encode(), usedforsecurity=False).hexdigest()
    yard.parts.mkdir()
    (yard.parts / name).write_bytes(data)
    (yard.parts / f"{name}.part.json").write_text("{}")

    assert reasons(yard.run(post)) == [None]
    assert yard.server.requests == []
    assert yard.under_way() == []


def test_a_left_over_of_another_file_is_not_believed(yard: Yard) -> None:
    """What lies there is measured, not trusted."""
    data = picture()
    post = yard.post(1, data)
    name = hashlib.sha1((post.md5 or post.id).encode(), usedforsecurity=False).hexdigest()
    yard.parts.mkdir()
    (yard.parts / name).write_bytes(picture(2))

    (outcome,) = yard.run(post)

    assert isinstance(outcome, Kept)
    assert outcome.outputs[0].md5 == md5(data)


def test_the_same_file_is_fetched_once(yard: Yard) -> None:
    """Two posts with one md5: one request, two images with the same bytes, each with its own post."""
    data = picture()
    posts = [yard.post(1, data), yard.post(2, data)]

    outcomes = yard.run(*posts)

    images = [outcome.outputs[0] for outcome in outcomes if isinstance(outcome, Kept)]
    assert [image.post_id for image in images] == [post.id for post in posts]
    assert len({image.sha256 for image in images}) == 1
    assert len(yard.server.requests) == 1


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_the_order_of_twins_does_not_matter(yard: Yard, order: tuple[int, ...], count: int) -> None:
    """Where one address of a file works, all posts of that file have it."""
    data = picture()
    posts = [yard.post(1, data, reply(404)), yard.post(2, data), yard.post(3, data, reply(500))]

    outcomes = yard.run(*(posts[index] for index in order), threads=count)

    assert reasons(outcomes) == [None, None, None]
    assert yard.under_way() == []


def test_twins_of_bad_bytes_are_bad(yard: Yard) -> None:
    """The verdict is that of the bytes."""
    data = b"<html>"
    outcomes = yard.run(yard.post(1, data, reply(404)), yard.post(2, data), threads=1)

    assert reasons(outcomes) == [Reason.NOT_AN_IMAGE, Reason.NOT_AN_IMAGE]


def test_few_posts_are_read_ahead(yard: Yard) -> None:
    """A stream without an end is not swallowed whole while nobody takes what comes of it."""
    read = itertools.count()

    outcomes = yard.stage(threads=2)((make.post(number, file_url=None, md5=None) for number in read), yard.store)
    next(outcomes)
    time.sleep(0.2)
    outcomes.close()  # type: ignore[attr-defined]  it is a generator

    assert next(read) <= lanes.AHEAD + 10


def test_leaving_early_leaves_no_thread_behind(yard: Yard) -> None:
    """A consumer that goes away wakes those who wait for a host; the clients can be used again."""
    quick = yard.post(1, picture())
    slow = [yard.post(number, picture(number), reply(429, Retry_After="30")) for number in range(2, 8)]
    outcomes = yard.stage()([quick, *slow], yard.store)
    next(outcomes)

    begin = time.monotonic()
    outcomes.close()  # type: ignore[attr-defined]  it is a generator

    assert time.monotonic() - begin < 3.0
    assert threads() == []
    assert not yard.client.stop.is_set()


def test_a_full_disk_ends_the_stage(yard: Yard) -> None:
    """A folder that cannot be made is the world's fault: one line, no thread left."""
    yard.parts.write_text("in the way")

    with pytest.raises(StoreError, match="parts: cannot be made"):
        yard.run(yard.post(1, picture()))
    assert threads() == []


def test_a_post_of_no_known_source_is_a_wrong_order(yard: Yard) -> None:
    """A recipe that no longer names the board cannot fetch its posts."""
    with pytest.raises(UsageError, match="other:1: the recipe names no source 'other'"):
        yard.run(yard.post(1, picture(), id="other:1"))
    assert threads() == []


def test_an_error_while_others_wait_ends_all(yard: Yard) -> None:
    """The first error is told, and nobody waits out a slow host."""
    slow = [yard.post(number, picture(number), stall(2.0)) for number in range(2, 5)]

    begin = time.monotonic()
    with pytest.raises(UsageError):
        yard.run(*slow, make.post(id="other:1"))

    assert time.monotonic() - begin < 3.0
    assert threads() == []


def test_threads_and_folders_do_not_change_the_fingerprint(yard: Yard, tmp_path: Path) -> None:
    """What does not change an outcome judges nothing again; a limit does."""
    one = fingerprint(yard.stage())

    assert fingerprint(yard.stage(threads=9, parts=tmp_path)) == one
    assert fingerprint(yard.stage(max_bytes=5)) != one


def test_a_left_over_goes_with_its_post(yard: Yard) -> None:
    """A post whose file is gone leaves nothing lying about."""
    post = yard.post(1)
    yard.parts.mkdir()
    (yard.parts / hashlib.sha1((post.md5 or post.id).encode(), usedforsecurity=False).hexdigest()).write_bytes(b"old")

    assert reasons(yard.run(post)) == [Reason.GONE]
    assert yard.under_way() == []


def test_the_sandbox_gives_the_same_on_its_bad_days(tmp_path: Path) -> None:
    """Listed and fetched from the real board, with faults and without: the same posts, the same outcomes."""
    sandbox = build(tmp_path / "cache", posts=40)
    seen = []
    for faults in (False, True):
        with board.serve(sandbox, faults=faults) as served:
            client = Client(private=True, min_gap_s=0.0, backoff_s=0.05)
            source = BOARDS["sandbox"](address=served.url, client=client)
            posts = [post for page in source.pages(None) for post in page.posts if post.file_url and not post.animated]
            folder = tmp_path / f"faults {faults}"
            stage = make.fetch_files(folder, {"sandbox": source}, stop=client.stop)
            seen.append((posts, sorted(stage(posts, Store(folder / "store")), key=lambda one: one.item.id)))
            stage.settled(posts)
            assert list(stage.parts.iterdir()) == []
            client.close()

    assert seen[0] == seen[1]
    assert reasons(seen[0][1]).count(None) > 20


def test_two_runs_end_the_same_under_faults(yard: Yard) -> None:
    """Cuts, errors and 429 change when things come, not what comes."""
    chance = random.Random(3)
    posts = []
    for number in range(40):
        data = picture(number % 35, side=48)
        troubles = [reply(500), reply(429, Retry_After="0.01"), cut(data, len(data) // 2), faulty.reset()]
        posts.append(yard.post(100 + number, data, *chance.sample(troubles, 2), ranged(data)))

    once = yard.run(*posts)
    again = Yard(yard.server, yard.folder / "again").run(*reversed(posts), threads=2)

    assert once == again
    assert reasons(once) == [None] * 40
    assert len(yard.stored()) == 35
    assert yard.under_way() == []


@pytest.mark.parametrize("left", ["[]", "{}", "1", '{"mark": 1}', "\x00" * 50])
def test_a_receipt_that_says_nothing_is_none(yard: Yard, left: str) -> None:
    """Damage, or another version of this program: the file is fetched."""
    post = yard.post(1, picture())
    yard.parts.mkdir()
    name = hashlib.sha1((post.md5 or post.id).encode(), usedforsecurity=False).hexdigest()
    mark = f'"mark": "{fingerprint(yard.stage())}"'
    for text in (
        left,
        f"{{{mark}}}",
        f'{{{mark}, "url": null, "refused": ["no such reason", ""]}}',
        f'{{{mark}, "url": null, "image": {{}}}}',
    ):
        (yard.parts / f"{name}.answer").write_text(text)
        assert reasons(yard.run(post)) == [None]
