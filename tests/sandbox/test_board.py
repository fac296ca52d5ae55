from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import requests
from PIL import Image as Pictures

from pipeline.errors import UsageError, WorldError
from pipeline.records import Reason
from pipeline.sandbox.board import FAULTS_IN_A_ROW, LIES, PLAIN_FAULTS, Board, Climate, Fault, serve
from pipeline.sandbox.dialect import EASTERN, only, parse
from pipeline.sandbox.posts import SHARES, SINCE, Kind, PlantedPost, Sandbox, build, counts, plan

POSTS = 300  # the smallest board that holds every kind


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boards")


@pytest.fixture(scope="module")
def sandbox(cache: Path) -> Sandbox:
    return build(cache, POSTS, seed=1)


@pytest.fixture(scope="module")
def board(sandbox: Sandbox) -> Iterator[Board]:
    with serve(sandbox) as served:
        yield served


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["User-Agent"] = "kaoset-test/1"
        yield session


def ids(answer: requests.Response) -> list[int]:
    return [row["id"] for row in answer.json()]


def first(sandbox: Sandbox, kind: Kind) -> PlantedPost:
    return sandbox.kinds[kind][0]


def file_url(board: Board, post: PlantedPost) -> str:
    return f"{board.url}/original/{post.md5[:2]}/{post.md5[2:4]}/{post.file}"


# --- what it holds


def test_a_board_of_600_holds_what_was_ordered() -> None:
    """The default board has each kind in its share, portraits being the rest."""
    assert counts(600) == {Kind.PORTRAIT: 600 - sum(SHARES.values()), **SHARES}
    assert set(counts(600)) == set(Kind)


def test_the_plan_depends_on_the_seed_alone() -> None:
    """Numbers rise with gaps, times rise with them, and no time is relative to today."""
    plans = plan(600, 4)

    assert plans == plan(600, 4)
    assert plans != plan(600, 5)
    numbers = [one.number for one in plans]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > len(numbers)
    times = [one.posted_at for one in plans]
    assert times == sorted(times)
    assert datetime(2003, 1, 1, tzinfo=UTC) < times[0]
    assert times[-1] < datetime(2026, 1, 1, tzinfo=UTC)


def test_boundary_posts_are_a_day_apart_in_new_york_and_in_utc() -> None:
    """Half of them belong to 2005 in UTC and to 2004 in Eastern time."""
    boundary = [one.posted_at for one in plan(600, 0) if one.kind is Kind.BOUNDARY]

    assert all(when.astimezone(EASTERN).date() == date(2004, 12, 31) for when in boundary)
    assert sum(when >= SINCE for when in boundary) == len(boundary) / 2


def test_a_finished_board_is_taken_from_the_cache(cache: Path, sandbox: Sandbox) -> None:
    """Nothing is drawn twice, and nothing half-drawn lies about."""
    drawn: list[int] = []

    again = build(cache, POSTS, seed=1, progress=lambda done, _: drawn.append(done))

    assert again == sandbox
    assert drawn == []
    assert not list(cache.glob(".drawing-*"))


def test_processes_draw_the_same_bytes_as_one(cache: Path, tmp_path: Path) -> None:
    """The number of workers shows in nothing."""
    alone, pool = build(tmp_path / "a", 55, seed=2, workers=1), build(tmp_path / "b", 55, seed=2, workers=2)

    assert alone.posts == pool.posts
    names = sorted(path.name for path in (alone.folder / "files").iterdir())
    assert [(alone.folder / "files" / name).read_bytes() for name in names] == [
        (pool.folder / "files" / name).read_bytes() for name in names
    ]


def test_progress_counts_up_to_all(tmp_path: Path) -> None:
    """Whoever waits is told after each file."""
    seen: list[tuple[int, int]] = []

    build(tmp_path, 3, progress=lambda done, total: seen.append((done, total)))

    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_no_posts_is_refused(tmp_path: Path) -> None:
    """A board without posts is a mistake."""
    with pytest.raises(UsageError, match="0"):
        build(tmp_path, 0)


