"""pipeline.http: politeness, patience, and whole files only."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import faulty
import pytest
import urllib3
from faulty import cut, cut_range, endless, flood, ranged, reply, reset, stall

from pipeline.errors import BoardError, StoreError, UsageError
from pipeline.http import Client, Fetched, Refused, Stopped
from pipeline.http.bodies import words_of
from pipeline.records import Reason

BODY = Random(1).randbytes(300_000)
MD5 = hashlib.md5(BODY, usedforsecurity=False).hexdigest()
WHOLE = Fetched(MD5, len(BODY))


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "file"


def client(**settings: Any) -> Client:
    return Client(
        **{"private": True, "min_gap_s": 0.0, "backoff_s": 0.01, "read_timeout_s": 0.3, "max_wait_s": 1.0, **settings}
    )


def get(client: Client, url: str, target: Path, **expected: Any) -> Fetched | Refused:
    return client.download(url, target, **{"max_bytes": 1_000_000, **expected})


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_says_who_it_is(server: faulty.Server) -> None:
    """The User-Agent names the program, its version and a contact, and no browser."""
    client(contact="https://example.org/me").get_json(server.on("/a", reply(200, "[]")))

    assert server.requests[0].headers["User-Agent"] == "kaoset/0.1.0 (+https://example.org/me)"


@pytest.mark.parametrize("contact", ["", "a\r\nX-Evil: 1", "ü@example.org"])
def test_refuses_a_contact_that_breaks_headers(contact: str) -> None:
    """A contact that does not fit into a header is a wrong order, not a surprise later."""
    with pytest.raises(UsageError, match="does not fit into a header"):
        Client(contact=contact)


def test_all_threads_share_one_pace(server: faulty.Server) -> None:
    """Requests of one host leave no closer than the gap, however many threads ask."""
    url = server.on("/a", reply(200, "[]"))
    polite = client(min_gap_s=0.05)
    threads = [threading.Thread(target=lambda: [polite.get_json(url) for _ in range(3)]) for _ in range(4)]

    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(server.requests) == 12
    assert time.monotonic() - begin >= 11 * 0.05
    times = sorted(one.at for one in server.requests)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert sorted(gaps)[len(gaps) // 2] >= 0.045  # when they arrive, a busy machine may delay single ones


@pytest.mark.parametrize("trouble", [reply(429), reply(408), reply(500), reply(503), reset(), stall(0.5)])
def test_tries_again_after_what_passes(server: faulty.Server, trouble: faulty.Answer) -> None:
    """A busy, broken or silent host is asked again."""
    url = server.on("/a", trouble, trouble, reply(200, '{"fine": true}'))

    assert client().get_json(url) == {"fine": True}


@pytest.mark.parametrize("body", ["", "  ", "<html>busy</html>", '[{"id": 1}, {"i', "[" * 100_000])
def test_tries_again_where_json_is_due(server: faulty.Server, body: str) -> None:
    """An empty, cut, HTML or absurd answer is no list: it is asked for again."""
    url = server.on("/a", reply(200, body), reply(200, "[1]"))

    assert client().get_json(url) == [1]


def test_tries_again_after_a_cut_body(server: faulty.Server) -> None:
    """A body shorter than its Content-Length is not taken for JSON, even where it would parse."""
    url = server.on("/a", cut(b"123456", 3), reply(200, "[1]"))

    assert client().get_json(url) == [1]


def test_takes_packed_json(server: faulty.Server) -> None:
    """A gzipped answer is unpacked."""
    url = server.on("/a", reply(200, gzip.compress(b"[1, 2]"), Content_Encoding="gzip"))

    assert client().get_json(url) == [1, 2]


def test_gives_up_after_its_tries(server: faulty.Server) -> None:
    """Five tries by default, and then one line with the board's own words."""
    url = server.on("/a", reply(500, '{"success": false, "message": "The database timed out"}'))

    with pytest.raises(BoardError, match=r"^127\.0\.0\.1:\d+: answers 500: 'The database timed out'; try again later$"):
        client().get_json(url)
    assert len(server.requests) == 5


