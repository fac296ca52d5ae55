"""The sandbox's other dialects: their quirks, as the real boards have them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests

from pipeline.sandbox import board as sandbox_board
from pipeline.sandbox.gelbooru import KEY, stamp
from pipeline.sandbox.posts import SINCE, Kind, PlantedPost, Sandbox

LISTS = {
    "gelbooru": "/gelbooru/index.php?page=dapi&s=post&q=index",
    "keyed": "/gelbooru-keyed/index.php?page=dapi&s=post&q=index",
    "moebooru": "/moebooru/post.json?",
    "szurubooru": "/szurubooru/api/posts/?query=*",
}


class Asker:
    """Asks one board's lists."""

    def __init__(self, url: str, client: requests.Session) -> None:
        self.url, self.client = url, client

    def __call__(self, dialect: str, **params: Any) -> requests.Response:
        key = KEY if dialect == "keyed" else {}
        headers = {"Accept": "application/json"} if dialect == "szurubooru" else {}
        return self.client.get(self.url + LISTS[dialect], params={**key, **params}, headers=headers)

    def xml(self, **params: Any) -> ET.Element:
        return ET.fromstring(self("gelbooru", **params).text)  # noqa: S314 - our own board


@pytest.fixture
def ask(url: str, client: requests.Session) -> Asker:
    return Asker(url, client)


def first(sandbox: Sandbox, kind: Kind) -> PlantedPost:
    return sandbox.kinds[kind][0]


def numbers(sandbox: Sandbox) -> list[int]:
    return [post.number for post in reversed(sandbox.posts)]


def ids(rows: Any) -> list[int]:
    return [int(row["id"]) for row in rows]


# --- Gelbooru 0.2


def test_safebooru_gives_a_bare_list_without_dates(ask: Asker, sandbox: Sandbox) -> None:
    """A hundred by default, all of them for those who ask for a thousand."""
    assert ids(ask("gelbooru", json=1).json()) == numbers(sandbox)[:100]
    rows = ask("gelbooru", json=1, limit=2000).json()
    assert ids(rows) == numbers(sandbox)
    assert not any("created_at" in row for row in rows)
    assert {row["rating"] for row in rows} == {"general", "safe", "questionable", "explicit", None}


def test_its_xml_has_dates_and_counts(ask: Asker, sandbox: Sandbox) -> None:
    """Attributes only; tags padded by blanks; a rating in one letter."""
    root = ask.xml(limit=1000)

    assert (root.tag, root.get("count"), len(root)) == ("posts", str(len(sandbox.posts)), len(sandbox.posts))
    post = sandbox.truth_of(int(root[0].get("id", "")))
    assert root[0].get("created_at") == stamp(post.posted_at)
    assert root[0].get("tags", "")[::3][:1] == " "
    assert {one.get("rating") for one in root} == {"g", "s", "q", "e", ""}


def test_a_date_as_gelbooru_writes_it() -> None:
    """In Chicago, to the second."""
    assert stamp(SINCE) == "Fri Dec 31 18:00:00 -0600 2004"


def test_ghost_rows(ask: Asker, sandbox: Sandbox, url: str) -> None:
    """A hidden post keeps its number and loses all else."""
    (row,) = ask("gelbooru", json=1, tags=f"id:{first(sandbox, Kind.HIDDEN).number}").json()

    assert row["file_url"] == f"{url}/gelbooru/images//"
    assert [row[name] for name in ("image", "hash", "width", "rating", "tags")] == [None, None, None, None, ""]


def test_pid_is_a_page_and_ends_at_20000(ask: Asker, sandbox: Sandbox) -> None:
    """Beyond it the body is empty, which is no JSON."""
    assert ids(ask("gelbooru", json=1, limit=10, pid=2).json()) == numbers(sandbox)[20:30]
    assert ask("gelbooru", json=1, limit=100, pid=200).json() == []
    beyond = ask("gelbooru", json=1, limit=100, pid=201)
    assert (beyond.status_code, beyond.content) == (200, b"")


