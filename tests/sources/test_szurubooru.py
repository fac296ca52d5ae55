"""pipeline.sources.szurubooru: JSON or nothing, `id:..N`, relative files, two checksums, two ways to log in."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boards
import faulty
import pytest

from pipeline.errors import BoardError, RecipeError
from pipeline.http import Client
from pipeline.records import Post, Reason
from pipeline.sandbox.posts import Kind, Sandbox
from pipeline.sources import Fetched, Refused
from pipeline.sources.szurubooru import SzurubooruSource

LIST = "/api/posts/"
SAYS = {"g": "g", "s": "q", "q": "q", "e": "e"}  # of the sandbox
ROW: dict[str, Any] = {
    "id": 321,
    "version": 4,
    "creationTime": "2021-06-05T04:03:02.123456Z",
    "lastEditTime": None,
    "safety": "sketchy",
    "source": "https://artist.example/1\nhttps://artist.example/2",
    "type": "image",
    "mimeType": "image/png",
    "checksum": "0123456789abcdef0123456789abcdef01234567",
    "checksumMD5": "0123456789abcdef0123456789abcdef",
    "fileSize": 1234,
    "canvasWidth": 800,
    "canvasHeight": 600,
    "contentUrl": "data/posts/321_0123456789abcdef.png",
    "thumbnailUrl": "data/generated-thumbnails/321_0123456789abcdef.jpg",
    "flags": [],
    "tags": [
        {"names": ["long_hair", "longhair"], "category": "default", "usages": 9},
        {"names": ["fate/stay_night"], "category": "series", "usages": 3},
    ],
    "user": {"name": "somebody", "avatarUrl": ""},
    "score": 0,
}


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as served:
        yield served


def source(server: faulty.Server, **fields: Any) -> SzurubooruSource:
    client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=3)
    return SzurubooruSource(
        **{"name": "z", "address": server.address, "site": "https://b.example", "client": client, **fields}
    )


def results(*rows: Any, total: int | None = None) -> faulty.Answer:
    body = {"query": "", "offset": 0, "limit": 100, "total": len(rows) if total is None else total, "results": rows}
    return faulty.reply(200, json.dumps(body))


def posts(listing: SzurubooruSource) -> list[Post]:
    return [post for page in listing.pages(None) for post in page.posts]


def only_post(server: faulty.Server, **row: Any) -> Post:
    server.on(LIST, results({**ROW, **row}), results())
    (post,) = posts(source(server))
    return post


def asked(server: faulty.Server) -> list[dict[str, str]]:
    queries = (parse_qs(urlsplit(one.path).query) for one in server.asked(LIST))
    return [{name: values[0] for name, values in query.items()} for query in queries]


# --- answers as they were seen


def test_reads_a_post(server: faulty.Server) -> None:
    """A relative file becomes an address, microseconds stay, of a tag's names the first is taken."""
    assert only_post(server) == Post(
        id="z:321",
        file_url="https://b.example/data/posts/321_0123456789abcdef.png",
        page_url="https://b.example/post/321",
        origin_url="https://artist.example/1",
        md5="0123456789abcdef0123456789abcdef",
        sha1="0123456789abcdef0123456789abcdef01234567",
        ext="png",
        size=1234,
        rating="q",
        tags=("long_hair", "fate/stay_night"),
        series=("fate/stay_night",),
        posted_at=datetime(2021, 6, 5, 4, 3, 2, 123456, tzinfo=UTC),
    )


def test_asks_for_json_and_never_for_nothing(server: faulty.Server) -> None:
    """Without Accept it is 406; an empty query is 500 on some boards."""
    server.on(LIST, results(ROW), results())
    posts(source(server))

    assert asked(server)[0] == {"query": "*", "offset": "0", "limit": "100"}
    assert asked(server)[1]["query"] == "id:..320"
    assert all(one.headers["Accept"] == "application/json" for one in server.requests)


@pytest.mark.parametrize(
    ("word", "rating"), [("safe", "g"), ("sketchy", "q"), ("unsafe", "e"), ("odd", None), (None, None)]
)
def test_words_for_safety(server: faulty.Server, word: str | None, rating: str | None) -> None:
    """Three of them."""
    assert only_post(server, safety=word).rating == rating


@pytest.mark.parametrize(
    ("word", "animated"), [("image", False), ("animation", True), ("video", True), ("flash", True)]
)
def test_types(server: faulty.Server, word: str, animated: bool) -> None:
    """The board says what moves, even where the extension does not."""
    assert only_post(server, type=word, contentUrl="data/posts/321_0.gif").animated is animated


def test_a_board_from_before_md5(server: faulty.Server) -> None:
    """It has the SHA-1 alone."""
    post = only_post(server, checksumMD5=None)

    assert (post.md5, post.sha1) == (None, ROW["checksum"])


@pytest.mark.parametrize("row", [{"tags": None, "source": None}, {"tags": [{}, 7, {"names": []}], "source": ""}])
def test_an_odd_field_is_an_unknown_one(server: faulty.Server, row: dict[str, Any]) -> None:
    """One odd field costs itself, not the post."""
    post = only_post(server, **row)

    assert (post.tags, post.origin_url) == ((), None)


def test_halves_of_characters_are_replaced(server: faulty.Server) -> None:
    """In tags too: what no file and no catalog can hold is written down as U+FFFD."""
    assert only_post(server, tags=[{"names": ["a\ud800"]}, {"names": ["b\0", "c"]}]).tags == ("a\ufffd", "b\ufffd")


def test_an_empty_answer_that_denies_its_own_total_is_asked_again(server: faulty.Server) -> None:
    """Nothing is believed that the answer itself contradicts."""
    server.on(LIST, results(ROW), results(total=3), results({**ROW, "id": 5}), results())

    assert [post.id for post in posts(source(server))] == ["z:321", "z:5"]