def test_a_refusal_is_final(server: faulty.Server) -> None:
    """A 4xx is told at once, with what to do."""
    url = server.on("/a", reply(422, '{"message": "You cannot search for more than 2 tags at a time."}'))

    with pytest.raises(BoardError, match=r"more than 2 tags at a time\.'; change the query"):
        client().get_json(url)
    assert len(server.requests) == 1


def test_tells_the_title_of_a_page(server: faulty.Server) -> None:
    """A challenge page is told by its title, on one line, without control characters."""
    page = "<?xml version='1.0'?><html><title>Just a\n moment\x1b[31m...</title><body>x</body></html>"
    url = server.on("/a", reply(403, page, cf_mitigated="challenge"))

    with pytest.raises(BoardError, match=r"answers 403: 'Just a moment \[31m...'; check this source's login"):
        client().get_json(url)


def test_an_unknown_status_is_a_refusal_too(server: faulty.Server) -> None:
    """A status that no standard knows is told like any other."""
    with pytest.raises(BoardError, match="answers 499"):
        client().get_json(server.on("/a", reply(499)))


def test_no_such_host_is_one_line() -> None:
    """A host without an address is told as such."""
    with pytest.raises(BoardError, match=r"no-such-host\.invalid: no such host; check the address"):
        client().get_json("http://no-such-host.invalid/posts.json")


def test_a_closed_port_is_one_line() -> None:
    """A host that takes no connection is told as such."""
    with pytest.raises(BoardError, match="takes no connection; check the address of this source and your network"):
        client().get_json(f"http://127.0.0.1:{_closed_port()}/posts.json")


ODD_HOSTS = [f"http://{'a' * 70}.example/x.jpg", "http://a..b/x.jpg", "http://.a/x.jpg", "http://[bad/x.jpg"]


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.org/a", "nonsense", "http://[::1", "http://", *ODD_HOSTS]
)
def test_asks_only_http(url: str, target: Path) -> None:
    """Other schemes and broken addresses are refused without a request."""
    with pytest.raises(BoardError):
        client().get_json(url)

    assert get(client(), url, target).reason is Reason.FORBIDDEN


def test_waits_as_long_as_told_in_seconds(server: faulty.Server) -> None:
    """Retry-After may be a fraction of a second."""
    url = server.on("/a", reply(429, Retry_After="0.25"), reply(200, "[]"))

    client().get_json(url)

    first, second = server.requests
    assert 0.25 <= second.at - first.at < 0.9


def test_waits_until_the_date_told(server: faulty.Server) -> None:
    """Retry-After may be an HTTP date."""
    soon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    url = server.on("/a", reply(503, Retry_After=format_datetime(soon, usegmt=True)), reply(200, "[]"))

    client(max_wait_s=5.0).get_json(url)

    assert datetime.now(UTC) >= soon


@pytest.mark.parametrize("nonsense", ["3600", "nan", "-5", "soon", "Thu, 99 Foo 2026"])
def test_no_retry_after_holds_for_ever(server: faulty.Server, nonsense: str) -> None:
    """A wait is capped, and nonsense is passed over."""
    url = server.on("/a", reply(429, Retry_After=nonsense), reply(200, "[]"))

    begin = time.monotonic()
    client(max_wait_s=0.1).get_json(url)

    assert time.monotonic() - begin < 1.0


def test_told_to_wait_all_threads_wait(server: faulty.Server) -> None:
    """A 429 holds back every request to its host, not only the one that got it."""
    busy = server.on("/busy", reply(429, Retry_After="0.8"), reply(200, "[]"))
    other = server.on("/other", reply(200, "[]"))
    polite = client()
    thread = threading.Thread(target=lambda: polite.get_json(busy))
    thread.start()
    while not server.asked("/busy"):
        time.sleep(0.01)
    time.sleep(0.3)  # until the answer is read

    polite.get_json(other)
    thread.join()

    assert server.asked("/other")[0].at - server.asked("/busy")[0].at >= 0.8


