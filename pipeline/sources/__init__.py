"""What a source is, and the table of boards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipeline.records import Post, Reason


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of a board, and where to go on once its posts are safely in the catalog."""

    posts: tuple[Post, ...]
    cursor: dict[str, Any] | None  # plain JSON; None where the source lists everything each time


@dataclass(frozen=True, slots=True)
class Fetched:
    """The whole file lies at the path that `Source.fetch` was given."""

    md5: str  # measured
    bytes: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The file cannot be had; *detail* must not vary between runs."""

    reason: Reason
    detail: str = ""


class Source(Protocol):
    """Reads one board with one query, one folder, one video …"""

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
        """
        ...

    def fetch(self, post: Post, target: Path) -> Fetched | Refused:
        """Bring the file of *post* to *target*; what an earlier try left beside it is gone on with.

        Raises:
            StoreError: The disk is full, or the folder cannot be written.
        """
        ...
