"""Hides Danbooru's dialect: keyset paging, the tag limit, hidden posts, Eastern Time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from pipeline.errors import BoardError, RecipeError
from pipeline.http import Client, Fetched, Refused, is_loopback
from pipeline.records import Post, utc
from pipeline.sources import MOVING, Page
from pipeline.stage import effect

TOP = 2**31 - 1  # ids are 32-bit, and a page begins below one: no post has it, and none lies above
PAGE_SIZE = 200  # the board gives no more at once
RECENT = 20  # of the highest ids are remembered one by one, so that a false one among them hides nothing below it
ONLY = (
    "id,created_at,md5,file_url,file_ext,file_size,rating,source,tag_string,is_deleted,is_banned,media_asset[duration]"
)
RATINGS = ("g", "s", "q", "e")
# danbooru/danbooru, app/logical/post_query.rb: these metatags do not count towards the tag limit.
FREE = frozenset(
    {"status", "rating", "limit", "is", "id", "date", "age", "filesize", "filetype", "parent", "child", "md5"}
    | {"width", "height", "duration", "mpixels", "ratio", "score", "upvote", "downvotes", "favcount", "embedded"}
    | {"tagcount", "pixiv_id", "pixiv"}
)
REFUSED = {
    "order": "the board is read by falling id, which overrides any order",
    "ordfav": "the board is read by falling id, which overrides any order",
    "ordfavgroup": "the board is read by falling id, which overrides any order",
    "ordpool": "the board is read by falling id, which overrides any order",
    "random": "a random answer cannot be gone on with",
    "limit": "it changes the size of a page; use --limit",
}


@dataclass(frozen=True, kw_only=True)
class DanbooruSource:
    """Lists and fetches the posts of one query on one board, newest first, never the same ground twice."""

    name: str
    address: str  # what is asked: scheme, host and port
    client: Client = effect()
    site: str = ""  # what is written down in place of the address; the address itself when empty
    query: str = ""  # as typed into the board's search field
    since: date | None = None  # first day asked for
    until: date | None = None  # first day no longer asked for
    ratings: tuple[str, ...] = ()  # all when empty
    limit: int | None = None  # posts in one call of pages(); the next call goes on
    login: str | None = None
    api_key: str | None = field(default=None, repr=False)
    tag_limit: int = 2  # 2 without a login and for Members, 6 for Gold

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^/@\s?#]+(/[^@\s?#]*)?", self.address):
            raise RecipeError(
                f"the address of source {self.name!r} is not like https://board.example; a login has fields of its own"
            )
        if bool(self.login) != bool(self.api_key):
            raise RecipeError(f"source {self.name!r} has a login or an API key alone; the board wants both or neither")
        if self.api_key and not _is_private(self.address):
            raise RecipeError(
                f"source {self.name!r} would send its API key in the open; give an address that begins with https"
            )
        if wrong := [one for one in self.ratings if one not in RATINGS]:
            raise RecipeError(f"rating {wrong[0]!r} of source {self.name!r} is unknown; use g, s, q or e")
        for token in _tokens(self.query):
            if why := REFUSED.get(_metatag(token)):
                raise RecipeError(f"{token!r} in the query of source {self.name!r} cannot be used: {why}")
        counted = [token for token in _tokens(self.query) if _metatag(token) not in FREE]
        if len(counted) > self.tag_limit:
            raise RecipeError(
                f"the query of source {self.name!r} has {len(counted)} tags that count ({', '.join(counted)}) and the "
                f"board allows {self.tag_limit}; move some to filter.with_tags or filter.without_tags"
            )

    @property
    def home(self) -> str:
        """The address that is written down, without a slash at its end."""
        return (self.site or self.address).rstrip("/")

    @property
    def tags(self) -> str:
        """The query as the board gets it: what the recipe wants and the board decides for free is pushed down."""
        asked = [" ".join(self.query.split()), _date_tag(self.since, self.until)]
        if self.ratings and set(self.ratings) != set(RATINGS):
            asked.append("rating:" + ",".join(one for one in RATINGS if one in self.ratings))
        return " ".join(filter(None, asked))

    @property
    def listing(self) -> str:
        """Name, site and tags; not the address, or another port of the sandbox would be another board."""
        return f"{self.name} {self.home} {self.tags}".rstrip()

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """List unread ground from the top down; each page's cursor says what is unread after it.

        The cursor is `{"unread": [[high, low], …], "newest": id, "recent": [id, …]}`, ids inclusive, falling, apart. A
        run that was killed during the reading of what is new leaves two gaps: the rest of the new, and the rest of the
        old. *recent* are the highest ids seen: by them a single false one, far above all others, is found out.

        Raises:
            BoardError: The board cannot be reached, refuses, or gives what is no falling list of posts.
            Stopped: The client was stopped.
        """
        unread, recent = _read_cursor(cursor)
        known = frozenset(recent)
        unread.insert(0, (TOP, max(recent, default=0) + 1))
        left = TOP if self.limit is None else self.limit
        while unread and left > 0:
            high, low = unread.pop(0)
            rows = self._rows(high, min(PAGE_SIZE, left + (len(known) if high == TOP else 0)))
            if high == TOP:
                low = _unlisted_from([row["id"] for row in rows], low, unread, recent)
                unread = [(min(top, low - 1), bottom) for top, bottom in unread]
            new = [row for row in rows if row["id"] >= low and row["id"] not in known]
            if len(new) > left:
                new = new[:left]
                rows = new
            posts = tuple(map(self._post, new))
            left -= len(posts)
            if rows:
                recent = sorted({*recent, *(row["id"] for row in new)}, reverse=True)[:RECENT]
                unread.insert(0, (rows[-1]["id"] - 1, low))
            unread = [(high, low) for high, low in unread if high >= low]
            newest = max(recent, default=0)
            yield Page(posts, {"unread": [list(gap) for gap in unread], "newest": newest, "recent": recent})

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Bring the original file; its md5 is checked."""
        url = post.file_url or ""
        if url.startswith(f"{self.home}/"):
            url = self.address.rstrip("/") + url.removeprefix(self.home)
        return self.client.download(url, target, expect_md5=post.md5, expect_size=post.size, max_bytes=max_bytes)

    def _rows(self, high: int, count: int) -> list[dict[str, Any]]:
        """Give the next rows that have an id, none above *high*; nothing only when the board says so twice."""
        rows = self._ask(high, count) or self._ask(high, count)
        if not rows:
            return []
        with_id = [row for row in rows if type(row.get("id")) is int and 0 < row["id"] < TOP]
        ids = [row["id"] for row in with_id]
        if not ids:
            raise BoardError(f"{self.address}: gives posts without ids; it does not speak Danbooru's dialect")
        if ids[0] > high or any(one <= other for one, other in pairwise(ids)):
            raise BoardError(
                f"{self.address}: gives ids that do not fall below {high + 1} ({ids[:3]} …); "
                f"it does not speak Danbooru's dialect, or something between changes the answers"
            )
        return with_id[:count]

    def _ask(self, high: int, count: int) -> list[dict[str, Any]]:
        auth = (self.login, self.api_key) if self.login and self.api_key else None
        params: dict[str, str | int] = {"limit": count, "page": f"b{min(high + 1, TOP)}", "only": ONLY}
        if self.tags:
            params["tags"] = self.tags
        rows = self.client.get_json(f"{self.address.rstrip('/')}/posts.json", params, auth=auth)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise BoardError(f"{self.address}: gives no list of posts; check the address and kind of this source")
        return rows

    def _post(self, row: dict[str, Any]) -> Post:
        ext = _text(row, "file_ext").lower()
        asset = row.get("media_asset")
        return Post(
            id=f"{self.name}:{row['id']}",
            file_url=self._written_down(_text(row, "file_url")),
            page_url=f"{self.home}/posts/{row['id']}",
            origin_url=_text(row, "source") or None,
            md5=_md5(_text(row, "md5")),
            ext=ext,
            size=row["file_size"] if isinstance(row.get("file_size"), int) else None,
            rating=row["rating"] if row.get("rating") in RATINGS else None,
            tags=tuple(_text(row, "tag_string").split()),
            posted_at=_moment(_text(row, "created_at")),
            deleted=row.get("is_deleted") is True or row.get("is_banned") is True,
            animated=ext in MOVING or (isinstance(asset, dict) and asset.get("duration") is not None),
        )

    def _written_down(self, url: str) -> str | None:
        """Give the file's absolute address, with the site in place of the address: a port is not for ever."""
        if not url:
            return None
        try:
            absolute = urljoin(f"{self.address.rstrip('/')}/", url)
        except ValueError:  # http://[bad/1.jpg
            return None
        return re.sub(rf"^{re.escape(self.address.rstrip('/'))}(?=/)", lambda _: self.home, absolute)