def test_stop_ends_a_wait_at_once(server: faulty.Server) -> None:
    """Whoever wishes the run to end does not wait for the politeness of it."""
    url = server.on("/a", reply(429, Retry_After="60"))
    patient = client(max_wait_s=60.0)
    threading.Timer(0.2, patient.stop.set).start()

    begin = time.monotonic()
    with pytest.raises(Stopped, match="the same command goes on from here"):
        patient.get_json(url)

    assert time.monotonic() - begin < 2.0


def test_the_login_goes_to_its_host_alone(server: faulty.Server, target: Path) -> None:
    """A redirect to another host takes neither the login nor private headers with it."""
    with faulty.serve() as other:
        there = other.on("/b", reply(200, "[]"))
        client().get_json(server.on("/a", reply(302, Location=there)), auth=("me", "key"))
        client().download(
            server.on("/c", reply(302, Location=there)),
            target,
            max_bytes=9,
            headers={"X-Key": "secret", "Referer": "me"},
        )

    assert "Authorization" in server.requests[0].headers
    assert "X-Key" in server.requests[1].headers
    assert not {"Authorization", "X-Key", "Referer"} & {name for one in other.requests for name in one.headers}


def test_the_login_is_not_in_the_address(server: faulty.Server) -> None:
    """Addresses end up in logs."""
    client().get_json(server.on("/a", reply(200, "[]")), {"tags": "1girl rating:g"}, auth=("me", "secret"))

    assert server.requests[0].path == "/a?tags=1girl+rating%3Ag"


def test_takes_no_login_from_the_machine(server: faulty.Server, tmp_path: Path, monkeypatch: Any) -> None:
    """What lies in a .netrc is not ours to send."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\ndefault login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    client().get_json(server.on("/a", reply(200, "[]")))

    assert "Authorization" not in server.requests[0].headers


def test_follows_five_redirects_and_no_more(server: faulty.Server, target: Path) -> None:
    """A circle of redirects ends."""
    url = server.on("/a", reply(302, Location="/a"))

    assert get(client(), url, target) == Refused(Reason.FORBIDDEN, "more than 5 redirects")
    assert len(server.requests) == 6


def test_follows_no_redirect_out_of_http(server: faulty.Server, target: Path) -> None:
    """A board cannot make us read our own disk."""
    url = server.on("/a", reply(302, Location="file:///etc/passwd"))

    assert get(client(), url, target) == Refused(Reason.FORBIDDEN, "file: is not http or https")


@pytest.mark.parametrize("onward", ODD_HOSTS)
def test_a_redirect_to_an_odd_address_is_a_refusal(server: faulty.Server, target: Path, onward: str) -> None:
    """One file's broken redirect ends as an outcome of that file."""
    url = server.on("/a.jpg", reply(302, Location=onward))

    assert get(client(), url, target).reason is Reason.FORBIDDEN


def test_the_body_of_a_redirect_is_not_read(server: faulty.Server, target: Path) -> None:
    """It may have no end."""
    server.on("/b.jpg", ranged(BODY))
    url = server.on("/a.jpg", flood(b"HTTP/1.1 302 Found\r\nLocation: /b.jpg\r\n\r\n", b"x" * 65536))

    begin = time.monotonic()
    assert get(client(), url, target) == WHOLE
    assert time.monotonic() - begin < 1.0


ENDLESS = {
    "header": (b"HTTP/1.1 200 OK\r\nX-A: ", b"a"),
    "continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n", b"X-A: b\r\n" * 100),
    "body": (b"HTTP/1.1 200 OK\r\n\r\n", b"["),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_an_answer_without_an_end_is_cut(server: faulty.Server, target: Path, kind: str) -> None:
    """Whatever part of an answer drips or floods on for ever, one deadline ends it, and it counts as a try."""
    url = server.on("/a", flood(*ENDLESS[kind], pause_s=0.01))
    hasty = client(tries=2, headers_timeout_s=0.2, body_timeout_s=0.2)

    begin = time.monotonic()
    assert get(hasty, url, target).reason is Reason.UNREACHABLE
    with pytest.raises(BoardError, match=r"does not answer in time|is too slow"):
        hasty.get_json(url)

    assert len(server.requests) == 4
    assert time.monotonic() - begin < 4.0


