"""pipeline.sources.danbooru: the whole list, once, and nothing that the board would refuse."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boards
import faulty
import pytest

from pipeline.errors import BoardError, RecipeError
from pipeline.http import Client
from pipeline.recipe import load
from pipeline.records import Post, Reason
from pipeline.run import Build, Settings
from pipeline.sandbox.posts import Kind, Sandbox
from pipeline.select import SelectPosts
from pipeline.sources import BOARDS, Fetched, Page
from pipeline.sources.danbooru import DanbooruSource
from pipeline.stage import Dropped
from pipeline.store import Store

Row = dict[str, Any]


@dataclass
class Board:
    """Danbooru's keyset paging over rows that the test may change between requests."""

    server: faulty.Server
    rows: list[Row] = field(default_factory=list)
    at_most: int = 200

    def __post_init__(self) -> None:
        self.server.on("/posts.json", self.answer)

    def answer(self, handler: Any) -> None:
        query = {name: values[0] for name, values in parse_qs(urlsplit(handler.path).query).items()}
        below = int(query["page"].removeprefix("b"))
        rows = sorted((row for row in self.rows if row["id"] < below), key=lambda row: -row["id"])
        faulty.reply(200, json.dumps(rows[: min(int(query["limit"]), self.at_most)]))(handler)

    def source(self, **fields: Any) -> DanbooruSource:
        client = Client(private=True, min_gap_s=0.0, backoff_s=0.01, tries=3)
        return DanbooruSource(
            **{
                "name": "sandbox",
                "address": self.server.address,
                "site": "https://s.invalid",
                "client": client,
                **fields,
            }
        )

    def asked(self) -> list[dict[str, str]]:
        queries = (parse_qs(urlsplit(one.path).query) for one in self.server.asked("/posts.json"))
        return [{name: values[0] for name, values in query.items()} for query in queries]


@pytest.fixture
def board() -> Iterator[Board]:
    with faulty.serve() as server:
        yield Board(server)


def rows(*ids: int) -> list[Row]:
    return [{"id": number, "rating": "g", "tag_string": "1girl solo"} for number in ids]


def numbers(pages: list[Page]) -> list[int]:
    return [int(post.id.partition(":")[2]) for page in pages for post in page.posts]


def only_post(board: Board, **row: Any) -> Post:
    board.rows = [{"id": 7, **row}]
    ((post,),) = [page.posts for page in board.source().pages(None) if page.posts]
    return post


def test_lists_everything_once_from_the_top(board: Board) -> None:
    """Full pages, newest first, down to the first id."""
    board.rows = rows(*range(1, 451))

    pages = list(board.source().pages(None))

    assert numbers(pages) == list(range(450, 0, -1))
    assert [one["page"] for one in board.asked()] == ["b2147483647", "b251", "b51"]
    assert pages[-1].cursor == {"unread": [], "newest": 450, "recent": list(range(450, 430, -1))}


def test_an_empty_answer_is_asked_for_twice(board: Board) -> None:
    """A board that once answers nothing has not ended."""
    board.rows = rows(5, 6, 7)
    board.server.on("/posts.json", faulty.reply(200, "[]"), board.answer)

    assert numbers(list(board.source().pages(None))) == [7, 6, 5]


def test_a_short_page_is_not_the_end(board: Board) -> None:
    """Hidden posts use up places, so only an empty answer ends the list."""
    board.rows, board.at_most = rows(*range(11, 21)), 3

    assert numbers(list(board.source().pages(None))) == list(range(20, 10, -1))


def test_a_killed_back_fill_goes_on_exactly(board: Board) -> None:
    """The saved cursor says what is unread: nothing is listed twice, nothing is left out."""
    board.rows, board.at_most = rows(*range(1, 11)), 3
    first = next(board.source().pages(None))

    rest = list(board.source().pages(first.cursor))

    assert numbers([first]) == [10, 9, 8]
    assert numbers(rest) == [7, 6, 5, 4, 3, 2, 1]


def test_a_later_run_reads_down_to_known_ground(board: Board) -> None:
    """One request finds out that little is new."""
    board.rows = rows(*range(1, 401))
    done = list(board.source().pages(None))[-1].cursor
    board.rows += rows(403, 405)
    board.server.requests.clear()

    pages = list(board.source().pages(done))

    assert numbers(pages) == [405, 403]
    assert len(board.asked()) == 1
    assert pages[-1].cursor == {"unread": [], "newest": 405, "recent": [405, 403, *range(400, 382, -1)]}


