"""pipeline.sources.moebooru: an s that means safe, dates of three ages, deleted posts, files without an extension."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boards
import faulty
import pytest

from pipeline.errors import BoardError, RecipeError
from pipeline.http import Client
from pipeline.records import Post
from pipeline.sandbox.posts import Kind, Sandbox
from pipeline.sources.moebooru import MoebooruSource, moment

SAYS = {"g": "g", "s": "q", "q": "q", "e": "e"}  # of the sandbox
ROW: dict[str, Any] = {
    "id": 1100001,
    "tags": "dress sakura_(x) thighhighs",
    "created_at": 1679000000,
    "updated_at": 1679000100,
    "creator_id": 25882,
    "approver_id": None,
    "author": "somebody",
    "change": 5500000,
    "source": "https://artist.example/123",
    "score": 12,
    "md5": "0123456789ABCDEF0123456789abcdef",
    "file_size": 4321000,
    "file_ext": "png",
    "file_url": "https://files.b.example/image/0123/b.example%201100001%20dress.png",
    "is_shown_in_index": True,
    "preview_url": "https://assets.b.example/data/preview/01/23/0123.jpg",
    "sample_url": "https://files.b.example/sample/0123/b.example%201100001%20sample.jpg",
    "jpeg_url": "https://files.b.example/jpeg/0123/b.example%201100001.jpg",
    "jpeg_file_size": 1000000,
    "rating": "s",
    "is_rating_locked": False,
    "has_children": False,
    "parent_id": None,
    "status": "active",
    "is_pending": False,
    "width": 3000,
    "height": 4000,
    "frames_pending_string": "",
    "frames": [],
}


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as served:
        yield served


def source(server: faulty.Server, **fields: Any) -> MoebooruSource:
    client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=3)
    return MoebooruSource(
        **{"name": "m", "address": server.address, "site": "https://b.example", "client": client, **fields}
    )


def rows(*found: Any) -> faulty.Answer:
    return faulty.reply(200, json.dumps(list(found)))


def posts(listing: MoebooruSource) -> list[Post]:
    return [post for page in listing.pages(None) for post in page.posts]


def only_post(server: faulty.Server, *, without: tuple[str, ...] = (), **row: Any) -> Post:
    body = {name: value for name, value in {**ROW, **row}.items() if name not in without}
    server.on("/post.json", rows(body), rows())
    (post,) = posts(source(server))
    return post


def asked(server: faulty.Server) -> list[dict[str, str]]:
    queries = (parse_qs(urlsplit(one.path).query) for one in server.asked("/post.json"))
    return [{name: values[0] for name, values in query.items()} for query in queries]


# --- answers as they were seen


def test_reads_a_post(server: faulty.Server) -> None:
    """The original, not the JPEG or the sample; seconds since 1970; a rating of its own meaning."""
    assert only_post(server) == Post(
        id="m:1100001",
        file_url="https://files.b.example/image/0123/b.example%201100001%20dress.png",
        page_url="https://b.example/post/show/1100001",
        origin_url="https://artist.example/123",
        md5="0123456789abcdef0123456789abcdef",
        ext="png",
        size=4321000,
        rating="g",
        tags=("dress", "sakura_(x)", "thighhighs"),
        posted_at=datetime(2023, 3, 16, 20, 53, 20, tzinfo=UTC),
    )
    always = {"limit": "200", "api_version": "2", "include_tags": "1"}
    assert asked(server) == [always, *[{**always, "tags": "id:<1100001"}] * 2]


def test_kinds_of_tags_lie_beside_the_posts(server: faulty.Server) -> None:
    """A circle publishes as an artist does; what is no kind, or no map of kinds, tells nothing."""
    kinds: dict[str, Any] = {"dress": "general", "sakura_(x)": "character", "thighhighs": "circle", "absent": "artist"}

    for told, names in ((kinds, (("thighhighs",), ("sakura_(x)",))), ({"dress": 1}, ((), ())), ("?", ((), ()))):
        page = faulty.reply(200, json.dumps({"posts": [ROW], "tags": told}))
        server.on("/post.json", page, faulty.reply(200, '{"posts": []}'))
        (post,) = posts(source(server))
        assert (post.artists, post.characters) == names


@pytest.mark.parametrize(("letter", "rating"), [("s", "g"), ("q", "q"), ("e", "e"), ("g", None), (None, None)])
def test_its_s_is_safe(server: faulty.Server, letter: str | None, rating: str | None) -> None:
    """The same letter as Danbooru's for sensitive, and another meaning."""
    assert only_post(server, rating=letter).rating == rating


def test_a_board_that_names_no_extension(server: faulty.Server) -> None:
    """konachan's older code: it stands in the address, where a blank is %20."""
    url = "https://konachan.example/image/0123/Konachan.com%20-%2012%20long.hair.JPG"

    assert only_post(server, without=("file_ext", "updated_at"), file_url=url).ext == "jpg"