def test_groups_hold_the_same_picture(sandbox: Sandbox) -> None:
    """Every copy has its original in its group, and reposts are the same bytes."""
    for post in (*sandbox.kinds[Kind.NEAR_COPY], *sandbox.kinds[Kind.REPOST]):
        assert post.group is not None
        members = [sandbox.truth_of(number) for number in sandbox.duplicate_groups[post.group]]
        (original,) = [member for member in members if member.kind is Kind.PORTRAIT]
        assert [face.identity for face in post.truth.faces] == [face.identity for face in original.truth.faces]
        if post.kind is Kind.REPOST:
            assert sandbox.bytes_of(post.number) == sandbox.bytes_of(original.number)
        else:
            assert post.md5 != original.md5


def test_expected_reasons(sandbox: Sandbox) -> None:
    """A planted bad file says why it must be dropped; a fine one that it must not."""
    assert first(sandbox, Kind.HTML).reason is Reason.NOT_AN_IMAGE
    assert first(sandbox, Kind.BOMB).reason is Reason.TOO_MANY_PIXELS
    assert first(sandbox, Kind.CMYK).reason is None
    with pytest.raises(KeyError):
        sandbox.truth_of(1)


@pytest.mark.parametrize(
    ("kind", "form", "mode"),
    [
        (Kind.WRONG_EXTENSION, "PNG", "RGB"),
        (Kind.CMYK, "JPEG", "CMYK"),
        (Kind.PALETTE, "PNG", "P"),
        (Kind.SIXTEEN_BIT, "PNG", "RGB"),
        (Kind.EXIF_ROTATED, "JPEG", "RGB"),
    ],
)
def test_fine_files_decode(sandbox: Sandbox, kind: Kind, form: str, mode: str) -> None:
    """Odd files that are fine are what they are said to be, upright as large as stated."""
    for post in sandbox.kinds[kind]:
        with Pictures.open(io.BytesIO(sandbox.bytes_of(post.number))) as picture:
            picture.load()
            turned = picture.getexif().get(0x0112, 1) in {6, 8}
            size = picture.size[::-1] if turned else picture.size
            assert (picture.format, picture.mode, size) == (form, mode, (post.width, post.height))


def test_sixteen_bit_files_have_sixteen_bits(sandbox: Sandbox) -> None:
    """The bit depth in the PNG header is 16."""
    assert sandbox.bytes_of(first(sandbox, Kind.SIXTEEN_BIT).number)[24] == 16


def test_hostile_files_are_hostile(sandbox: Sandbox) -> None:
    """Pages, cut pictures, nothing at all, and 900 megapixels in a few kilobytes."""
    assert sandbox.bytes_of(first(sandbox, Kind.HTML).number).startswith(b"<!DOCTYPE html>")
    assert sandbox.bytes_of(first(sandbox, Kind.EMPTY).number) == b""
    bomb = first(sandbox, Kind.BOMB)
    assert bomb.width * bomb.height >= 900_000_000
    assert bomb.size < 500_000
    with (
        pytest.raises(OSError, match="truncated"),
        Pictures.open(io.BytesIO(sandbox.bytes_of(first(sandbox, Kind.TRUNCATED).number))) as picture,
    ):
        picture.load()


def test_md5_is_that_of_the_file_but_where_it_is_planted_wrong(sandbox: Sandbox) -> None:
    """The board names the md5 of the original; a re-encoded file has another."""
    for post in sandbox.posts:
        if sandbox.path(post) is None:
            assert post.kind in {Kind.HIDDEN, Kind.GONE}
            continue
        measured = hashlib.md5(sandbox.bytes_of(post.number), usedforsecurity=False).hexdigest()
        assert (measured == post.md5) is (post.kind is not Kind.WRONG_MD5)


# --- the listing