def _tokens(query: str) -> list[str]:
    """Split a query into what the board would count: not its parentheses, not its and/or."""
    tokens = (token.lstrip("(") for token in re.findall(r'(?:[^\s"]|"[^"]*"?)+', query))
    whole = (token[:-1] if token.endswith(")") and "(" not in token else token for token in tokens)
    return [token for token in whole if token.lower() not in {"", "and", "or", "-"}]


def _metatag(token: str) -> str:
    """Give the part before the colon, or nothing for an ordinary tag."""
    before, colon, _ = token.lstrip("-~(").partition(":")
    return before.lower() if colon else ""


def _date_tag(since: date | None, until: date | None) -> str:
    """Ask for a day more at either side: the board reads days in its own or the login's time zone."""
    if since is None and until is None:
        return ""
    first = "" if since is None else (max(since, date(1, 1, 2)) - timedelta(days=1)).isoformat()
    last = "" if until is None else until.isoformat()  # itself a day more: it is the first day not wanted
    return f"date:{first}..{last}"


def _read_cursor(cursor: dict[str, Any] | None) -> tuple[list[tuple[int, int]], list[int]]:
    """Give the unread gaps and the recent ids; an older cursor knew the newest id alone."""
    if cursor is None:
        return [], []
    recent = cursor.get("recent", [cursor["newest"]] if cursor["newest"] else [])
    return [(int(high), int(low)) for high, low in cursor["unread"]], [int(one) for one in recent]