@pytest.mark.parametrize("body", ["[]", "{}", '{"results": {}}'])
def test_what_is_no_list_is_refused(server: faulty.Server, body: str) -> None:
    """Another dialect, or a page in between."""
    server.on(LIST, faulty.reply(200, body))

    with pytest.raises(BoardError, match="gives no list of posts"):
        posts(source(server))


def test_a_refusal_is_told_in_its_own_words(server: faulty.Server) -> None:
    """The description of the JSON."""
    body = '{"name": "SearchError", "title": "Search error", "description": "Unknown named token: \'x\'."}'
    server.on(LIST, faulty.reply(400, body))

    with pytest.raises(BoardError, match=r"Unknown named token: 'x'\."):
        posts(source(server, query="x:y"))


# --- who asks


def test_a_token_is_a_header(server: faulty.Server) -> None:
    """base64 of the user and the token; nobody sees it."""
    server.on(LIST, results())
    listing = source(server, login="me", api_key="secret")
    posts(listing)

    header = server.requests[0].headers["Authorization"]
    assert header == "Token " + base64.b64encode(b"me:secret").decode()
    assert "secret" not in repr(listing) + listing.listing


def test_a_password_is_basic(server: faulty.Server) -> None:
    """Where the recipe says so."""
    server.on(LIST, results())
    posts(source(server, login="me", api_key="secret", auth="basic"))

    assert server.requests[0].headers["Authorization"] == "Basic " + base64.b64encode(b"me:secret").decode()


def test_the_token_does_not_follow_a_redirect_to_another_host(server: faulty.Server) -> None:
    """Whoever is sent elsewhere goes without it."""
    with faulty.serve() as other:
        server.on(LIST, faulty.reply(302, Location=f"{other.address}{LIST}"))
        other.on(LIST, results())
        posts(source(server, login="me", api_key="secret"))

        assert other.requests
        assert not any("Authorization" in one.headers for one in other.requests)


# --- the query


@pytest.mark.parametrize("tag", ["sort:score", "-sort:id", "sort:random", "order:id", "id:..5"])
def test_tags_that_break_the_paging_are_refused(tag: str) -> None:
    """With the reason, before any request."""
    with pytest.raises(RecipeError, match="cannot be used: "):
        SzurubooruSource(name="z", address="https://b.example", client=Client(), query=f"solo {tag}")


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({"ratings": ("g",)}, "safety:safe"),
        ({"ratings": ("g", "s", "q")}, "safety:safe,sketchy"),
        ({"ratings": ("g", "q", "e")}, ""),
        ({"since": date(2015, 3, 1)}, "date:2015-02-28.."),
    ],
)
def test_pushes_down_in_its_own_words(server: faulty.Server, fields: dict[str, Any], tags: str) -> None:
    """Dates a day wider on either side."""
    assert source(server, **fields).tags == tags


# --- files


def test_both_checksums_are_checked(server: faulty.Server, tmp_path: Path) -> None:
    """A right md5 does not excuse a wrong SHA-1, nor the other way round."""
    server.on("/a.png", faulty.reply(200, b"picture"))
    md5 = hashlib.md5(b"picture", usedforsecurity=False).hexdigest()
    sha1 = hashlib.sha1(b"picture", usedforsecurity=False).hexdigest()
    post = Post(id="z:1", file_url="https://b.example/a.png", page_url="", md5=md5, sha1=sha1)
    wrong = Refused(Reason.WRONG_MD5, f"has sha1 {sha1}"), Refused(Reason.WRONG_MD5, f"has md5 {md5}")

    assert isinstance(source(server).fetch(post, tmp_path / "1", 100), Fetched)
    assert source(server).fetch(replace(post, sha1="0" * 40), tmp_path / "2", 100) == wrong[0]
    assert source(server).fetch(replace(post, md5="0" * 32), tmp_path / "3", 100) == wrong[1]
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


def test_sha1_is_checked_where_there_is_no_md5(server: faulty.Server, tmp_path: Path) -> None:
    """A file that is not the one that was named is kept out."""
    server.on("/a.png", faulty.reply(200, b"picture"))
    right = hashlib.sha1(b"picture", usedforsecurity=False).hexdigest()
    post = Post(id="z:1", file_url="https://b.example/a.png", page_url="", sha1=right)
    other = Post(id="z:2", file_url="https://b.example/a.png", page_url="", sha1="0" * 40)

    assert isinstance(source(server).fetch(post, tmp_path / "1", 100), Fetched)
    assert source(server).fetch(other, tmp_path / "2", 100) == Refused(Reason.WRONG_MD5, f"has sha1 {right}")
    assert [path.name for path in tmp_path.iterdir()] == ["1"]


# --- end to end


@pytest.mark.parametrize("faults", [False, True])
def test_the_same_as_through_danbooru_s_dialect(planted: Sandbox, tmp_path: Path, faults: bool) -> None:
    """Posts, ratings, dates, checksums and files, on good days and bad, killed and resumed."""
    found = boards.compare(planted, "/szurubooru", tmp_path, SAYS, faults=faults)

    by_number = {post.number: post for post in planted.posts}
    assert {number: post.posted_at for number, post in found.items()} == {
        number: post.posted_at for number, post in by_number.items()
    }
    assert {number for number, post in found.items() if post.animated} == {
        post.number for kind in (Kind.VIDEO, Kind.UGOIRA, Kind.ANIMATED) for post in planted.kinds[kind]
    }
    assert {number % 4 for number, post in found.items() if post.md5 is None and post.file_url} == {0}