def test_a_deleted_post_has_no_file(server: faulty.Server) -> None:
    """Its addresses are absent; the rest is there."""
    post = only_post(server, without=("file_url", "sample_url", "jpeg_url"), status="deleted")

    assert (post.deleted, post.file_url, post.md5) == (True, None, ROW["md5"].lower())


@pytest.mark.parametrize(
    "stamp", [1679000000, "1679000000", {"json_class": "Time", "n": 0, "s": 1679000000}, {"s": "1679000000"}]
)
def test_dates_of_three_ages(stamp: object) -> None:
    """A number, a number in a string, a Ruby object."""
    assert moment(stamp) == datetime(2023, 3, 16, 20, 53, 20, tzinfo=UTC)


@pytest.mark.parametrize("stamp", [None, "soon", {"json_class": "Time"}, [], 10**17])
def test_what_is_no_date_is_none(stamp: object) -> None:
    """It costs the date, not the post."""
    assert moment(stamp) is None


def test_an_envelope_is_opened(server: faulty.Server) -> None:
    """Version 2 of the answer."""
    envelope = {"posts": [ROW], "tags": {}, "votes": {}}
    server.on("/post.json", faulty.reply(200, json.dumps(envelope)), faulty.reply(200, '{"posts": []}'))

    assert len(posts(source(server))) == 1


def test_what_is_no_list_is_refused(server: faulty.Server) -> None:
    """An object without posts is another dialect."""
    server.on("/post.json", faulty.reply(200, '{"success": true}'))

    with pytest.raises(BoardError, match="gives no list of posts"):
        posts(source(server))


def test_421_means_slow_down(server: faulty.Server) -> None:
    """Moebooru throttles with it; the next request waits as long as the board says."""
    server.on("/post.json", faulty.reply(421, '{"success": false}', Retry_After="0.2"), rows(ROW), rows())

    assert len(posts(source(server))) == 1
    first, second, *_ = server.asked("/post.json")
    assert second.at - first.at >= 0.2


def test_a_refusal_is_told_in_its_own_words(server: faulty.Server) -> None:
    """The reason of the JSON."""
    body = '{"success": false, "reason": "You can only search up to six tags at once"}'
    server.on("/post.json", faulty.reply(422, body))

    with pytest.raises(BoardError, match="up to six tags at once"):
        posts(source(server))


# --- the query


@pytest.mark.parametrize("tag", ["order:score", "order:id", "-order:id", "pool:7", "id:<5", "limit:5"])
def test_tags_that_break_the_paging_are_refused(tag: str) -> None:
    """With the reason, before any request."""
    with pytest.raises(RecipeError, match="cannot be used: "):
        MoebooruSource(name="m", address="https://b.example", client=Client(), query=f"dress {tag}")


def test_six_tags_count(server: faulty.Server) -> None:
    """Metatags are counted apart; a tag may hold a colon."""
    source(server, query="a b c d e -f rating:s user:me width:>500")
    with pytest.raises(RecipeError, match=r"has 7 tags that count \(a, .*re:zero\) and the board allows 6"):
        source(server, query="a b c d e f re:zero")


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({"ratings": ("g",)}, "rating:s"),
        ({"ratings": ("g", "s")}, "rating:s"),
        ({"ratings": ("g", "q")}, "-rating:e"),
        ({"ratings": ("g", "s", "q", "e")}, ""),
        ({"ratings": ("s",)}, ""),
        ({"since": date(2015, 3, 1), "until": date(2016, 1, 1)}, "date:2015-02-28..2016-01-01"),
    ],
)
def test_pushes_down_in_its_own_letters(server: faulty.Server, fields: dict[str, Any], tags: str) -> None:
    """Dates a day wider on either side."""
    assert source(server, **fields).tags == tags


def test_no_login_is_ever_sent(server: faulty.Server) -> None:
    """Reading needs none, and the key may be another board's."""
    server.on("/post.json", rows())
    posts(source(server, login="me", api_key="secret"))

    assert "Authorization" not in server.requests[0].headers
    assert "secret" not in server.requests[0].path


# --- end to end


@pytest.mark.parametrize("faults", [False, True])
def test_the_same_as_through_danbooru_s_dialect(planted: Sandbox, tmp_path: Path, faults: bool) -> None:
    """Posts, ratings, dates, md5s and files, on good days and bad, killed and resumed."""
    found = boards.compare(planted, "/moebooru", tmp_path, SAYS, faults=faults)

    gone = {post.number for kind in (Kind.HIDDEN, Kind.DELETED) for post in planted.kinds[kind]}
    assert {number for number, post in found.items() if post.file_url is None} == gone
    assert {number for number, post in found.items() if post.deleted} == gone
