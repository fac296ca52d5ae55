"""pipeline.sources.sidecar: what gallery-dl saved beside a picture, and nothing that somebody hid there."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.records import Post
from pipeline.sources.folder import FolderSource
from pipeline.sources.sidecar import MAX_JSON_BYTES

MTIME = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
# As gallery-dl writes a row of each dialect.
DANBOORU: dict[str, Any] = {
    "category": "danbooru",
    "subcategory": "tag",
    "id": 7654321,
    "created_at": "2019-12-31T20:30:00.123-05:00",
    "date": "2020-01-01 01:30:00",
    "rating": "s",
    "md5": "0" * 32,
    "source": "https://artist.example/1",
    "tag_string": "1girl solo long_hair",
    "tag_string_artist": "somebody",
    "tags": ["1girl", "solo", "long_hair"],
    "file_ext": "jpg",
    "media_asset": {"variants": [{"type": "sample", "url": "https://x"}]},
}
MOEBOORU: dict[str, Any] = {
    "category": "yandere",
    "id": 1100001,
    "created_at": 1577842200,
    "date": "2020-01-01 01:30:00",
    "rating": "s",
    "source": "",
    "tags": "dress sakura_(x) oh,_my",
}
GELBOORU: dict[str, Any] = {
    "category": "gelbooru",
    "id": "8123456",
    "created_at": "Tue Dec 31 19:30:00 -0600 2019",
    "rating": "questionable",
    "tags": "1girl maid_headdress",
}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "pictures" / "a.jpg"
    file.parent.mkdir()
    file.write_bytes(b"picture")
    os.utime(file, (1e9, 1e9))
    return file


def read(picture: Path, **fields: Any) -> Post:
    ((post,),) = [page.posts for page in FolderSource(name="mine", path=picture.parent, **fields).pages(None)]
    return post


def told(picture: Path, row: object, name: str = "a.jpg.json", **fields: Any) -> Post:
    (picture.parent / name).write_text(json.dumps(row), "utf-8")
    return read(picture, **fields)


@pytest.mark.parametrize(
    "row",
    [
        {"tag_string_artist": "ann bob", "tag_string_character": "miku", "tag_string_copyright": "vocaloid"},
        {"tags_artist": ["ann", "bob"], "tags_character": "miku", "tags_copyright": ["vocaloid", 7]},
        {
            "tags": {
                "artist": ["ann"],
                "circle": ["bob"],
                "character": ["miku"],
                "series": ["vocaloid"],
                "general": ["x"],
            }
        },
    ],
)
def test_kinds_of_tags_are_read_as_programs_write_them(picture: Path, row: dict[str, Any]) -> None:
    """Danbooru's own row, gallery-dl's lists by kind, and one map of all."""
    post = told(picture, row)

    assert (post.artists, post.characters, post.series) == (("ann", "bob"), ("miku",), ("vocaloid",))


@pytest.mark.parametrize("name", ["a.jpg.json", "a.json"])
def test_reads_what_gallery_dl_saved(picture: Path, name: str) -> None:
    """Tags, rating, date, origin and page; the md5 is that of the file, whatever the row says."""
    post = told(picture, DANBOORU, name)

    assert post.tags == ("1girl", "solo", "long_hair")
    assert post.artists == ("somebody",)
    assert post.rating == "s"
    assert post.posted_at == datetime(2020, 1, 1, 1, 30, 0, 123000, tzinfo=UTC)
    assert post.origin_url == "https://artist.example/1"
    assert post.page_url == "https://danbooru.donmai.us/posts/7654321"
    assert post.md5 == hashlib.md5(b"picture", usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("row", "rating", "tags", "posted_at", "page"),
    [
        (
            MOEBOORU,
            "g",
            ("dress", "sakura_(x)", "oh,_my"),
            datetime(2020, 1, 1, 1, 30, tzinfo=UTC),
            "https://yande.re/post/show/1100001",
        ),
        (
            GELBOORU,
            "q",
            ("1girl", "maid_headdress"),
            datetime(2020, 1, 1, 1, 30, tzinfo=UTC),
            "https://gelbooru.com/index.php?page=post&s=view&id=8123456",
        ),
        (
            {"category": "konachan", "id": 5, "created_at": {"json_class": "Time", "s": 1577842200}, "rating": "e"},
            "e",
            (),
            datetime(2020, 1, 1, 1, 30, tzinfo=UTC),
            "https://konachan.com/post/show/5",
        ),
        (
            {"category": "elsewhere", "id": 5, "date": "2020-01-01T01:30:00", "rating": "General", "tags": "a b, c"},
            "g",
            ("a_b", "c"),
            datetime(2020, 1, 1, 1, 30, tzinfo=UTC),
            "mine:a.jpg",
        ),
    ],
)
def test_every_dialect_in_its_own_words(
    picture: Path, row: Any, rating: str, tags: tuple[str, ...], posted_at: datetime, page: str
) -> None:
    """Moebooru's s is safe; dates as seconds, as words, as Ruby objects; tags between blanks may hold commas."""
    post = told(picture, row)

    assert (post.rating, post.tags, post.posted_at, post.page_url) == (rating, tags, posted_at, page)