def test_sort_is_its_word_for_order(ask: Asker, sandbox: Sandbox) -> None:
    """And order: is a tag that no post has."""
    assert ids(ask("gelbooru", json=1, limit=3, tags="sort:id:asc").json()) == numbers(sandbox)[::-1][:3]
    assert ask("gelbooru", json=1, tags="order:id").json() == []


def test_gelbooru_com_wants_a_key(client: requests.Session, url: str) -> None:
    """401, and an empty list as if nothing were there."""
    answer = client.get(f"{url}{LISTS['keyed']}&json=1")

    assert (answer.status_code, answer.json()) == (401, [])


def test_gelbooru_com_puts_its_list_into_an_envelope(ask: Asker, sandbox: Sandbox) -> None:
    """A hundred at most; one post stands without a list, none without its key."""
    body = ask("keyed", json=1, limit=1000).json()
    assert body["@attributes"] == {"limit": 100, "offset": 0, "count": len(sandbox.posts)}
    assert ids(body["post"]) == numbers(sandbox)[:100]
    assert ask("keyed", json=1, tags=f"id:{numbers(sandbox)[0]}").json()["post"]["rating"]
    assert "post" not in ask("keyed", json=1, tags="no_such_tag").json()


def test_numbers_are_strings_and_tags_have_entities(ask: Asker) -> None:
    """In some rows and in all."""
    rows = ask("keyed", json=1).json()["post"]

    assert {type(row["id"]) for row in rows} == {int, str}
    assert all(row["tags"] == "" or "sandbox&#039;s_own" in row["tags"] for row in rows)


# --- Moebooru


def test_moebooru_lists_forty(ask: Asker, sandbox: Sandbox) -> None:
    """Page by page, or below an id; in an envelope for version 2."""
    assert ids(ask("moebooru").json()) == numbers(sandbox)[:40]
    assert ids(ask("moebooru", page=2, limit=7).json()) == numbers(sandbox)[7:14]
    edge = numbers(sandbox)[5]
    assert ids(ask("moebooru", tags=f"id:<{edge}", limit=2).json()) == numbers(sandbox)[6:8]
    assert ids(ask("moebooru", tags="order:id", limit=2).json()) == numbers(sandbox)[::-1][:2]
    assert ids(ask("moebooru", api_version=2).json()["posts"]) == numbers(sandbox)[:40]


def test_moebooru_rows_are_of_many_ages(ask: Asker, sandbox: Sandbox) -> None:
    """Dates as numbers and as Ruby objects, some rows without file_ext, deleted ones without a file."""
    rows = ask("moebooru", limit=1000).json()

    assert {type(row["created_at"]) for row in rows} == {int, dict}
    assert {"file_ext" in row for row in rows} == {True, False}
    gone = {post.number for kind in (Kind.DELETED, Kind.HIDDEN) for post in sandbox.kinds[kind]}
    assert {row["id"] for row in rows if "file_url" not in row} == gone
    assert {row["rating"] for row in rows} == {"s", "q", "e"}
    assert all("%20" in row["file_url"] for row in rows if "file_url" in row)


def test_seven_tags_are_too_many(ask: Asker) -> None:
    """Metatags are counted apart."""
    assert ask("moebooru", tags="a b c d e f rating:s id:>1").status_code == 200
    refused = ask("moebooru", tags="a b c d e f g")
    assert (refused.status_code, refused.json()["success"]) == (422, False)


def test_moebooru_throttles_with_421(sandbox: Sandbox, client: requests.Session) -> None:
    """On a bad day."""
    with sandbox_board.serve(sandbox, faults=True) as served:
        seen = set()
        for number in range(60):
            try:
                seen.add(client.get(f"{served.url}{LISTS['moebooru']}&limit={number}", timeout=10).status_code)
            except requests.RequestException:
                continue

    assert 421 in seen
    assert 429 not in seen


