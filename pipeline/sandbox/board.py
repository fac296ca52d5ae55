"""Hides a real HTTP board on loopback: its dialects, its files with Range, its manners, and its bad days.

Danbooru's dialect is spoken at the root; /gelbooru, /gelbooru-keyed, /moebooru and /szurubooru hold the same posts;
/getchu sells them as characters of products, and /erogamescape knows when those came out.

python -m pipeline.sandbox.board --cache DIR [--posts N] [--seed S] [--port N] [--faults]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import io
import re
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from PIL import Image as Pictures
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import KaosetError
from pipeline.sandbox import erogamescape, getchu
from pipeline.sandbox.dialect import only, page_of, parse, row_of
from pipeline.sandbox.gelbooru import Gelbooru
from pipeline.sandbox.moebooru import Moebooru
from pipeline.sandbox.posts import DEFAULT_POSTS, SAMPLE_WIDTH, Kind, PlantedPost, Sandbox, build, die_with_parent
from pipeline.sandbox.search import Ask, Dialect, Refusal
from pipeline.sandbox.szurubooru import Szurubooru
from pipeline.serving import listen, serving

FAULT_SHARE = 0.15  # of all requests, with faults on
FAULTS_IN_A_ROW = 2  # for one address, at most; so the third try always gets its answer
STALL_S = 2.0
PIECES, PAUSE_S = 8, 0.05  # of a slow answer
LAST_MODIFIED = datetime(2026, 1, 1, tzinfo=UTC)  # of every file
MEDIA_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "zip": "application/zip",
}


class Fault(StrEnum):
    """What goes wrong with an answer."""

    BUSY = "busy"  # 429 without Retry-After
    BUSY_SECONDS = "busy_seconds"  # 429 with Retry-After: 0.2
    BUSY_DATE = "busy_date"  # 429 with Retry-After: an HTTP date
    ERROR = "error"  # 500
    UNAVAILABLE = "unavailable"  # 503, as nginx limits
    SLOW = "slow"  # the answer, in small pieces with pauses; never by chance
    DENIED = "denied"  # 403; never by chance: no further try brings another answer
    STALL = "stall"  # nothing for a while, then the answer
    RESET = "reset"  # the connection is reset before any answer
    CUT = "cut"  # half of the body, then the connection ends
    EMPTY_LIST = "empty_list"  # [] in the middle of a listing, once
    SHORT = "short"  # half of the body, and a Content-Length that says that this is all
    PAGE = "page"  # a web page, and 200


# How often each comes; stalls are rare because they cost time.
PLAIN_FAULTS = (
    *(Fault.BUSY, Fault.BUSY_SECONDS, Fault.BUSY_SECONDS, Fault.BUSY_DATE, Fault.ERROR, Fault.ERROR),
    *(Fault.UNAVAILABLE, Fault.STALL, Fault.RESET, Fault.RESET, Fault.CUT, Fault.CUT, Fault.CUT, Fault.CUT),
)
# Nothing but a checksum tells that these answers are wrong; a board that states none would make fools of us.
LIES = (Fault.SHORT, Fault.PAGE)


@dataclass(frozen=True, kw_only=True)
class Climate:
    """Which answers go wrong, and how often; the same ones for the same seed."""

    seed: int = 0
    share: float = FAULT_SHARE
    kinds: Sequence[Fault] = PLAIN_FAULTS
    always: Mapping[str, Fault] = field(default_factory=dict)  # by the last part of the path: what never goes right


@dataclass(slots=True)
class Asked:
    """One request and what became of it."""

    method: str
    path: str  # with the query
    range: str | None  # the Range header
    user_agent: str
    at: float  # seconds since 1970, when it came
    client: int = 0  # the port that it came from: one for each connection
    status: int = 0  # 0: the connection was reset before a status
    sent: int = 0  # bytes of the body that were handed to the network
    fault: Fault | None = None

    def to_json(self) -> dict[str, Any]:
        """As ``/sandbox/log`` shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True)