def test_a_run_killed_at_the_top_leaves_a_gap_that_is_remembered(board: Board) -> None:
    """What is new is read first; the rest of the new and the rest of the old are both found again."""
    board.rows, board.at_most = rows(*range(1, 11)), 4
    killed_once = next(board.source().pages(None)).cursor  # 10 to 7
    board.rows += rows(*range(11, 21))
    killed_twice = next(board.source().pages(killed_once)).cursor  # 20 to 17
    board.rows += rows(21)

    assert killed_twice == {
        "unread": [[16, 11], [6, 1]],
        "newest": 20,
        "recent": [20, 19, 18, 17, 10, 9, 8, 7],
    }
    assert numbers(list(board.source().pages(killed_twice))) == [21, *range(16, 10, -1), *range(6, 0, -1)]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_listed_twice_or_left_out_whatever_happens(board: Board, seed: int) -> None:
    """Runs are killed after any page, posts arrive meanwhile, limits cut pages: each post comes once."""
    chance = random.Random(seed)
    board.at_most = 7
    listed: list[int] = []
    cursor = None
    for _ in range(6):
        newest = max((row["id"] for row in board.rows), default=0)
        board.rows += rows(*sorted(chance.sample(range(newest + 1, newest + 60), chance.randrange(30))))
        for page in islice(board.source(limit=chance.choice([None, 10])).pages(cursor), chance.randrange(4)):
            listed += numbers([page])
            cursor = page.cursor
    listed += numbers(list(board.source().pages(cursor)))

    assert sorted(listed) == [row["id"] for row in board.rows]


@pytest.mark.parametrize("stays", [False, True])
@pytest.mark.parametrize("false_id", [900_000, 2**31 - 2])
@pytest.mark.parametrize("limit", [None, 7])
@pytest.mark.parametrize("known", [0, 5, 300])
def test_a_false_id_far_above_hides_nothing(
    board: Board, known: int, limit: int | None, false_id: int, *, stays: bool
) -> None:
    """Whether the board takes the false id back or not, what comes after it is listed, all of it, once."""
    board.rows = rows(*range(1, known + 1), false_id)
    cursor = list(board.source().pages(None))[-1].cursor
    board.rows = rows(*range(1, known + 251), *([false_id] if stays else []))

    listed: list[int] = []
    for _ in range(40 if limit else 1):
        pages = list(board.source(limit=limit).pages(cursor))
        cursor = pages[-1].cursor
        listed += numbers(pages)

    assert sorted(listed) == list(range(known + 1, known + 251))


@pytest.mark.parametrize("odd", [2**31 - 1, 10**30, -1, 0, True, "x", None])
def test_an_id_that_is_none_is_passed_over(board: Board, odd: object) -> None:
    """One row with an impossible id, wherever it stands, does not end the list of the others."""
    board.server.on("/posts.json", faulty.reply(200, json.dumps([{"id": odd}, *rows(3, 2)])), board.answer)

    assert numbers(list(board.source().pages(None))) == [3, 2]


def test_a_post_that_was_taken_down_costs_nothing(board: Board) -> None:
    """The newest known id may go; the ground below it is known all the same."""
    board.rows = rows(*range(1, 401))
    done = list(board.source().pages(None))[-1].cursor
    board.rows = rows(*range(1, 395))
    board.server.requests.clear()

    assert numbers(list(board.source().pages(done))) == []
    assert len(board.asked()) == 1


def test_a_limit_stops_and_the_next_call_goes_on(board: Board) -> None:
    """A limit counts the posts of one call, to the post."""
    board.rows = rows(*range(1, 31))

    first = list(board.source(limit=12).pages(None))
    second = list(board.source(limit=12).pages(first[-1].cursor))

    assert numbers(first) == list(range(30, 18, -1))
    assert numbers(second) == list(range(18, 6, -1))


def test_the_cursor_is_json(board: Board) -> None:
    """It comes back from the catalog as it went."""
    board.rows, board.at_most = rows(1, 2, 3), 1
    cursor = next(board.source().pages(None)).cursor

    assert json.loads(json.dumps(cursor)) == cursor


def test_a_row_without_an_id_is_passed_over(board: Board) -> None:
    """It was met in the wild; the cursor comes from the rows that have one."""
    board.server.on(
        "/posts.json",
        faulty.reply(200, json.dumps([{"id": 5}, {"md5": "x"}, {"id": 3}, {}])),
        faulty.reply(200, "[]"),
    )

    assert numbers(list(board.source().pages(None))) == [5, 3]
    assert board.asked()[1]["page"] == "b3"


