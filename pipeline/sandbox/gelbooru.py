"""Hides how Gelbooru 0.2 answers: safebooru.org with its ghosts, and gelbooru.com, which wants a key."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from starlette.responses import HTMLResponse, JSONResponse, Response

from pipeline.sandbox.posts import SAMPLE_WIDTH, Kind, PlantedPost
from pipeline.sandbox.search import Ask, Found, Refusal, Test, bounded, has_tag, ids, kinds_of, negate, page, terms

KEY = {"user_id": "1", "api_key": "sandbox"}
DEPTH = 20_000  # posts; beyond it the body is empty
CHICAGO = ZoneInfo("America/Chicago")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
QUOTED = "sandbox's_own"  # every post has it beside its true tags, so that there is an entity to be met


@dataclass(frozen=True)
class Gelbooru:
    """One of two flavours: safebooru.org (a bare list, dates in XML alone), or gelbooru.com (keyed, an envelope)."""

    keyed: bool = False

    @property
    def prefix(self) -> str:
        """Where it is spoken."""
        return "/gelbooru-keyed" if self.keyed else "/gelbooru"

    listings = ("/index.php",)
    files = "/images/{folder}/{name}"
    samples = ("/samples/{folder}/{name}",)

    def find(self, posts: Sequence[PlantedPost], ask: Ask) -> Found:
        """Understand limit, pid, id and tags; what is no metatag here is a tag that no post has.

        Raises:
            Refusal: No key was given, or the page lies too deep.
        """
        asked = ask.params
        if self.keyed and any(asked.get(name) != value for name, value in KEY.items()):
            raise Refusal(401, "", "")
        if (asked.get("page"), asked.get("s"), asked.get("q")) != ("dapi", "post", "index"):
            raise Refusal(200, "page", "")
        size = bounded(asked.get("limit", ""), 100, 100 if self.keyed else 1000)
        start = bounded(asked.get("pid", ""), 0, DEPTH) * size
        if start > DEPTH:
            raise Refusal(200, "deep", "")
        tests: list[Test] = [ids(asked["id"])] if asked.get("id", "").isdigit() else []
        rising = False
        for negated, name, value in terms(asked.get("tags", "")):
            if name == "sort":
                rising = value == "id:asc"
                continue
            test = self._metatags().get(name, lambda value, name=name: has_tag(f"{name}:{value}" if name else value))
            tests.append(negate(test(value), negated=negated))
        found = [post for post in posts if all(test(post) for test in tests)]
        return page(found if rising else found[::-1], start, size)

    def _metatags(self) -> dict[str, Callable[[str], Test]]:
        return {"id": ids, "rating": lambda word: lambda post: self.rating(post) == word}

    def rating(self, post: PlantedPost) -> str:
        """The word for a rating; only gelbooru.com knows `sensitive`, and only the others still say `safe`."""
        if post.rating == "g":
            return "safe" if not self.keyed and post.number % 2 else "general"
        return {"s": "sensitive" if self.keyed else "questionable", "q": "questionable", "e": "explicit"}[post.rating]

    def write(self, found: Found, ask: Ask) -> Response:
        """JSON, or without ``json=1`` XML."""
        if ask.params.get("json") != "1":
            return Response(self._xml(found, ask), media_type="text/xml")
        rows = [self._row(post, ask.host) for post in found.posts]
        if ask.params.get("fields") == "tag_info" and not self.keyed:  # rule34 tells, gelbooru.com takes no notice
            rows = [{**row, "tag_info": _tag_info(post)} for post, row in zip(found.posts, rows, strict=True)]
        if not self.keyed:
            return JSONResponse(rows)
        limit = bounded(ask.params.get("limit", ""), 100, 100)
        envelope: dict[str, Any] = {"@attributes": {"limit": limit, "offset": 0, "count": found.total}}
        if rows:
            envelope["post"] = rows if len(rows) > 1 else rows[0]
        return JSONResponse(envelope)

    def refuse(self, refusal: Refusal) -> Response:
        """A list without posts and without a word; a page for people; no body at all."""
        if refusal.status != 200:
            return JSONResponse([], refusal.status)
        if refusal.error == "deep":
            return Response(b"")
        return HTMLResponse("<!DOCTYPE html><html><head><title>Sandbox</title></head><body></body></html>")

    def _row(self, post: PlantedPost, host: str) -> dict[str, Any]:
        row = self._keyed_row(post, host) if self.keyed else self._bare_row(post, host)
        if post.kind is Kind.HIDDEN:
            row |= dict.fromkeys(("image", "hash", "md5", "width", "height", "rating") & row.keys(), None)
            row |= {"tags": "", "file_url": f"{host}/images//", "sample_url": f"{host}/images//"}
        if self.keyed and post.number % 2:
            row |= {name: str(value) for name, value in row.items() if type(value) is int}
        return row

    def _bare_row(self, post: PlantedPost, host: str) -> dict[str, Any]:
        folder, name = self._place(post)
        return {
            "preview_url": f"{host}/thumbnails/{folder}/thumbnail_{post.md5}.jpg",
            "sample_url": f"{host}/samples/{folder}/sample_{post.md5}.jpg"
            if post.has_sample
            else f"{host}/images/{folder}/{name}",
            "file_url": f"{host}/images/{folder}/{name}",
            "directory": int(folder),
            "hash": post.md5,
            "width": post.width,
            "height": post.height,
            "id": post.number,
            "image": name,
            "change": int(post.posted_at.timestamp()) + 86_400,
            "owner": "danbooru",
            "parent_id": 0,
            "rating": self.rating(post),
            "sample": post.has_sample if post.number % 2 else int(post.has_sample),
            "sample_width": min(post.width, SAMPLE_WIDTH),
            "sample_height": post.height * min(post.width, SAMPLE_WIDTH) // post.width,
            "score": None,
            "tags": html.escape(_tags(post)),
            "source": _source(post),
            "status": _status(post),
            "has_notes": False,
            "comment_count": 0,
        }

    def _keyed_row(self, post: PlantedPost, host: str) -> dict[str, Any]:
        folder, name = self._place(post)
        image = f"{post.md5}.webm" if post.ext == "mp4" else name  # uploaded as one, served as the other
        return {
            "id": post.number,
            "created_at": stamp(post.posted_at),
            "score": post.number % 41,
            "width": post.width,
            "height": post.height,
            "md5": post.md5,
            "directory": folder,
            "image": image,
            "rating": self.rating(post),
            "source": _source(post),
            "change": int(post.posted_at.timestamp()) + 86_400,
            "owner": "danbooru",
            "creator_id": 6498,
            "parent_id": 0,
            "sample": int(post.has_sample),
            "preview_height": 250,
            "preview_width": 176,
            "tags": html.escape(_tags(post)).replace("&#x27;", "&#039;"),
            "title": "",
            "has_notes": "false",
            "has_comments": "false",
            "file_url": f"{host}/images/{folder}/{name}",
            "preview_url": f"{host}/thumbnails/{folder}/thumbnail_{post.md5}.jpg",
            "sample_url": f"{host}/samples/{folder}/sample_{post.md5}.jpg" if post.has_sample else "",
            "sample_height": post.height * SAMPLE_WIDTH // post.width if post.has_sample else 0,
            "sample_width": SAMPLE_WIDTH if post.has_sample else 0,
            "status": _status(post),
            "post_locked": 0,
            "has_children": "false",
        }

    def _xml(self, found: Found, ask: Ask) -> str:
        rows = "".join(self._element(post, ask.host) for post in found.posts)
        head = f'<?xml version="1.0" encoding="UTF-8"?><posts count="{found.total}" offset="0">'
        return f"{head}{rows}</posts>"

    def _element(self, post: PlantedPost, host: str) -> str:
        row = self._row(post, host)
        attributes = {
            "height": row["height"],
            "score": "",
            "file_url": row["file_url"],
            "parent_id": "",
            "sample_url": row["sample_url"],
            "sample_width": row["sample_width"],
            "sample_height": row["sample_height"],
            "preview_url": row["preview_url"],
            "rating": (row["rating"] or "")[:1],
            "tags": f" {html.unescape(row['tags'])} ",
            "id": row["id"],
            "width": row["width"],
            "change": row["change"],
            "md5": row.get("md5", row.get("hash")),
            "creator_id": 6498,
            "has_children": "false",
            "created_at": stamp(post.posted_at),
            "status": row["status"],
            "source": row["source"],
            "has_notes": "false",
            "has_comments": "false",
        }
        words = " ".join(
            f"{name}={quoteattr('' if value is None else str(value))}" for name, value in attributes.items()
        )
        return f"<post {words}/>"

    def _place(self, post: PlantedPost) -> tuple[str, str]:
        return str(1 + post.number % 4000), post.file


def stamp(moment: datetime) -> str:
    """A time as Gelbooru writes it, to the second: Sat Mar 03 09:12:21 -0600 2018."""
    local = moment.astimezone(CHICAGO)
    return f"{DAYS[local.weekday()]} {MONTHS[local.month - 1]} {local:%d %H:%M:%S %z %Y}"


def _tags(post: PlantedPost) -> str:
    return " ".join((*post.tags, QUOTED))


def _tag_info(post: PlantedPost) -> list[dict[str, Any]]:
    if post.kind is Kind.HIDDEN:
        return []
    kinds = ((tag, "tag" if kind == "general" else kind) for tag, kind in kinds_of(post))
    return [{"count": 7, "type": kind, "tag": html.escape(tag)} for tag, kind in kinds]


def _source(post: PlantedPost) -> str:
    return f"https://artists.invalid/works/{post.number}"


def _status(post: PlantedPost) -> str:
    return "deleted" if post.kind is Kind.DELETED else "active"
