"""Hides what it takes to get an answer: manners, patience, deadlines, and whose business a failure is."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from random import Random
from typing import Any, TypeVar
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import requests
import urllib3
import urllib3.exceptions

from pipeline import __version__
from pipeline.errors import BoardError, UsageError
from pipeline.http.answers import Fetched, Gone, NeverError, Objection, Refused, Stopped, TooSlow, TryAgain, WebPage
from pipeline.http.bodies import MAX_WORDS_BYTES, words_of, xml_of
from pipeline.http.download import CHUNK, GONE, Download, Part
from pipeline.http.hosts import Hosts
from pipeline.http.request import Request, origin_of
from pipeline.http.robots import MAX_BYTES as MAX_ROBOTS_BYTES
from pipeline.http.robots import RobotRules
from pipeline.http.wire import Adapter, Session, Watch, Wire, is_loopback, refuse_private_name
from pipeline.records import Reason

T = TypeVar("T")

MAX_REDIRECTS = 5
MAX_LIST_BYTES = 64 << 20  # 200 full posts of Danbooru are under 2 MiB
FREE_TRIES = 100  # tries that gained bytes and so did not count; an end to a host that gives one byte a time
UNCONNECTED_TRIES = (
    3  # for a host that takes no connection and never answered: a typing mistake should not cost minutes
)
# 421 is Moebooru's "user throttled"; where it has its own meaning (RFC 9110), another try is right too.
BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.MISDIRECTED_REQUEST}
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
# What tells versions of a page apart, and the header by which a newer one is asked for.
ROBOTS_ADVICE = "ask its owner, or see `robots` of this source"
CONDITIONS: dict[str, str] = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Client:
    """Asks hosts politely, from any number of threads; its manners are one source's, a host's pace everybody's."""

    hosts: Hosts = field(default_factory=Hosts)  # shared with all other clients
    contact: str = "kaoset"  # an address of mail or web where a board's people can reach you
    min_gap_s: float = 1.0  # between two requests to one host; Danbooru asks for about one a second
    private: bool = False  # may ask this machine and those of a private network
    robots: bool = False  # obeys robots.txt; a documented API is an invitation of its own
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 30.0  # between two bytes
    headers_timeout_s: float = 60.0  # from the sending of a request to the last of the answer's headers
    body_timeout_s: float = 600.0  # for one whole body
    tries: int = 5
    backoff_s: float = 1.0  # the first pause is up to this, each next one up to twice the one before
    max_wait_s: float = 60.0  # longer is not waited, whatever Retry-After says
    give_up_after: int = 5  # files in a row that did not come, until their host is parked
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    random: Random = field(default_factory=lambda: Random(0))
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _local: threading.local = field(default_factory=threading.local, init=False)
    _sessions: list[requests.Session] = field(default_factory=list, init=False)
    _watch: Watch = field(default_factory=Watch, init=False)
    _rules: RobotRules = field(init=False)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?", self.contact):
            raise UsageError(f"contact {self.contact!r} does not fit into a header; use a plain mail or web address")
        object.__setattr__(self, "_rules", RobotRules(self.clock))

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
        request = Request(url, params, {"Accept": "application/json", **(headers or {})}, auth)
        return self._list(url, lambda: self._try_list(request, json.loads, "JSON"), advice or {})

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
        request = Request(url, params, {"Accept": "application/xml, text/xml", **(headers or {})})
        return self._list(url, lambda: self._try_list(request, xml_of, "XML"), advice or {})

    def get_page(
        self,
        url: str,
        params: Mapping[str, str | int] | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        known: Mapping[str, str] | None = None,
        advice: Mapping[int, str] | None = None,
    ) -> WebPage | None:
        """Ask for a page of whatever kind.

        Args:
            url: http or https.
            params: Of the query; values are escaped here, as UTF-8.
            headers: For this host only.
            known: The `version` of the page that was read before; the answer is None if it is the same now.
            advice: As of `get_json`.

        Raises:
            Gone: There is no such page.
            BoardError: As of `get_json`.
            Stopped: `stop` was set.
        """
        conditions = {CONDITIONS[name]: value for name, value in (known or {}).items() if name in CONDITIONS}
        request = Request(url, params, {"Accept": "text/html", **(headers or {}), **conditions})
        return self._list(url, lambda: self._try_page(request), advice or {})

    def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        advice: Mapping[int, str] | None = None,
    ) -> WebPage:
        """Send a form that changes nothing at its host, as often as a page is asked for, and return what comes back.

        The arguments and the errors are those of `get_page`; *fields* are sent as UTF-8.
        """
        request = Request(url, None, {"Accept": "text/html", **(headers or {})}, fields=fields)
        page = self._list(url, lambda: self._try_page(request), advice or {})
        assert page is not None  # noqa: S101  no condition was sent
        return page

    def download(
        self,
        url: str,
        target: Path,
        *,
        expect_md5: str | None = None,
        expect_sha1: str | None = None,
        expect_size: int | None = None,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        objects: Objection | None = None,
    ) -> Fetched | Refused:
        """Bring a whole file to *target*, going on where an earlier try ended.

        What came so far lies in `<target>.part`, described by `<target>.part.json`. Both stay after
        `Reason.UNREACHABLE` and `Reason.PARKED` and after a kill, and are gone after every other answer.

        Args:
            url: http or https.
            target: Its folder exists.
            expect_md5: 32 hexadecimal digits. A whole file with another one is asked for once more, then refused.
            expect_sha1: 40 hexadecimal digits, of boards that know no md5.
            expect_size: Bytes, as the board says; used where the host gives no length.
            max_bytes: A longer file is refused, before its body where the host tells.
            headers: For this host only.
            objects: Reads the headers of the file's answer, before its body; what it gives is the answer then.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
            Stopped: `stop` was set.
        """
        part = Part(target)
        wanted = {"md5": expect_md5, "sha1": expect_sha1}
        sums = {name: value.lower() for name, value in wanted.items() if value}
        task = Download(self, url, part, sums, expect_size, max_bytes, headers or {}, objects)
        try:
            host = self.hosts.of(url)
            if why := host.parked:
                return Refused(Reason.PARKED, why)
            answer = self._persist(url, task)
        except TryAgain as again:
            host.failed(again.why, self.give_up_after)
            return Refused(Reason.UNREACHABLE, again.why)
        except NeverError as never:
            answer = Refused(never.reason, never.why)
        else:
            host.recovered()
        if isinstance(answer, Refused):
            part.discard()
        return answer

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            while self._sessions:
                self._sessions.pop().close()

    def open(self, request: Request) -> requests.Response:
        """Send it, each step of a redirect in its host's pace and by its host's rules; the body is still to be read."""
        return self._follow(request, self._gap if self.robots else lambda _: self.min_gap_s)

    def _follow(self, request: Request, gap: Callable[[str], float]) -> requests.Response:
        for _ in range(MAX_REDIRECTS + 1):
            response = self._step(request, gap(request.url))
            if not response.is_redirect:
                return response
            response.close()
            request = request.onward(response)
        raise NeverError(f"more than {MAX_REDIRECTS} redirects")

    def _step(self, request: Request, gap_s: float) -> requests.Response:
        host = self.hosts.of(request.url)
        if not self.private:
            refuse_private_name(urlsplit(request.url).hostname or "")
        host.take_turn(gap_s, self.stop)
        self._raise_if_stopped()
        sent_at = self.clock()
        self._wire().connected = host.passed
        with self._watched(sent_at + self.headers_timeout_s, "does not answer in time"):
            response = self._send(request)
        host.answered(self.clock() - sent_at, busy=response.status_code in SLOW_DOWN)
        return response

    def _gap(self, url: str) -> float:
        """Give the pace that suits the recipe and robots.txt.

        Raises:
            NeverError: robots.txt closes the address to us.
        """
        self.hosts.of(url)  # is it an address at all?
        scheme, host = origin_of(url)
        rules = self._rules.of(f"{scheme}://{host}", lambda: self._robots_txt(f"{scheme}://{host}/robots.txt"))
        if rules.closes(url):
            raise NeverError("robots.txt closes it", advice=ROBOTS_ADVICE, reason=Reason.ROBOTS)
        return max(self.min_gap_s, rules.gap_s)

    def _robots_txt(self, url: str) -> str:
        """Bring it; nothing where there is none, and another try where it cannot be known (RFC 9309, 2.3.1)."""
        request = Request(url, headers={"Accept": "text/plain"})
        try:
            answer = self._follow(request, lambda _: self.min_gap_s)
        except NeverError:  # its redirects lead nowhere; a host that may not be asked says so for the file too
            return ""
        with answer as response:
            if HTTPStatus.BAD_REQUEST <= response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                if response.status_code in BUSY:
                    self.check(response)
                return ""
            self.check(response)
            return self._body(response, MAX_ROBOTS_BYTES, cut=True).decode("utf-8-sig", "replace")

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
                raise TooSlow("is too slow")

    def check(self, response: requests.Response) -> None:
        """Ask for another try where the host is busy, or takes us for a robot for now."""
        status = response.status_code
        if status in BUSY or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TryAgain(
                f"answers {status}",
                wait_s=_retry_after(response.headers.get("Retry-After")),
                hold=response.url if status in SLOW_DOWN else "",
            )

    @contextmanager
    def _watched(self, deadline: float, late: str) -> Iterator[None]:
        """Cut what this thread sends and reads when *deadline* has passed, or `stop` is set."""
        wire = self._wire()
        try:
            with self._watch.over(wire, lambda: self.stop.is_set() or self.clock() > deadline):
                yield
        except (TryAgain, NeverError):
            if not wire.cut:
                raise
        if wire.cut:  # even where all seems well: a body without a length ends just so
            self._raise_if_stopped()
            raise TooSlow(late)

    @staticmethod
    def _chunk(response: requests.Response) -> bytes:
        try:
            # Not iter_content: it waits until its chunk is full, and a trickle would never meet the deadline.
            chunk: bytes = response.raw.read1(CHUNK, decode_content=True)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise TryAgain("stalls") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TryAgain("ends before its end") from error
        return chunk

    def _send(self, request: Request) -> requests.Response:
        try:
            return self._session(request.url).request(
                "GET" if request.fields is None else "POST",
                request.url,
                params=request.params,
                data=request.fields,
                headers=request.headers,
                auth=request.auth,
                stream=True,
                allow_redirects=False,
                timeout=(self.connect_timeout_s, self.read_timeout_s),
            )
        except requests.exceptions.SSLError as error:
            raise TryAgain("shows no valid certificate", connected=False) from error
        except requests.ConnectionError as error:
            raise _connection_trouble(error) from error
        except requests.Timeout as error:
            raise TryAgain("does not answer in time") from error
        except (requests.RequestException, ValueError) as error:  # urllib3 lets those of odd host names through
            raise NeverError(f"{request.url!r} is no address that can be asked") from error
        except urllib3.exceptions.HTTPError as error:
            raise TryAgain("breaks the connection") from error

    def _list(self, url: str, attempt: Callable[[], T], advice: Mapping[int, str]) -> T:
        try:
            return self._persist(url, attempt)
        except TryAgain as again:
            raise BoardError(f"{origin_of(url)[1]}: {again.why}; {again.advice or _advice_for(again)}") from again
        except NeverError as never:
            kind = Gone if never.status in GONE else BoardError
            todo = advice.get(never.status) or never.advice or "check the address of this source"
            raise kind(f"{origin_of(url)[1] or url}: {never.why}; {todo}") from never

    def _try_page(self, request: Request) -> WebPage | None:
        with self.open(request) as response:
            if response.status_code == HTTPStatus.NOT_MODIFIED and CONDITIONS.values() & request.headers.keys():
                return None
            if not HTTPStatus.OK <= response.status_code < HTTPStatus.MULTIPLE_CHOICES:
                self._refuse_list(response)
            version = {name: response.headers[name] for name in CONDITIONS if name in response.headers}
            return WebPage(response.url, self._body(response, MAX_LIST_BYTES), version)

    def _try_list(self, request: Request, read: Callable[[bytes], T], form: str) -> T:
        with self.open(request) as response:
            if not HTTPStatus.OK <= response.status_code < HTTPStatus.MULTIPLE_CHOICES:
                self._refuse_list(response)
            body = self._body(response, MAX_LIST_BYTES)
        if not body.strip():
            raise TryAgain(f"gives an empty answer where {form} is due")
        try:
            return read(body)
        except (ValueError, RecursionError) as error:
            words = words_of(body)
            again = TryAgain(f"gives no {form}{f': {words!r}' if words else ''}")
            again.advice = "check the address and the kind of this source, or try again later"
            raise again from error

    def _refuse_list(self, response: requests.Response) -> None:
        words = ""
        with suppress(TryAgain):  # the status says enough
            words = words_of(self._body(response, MAX_WORDS_BYTES, cut=True))
        said = f"answers {response.status_code}{f': {words!r}' if words else ''}"
        try:
            self.check(response)
        except TryAgain as again:
            again.why = said
            raise
        raise NeverError(said, response.status_code, ADVICE.get(response.status_code, ""))

    def _body(self, response: requests.Response, limit: int, *, cut: bool = False) -> bytes:
        body = bytearray()
        for chunk in self.chunks(response):
            body += chunk
            if len(body) > limit and cut:
                break
            if len(body) > limit:
                raise NeverError(f"answers more than {limit} bytes", advice="check the address of this source")
        return bytes(body)

    def _persist(self, url: str, attempt: Callable[[], T]) -> T:
        host = self.hosts.of(url)
        failures = free = 0
        while True:
            self._raise_if_stopped()
            try:
                return attempt()
            except TryAgain as again:
                if again.counts or free >= FREE_TRIES:
                    failures += 1
                else:
                    free += 1
                hopeful = again.connected or host.reached
                allowed = self.tries if hopeful else min(self.tries, UNCONNECTED_TRIES)
                if failures >= allowed or host.parked:
                    raise
                self._pause(again, failures)

    def _pause(self, again: TryAgain, failures: int) -> None:
        """Exponential back-off with full jitter, unless the host says how long."""
        seconds = again.wait_s
        if seconds is None:
            ceiling = min(self.max_wait_s, self.backoff_s * 2.0 ** max(failures - 1, 0))
            seconds = self.random.uniform(0, ceiling)
        seconds = min(seconds, self.max_wait_s)
        if again.hold:
            self.hosts.of(again.hold).hold(seconds)
        elif self.stop.wait(seconds):
            raise Stopped

    def _raise_if_stopped(self) -> None:
        if self.stop.is_set():
            raise Stopped

    def _wire(self) -> Wire:
        wire: Wire | None = getattr(self._local, "wire", None)
        if wire is None:
            wire = self._local.wire = Wire(self.private)
        return wire

    def _session(self, url: str) -> requests.Session:
        kind = "near" if is_loopback(urlsplit(url).hostname or "") else "far"
        session: requests.Session | None = getattr(self._local, kind, None)
        if session is not None:
            return session
        session = Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, Adapter(self._wire()))
        session.headers["User-Agent"] = self.user_agent
        session.auth = _send_no_login  # or requests would send what it finds in a .netrc
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        session.trust_env = kind == "far"  # a proxy cannot reach our own loopback
        setattr(self._local, kind, session)
        with self._lock:
            self._sessions.append(session)
        return session


def _retry_after(text: str | None) -> float | None:
    """Read seconds (a fraction was seen in the wild) or an HTTP date; None when neither."""
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, OverflowError):  # the second: a year of twenty digits
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return max(0.0, (moment - datetime.now(UTC)).total_seconds())
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _connection_trouble(error: requests.ConnectionError) -> TryAgain:
    reason = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return TryAgain("no such host", connected=False)
    if isinstance(reason, (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError)):
        return TryAgain("takes no connection", connected=False)
    return TryAgain("breaks the connection")


def _advice_for(again: TryAgain) -> str:
    return "try again later" if again.connected else "check the address of this source and your network"


def _send_no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