@pytest.mark.parametrize("ids", [[5, 5], [3, 4], [2147483648]])
def test_ids_that_do_not_fall_are_refused(board: Board, ids: list[int]) -> None:
    """A board that sorts otherwise would be listed with holes."""
    board.server.on("/posts.json", faulty.reply(200, json.dumps(rows(*ids))))

    with pytest.raises(BoardError, match="does not speak Danbooru's dialect"):
        list(board.source().pages(None))


def test_a_board_that_does_not_know_the_keyset_is_refused(board: Board) -> None:
    """The same page for ever would be a loop for ever."""
    board.server.on("/posts.json", faulty.reply(200, json.dumps(rows(9, 8))))

    with pytest.raises(BoardError, match="do not fall below 8"):
        list(board.source().pages(None))


def test_what_is_no_list_is_refused(board: Board) -> None:
    """An object where a list is due is another dialect."""
    board.server.on("/posts.json", faulty.reply(200, '{"posts": []}'))

    with pytest.raises(BoardError, match="gives no list of posts"):
        list(board.source().pages(None))


def test_reads_a_post(board: Board) -> None:
    """Every field that travels on, with the time in UTC and the site in place of the address."""
    post = only_post(
        board,
        created_at="2019-12-31T20:30:00.123-05:00",
        md5="0123456789ABCDEF0123456789abcdef",
        file_url=f"{board.server.address}/original/01/23/0123.JPG",
        file_ext="jpg",
        file_size=1234,
        rating="s",
        source="https://artist.example/1",
        tag_string="1girl ann miku solo vocaloid",
        tag_string_artist="ann",
        tag_string_character="miku",
        tag_string_copyright="vocaloid",
        is_deleted=False,
        is_banned=False,
        media_asset={"duration": None},
    )

    assert post == Post(
        id="sandbox:7",
        file_url="https://s.invalid/original/01/23/0123.JPG",
        page_url="https://s.invalid/posts/7",
        origin_url="https://artist.example/1",
        md5="0123456789abcdef0123456789abcdef",
        ext="jpg",
        size=1234,
        rating="s",
        tags=("1girl", "ann", "miku", "solo", "vocaloid"),
        artists=("ann",),
        characters=("miku",),
        series=("vocaloid",),
        posted_at=datetime(2020, 1, 1, 1, 30, 0, 123000, tzinfo=UTC),
    )


def test_a_hidden_post_has_no_file(board: Board) -> None:
    """The keys of hidden posts are absent, not null."""
    post = only_post(board, rating="g", tag_string="")

    assert (post.file_url, post.md5, post.tags) == (None, None, ())


@pytest.mark.parametrize(
    ("row", "animated"),
    [
        ({"file_ext": "mp4"}, True),
        ({"file_ext": "zip"}, True),
        ({"file_ext": "swf"}, True),
        ({"file_ext": "gif", "media_asset": {"duration": 1.5}}, True),
        ({"file_ext": "gif", "media_asset": {"duration": None}}, False),
        ({"file_ext": "png", "media_asset": {}}, False),
        ({"file_ext": "jpg"}, False),
    ],
)
def test_knows_what_moves(board: Board, row: Row, animated: bool) -> None:
    """A video by its extension, an animation by its duration."""
    assert only_post(board, **row).animated is animated


@pytest.mark.parametrize("row", [{"is_deleted": True}, {"is_banned": True}])
def test_what_was_taken_down_is_deleted(board: Board, row: Row) -> None:
    """Deleted and banned posts are listed all the same."""
    assert only_post(board, **row).deleted


@pytest.mark.parametrize("row", [{"created_at": "soon"}, {"rating": "x"}, {"md5": "zz"}, {"file_size": "1"}])
def test_an_odd_field_is_an_unknown_one(board: Board, row: Row) -> None:
    """One odd field costs itself, not the post."""
    post = only_post(board, **row)

    assert (post.posted_at, post.rating, post.md5, post.size) == (None, None, None, None)


def test_halves_of_characters_are_replaced(board: Board) -> None:
    """What no file and no catalog can hold is written down as U+FFFD."""
    post = only_post(board, tag_string="a\ud800 b\x00", source="https://x/\udfff", file_url="/\ud800.jpg")

    assert post.tags == ("a\ufffd", "b\ufffd")
    assert post.origin_url == "https://x/\ufffd"
    assert post.file_url == "https://s.invalid/\ufffd.jpg"


