"""Hides who may ask for anything: the person who has the start URL, by a page that we served, and nobody else."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import StoreError

OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]")
MOST_BYTES = 256 * 1024  # of a request's body
SAFE_METHODS = frozenset({"GET", "HEAD"})
POLICY = (
    "default-src 'none'; img-src 'self' data:; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PICTURE_POLICY = "sandbox; default-src 'none'"
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Key:
    """What opens the page; a server that is started again has the same, so that what a browser still holds gets in."""

    secret: str
    port: int  # the last one; 0: none yet

    @property
    def token(self) -> str:
        """What stands in the start URL."""
        return self._of("token")

    @property
    def cookie(self) -> str:
        """What the browser keeps."""
        return self._of("cookie")

    def _of(self, what: str) -> str:
        return hashlib.sha256(f"{what} {self.secret}".encode()).hexdigest()


def read_key(file: Path) -> Key:
    """Read the key of a data folder, or make one.

    Raises:
        StoreError: It cannot be written.
    """
    try:
        said = json.loads(file.read_bytes())
        return Key(str(said["secret"]), int(said["port"]))
    except (OSError, ValueError, TypeError, KeyError):  # there is none, or it is damaged: who is in must come again
        key = Key(secrets.token_hex(32), 0)
        write_key(file, key)
        return key


def write_key(file: Path, key: Key) -> None:
    """Keep a key where nobody else reads it.

    Raises:
        StoreError: It cannot be written.
    """
    new = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            json.dump({"secret": key.secret, "port": key.port}, opened)
        new.replace(file)
    except OSError as error:
        raise StoreError(f"{file}: cannot be written ({error.strerror}); choose another --data") from error


class Guard:
    """Stands before the application, and puts its headers on every answer.

    Args:
        application: What is guarded.
        key: What opens it.
        port: Where it is served; cookies are not split by port, so it stands in the cookie's name.
        hosts: Names beside those of this machine under which it may be asked.
    """

    def __init__(self, application: ASGIApp, key: Key, port: int, hosts: Iterable[str] = ()) -> None:
        self._application, self._key, self._port = application, key, port
        self._hosts = frozenset((*OWN_HOSTS, *hosts))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            return
        scope = {**scope, "root_path": ""}
        answer = self._refusal(scope)
        picture = scope["path"].startswith(("/crops/", "/contexts/"))

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update({**_HEADERS, "Content-Security-Policy": PICTURE_POLICY if picture else POLICY})
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        if answer is not None:
            await answer(scope, receive, sent)
            return
        await self._application(scope, _Bounded(receive).receive, sent)

    @property
    def cookie_name(self) -> str:
        """How the cookie is called."""
        return f"kaoset-review-{self._port}"

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        if name not in self._hosts:
            return PlainTextResponse("this host is not served here; open the address that `flow review` printed", 400)
        if name == "localhost" and scope["method"] in SAFE_METHODS:  # a browser keeps what is unsent by address
            query = scope["query_string"].decode("latin-1")
            return RedirectResponse(f"http://127.0.0.1:{self._port}{scope['path']}{'?' if query else ''}{query}", 307)
        token = self._token(scope)
        if token is not None:
            return self._enter(token)
        if not secrets.compare_digest(_cookie(headers, self.cookie_name), self._key.cookie):
            return _refuse(401, "open the address with the token that `flow review` printed")
        if scope["method"] not in SAFE_METHODS:
            return _foreign(headers, host)
        return None

    def _token(self, scope: Scope) -> str | None:
        if scope["path"] != "/" or scope["method"] != "GET":
            return None
        said = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20).get("token")
        return said[0] if said else None

    def _enter(self, token: str) -> Response:
        if not secrets.compare_digest(token.encode(), self._key.token.encode()):
            return _refuse(401, "this token is not of this server; open the address that `flow review` printed last")
        answer = RedirectResponse("/", 303)
        answer.set_cookie(self.cookie_name, self._key.cookie, httponly=True, samesite="strict", max_age=30 * 86_400)
        return answer


def _refuse(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)


def _foreign(headers: Headers, host: str) -> Response | None:
    """Refuse what another page sends: also one of another port of this machine, which is the same site."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    own = site == "same-origin" if site is not None else origin == f"http://{host}"
    if not own or headers.get("x-kaoset") != "1":
        return _refuse(403, "only the review page itself may send this")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _refuse(415, "send JSON")
    length = headers.get("content-length", "")
    if length and (not length.isdigit() or int(length) > MOST_BYTES):
        return _refuse(413, f"more than {MOST_BYTES} bytes")
    return None


def _cookie(headers: Headers, name: str) -> str:
    try:
        found: Mapping[str, object] = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    morsel = found.get(name)
    return str(getattr(morsel, "value", "")) if morsel is not None else ""


class TooLargeError(Exception):
    """A body went on beyond the limit."""


@dataclass
class _Bounded:
    """Counts the bytes of a body whose length nobody has stated."""

    inner: Receive
    seen: int = 0

    async def receive(self) -> Message:
        message = await self.inner()
        self.seen += len(message.get("body", b""))
        if self.seen > MOST_BYTES:
            raise TooLargeError
        return message
