"""Hides a list of addresses, as img2dataset reads it, behind the face of a board: CSV, JSON lines, Parquet or text."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3 import HTTPHeaderDict

from pipeline.errors import UsageError, WorldError
from pipeline.http import Client, Fetched, Refused
from pipeline.records import Post, Reason
from pipeline.sources import Page
from pipeline.sources.board import plain
from pipeline.sources.folder import files_below
from pipeline.sources.sidecar import RATINGS, moment_of, tags_of
from pipeline.stage import effect

PAGE_SIZE = 1000
MAX_URL = 8192  # characters; few servers take more
ROWS_AT_ONCE = 4096  # of Parquet
MAX_CELL = 1 << 17  # characters of a CSV; more is no address, and no list of tags
AGENT = "kaoset"  # as X-Robots-Tag would name us
NOT_FOR_AI = frozenset({"noai", "noimageai"})
# Google's rules with a value: a colon behind these names no robot.
VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
DATES = ("date", "posted_at", "created_at")

Row = Mapping[str, Any]  # by column, in lower case
Reader = Callable[[Path, str], Iterator[Row | str]]  # the text itself where a row cannot be read


@dataclass(frozen=True, kw_only=True)
class UrlsSource:
    """Lists each address once, in the order of the list; one that cannot be asked becomes a post without a file."""

    name: str
    path: Path  # a list, or a folder of lists
    client: Client = effect()
    url_column: str = "url"  # whatever its case
    rating: str | None = None  # of rows that state none
    obey_noai: bool = True  # X-Robots-Tag: noai or noimageai
    limit: int | None = None  # posts in one call of pages()

    @property
    def listing(self) -> str:
        """Name and place; another list of the same name is another listing."""
        return f"{self.name} {Path(self.path).expanduser().resolve()}"

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:  # noqa: ARG002  it lists everything each time
        """List all rows; memory grows by one number an address.

        Raises:
            UsageError: There is no such list, it is of no kind that is read, or has no column of addresses.
            WorldError: A Parquet list is given, and pyarrow is not installed.
        """
        posts = islice(self._once(), self.limit)
        while some := tuple(islice(posts, PAGE_SIZE)):
            yield Page(some, None)

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Bring the file, unless its host does not want it to be learned from."""
        return self.client.download(
            post.file_url or "",
            target,
            expect_md5=post.md5,
            max_bytes=max_bytes,
            objects=not_for_ai if self.obey_noai else None,
        )

    def _once(self) -> Iterator[Post]:
        seen: set[int] = set()
        for row in self._rows():
            post = self._post(row)
            number = int(post.id.rpartition(":")[2], 16)
            if number not in seen:
                seen.add(number)
                yield post

    def _rows(self) -> Iterator[Row]:
        column = self.url_column.lower()
        for file in self._files():
            try:
                for number, row in enumerate(READERS[_ending(file)](file, column)):
                    if isinstance(row, str):
                        yield {"row": row}
                        continue
                    if number == 0 and column not in row:
                        raise UsageError(
                            f"{file.name}: has no column {self.url_column!r} but {', '.join(row) or 'none'}; "
                            f"name the column of addresses in url_column of source {self.name!r}"
                        )
                    yield {**row, "url": row.get(column)}
            except OSError as error:
                raise UsageError(
                    f"{file}: cannot be read ({error.strerror}); make it readable, or move it out"
                ) from error

    def _files(self) -> list[Path]:
        path = Path(self.path).expanduser()
        endings = ", ".join(f".{one}" for one in READERS)
        if path.is_file() and _ending(path) in READERS:
            return [path]
        files = list(files_below(path.resolve(), frozenset(READERS))) if path.is_dir() else []
        if not files:
            raise UsageError(f"{self.path}: is no list of addresses ({endings}) and no folder that holds one")
        return files

    def _post(self, row: Row) -> Post:
        said = _text(row.get("url"))
        url = said if _usable(said) else None
        named = said if url else json.dumps(dict(row), sort_keys=True, default=str)
        md5 = _text(row.get("md5")).lower()
        page = _text(row.get("page_url"))
        rating = _text(row.get("rating")).lower()
        digest = hashlib.sha1(named.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        return Post(
            id=f"{self.name}:{digest[:16]}",
            file_url=url,
            page_url=page if _usable(page) else said,
            md5=md5 if re.fullmatch(r"[0-9a-f]{32}", md5) else None,
            ext=_extension(url or ""),
            rating=RATINGS.get(rating) if rating else self.rating,
            tags=tags_of(row.get("tags")),
            posted_at=next(filter(None, (moment_of(row.get(name)) for name in DATES)), None),
        )


def not_for_ai(headers: HTTPHeaderDict) -> Refused | None:
    """Refuse what its host asks all robots, or us, not to train on.

    `X-Robots-Tag: noai` speaks to all, `X-Robots-Tag: somebot: noai, noindex` to one; each line by itself.
    """
    for line in headers.getlist("X-Robots-Tag"):
        agent = AGENT
        for rule in line.lower().split(","):
            before, colon, after = rule.partition(":")
            if colon and before.strip() not in VALUED:
                agent, rule = before.strip(), after  # noqa: PLW2901  the rest of it
            if rule.strip() in NOT_FOR_AI and agent in {AGENT, "*"}:
                return Refused(Reason.NOT_FOR_AI, f"says {rule.strip()}")
    return None


def _read_table(separator: str) -> Reader:
    def read(file: Path, _: str) -> Iterator[Row | str]:
        csv.field_size_limit(MAX_CELL)  # some libraries lift it for the whole process
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as text:
            rows = csv.DictReader(text, restval="", delimiter=separator)
            while True:
                try:
                    row = next(rows, None)
                except csv.Error as error:
                    yield f"{file.name}, line {rows.line_num}: {error}"
                    continue
                if row is None:
                    return
                yield {name.strip().lower(): cell for name, cell in row.items() if name is not None}

    return read


def _read_lines(file: Path, column: str) -> Iterator[Row | str]:
    with file.open(encoding="utf-8-sig", errors="replace") as text:
        for line in text:
            if line.strip():
                yield {column: line}


def _read_json_lines(file: Path, _: str) -> Iterator[Row | str]:
    with file.open(encoding="utf-8-sig", errors="replace") as text:
        for line in text:
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            yield {name.lower(): value for name, value in row.items()} if isinstance(row, dict) else line.strip()


def _read_parquet(file: Path, _: str) -> Iterator[Row | str]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415  large, and only this kind of list needs it
    except ModuleNotFoundError as error:
        raise WorldError(f"{file.name}: Parquet is read by pyarrow, which is missing; pip install pyarrow") from error
    try:
        for batch in parquet.ParquetFile(file).iter_batches(ROWS_AT_ONCE):
            for row in batch.to_pylist():
                yield {name.lower(): value for name, value in row.items()}
    except (ArrowException, ValueError) as error:  # the second: a time in nanoseconds, and no pandas to hold it
        raise UsageError(f"{file}: cannot be read as Parquet ({_first_line(error)}); write it again") from error


READERS: dict[str, Reader] = {
    "csv": _read_table(","),
    "tsv": _read_table("\t"),
    "txt": _read_lines,
    "jsonl": _read_json_lines,
    "ndjson": _read_json_lines,
    "parquet": _read_parquet,
}


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _usable(text: str) -> bool:
    """Whether it is an address that can be asked; one with a login inside is nothing to pass on."""
    if len(text) > MAX_URL or not re.fullmatch(r"https?://[^\s\x00-\x20\x7f]+", text, re.IGNORECASE):
        return False
    try:
        parts = urlsplit(text)
        return bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        return False


def _ending(file: Path) -> str:
    return file.suffix.lower().removeprefix(".")


def _text(value: object) -> str:
    return plain(value.strip()) if isinstance(value, str) else ""


def _extension(url: str) -> str:
    ending = PurePosixPath(unquote(urlsplit(url).path)).suffix.lower().removeprefix(".")
    return ending if re.fullmatch(r"[a-z0-9]{1,5}", ending) else ""
