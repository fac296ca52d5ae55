"""Hides what all boards have in common: an address that may move, tags to ask for, falling ids, files to bring."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal
from urllib.parse import unquote, urljoin, urlsplit

from pipeline.errors import BoardError, RecipeError
from pipeline.http import Client, Fetched, Refused, is_loopback
from pipeline.records import Post, utc
from pipeline.sources import Page
from pipeline.sources.ground import Row, read_down
from pipeline.stage import effect

RATINGS = ("g", "s", "q", "e")
BY_FALLING_ID = "the board is read by falling id, which no other order may cross"
CHANGES_PAGES = "it changes the size of a page; use --limit"
SAMPLE = "#sample"  # ends the ids of posts whose file is one
# The fields of a `Post` that hold tags of a kind, by the boards' names of kinds; a circle is who publishes together.
KINDS_OF_TAGS = {
    **dict.fromkeys(("artist", "artists", "circle"), "artists"),
    **dict.fromkeys(("character", "characters"), "characters"),
    **dict.fromkeys(("copyright", "copyrights", "series"), "series"),
}
OWN_IDS = "the board is paged by that very metatag; use --limit, or filter.since and filter.until"


@dataclass(frozen=True, kw_only=True)
class BoardSource(ABC):
    """Lists and fetches the posts of one query on one board, newest first, never the same ground twice.

    A dialect says how to ask (`_ask`), how to read a row (`_post`), which of its metatags would break the paging
    (`refused`), what else it can push down (`_pushed_down`), and where smaller files lie (`_sample`).

    A sample is another file than the original, so it is another post (`…#sample`) in another listing: whoever changes
    `file` gets what they ask for, and never what was fetched before.
    """

    dialect: ClassVar[str]  # for errors
    refused: ClassVar[Mapping[str, str]]  # metatags that cannot stand in a query, and why

    name: str
    address: str  # what is asked: scheme, host and port
    client: Client = effect()
    site: str = ""  # what is written down in place of the address; the address itself when empty
    query: str = ""  # as typed into the board's search field
    since: date | None = None  # first day asked for
    until: date | None = None  # first day no longer asked for
    ratings: tuple[str, ...] = ()  # all when empty
    limit: int | None = None  # posts in one call of pages(); the next call goes on
    page_size: int  # posts in one answer; the board gives no more
    login: str | None = None
    api_key: str | None = field(default=None, repr=False)
    tag_limit: int | None = None  # tags that count in one search; None: no limit is known
    file: Literal["original", "sample"] = "original"  # sample: what the board made for its pages; no checksum is known

    def __post_init__(self) -> None:
        check_address(self.name, self.address)
        if bool(self.login) != bool(self.api_key):
            raise RecipeError(
                f"source {self.name!r} has a login or an API key alone; set both "
                f"KAOSET_LOGIN_{key_name(self.address)} and KAOSET_API_KEY_{key_name(self.address)}, or neither"
            )
        if self.api_key and not _is_private(self.address):
            raise RecipeError(
                f"source {self.name!r} would send its API key in the open; give an address that begins with https"
            )
        if wrong := [one for one in self.ratings if one not in RATINGS]:
            raise RecipeError(f"rating {wrong[0]!r} of source {self.name!r} is unknown; use g, s, q or e")
        for token in tokens(self.query):
            if why := self.refused.get(metatag(token)):
                raise RecipeError(f"{token!r} in the query of source {self.name!r} cannot be used: {why}")
        counted = [token for token in tokens(self.query) if self._counts(token)]
        if self.tag_limit is not None and len(counted) > self.tag_limit:
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
        return " ".join(filter(None, [*self.query.split(), *self._pushed_down()]))

    @property
    def listing(self) -> str:
        """Name, site, file and tags; not the address, or another port of the sandbox would be another board."""
        return f"{self.name} {self.home}{SAMPLE if self.file == 'sample' else ''} {self.tags}".rstrip()

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """List unread ground from the top down, as `ground.read_down` tells.

        Raises:
            BoardError: The board cannot be reached, refuses, or gives what is no falling list of posts.
            Stopped: The client was stopped.
        """
        for rows, after in read_down(
            self._ask,
            cursor,
            page_size=self.page_size,
            limit=self.limit,
            speaker=self.address,
            dialect=self.dialect,
        ):
            yield Page(tuple(self._chosen(row) for row in rows), after)

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Bring the file; its md5 is checked where the board states one."""
        url = post.file_url or ""
        if url.startswith(f"{self.home}/"):
            url = self.root + url.removeprefix(self.home)
        return self.client.download(
            url,
            target,
            expect_md5=post.md5,
            expect_sha1=post.sha1,
            expect_size=post.size,
            max_bytes=max_bytes,
            headers=self._file_headers(),
        )

    @property
    def root(self) -> str:
        """The address that is asked, without a slash at its end."""
        return self.address.rstrip("/")

    @abstractmethod
    def _ask(self, high: int, count: int) -> list[Row] | None:
        """Ask for the next *count* rows at or below the id *high*, as `ground.read_down` wants them."""

    @abstractmethod
    def _post(self, row: Row) -> Post:
        """Read what travels on; an odd field costs itself, not the post."""

    def _sample(self, row: Row) -> str:  # noqa: ARG002  for the dialects that have one
        """Give the address of a smaller file of the picture; where there is none, the original's or nothing."""
        return ""

    def _chosen(self, row: Row) -> Post:
        """Read a row with the file that is wished for: the original where there is no sample, or no file at all."""
        post = self._post(row)
        sample = self._written_down(self._sample(row)) if self.file == "sample" else None
        if sample is None or post.file_url is None or sample == post.file_url:
            return post
        return replace(
            post, id=post.id + SAMPLE, file_url=sample, md5=None, sha1=None, size=None, ext=extension(sample)
        )

    def _pushed_down(self) -> list[str]:
        """Give the metatags that spare the board and us what the recipe does not want."""
        return []

    def _counts(self, token: str) -> bool:
        """Whether a tag counts towards `tag_limit`."""
        return not metatag(token)

    def _file_headers(self) -> dict[str, str]:
        """What the file host wants to be told."""
        return {}

    def _written_down(self, url: str) -> str | None:
        """Give the file's absolute address, with the site in place of the address: a port is not for ever."""
        if not url:
            return None
        try:
            absolute = urljoin(f"{self.root}/", url)
        except ValueError:
            return None
        return re.sub(rf"^{re.escape(self.root)}(?=/)", lambda _: self.home, absolute)

    def _list_of_rows(self, answer: object) -> list[Row]:
        if not isinstance(answer, list) or not all(isinstance(row, dict) for row in answer):
            raise BoardError(f"{self.address}: gives no list of posts; check the address and kind of this source")
        return answer


