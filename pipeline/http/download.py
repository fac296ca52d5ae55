"""Hides how a whole file comes to the disk: what came of it so far, going on from there, and the check at its end."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import requests

from pipeline.errors import StoreError
from pipeline.http.answers import Fetched, Objection, Refused, TooSlow, TryAgain
from pipeline.http.request import Request
from pipeline.records import Reason

if TYPE_CHECKING:
    from pipeline.http.client import Client

CHUNK = 1 << 16  # bytes read at once
GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


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
class Download:
    """One file under way; each call is one try."""

    client: Client
    url: str
    part: Part
    expected: Mapping[str, str]  # md5 or sha1, as far as they are known
    expect_size: int | None
    max_bytes: int
    headers: Mapping[str, str]
    objects: Objection | None = None
    best: int = 0  # the most bytes that any try ended with
    second: bool = False  # a whole file with a wrong md5 came once already

    def __post_init__(self) -> None:
        self.best = self._resumable()
        note = self.part.note()
        self.second = note.get("url") == self.url and note.get("second") is True

    def __call__(self) -> Fetched | Refused:
        """Try once.

        Raises:
            TryAgain: Another try may bring it.
        """
        have = self._resumable()
        if have and have == self.part.note().get("length"):
            return self._finish()
        try:
            with self.client.open(Request(self.url, headers=self._request(have))) as response:
                refused = self._answer(response, have)
        except TryAgain as again:
            if self.part.size > self.best:
                self.best = self.part.size
                again.counts = isinstance(again, TooSlow)
            raise
        return refused or self._finish()

    def _resumable(self) -> int:
        """Say how many bytes can be kept: those of the same address, or of the file with the same sum."""
        note, size = self.part.note(), self.part.size
        same_file = bool(self.expected) and note.get("sums") == self.expected
        here = note.get("url") == self.url
        length = note.get("length")
        whole = here and length == size  # it lacks its name alone: no other version can get mixed in
        same_version = here and bool(note.get("validator"))
        if not (same_file or same_version or whole) or size > self.max_bytes or (length is not None and size > length):
            return 0
        return size

    def _request(self, have: int) -> dict[str, str]:
        headers = {**self.headers, "Accept-Encoding": "identity"}  # or lengths and ranges would count packed bytes
        if have:
            headers["Range"] = f"bytes={have}-"
            note = self.part.note()
            # Another host has validators of its own; there the sum at the end tells whether the parts belong together.
            if note.get("validator") and note.get("url") == self.url:
                headers["If-Range"] = note["validator"]
        return headers

    def _answer(self, response: requests.Response, have: int) -> Refused | None:
        status = response.status_code
        self.client.check(response)
        if is_challenge(response):
            raise TryAgain("takes us for a browser")
        match status:
            case HTTPStatus.OK:
                return self._receive(response, 0, _length(response))
            case HTTPStatus.PARTIAL_CONTENT if have:
                return self._go_on(response, have)
            case HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE if have:
                if _content_range(response) == (None, have):
                    return None  # it was whole already
                self.part.discard()
                raise TryAgain("has another file now")
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
            raise TryAgain("goes on in the wrong place")
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
            raise TryAgain("ends before its end")
        return None if have else Refused(Reason.EMPTY)

    def _note(self, response: requests.Response, length: int | None) -> dict[str, Any]:
        if response.headers.get("Content-Encoding", "identity") != "identity":
            return {}  # what lies on the disk is unpacked: ranges of the packed file cannot go on with it
        etag = response.headers.get("ETag", "")
        validator = response.headers.get("Last-Modified") if etag.startswith("W/") or not etag else etag
        return {
            "url": self.url,
            "sums": dict(self.expected),
            "validator": validator,
            "length": length,
            "second": self.second,
        }

    def _finish(self) -> Fetched | Refused:
        fetched, sums = measure(self.part.bytes_path, *self.expected)
        wrong = [name for name, value in self.expected.items() if sums[name] != value]
        if not wrong:
            self.part.finish()
            return fetched
        if self.second:
            return Refused(Reason.WRONG_MD5, f"has {wrong[0]} {sums[wrong[0]]}")
        self.second = True
        self.best = 0
        self.part.begin({"url": self.url, "second": True})  # who is killed now does not ask a third time
        again = TryAgain(f"has another {wrong[0]}")
        again.counts = False
        raise again


def measure(path: Path, *names: str) -> tuple[Fetched, dict[str, str]]:
    """Measure a file: its md5 and size, and its sums of those *names* (md5, sha1) in hexadecimal digits.

    Raises:
        StoreError: It cannot be read.
    """
    with _disk(path), path.open("rb") as file:
        sums = {name: hashlib.new(name, usedforsecurity=False) for name in {"md5", *names}}
        while data := file.read(CHUNK):
            for digest in sums.values():
                digest.update(data)
        found = {name: digest.hexdigest() for name, digest in sums.items()}
        return Fetched(found["md5"], file.tell()), found


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


def is_challenge(response: requests.Response) -> bool:
    """Cloudflare's test for browsers: the file is not to blame, and is there for others."""
    return response.headers.get("cf-mitigated") == "challenge"
