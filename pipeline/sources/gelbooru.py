"""Hides the dialect of Gelbooru 0.2: two forms of one list, ghosts, an end at 20,000 posts, words for ratings."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar, Literal
from xml.etree import ElementTree as ET

from pipeline.errors import BoardError
from pipeline.records import Post
from pipeline.sources import MOVING
from pipeline.sources.board import (
    BY_FALLING_ID,
    CHANGES_PAGES,
    OWN_IDS,
    BoardSource,
    by_kind,
    extension,
    key_name,
    md5_of,
    text,
)
from pipeline.sources.ground import TOP, Row, number, whole

# The family says safe, or since 2022 general; XML has the first letter. `sensitive` is gelbooru.com's alone, and it
# writes words; so the letter s of this family is safe, where Danbooru's is sensitive.
SAYS = {
    "general": "g",
    "safe": "g",
    "sensitive": "s",
    "questionable": "q",
    "explicit": "e",
    "g": "g",
    "s": "g",
    "q": "q",
    "e": "e",
}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
STAMP = re.compile(rf"\w{{3}} ({'|'.join(MONTHS)}) (\d\d?) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d) (\d{{4}})", re.ASCII)
NEEDS_KEY = (
    "this board lists nothing without an account: set KAOSET_LOGIN_{host} to the numeric user id and "
    "KAOSET_API_KEY_{host} to the API key, both from its page of account options"
)


@dataclass(frozen=True, kw_only=True)
class GelbooruSource(BoardSource):
    """A board like safebooru.org or gelbooru.com, paged by `id:<N`, so that its depth has no end.

    Most boards are read as XML: it has all that the JSON has and travels on, and beside it the dates and the number of
    posts that are left, which unmasks an empty answer. gelbooru.com puts both into its JSON.
    """

    dialect: ClassVar = "Gelbooru"
    refused: ClassVar = {
        **dict.fromkeys(("sort", "order"), BY_FALLING_ID),
        "id": OWN_IDS,
        "limit": CHANGES_PAGES,
    }

    form: Literal["xml", "json"] = "xml"
    page_size: int = 100  # gelbooru.com gives no more; most others give 1000

    def _pushed_down(self) -> list[str]:
        """Leave out what no board of the family calls otherwise; the rest is for the filter."""
        if not self.ratings:
            return []
        return [f"-rating:{word}" for word in ("questionable", "explicit") if SAYS[word] not in self.ratings]

    def _ask(self, high: int, count: int) -> list[Row] | None:
        params: dict[str, str | int] = {"page": "dapi", "s": "post", "q": "index", "limit": count, "pid": 0}
        if tags := " ".join(filter(None, [self.tags, f"id:<{high + 1}" if high < TOP else ""])):
            params["tags"] = tags
        if self.login and self.api_key and self.login.isdigit():  # another board's login stays at home
            params |= {"user_id": self.login, "api_key": self.api_key}
        url, advice = f"{self.root}/index.php", {401: self._needs_key}
        if self.form == "xml":
            rows, more = self._in_xml(self.client.get_xml(url, params, advice=advice))
        else:  # which tag is an artist some boards tell when they are asked; the others take no notice
            params |= {"json": 1, "fields": "tag_info"}
            rows, more = self._in_json(self.client.get_json(url, params, advice=advice))
        return rows if rows or not more else None

    def _in_xml(self, root: ET.Element) -> tuple[list[Row], int]:
        """Read the rows, and how many there are from here on down."""
        if root.tag != "posts":
            raise self._refusal(root.get("reason") or "".join(root.itertext()))
        # gelbooru.com writes elements where all others write attributes.
        rows = [{**post.attrib, **{one.tag: one.text or "" for one in post}} for post in root.iter("post")]
        return list(rows), whole(root.get("count")) or 0

    def _in_json(self, answer: Any) -> tuple[list[Row], int]:
        if isinstance(answer, str):
            raise self._refusal(answer)
        if not isinstance(answer, dict):
            return self._list_of_rows(answer), 0
        if "@attributes" not in answer and "post" not in answer:
            raise self._refusal(text(answer, "message") or text(answer, "reason"))
        stated, posts = answer.get("@attributes"), answer.get("post", [])
        rows = self._list_of_rows([posts] if isinstance(posts, dict) else posts)
        return rows, whole(stated.get("count")) or 0 if isinstance(stated, Mapping) else 0

    def _refusal(self, words: str) -> BoardError:
        said = " ".join(words.split())[:200] or "no list of posts"
        advice = "check the address and kind of this source, and its query"
        return BoardError(f"{self.address}: says {said!r}; {self._needs_key if 'authentication' in said else advice}")

    @property
    def _needs_key(self) -> str:
        return NEEDS_KEY.format(host=key_name(self.address))

    def _sample(self, row: Row) -> str:
        return text(row, "sample_url")  # empty, or the original's, where there is none

    def _post(self, row: Row) -> Post:
        url = text(row, "file_url")
        ghost = url.endswith("/")  # a row whose post is gone: nothing but its id
        ext = extension(url)
        named = extension(text(row, "image"))
        return Post(
            id=f"{self.name}:{number(row)}",
            file_url=None if ghost else self._written_down(url),
            page_url=f"{self.home}/index.php?page=post&s=view&id={number(row)}",
            origin_url=text(row, "source") or None,
            # A video is transcoded: what was uploaded as .webm and hashed is served as .mp4.
            md5=None if named and named != ext else md5_of(row, "md5") or md5_of(row, "hash"),
            ext=ext,
            rating=SAYS.get(text(row, "rating")),
            tags=tuple(html.unescape(text(row, "tags")).split()),
            **by_kind(_kinds(row.get("tag_info"))),
            posted_at=moment(text(row, "created_at")),
            deleted=text(row, "status") == "deleted",
            animated=ext in MOVING,
        )

    def _file_headers(self) -> dict[str, str]:
        return {"Referer": f"{self.home}/"}


def _kinds(told: object) -> Iterator[tuple[str, str]]:
    """Give each tag and its kind, where the board tells them."""
    for one in told if isinstance(told, list) else ():
        if isinstance(one, dict) and (tag := "_".join(html.unescape(text(one, "tag")).split())):
            yield tag, text(one, "type")


def moment(stamp: str) -> datetime | None:
    """Read ``Sat Mar 03 09:12:21 -0600 2018`` as UTC; None for anything else.

    The months stand in a table because `strptime` would read them in the language of the machine.
    """
    found = STAMP.fullmatch(stamp.strip())
    if found is None:
        return None
    month, day, hour, minute, second, sign, hours, minutes, year = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes)) * (-1 if sign == "-" else 1)
    try:
        local = datetime(
            *(int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second)),
            tzinfo=timezone(offset),
        )
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
