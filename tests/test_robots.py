"""Manners of a client: robots.txt, and whom it asks at all."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faulty
import pytest
from faulty import reply

from pipeline.errors import BoardError
from pipeline.http import Client, Fetched, Refused
from pipeline.http.wire import refuse_private_name
from pipeline.records import Reason

# As danbooru.donmai.us has it: its list is closed to crawlers, and its help page invites programs to it.
DANBOORU = "User-agent: *\nDisallow: /\nAllow: /posts\nAllow: /original\nDisallow: /*.json\n"


@pytest.fixture
def server() -> Iterator[faulty.Server]:
    with faulty.serve() as server:
        server.on("/posts.json", reply(200, "[1]"))
        server.on("/original/a.jpg", reply(200, b"file"))
        yield server


def client(**settings: Any) -> Client:
    return Client(**{"private": True, "robots": True, "min_gap_s": 0.0, "backoff_s": 0.01, "tries": 2, **settings})


def get(client: Client, url: str, folder: Path) -> Fetched | Refused:
    return client.download(url, folder / "file", max_bytes=1000)


def asked(server: faulty.Server) -> list[str]:
    return [request.path for request in server.requests]


def test_what_robots_txt_closes_is_not_asked(server: faulty.Server) -> None:
    """The error says who closes it, and what can be done."""
    server.on("/robots.txt", reply(200, DANBOORU))

    with pytest.raises(BoardError, match=r"robots\.txt closes it; ask its owner, or see `robots` of this source"):
        client().get_json(f"{server.address}/posts.json")

    assert asked(server) == ["/robots.txt"]


def test_a_closed_file_is_dropped_with_its_reason(server: faulty.Server, tmp_path: Path) -> None:
    """And the host is not thought to fail."""
    server.on("/robots.txt", reply(200, "User-agent: *\nDisallow: /original"))

    assert get(client(), f"{server.address}/original/a.jpg", tmp_path) == Refused(Reason.ROBOTS, "robots.txt closes it")


def test_what_robots_txt_leaves_open_is_asked(server: faulty.Server, tmp_path: Path) -> None:
    """The longest rule decides, not the first."""
    server.on("/robots.txt", reply(200, DANBOORU))

    assert isinstance(get(client(), f"{server.address}/original/a.jpg", tmp_path), Fetched)


def test_rules_for_us_go_before_rules_for_all(server: faulty.Server) -> None:
    """A host may close itself to kaoset alone."""
    server.on("/robots.txt", reply(200, "User-agent: kaoset\nDisallow: /\n\nUser-agent: *\nAllow: /"))

    with pytest.raises(BoardError, match="robots"):
        client().get_json(f"{server.address}/posts.json")


def test_robots_txt_is_asked_once(server: faulty.Server) -> None:
    """However often its host is asked for other things."""
    server.on("/robots.txt", reply(200, "User-agent: *\nAllow: /"))
    polite = client()

    for _ in range(3):
        polite.get_json(f"{server.address}/posts.json")

    assert asked(server) == ["/robots.txt"] + ["/posts.json"] * 3


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_host_without_robots_txt_closes_nothing(server: faulty.Server, status: int) -> None:
    """RFC 9309: any 4xx."""
    server.on("/robots.txt", reply(status, "Disallow: /"))

    assert client().get_json(f"{server.address}/posts.json") == [1]


def test_a_host_whose_robots_txt_cannot_be_had_is_left_alone(server: faulty.Server, tmp_path: Path) -> None:
    """RFC 9309: 5xx; the next run tries again."""
    server.on("/robots.txt", reply(500))

    assert get(client(), f"{server.address}/original/a.jpg", tmp_path) == Refused(Reason.UNREACHABLE, "answers 500")
    assert set(asked(server)) == {"/robots.txt"}


def test_a_client_that_need_not_does_not_ask_for_robots_txt(server: faulty.Server) -> None:
    """The documented API of a board is an invitation."""
    server.on("/robots.txt", reply(200, DANBOORU))

    assert client(robots=False).get_json(f"{server.address}/posts.json") == [1]
    assert asked(server) == ["/posts.json"]


def test_a_redirect_leads_under_the_rules_of_its_target(server: faulty.Server, tmp_path: Path) -> None:
    """Each host has its own robots.txt."""
    with faulty.serve() as other:
        other.on("/robots.txt", reply(200, "User-agent: *\nDisallow: /"))
        server.on("/robots.txt", reply(404))
        server.on("/moved", reply(302, Location=f"{other.address}/file"))

        assert get(client(), f"{server.address}/moved", tmp_path) == Refused(Reason.ROBOTS, "robots.txt closes it")
        assert asked(other) == ["/robots.txt"]


def test_a_crawl_delay_is_kept(server: faulty.Server) -> None:
    """Where it is longer than the recipe's gap."""
    server.on("/robots.txt", reply(200, "User-agent: *\nCrawl-delay: 0.2"))
    polite = client()

    for _ in range(2):
        polite.get_json(f"{server.address}/posts.json")

    first, second = (request.at for request in server.requests[1:])
    assert second - first >= 0.15  # a thread of the server may be late for the first


