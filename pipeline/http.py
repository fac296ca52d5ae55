"""Hides the network: one polite pace per host, patience with what passes, and only whole files under their name."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from random import Random
from typing import Any, BinaryIO, TypeVar, cast
from urllib.parse import urljoin, urlsplit
from weakref import WeakSet
from xml.etree import ElementTree as ET

import requests
import urllib3
import urllib3.exceptions
from bs4 import BeautifulSoup
from bs4.exceptions import ParserRejectedMarkup
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from pipeline import __version__
from pipeline.errors import BoardError, StoreError, UsageError, WorldError
from pipeline.records import Reason

T = TypeVar("T")

CHUNK = 1 << 16  # bytes read at once
MAX_REDIRECTS = 5
MAX_LIST_BYTES = 64 << 20  # 200 full posts of Danbooru are under 2 MiB
MAX_WORDS_BYTES = 64 << 10  # of an error page, to find its title
FREE_TRIES = 100  # tries that gained bytes and so did not count; an end to a host that gives one byte a time
TICK_S = 0.1  # how often it is asked whether a request under way is overdue or stopped
UNCONNECTED_TRIES = 3  # for a host that has no address or refuses connections: a typing mistake should not cost minutes
# 421 is Moebooru's "user throttled"; where it has its own meaning (RFC 9110), another try is right too.
BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.MISDIRECTED_REQUEST}
GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}
SLOW_DOWN = {  # nginx limits with 503
    *(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.MISDIRECTED_REQUEST)
}
ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "check the login and the API key of this source",
    HTTPStatus.FORBIDDEN: "check this source's login, name yourself in scrape.contact, or ask the board",
    HTTPStatus.NOT_FOUND: "check the address of this source",
    HTTPStatus.GONE: "the board does not list this deep; narrow the query",
    HTTPStatus.UNPROCESSABLE_ENTITY: "change the query of this source",
    HTTPStatus.TOO_MANY_REQUESTS: "wait a while, and raise sources.N.min_gap_s",
}


@dataclass(frozen=True, slots=True)
class Fetched:
    """The whole file lies at the path that was given."""

    md5: str  # measured
    bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The file cannot be had; *detail* is for people and does not vary between runs."""

    reason: Reason
    detail: str = ""


# A rule over the headers of a file's answer; None where it has nothing against it.
Objection = Callable[[urllib3.HTTPHeaderDict], Refused | None]


class Stopped(WorldError):  # noqa: N818  nothing went wrong: somebody wished it
    """`Client.stop` was set while something was under way; what is on the disk is gone on with next time."""

    def __init__(self) -> None:
        super().__init__("stopped before it was done; the same command goes on from here")


