"""Hides what lies beside a picture and tells of it: tags in a text, or the row that gallery-dl saved as JSON."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from pipeline.records import utc
from pipeline.sources import gelbooru, moebooru
from pipeline.sources.board import KINDS_OF_TAGS, by_kind, plain, text
from pipeline.sources.ground import Row, whole

MAX_TEXT_BYTES = 64 << 10
MAX_JSON_BYTES = 1 << 20  # a row with all its notes and comments is smaller
RATINGS = {"g": "g", "s": "s", "q": "q", "e": "e"} | {
    "general": "g",
    "safe": "g",
    "sensitive": "s",
    "questionable": "q",
    "explicit": "e",
}
# gallery-dl's names of boards, and where a post's page lies there.
PAGES = {
    "danbooru": "https://danbooru.donmai.us/posts/{}",
    "gelbooru": "https://gelbooru.com/index.php?page=post&s=view&id={}",
    "konachan": "https://konachan.com/post/show/{}",
    "rule34": "https://rule34.xxx/index.php?page=post&s=view&id={}",
    "safebooru": "https://safebooru.org/index.php?page=post&s=view&id={}",
    "yandere": "https://yande.re/post/show/{}",
}
SAFE = PAGES.keys() - {"danbooru"}  # whose letter s says safe; elsewhere it is read as sensitive
IN_MS = 1e11  # so many seconds since 1970 are the year 5138


def told_beside(file: Path, root: Path) -> dict[str, Any]:
    """Say what is told of a picture, as fields of a `Post`; what is not told is absent.

    Tags come from `a.jpg.txt` or `a.txt`, separated by commas or, where there is none, by blanks. From `a.jpg.json` or
    `a.json` come rating, date, origin, the page on its board, which tags are artists, characters and series, and the
    tags where there is no text. A rating that is not understood is told as None. The md5 that a row states is that of
    the board's file; this one's own is measured.

    Args:
        file: The picture.
        root: The folder that nothing outside of is read, resolved.
    """
    told = _of_row(_row(file, root))
    listing = _beside(file, root, ".txt")
    text_bytes = b"" if listing is None else _read(listing, MAX_TEXT_BYTES)
    tags = tags_of(text_bytes.decode("utf-8-sig", "replace"))
    return {**told, "tags": tags} if tags else told


def tags_of(value: object) -> tuple[str, ...]:
    """Read a list of tags, or text with tags separated by commas or, where there is none, by blanks."""
    said = value if isinstance(value, str) else ""
    words = value if isinstance(value, list) else re.split(r"[,\n]", said) if "," in said else said.split()
    return tuple("_".join(plain(word).split()) for word in words if isinstance(word, str) and word.strip())


def moment_of(value: object) -> datetime | None:
    """Read a time: ISO 8601, or seconds or milliseconds since 1970; None for anything else."""
    try:
        if isinstance(value, date):
            return (
                utc(value) if isinstance(value, datetime) else datetime(value.year, value.month, value.day, tzinfo=UTC)
            )
        said = str(value).strip() if isinstance(value, (str, int, float)) else ""
        if re.fullmatch(r"\d{9,13}(\.\d+)?", said, re.ASCII):
            seconds = float(said)
            return datetime.fromtimestamp(int(seconds / 1000 if seconds >= IN_MS else seconds), UTC)
        return utc(datetime.fromisoformat(said))
    except (ValueError, OverflowError, OSError):
        return None


def _beside(file: Path, root: Path, ending: str) -> Path | None:
    """Find the file beside *file*, under its whole name or its stem; no link leads out of *root*."""
    for beside in (file.with_name(file.name + ending), file.with_suffix(ending)):
        # Path.is_file raises where the picture's own name is nearly too long.
        if os.path.isfile(beside) and Path(os.path.realpath(beside)).is_relative_to(root):  # noqa: PTH113
            return beside
    return None


def _read(beside: Path, most: int) -> bytes:
    try:
        with beside.open("rb") as content:
            return content.read(most)
    except OSError:
        return b""


def _row(file: Path, root: Path) -> Row:
    beside = _beside(file, root, ".json")
    data = b"" if beside is None else _read(beside, MAX_JSON_BYTES + 1)
    if len(data) > MAX_JSON_BYTES:
        return {}
    try:
        row = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _of_row(row: Row) -> dict[str, Any]:
    told: dict[str, Any] = {}
    board, number, said = text(row, "category"), whole(row.get("id")), row.get("rating")
    if tags := _tags(row):
        told["tags"] = tags
    told |= by_kind(_kinds(row))
    if said is not None and said != "":
        told["rating"] = _rating(text(row, "rating").strip().lower(), board)
    # The first is the board's own word; gallery-dl's second is the day of a ranking at times.
    if posted_at := _moment(row.get("created_at")) or _moment(row.get("date")):
        told["posted_at"] = posted_at
    if source := text(row, "source").strip():
        told["origin_url"] = source
    if board in PAGES and number:
        told["page_url"] = PAGES[board].format(number)
    return told


def _tags(row: Row) -> tuple[str, ...]:
    """Read a list, lists by kind of tag, or text: of a board with blanks between tags, which may hold commas."""
    said = row.get("tags") or row.get("tag_string")
    if isinstance(said, Mapping):
        said = [tag for some in said.values() if isinstance(some, list) for tag in some]
    return tags_of(said.split() if isinstance(said, str) and ", " not in said else said)


def _kinds(row: Row) -> Iterator[tuple[str, str]]:
    """Give each tag whose kind is told, and that: as Danbooru writes them, as gallery-dl does, or as lists by kind."""
    said = row.get("tags")
    for kind in KINDS_OF_TAGS:
        for value in (
            row.get(f"tag_string_{kind}"),
            row.get(f"tags_{kind}"),
            isinstance(said, Mapping) and said.get(kind),
        ):
            yield from ((tag, kind) for tag in tags_of(value.split() if isinstance(value, str) else value))


def _rating(said: str, board: str) -> str | None:
    return "g" if said == "s" and board in SAFE else RATINGS.get(said)


def _moment(value: object) -> datetime | None:
    if isinstance(value, Mapping):
        return moebooru.moment(value)
    return moment_of(value) or (gelbooru.moment(value) if isinstance(value, str) else None)
