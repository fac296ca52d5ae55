"""What a source is, and the table of boards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from pipeline.http import Fetched, Refused
from pipeline.records import Post

__all__ = ["BOARDS", "MOVING", "Fetched", "Page", "Refused", "Source"]

# Extensions of what is no still image, whatever else is known of it; "zip" is a ugoira.
MOVING = frozenset({"avi", "flv", "m4v", "mkv", "mov", "mp4", "mpg", "ogv", "swf", "ugoira", "webm", "wmv", "zip"})


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a board, and where to go on once its posts are safely in the catalog."""

    posts: tuple[Post, ...]
    cursor: dict[str, Any] | None  # plain JSON; None where the source lists everything each time


class Source(Protocol):
    """Reads one board with one query, one folder, one video."""

    @property
    def name(self) -> str:
        """The first part of its posts' ids."""
        ...

    @property
    def listing(self) -> str:
        """Names what is listed, so that a changed query has a cursor of its own."""
        ...

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:
        """List what has not been listed, newest first, from where *cursor* (the last `Page.cursor` saved) says.

        Raises:
            BoardError: The board cannot be reached, refuses the query, or does not speak its dialect.
            UsageError: There is no such folder.
            Stopped: The person wished so.
        """
        ...

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Bring the file of *post* to *target*; what an earlier try left beside it is gone on with.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
            Stopped: The person wished so.
        """
        ...


# The boards need what stands above.
from pipeline.sources.danbooru import DanbooruSource  # noqa: E402

# By name. A board that speaks a known dialect is one line; the recipe gives the rest by keyword.
BOARDS: dict[str, partial[DanbooruSource]] = {
    "danbooru": partial(DanbooruSource, name="danbooru", address="https://danbooru.donmai.us"),
    "safebooru": partial(DanbooruSource, name="safebooru", address="https://safebooru.donmai.us"),
    "testbooru": partial(DanbooruSource, name="testbooru", address="https://testbooru.donmai.us"),
    "sandbox": partial(
        DanbooruSource, name="sandbox", site="https://sandbox.invalid"
    ),  # its address is given each time
}
