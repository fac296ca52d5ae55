"""Hides a folder of pictures behind the face of a board."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from pipeline.errors import UsageError
from pipeline.http import CHUNK, Fetched, Part, Refused
from pipeline.records import Post, Reason
from pipeline.sources import Page

PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"})
PAGE_SIZE = 200
MAX_SIDECAR_BYTES = 64 << 10


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """Lists the pictures under a folder by name; a file whose content changed is a new post."""

    name: str
    path: Path
    rating: str | None = "g"  # of all of them: a folder does not say
    limit: int | None = None  # posts in one call of pages()

    @property
    def listing(self) -> str:
        """Name and place; another folder of the same name is another listing."""
        return f"{self.name} {Path(self.path).expanduser().resolve()}"

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:  # noqa: ARG002  it lists everything each time
        """List all pictures, folder by folder, sorted by name.

        Hidden files are left out, and so are links that lead out of the folder and files that no picture is named like.

        Raises:
            UsageError: There is no such folder.
        """
        root = Path(self.path).expanduser()
        if not root.is_dir():
            raise UsageError(f"{self.path}: is no folder; give the path of source {self.name!r} again")
        root = root.resolve()
        files = islice(files_below(root, PICTURES), self.limit)
        while posts := tuple(self._post(root, file) for file in islice(files, PAGE_SIZE)):
            yield Page(posts, None)

    def fetch(self, post: Post, target: Path, max_bytes: int) -> Fetched | Refused:
        """Copy the file."""
        file = Path(os.fsdecode(unquote_to_bytes(urlsplit(post.file_url or "").path)))
        part = Part(target)
        part.begin({})
        refused, digest, size = _copy(file, part, max_bytes)
        if refused is None and size == 0:
            refused = Refused(Reason.EMPTY)
        if refused is None and post.md5 not in {None, digest}:
            refused = Refused(Reason.WRONG_MD5, "changed after it was listed")
        if refused is not None:
            part.discard()
            return refused
        part.finish()
        return Fetched(digest, size)

    def _post(self, root: Path, file: Path) -> Post:
        relative = os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
        md5, size, posted_at = _facts(file)
        return Post(
            id=f"{self.name}:{relative}#{md5[:8] if md5 else 'unread'}",
            file_url=file.as_uri(),
            page_url=f"{self.name}:{relative}",
            md5=md5,
            ext=file.suffix.lower().removeprefix("."),
            size=size,
            rating=self.rating,
            tags=_sidecar(file),
            posted_at=posted_at,
        )


def files_below(root: Path, endings: frozenset[str]) -> Iterator[Path]:
    """Give the files under *root* with one of *endings* (lower case, no dot), folder by folder, sorted by name.

    Hidden files and folders are left out, and links that lead out of *root*.

    Args:
        root: A folder, resolved.
        endings: Of the names that are wanted.

    Raises:
        UsageError: A folder cannot be read.
    """
    # It does not enter linked folders: those inside are met anyway.
    for folder, folders, names in os.walk(root, onerror=_refuse_folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            file = Path(folder, name)
            if name.startswith(".") or file.suffix.lower().removeprefix(".") not in endings:
                continue
            if file.is_file() and file.resolve().is_relative_to(root):  # a pipe would never end
                yield file


def _refuse_folder(error: OSError) -> None:
    raise UsageError(
        f"{error.filename}: cannot be read ({error.strerror}); make it readable, or move it out"
    ) from error


def _facts(file: Path) -> tuple[str | None, int | None, datetime | None]:
    """Measure the md5, the size in bytes and the time of the last change; None for what cannot be had."""
    try:
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False))
            status = os.fstat(content.fileno())
    except OSError:
        return None, None, None
    try:
        posted_at = datetime.fromtimestamp(int(status.st_mtime), UTC)
    except (ValueError, OverflowError, OSError):
        posted_at = None
    return digest.hexdigest(), status.st_size, posted_at


def _sidecar(file: Path) -> tuple[str, ...]:
    """Read tags from `a.jpg.txt`, or `a.txt`, separated by commas or, where there is none, by blanks."""
    for beside in (file.with_name(f"{file.name}.txt"), file.with_suffix(".txt")):
        if beside.is_file():
            break
    else:
        return ()
    try:
        with beside.open("rb") as content:
            text = content.read(MAX_SIDECAR_BYTES).decode("utf-8-sig", "replace")
    except OSError:
        return ()
    words = text.replace("\n", ",").split(",") if "," in text else text.split()
    return tuple("_".join(word.split()) for word in words if word.strip())


def _copy(file: Path, part: Part, max_bytes: int) -> tuple[Refused | None, str, int]:
    """Copy *file* to *part*; also gives the md5 and the size in bytes of what was copied."""
    digest = hashlib.md5(usedforsecurity=False)
    size = 0
    with part.append() as copy:
        for chunk in _chunks(file):
            if isinstance(chunk, Refused):
                return chunk, "", size
            size += len(chunk)
            if size > max_bytes:
                return Refused(Reason.TOO_LARGE), "", size
            digest.update(chunk)
            copy.write(chunk)
    return None, digest.hexdigest(), size


def _chunks(file: Path) -> Iterator[bytes | Refused]:
    """Give the content in pieces, and a refusal in place of an error: only writing may end the run."""
    try:
        with file.open("rb") as content:
            while chunk := content.read(CHUNK):
                yield chunk
    except FileNotFoundError:
        yield Refused(Reason.GONE, "moved or deleted after it was listed")
    except OSError as error:
        yield Refused(Reason.UNREACHABLE, error.strerror or "cannot be read")