@pytest.mark.parametrize("answer", [*(flood(*one, pause_s=0.01) for one in ENDLESS.values()), stall(5.0)])
def test_stop_ends_a_read_at_once(server: faulty.Server, target: Path, answer: faulty.Answer) -> None:
    """No answer, and none that has no end, holds up whoever wishes the run to end; nothing is taken for whole."""
    url = server.on("/a", answer)
    patient = client(read_timeout_s=10.0)
    threading.Timer(0.2, patient.stop.set).start()

    begin = time.monotonic()
    with pytest.raises(Stopped):
        get(patient, url, target)

    assert time.monotonic() - begin < 2.0
    assert not target.exists()


def test_a_connection_that_was_cut_harms_no_later_request(server: faulty.Server, target: Path) -> None:
    """The next try makes another one."""
    url = server.on("/a", flood(*ENDLESS["header"], pause_s=0.01), ranged(BODY))

    assert get(client(headers_timeout_s=0.2), url, target) == WHOLE


def test_a_slow_body_has_more_time_than_headers(server: faulty.Server, target: Path) -> None:
    """A large file over a thin line is no fault."""
    url = server.on("/a", endless(b"x" * 25_000, 0.02))

    fetched = get(client(headers_timeout_s=0.3), url, target)

    assert isinstance(fetched, Fetched)
    assert fetched.bytes == 1_000_000


def test_looks_for_words_at_the_beginning_only(server: faulty.Server) -> None:
    """A huge page where JSON is due costs no more than a small one."""
    url = server.on("/a", reply(200, b"<html><title>hi</title>" + b"<b>" * 3_000_000))

    begin = time.monotonic()
    with pytest.raises(BoardError, match="gives no JSON: 'hi'"):
        client(tries=1).get_json(url)
    assert time.monotonic() - begin < 3.0


def test_brings_a_whole_file(server: faulty.Server, target: Path) -> None:
    """The bytes lie under the final name, nothing lies beside them."""
    url = server.on("/a.jpg", ranged(BODY, ETag='"1"'))

    assert get(client(), url, target, expect_md5=MD5.upper()) == WHOLE
    assert target.read_bytes() == BODY
    assert left(target) == ["file"]


def test_goes_on_where_the_body_was_cut(server: faulty.Server, target: Path) -> None:
    """Only the missing bytes are asked for, and only of the same version."""
    url = server.on("/a.jpg", cut(BODY, 200_000, ETag='"1"'), ranged(BODY, ETag='"1"'))

    assert get(client(), url, target, expect_md5=MD5) == WHOLE
    assert server.requests[1].headers["Range"] == "bytes=200000-"
    assert server.requests[1].headers["If-Range"] == '"1"'


def test_a_try_that_gained_bytes_does_not_count(server: faulty.Server, target: Path) -> None:
    """A host that cuts every answer short still gives the file in the end."""
    url = server.on("/a.jpg", cut_range(BODY, 20_000, ETag='"1"'))

    assert get(client(tries=2), url, target) == WHOLE
    assert len(server.requests) == 15


def test_a_host_that_never_gets_further_is_given_up(server: faulty.Server, target: Path) -> None:
    """Starting over and ending at the same byte gains nothing."""
    url = server.on("/a.jpg", cut(BODY, 20_000))

    assert get(client(tries=3), url, target) == Refused(Reason.UNREACHABLE, "ends before its end")
    assert len(server.requests) == 4  # the first gained


def test_a_part_is_kept_for_the_next_run(server: faulty.Server, target: Path) -> None:
    """What came before the host went away is not asked for again."""
    url = server.on("/a.jpg", cut(BODY, 200_000, ETag='"1"'), reply(500))
    assert get(client(), url, target).reason is Reason.UNREACHABLE
    assert left(target) == ["file.part", "file.part.json"]

    server.on("/a.jpg", ranged(BODY, ETag='"1"'))

    assert get(client(), url, target) == WHOLE
    assert server.requests[-1].headers["Range"] == "bytes=200000-"
    assert left(target) == ["file"]