class Board:
    """A board that is being served."""

    url: str  # without a slash at the end
    sandbox: Sandbox
    log: list[Asked]  # by time of arrival; those of /sandbox/… are left out


# --- bad days ---------------------------------------------------------------------------------------------------------


@dataclass
class _Weather:
    """Decides by seed, address and how often it was asked which answer goes wrong."""

    climate: Climate
    asked: dict[str, tuple[int, int]] = field(default_factory=dict)  # times asked, faults in a row
    lied: set[str] = field(default_factory=set)  # once each: who is lied to twice has to believe it
    emptied: bool = False

    def next(self, address: str) -> Fault | None:
        """The fault of the next answer for *address*, or None."""
        if always := self.climate.always.get(address.rpartition("/")[2]):
            return always
        times, streak = self.asked.get(address, (0, 0))
        draw = hashlib.sha256(f"{self.climate.seed} {address} {times}".encode()).digest()
        if streak >= FAULTS_IN_A_ROW or int.from_bytes(draw[:4], "big") >= self.climate.share * 2**32:
            self.asked[address] = times + 1, 0
            return None
        self.asked[address] = times + 1, streak + 1
        fault = self.climate.kinds[draw[4] % len(self.climate.kinds)]
        if fault not in LIES:
            return fault
        if address in self.lied:
            return Fault.CUT
        self.lied.add(address)
        return fault

    def empties(self, posts: Sequence[object], *, deep: bool) -> bool:
        """Whether this page of a listing comes empty: the first that is neither the start nor the end."""
        if self.emptied or not posts or not deep:
            return False
        self.emptied = True
        return True


_Connection = tuple[Any, Any]  # address of the server, address of the client
_TRANSPORTS: dict[_Connection, asyncio.Transport] = {}


