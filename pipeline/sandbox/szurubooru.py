"""Hides how szurubooru answers: JSON or nothing, limits that are held to, files by relative address, two checksums."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any

from starlette.responses import JSONResponse, Response

from pipeline.sandbox.posts import Kind, PlantedPost
from pipeline.sandbox.search import Ask, Found, Refusal, Test, days, has_tag, ids, kinds_of, negate, page, terms

SAYS = {"g": "safe", "s": "sketchy", "q": "sketchy", "e": "unsafe"}
CATEGORIES = {"artist": "Artist", "character": "character", "copyright": "series"}  # as its owner calls them
MIME = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "mp4": "video/mp4",
    "webm": "video/webm",
    "zip": "application/zip",
}


@dataclass(frozen=True)
class Szurubooru:
    """A board of today in most rows; every fourth comes from before checksumMD5."""

    folder: Path  # of the sandbox: SHA-1 is measured, since nobody planted it

    prefix = "/szurubooru"
    listings = ("/api/posts/",)
    files = "/data/posts/{name}"
    samples = ()

    def find(self, posts: Sequence[PlantedPost], ask: Ask) -> Found:
        """Understand query, offset and limit.

        Raises:
            Refusal: 406 without ``Accept: application/json``; 400 for a number or a named token that is none;
                500 for an empty query, as some boards do.
        """
        if "application/json" not in ask.accept:
            raise Refusal(406, "ValidationError", "This API only supports JSON responses.")
        offset = _number(ask.params, "offset", 0, 0, 10**9)
        limit = _number(ask.params, "limit", 100, 1, 100)
        if not ask.params.get("query", "").strip():
            raise Refusal(500, "InternalServerError", "An empty query.")
        tests: list[Test] = []
        rising = False
        for negated, name, value in terms(ask.params["query"]):
            if name == "sort" and value == "id":
                rising = negated
                continue
            if name not in _TOKENS:
                raise Refusal(400, "SearchError", f"Unknown named token: {name!r}.")
            tests.append(negate(_TOKENS[name](value), negated=negated))
        found = [post for post in posts if all(test(post) for test in tests)]
        return page(found if rising else found[::-1], offset, limit)

    def write(self, found: Found, ask: Ask) -> Response:
        """The results, and how many there are."""
        body = {
            "query": ask.params["query"],
            "offset": int(ask.params.get("offset", 0)),
            "limit": int(ask.params.get("limit", 100)),
            "total": found.total,
            "results": [self._row(post) for post in found.posts],
        }
        return JSONResponse(body)

    def refuse(self, refusal: Refusal) -> Response:
        """Name, title and description."""
        body = {"name": refusal.error, "title": refusal.error, "description": refusal.message}
        return JSONResponse(body, refusal.status)

    def _row(self, post: PlantedPost) -> dict[str, Any]:
        hidden = post.kind is Kind.HIDDEN
        place = f"data/posts/{post.number}_{post.md5[:16]}.{post.ext}"
        row: dict[str, Any] = {
            "id": post.number,
            "version": 1,
            "creationTime": post.posted_at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "lastEditTime": None,
            "safety": SAYS[post.rating],
            "source": f"https://artists.invalid/works/{post.number}\nhttps://mirror.invalid/{post.number}",
            "type": _type(post),
            "mimeType": MIME[post.ext],
            "checksum": None if hidden else self._sha1(post),
            "checksumMD5": None if hidden else post.md5,
            "fileSize": post.size,
            "canvasWidth": post.width,
            "canvasHeight": post.height,
            "contentUrl": None if hidden else place,
            "thumbnailUrl": f"data/generated-thumbnails/{post.number}_{post.md5[:16]}.jpg",
            "flags": ["loop"] if post.duration else [],
            "tags": [
                {"names": [tag, f"{tag}_too"], "category": CATEGORIES.get(kind, "default"), "usages": 7}
                for tag, kind in kinds_of(post)
            ],
            "user": {"name": "sandbox", "avatarUrl": ""},
            "score": post.number % 41,
        }
        if post.number % 4 == 0:
            del row["checksumMD5"]
        return row

    def _sha1(self, post: PlantedPost) -> str:
        """Of the file; of something else where the board was told another file than the host sends."""
        path = self.folder / "files" / post.file
        if post.kind is Kind.WRONG_MD5 or not path.exists():
            return hashlib.sha1(post.md5.encode(), usedforsecurity=False).hexdigest()
        return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()


_TOKENS: dict[str, Callable[[str], Test]] = {
    "": has_tag,
    "id": ids,
    "date": lambda value: days(value, UTC),
    "safety": lambda words: lambda post: SAYS[post.rating] in words.split(","),
    "rating": lambda words: lambda post: SAYS[post.rating] in words.split(","),
    "type": lambda words: lambda post: _type(post) in words.split(","),
}


def _type(post: PlantedPost) -> str:
    if post.ext in {"mp4", "webm"}:
        return "video"
    return "animation" if post.duration else "image"


def _number(params: Any, name: str, default: int, least: int, most: int) -> int:
    text = params.get(name, str(default))
    if not re.fullmatch(r"-?\d{1,10}", text) or not least <= int(text) <= most:
        raise Refusal(400, "InvalidParameterError", f"Parameter {name!r} is invalid: {text!r}.")
    return int(text)
