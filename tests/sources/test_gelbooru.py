"""pipeline.sources.gelbooru: two forms of one list, its ghosts, its key, its words for ratings."""

from __future__ import annotations

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
from pipeline.recipe import load
from pipeline.records import Post
from pipeline.run import Build, Settings
from pipeline.sandbox.posts import Kind, Sandbox
from pipeline.sources.gelbooru import GelbooruSource, moment

SAYS = {"g": "g", "s": "q", "q": "q", "e": "e"}  # of the sandbox's flavour that knows no `sensitive`
KEYED: dict[str, Any] = {"form": "json", "login": "1", "api_key": "sandbox"}

ELEMENT = (
    '<post height="1200" score="" file_url="https://b.example/images/2418/0123.jpg" parent_id="" '
    'sample_url="https://b.example/samples/2418/sample_0123.jpg" sample_width="850" sample_height="1133" '
    'preview_url="https://b.example/thumbnails/2418/thumbnail_0123.jpg" rating="s" tags=" 1girl heart&#039;s solo " '
    'id="2419001" width="900" change="1520090000" md5="0123456789abcdef0123456789ABCDEF" creator_id="2" '
    'has_children="false" created_at="Sat Mar 03 09:12:21 -0600 2018" status="active" '
    'source="https://artist.example/?a=1&amp;copy=2" has_notes="false" has_comments="false" preview_width="112" '
    'preview_height="150"/>'
)
GHOST = '<post id="2419000" file_url="https://b.example/images//" md5="" rating="" tags="" created_at="" source=""/>'
ROW: dict[str, Any] = {
    "id": "8123456",
    "created_at": "Tue Jul 01 23:59:59 -0500 2025",
    "score": "0",
    "width": "2000",
    "md5": "fedcba9876543210fedcba9876543210",
    "directory": "fe/dc",
    "image": "fedcba9876543210fedcba9876543210.png",
    "rating": "sensitive",
    "source": "",
    "change": 1751400000,
    "tags": "1girl maid_headdress kaguya-sama_wa_kokurasetai_~tensai-tachi_no_ren&#039;ai_zunousen~ &gt;:)",
    "has_notes": "false",
    "file_url": "https://img.b.example/images/fe/dc/fedcba9876543210fedcba9876543210.png",
    "sample_url": "",
    "status": "active",
}


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as served:
        yield served


def source(server: faulty.Server, **fields: Any) -> GelbooruSource:
    client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=3)
    return GelbooruSource(**{"name": "g", "address": server.address, "client": client, **fields})


def xml(*rows: str, count: int | None = None) -> faulty.Answer:
    body = f'<?xml version="1.0" encoding="UTF-8"?><posts count="{len(rows) if count is None else count}" offset="0">'
    return faulty.reply(200, f"{body}{''.join(rows)}</posts>")


def envelope(*rows: Any, **more: Any) -> faulty.Answer:
    body = {"@attributes": {"limit": 100, "offset": 0, "count": len(rows)}, "post": list(rows), **more}
    return faulty.reply(200, json.dumps({name: value for name, value in body.items() if value is not None}))


def posts(listing: GelbooruSource) -> list[Post]:
    return [post for page in listing.pages(None) for post in page.posts]


def asked(server: faulty.Server) -> list[dict[str, str]]:
    queries = (parse_qs(urlsplit(one.path).query) for one in server.asked("/index.php"))
    return [{name: values[0] for name, values in query.items()} for query in queries]


# --- answers as they were seen


def test_reads_a_post_in_xml(server: faulty.Server) -> None:
    """Date to UTC, padded tags with entities, a rating in one letter, an address that looks like an entity."""
    server.on("/index.php", xml(ELEMENT), xml())

    assert posts(source(server, site="https://b.example")) == [
        Post(
            id="g:2419001",
            file_url="https://b.example/images/2418/0123.jpg",
            page_url="https://b.example/index.php?page=post&s=view&id=2419001",
            origin_url="https://artist.example/?a=1&copy=2",
            md5="0123456789abcdef0123456789abcdef",
            ext="jpg",
            rating="g",
            tags=("1girl", "heart's", "solo"),
            posted_at=datetime(2018, 3, 3, 15, 12, 21, tzinfo=UTC),
        )
    ]
    assert asked(server)[0] == {"page": "dapi", "s": "post", "q": "index", "limit": "100", "pid": "0"}
    assert asked(server)[1]["tags"] == "id:<2419001"