def test_a_part_is_gone_on_with_at_another_address(server: faulty.Server, target: Path) -> None:
    """The md5 says that it is the same file, though the board moved."""
    get(client(tries=1), server.on("/a.jpg", cut(BODY, 200_000), reply(500)), target, expect_md5=MD5)

    assert get(client(), server.on("/b.jpg", ranged(BODY)), target, expect_md5=MD5) == WHOLE
    assert server.asked("/b.jpg")[0].headers["Range"] == "bytes=200000-"


def test_a_part_of_another_file_is_forgotten(server: faulty.Server, target: Path) -> None:
    """Without a common md5 another address is another file."""
    get(client(tries=1), server.on("/a.jpg", cut(bytes(500_000), 400_000, ETag='"0"'), reply(500)), target)

    assert get(client(), server.on("/b.jpg", ranged(BODY, ETag='"1"')), target) == WHOLE
    assert "Range" not in server.asked("/b.jpg")[0].headers


def test_a_new_version_is_begun_anew(server: faulty.Server, target: Path) -> None:
    """A 200 to a Range request means: the file is another one now."""
    url = server.on("/a.jpg", cut(bytes(400_000), 350_000, ETag='"0"'), ranged(BODY, ETag='"1"'))

    assert get(client(), url, target) == WHOLE


def test_a_range_that_starts_elsewhere_is_not_appended(server: faulty.Server, target: Path) -> None:
    """The first byte of a 206 is checked, or the file would be spoilt."""
    wrong = reply(206, BODY[:100_000], Content_Range=f"bytes 0-99999/{len(BODY)}")
    url = server.on("/a.jpg", cut(BODY, 200_000, ETag='"1"'), wrong, ranged(BODY, ETag='"1"'))

    assert get(client(), url, target) == WHOLE


def test_416_with_all_bytes_is_the_end(server: faulty.Server, target: Path) -> None:
    """A part that is whole already needs no more bytes."""
    get(client(tries=1), server.on("/a.jpg", cut(BODY + b"x", len(BODY)), reply(500)), target, expect_md5=MD5)
    url = server.on("/a.jpg", ranged(BODY))

    assert get(client(), url, target, expect_md5=MD5) == WHOLE
    assert len(server.requests) == 3


def test_a_killed_run_left_a_whole_part(server: faulty.Server, target: Path) -> None:
    """What only lacks its final name is not asked for at all."""
    target.with_name("file.part").write_bytes(BODY)
    note = {"url": "", "sums": {"md5": MD5}, "validator": None, "length": len(BODY)}
    target.with_name("file.part.json").write_text(json.dumps(note))

    assert get(client(), server.address + "/a.jpg", target, expect_md5=MD5) == WHOLE
    assert server.requests == []


def test_a_torn_note_means_starting_over(server: faulty.Server, target: Path) -> None:
    """A note that a kill cut in two describes nothing."""
    target.with_name("file.part").write_bytes(b"what is this")
    target.with_name("file.part.json").write_text('{"url": "htt')

    assert get(client(), server.on("/a.jpg", ranged(BODY)), target, expect_md5=MD5) == WHOLE


def test_a_wrong_md5_gets_one_more_chance(server: faulty.Server, target: Path) -> None:
    """A spoilt transfer is mended by a second whole one."""
    url = server.on("/a.jpg", reply(200, BODY[::-1]), reply(200, BODY))

    assert get(client(), url, target, expect_md5=MD5) == WHOLE


def test_a_file_that_stays_another_is_refused(server: faulty.Server, target: Path) -> None:
    """A host that re-encodes its files is not asked for ever."""
    url = server.on("/a.jpg", reply(200, b"re-encoded"))

    digest = hashlib.md5(b"re-encoded", usedforsecurity=False).hexdigest()
    assert get(client(), url, target, expect_md5=MD5) == Refused(Reason.WRONG_MD5, f"has md5 {digest}")
    assert len(server.requests) == 2
    assert left(target) == []


