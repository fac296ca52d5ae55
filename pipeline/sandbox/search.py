"""Hides what the dialects of the sandbox board share: words of a search, ranges, refusals, and what a dialect is."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any, Protocol, TypeVar

from starlette.responses import Response

from pipeline.sandbox.posts import PlantedPost

Test = Callable[[PlantedPost], bool]
V = TypeVar("V", int, date)


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for a listing, as far as a dialect looks at it."""

    params: Mapping[str, str]
    accept: str  # the Accept header
    host: str  # where this board answers, its prefix included, without a slash at the end

    @property
    def deep(self) -> bool:
        """Whether it asks for what lies below the start of a listing."""
        return "id:" in self.params.get("tags", "") + self.params.get("query", "")


@dataclass(frozen=True, slots=True)
class Found:
    """One page of a listing."""

    posts: Sequence[PlantedPost]  # by falling number, unless another order was asked for
    total: int  # that the search finds, from this page on or not


class Dialect(Protocol):
    """How a board that is not Danbooru understands and answers; a refusal is in its own words too."""

    @property
    def prefix(self) -> str:
        """The path below which it is spoken; no slash at the end."""
        ...

    @property
    def listings(self) -> tuple[str, ...]:
        """Paths of the listing, below the prefix."""
        ...

    @property
    def files(self) -> str:
        """Route of a file, below the prefix; its path holds the md5, or begins a name with the number and "_"."""
        ...

    @property
    def samples(self) -> tuple[str, ...]:
        """Routes of smaller files, below the prefix; their paths hold the md5."""
        ...

    def find(self, posts: Sequence[PlantedPost], ask: Ask) -> Found:
        """Cut one page out of all posts, which stand by rising number.

        Raises:
            Refusal: The request cannot be answered.
        """
        ...

    def write(self, found: Found, ask: Ask) -> Response:
        """Put a page into words."""
        ...

    def refuse(self, refusal: Refusal) -> Response:
        """Put a refusal into words."""
        ...


def terms(query: str) -> Iterator[tuple[bool, str, str]]:
    """Split a query: whether negated, the metatag (empty for an ordinary tag), and its value or the tag."""
    for term in query.lower().split():
        word = term.removeprefix("-")
        name, colon, value = word.partition(":")
        yield (term.startswith("-"), name, value) if colon else (term.startswith("-"), "", word)


def page(found: Sequence[PlantedPost], start: int, size: int) -> Found:
    """Cut *size* posts out, from *start* on."""
    return Found(found[start : start + size], len(found))


def bounded(text: str, default: int, most: int) -> int:
    """Read a number from an address, as boards do that correct rather than refuse."""
    return min(int(text), most) if re.fullmatch(r"\d{1,9}", text) else default


def kinds_of(post: PlantedPost) -> Iterator[tuple[str, str]]:
    """Give each tag and its kind, as Danbooru, Moebooru and rule34 call them."""
    kinds = {
        **dict.fromkeys(post.series, "copyright"),
        **dict.fromkeys(post.characters, "character"),
        **dict.fromkeys(post.artists, "artist"),
    }
    return ((tag, kinds.get(tag, "general")) for tag in post.tags)


class Refusal(Exception):  # noqa: N818 - an answer of the board, not a fault of ours
    """An answer other than 200, as the board words it."""

    def __init__(self, status: int, error: str, message: str) -> None:
        super().__init__(message)
        self.status, self.error, self.message = status, error, message

    def body(self) -> dict[str, Any]:
        """As JSON."""
        return {"success": False, "error": self.error, "message": self.message, "backtrace": []}


def unprocessable(message: str) -> Refusal:
    """Make the refusal of a search that makes no sense."""
    return Refusal(422, "PostQuery::Error", message)


def negate(test: Test, *, negated: bool) -> Test:
    """Turn a test round, or not."""
    return (lambda post: not test(post)) if negated else test


def has_tag(word: str) -> Test:
    """Test for an ordinary tag, in which ``*`` stands for anything."""
    if "*" in word:
        return lambda post: bool(fnmatch.filter(post.tags, word))
    return lambda post: word in post.tags


def whole(text: str) -> int:
    """Read a whole number.

    Raises:
        Refusal: It is none.
    """
    if not re.fullmatch(r"\d{1,18}", text):
        raise unprocessable(f"{text}: is not a whole number")
    return int(text)


def day(text: str) -> date:
    """Read a day, such as 2005-01-31.

    Raises:
        Refusal: It is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise unprocessable(f"{text}: is not a date; write 2005-01-31") from None


def within(text: str, read: Callable[[str], V]) -> Callable[[V], bool]:
    """Understand a range: ``5 >5 >=5 <5 <=5 5.. ..5 5..10 5...10`` and comma lists of them."""
    if "," in text:
        parts = [within(part, read) for part in text.split(",")]
        return lambda value: any(part(value) for part in parts)
    for sign, compare in _COMPARISONS.items():
        if text.startswith(sign):
            edge = read(text.removeprefix(sign))
            return lambda value: compare(value, edge)
    if (span := re.fullmatch(r"(.*?)(\.{2,3})(.*)", text)) is None:
        exact = read(text)
        return lambda value: value == exact
    low = read(span[1]) if span[1] else None
    high = read(span[3]) if span[3] else None
    half_open = span[2] == "..."
    return lambda value: (
        (low is None or value >= low) and (high is None or value < high or (value == high and not half_open))
    )


_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": lambda a, b: a >= b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "<": lambda a, b: a < b,
}


def days(value: str, zone: tzinfo) -> Test:
    """Test for a range of days, as they are in *zone*."""
    inside = within(value, day)
    return lambda post: inside(post.posted_at.astimezone(zone).date())


def ids(value: str) -> Test:
    """Test for a range of numbers."""
    inside = within(value, whole)
    return lambda post: inside(post.number)