def check_address(name: str, address: str) -> None:
    """Let pass what can stand before a path.

    Raises:
        RecipeError: The address of the source *name* is none, or holds more.
    """
    if not re.fullmatch(r"https?://[^/@\s?#]+(/[^@\s?#]*)?", address):
        raise RecipeError(
            f"the address of source {name!r} is not like https://board.example; a login has fields of its own"
        )


def key_name(address: str) -> str:
    """Name a host as environment variables do: ``https://danbooru.donmai.us`` is ``DANBOORU_DONMAI_US``.

    Keys belong to a host, not to a name that a recipe from elsewhere may give to any host.
    """
    return re.sub(r"[^A-Z0-9]", "_", (urlsplit(address).hostname or "").upper())


def _is_private(address: str) -> bool:
    """Say whether what is sent to *address* is read by nobody on the way."""
    parts = urlsplit(address)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def tokens(query: str) -> list[str]:
    """Split a query into what a board would count: not its parentheses, not its and/or."""
    parts = (token.lstrip("({") for token in re.findall(r'(?:[^\s"]|"[^"]*"?)+', query))
    whole = (token[:-1] if token.endswith(")") and "(" not in token else token for token in parts)
    return [token for token in whole if token.lower() not in {"", "and", "or", "-", "~", "}"}]


def metatag(token: str) -> str:
    """Give the part before the colon, or nothing for an ordinary tag."""
    before, colon, _ = token.lstrip("-~({").partition(":")
    return before.lower() if colon else ""


def date_tag(since: date | None, until: date | None) -> str:
    """Ask for a day more at either side: a board reads days in its own or the login's time zone."""
    if since is None and until is None:
        return ""
    first = "" if since is None else (max(since, date(1, 1, 2)) - timedelta(days=1)).isoformat()
    last = "" if until is None else until.isoformat()  # itself a day more: it is the first day not wanted
    return f"date:{first}..{last}"


def text(row: Row, name: str) -> str:
    """Give a text that every file and catalog can hold, without NUL and halves of characters; empty if it is none."""
    value = row.get(name)
    return plain(value) if isinstance(value, str) else ""


def plain(words: str) -> str:
    """Put U+FFFD in place of what no file and no catalog can hold: NUL and halves of characters."""
    return re.sub(r"[\x00\ud800-\udfff]", "\ufffd", words)


def md5_of(row: Row, name: str) -> str | None:
    """Read 32 hexadecimal digits, lower case; None for anything else."""
    found = re.fullmatch(r"[0-9a-fA-F]{32}", text(row, name))
    return found[0].lower() if found else None


def by_kind(kinds: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Pick out the tags that say whose a picture is and who is on it, as fields of a `Post`.

    Args:
        kinds: Each tag and its kind, as boards of all dialects call them.
    """
    told: dict[str, list[str]] = {}
    for tag, kind in kinds:
        if name := KINDS_OF_TAGS.get(kind.lower()):
            told.setdefault(name, []).append(tag)
    return {name: tuple(dict.fromkeys(tags)) for name, tags in told.items()}


def extension(url: str) -> str:
    """Read the extension from the path of an address: lower case, no dot."""
    try:
        return PurePosixPath(unquote(urlsplit(url).path)).suffix.lower().removeprefix(".")
    except ValueError:
        return ""


def iso_moment(stamp: str) -> datetime | None:
    """Read an ISO-8601 time as UTC; None for anything else."""
    try:
        return utc(datetime.fromisoformat(stamp))
    except (ValueError, OverflowError):
        return None