# --- szurubooru


def test_szurubooru_speaks_json_alone(client: requests.Session, url: str) -> None:
    """406 for those who do not ask for it."""
    answer = client.get(url + LISTS["szurubooru"])

    assert (answer.status_code, answer.json()["name"]) == (406, "ValidationError")


@pytest.mark.parametrize("params", [{"limit": 101}, {"limit": 0}, {"offset": -1}, {"offset": "x"}])
def test_its_limits_are_held_to(ask: Asker, params: dict[str, Any]) -> None:
    """400, where others would correct."""
    answer = ask("szurubooru", **params)

    assert (answer.status_code, answer.json()["name"]) == (400, "InvalidParameterError")


def test_its_searches(client: requests.Session, url: str, sandbox: Sandbox) -> None:
    """Ranges with dots, safety by word, an order; an unknown token is 400, an empty query 500."""

    def found(query: str) -> Any:
        params = {"query": query, "limit": "3"}
        return client.get(f"{url}/szurubooru/api/posts/", params=params, headers={"Accept": "application/json"})

    edge = numbers(sandbox)[4]
    assert ids(found(f"id:..{edge}").json()["results"]) == numbers(sandbox)[4:7]
    assert ids(found("-sort:id").json()["results"]) == numbers(sandbox)[::-1][:3]
    assert {row["safety"] for row in found("safety:unsafe").json()["results"]} == {"unsafe"}
    assert found("*").json()["total"] == len(sandbox.posts)
    assert found("odd:1").json()["name"] == "SearchError"
    assert (found("odd:1").status_code, found("").status_code) == (400, 500)


def test_its_rows(ask: Asker, sandbox: Sandbox) -> None:
    """Files by relative address, types by word, a SHA-1 always and an md5 mostly."""
    rows = ask("szurubooru").json()["results"]

    assert all(row["contentUrl"] is None or row["contentUrl"].startswith("data/posts/") for row in rows)
    assert {row["type"] for row in rows} == {"image", "animation", "video"}
    assert {"checksumMD5" in row for row in rows} == {True, False}
    assert all(row["creationTime"].endswith("Z") for row in rows)


# --- files


@pytest.mark.parametrize("dialect", ["gelbooru", "keyed", "moebooru", "szurubooru"])
def test_every_file_is_where_its_row_says(
    ask: Asker, sandbox: Sandbox, client: requests.Session, url: str, dialect: str
) -> None:
    """With Range, and 404 for what is gone."""
    post = first(sandbox, Kind.PORTRAIT)
    gone = first(sandbox, Kind.GONE)

    def file(number: int) -> requests.Response:
        query = {"query" if dialect == "szurubooru" else "tags": f"id:{number}", "json": 1}
        body = ask(dialect, **query).json() if dialect != "szurubooru" else _szuru(client, url, number)
        row = body if isinstance(body, list) else body.get("post") or body["results"]
        row = row[0] if isinstance(row, list) else row
        address = row.get("file_url") or f"{url}/szurubooru/{row['contentUrl']}"
        return client.get(address, headers={"Range": "bytes=0-9"})

    assert (file(post.number).status_code, file(post.number).content) == (206, sandbox.bytes_of(post.number)[:10])
    assert file(gone.number).status_code == 404


def _szuru(client: requests.Session, url: str, number: int) -> Any:
    params = {"query": f"id:{number}"}
    return client.get(f"{url}/szurubooru/api/posts/", params=params, headers={"Accept": "application/json"}).json()


def test_a_path_that_names_no_post_is_404(client: requests.Session, url: str) -> None:
    """Nothing is served by guess."""
    for path in ("/gelbooru/images/1/x.jpg", "/moebooru/image/1/2.jpg", "/szurubooru/data/posts/1_0.jpg", "/moebooru/"):
        assert client.get(url + path).status_code == 404