@pytest.mark.parametrize(
    ("row", "rating"),
    [
        ({}, "q"),
        ({"rating": None}, "q"),
        ({"rating": ""}, "q"),
        ({"rating": "s"}, "s"),
        ({"rating": "R-18"}, None),
        ({"rating": 7}, None),
        ({"rating": ["g"]}, None),
    ],
)
def test_a_rating_is_never_guessed(picture: Path, row: Any, rating: str | None) -> None:
    """What is declared holds for pictures of which nothing is told, not for those of which something strange is."""
    assert told(picture, row, rating="q").rating == rating


@pytest.mark.parametrize(
    ("said", "tags"),
    [
        ({"artist": ["x"], "general": ["a b", 7]}, ("x", "a_b")),
        (["a b", None, "", {"name": "x"}], ("a_b",)),
        (["a\ud800", "b\0"], ("a\ufffd", "b\ufffd")),
        (7, ()),
        ([], ("from", "the", "string")),
    ],
)
def test_tags_in_every_form(picture: Path, said: object, tags: tuple[str, ...]) -> None:
    """A list, lists by kind; what is no tag costs itself."""
    assert told(picture, {"tags": said, "tag_string": "from the string"}).tags == tags


def test_a_person_s_text_goes_before(picture: Path) -> None:
    """Tags that were written by hand beat those of the board; the rest is still the row's."""
    (picture.parent / "a.txt").write_text("mine, alone")
    post = told(picture, DANBOORU)

    assert (post.tags, post.rating) == (("mine", "alone"), "s")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b"\xff\xfe{",
        b"[" * 100_000,
        b'{"id": ' + b"9" * 10_000 + b"}",
        b'{"date": NaN, "created_at": 1e999, "id": -1, "category": ["danbooru"], "source": 7, "md5": {}}',
        b'{"category": "danbooru", "id": "../7", "date": "soon", "created_at": {"s": {}}}',
        b'{"tags": ["x"], "more": "' + b"x" * MAX_JSON_BYTES + b'"}',
    ],
)
def test_hostile_json_costs_itself_alone(picture: Path, data: bytes) -> None:
    """The picture is listed as if nothing lay beside it, with the time of its file."""
    bare = read(picture)
    (picture.parent / "a.jpg.json").write_bytes(data)

    assert read(picture) == bare
    assert (bare.posted_at, bare.page_url) == (MTIME, "mine:a.jpg")


@pytest.mark.parametrize("ending", [".json", ".txt"])
def test_no_link_leads_out_of_the_folder(picture: Path, tmp_path: Path, ending: str) -> None:
    """A secret elsewhere does not become a tag; a link inside the folder is followed."""
    bare = read(picture)
    secret, near = tmp_path / f"secret{ending}", picture.parent / f"near{ending}"
    for place in (secret, near):
        place.write_text(json.dumps({"tags": ["secret"]}) if ending == ".json" else "secret")
    link = picture.parent / f"a.jpg{ending}"

    link.symlink_to(secret)
    assert read(picture) == bare
    link.unlink()
    os.mkfifo(link)
    assert read(picture) == bare
    link.unlink()
    link.symlink_to(near)
    assert read(picture).tags == ("secret",)


def test_other_words_are_another_post(picture: Path) -> None:
    """Who changes a rating wants the picture judged again; what nobody reads, such as a score, changes nothing."""
    bare = read(picture)
    first = told(picture, {**DANBOORU, "score": 1})
    again = told(picture, {**DANBOORU, "score": 2})
    other = told(picture, {**DANBOORU, "rating": "e"})

    assert first == again
    assert len({bare.id, first.id, other.id}) == 3
    assert {post.id.partition("#")[2][:8] for post in (bare, first, other)} == {str(bare.md5)[:8]}