def test_reads_a_post_in_json(server: faulty.Server) -> None:
    """Numbers as strings, entities in tags, four words for ratings, an empty source."""
    server.on("/index.php", envelope(ROW), envelope(post=None))

    (post,) = posts(source(server, form="json"))

    assert (post.id, post.rating, post.origin_url, post.ext) == ("g:8123456", "s", None, "png")
    assert post.tags[2:] == ("kaguya-sama_wa_kokurasetai_~tensai-tachi_no_ren'ai_zunousen~", ">:)")
    assert post.posted_at == datetime(2025, 7, 2, 4, 59, 59, tzinfo=UTC)
    assert asked(server)[0]["json"] == "1"


def test_elements_are_read_like_attributes(server: faulty.Server) -> None:
    """gelbooru.com's own XML has them; its words are the same."""
    body = "<post><id>7</id><rating>sensitive</rating><tags>solo</tags><source/></post>"
    server.on("/index.php", xml(body), xml())

    (post,) = posts(source(server))

    assert (post.id, post.rating, post.tags, post.origin_url) == ("g:7", "s", ("solo",), None)


def test_a_ghost_is_a_post_without_a_file(server: faulty.Server) -> None:
    """It has a number and nothing else; it is counted as a post that has no file."""
    server.on("/index.php", xml(ELEMENT, GHOST), xml())

    ghost = posts(source(server))[1]

    assert (ghost.id, ghost.file_url, ghost.md5, ghost.rating, ghost.ext) == ("g:2419000", None, None, None, "")


def test_a_ghost_in_json_is_one_too(server: faulty.Server) -> None:
    """As safebooru.org gives it: all that it had is null, and its addresses end before the name."""
    ghost = {
        **dict.fromkeys(("directory", "hash", "width", "height", "image", "change", "owner", "rating", "source")),
        "id": 14,
        "preview_url": "https://b.example/thumbnails//thumbnail_.jpg",
        "tags": "",
        "sample": False,
        **dict.fromkeys(("sample_url", "file_url"), "https://b.example/images//"),
    }
    server.on("/index.php", faulty.reply(200, json.dumps([ghost])), faulty.reply(200, "[]"))

    (post,) = posts(source(server, form="json", file="sample"))

    assert (post.id, post.file_url, post.md5, post.rating, post.tags) == ("g:14", None, None, None, ())


def test_a_bare_list_is_read_too(server: faulty.Server) -> None:
    """Old boards give it; its md5 is called hash, and it has no date."""
    row = {
        "id": 5,
        "hash": "0" * 32,
        "rating": "safe",
        "tags": "a",
        "file_url": "//img.b.example/1/a.jpeg",
        "sample": 0,
    }
    server.on("/index.php", faulty.reply(200, json.dumps([row])), faulty.reply(200, "[]"))

    (post,) = posts(source(server, form="json", address=server.address, site="https://b.example"))

    assert (post.md5, post.rating, post.posted_at) == ("0" * 32, "g", None)
    assert post.file_url == "http://img.b.example/1/a.jpeg"


@pytest.mark.parametrize("post", [ROW, [ROW]])
def test_one_post_may_stand_without_its_list(server: faulty.Server, post: Any) -> None:
    """An older envelope gave the post itself."""
    server.on("/index.php", envelope(ROW, post=post), envelope(post=None))

    assert len(posts(source(server, form="json"))) == 1


def test_a_transcoded_video_has_no_md5(server: faulty.Server) -> None:
    """What was hashed is the .webm, what is served is an .mp4."""
    server.on(
        "/index.php", envelope({**ROW, "image": "a.webm", "file_url": "https://b.example/a.mp4"}), envelope(post=None)
    )

    (post,) = posts(source(server, form="json"))

    assert (post.md5, post.ext, post.animated) == (None, "mp4", True)


@pytest.mark.parametrize(
    ("word", "rating"),
    [
        *(("general", "g"), ("safe", "g"), ("sensitive", "s"), ("questionable", "q"), ("explicit", "e")),
        *(("g", "g"), ("s", "g"), ("q", "q"), ("e", "e"), ("", None), ("odd", None)),
    ],
)
def test_words_for_ratings(server: faulty.Server, word: str, rating: str | None) -> None:
    """The letter s is the first of safe."""
    server.on("/index.php", xml(f'<post id="1" rating="{word}"/>'), xml())

    assert posts(source(server))[0].rating == rating


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        ("Sat Mar 03 09:12:21 -0600 2018", datetime(2018, 3, 3, 15, 12, 21, tzinfo=UTC)),
        ("Wed Dec 31 23:30:00 +0930 2014", datetime(2014, 12, 31, 14, 0, tzinfo=UTC)),
        ("Mon Feb 30 00:00:00 +0000 2015", None),
        ("Mon Mär 02 00:00:00 +0000 2015", None),
        ("Fri Jan 01 00:00:00 +0100 0001", None),
        ("", None),
    ],
)
def test_dates(stamp: str, expected: datetime | None) -> None:
    """In English whatever the machine speaks; what is no date is none."""
    assert moment(stamp) == expected