class _Protocol(H11Protocol):
    """Remembers the transport of each connection, so that a fault can break it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._names = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        _TRANSPORTS[self._names] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        _TRANSPORTS.pop(self._names, None)
        super().connection_lost(exc)


def _names(scope: Scope) -> _Connection:
    return tuple(scope["server"]), tuple(scope["client"])


def _transport(scope: Scope) -> asyncio.Transport:
    return _TRANSPORTS[_names(scope)]


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _reset(scope: Scope, receive: Receive) -> None:
    transport = _transport(scope)
    # Lingering for no time turns the close into a reset.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _until_gone(receive)


@dataclass(frozen=True)
class _Dripper:
    """Lets a body through piece by piece."""

    send: Send

    async def __call__(self, message: Message) -> None:
        body = message.get("body", b"")
        step = len(body) // PIECES + 1
        for start in range(0, len(body) - step, step):
            await self.send({**message, "body": body[start : start + step], "more_body": True})
            await asyncio.sleep(PAUSE_S)
        await self.send({**message, "body": body[(len(body) - 1) // step * step :]} if body else message)


@dataclass
class _Shortener:
    """Lets half of a body through, and says that it is all."""

    send: Send
    left: int = -1  # bytes; -1 before the headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = dict(message["headers"])
            self.left = int(headers.get(b"content-length", b"0")) // 2
            headers[b"content-length"] = str(self.left).encode()
            await self.send({**message, "headers": list(headers.items())})
            return
        body = message.get("body", b"")[: self.left]
        self.left -= len(body)
        await self.send({**message, "body": body})


@dataclass
class _Cutter:
    """Lets half of a body through, then closes the connection."""

    scope: Scope
    receive: Receive
    send: Send
    left: int = -1  # bytes; -1 before the headers

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            length = dict(message["headers"]).get(b"content-length", b"0")
            self.left = int(length) // 2
            await self.send(message)
            return
        body = message.get("body", b"")
        if len(body) < self.left:
            self.left -= len(body)
            await self.send(message)
            return
        if self.left == 0 and not body:  # nothing can be cut
            await self.send(message)
            return
        await self.send({"type": "http.response.body", "body": body[: self.left], "more_body": True})
        _transport(self.scope).close()
        await _until_gone(self.receive)
        raise _HungUpError


class _HungUpError(Exception):
    """The answer ends here."""


@dataclass
class _Door:
    """Stands before the board: keeps the log, refuses some programs, lets faults happen."""

    app: ASGIApp
    log: list[Asked]
    weather: _Weather | None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/sandbox/"):
            await self.app(scope, receive, send)
            return
        asked = _asked(scope)
        self.log.append(asked)

        async def count(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                asked.status = message["status"]
            elif _names(scope) in _TRANSPORTS:  # what goes to nobody is not sent
                asked.sent += len(message.get("body", b""))

        if asked.user_agent.startswith("python-requests") or "Mozilla" in asked.user_agent:
            await _CHALLENGE(scope, receive, count)
            return
        if self.weather is not None:
            asked.fault = self.weather.next(asked.path)
        with contextlib.suppress(_HungUpError):
            await self._answer(asked.fault, scope, receive, count)

    async def _answer(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        match fault:
            case Fault.BUSY | Fault.BUSY_SECONDS | Fault.BUSY_DATE:
                await _busy(fault, 421 if scope["path"].startswith("/moebooru/") else 429)(scope, receive, send)
            case Fault.ERROR:
                message = "The database timed out running your query."
                refusal = Refusal(500, "ActiveRecord::QueryCanceled", message)
                await JSONResponse(refusal.body(), 500)(scope, receive, send)
            case Fault.UNAVAILABLE | Fault.DENIED | Fault.PAGE:
                await _PAGES[fault](scope, receive, send)
            case Fault.SLOW:
                await self.app(scope, receive, _Dripper(send))
            case Fault.SHORT:
                await self.app(scope, receive, _Shortener(send))
            case Fault.RESET:
                await _reset(scope, receive)
            case Fault.CUT:
                await self.app(scope, receive, _Cutter(scope, receive, send))
            case Fault.STALL:
                await asyncio.sleep(STALL_S)
                await self.app(scope, receive, send)
            case _:
                await self.app(scope, receive, send)


def _asked(scope: Scope) -> Asked:
    headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
    query = scope["query_string"].decode("latin-1")
    return Asked(
        method=scope["method"],
        path=scope["path"] + (f"?{query}" if query else ""),
        range=headers.get("range"),
        user_agent=headers.get("user-agent", ""),
        at=time.time(),
        client=scope["client"][1],
    )


def _busy(fault: Fault, status: int) -> Response:
    headers = {}
    if fault is Fault.BUSY_SECONDS:
        headers["Retry-After"] = "0.2"
    if fault is Fault.BUSY_DATE:
        headers["Retry-After"] = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    refusal = Refusal(status, "RateLimitError", "Rate limit exceeded.")
    return JSONResponse(refusal.body(), status, headers)


_PAGES = {
    Fault.UNAVAILABLE: HTMLResponse("<title>503 Service Temporarily Unavailable</title>", 503),
    Fault.DENIED: HTMLResponse("<title>403 Forbidden</title>", 403),
    Fault.PAGE: HTMLResponse("<title>We will be back soon</title>"),
}
_CHALLENGE = HTMLResponse(
    "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body>Enable JavaScript</body></html>",
    403,
    {"cf-mitigated": "challenge"},
)


# --- the board --------------------------------------------------------------------------------------------------------


# As Danbooru has it: crawlers find its posts and pictures, and its API is for programs that were invited.
ROBOTS_TXT = """User-agent: *
Disallow: /
Allow: /posts
Allow: /original
Allow: /sample
Allow: /getchu
Disallow: /*.json
"""


async def _robots(_: Request) -> Response:
    return PlainTextResponse(ROBOTS_TXT)


@dataclass(frozen=True)
class _Site:
    """Answers requests from the cache folder; no file is kept in memory."""

    sandbox: Sandbox
    log: list[Asked]
    weather: _Weather | None
    by_number: dict[int, PlantedPost]
    by_md5: dict[str, PlantedPost]

    async def posts(self, request: Request) -> Response:
        """A listing, or one post by its md5."""
        ask = request.query_params
        if await request.body():
            raise Refusal(400, "ActionController::BadRequest", "A GET request must not have a body.")
        if md5 := ask.get("md5"):
            return self._one(request, self.by_md5.get(md5.lower()))
        page = ask.get("page", "")
        found = page_of(self.sandbox.posts, parse(ask.get("tags", "")), page, ask.get("limit", ""))
        if self.lost(found, deep=bool(page)):
            found = []
        host = _host(request)
        return JSONResponse([only(row_of(post, host), ask.get("only", "")) for post in found])

    async def listing(self, request: Request, dialect: Dialect) -> Response:
        """A listing in another dialect."""
        ask = Ask(request.query_params, request.headers.get("accept", ""), _host(request) + dialect.prefix)
        try:
            found = dialect.find(self.sandbox.posts, ask)
        except Refusal as refusal:
            return dialect.refuse(refusal)
        if self.lost(found.posts, deep=ask.deep):
            found = replace(found, posts=())
        return await run_in_threadpool(dialect.write, found, ask)  # it may have to read files

    def lost(self, found: Sequence[object], *, deep: bool) -> bool:
        """Whether this page comes empty although it is not, as happens once on a bad day."""
        if self.weather is None or not self.weather.empties(found, deep=deep):
            return False
        self.log[-1].fault = Fault.EMPTY_LIST
        return True

    async def post(self, request: Request) -> Response:
        """One post by its number."""
        return self._one(request, self.by_number.get(request.path_params["number"]))

    def _one(self, request: Request, post: PlantedPost | None) -> Response:
        if post is None:
            raise Refusal(404, "ActiveRecord::RecordNotFound", "That record was not found.")
        return JSONResponse(only(row_of(post, _host(request)), request.query_params.get("only", "")))

    async def counts(self, request: Request) -> Response:
        """How many posts a search finds."""
        search = parse(request.query_params.get("tags", ""))
        return JSONResponse({"counts": {"posts": sum(search.matches(post) for post in self.sandbox.posts)}})

    async def page(self, request: Request) -> Response:
        """What a person would look at."""
        post = self.by_number.get(request.path_params["number"])
        if post is None:
            raise Refusal(404, "ActiveRecord::RecordNotFound", "That record was not found.")
        body = "" if post.kind is Kind.HIDDEN else f'<img src="/original/{_shelf(post)}" alt="">'
        title = f"Post {post.number}: {' '.join(post.tags)}"
        return HTMLResponse(f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{body}</body></html>")

    async def original(self, request: Request) -> Response:
        """The file itself."""
        name = request.path_params["name"].rsplit("__", 1)[-1]
        if not re.fullmatch(r"[0-9a-f]{32}\.[a-z0-9]{2,4}", name):
            raise _no_file(name)
        return self.send(request, name)

    async def file(self, request: Request) -> Response:
        """The file itself, where another dialect says that it is: its path holds the md5, or the number and "_"."""
        path = request.url.path
        digits, number = re.search(r"[0-9a-f]{32}", path), re.fullmatch(r".*/(\d{1,9})_[0-9a-f]{16}\.[a-z0-9]+", path)
        post = self.by_md5.get(digits[0]) if digits else self.by_number.get(int(number[1])) if number else None
        if post is None:
            raise _no_file(path)
        return self.send(request, post.file)

    def send(self, request: Request, name: str) -> Response:
        """The file of that name."""
        path = self.sandbox.folder / "files" / name
        if not path.exists():
            raise _no_file(name)
        return _send_file(request, path, MEDIA_TYPES.get(path.suffix[1:], "application/octet-stream"))

    async def smaller(self, request: Request) -> Response:
        """A variant, made when it is asked for."""
        address = request.url.path
        digits = re.search(r"[0-9a-f]{32}", address)
        post = self.by_md5.get(digits[0]) if digits else None
        path = self.sandbox.path(post) if post else None
        if post is None or path is None or not post.shrinkable:
            raise _no_file(address)
        square = re.match(r"/(\d{3})x", address)
        side = int(square[1]) if square else post.width if "/jpeg/" in address else SAMPLE_WIDTH
        webp = address.endswith(".webp")
        data = await run_in_threadpool(_shrink, path, side, "WEBP" if webp else "JPEG")
        return Response(data, media_type="image/webp" if webp else "image/jpeg")

    async def show_log(self, _: Request) -> Response:
        """The requests so far."""
        return JSONResponse([asked.to_json() for asked in self.log])

    async def show_truth(self, _: Request) -> Response:
        """All that is true of every post."""
        return JSONResponse([post.to_json() for post in self.sandbox.posts])


