"""Hides a folder of pictures behind the face of a board."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes, urlsplit

from pipeline.errors import UsageError
from pipeline.http import CHUNK, Fetched, Part, Refused
from pipeline.records import Post, Reason
from pipeline.sources import Page
from pipeline.sources.sidecar import told_beside

PICTURES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", "avif"})
PAGE_SIZE = 200


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """Lists the pictures under a folder by name; one that changed, or of which other things are told, is a new post."""

    name: str
    path: Path
    rating: str | None = "g"  # of those of which nothing else is told
    limit: int | None = None  # posts in one call of pages()
    leave_out: tuple[Path, ...] = ()  # folders inside it that are not looked into

    @property
    def listing(self) -> str:
        """Name and place; another folder of the same name is another listing."""
        place = _place(self.path) or Path("nowhere")
        return f"{self.name} {_shown(place)}"

    def pages(self, cursor: dict[str, Any] | None) -> Iterator[Page]:  # noqa: ARG002  it lists everything each time
        """List all pictures, folder by folder, sorted by name.

        Hidden files are left out, and so are links that lead out of the folder and files that no picture is named like.

        Raises:
            UsageError: There is no such folder, or it is one of those to leave out.
        """
        root = _place(self.path)
        if root is None or not os.path.isdir(root):  # noqa: PTH112  Path.is_dir raises where a name is too long
            raise UsageError(f"{_shown(self.path)}: is no folder; give the path of source {self.name!r} again")
        left_out = frozenset(map(_place, self.leave_out))
        if root in left_out:
            raise UsageError(
                f"{_shown(root)}: is not for source {self.name!r}; put its pictures into a folder of their own"
            )
        files = islice(files_below(root, PICTURES, left_out), self.limit)
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
        relative = _shown(file.relative_to(root))
        md5, size, changed_at = _facts(file)
        told = told_beside(file, root)
        known = {"rating": self.rating, "posted_at": changed_at, "page_url": f"{self.name}:{relative}"}
        return Post(
            id=f"{self.name}:{relative}#{md5[:8] if md5 else 'unread'}{_mark(told)}",
            file_url=file.as_uri(),
            md5=md5,
            ext=file.suffix.lower().removeprefix("."),
            size=size,
            **{**known, **told},
        )


def _mark(told: Mapping[str, Any]) -> str:
    """Name what is told of a picture: a stage that judged it by other words judges it again."""
    if not told:
        return ""
    words = json.dumps(told, sort_keys=True, default=str)
    return "-" + hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()[:8]


def _place(path: Path) -> Path | None:
    """Give the folder's own place; None for what cannot be a path. A missing user or a loop of links stays as it is."""
    try:
        return Path(os.path.realpath(os.path.expanduser(path)))  # noqa: PTH111  Path's own raise for those
    except ValueError:  # it holds a NUL
        return None


def _shown(path: Path | str) -> str:
    """Write a path as a text that every file and every catalog can hold; names need not be characters."""
    return os.fsencode(path).decode("utf-8", "backslashreplace").replace("\0", "\\0")


def files_below(root: Path, endings: frozenset[str], left_out: Collection[Path | None] = ()) -> Iterator[Path]:
    """Give the files under *root* with one of *endings* (lower case, no dot), folder by folder, sorted by name.

    Hidden files and folders are left out, and links that lead out of *root*.

    Args:
        root: A folder, resolved.
        endings: Of the names that are wanted.
        left_out: Folders, resolved, that are not entered.

    Raises:
        UsageError: A folder cannot be read.
    """
    waiting = [root]  # not os.walk: it calls itself for each folder inside another, and a thousand are too many for it
    while waiting:
        folders, others = _inside(waiting.pop())
        for file in others:
            if file.suffix.lower().removeprefix(".") not in endings:
                continue
            if _is_plain(file) and Path(os.path.realpath(file)).is_relative_to(root):
                yield file
        waiting += (folder for folder in reversed(folders) if folder not in left_out)


def _inside(folder: Path) -> tuple[list[Path], list[Path]]:
    """Give folders and all else, by name; hidden ones aside. A linked folder is none: inside, it is met anyway."""
    folders: list[Path] = []
    others: list[Path] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not entry.name.startswith("."):
                    (folders if entry.is_dir(follow_symlinks=False) else others).append(folder / entry.name)
    except OSError as error:
        _refuse_folder(error)
    return folders, others


def _is_plain(file: Path) -> bool:
    """Say whether it is a file indeed: a pipe would never end."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except PermissionError as error:
        _refuse_folder(error)
    except OSError:  # gone, a link to nowhere, a loop of links
        return False


def _refuse_folder(error: OSError) -> NoReturn:
    raise UsageError(
        f"{_shown(error.filename)}: cannot be read ({error.strerror}); make it readable, or move it out"
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