# --- ends, and what only looks like one


def test_an_empty_answer_that_denies_its_own_count_is_asked_again(server: faulty.Server) -> None:
    """Safebooru gives an empty list now and then in the middle."""
    server.on("/index.php", xml(ELEMENT, GHOST, count=9), xml(count=7), xml('<post id="3"/>', count=7), xml())

    assert [post.id for post in posts(source(server))] == ["g:2419001", "g:2419000", "g:3"]


def test_an_empty_list_without_a_count_is_asked_for_twice(server: faulty.Server) -> None:
    """The JSON of safebooru.org states no count: one empty list in the middle is not the end."""
    pages = [json.dumps(rows) for rows in ([{"id": 9}, {"id": 8}], [], [{"id": 3}], [], [])]
    server.on("/index.php", *(faulty.reply(200, page) for page in pages))

    assert [post.id for post in posts(source(server, form="json"))] == ["g:9", "g:8", "g:3"]


def test_ground_that_stays_in_doubt_is_left_unread(server: faulty.Server) -> None:
    """The run goes on to its end; the cursor still knows what was not given."""
    server.on("/index.php", xml('<post id="9"/>', count=5), xml(count=4))

    pages = list(source(server).pages(None))

    assert pages[-1].cursor == {"unread": [[8, 1]], "newest": 9, "recent": [9]}


def test_a_web_page_is_not_the_end(server: faulty.Server) -> None:
    """Cloudflare's page comes with 200 at times; so does an empty body."""
    page = faulty.reply(200, "<!DOCTYPE html><html><head><title>Just a moment...</title></head></html>")
    server.on("/index.php", page, faulty.reply(200, ""), xml(ELEMENT), xml())

    assert len(posts(source(server))) == 1


def test_xml_that_could_unpack_to_more_is_not_read(server: faulty.Server) -> None:
    """A document type has no place in a list of posts."""
    bomb = '<!DOCTYPE posts [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><posts count="1"><post id="1" tags="&b;"/></posts>'
    server.on("/index.php", faulty.reply(200, bomb))

    with pytest.raises(BoardError, match="gives no XML"):
        posts(source(server))


def test_the_board_s_own_words_are_told(server: faulty.Server) -> None:
    """An error comes as XML with 200."""
    server.on("/index.php", faulty.reply(200, '<response success="false" reason="search down"/>'))

    with pytest.raises(BoardError, match="says 'search down'"):
        posts(source(server))


# --- the key


@pytest.mark.parametrize(
    ("form", "answer"),
    [
        ("json", faulty.reply(401, "[]")),
        ("json", faulty.reply(200, '"Missing authentication. Go to b.example for more information"')),
        ("xml", faulty.reply(200, "<error>Missing authentication. Go to b.example</error>")),
    ],
)
def test_a_missing_key_names_the_two_settings(server: faulty.Server, form: str, answer: faulty.Answer) -> None:
    """401 without a word, and 200 with one, say the same."""
    server.on("/index.php", answer)

    with pytest.raises(
        BoardError,
        match="set KAOSET_LOGIN_127_0_0_1 to the numeric user id and KAOSET_API_KEY_127_0_0_1 to the API key",
    ):
        posts(source(server, form=form))


def test_the_key_goes_where_the_board_wants_it(server: faulty.Server) -> None:
    """In the query, and nowhere else that a person could see."""
    server.on("/index.php", envelope(ROW), envelope(post=None))
    listing = source(server, form="json", login="6498", api_key="secret")
    found = posts(listing)

    assert (asked(server)[0]["user_id"], asked(server)[0]["api_key"]) == ("6498", "secret")
    assert "secret" not in repr(listing) + listing.listing + repr(found)


def test_another_board_s_login_stays_at_home(server: faulty.Server) -> None:
    """A name is no user id of this board: its key is not shown to it."""
    server.on("/index.php", xml())
    posts(source(server, login="somebody", api_key="secret"))

    assert not {"user_id", "api_key"} & asked(server)[0].keys()


# --- the query


@pytest.mark.parametrize("tag", ["sort:score", "sort:id:asc", "-sort:id", "order:id", "id:<5", "limit:5", "ID:7"])
def test_tags_that_break_the_paging_are_refused(tag: str) -> None:
    """With the reason, before any request."""
    with pytest.raises(RecipeError, match="cannot be used: "):
        GelbooruSource(name="g", address="https://b.example", client=Client(), query=f"1girl {tag}")


def test_pushes_down_what_every_board_calls_the_same(server: faulty.Server) -> None:
    """The two words for what is not wished; dates are judged here, since the dialect has none."""
    listing = source(server, query="solo  -hat", ratings=("g", "s"), since=date(2015, 1, 1))

    assert listing.tags == "solo -hat -rating:questionable -rating:explicit"
    assert source(server, ratings=("g", "q")).tags == "-rating:explicit"
    assert source(server).tags == ""