def _host(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _shelf(post: PlantedPost) -> str:
    return f"{post.md5[:2]}/{post.md5[2:4]}/{post.file}"


def _no_file(name: str) -> Refusal:
    return Refusal(404, "NotFound", f"{name}: there is no such file")


def _shrink(path: Path, side: int, kind: str) -> bytes:
    with Pictures.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((side, side if side < SAMPLE_WIDTH else 10 * side))
    buffer = io.BytesIO()
    small.save(buffer, kind, quality=85)
    return buffer.getvalue()


def _send_file(request: Request, path: Path, media_type: str) -> Response:
    """A file, or the part of it that Range asks for (RFC 9110, section 14)."""
    size = path.stat().st_size
    headers = {
        "ETag": f'"{path.stem}"',
        "Last-Modified": format_datetime(LAST_MODIFIED, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if _known(request.headers.get("if-none-match"), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    span = _span(request.headers.get("range"), size) if _same(request.headers.get("if-range"), headers) else None
    if span is None:
        headers["Content-Length"] = str(size)
        return StreamingResponse(_read(path, 0, size), 200, headers, media_type)
    first, last = span
    if first >= size:
        headers["Content-Range"] = f"bytes */{size}"
        return Response(status_code=416, headers=headers)
    headers["Content-Range"] = f"bytes {first}-{last}/{size}"
    headers["Content-Length"] = str(last - first + 1)
    return StreamingResponse(_read(path, first, last - first + 1), 206, headers, media_type)


def _known(if_none_match: str | None, etag: str) -> bool:
    return if_none_match is not None and etag in {tag.strip() for tag in if_none_match.split(",")}


def _same(if_range: str | None, headers: dict[str, str]) -> bool:
    """Whether what the client has begun is still the same file."""
    if if_range is None:
        return True
    if if_range.startswith(('"', "W/")):
        return if_range == headers["ETag"]
    try:
        return parsedate_to_datetime(if_range) == LAST_MODIFIED
    except ValueError:
        return False


def _span(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte; None for the whole file, which is also the answer to what is not understood."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if asked is None or asked[0] == "bytes=-":
        return None
    if not asked[1]:
        return (max(0, size - int(asked[2])), size - 1) if int(asked[2]) else (size, size)
    first = int(asked[1])
    last = min(int(asked[2]), size - 1) if asked[2] else size - 1
    return None if asked[2] and int(asked[2]) < first else (first, last)


async def _read(path: Path, first: int, length: int) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        file.seek(first)
        while length > 0:
            piece = file.read(min(length, 1 << 16))
            length -= len(piece)
            yield piece


async def _refuse(_: Request, refusal: Exception) -> Response:
    if not isinstance(refusal, Refusal):
        raise refusal
    return JSONResponse(refusal.body(), refusal.status)


def _listing(site: _Site, dialect: Dialect, path: str) -> Route:
    async def answer(request: Request) -> Response:
        return await site.listing(request, dialect)

    return Route(dialect.prefix + path, answer)


def _application(sandbox: Sandbox, log: list[Asked], weather: _Weather | None) -> ASGIApp:
    visible = {post.md5: post for post in reversed(sandbox.posts) if post.kind is not Kind.HIDDEN}
    site = _Site(sandbox, log, weather, {post.number: post for post in sandbox.posts}, visible)
    variants = [
        Route(f"/{folder}/{{a}}/{{b}}/{{name}}", site.smaller) for folder in ("180x180", "360x360", "720x720", "sample")
    ]
    dialects: tuple[Dialect, ...] = (Gelbooru(), Gelbooru(keyed=True), Moebooru(), Szurubooru(sandbox.folder))
    others = [
        *(_listing(site, dialect, path) for dialect in dialects for path in dialect.listings),
        *(Route(dialect.prefix + dialect.files, site.file) for dialect in dialects),
        *(Route(dialect.prefix + path, site.smaller) for dialect in dialects for path in dialect.samples),
    ]
    shop = getchu.items(sandbox.posts)
    routes = [
        *others,
        *getchu.Shop(shop, site.send, lambda found: site.lost(found, deep=True)).routes,
        *erogamescape.routes(shop),
        Route("/robots.txt", _robots),
        Route("/posts.json", site.posts),
        Route("/posts/{number:int}.json", site.post),
        Route("/posts/{number:int}", site.page),
        Route("/counts/posts.json", site.counts),
        Route("/original/{a}/{b}/{name}", site.original),
        *variants,
        Route("/sandbox/files/{name}", site.original),
        Route("/sandbox/log", site.show_log),
        Route("/sandbox/truth", site.show_truth),
    ]
    return _Door(Starlette(routes=routes, exception_handlers={Refusal: _refuse}), log, weather)


@contextlib.contextmanager
def serve(
    sandbox: Sandbox, *, port: int = 0, faults: bool | Climate = False, host: str = "127.0.0.1", seed: int = 0
) -> Iterator[Board]:
    """Serve a board from a thread of this process, until the block ends.

    Args:
        sandbox: What the board holds.
        port: To listen on; 0 takes any free one.
        faults: Whether answers go wrong now and then, or which ones do.
        host: The address to listen on.
        seed: Of the faults, where *faults* does not say which.

    Raises:
        WorldError: The port cannot be had.
    """
    log: list[Asked] = []
    with listen(host, port) as listener:
        climate = faults if isinstance(faults, Climate) else Climate(seed=seed)
        application = _application(sandbox, log, _Weather(climate) if faults else None)
        with serving(application, listener, "sandbox board", http=_Protocol):
            yield Board(f"http://{host}:{listener.getsockname()[1]}", sandbox, log)


def _progress(done: int, total: int) -> None:
    if done == total or done % 20 == 0:
        sys.stderr.write(f"drawn {done}/{total}\n")
        sys.stderr.flush()


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipeline.sandbox.board", description="Serve the sandbox board.")
    parser.add_argument("--cache", type=Path, required=True, help="the folder that keeps finished boards")
    parser.add_argument("--posts", type=int, default=DEFAULT_POSTS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--faults", action="store_true", help="let answers go wrong now and then")
    parser.add_argument("--die-with-parent", action="store_true", help="end when the process that started it ends")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> int:
    """Draw a board, or take it from the cache, and serve it until SIGTERM or SIGINT; the exit code."""
    ask = _arguments(words)

    def leave(*_: object) -> None:
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    if ask.die_with_parent:
        die_with_parent()
    try:
        listen("127.0.0.1", ask.port).close()  # rather now than after the drawing
        sandbox = build(ask.cache, ask.posts, ask.seed, _progress)
        with serve(sandbox, port=ask.port, faults=ask.faults, seed=ask.seed) as board:
            sys.stdout.write(f"{board.url}\n")
            sys.stdout.flush()
            threading.Event().wait()
    except KaosetError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
