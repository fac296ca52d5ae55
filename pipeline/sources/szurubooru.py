"""Hides szurubooru's dialect: `id:..N` paging, relative files, three words for safety, SHA-1 first and md5 later."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from pipeline.records import Post
from pipeline.sources.board import (
    BY_FALLING_ID,
    OWN_IDS,
    BoardSource,
    by_kind,
    date_tag,
    extension,
    iso_moment,
    md5_of,
    plain,
    text,
)
from pipeline.sources.ground import TOP, Row, number, whole

SAYS = {"safe": "g", "sketchy": "q", "unsafe": "e"}


@dataclass(frozen=True, kw_only=True)
class SzurubooruSource(BoardSource):
    """A self-hosted board; the login is a user's name, and the key a token of theirs, or their password."""

    dialect: ClassVar = "szurubooru"
    refused: ClassVar = {"sort": BY_FALLING_ID, "order": BY_FALLING_ID, "id": OWN_IDS}

    auth: Literal["token", "basic"] = "token"
    page_size: int = 100

    def _pushed_down(self) -> list[str]:
        wanted = [word for word, rating in SAYS.items() if rating in self.ratings]
        asked = [date_tag(self.since, self.until)]
        if wanted and len(wanted) < len(SAYS):
            asked.append(f"safety:{','.join(wanted)}")
        return asked

    def _ask(self, high: int, count: int) -> list[Row] | None:
        query = " ".join(filter(None, [self.tags, f"id:..{high}" if high < TOP else ""]))
        # Some boards answer 500 to an empty query. An old board refuses `fields` that it does not know, such as
        # checksumMD5, so whole posts are asked for.
        params: dict[str, str | int] = {"query": query or "*", "offset": 0, "limit": count}
        answer = self.client.get_json(
            f"{self.root}/api/posts/",
            params,
            auth=(self.login, self.api_key) if self.login and self.api_key and self.auth == "basic" else None,
            headers=self._token(),
        )
        body = answer if isinstance(answer, dict) else {}
        rows = self._list_of_rows(body.get("results"))
        return rows if rows or not whole(body.get("total")) else None

    def _token(self) -> dict[str, str]:
        if not self.login or not self.api_key or self.auth != "token":
            return {}
        packed = base64.b64encode(f"{self.login}:{self.api_key}".encode()).decode()
        return {"Authorization": f"Token {packed}"}

    def _post(self, row: Row) -> Post:
        url, kinds = text(row, "contentUrl"), _kinds(row.get("tags"))
        return Post(
            id=f"{self.name}:{number(row)}",
            file_url=self._written_down(url),
            page_url=f"{self.home}/post/{number(row)}",
            origin_url=next(iter(text(row, "source").split()), None),
            md5=md5_of(row, "checksumMD5"),
            sha1=_sha1(text(row, "checksum")),
            ext=extension(url),
            size=whole(row.get("fileSize")),
            rating=SAYS.get(text(row, "safety")),
            tags=tuple(tag for tag, _ in kinds),
            **by_kind(kinds),
            posted_at=iso_moment(text(row, "creationTime")),
            animated=text(row, "type") in {"animation", "video", "flash"},
        )


def _sha1(digits: str) -> str | None:
    found = re.fullmatch(r"[0-9a-fA-F]{40}", digits)
    return found[0].lower() if found else None


def _kinds(tags: object) -> list[tuple[str, str]]:
    """Give of each tag the first of its names, which is the chosen, and its category, as the board's owner calls it."""
    if not isinstance(tags, list):
        return []
    named = [tag for tag in tags if isinstance(tag, dict) and isinstance(tag.get("names"), list) and tag["names"]]
    return [(plain(tag["names"][0]), text(tag, "category")) for tag in named if isinstance(tag["names"][0], str)]