def test_many_tags_are_no_reason_to_refuse(server: faulty.Server) -> None:
    """No limit is known."""
    assert source(server, query="a b c d e f g h").tags == "a b c d e f g h"


# --- end to end


@pytest.mark.parametrize("faults", [False, True])
def test_the_same_as_through_danbooru_s_dialect(planted: Sandbox, tmp_path: Path, faults: bool) -> None:
    """safebooru.org's flavour: posts, ratings, dates, md5s and files, on good days and bad, killed and resumed."""
    found = boards.compare(planted, "/gelbooru", tmp_path, SAYS, faults=faults)

    assert {number for number, post in found.items() if post.file_url is None} == {
        post.number for post in planted.kinds[Kind.HIDDEN]
    }
    assert {number for number, post in found.items() if post.deleted} == {
        post.number for post in planted.kinds[Kind.DELETED]
    }
    assert "sandbox's_own" in next(iter(found.values())).tags


@pytest.mark.parametrize("faults", [False, True])
def test_the_same_from_the_board_that_wants_a_key(planted: Sandbox, tmp_path: Path, faults: bool) -> None:
    """gelbooru.com's flavour: four ratings, and no md5 for a transcoded video."""
    found = boards.compare(
        planted, "/gelbooru-keyed", tmp_path, dict(zip("gsqe", "gsqe", strict=True)), faults=faults, **KEYED
    )

    assert {post.ext for post in found.values() if post.md5 is None and post.file_url} == {"mp4"}


def test_its_json_says_the_same_but_for_dates_and_kinds_of_tags(planted: Sandbox) -> None:
    """form = "json" of a board that tells kinds when it is asked for them, as rule34 does; no XML tells them."""
    with boards.serve(planted, "/gelbooru") as (_, make):
        known, found = boards.listed(make()), boards.listed(make(form="json"))

    told = {number: _kinds_of(post) for number, post in found.items()}
    assert found == {number: replace(post, posted_at=None, **told[number]) for number, post in known.items()}
    shown = [post for post in planted.posts if post.kind is not Kind.HIDDEN]
    assert {number: kinds for number, kinds in told.items() if any(kinds.values())} == {
        post.number: {"artists": post.artists, "characters": post.characters, "series": post.series} for post in shown
    }


def _kinds_of(post: Post) -> dict[str, tuple[str, ...]]:
    return {"artists": post.artists, "characters": post.characters, "series": post.series}


def test_entities_in_names_of_kinds_are_read(server: faulty.Server) -> None:
    """And what is no list of kinds tells nothing."""
    said = [{"tag": "o&#039;sand", "type": "artist"}, {"tag": "a b", "type": "copyright"}, {"type": "artist"}, 7]
    row = {"id": 7, "tags": "o&#039;sand a_b solo", "rating": "safe", "tag_info": said}

    for told, kinds in ((said, (("o'sand",), (), ("a_b",))), ("nothing", ((), (), ()))):
        server.on("/index.php", faulty.reply(200, json.dumps([{**row, "tag_info": told}])), faulty.reply(200, "[]"))
        (post,) = [post for page in source(server, form="json").pages(None) for post in page.posts]
        assert (post.artists, post.characters, post.series) == kinds


def test_a_recipe_may_name_the_form(tmp_path: Path) -> None:
    """Left out, the table of boards decides, and for an address it is XML."""
    found = []
    for overrides in (["board=gelbooru"], ["board=https://b.example"], ["board=https://b.example", "form=json"]):
        recipe = load("sandbox", ["sources.0.kind=gelbooru", *(f"sources.0.{one}" for one in overrides)])
        with Build(recipe, Settings(data=tmp_path, workers=1), lambda *_: None, lambda _: None) as run:
            found += [getattr(one, "form", None) for one in run._sources().values()]

    assert found == ["json", "xml", "json"]


def test_the_board_that_wants_a_key_says_so(planted: Sandbox) -> None:
    """Over real HTTP."""
    with boards.serve(planted, "/gelbooru-keyed") as (_, make), pytest.raises(BoardError, match="KAOSET_API_KEY"):
        boards.listed(make(form="json"))


def test_files_are_asked_for_in_the_board_s_name(planted: Sandbox, tmp_path: Path) -> None:
    """Some file hosts look at Referer."""
    with faulty.serve() as server:
        server.on("/images/1/a.jpg", faulty.reply(200, b"a"))
        listing = source(server, site="https://b.example")
        post = Post(id="g:1", file_url="https://b.example/images/1/a.jpg", page_url="")
        listing.fetch(post, tmp_path / "a", 10)

        assert server.requests[0].headers["Referer"] == "https://b.example/"