def test_a_private_host_is_not_asked(server: faulty.Server, tmp_path: Path) -> None:
    """Not even for a connection: a list of addresses from elsewhere shall not reach into this network."""
    outsider = client(private=False, robots=False)

    refused = get(outsider, f"{server.address}/original/a.jpg", tmp_path)

    assert refused == Refused(Reason.FORBIDDEN, "127.0.0.1 is on a private network")
    assert server.requests == []


def test_a_private_board_says_what_to_set(server: faulty.Server) -> None:
    """For whoever means it."""
    with pytest.raises(BoardError, match="is on a private network; set private_hosts = true for this source"):
        client(private=False, robots=False).get_json(f"{server.address}/posts.json")


def test_a_name_that_leads_to_a_private_host_is_not_asked(
    server: faulty.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What counts is where a name leads; the resolver is the one thing here that is not real."""
    look_up = socket.getaddrinfo

    def inwards(host: str, *args: Any, **kwargs: Any) -> Any:
        return look_up("127.0.0.1" if host == "pictures.example" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", inwards)
    port = server.address.rpartition(":")[2]

    refused = get(client(private=False, robots=False), f"http://pictures.example:{port}/original/a.jpg", tmp_path)

    assert refused == Refused(Reason.FORBIDDEN, "pictures.example is on a private network")
    assert server.requests == []


@pytest.mark.parametrize(
    "host",
    [
        *(
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
        ),
        *("::1", "fd00::1", "fe80::1%eth0", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "224.0.0.1"),
        *("64:ff9b::7f00:1", "64:ff9b::c0a8:101", "64:ff9b:1::1", "2002:c0a8:101::1", "::127.0.0.1", "fec0::1"),
        *("127.1", "2130706433", "0x7f000001", "0177.0.0.1", "10.0.0.1."),
        *("localhost", "LOCALHOST.", "a.localhost"),
    ],
)
def test_these_are_private(host: str) -> None:
    """Loopback, private networks, links, the cloud's own services, in every form of writing."""
    from pipeline.http.answers import NeverError

    with pytest.raises(NeverError, match=r"private network|this very machine"):
        refuse_private_name(host)


@pytest.mark.parametrize(
    "host",
    [
        "93.184.215.14",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "64:ff9b::808:808",
        "2002:808:808::1",
        "danbooru.donmai.us",
    ],
)
def test_these_are_public(host: str) -> None:
    """A name is looked up later, when it is connected to."""
    refuse_private_name(host)


def test_a_mark_of_byte_order_hides_no_rule(server: faulty.Server) -> None:
    """Windows' editors put one before the first line."""
    server.on("/robots.txt", reply(200, b"\xef\xbb\xbfUser-agent: *\nDisallow: /posts.json"))

    with pytest.raises(BoardError, match=r"robots\.txt closes it"):
        client().get_json(f"{server.address}/posts.json")


@pytest.mark.parametrize("onward", ["/robots.txt", "ftp://127.0.0.1/robots.txt"])
def test_a_robots_txt_that_leads_nowhere_closes_nothing(server: faulty.Server, onward: str) -> None:
    """RFC 9309, 2.3.1.2: more than five redirects mean that there is none."""
    server.on("/robots.txt", reply(302, Location=onward))

    assert client().get_json(f"{server.address}/posts.json") == [1]
