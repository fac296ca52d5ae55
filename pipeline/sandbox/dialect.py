"""Hides how Danbooru understands a search and how it writes a post; the sandbox board speaks the same.

Read in danbooru/danbooru: ``tags``, metatags, the tag limit, page numbers, keyset paging, ``only``, the JSON of a post.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from pipeline.sandbox.posts import SAMPLE_WIDTH, Kind, PlantedPost
from pipeline.sandbox.search import Refusal, Test, days, has_tag, ids, negate, unprocessable, whole

EASTERN = ZoneInfo("America/New_York")  # what Danbooru takes a day to be for somebody who is not logged in
DEFAULT_LIMIT, MAX_LIMIT = 20, 200
MAX_PAGE = 1000  # for somebody who is not logged in
TAG_LIMIT = 2


@dataclass(frozen=True, slots=True)
class Search:
    """A query as the board understood it."""

    tests: tuple[Test, ...]
    order: str = "id_desc"  # id or id_desc
    limit: int | None = None  # from limit:

    def matches(self, post: PlantedPost) -> bool:
        """Whether the post is found."""
        return all(test(post) for test in self.tests)


def parse(tags: str) -> Search:
    """Understand what stands in ``tags``.

    Raises:
        Refusal: 422, for more than two counted tags, an unknown metatag, or a value that makes no sense.
    """
    tests: list[Test] = []
    order, limit, counted, orders = "id_desc", None, 0, 0
    for term in tags.lower().split():
        negated = term.startswith("-")
        word = term.removeprefix("-")
        metatag = re.fullmatch(r"([a-z_][a-z0-9_]*):(.+)", word)
        if metatag is None:
            counted += 1
            tests.append(negate(has_tag(word), negated=negated))
            continue
        name, value = metatag.groups()
        if name in {"order", "limit"} and negated:
            raise unprocessable(f"-{name}: cannot be negated")
        if name == "order":
            order, orders, counted = _order(value), orders + 1, counted + 1
        elif name == "limit":
            limit = whole(value)
        elif name in _METATAGS:
            tests.append(negate(_METATAGS[name](value), negated=negated))
        else:
            raise unprocessable(f"{name}: is a metatag that this board does not know")
    if orders > 1:
        raise unprocessable("You cannot use more than one order: in a search")
    if counted > TAG_LIMIT:
        message = f"You cannot search for more than {TAG_LIMIT} tags at a time."
        raise Refusal(422, "PostQuery::TagLimitError", message)
    return Search(tuple(tests), order, limit)


def _order(value: str) -> str:
    known = {"id": "id", "id_asc": "id", "id_desc": "id_desc", "created_at": "id_desc", "created_at_asc": "id"}
    if value not in known:
        raise unprocessable(f"order:{value}: is not known to this board")
    return known[value]


def _ratings(value: str) -> Test:
    letters = {part[:1] for part in value.split(",")}
    if not letters <= set("gsqe"):
        raise unprocessable(f"rating:{value}: is none of g, s, q, e")
    return lambda post: post.rating in letters


def _filetypes(value: str) -> Test:
    kinds = set(value.split(","))
    return lambda post: post.ext in kinds


def _md5s(value: str) -> Test:
    wanted = set(value.split(","))
    return lambda post: post.kind is not Kind.HIDDEN and post.md5 in wanted


def _statuses(value: str) -> Test:
    known: dict[str, Test] = {
        "any": lambda _: True,
        "all": lambda _: True,
        "deleted": lambda post: post.kind is Kind.DELETED,
        "active": lambda post: post.kind is not Kind.DELETED,
        "banned": lambda post: post.kind is Kind.HIDDEN,
        "pending": lambda _: False,
        "flagged": lambda _: False,
    }
    if value not in known:
        raise unprocessable(f"status:{value}: is not known")
    return known[value]


_METATAGS: dict[str, Callable[[str], Test]] = {
    "id": ids,
    "date": lambda value: days(value, EASTERN),
    "rating": _ratings,
    "filetype": _filetypes,
    "md5": _md5s,
    "status": _statuses,
}


def page_of(posts: Sequence[PlantedPost], search: Search, page: str, limit: str) -> list[PlantedPost]:
    """Cut one page out of a listing.

    Args:
        posts: All of the board, by rising number.
        search: What is looked for.
        page: A number, ``b<ID>`` or ``a<ID>``; the last two override `Search.order`.
        limit: As in the address; empty for none.

    Raises:
        Refusal: 410, beyond page 1000.
    """
    size = search.limit if not limit.isdigit() and search.limit is not None else _clean_limit(limit)
    size = min(size, MAX_LIMIT)
    found = [post for post in posts if search.matches(post)]
    if keyset := re.fullmatch(r"([ab])(\d+)", page, re.IGNORECASE):
        edge = int(keyset[2])
        if keyset[1].lower() == "a":  # the nearest above, and still turned to falling numbers
            return [post for post in found if post.number > edge][:size][::-1]
        return [post for post in reversed(found) if post.number < edge][:size]
    number = max(1, int(page)) if re.fullmatch(r"-?\d{1,9}", page) else 1
    if number > MAX_PAGE:
        raise Refusal(410, "PaginationExtension::PaginationError", f"You cannot go beyond page {MAX_PAGE}.")
    if search.order == "id_desc":
        found.reverse()
    return found[(number - 1) * size : number * size]


def _clean_limit(limit: str) -> int:
    return int(limit) if re.fullmatch(r"\d{1,9}", limit) else DEFAULT_LIMIT


# --- the JSON of a post -----------------------------------------------------------------------------------------------


def stamp(moment: datetime) -> str:
    """A time as Danbooru writes it: milliseconds, and the offset of New York."""
    return moment.astimezone(EASTERN).isoformat(timespec="milliseconds")


def _address(host: str, folder: str, md5: str, ext: str, prefix: str = "") -> str:
    return f"{host}/{folder}/{md5[:2]}/{md5[2:4]}/{prefix}{md5}.{ext}"


def _fit(post: PlantedPost, side: int) -> tuple[int, int]:
    factor = min(1.0, side / post.width, side / post.height)
    return max(1, round(post.width * factor)), max(1, round(post.height * factor))


def _variants(post: PlantedPost, host: str) -> list[dict[str, Any]]:
    rows = []
    for folder, side, ext in (("180x180", 180, "jpg"), ("360x360", 360, "jpg"), ("720x720", 720, "webp")):
        width, height = _fit(post, side)
        url = _address(host, folder, post.md5, ext)
        rows.append({"type": folder, "url": url, "width": width, "height": height, "file_ext": ext})
    if post.has_sample:
        width, height = SAMPLE_WIDTH, max(1, round(post.height * SAMPLE_WIDTH / post.width))
        url = _address(host, "sample", post.md5, "jpg", "sample-")
        rows.append({"type": "sample", "url": url, "width": width, "height": height, "file_ext": "jpg"})
    url = _address(host, "original", post.md5, post.ext)
    rows.append(
        {"type": "original", "url": url, "width": post.width, "height": post.height, "file_ext": post.ext},
    )
    return rows


def _strings(post: PlantedPost) -> dict[str, Any]:
    meta = {"animated", "video", "highres", "monochrome", "greyscale"}
    named = {*post.artists, *post.characters, *post.series}
    parts: dict[str, Sequence[str]] = {
        "general": [tag for tag in post.tags if tag not in named | meta],
        "artist": post.artists,
        "character": post.characters,
        "copyright": post.series,
        "meta": [tag for tag in post.tags if tag in meta],
    }
    row: dict[str, Any] = {"tag_string": " ".join(post.tags), "tag_count": len(post.tags)}
    for name, tags in parts.items():
        row[f"tag_string_{name}"] = " ".join(tags)
        row[f"tag_count_{name}"] = len(tags)
    return row


def row_of(post: PlantedPost, host: str) -> dict[str, Any]:
    """The JSON of a post.

    Args:
        post: Hidden ones lack the keys md5, file_url, large_file_url, preview_file_url, as on the real board.
        host: Where the files are: ``http://…``, without a slash at the end.
    """
    hidden = post.kind is Kind.HIDDEN
    created = stamp(post.posted_at)
    up, down = post.number * 7 % 41, -(post.number % 3)
    row: dict[str, Any] = {
        "id": post.number,
        "created_at": created,
        "uploader_id": 1 + post.number % 17,
        "score": up + down,
        "source": f"https://artists.invalid/works/{post.number}",
        "md5": post.md5,
        "last_comment_bumped_at": None,
        "rating": post.rating,
        "image_width": post.width,
        "image_height": post.height,
        "fav_count": up,
        "file_ext": post.ext,
        "last_noted_at": None,
        "parent_id": None,
        "has_children": False,
        "approver_id": None,
        "file_size": post.size,
        "up_score": up,
        "down_score": down,
        "is_pending": False,
        "is_flagged": False,
        "is_deleted": post.kind is Kind.DELETED,
        "updated_at": created,
        "is_banned": hidden,
        "pixiv_id": None,
        "last_commented_at": None,
        "has_active_children": False,
        "bit_flags": 0,
        "has_large": post.has_sample,
        "has_visible_children": False,
        **_strings(post),
        "media_asset": {
            "id": post.number + 500,
            "created_at": created,
            "updated_at": created,
            "md5": post.md5,
            "file_ext": post.ext,
            "file_size": post.size,
            "image_width": post.width,
            "image_height": post.height,
            "duration": post.duration,
            "status": "active",
            "file_key": f"key{post.number}",
            "is_public": not hidden,
            "pixel_hash": post.md5[::-1],
            "variants": _variants(post, host),
        },
        "file_url": _address(host, "original", post.md5, post.ext),
        "large_file_url": _address(host, "sample", post.md5, "jpg", "sample-")
        if post.has_sample
        else _address(host, "original", post.md5, post.ext),
        "preview_file_url": _address(host, "180x180", post.md5, "jpg"),
    }
    if hidden:
        for key in ("md5", "file_url", "large_file_url", "preview_file_url"):
            del row[key]
        for key in ("md5", "file_key", "pixel_hash", "variants"):
            del row["media_asset"][key]
    return row


def only(row: Any, fields: str) -> Any:
    """Keep of a row what ``only=`` names: ``id,md5,media_asset[variants]``; all of it when that is empty."""
    wanted = _fields(fields)
    return _restrict(row, wanted) if wanted else row


def _restrict(row: Any, wanted: dict[str, str]) -> Any:
    if isinstance(row, list):
        return [_restrict(one, wanted) for one in row]
    if not isinstance(row, dict):
        return row
    return {key: only(value, wanted[key]) for key, value in row.items() if key in wanted}


def _fields(text: str) -> dict[str, str]:
    """Split at the commas that stand in no bracket: each name, with what stands in its brackets."""
    names: dict[str, str] = {}
    depth, start = 0, 0
    for place, sign in enumerate(f"{text},"):
        depth += (sign == "[") - (sign == "]")
        if sign != "," or depth > 0:
            continue
        name, _, inner = text[start:place].partition("[")
        if name.strip():
            names[name.strip()] = inner.removesuffix("]")
        start = place + 1
    return names
