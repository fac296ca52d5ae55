"""Hides Moebooru's dialect: `id:<N` paging, an s that means safe, dates of three ages, files without an extension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from pipeline.records import Post
from pipeline.sources import MOVING
from pipeline.sources.board import (
    BY_FALLING_ID,
    CHANGES_PAGES,
    OWN_IDS,
    BoardSource,
    by_kind,
    date_tag,
    extension,
    md5_of,
    metatag,
    text,
)
from pipeline.sources.ground import TOP, Row, number, whole

SAYS = {"s": "g", "q": "q", "e": "e"}  # its s is safe
KINDS = " kinds of tags"  # where a row holds those of its page; no field of the board is named so
# moebooru/moebooru, app/models/tag/parse_methods.rb: counted apart from the six tags.
METATAGS = frozenset(
    {"id", "date", "order", "rating", "width", "height", "mpixels", "score", "limit", "md5", "deleted", "holds"}
    | {"pending", "user", "pool", "vote", "fav", "sub", "source", "parent", "change", "shown", "ext", "unlocked"}
)


@dataclass(frozen=True, kw_only=True)
class MoebooruSource(BoardSource):
    """A board like yande.re or konachan.com; no login is ever sent, since none is needed for reading."""

    dialect: ClassVar = "Moebooru"
    refused: ClassVar = {
        "order": BY_FALLING_ID,
        "pool": "a pool is listed in an order of its own",
        "id": OWN_IDS,
        "limit": CHANGES_PAGES,
    }

    page_size: int = 200  # the source allows 1000, old boards give 100
    tag_limit: int | None = 6

    def _counts(self, token: str) -> bool:
        return metatag(token) not in METATAGS

    def _pushed_down(self) -> list[str]:
        wanted = [letter for letter, rating in SAYS.items() if rating in self.ratings]
        asked = [date_tag(self.since, self.until)]
        if len(wanted) == 1:
            asked.append(f"rating:{wanted[0]}")
        if len(wanted) == 2:
            asked += [f"-rating:{letter}" for letter in SAYS if letter not in wanted]
        return asked

    def _ask(self, high: int, count: int) -> list[Row]:
        # The second version tells the kinds of tags beside the posts; an old board gives the posts alone.
        params: dict[str, str | int] = {"limit": count, "api_version": 2, "include_tags": 1}
        if tags := " ".join(filter(None, [self.tags, f"id:<{high + 1}" if high < TOP else ""])):
            params["tags"] = tags
        answer = self.client.get_json(f"{self.root}/post.json", params)
        if not isinstance(answer, dict):
            return self._list_of_rows(answer)
        kinds = answer.get("tags")
        rows = self._list_of_rows(answer.get("posts"))
        return [{**row, KINDS: kinds} for row in rows] if isinstance(kinds, dict) else rows

    def _sample(self, row: Row) -> str:
        """Prefer the one of at most 1500 pixels; the JPEG that is made of a PNG is as wide as that."""
        others = (text(row, "sample_url"), text(row, "jpeg_url"))
        return next((one for one in others if one not in {"", text(row, "file_url")}), "")

    def _post(self, row: Row) -> Post:
        url = text(row, "file_url")
        ext = text(row, "file_ext").lower() or extension(url)
        tags, kinds = tuple(text(row, "tags").split()), row.get(KINDS, {})
        return Post(
            id=f"{self.name}:{number(row)}",
            file_url=self._written_down(url),
            page_url=f"{self.home}/post/show/{number(row)}",
            origin_url=text(row, "source") or None,
            md5=md5_of(row, "md5"),
            ext=ext,
            size=whole(row.get("file_size")),
            rating=SAYS.get(text(row, "rating")),
            tags=tags,
            **by_kind((tag, kinds[tag]) for tag in tags if isinstance(kinds.get(tag), str)),
            posted_at=moment(row.get("created_at")),
            deleted=text(row, "status") == "deleted",
            animated=ext in MOVING,
        )


def moment(stamp: object) -> datetime | None:
    """Read seconds since 1970, as a number or as ``{"json_class": "Time", "s": …}``; None for anything else."""
    seconds = whole(stamp.get("s") if isinstance(stamp, Mapping) else stamp)
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None