def test_an_address_that_is_none_is_no_file(board: Board) -> None:
    """One post's broken file_url does not end the list."""
    assert only_post(board, file_url="http://[bad/x.jpg").file_url is None


def test_asks_for_what_it_needs_only(board: Board) -> None:
    """The answer is cut to the fields that travel on."""
    board.rows = rows(1)
    list(board.source().pages(None))

    assert board.asked()[0]["only"].split(",")[0] == "id"
    assert "media_asset[duration]" in board.asked()[0]["only"]


def test_pushes_down_what_is_free(board: Board) -> None:
    """Dates are asked for a day wider on either side: the board thinks in Eastern Time, or in the login's."""
    source = board.source(query="long_hair  -hat", since=date(2015, 3, 1), until=date(2016, 1, 1), ratings=("s", "g"))
    list(source.pages(None))

    assert board.asked()[0]["tags"] == "long_hair -hat date:2015-02-28..2016-01-01 rating:g,s"


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ({}, ""),
        ({"since": date(2005, 1, 1)}, "date:2004-12-31.."),
        ({"until": date(2005, 1, 1)}, "date:..2005-01-01"),
        ({"ratings": ("g", "s", "q", "e")}, ""),
    ],
)
def test_pushes_down_no_more_than_is_wished(board: Board, fields: dict[str, Any], tags: str) -> None:
    """Half a window is half a range; all ratings are none."""
    assert board.source(**fields).tags == tags


def test_free_metatags_do_not_count(board: Board) -> None:
    """The limit is known before the first request, as the board counts."""
    board.source(
        query="1girl -solo -status:deleted rating:g score:>10 ID:5.. width:>500 is:sfw (date:2020-01-01 or age:<1w)"
    )


@pytest.mark.parametrize("query", ["a b c", "a b -c", "a b c*", "a b user:me", "a b ~c", '(a or b) source:"x y"'])
def test_too_many_tags_are_refused_before_any_request(board: Board, query: str) -> None:
    """Three that count are told by name."""
    with pytest.raises(RecipeError, match=r"has 3 tags that count \(a, b, .*board allows 2"):
        board.source(query=query)


def test_gold_may_ask_for_more(board: Board) -> None:
    """The limit is a field."""
    assert board.source(query="a b c d e f", tag_limit=6).tags == "a b c d e f"


def test_a_recipe_says_what_the_account_may() -> None:
    """tag_limit = 6 for Gold; without it two tags are allowed, and the line names all three."""
    query = ["sources.0.query=a b c", "sources.0.board=danbooru"]
    with build(*query, "sources.0.tag_limit=6") as run:
        assert run._sources()["danbooru"].listing.endswith(" a b c")
    with build(*query) as run, pytest.raises(RecipeError, match=r"3 tags that count \(a, b, c\) .* allows 2"):
        run._sources()


@contextmanager
def build(*overrides: str) -> Iterator[Build]:
    recipe = load("sandbox", ["scrape.contact=test", "filter.since=null", *overrides])
    with (
        TemporaryDirectory() as folder,
        Build(recipe, Settings(data=Path(folder), workers=1), lambda *_: None, lambda _: None) as run,
    ):
        yield run


@pytest.mark.parametrize(
    ("status", "said", "told"),
    [
        (
            422,
            "You cannot search for more than 2 tags at a time.",
            r"2 tags at a time.*; change the query .* tag_limit",
        ),
        (410, "You cannot go beyond page 1000.", r"answers 410: 'You cannot go beyond page 1000.'; .*narrow the query"),
        (500, "The database timed out running your query.", r"timed out running your query.*; .* rarer tags"),
        (500, "Something else", r"answers 500: 'Something else'; try again later$"),
    ],
)
def test_a_refusal_is_told_in_its_own_words(board: Board, status: int, said: str, told: str) -> None:
    """With what a person can do about it."""
    body = {"success": False, "error": "PostQuery::Error", "message": said, "backtrace": []}
    board.server.on("/posts.json", faulty.reply(status, json.dumps(body)))

    with pytest.raises(BoardError, match=told):
        list(board.source().pages(None))


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("id:..1100", lambda number: number <= 1100),
        ("id:>=1100 -id:1150..1200", lambda number: number >= 1100 and not 1150 <= number <= 1200),
        ("solo id:1000...1300", lambda number: 1000 <= number < 1300),
    ],
)
def test_a_range_of_ids_may_stand_in_the_query(planted: Sandbox, query: str, wanted: Callable[[int], bool]) -> None:
    """The paging does not use the metatag, so both hold; killed and resumed, too."""
    numbers = [post.number for post in reversed(planted.posts) if wanted(post.number)]
    with boards.serve(planted, "") as (_, make):
        assert list(boards.listed(make(query=query, page_size=7))) == numbers
        assert boards.killed(make, query=query, page_size=7) == numbers