class _TryAgain(Exception):  # noqa: N818  a signal inside this module, not an error that anybody is told of
    """The answer was not whole; another try may bring it."""

    def __init__(self, why: str, *, wait_s: float | None = None, hold: bool = False, connected: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.wait_s = wait_s  # as the host asks
        self.hold = hold  # the host asks everybody to wait, not this request alone
        self.connected = connected
        self.counts = True


class _TooSlow(_TryAgain):
    """We cut it ourselves; so it counts although it gained bytes, or a trickle would hold its thread for days."""


class _NeverError(Exception):
    """No further try would bring another answer."""

    def __init__(self, why: str, status: int = 0, advice: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.status = status
        self.advice = advice


@dataclass
class _Host:
    """One host's turnstile: all threads pass in the order of their coming, never two closer than the gap."""

    name: str
    gap_s: float
    clock: Callable[[], float]
    _turn: threading.Condition = field(default_factory=threading.Condition)
    _tickets: int = 0
    _serving: int = 0
    _not_before: float = -math.inf
    _failed: int = 0  # files in a row that did not come
    _failure: str = ""
    _closed_until: float = -math.inf

    def take_turn(self, stop: threading.Event) -> None:
        """Return when the next request may be sent; at once when *stop* is set."""
        with self._turn:
            ticket = self._tickets
            self._tickets += 1
            while ticket != self._serving:
                self._turn.wait()
        try:
            while (pause := self._not_before - self.clock()) > 0 and not stop.wait(pause):
                pass  # somebody may have been told to wait meanwhile
        finally:
            with self._turn:
                self._not_before = max(self._not_before, self.clock() + self.gap_s)
                self._serving += 1
                self._turn.notify_all()

    def hold(self, seconds: float) -> None:
        """Let nobody through for *seconds*."""
        with self._turn:
            self._not_before = max(self._not_before, self.clock() + seconds)

    def answered(self) -> None:
        """Trust the host again: it gave a final answer."""
        with self._turn:
            self._failed, self._closed_until = 0, -math.inf

    def failed(self, why: str, limit: int, rest_s: float) -> None:
        """Count a file that did not come; after *limit* in a row leave the host alone for *rest_s*."""
        with self._turn:
            self._failed += 1
            self._failure = why
            if self._failed >= limit:
                self._closed_until = self.clock() + rest_s

    @property
    def closed(self) -> str:
        """Why the host is left alone for now; empty when it is not."""
        with self._turn:
            return self._failure if self.clock() < self._closed_until else ""


@dataclass(eq=False)
class _Wire:
    """The connections of one thread, so that another can cut them: http.client reads headers without an end."""

    cut: bool = False
    _sockets: WeakSet[socket.socket] = field(default_factory=WeakSet)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, connection: object) -> None:
        """Remember a connection that was just made."""
        if isinstance(connection, socket.socket):
            with self._lock:
                self._sockets.add(connection)

    def sever(self) -> None:
        """Let every read that waits return at once."""
        self.cut = True
        with self._lock:
            for one in self._sockets:
                with suppress(OSError):  # closed already
                    # Not one.shutdown: that of TLS forgets its keys, while another thread still reads.
                    socket.socket.shutdown(one, socket.SHUT_RDWR)


@dataclass(eq=False)
class _Watch:
    """Severs the wires whose time is over, from one thread that lives only while there is something to watch."""

    _due: dict[_Wire, Callable[[], bool]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _awake: bool = False

    @contextmanager
    def over(self, wire: _Wire, due: Callable[[], bool]) -> Iterator[None]:
        """Sever *wire* as soon as *due* says so; it has `cut` set then."""
        wire.cut = False
        with self._lock:
            self._due[wire] = due
            if not self._awake:
                self._awake = True
                threading.Thread(target=self._run, name="watch", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                del self._due[wire]

    def _run(self) -> None:
        while True:
            time.sleep(TICK_S)
            with self._lock:
                if not self._due:
                    self._awake = False
                    return
                for wire, due in self._due.items():
                    if due():
                        wire.sever()


@dataclass(frozen=True, eq=False, kw_only=True)
class Client:
    """Asks hosts politely; meant to be shared between threads: the pace of a host is one for all of them."""

    contact: str = "kaoset"  # an address of mail or web where a board's people can reach you
    min_gap_s: float = 1.0  # between two requests to one host; Danbooru asks for about one a second
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0  # between two bytes
    headers_timeout_s: float = 60.0  # from the sending of a request to the last of the answer's headers
    body_timeout_s: float = 600.0  # for one whole body
    tries: int = 5
    backoff_s: float = 1.0  # the first pause is up to this, each next one up to twice the one before
    max_wait_s: float = 60.0  # longer is not waited, whatever Retry-After says
    give_up_after: int = 5  # files in a row that did not come from a host
    rest_s: float = 60.0  # how long a host is left alone then
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=lambda: Random(0))
    _hosts: dict[str, _Host] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _local: threading.local = field(default_factory=threading.local, init=False)
    _sessions: list[requests.Session] = field(default_factory=list, init=False)
    _watch: _Watch = field(default_factory=_Watch, init=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", self.contact):
            raise UsageError(f"contact {self.contact!r} does not fit into a header; use a plain mail or web address")

    @property
    def user_agent(self) -> str:
        """Who we are; never a browser's name: boards block those, and rightly."""
        return f"kaoset/{__version__} (+{self.contact})"

    def get_json(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        auth: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        advice: Mapping[int, str] | None = None,
    ) -> Any:
        """Ask for JSON and return what it holds.

        Args:
            url: http or https.
            params: Of the query; values are escaped here.
            auth: Login and key for HTTP Basic; sent to this host only, never in the address.
            headers: For this host only.
            advice: What a person should do about a status, where a dialect knows better than `ADVICE`.

        Raises:
            BoardError: The host cannot be reached, refuses us (in its own words), or gives no JSON after all tries.
            Stopped: `stop` was set.
        """
        sent = {"Accept": "application/json", **(headers or {})}
        return self._list(url, lambda: self._try_list(url, params, sent, auth, json.loads, "JSON"), advice or {})

    def get_xml(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        advice: Mapping[int, str] | None = None,
    ) -> ET.Element:
        """Ask for XML and return its root; a document that declares entities of its own is not read.

        The arguments and the errors are those of `get_json`.
        """
        sent = {"Accept": "application/xml, text/xml", **(headers or {})}
        return self._list(url, lambda: self._try_list(url, params, sent, None, _xml, "XML"), advice or {})

    def download(
        self,
        url: str,
        target: Path,
        *,
        expect_md5: str | None = None,
        expect_size: int | None = None,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        objects: Objection | None = None,
    ) -> Fetched | Refused:
        """Bring a whole file to *target*, going on where an earlier try ended.

        What came so far lies in `<target>.part`, described by `<target>.part.json`. Both stay after
        `Reason.UNREACHABLE` and after a kill, and are gone after every other answer.

        Args:
            url: http or https.
            target: Its folder exists.
            expect_md5: 32 hexadecimal digits. A whole file with another one is asked for once more, then refused.
            expect_size: Bytes, as the board says; used where the host gives no length.
            max_bytes: A longer file is refused, before its body where the host tells.
            headers: For this host only.
            objects: Reads the headers of the file's answer, before its body; what it gives is the answer then.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
            Stopped: `stop` was set.
        """
        part = Part(target)
        md5 = expect_md5 and expect_md5.lower()
        task = _Download(self, url, part, md5, expect_size, max_bytes, headers or {}, objects)
        try:
            host = self._host(url)
            if why := host.closed:
                return Refused(Reason.UNREACHABLE, why)
            answer = self._persist(url, task)
        except _TryAgain as again:
            host.failed(again.why, self.give_up_after, self.rest_s)
            return Refused(Reason.UNREACHABLE, again.why)
        except _NeverError as never:
            answer = Refused(Reason.FORBIDDEN, never.why)
        else:
            host.answered()
        if isinstance(answer, Refused):
            part.discard()
        return answer

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            while self._sessions:
                self._sessions.pop().close()

    def open(
        self,
        url: str,
        *,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> requests.Response:
        """Send one GET, each step of a redirect in its host's pace; the body is still to be read."""
        for _ in range(MAX_REDIRECTS + 1):
            host = self._host(url)
            host.take_turn(self.stop)
            self._raise_if_stopped()
            with self._watched(self.clock() + self.headers_timeout_s, "does not answer in time"):
                response = self._send(url, params, headers, auth)
            if not response.is_redirect:
                return response
            response.close()
            onward = _joined(response.url, response.headers["Location"])
            if _origin(onward) != _origin(url):
                headers, auth = _public(headers), None
            url, params = onward, None
        raise _NeverError(f"more than {MAX_REDIRECTS} redirects")

    def chunks(self, response: requests.Response) -> Iterator[bytes]:
        """Give the body as it comes, decoded, to the thread that sent the request.

        A trickle ends after `body_timeout_s`, a stall after `read_timeout_s`, both when `stop` is set.
        """
        deadline = self.clock() + self.body_timeout_s
        while True:
            self._raise_if_stopped()
            with self._watched(deadline, "is too slow"):
                chunk = self._chunk(response)
            if not chunk:
                return
            yield chunk
            if self.clock() > deadline:
                raise _TooSlow("is too slow")

    def check(self, response: requests.Response) -> None:
        """Ask for another try where the host is busy, or takes us for a robot for now."""
        status = response.status_code
        if status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _TryAgain(
                f"answers {status}", wait_s=_retry_after(response.headers.get("Retry-After")), hold=status in SLOW_DOWN
            )

    @contextmanager
    def _watched(self, deadline: float, late: str) -> Iterator[None]:
        """Cut what this thread sends and reads when *deadline* has passed, or `stop` is set."""
        wire = self._wire()
        try:
            with self._watch.over(wire, lambda: self.stop.is_set() or self.clock() > deadline):
                yield
        except (_TryAgain, _NeverError):
            if not wire.cut:
                raise
        if wire.cut:  # even where all seems well: a body without a length ends just so
            self._raise_if_stopped()
            raise _TooSlow(late)

    @staticmethod
    def _chunk(response: requests.Response) -> bytes:
        try:
            # Not iter_content: it waits until its chunk is full, and a trickle would never meet the deadline.
            chunk: bytes = response.raw.read1(CHUNK, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _TryAgain("stalls") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _TryAgain("ends before its end") from error
        return chunk

    def _send(
        self,
        url: str,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str] | None,
        auth: tuple[str, str] | None,
    ) -> requests.Response:
        try:
            return self._session(url).get(
                url,
                params=params,
                headers=headers,
                auth=auth,
                stream=True,
                allow_redirects=False,
                timeout=(self.connect_timeout_s, self.read_timeout_s),
            )
        except requests.exceptions.SSLError as error:
            raise _TryAgain("shows no valid certificate", connected=False) from error
        except requests.ConnectionError as error:
            raise _connection_trouble(error) from error
        except requests.Timeout as error:
            raise _TryAgain("does not answer in time") from error
        except (requests.RequestException, ValueError) as error:  # urllib3 lets those of odd host names through
            raise _NeverError(f"{url!r} is no address that can be asked") from error
        except urllib3.exceptions.HTTPError as error:
            raise _TryAgain("breaks the connection") from error

    def _list(self, url: str, attempt: Callable[[], T], advice: Mapping[int, str]) -> T:
        try:
            return self._persist(url, attempt)
        except _TryAgain as again:
            raise BoardError(f"{_origin(url)[1]}: {again.why}; {_advice_for(again)}") from again
        except _NeverError as never:
            todo = advice.get(never.status) or never.advice or "check the address of this source"
            raise BoardError(f"{_origin(url)[1] or url}: {never.why}; {todo}") from never

    def _try_list(
        self,
        url: str,
        params: Mapping[str, str | int] | None,
        headers: Mapping[str, str],
        auth: tuple[str, str] | None,
        read: Callable[[bytes], T],
        form: str,
    ) -> T:
        with self.open(url, params=params, headers=headers, auth=auth) as response:
            if not HTTPStatus.OK <= response.status_code < HTTPStatus.MULTIPLE_CHOICES:
                self._refuse_list(response)
            body = self._body(response, MAX_LIST_BYTES)
        if not body.strip():
            raise _TryAgain(f"gives an empty answer where {form} is due")
        try:
            return read(body)
        except (ValueError, RecursionError) as error:
            words = _words(body)
            raise _TryAgain(f"gives no {form}{f': {words!r}' if words else ''}") from error

    def _refuse_list(self, response: requests.Response) -> None:
        words = ""
        with suppress(_TryAgain):  # the status says enough
            words = _words(self._body(response, MAX_WORDS_BYTES, cut=True))
        said = f"answers {response.status_code}{f': {words!r}' if words else ''}"
        try:
            self.check(response)
        except _TryAgain as again:
            again.why = said
            raise
        raise _NeverError(said, response.status_code, ADVICE.get(response.status_code, ""))

    def _body(self, response: requests.Response, limit: int, *, cut: bool = False) -> bytes:
        body = bytearray()
        for chunk in self.chunks(response):
            body += chunk
            if len(body) > limit and cut:
                break
            if len(body) > limit:
                raise _NeverError(f"answers more than {limit} bytes", advice="check the address of this source")
        return bytes(body)

    def _persist(self, url: str, attempt: Callable[[], T]) -> T:
        host = self._host(url)
        failures = free = 0
        while True:
            self._raise_if_stopped()
            try:
                return attempt()
            except _TryAgain as again:
                if again.counts or free >= FREE_TRIES:
                    failures += 1
                else:
                    free += 1
                allowed = self.tries if again.connected else min(self.tries, UNCONNECTED_TRIES)
                if failures >= allowed or host.closed:
                    raise
                self._pause(host, again, failures)

    def _pause(self, host: _Host, again: _TryAgain, failures: int) -> None:
        """Exponential back-off with full jitter, unless the host says how long."""
        seconds = again.wait_s
        if seconds is None:
            ceiling = min(self.max_wait_s, self.backoff_s * 2.0 ** max(failures - 1, 0))
            seconds = self.random.uniform(0, ceiling)
        seconds = min(seconds, self.max_wait_s)
        if again.hold:
            host.hold(seconds)
        elif self.stop.wait(seconds):
            raise Stopped

    def _raise_if_stopped(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _host(self, url: str) -> _Host:
        try:
            parts = urlsplit(url)
            name = f"{parts.hostname or ''}:{parts.port or ''}"
        except ValueError as error:
            raise _NeverError(f"{url!r} is no address that can be asked") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise _NeverError(f"{parts.scheme or 'no'}: is not http or https")
        with self._lock:
            return self._hosts.setdefault(name, _Host(name, self.min_gap_s, self.clock))

    def _wire(self) -> _Wire:
        wire: _Wire | None = getattr(self._local, "wire", None)
        if wire is None:
            wire = self._local.wire = _Wire()
        return wire

    def _session(self, url: str) -> requests.Session:
        kind = "near" if is_loopback(urlsplit(url).hostname or "") else "far"
        session: requests.Session | None = getattr(self._local, kind, None)
        if session is not None:
            return session
        session = _Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(self._wire()))
        session.headers["User-Agent"] = self.user_agent
        session.auth = _send_no_login  # or requests would send what it finds in a .netrc
        session.trust_env = kind == "far"  # a proxy cannot reach our own loopback
        setattr(self._local, kind, session)
        with self._lock:
            self._sessions.append(session)
        return session


@dataclass(frozen=True)
class Part:
    """What has come so far of a file that will lie at *target*: the bytes, and a note of what they are."""

    target: Path

    @property
    def bytes_path(self) -> Path:
        """Where the bytes grow."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note_path(self) -> Path:
        """Where it says which file they are the beginning of."""
        return self.target.with_name(f"{self.target.name}.part.json")

    @property
    def size(self) -> int:
        """In bytes; 0 when there is none."""
        with _disk(self.bytes_path):
            return self.bytes_path.stat().st_size if self.bytes_path.exists() else 0

    def note(self) -> dict[str, Any]:
        """Read the note; empty when there is none, or it was cut by a kill."""
        with _disk(self.note_path):
            text = self.note_path.read_bytes() if self.note_path.exists() else b"{}"
        try:
            note = json.loads(text)
        except ValueError:
            return {}
        return note if isinstance(note, dict) else {}

    def begin(self, note: Mapping[str, Any]) -> None:
        """Forget what came, and write down what is coming."""
        with _disk(self.bytes_path):
            self.bytes_path.unlink(missing_ok=True)  # first: a note must never describe other bytes
            self.note_path.write_text(json.dumps(note), encoding="utf-8")

    @contextmanager
    def append(self) -> Iterator[BinaryIO]:
        """Open the bytes for more of them."""
        with _disk(self.bytes_path), self.bytes_path.open("ab") as file:
            yield file

    def finish(self) -> None:
        """Flush the bytes to the disk and move them to their final name."""
        with _disk(self.target):
            with self.bytes_path.open("rb+") as file:
                os.fsync(file.fileno())
            self.bytes_path.replace(self.target)
        self.discard()

    def discard(self) -> None:
        """Leave nothing beside the target."""
        with _disk(self.target):
            self.bytes_path.unlink(missing_ok=True)
            self.note_path.unlink(missing_ok=True)


@dataclass
class _Download:
    """One file under way; each call is one try."""

    client: Client
    url: str
    part: Part
    expect_md5: str | None
    expect_size: int | None
    max_bytes: int
    headers: Mapping[str, str]
    objects: Objection | None = None
    best: int = 0  # the most bytes that any try ended with
    second: bool = False  # a whole file with a wrong md5 came once already

    def __post_init__(self) -> None:
        self.best = self._resumable()

    def __call__(self) -> Fetched | Refused:
        have = self._resumable()
        if have and have == self.part.note().get("length"):
            return self._finish()
        try:
            with self.client.open(self.url, headers=self._request(have)) as response:
                refused = self._answer(response, have)
        except _TryAgain as again:
            if self.part.size > self.best:
                self.best = self.part.size
                again.counts = isinstance(again, _TooSlow)
            raise
        return refused or self._finish()

    def _resumable(self) -> int:
        """Say how many bytes can be kept: those of the same address, or of the file with the same md5."""
        note = self.part.note()
        same_file = self.expect_md5 is not None and note.get("md5") == self.expect_md5
        same_version = note.get("url") == self.url and bool(note.get("validator"))
        length = note.get("length")
        size = self.part.size
        if not (same_file or same_version) or size > self.max_bytes or (length is not None and size > length):
            return 0
        return size

    def _request(self, have: int) -> dict[str, str]:
        headers = {**self.headers, "Accept-Encoding": "identity"}  # or lengths and ranges would count packed bytes
        if have:
            headers["Range"] = f"bytes={have}-"
            if validator := self.part.note().get("validator"):
                headers["If-Range"] = validator
        return headers

    def _answer(self, response: requests.Response, have: int) -> Refused | None:
        status = response.status_code
        self.client.check(response)
        if _is_challenge(response):
            raise _TryAgain("takes us for a browser")
        match status:
            case HTTPStatus.OK:
                return self._receive(response, 0, _length(response))
            case HTTPStatus.PARTIAL_CONTENT if have:
                return self._go_on(response, have)
            case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE if have:
                if _content_range(response) == (None, have):
                    return None  # it was whole already
                self.part.discard()
                raise _TryAgain("has another file now")
            case HTTPStatus.NO_CONTENT:
                return Refused(Reason.EMPTY)
            case _ if status in GONE:
                return Refused(Reason.GONE, f"answers {status}")
            case _:
                return Refused(Reason.FORBIDDEN, f"answers {status}")

    def _go_on(self, response: requests.Response, have: int) -> Refused | None:
        start, total = _content_range(response)
        noted = self.part.note().get("length")
        if start != have or (total and noted and total != noted):
            self.part.discard()
            raise _TryAgain("goes on in the wrong place")
        return self._receive(response, have, total or noted)

    def _receive(self, response: requests.Response, have: int, length: int | None) -> Refused | None:
        if self.objects is not None and (refused := self.objects(response.raw.headers)):
            return refused
        if length is not None and length > self.max_bytes:
            return Refused(Reason.TOO_LARGE)
        if have == 0:
            self.part.begin(self._note(response, length))
        with self.part.append() as file:
            for chunk in self.client.chunks(response):
                have += len(chunk)
                if have > self.max_bytes:
                    return Refused(Reason.TOO_LARGE)
                file.write(chunk)
        if have < ((self.expect_size or 0) if length is None else length):
            raise _TryAgain("ends before its end")
        return None if have else Refused(Reason.EMPTY)

    def _note(self, response: requests.Response, length: int | None) -> dict[str, Any]:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return {}  # what lies on the disk is unpacked: ranges of the packed file cannot go on with it
        etag = response.headers.get("ETag", "")
        validator = response.headers.get("Last-Modified") if etag.startswith("W/") or not etag else etag
        return {"url": self.url, "md5": self.expect_md5, "validator": validator, "length": length}

    def _finish(self) -> Fetched | Refused:
        md5, size = measure(self.part.bytes_path)
        if self.expect_md5 in {None, md5}:
            self.part.finish()
            return Fetched(md5, size)
        if self.second:
            return Refused(Reason.WRONG_MD5, f"has md5 {md5}")
        self.second = True
        self.best = 0
        self.part.discard()
        again = _TryAgain("has another md5")
        again.counts = False
        raise again


def measure(path: Path) -> tuple[str, int]:
    """Give the md5 (32 hexadecimal digits) and the size in bytes of a file.

    Raises:
        StoreError: It cannot be read.
    """
    with _disk(path), path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        return digest.hexdigest(), file.tell()


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}; free some space or choose --data") from error


def _length(response: requests.Response) -> int | None:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    text = response.headers.get("Content-Length", "")
    return int(text) if re.fullmatch(r"\d{1,18}", text, re.ASCII) else None


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Read the first byte and the whole length; None for what is not stated."""
    text = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (?:(\d{1,18})-\d{1,18}|\*)/(?:(\d{1,18})|\*)", text.strip(), re.ASCII)
    if found is None:
        return None, None
    first, total = (None if text is None else int(text) for text in found.groups())
    return first, total


def _retry_after(text: str | None) -> float | None:
    """Read seconds (a fraction was seen in the wild) or an HTTP date; None when neither."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _connection_trouble(error: requests.ConnectionError) -> _TryAgain:
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return _TryAgain("no such host", connected=False)
    if isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
        return _TryAgain("takes no connection", connected=False)
    return _TryAgain("breaks the connection")


def _advice_for(again: _TryAgain) -> str:
    return "try again later" if again.connected else "check the address of this source and your network"


def _words(body: bytes) -> str:
    """Find what a board says of an error: a message in JSON, or the title of a page; at most 200 characters."""
    body = body[:MAX_WORDS_BYTES]  # a tree of a long page takes a hundred times its bytes
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        page = re.sub(rb"^\s*<\?xml[^>]*>", b"", body)  # or Beautiful Soup warns
        try:
            title = BeautifulSoup(page, "html.parser").title if b"<" in page else None
        except ParserRejectedMarkup:  # <![<
            title = None
        return _one_line(title.get_text() if title else "")
    if not isinstance(said, dict):
        return ""
    names = ("message", "description", "reason", "error", "title")
    return _one_line(next((said[name] for name in names if isinstance(said.get(name), str) and said[name]), ""))


def _xml(body: bytes) -> ET.Element:
    """Read XML that was written by a stranger.

    Raises:
        ValueError: It is none, or it could unpack to more than it is.
    """
    if b"<!DOCTYPE" in body or b"\0" in body:  # or UTF-16, where it would not be seen
        raise ValueError("declares a document type")  # lists of posts have none; web pages and bombs do
    try:
        return ET.fromstring(body)  # noqa: S314  without a document type it has no entities of its own
    except ET.ParseError as error:
        raise ValueError(str(error)) from error


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _is_challenge(response: requests.Response) -> bool:
    """Cloudflare's test for browsers: the file is not to blame, and is there for others."""
    return response.headers.get("cf-mitigated") == "challenge"


def _origin(url: str) -> tuple[str, str]:
    """Give scheme, and host with port; both empty for what is no address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "", ""
    return parts.scheme, parts.netloc.rpartition("@")[2].lower()


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise _NeverError(f"{location!r} is no address that can be asked") from error


def _public(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Keep what another host may see; a key can have any name, so the harmless ones are named."""
    harmless = {"accept", "accept-encoding", "range", "if-range"}
    return {name: value for name, value in (headers or {}).items() if name.lower() in harmless}


def is_loopback(host: str) -> bool:
    """Say whether *host*, without a port, is this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _send_no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


class _Session(requests.Session):
    """A session that looks at no redirect: it would read all of its body first, and trip over an odd address."""

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002  as the base class has it
        return None


class _Adapter(HTTPAdapter):
    """Tells *wire* of every connection that is made."""

    def __init__(self, wire: _Wire) -> None:
        super().__init__()
        self._wire = wire

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        """Give the pool of a host, or of a proxy; its connections are ours."""
        pool = cast("HTTPConnectionPool", super().get_connection_with_tls_context(*args, **kwargs))
        if not issubclass(pool.ConnectionCls, _Told):
            wire = self._wire
            pool.ConnectionCls = type("_Connection", (_Told, pool.ConnectionCls), {"wire": wire})
        return pool


class _Told(HTTPConnection):
    """Mixed into the class of connection that a pool would use, whichever it is."""

    wire: _Wire

    def connect(self) -> None:
        """Connect, and say so."""
        super().connect()
        self.wire.add(self.sock)
