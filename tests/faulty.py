"""A real HTTP server on loopback whose every answer is written by the test, faults included."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Request:
    path: str  # with its query
    headers: Mapping[str, str]
    at: float  # time.monotonic()
    body: bytes = b""


@dataclass
class Server:
    """`on(path, first, second, …)`: the answers to a path in turn; the last one for ever."""

    address: str = ""
    requests: list[Request] = field(default_factory=list)
    script: dict[str, list[Answer]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, path: str, *answers: Answer) -> str:
        self.script[path] = list(answers)
        return self.address + path

    def next_answer(self, path: str) -> Answer:
        with self.lock:
            answers = self.script.get(path, [reply(404)])
            return answers.pop(0) if len(answers) > 1 else answers[0]

    def asked(self, path: str) -> list[Request]:
        return [one for one in self.requests if urlsplit(one.path).path == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or every second answer waits 40 ms for an acknowledgement
    server: _HTTPServer

    def do_GET(self) -> None:
        board = self.server.board
        with board.lock:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            board.requests.append(Request(self.path, dict(self.headers), time.monotonic(), body))
        board.next_answer(urlsplit(self.path).path)(self)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        pass


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    board: Server

    def handle_error(self, *args: object) -> None:
        pass  # a client that went away is what some tests are about


Answer = Callable[[_Handler], None]


@contextmanager
def serve() -> Iterator[Server]:
    http = _HTTPServer(("127.0.0.1", 0), _Handler)
    http.board = Server(address=f"http://127.0.0.1:{http.server_address[1]}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield http.board
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


def reply(status: int = 200, body: bytes | str = b"", **headers: str) -> Answer:
    """A whole answer; `Retry_After="1"` is the header Retry-After."""
    data = body.encode() if isinstance(body, str) else body

    def answer(handler: _Handler) -> None:
        _begin(handler, status, {"Content-Length": str(len(data)), **headers})
        handler.wfile.write(data)

    return answer


def cut(body: bytes, after: int, **headers: str) -> Answer:
    """Promise all of *body*, send its first bytes, hang up."""

    def answer(handler: _Handler) -> None:
        _begin(handler, 200, {"Content-Length": str(len(body)), **headers})
        handler.wfile.write(body[:after])
        handler.close_connection = True

    return answer


def cut_range(body: bytes, step: int, **headers: str) -> Answer:
    """Honour Range, but send only *step* bytes of what is promised, every time."""

    def answer(handler: _Handler) -> None:
        start = _start(handler)
        _begin_range(handler, body, start, headers)
        handler.wfile.write(body[start : start + step])
        handler.close_connection = True

    return answer


def ranged(body: bytes, **headers: str) -> Answer:
    """A file as good servers give it: Range, If-Range, 416."""

    def answer(handler: _Handler) -> None:
        start = _start(handler)
        condition = handler.headers.get("If-Range")
        if condition and condition not in headers.values():
            start = 0
        if start and start >= len(body):
            _begin(handler, 416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            return
        _begin_range(handler, body, start, headers)
        handler.wfile.write(body[start:])

    return answer


def endless(chunk: bytes, pause_s: float) -> Answer:
    """A body that trickles for ever."""

    def answer(handler: _Handler) -> None:
        _begin(handler, 200, {"Content-Length": "1000000"})
        for _ in range(200):
            handler.wfile.write(chunk)
            handler.wfile.flush()
            time.sleep(pause_s)

    return answer


def flood(begin: bytes, again: bytes, pause_s: float = 0.0) -> Answer:
    """The bytes *begin* as they are, and then *again* without an end."""

    def answer(handler: _Handler) -> None:
        handler.close_connection = True
        handler.wfile.write(begin)
        until = time.monotonic() + 30.0  # so that no thread outlives the tests by much
        while time.monotonic() < until:
            handler.wfile.write(again)
            time.sleep(pause_s)

    return answer


def stall(seconds: float) -> Answer:
    """Take the request and say nothing."""

    def answer(handler: _Handler) -> None:
        time.sleep(seconds)
        handler.close_connection = True

    return answer


def reset() -> Answer:
    """Break the connection off, as a dying server does."""

    def answer(handler: _Handler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return answer


def _start(handler: _Handler) -> int:
    found = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    return int(found[1]) if found else 0


def _begin_range(handler: _Handler, body: bytes, start: int, headers: Mapping[str, str]) -> None:
    length = {"Content-Length": str(len(body) - start)}
    if start:
        length["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
    _begin(handler, 206 if start else 200, {**length, **headers})


def _begin(handler: _Handler, status: int, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