def test_a_second_chance_is_not_given_twice(server: faulty.Server, target: Path) -> None:
    """Who is killed between the two tries remembers the first: three times in full would be once too often."""
    url = server.on("/a.jpg", reply(200, b"re-encoded"), reply(500), reply(200, b"re-encoded"))
    assert isinstance(get(client(tries=1), url, target, expect_md5=MD5), Refused)

    answer = get(client(), url, target, expect_md5=MD5)

    assert isinstance(answer, Refused)
    assert answer.reason is Reason.WRONG_MD5
    assert len(server.requests) == 3
    assert left(target) == []


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, Reason.GONE),
        (410, Reason.GONE),
        (401, Reason.FORBIDDEN),
        (403, Reason.FORBIDDEN),
        (451, Reason.FORBIDDEN),
        (400, Reason.FORBIDDEN),
        (304, Reason.FORBIDDEN),
    ],
)
def test_a_refused_file_is_not_asked_for_again(
    server: faulty.Server, target: Path, status: int, reason: Reason
) -> None:
    """What the host will not give is told by its status, after one request."""
    url = server.on("/a.jpg", reply(status))

    assert get(client(), url, target) == Refused(reason, f"answers {status}")
    assert len(server.requests) == 1


def test_a_refusal_removes_what_had_come(server: faulty.Server, target: Path) -> None:
    """A file that is gone leaves no part behind."""
    url = server.on("/a.jpg", cut(BODY, 1000, ETag='"1"'), reply(404))

    assert get(client(), url, target).reason is Reason.GONE
    assert left(target) == []


def test_a_challenge_is_not_the_files_fault(server: faulty.Server, target: Path) -> None:
    """Cloudflare's test for browsers passes; the next run asks again."""
    url = server.on("/a.jpg", reply(403, cf_mitigated="challenge"))

    assert get(client(), url, target) == Refused(Reason.UNREACHABLE, "takes us for a browser")


@pytest.mark.parametrize("answer", [reply(200, b""), reply(204)])
def test_an_empty_file_is_refused(server: faulty.Server, target: Path, answer: faulty.Answer) -> None:
    """No bytes are no file."""
    assert get(client(), server.on("/a.jpg", answer), target, expect_size=100) == Refused(Reason.EMPTY)
    assert left(target) == []


def test_a_large_file_is_refused_by_its_header(server: faulty.Server, target: Path) -> None:
    """Its body is not waited for."""
    url = server.on("/a.jpg", endless(b"x", 0.05))

    begin = time.monotonic()
    assert get(client(), url, target, max_bytes=999_999) == Refused(Reason.TOO_LARGE)
    assert time.monotonic() - begin < 1.0


def test_a_large_file_that_hides_its_length_is_cut_off(server: faulty.Server, target: Path) -> None:
    """Without a Content-Length the bytes are counted as they come."""
    url = server.on("/a.jpg", reply(200, gzip.compress(bytes(5_000_000)), Content_Encoding="gzip"))

    assert get(client(), url, target) == Refused(Reason.TOO_LARGE)
    assert left(target) == []


def test_a_trickle_ends(server: faulty.Server, target: Path) -> None:
    """A byte now and then keeps no thread busy beyond the limit for a whole body, and each such try counts."""
    url = server.on("/a.jpg", endless(b"x", 0.05))

    begin = time.monotonic()
    assert get(client(body_timeout_s=0.3, tries=2), url, target) == Refused(Reason.UNREACHABLE, "is too slow")
    assert time.monotonic() - begin < 2.0


def test_a_dead_file_host_costs_little(target: Path) -> None:
    """After a few files that could not be had, their host is parked, and the rest of its files are told at once."""
    hasty = client(backoff_s=0.05, give_up_after=3)
    url = f"http://127.0.0.1:{_closed_port()}/"

    begin = time.monotonic()
    answers = [get(hasty, f"{url}{number}.jpg", target) for number in range(200)]

    unreachable, parked = (Refused(reason, "takes no connection") for reason in (Reason.UNREACHABLE, Reason.PARKED))
    assert answers == [unreachable] * 3 + [parked] * 197
    assert time.monotonic() - begin < 2.0


