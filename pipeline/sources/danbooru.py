"""Hides Danbooru's dialect: keyset paging, the tag limit, hidden posts, Eastern Time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.errors import BoardError
from pipeline.records import Post
from pipeline.sources import MOVING
from pipeline.sources.board import (
    BY_FALLING_ID,
    CHANGES_PAGES,
    RATINGS,
    BoardSource,
    date_tag,
    iso_moment,
    md5_of,
    metatag,
    text,
)
from pipeline.sources.ground import TOP, Row, number

ONLY = (
    "id,created_at,md5,file_url,large_file_url,file_ext,file_size,rating,source,tag_string,tag_string_artist,"
    "tag_string_character,tag_string_copyright,is_deleted,is_banned,media_asset[duration]"
)
ADVICE = {422: "change the query of this source, or set its tag_limit to what your account has"}
TIMED_OUT = "timed out"  # the board's own words for a search that it gave up on, after 3 seconds (6 with Gold)
# danbooru/danbooru, app/logical/post_query.rb: these metatags do not count towards the tag limit.
FREE = frozenset(
    {"status", "rating", "limit", "is", "id", "date", "age", "filesize", "filetype", "parent", "child", "md5"}
    | {"width", "height", "duration", "mpixels", "ratio", "score", "upvote", "downvotes", "favcount", "embedded"}
    | {"tagcount", "pixiv_id", "pixiv"}
)


@dataclass(frozen=True, kw_only=True)
class DanbooruSource(BoardSource):
    """A board like danbooru.donmai.us; its own `id:` may stand in a query, since the paging does not use it."""

    dialect: ClassVar = "Danbooru"
    refused: ClassVar = {
        **dict.fromkeys(("order", "ordfav", "ordfavgroup", "ordpool"), BY_FALLING_ID),
        "random": "a random answer cannot be gone on with",
        "limit": CHANGES_PAGES,
    }

    page_size: int = 200
    tag_limit: int | None = 2  # 2 without a login and for Members, 6 for Gold, none from Platinum on

    def _counts(self, token: str) -> bool:
        return metatag(token) not in FREE

    def _pushed_down(self) -> list[str]:
        asked = [date_tag(self.since, self.until)]
        if self.ratings and set(self.ratings) != set(RATINGS):
            asked.append("rating:" + ",".join(one for one in RATINGS if one in self.ratings))
        return asked

    def _ask(self, high: int, count: int) -> list[Row]:
        auth = (self.login, self.api_key) if self.login and self.api_key else None
        params: dict[str, str | int] = {"limit": count, "page": f"b{min(high + 1, TOP)}", "only": ONLY}
        if self.tags:
            params["tags"] = self.tags
        try:
            answer = self.client.get_json(f"{self.root}/posts.json", params, auth=auth, advice=ADVICE)
        except BoardError as error:
            if TIMED_OUT in str(error):
                raise BoardError(f"{error}, or give the query rarer tags and no wildcards") from error
            raise
        return self._list_of_rows(answer)

    def _sample(self, row: Row) -> str:
        return text(row, "large_file_url")

    def _post(self, row: Row) -> Post:
        ext = text(row, "file_ext").lower()
        asset = row.get("media_asset")
        return Post(
            id=f"{self.name}:{number(row)}",
            file_url=self._written_down(text(row, "file_url")),
            page_url=f"{self.home}/posts/{number(row)}",
            origin_url=text(row, "source") or None,
            md5=md5_of(row, "md5"),
            ext=ext,
            size=row["file_size"] if isinstance(row.get("file_size"), int) else None,
            rating=row["rating"] if row.get("rating") in RATINGS else None,
            tags=tuple(text(row, "tag_string").split()),
            artists=tuple(text(row, "tag_string_artist").split()),
            characters=tuple(text(row, "tag_string_character").split()),
            series=tuple(text(row, "tag_string_copyright").split()),
            posted_at=iso_moment(text(row, "created_at")),
            deleted=row.get("is_deleted") is True or row.get("is_banned") is True,
            animated=ext in MOVING or (isinstance(asset, dict) and asset.get("duration") is not None),
        )