def test_lists_twenty_by_falling_number(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """Without parameters a listing is the twenty newest."""
    answer = client.get(f"{board.url}/posts.json")

    assert ids(answer) == [post.number for post in reversed(sandbox.posts)][:20]


def test_limit_is_clamped_to_200(board: Board, client: requests.Session) -> None:
    """More than 200 is taken as 200; limit: within tags works too."""
    assert len(ids(client.get(f"{board.url}/posts.json?limit=1000"))) == 200
    assert len(ids(client.get(f"{board.url}/posts.json?tags=limit:7"))) == 7
    assert ids(client.get(f"{board.url}/posts.json?limit=0")) == []


def test_keyset_pages_hold_every_post_once(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """b<ID> goes down to the oldest post, whatever the order asked for."""
    found: list[int] = []
    page = "b999999"
    while rows := ids(client.get(f"{board.url}/posts.json?limit=64&tags=order:id&page={page}")):
        found += rows
        page = f"b{min(rows)}"

    assert found == [post.number for post in reversed(sandbox.posts)]


def test_a_pages_are_the_nearest_above_turned_round(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """a<ID> gives the ids next above, listed from high to low; the letter may be large."""
    numbers = [post.number for post in sandbox.posts]

    assert ids(client.get(f"{board.url}/posts.json?limit=3&page=A{numbers[4]}")) == numbers[5:8][::-1]


def test_page_numbers_end_at_1000(board: Board, client: requests.Session) -> None:
    """Page 1000 may be asked for, page 1001 is gone, and what is no page is the first."""
    assert client.get(f"{board.url}/posts.json?page=1000").json() == []
    beyond = client.get(f"{board.url}/posts.json?page=1001")
    assert (beyond.status_code, beyond.json()["message"]) == (410, "You cannot go beyond page 1000.")
    assert ids(client.get(f"{board.url}/posts.json?page=-3")) == ids(client.get(f"{board.url}/posts.json"))


def test_three_tags_are_too_many(board: Board, client: requests.Session) -> None:
    """Only ordinary tags and order: count; the free metatags do not."""
    url = f"{board.url}/posts.json"
    refused = client.get(url, params={"tags": "solo 1girl order:id"})
    assert refused.status_code == 422
    assert refused.json() == {
        "success": False,
        "error": "PostQuery::TagLimitError",
        "message": "You cannot search for more than 2 tags at a time.",
        "backtrace": [],
    }
    assert client.get(url, params={"tags": "solo 1girl rating:g date:>2005-01-01 -status:deleted"}).ok


@pytest.mark.parametrize("tags", ["colour:red", "-order:id", "order:id order:id", "date:never", "rating:x", "id:<x"])
def test_nonsense_is_refused(board: Board, client: requests.Session, tags: str) -> None:
    """What the board does not understand is a 422, never a guess."""
    assert client.get(f"{board.url}/posts.json", params={"tags": tags}).status_code == 422


@pytest.mark.parametrize(
    ("tags", "numbers"),
    [
        ("id:5", {5}),
        ("id:>5", {6, 7, 8}),
        ("id:>=5", {5, 6, 7, 8}),
        ("id:<3", {1, 2}),
        ("id:3..5", {3, 4, 5}),
        ("id:3...5", {3, 4}),
        ("id:..2", {1, 2}),
        ("id:7..", {7, 8}),
        ("id:1,7..8", {1, 7, 8}),
        ("-id:>2", {1, 2}),
    ],
)
def test_ranges(sandbox: Sandbox, tags: str, numbers: set[int]) -> None:
    """The forms of a range, as Danbooru writes them."""
    from dataclasses import replace

    posts = [replace(sandbox.posts[0], number=number) for number in range(1, 9)]

    assert {post.number for post in posts if parse(tags).matches(post)} == numbers


def test_a_day_is_a_day_in_new_york(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """All boundary posts are of 2004-12-31 there, though half of them are of 2005 in UTC."""
    found = ids(client.get(f"{board.url}/posts.json?tags=date:2004-12-31&limit=200"))

    assert set(found) >= {post.number for post in sandbox.kinds[Kind.BOUNDARY]}


def test_metatags_find_what_they_name(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """rating, status, filetype, md5 and a character's tag."""

    def found(tags: str) -> set[int]:
        return set(ids(client.get(f"{board.url}/posts.json", params={"tags": tags, "limit": 200})))

    posts = sandbox.posts
    assert found("-rating:g") == {post.number for post in posts if post.rating != "g"}
    assert found("status:deleted") == {post.number for post in sandbox.kinds[Kind.DELETED]}
    assert found("filetype:mp4,zip") == {post.number for post in posts if post.ext in {"mp4", "zip"}}
    wanted = first(sandbox, Kind.GROUP)
    assert found(f"md5:{wanted.md5}") == {wanted.number}
    tag = next(tag for tag in wanted.tags if tag.endswith("_(sandbox)"))
    assert found(f"{tag} multiple_girls") == {p.number for p in posts if {tag, "multiple_girls"} <= set(p.tags)}
    assert found("*_(sandbox) -solo") == {post.number for post in sandbox.kinds[Kind.GROUP]}


def test_hidden_posts_lack_their_keys(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """The keys are absent, not null."""
    row = client.get(f"{board.url}/posts/{first(sandbox, Kind.HIDDEN).number}.json").json()

    assert not {"md5", "file_url", "large_file_url", "preview_file_url"} & set(row)
    assert not {"md5", "variants"} & set(row["media_asset"])


def test_a_row_says_what_is_true(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """Time with milliseconds and New York's offset, size, md5, tags; no port in the artist's address."""
    post = first(sandbox, Kind.PORTRAIT)

    row = client.get(f"{board.url}/posts/{post.number}.json").json()

    assert row["created_at"][-6:] in {"-04:00", "-05:00"}
    assert len(row["created_at"]) == len("2005-01-01T00:00:00.000-05:00")
    assert datetime.fromisoformat(row["created_at"]) == post.posted_at
    stated = (row["image_width"], row["image_height"], row["file_size"], row["md5"], row["file_ext"])
    assert stated == (post.width, post.height, post.size, post.md5, post.ext)
    assert row["tag_string"].split() == list(post.tags)
    assert ":" not in row["source"].removeprefix("https:")
    assert client.get(f"{board.url}/posts.json?md5={post.md5}").json()["id"] == post.number


def test_variants_can_be_fetched(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """Every address that a row names answers with a picture of the stated size."""
    post = first(sandbox, Kind.PORTRAIT)
    row = client.get(f"{board.url}/posts/{post.number}.json").json()

    for variant in row["media_asset"]["variants"]:
        with Pictures.open(io.BytesIO(client.get(variant["url"]).content)) as picture:
            assert picture.width == pytest.approx(variant["width"], abs=1)


def test_only_restricts_a_row() -> None:
    """Names, and names within names."""
    row = {"id": 1, "md5": "a", "media_asset": {"variants": [{"type": "original", "url": "u"}], "status": "active"}}

    assert only(row, "") == row
    assert only(row, "id,md5") == {"id": 1, "md5": "a"}
    assert only(row, "media_asset[variants[url]],id") == {"id": 1, "media_asset": {"variants": [{"url": "u"}]}}


def test_counts(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """The number of all posts that a search finds."""
    answer = client.get(f"{board.url}/counts/posts.json?tags=rating:g").json()

    assert answer == {"counts": {"posts": sum(post.rating == "g" for post in sandbox.posts)}}


def test_what_is_not_there_is_404(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """Posts, md5s and files that do not exist, among them the file of a GONE post."""
    for path in ("/posts/1.json", "/posts/1", f"/posts.json?md5={'0' * 32}", "/original/aa/bb/../../x"):
        assert client.get(board.url + path).status_code == 404
    assert client.get(file_url(board, first(sandbox, Kind.GONE))).status_code == 404


def test_a_get_with_a_body_is_refused(board: Board, client: requests.Session) -> None:
    """As Danbooru does."""
    assert client.get(f"{board.url}/posts.json", data=b"x").status_code == 400


@pytest.mark.parametrize("agent", ["python-requests/2.34", "Mozilla/5.0 (X11; Linux)"])
def test_some_programs_meet_a_challenge(board: Board, agent: str) -> None:
    """Who hides who he is gets a page instead of an answer."""
    answer = requests.get(f"{board.url}/posts.json", headers={"User-Agent": agent}, timeout=5)

    assert (answer.status_code, answer.headers["cf-mitigated"]) == (403, "challenge")
    assert answer.headers["Content-Type"].startswith("text/html")


# --- the files


def test_a_file_comes_whole(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """With its length, its type, a strong ETag and a date."""
    post = first(sandbox, Kind.PORTRAIT)

    answer = client.get(file_url(board, post))

    assert answer.content == sandbox.bytes_of(post.number)
    assert answer.headers["Content-Length"] == str(post.size)
    assert answer.headers["ETag"].startswith('"')
    assert answer.headers["Last-Modified"].endswith("GMT")
    assert answer.headers["Accept-Ranges"] == "bytes"


def test_ranges_of_a_file(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """206 with the part, 416 beyond the end, the whole file for another version."""
    post = first(sandbox, Kind.PORTRAIT)
    url, data = file_url(board, post), sandbox.bytes_of(post.number)
    whole = client.get(url)

    def part(**headers: str) -> requests.Response:
        return client.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    middle = part(Range="bytes=10-19")
    assert (middle.status_code, middle.content) == (206, data[10:20])
    assert middle.headers["Content-Range"] == f"bytes 10-19/{len(data)}"
    assert part(Range="bytes=100-").content == data[100:]
    assert part(Range="bytes=-7").content == data[-7:]
    beyond = part(Range=f"bytes={len(data)}-")
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(data)}")
    assert part(Range="bytes=5-", If_Range=whole.headers["ETag"]).status_code == 206
    assert part(Range="bytes=5-", If_Range=whole.headers["Last-Modified"]).status_code == 206
    assert part(Range="bytes=5-", If_Range='"another"').content == data
    assert part(If_None_Match=whole.headers["ETag"]).status_code == 304


def test_an_empty_file_is_sent(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """No bytes, and 200."""
    answer = client.get(file_url(board, first(sandbox, Kind.EMPTY)))

    assert (answer.status_code, answer.content) == (200, b"")


def test_the_log_knows_every_request(sandbox: Sandbox, client: requests.Session) -> None:
    """Path, status, bytes and range, in process and over HTTP; looking at the log is not logged."""
    post = first(sandbox, Kind.PORTRAIT)
    with serve(sandbox) as board:
        client.get(file_url(board, post), headers={"Range": "bytes=0-9"})
        client.get(f"{board.url}/posts.json?limit=0")
        shown = client.get(f"{board.url}/sandbox/log").json()

        assert [(one.status, one.range) for one in board.log] == [(206, "bytes=0-9"), (200, None)]
        assert (board.log[0].sent, board.log[1].path) == (10, "/posts.json?limit=0")
        assert [one["path"] for one in shown] == [one.path for one in board.log]


def test_the_truth_is_served(board: Board, sandbox: Sandbox, client: requests.Session) -> None:
    """All that is true of every post, as JSON."""
    body = client.get(f"{board.url}/sandbox/truth").json()

    assert [PlantedPost.from_json(row) for row in body] == list(sandbox.posts)


# --- bad days


def tries(client: requests.Session, url: str) -> int:
    """How often *url* must be asked until its answer comes whole."""
    for count in range(1, 6):
        try:
            answer = client.get(url, timeout=10)
        except requests.RequestException:
            continue
        if answer.status_code == 200:
            return count
    raise AssertionError(f"{url} never came")


def test_faults_come_and_go(sandbox: Sandbox, client: requests.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every kind of fault comes, never more than two in a row, the same for the same seed."""
    monkeypatch.setattr("pipeline.sandbox.board.STALL_S", 0.01)
    posts = [post for post in sandbox.posts if sandbox.path(post) is not None and post.size < 300_000]

    def day() -> list[tuple[str, Fault | None]]:
        with serve(sandbox, faults=True, seed=3) as board:
            assert max(tries(client, file_url(board, post)) for post in posts) <= FAULTS_IN_A_ROW + 1
            return [(one.path, one.fault) for one in board.log]

    faults = day()
    assert {fault for _, fault in faults if fault} == set(PLAIN_FAULTS)
    assert day() == faults


def test_a_cut_body_is_shorter_than_promised(sandbox: Sandbox, client: requests.Session) -> None:
    """The client is told a length and gets half."""
    cut: dict[int, str] = {}
    with serve(sandbox, faults=True, seed=3) as board:
        for post in [post for post in sandbox.posts if sandbox.path(post) is not None][:60]:
            try:
                client.get(file_url(board, post), timeout=10)
            except requests.exceptions.ChunkedEncodingError as error:
                cut[post.size] = str(error)
            except requests.ConnectionError:
                continue  # a reset
        sent = [one.sent for one in board.log if one.fault is Fault.CUT]

    assert cut
    assert sent == [size // 2 for size in cut]
    assert all("IncompleteRead" in message for message in cut.values())


def test_a_lie_looks_like_a_whole_answer(sandbox: Sandbox, client: requests.Session) -> None:
    """Half of a file, or a web page: 200 and as long as it says; asked again, the file is there."""
    posts = sandbox.kinds[Kind.PORTRAIT][:20]
    with serve(sandbox, faults=Climate(share=1.0, kinds=LIES)) as board:
        told = {post: client.get(file_url(board, post)) for post in posts}
        kinds = [one.fault for one in board.log]

    assert {answer.status_code for answer in told.values()} == {200}
    assert set(kinds) == set(LIES)
    for (post, answer), kind in zip(told.items(), kinds, strict=True):
        whole = sandbox.bytes_of(post.number)
        assert answer.content == whole[: post.size // 2] if kind is Fault.SHORT else b"<title>" in answer.content


def test_nobody_is_lied_to_twice(sandbox: Sandbox, client: requests.Session) -> None:
    """Whoever checks a checksum twice has to believe it."""
    post = first(sandbox, Kind.PORTRAIT)
    with serve(sandbox, faults=Climate(share=1.0, kinds=LIES)) as board:
        for _ in range(6):
            with contextlib.suppress(requests.RequestException):
                client.get(file_url(board, post))

        assert len([one for one in board.log if one.fault in LIES]) == 1


def test_a_slow_answer_is_whole(sandbox: Sandbox, client: requests.Session) -> None:
    """It takes its time, byte for byte, with Range too."""
    post = first(sandbox, Kind.PORTRAIT)
    with serve(sandbox, faults=Climate(share=0.0, always={post.file: Fault.SLOW})) as board:
        begin = time.monotonic()
        assert client.get(file_url(board, post)).content == sandbox.bytes_of(post.number)
        assert time.monotonic() - begin >= 0.3
        for start in (7, post.size - 1):
            answer = client.get(file_url(board, post), headers={"Range": f"bytes={start}-"})
            assert answer.content == sandbox.bytes_of(post.number)[start:]


def test_what_nobody_took_is_not_counted_as_sent(sandbox: Sandbox, client: requests.Session) -> None:
    """Who goes away in the middle of a slow answer got a part of it."""
    post = first(sandbox, Kind.PORTRAIT)
    with serve(sandbox, faults=Climate(share=0.0, always={post.file: Fault.SLOW})) as board:
        with client.get(file_url(board, post), stream=True) as answer:
            next(answer.iter_content(1))
        time.sleep(0.6)

        assert 0 < board.log[0].sent < post.size


def test_what_never_goes_right_never_does(sandbox: Sandbox, client: requests.Session) -> None:
    """A file that is named is denied each time; the others come."""
    bad, good = sandbox.kinds[Kind.PORTRAIT][:2]
    with serve(sandbox, faults=Climate(share=0.0, always={bad.file: Fault.DENIED})) as board:
        assert [client.get(file_url(board, bad)).status_code for _ in range(4)] == [403] * 4
        assert client.get(file_url(board, good)).status_code == 200


def test_one_list_is_empty_by_mistake(sandbox: Sandbox, client: requests.Session) -> None:
    """Asked again, the same page has its posts."""
    with serve(sandbox, faults=True) as board:
        url = f"{board.url}/posts.json?page=b999999"
        lists = []
        while len(lists) < 2:
            try:
                answer = client.get(url, timeout=10)
                lists += [answer.json()] if answer.ok else []
            except requests.RequestException:
                continue

        assert lists[0] == []
        assert len(lists[1]) == 20


def test_a_taken_port_is_one_clear_line(sandbox: Sandbox) -> None:
    """The error names the port and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(WorldError, match=f"port {port}: is in use"), serve(sandbox, port=port):
            pass


# --- the program


def start(cache: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "pipeline.sandbox.board", "--cache", str(cache), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_serves_until_it_is_told_to_end(cache: Path, client: requests.Session, number: int) -> None:
    """One line with the address on stdout, the drawing on stderr, an end without a traceback."""
    process = start(cache, "--posts", "12")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert len(ids(client.get(f"{url}/posts.json"))) == 12
    process.send_signal(number)
    _, errors = process.communicate(timeout=10)

    assert process.returncode == 0
    assert errors in {"drawn 12/12\n", ""}


def test_the_program_names_a_taken_port(cache: Path) -> None:
    """One line and exit code 1."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(cache, "--posts", "12", "--port", str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert errors.startswith("port ")
    assert errors.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_the_program_dies_with_its_parent(cache: Path) -> None:
    """A run that is killed leaves no board behind."""
    words = ["-m", "pipeline.sandbox.board", "--cache", str(cache), "--posts", "12", "--die-with-parent"]
    parent = (
        "import json, subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, *{json.dumps(words)}], stdout=subprocess.PIPE, text=True)\n"
        "print(child.pid, child.stdout.readline(), end='', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline().split()[0])
        process.kill()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and alive(pid):
        time.sleep(0.02)

    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    return state != "Z"