def test_a_parked_host_is_left_alone_to_the_end_of_the_run(server: faulty.Server, target: Path) -> None:
    """It is asked nothing more, and the next run, with hosts of its own, begins anew."""
    first = client(tries=1, give_up_after=1)
    url = server.on("/a.jpg", reply(500), ranged(BODY))

    assert get(first, url, target) == Refused(Reason.UNREACHABLE, "answers 500")
    assert get(first, url, target) == Refused(Reason.PARKED, "answers 500")
    assert len(server.requests) == 1
    assert first.hosts.parked() == {server.address.removeprefix("http://"): "answers 500"}
    assert get(client(), url, target) == WHOLE


def test_a_file_that_comes_forgives_those_that_did_not(server: faulty.Server, target: Path) -> None:
    """Only failures in a row park a host."""
    patient = client(tries=1, give_up_after=2)
    bad, good = server.on("/bad.jpg", reply(500)), server.on("/good.jpg", ranged(BODY))

    reasons = [getattr(get(patient, url, target), "reason", None) for url in (bad, good, bad, good)]

    assert reasons == [Reason.UNREACHABLE, None] * 2


def test_an_unwritable_folder_is_the_worlds_fault(server: faulty.Server, tmp_path: Path) -> None:
    """A disk that cannot be written ends the run with one line, and does not look like a bad file."""
    url = server.on("/a.jpg", ranged(BODY))

    with pytest.raises(StoreError, match=r"file\.part: No such file or directory; free some space or choose --data"):
        get(client(), url, tmp_path / "missing" / "file")


def test_back_off_grows_and_is_seeded() -> None:
    """The same seed gives the same pauses; each ceiling is twice the one before."""

    def pauses(seed: int) -> list[float]:
        seen: list[float] = []

        class Quiet(threading.Event):
            def wait(self, timeout: float | None = None) -> bool:
                seen.append(timeout or 0.0)
                return False

        with pytest.raises(BoardError):
            client(backoff_s=1.0, random=Random(seed), stop=Quiet(), tries=3).get_json("http://127.0.0.1:1/")
        return seen

    assert pauses(1) == pauses(1) != pauses(2)
    assert 0 <= pauses(1)[0] <= 1
    assert 0 <= pauses(1)[1] <= 2


def _closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_a_rule_over_headers_is_asked_before_the_body(server: faulty.Server, target: Path) -> None:
    """What it gives is the answer; it sees each line of a header by itself, and no answer but the file's."""
    seen: list[list[str]] = []

    def rule(headers: urllib3.HTTPHeaderDict) -> Refused | None:
        seen.append(headers.getlist("X-Robots-Tag"))
        return Refused(Reason.NOT_FOR_AI) if seen[-1] else None

    moved = server.on("/moved", reply(302, X_Robots_Tag="noai", Location="/file"))
    server.on("/file", reply(500, X_Robots_Tag="noai"), reply(200, b"file"))

    assert get(client(), moved, target, objects=rule) == Fetched(
        hashlib.md5(b"file", usedforsecurity=False).hexdigest(), 4
    )
    assert get(client(), server.on("/no", reply(200, b"", X_Robots_Tag="noai")), target, objects=rule) == Refused(
        Reason.NOT_FOR_AI
    )
    assert (
        get(client(), server.on("/gone", reply(404, X_Robots_Tag="noai")), target, objects=rule).reason is Reason.GONE
    )
    assert seen == [[], ["noai"]]


def test_a_redirect_may_be_written_in_raw_utf_8(server: faulty.Server) -> None:
    """Many servers put the path there as it is; a header holds bytes."""
    moved = server.on("/moved", reply(302, Location="/\u00e4".encode().decode("latin-1")))
    server.on("/%C3%A4", reply(200, "[1]"))

    assert client().get_json(moved) == [1]