def _unlisted_from(ids: list[int], low: int, unread: list[tuple[int, int]], recent: list[int]) -> int:
    """Say how far down the top must be read: to *low*, unless the board's newest *ids* show posts that were passed by.

    Such a post lies below the newest known id, is not among the *recent* ones, and in no gap that is still to be read:
    the newest known id was a false one, or the post matches the query only now. Below the next known id nothing is new.
    """
    floor = recent[-1] if len(recent) == RECENT else 0  # fewer than that are all that were ever seen
    for one in ids:
        if one < floor or one >= low:
            continue
        if one not in recent and not any(bottom <= one <= top for top, bottom in unread):
            return max((other for other in recent if other < one), default=0) + 1
    return low


def _is_private(address: str) -> bool:
    """Say whether what is sent to *address* is read by nobody on the way."""
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _text(row: dict[str, Any], name: str) -> str:
    """Give a text that every file and every catalog can hold: without NUL, and without halves of characters."""
    value = row.get(name)
    return re.sub(r"[\x00\ud800-\udfff]", "\ufffd", value) if isinstance(value, str) else ""


def _md5(text: str) -> str | None:
    return text.lower() if re.fullmatch(r"[0-9a-fA-F]{32}", text) else None


def _moment(text: str) -> datetime | None:
    try:
        return utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None
