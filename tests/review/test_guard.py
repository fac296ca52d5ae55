from __future__ import annotations

import re
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from queued import queue
from reviewing import Client, Served, operation

Serve = Callable[..., Served]

OURS = {"X-Kaoset": "1", "Sec-Fetch-Site": "same-origin"}


def raw(url: str, request: str) -> str:
    """Send bytes as they are, and read the whole answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        line.sendall(request.encode("latin-1"))
        answer = b""
        while part := line.recv(65536):
            answer += part
    return answer.decode("latin-1")


def test_the_start_url_lets_in_and_is_gone_from_the_address(served: Serve) -> None:
    """The token becomes a cookie that no script reads, named by the port."""
    page = served()

    answer = requests.get(page.url, allow_redirects=False, timeout=10)

    cookie = answer.headers["Set-Cookie"]
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert cookie.startswith(f"kaoset-review-{urlsplit(page.url).port}=")
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


@pytest.mark.parametrize("path", ["/grid", "/api/progress", "/static/app.js", "/crops/" + "0" * 64])
def test_without_the_cookie_nothing_is_served(served: Serve, path: str) -> None:
    """Not even the scripts."""
    assert requests.get(Client(served().url).root + path, timeout=10).status_code == 401


@pytest.mark.parametrize("token", ["wrong", "é", "0" * 64])
def test_a_wrong_token_says_what_to_open(served: Serve, token: str) -> None:
    """It may be of a server that ran before."""
    answer = requests.get(Client(served().url).root, params={"token": token}, timeout=10)

    assert (answer.status_code, "`flow review` printed" in answer.json()["error"]) == (401, True)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_another_host_is_refused(served: Serve, host: str) -> None:
    """A name of the web that was bound to this machine gets nothing, with the cookie or without."""
    client = served().client()

    answer = client.session.get(client.root + "/grid", headers={"Host": host}, timeout=10)

    assert answer.status_code == 400


def test_localhost_leads_to_the_one_address(served: Serve) -> None:
    """A browser keeps what is unsent by address, so there is but one."""
    page = served()
    port = urlsplit(page.url).port

    answer = raw(page.url, f"GET /grid?reason=waiting HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n")

    assert f"location: http://127.0.0.1:{port}/grid?reason=waiting\r\n" in answer


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**OURS, "Sec-Fetch-Site": "cross-site"}, 403),
        ({**OURS, "Sec-Fetch-Site": "same-site"}, 403),  # another port of this machine
        ({**OURS, "Sec-Fetch-Site": "none"}, 403),
        ({"X-Kaoset": "1"}, 403),  # neither header of an origin
        ({"X-Kaoset": "1", "Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 403),  # a form of ours cannot be sent, for there is none
        ({**OURS, "Content-Type": "text/plain"}, 415),
        ({**OURS, "Content-Length": "99999999"}, 413),
    ],
)
def test_what_another_page_sends_is_refused(served: Serve, headers: dict[str, str], status: int) -> None:
    """Before its body is read."""
    client = served().client()
    sent = {"Content-Type": "application/json", **headers}

    prepared = requests.Request("POST", client.root + "/api/batches", data=b"{}", cookies=client.session.cookies)
    ready = prepared.prepare()
    ready.headers.update(sent)
    answer = requests.Session().send(ready, timeout=10) if status != 413 else None
    if answer is None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in ready.headers.items())
        host = urlsplit(client.root).netloc
        said = raw(client.root, f"POST /api/batches HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n{{}}")
        assert said.startswith("HTTP/1.1 413")
    else:
        assert answer.status_code == status


def test_a_body_without_an_end_is_cut(served: Serve) -> None:
    """Also where nobody says how long it is."""
    client = served().client()

    answer = client.session.post(
        client.root + "/api/operations",
        data=(b" " * 65536 for _ in range(8)),
        headers={**OURS, "Content-Type": "application/json"},
        timeout=10,
    )

    assert answer.status_code == 413


def test_the_origin_will_do_where_a_browser_says_no_more(served: Serve) -> None:
    """An old one, that knows no Sec-Fetch-Site."""
    client = served().client()
    headers = {"X-Kaoset": "1", "Origin": client.root}

    answer = client.session.post(client.root + "/api/batches", json={}, headers=headers, timeout=10)

    assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/grid", "/api/progress", "/api/unheard", "/nowhere", "/static/app.js"])
def test_every_answer_has_its_guards(served: Serve, path: str) -> None:
    """Errors too: nothing of others runs, frames or reads it."""
    client = served().client()

    headers = client.session.get(client.root + path, timeout=10).headers

    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_a_crop_is_a_picture_and_nothing_else(served: Serve) -> None:
    """It is served in a sandbox, and may be kept for ever."""
    client = served().client()
    crop = client.claim(1)["items"][0]["crop"]

    for kind in ("crops", "contexts"):
        answer = client.session.get(f"{client.root}/{kind}/{crop}", timeout=10)
        assert answer.headers["Content-Type"] in {"image/png", "image/jpeg"}
        assert answer.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.content[:4] in {b"\x89PNG", b"\xff\xd8\xff\xe0"}


@pytest.mark.parametrize(
    "name",
    ["../server.json", "..%2f..%2fcatalog.sqlite", "%2e%2e/%2e%2e/catalog.sqlite", "0" * 63, "A" * 64, "x" * 5000],
)
@pytest.mark.parametrize("kind", ["crops", "contexts", "static", "api/crops"])
def test_no_path_leads_out(served: Serve, kind: str, name: str) -> None:
    """Names are looked up, never opened."""
    client = served().client()
    host, cookie = urlsplit(client.root).netloc, "; ".join(f"{k}={v}" for k, v in client.session.cookies.items())

    answer = raw(
        client.root, f"GET /{kind}/{name} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    )

    assert re.match(r"HTTP/1.1 (404|400)", answer), answer[:200]


def test_an_image_of_the_store_that_is_no_crop_is_not_served(served: Serve) -> None:
    """What was scraped lies there too, under a name like that of a crop."""
    page = served()
    client = page.client()
    image = next(iter(page.desk.catalog.image_names()))

    assert page.desk.store.has(image)
    assert client.session.get(f"{client.root}/crops/{image}", timeout=10).status_code == 404


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "an operation is an object"),
        ({"kind": "page"}, "Field required"),
        ({"kind": "unheard"}, "unknown; use"),
        ({**operation("page"), "batch": "0" * 36}, "no such page"),
        ({**operation("page"), "batch": "../../etc"}, "batch"),
        ({**operation("page"), "batch": "0" * 36, "marks": {"x": "keep"}}, "marks"),
        ({**operation("page"), "batch": "0" * 36, "dwell_ms": -1}, "dwell_ms"),
        ({**operation("page"), "batch": "0" * 36, "dwell_ms": 10**400}, "dwell_ms"),
        ({**operation("single"), "crop": "0" * 64, "verdict": "keep"}, "no such crop"),
        ({**operation("single"), "crop": "0" * 64, "verdict": "perhaps"}, "verdict"),
        ({**operation("label"), "crops": ["0" * 64], "label": "x" * 201}, "label"),
        ({**operation("undo"), "undoes": "0" * 36}, "is not known"),
        ({**operation("bulk"), "filters": "colour=red", "least": 0.5, "expect": 1}, "no such filter"),
        ({**operation("single"), "at": "yesterday", "crop": "0" * 64, "verdict": "keep"}, "at"),
        ({**operation("single"), "more": 1, "crop": "0" * 64, "verdict": "keep"}, "more"),
    ],
)
def test_a_wish_that_cannot_be_is_told_why(served: Serve, body: object, complaint: str) -> None:
    """In one line; nothing is written."""
    page = served()

    answer = page.client().send("/api/operations", body)

    assert answer.status_code == 400
    assert complaint in answer.json()["error"]
    assert page.desk.catalog.all_decisions() == []


def test_the_key_is_for_nobody_else_on_this_machine(served: Serve) -> None:
    """The file can be read by its owner alone."""
    page = served()

    assert stat.S_IMODE((page.data / "review" / "server.json").stat().st_mode) == 0o600


def test_a_server_that_is_started_again_knows_its_browsers(served: Serve, tmp_path: Path) -> None:
    """The same cookie and the same address, so that what a page still holds gets in."""
    queue(tmp_path, 3)
    first = served(tmp_path)
    second = served(tmp_path, port=None)  # the port is taken: the first one still listens

    again = requests.get(second.url, allow_redirects=False, timeout=10).headers["Set-Cookie"]
    once = requests.get(first.url, allow_redirects=False, timeout=10).headers["Set-Cookie"]

    assert again.partition("=")[2].partition(";")[0] == once.partition("=")[2].partition(";")[0]