@pytest.mark.parametrize(
    "nonsense", ["Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "9" * 400, "Mon, 01 Jan 2099 00:00:00 +9999999999"]
)
def test_a_date_beyond_all_dates_ends_no_run(server: faulty.Server, nonsense: str) -> None:
    """It is passed over as any other nonsense in Retry-After."""
    url = server.on("/a", reply(429, Retry_After=nonsense), reply(200, "[1]"))

    assert client(max_wait_s=0.1).get_json(url) == [1]


def test_304_means_nothing_to_who_did_not_ask(server: faulty.Server) -> None:
    """Only who has read a page before may be told that it is the same; else a list would seem empty."""
    with pytest.raises(BoardError, match="answers 304"):
        client().get_page(server.on("/a", reply(304)))


@pytest.mark.parametrize("page", [b"<a " * 22_000, b"<!--" * 16_000, b"<title" * 11_000, b"<![CDATA[" * 7000])
def test_no_error_page_takes_long_to_read(server: faulty.Server, page: bytes) -> None:
    """A parser of HTML works for many seconds on 64 KiB of tags that never end, while all threads wait for it."""
    begin = time.monotonic()
    with pytest.raises(BoardError, match="answers 403; check"):
        client().get_json(server.on("/a", reply(403, page)))
    assert time.monotonic() - begin < 1.0


@pytest.mark.parametrize(
    ("page", "words"),
    [
        (b"<html><TITLE lang=en>\n Just a\n moment&hellip; </TITLE>", "Just a moment\u2026"),
        (b"\xef\xbb\xbf<title>\xe5\xb9\xb4\xe9\xbd\xa2</title>", "\u5e74\u9f62"),
        (b"<title>one</title><title>two</title>", "one"),
        (b"<title>" + b"x" * 1000 + b"</title>", "x" * 200),
        (b"no page", ""),
    ],
)
def test_a_title_is_told_as_people_read_it(page: bytes, words: str) -> None:
    """In one line, at most 200 characters of it."""
    assert words_of(page) == words


def test_whoever_asks_for_a_pause_gets_it(server: faulty.Server) -> None:
    """After a redirect that is the host it led to; the one that led there is not to blame."""
    with faulty.serve() as other:
        moved = server.on(
            "/moved", reply(302, Location=other.on("/busy", reply(429, Retry_After="0.8"), reply(200, "[]")))
        )
        here, there = server.on("/here", reply(200, "[]")), other.on("/there", reply(200, "[]"))
        polite = client()
        thread = threading.Thread(target=lambda: polite.get_json(moved))
        thread.start()
        while not other.asked("/busy"):
            time.sleep(0.01)
        time.sleep(0.2)  # until the answer is read

        polite.get_json(here)
        polite.get_json(there)
        thread.join()

        busy_at = other.asked("/busy")[0].at
        assert other.asked("/there")[0].at - busy_at >= 0.8
        assert server.asked("/here")[0].at - busy_at < 0.7


def test_a_host_that_has_answered_gets_all_tries_when_it_takes_no_connection(target: Path) -> None:
    """Its program is started anew, or our own line is down for a moment; a wrong name is given up sooner."""
    with faulty.serve() as server:
        patient = client(tries=6)
        patient.get_json(server.on("/a", reply(200, "[]")))
    pauses: list[float] = []

    class Dice(Random):
        def uniform(self, a: float, b: float) -> float:
            pauses.append(b)
            return super().uniform(a, b)

    known = client(tries=6, hosts=patient.hosts, random=Dice())
    assert get(known, f"{server.address}/a.jpg", target) == Refused(Reason.UNREACHABLE, "takes no connection")
    assert len(pauses) == 5


def test_no_cookie_is_kept(server: faulty.Server) -> None:
    """Each thread would have its own, a host could fill the memory with them, and follow us about."""
    polite = client()
    polite.get_json(server.on("/a", reply(200, "[]", Set_Cookie="k=v; Path=/")))
    polite.get_json(server.on("/b", reply(200, "[]")))

    assert "Cookie" not in server.asked("/b")[0].headers


def test_stop_ends_a_connecting_at_once(target: Path) -> None:
    """To a machine that drops what is sent to it, as behind many a firewall."""
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than it takes
            one = stack.enter_context(socket.socket())
            one.settimeout(0.0)
            with contextlib.suppress(BlockingIOError):
                one.connect(full.getsockname())
        time.sleep(0.1)
        hurried = client(connect_timeout_s=8.0)
        threading.Timer(0.3, hurried.stop.set).start()

        begin = time.monotonic()
        with pytest.raises(Stopped):
            get(hurried, f"http://127.0.0.1:{full.getsockname()[1]}/a", target)
        assert time.monotonic() - begin < 2.0
