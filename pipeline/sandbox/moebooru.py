"""Hides how Moebooru answers: an s that means safe, dates of two ages, and deleted posts without a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from pipeline.sandbox.posts import SAMPLE_WIDTH, Kind, PlantedPost
from pipeline.sandbox.search import (
    Ask,
    Found,
    Refusal,
    Test,
    bounded,
    days,
    has_tag,
    ids,
    kinds_of,
    negate,
    page,
    terms,
)

TAG_LIMIT = 6
SAYS = {"g": "s", "s": "q", "q": "q", "e": "e"}


@dataclass(frozen=True)
class Moebooru:
    """yande.re in most rows, konachan (no file_ext) in every third, a very old board's date in every fifth."""

    prefix = "/moebooru"
    listings = ("/post.json", "/post/index.json")
    files = "/image/{md5}/{name}"
    samples = ("/sample/{md5}/{name}", "/jpeg/{md5}/{name}")

    def find(self, posts: Sequence[PlantedPost], ask: Ask) -> Found:
        """Understand tags, limit and page.

        Raises:
            Refusal: There are more than six tags.
        """
        tests: list[Test] = []
        rising, counted = False, 0
        for negated, name, value in terms(ask.params.get("tags", "")):
            if name == "order":
                rising = value == "id"
                continue
            counted += name not in _METATAGS
            test = _METATAGS.get(name, lambda value, name=name: has_tag(f"{name}:{value}" if name else value))
            tests.append(negate(test(value), negated=negated))
        if counted > TAG_LIMIT:
            raise Refusal(422, "", f"You can only search up to {TAG_LIMIT} tags at once")
        found = [post for post in posts if all(test(post) for test in tests)]
        size = bounded(ask.params.get("limit", ""), 40, 1000)
        number = max(1, bounded(ask.params.get("page", ""), 1, 10**9))
        return page(found if rising else found[::-1], (number - 1) * size, size)

    def write(self, found: Found, ask: Ask) -> Response:
        """A bare list; an envelope for those who ask for version 2, with the kinds of tags if they ask."""
        rows = [_row(post, ask.host) for post in found.posts]
        if ask.params.get("api_version") != "2":
            return JSONResponse(rows)
        kinds = {tag: kind for post in found.posts for tag, kind in kinds_of(post)}
        return JSONResponse({"posts": rows, **({"tags": kinds} if ask.params.get("include_tags") == "1" else {})})

    def refuse(self, refusal: Refusal) -> Response:
        """The reason, in JSON."""
        return JSONResponse({"success": False, "reason": refusal.message}, refusal.status)


_METATAGS: dict[str, Callable[[str], Test]] = {
    "id": ids,
    "date": lambda value: days(value, UTC),
    "rating": lambda word: lambda post: SAYS[post.rating] == word[:1],
    "md5": lambda digits: lambda post: post.kind is not Kind.HIDDEN and post.md5 == digits,
}


def _row(post: PlantedPost, host: str) -> dict[str, Any]:
    seconds = int(post.posted_at.timestamp())
    stem = quote(f"sandbox {post.number} {post.tags[0] if post.tags else ''}")
    original = f"{host}/image/{post.md5}/{stem}.{post.ext}"
    jpeg = f"{host}/jpeg/{post.md5}/{stem}.jpg" if post.ext == "png" and post.shrinkable else original
    gone = post.kind in {Kind.HIDDEN, Kind.DELETED}
    row: dict[str, Any] = {
        "id": post.number,
        "tags": " ".join(post.tags),
        "created_at": {"json_class": "Time", "n": 0, "s": seconds} if post.number % 5 == 0 else seconds,
        "updated_at": seconds + 86_400,
        "creator_id": 1 + post.number % 17,
        "approver_id": None,
        "author": "sandbox",
        "change": post.number * 3,
        "source": f"https://artists.invalid/works/{post.number}",
        "score": post.number % 41,
        "md5": post.md5,
        "file_size": post.size,
        "file_ext": post.ext,
        "file_url": original,
        "is_shown_in_index": True,
        "preview_url": f"{host}/preview/{post.md5}.jpg",
        "preview_width": 106,
        "preview_height": 150,
        "sample_url": f"{host}/sample/{post.md5}/{stem}%20sample.jpg" if post.has_sample else jpeg,
        "sample_width": min(post.width, SAMPLE_WIDTH),
        "sample_height": post.height * min(post.width, SAMPLE_WIDTH) // post.width,
        "jpeg_url": jpeg,
        "jpeg_width": post.width,
        "jpeg_height": post.height,
        "rating": SAYS[post.rating],
        "is_rating_locked": False,
        "has_children": False,
        "parent_id": None,
        "status": "deleted" if gone else "active",
        "is_pending": False,
        "width": post.width,
        "height": post.height,
        "is_held": False,
        "frames": [],
    }
    absent = {"file_ext", "updated_at"} if post.number % 3 == 0 else set()
    absent |= {"file_url", "sample_url", "jpeg_url"} if gone else set()
    absent |= {"md5"} if post.kind is Kind.HIDDEN else set()
    return {key: value for key, value in row.items() if key not in absent}
