"""pipeline.forget: a work goes from everywhere, and stays away."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import faulty
import make
import numpy as np
import pytest
import sqlalchemy as sa

from pipeline.catalog import Catalog
from pipeline.errors import StoreError, UsageError
from pipeline.folder import DataFolder
from pipeline.forget import Work, find, forget, wish
from pipeline.http import Client
from pipeline.manifest import row, to_csv
from pipeline.near_index import Index
from pipeline.pixels import encode_png
from pipeline.records import FaceCrop, Forgotten, Image, Post, Reason
from pipeline.scrape import FetchFiles
from pipeline.select import SelectPosts
from pipeline.sources.danbooru import DanbooruSource
from pipeline.stage import Dropped, Kept


class Shelf:
    """A data folder with works in it, as stages leave them."""

    def __init__(self, root: Path, catalog: Catalog) -> None:
        self.folder, self.catalog = DataFolder(root), catalog

    def put(self, number: int, data: bytes = b"", **fields: object) -> tuple[Post, Image, FaceCrop]:
        """Let a post be listed, fetched, searched for faces, and cut."""
        data = data or f"image {number}".encode()
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
        post = make.post(number, **{"md5": md5, **fields})
        image = make.image(number, sha256=self.folder.store.put(data), md5=md5, post_id=post.id)
        face = make.detection(image_sha256=image.sha256)
        crop = make.face_crop(detection=face, sha256=self.folder.store.put(b"crop of " + data), family="f")
        self.catalog.add_page("l", [post], None)
        self.catalog.record("select", "s", [(post.id, Kept(post, (post,)))])
        self.catalog.record("scrape", "x", [(post.id, Kept(post, (image,)))])
        self.catalog.record("dedup-images", "i", [(f"{post.id}={image.sha256}", Kept(image, (image,)))])
        self.catalog.record("detect", "d", [(image.sha256, Kept(image, (face,)))])
        self.catalog.record("crop", "c", [(face.id, Kept(face, (crop,)))])
        self.catalog.record("filter", "f", [(crop.id, Dropped(crop, Reason.BLURRED))])
        return post, image, crop

    def find(self, *, artist: str = "", post: str = "", sha256: str = "") -> Work:
        """What would go."""
        named = wish(*([one] if one else [] for one in (artist, post, sha256)))
        return find(self.catalog, self.folder, named)

    def forget(self, **named: str) -> Work:
        """Let it go."""
        work = self.find(**named)
        forget(self.catalog, work)
        return work

    def trace_of(self, *words: str) -> list[str]:
        """Where in the catalog, beside what is remembered, any of *words* still stands, and which files hold it."""
        found = []
        metadata = sa.MetaData()
        with self.catalog._engine.connect() as connection:
            metadata.reflect(connection)
            for table in metadata.tables.values():
                if table.name != "forgotten":
                    rows = map(str, connection.execute(sa.select(table)))
                    found += [table.name for text in rows if any(word in text for word in words)]
        files = [path for path in self.folder.root.rglob("*") if path.is_file()]
        return found + [path.name for path in files if any(path.name.startswith(word) for word in words)]


@pytest.fixture
def shelf(tmp_path: Path, catalog: Catalog) -> Iterator[Shelf]:
    return Shelf(tmp_path / "data", catalog)


@pytest.mark.parametrize("by", ["artist", "post", "image", "crop"])
def test_nothing_of_it_is_left(by: str, shelf: Shelf) -> None:
    """However it is named: no row, no file; its neighbour has all of its own."""
    post, image, crop = shelf.put(1, artists=("Ann_Lee",))
    other, kept, its_crop = shelf.put(2, artists=("bob",))
    part = shelf.folder.parts / f"{hashlib.sha1((post.md5 or '').encode(), usedforsecurity=False).hexdigest()}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    names = {
        "artist": {"artist": "ann lee"},
        "post": {"post": post.id},
        "image": {"sha256": image.sha256.upper()},
        "crop": {"sha256": crop.sha256},
    }

    work = shelf.forget(**names[by])

    assert (work.posts, work.images, work.crops) == ((post,), (image.sha256,), (crop.sha256,))
    assert shelf.trace_of(post.id, image.sha256, image.md5, crop.sha256, part.name) == []
    assert shelf.catalog.post(other.id) == other
    assert [len(shelf.catalog.history(item)) for item in (other.id, kept.sha256, its_crop.id)] == [2, 1, 2]
    assert all(shelf.folder.store.has(sha256) for sha256 in (kept.sha256, its_crop.sha256))


def test_all_posts_with_the_same_bytes_go(shelf: Shelf) -> None:
    """A repost, whoever is said to have made it, is the same work."""
    shelf.put(1, b"same", artists=("ann",))
    shelf.put(2, b"same", artists=("thief",))
    shelf.put(3)

    assert [post.id for post in shelf.forget(artist="ann").posts] == ["sandbox:1", "sandbox:2"]
    assert [post.id for post in shelf.catalog.posts("l")] == ["sandbox:3"]


def test_a_sample_goes_with_its_original(shelf: Shelf) -> None:
    """They are two posts here, and one work; a number that begins alike is another."""
    shelf.put(1)
    shelf.put(11, id="sandbox:1#sample")
    shelf.put(12)

    work = shelf.forget(post="sandbox:1#sample")

    assert [post.id for post in work.posts] == ["sandbox:1", "sandbox:1#sample"]
    assert "sandbox:1" in work.remembered.posts
    assert not any(post.endswith("#sample") for post in work.remembered.posts)


def test_where_no_tag_is_said_to_be_an_artist_any_may_be(shelf: Shelf) -> None:
    """Old listings and some boards have tags alone; where artists are told, a tag of that name is something else."""
    shelf.put(1, tags=("solo", "ann"))
    shelf.put(2, tags=("artist:ann",))
    shelf.put(3, tags=("ann", "bob"), artists=("bob",))

    assert [post.id for post in shelf.find(artist="Ann").posts] == ["sandbox:1", "sandbox:2"]


def test_decisions_stay(shelf: Shelf) -> None:
    """They are append-only, and hold a number without a picture."""
    _, _, crop = shelf.put(1)
    shelf.catalog.decide([make.decision(crop.sha256)])

    shelf.forget(post="sandbox:1")

    assert list(shelf.catalog.decisions()) == [crop.sha256]


@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_kill_in_the_middle_is_made_good_by_the_next(steps: int, shelf: Shelf) -> None:
    """After what is remembered, or after the files as well, the same command finds the rest."""
    post, image, crop = shelf.put(1, artists=("ann",))
    work = shelf.find(artist="ann")
    if steps > 0:
        shelf.catalog.forget(work.remembered)
    if steps > 1:
        work.files[0].unlink()

    again = shelf.forget(artist="ann")

    assert again.remembered == work.remembered
    assert shelf.trace_of(post.id, image.sha256, crop.sha256) == []


def test_the_hashes_that_are_looked_up_go_with_it(shelf: Shelf) -> None:
    """The index that holds its hash among others is made again without it; what is not here costs nobody theirs."""
    _, image, _ = shelf.put(1)
    Index(shelf.folder.near).add([image.sha256], np.zeros(1, np.uint64))

    shelf.forget(post="sandbox:2")
    assert len(Index(shelf.folder.near)) == 1

    shelf.forget(post="sandbox:1")
    assert list(shelf.folder.near.iterdir()) == []


def test_what_was_forgotten_is_remembered_by_name_and_hash(shelf: Shelf) -> None:
    """A new opening of the catalog knows it, and a second wish adds to it."""
    post, image, _ = shelf.put(1)
    shelf.forget(post=post.id)
    shelf.forget(artist="Nobody Here")

    assert shelf.catalog.forgotten() == Forgotten(
        artists=frozenset({"nobody_here"}),
        posts=frozenset({post.id}),
        md5s=frozenset({image.md5}),
        sha256s=frozenset({image.sha256}),
    )


@pytest.mark.parametrize(
    "fields", [{"id": "sandbox:1"}, {"id": "sandbox:1#sample"}, {"md5": "0" * 32}, {"artists": ("Ann", "bob")}]
)
def test_it_is_not_selected_again(fields: dict[str, object], shelf: Shelf) -> None:
    """By its id, its file or its artist, before anything is fetched; other posts are."""
    what = Forgotten(
        artists=frozenset({"ann"}), posts=frozenset({"sandbox:1"}), md5s=frozenset({"0" * 32}), sha256s=frozenset()
    )
    posts = [make.post(7, **fields), make.post(8)]

    outcomes = list(SelectPosts(forgotten=what)(posts, shelf.folder.store))

    assert outcomes == [Dropped(posts[0], Reason.FORGOTTEN), Kept(posts[1], (posts[1],))]


def test_its_bytes_are_not_kept_under_another_name(tmp_path: Path) -> None:
    """A post that states no checksum is known by what came: nothing of it stays on the disk."""
    png = encode_png(np.full((8, 8, 3), 90, np.uint8))
    sha256 = hashlib.sha256(png).hexdigest()
    folder = DataFolder(tmp_path)
    with faulty.serve() as server:
        url = server.on("/a.png", faulty.reply(200, png))
        client = Client(private=True, min_gap_s=0.0)
        source = DanbooruSource(name="sandbox", address=server.address, client=client)
        post = make.post(1, file_url=url, md5=None, ext="png")
        for what in (Forgotten(sha256s=frozenset({sha256})), Forgotten(md5s=frozenset({md5_of(png)}))):
            stage: FetchFiles = make.fetch_files(tmp_path, {"sandbox": source}, forgotten=what)
            (outcome,) = list(stage([post], folder.store))
            stage.settled([post])

            assert outcome == Dropped(post, Reason.FORGOTTEN)
            assert [path.name for path in tmp_path.rglob("*") if path.is_file() and path.name != "claims"] == []
        client.close()


def md5_of(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def test_releases_that_hold_it_are_named_and_stay(shelf: Shelf) -> None:
    """By image, post or artist; one that cannot be read may hold it."""
    post, image, crop = shelf.put(1, artists=("ann",))
    other = row(make.face_crop(5), make.image(5), make.post(5), None, "train")
    held = row(crop, image, post, None, "train")
    for name, rows in {
        "a/001": [held, other],
        "a/002": [other],
        "b/001": [replace(held, image_sha256="0" * 64)],
    }.items():
        path = shelf.folder.releases / name / "data_manifest.csv"
        path.parent.mkdir(parents=True)
        path.write_bytes(to_csv(rows))
    (shelf.folder.releases / "c/001").mkdir(parents=True)
    (shelf.folder.releases / "c/001/data_manifest.csv").write_text("a,b\n")

    work = shelf.forget(post="sandbox:1")

    named = {held.path.relative_to(shelf.folder.releases).as_posix(): held.crops for held in work.releases}
    assert named == {"a/001": 1, "b/001": 1, "c/001": None}
    assert (shelf.folder.releases / "a/001/data_manifest.csv").read_bytes() == to_csv([held, other])


def test_no_run_is_at_work_meanwhile(tmp_path: Path) -> None:
    """A run keeps it out, and it keeps the runs waiting."""
    folder = DataFolder(tmp_path)
    with folder.enter(), pytest.raises(StoreError, match="a run works on it"):
        folder.alone()
    folder.alone().close()


@pytest.mark.parametrize(
    ("named", "complaint"),
    [
        ({}, "nothing is named"),
        ({"artist": " "}, "names nobody"),
        ({"post": "123"}, "no post's id"),
        ({"sha256": "3fa9c1"}, "not 64 hexadecimal digits"),
    ],
)
def test_what_cannot_be_meant_is_refused(named: dict[str, str], complaint: str, shelf: Shelf) -> None:
    """In one line that says what to give."""
    with pytest.raises(UsageError, match=complaint):
        shelf.find(**named)


def test_what_is_not_here_is_kept_out_all_the_same(shelf: Shelf) -> None:
    """Somebody may ask before anything of theirs was taken."""
    work = shelf.forget(post="danbooru:123", sha256="ab" * 32)

    assert not work.here
    assert shelf.catalog.forgotten() == work.remembered
    assert work.remembered.posts == {"danbooru:123"}


def test_an_artist_may_be_named_as_a_manifest_writes_them(shelf: Shelf) -> None:
    """There a quote stands before what a spreadsheet would run; who really is called so is meant first."""
    plain, _, _ = shelf.put(1, artists=("=kaigara",))
    quoted, _, _ = shelf.put(2, artists=("'@bob",))

    assert shelf.find(artist="'=kaigara").posts == (plain,)
    assert shelf.find(artist="'=kaigara").remembered.artists == {"=kaigara"}
    assert shelf.find(artist="'@bob").posts == (quoted,)