def test_what_cannot_be_had_is_counted(planted: Sandbox, tmp_path: Path) -> None:
    """Hidden posts as no_file, deleted ones as deleted, what moves as not_still; none is passed over in silence."""
    with boards.serve(planted, "") as (_, make):
        listed = boards.listed(make(page_size=31))
    outcomes = SelectPosts(ratings=())(listed.values(), Store(tmp_path))
    counted = Counter(one.reason for one in outcomes if isinstance(one, Dropped))

    kinds = {kind: len(posts) for kind, posts in planted.kinds.items()}
    assert counted == {
        Reason.NO_FILE: kinds[Kind.HIDDEN],
        Reason.DELETED: kinds[Kind.DELETED],
        Reason.NOT_STILL: kinds[Kind.VIDEO] + kinds[Kind.UGOIRA] + kinds[Kind.ANIMATED],
    }


@pytest.mark.parametrize("tag", ["order:score", "limit:5", "random:3", "ordfav:me", "-order:id", "ORDER:id"])
def test_tags_that_turn_the_list_round_are_refused(board: Board, tag: str) -> None:
    """They would make the paging wrong, silently."""
    with pytest.raises(RecipeError, match="cannot be used: "):
        board.source(query=f"1girl {tag}")


@pytest.mark.parametrize(
    "address", ["", "danbooru.donmai.us", "ftp://b.example", "https://me:key@b.example", "http://"]
)
def test_an_odd_address_is_refused(address: str) -> None:
    """A board is asked over http or https, and a key in an address would end up in messages."""
    with pytest.raises(RecipeError, match="the address of source 'b' is not like"):
        DanbooruSource(name="b", address=address, client=Client())


def test_a_login_needs_its_key(board: Board) -> None:
    """One without the other is 401 on the board."""
    with pytest.raises(RecipeError, match="set both KAOSET_LOGIN_127_0_0_1 and KAOSET_API_KEY_127_0_0_1, or neither"):
        board.source(login="me")


@pytest.mark.parametrize("address", ["http://board.example", "http://127.0.0.1.example:8000"])
def test_a_key_is_not_sent_in_the_open(address: str) -> None:
    """A key goes over https, or stays on this machine."""
    with pytest.raises(RecipeError, match=r"API key in the open; give an address that begins with https$"):
        DanbooruSource(name="d", address=address, client=Client(), login="me", api_key="k")

    for near in ("https://board.example", "http://127.0.0.1:8000", "http://localhost", "http://[::1]:80"):
        DanbooruSource(name="d", address=near, client=Client(), login="me", api_key="k")


def test_the_key_is_never_shown(board: Board) -> None:
    """Not in the address, not in the text of the object, not in the listing."""
    board.rows = rows(1)
    source = board.source(login="me", api_key="secret")
    list(source.pages(None))

    assert "secret" not in repr(source) + source.listing + "".join(one.path for one in board.server.requests)
    assert all(one.headers["Authorization"].startswith("Basic ") for one in board.server.requests)


def test_the_listing_does_not_know_the_port(board: Board) -> None:
    """The same sandbox on another port is the same listing; another query is another."""
    one, other = board.source(), board.source(address="http://127.0.0.1:1")

    assert one.listing == other.listing == "sandbox https://s.invalid"
    assert one.listing != board.source(query="hat").listing != board.source(since=date(2005, 1, 1)).listing


def test_fetches_from_the_address_of_today(board: Board, tmp_path: Path) -> None:
    """What was listed on one port is fetched from another."""
    digest = hashlib.md5(b"picture", usedforsecurity=False).hexdigest()
    post = only_post(board, file_url="/original/7.jpg", md5=digest)
    with faulty.serve() as moved:
        moved.on("/original/7.jpg", faulty.reply(200, b"picture"))

        fetched = board.source(address=moved.address).fetch(post, tmp_path / "file", 100)

    assert fetched == Fetched(digest, 7)


def test_the_table_of_boards_makes_sources() -> None:
    """A board is one line: the recipe gives the rest."""
    source = BOARDS["danbooru"](client=Client(), query="1girl")

    assert source.listing == "danbooru https://danbooru.donmai.us 1girl"
