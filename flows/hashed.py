"""Hides what is known of a folder's pictures from earlier looks: a file beside the result, which may be thrown away."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pipeline.errors import StoreError
from pipeline.records import Comparison, Image

VERSION = 1  # raised when pictures are hashed or compared differently


class Hashed:
    """A file of JSON lines to which is only ever added, so that a killed run loses one line at most.

    Use it as a context manager. It is a `pipeline.groups.Memory`.

    Args:
        path: Of the file; it need not be there.

    Raises:
        StoreError: On entering: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pictures: dict[str, tuple[list[int], Image | str]] = {}
        self._compared: dict[str, dict[str, Comparison]] = {}

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
                self._take(line)
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise StoreError(f"{self._path}: cannot be written ({error.strerror}); choose another --out") from error
        self._file.write("\n")  # a line that was cut by a kill ends here
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def picture(self, name: str, size: int, changed_ns: int) -> Image | str | None:
        """Return what is known of a file that has not changed: the image, or what is wrong with it."""
        state, said = self._pictures.get(name, ([], ""))
        return said if state == [size, changed_ns] else None

    def note_picture(self, name: str, size: int, changed_ns: int, said: Image | str) -> None:
        """Remember what a file is."""
        what = {"image": said.to_json()} if isinstance(said, Image) else {"bad": said}
        self._write({"name": name, "state": [size, changed_ns], **what})

    def comparisons(self, sha256s: Collection[str]) -> Iterable[Comparison]:
        """Return what is known of pairs of pictures of which the first is one of *sha256s*."""
        return [one for sha256 in sha256s for one in self._compared.get(sha256, {}).values()]

    def note_comparisons(self, comparisons: Sequence[Comparison]) -> None:
        """Remember what pictures are to each other."""
        for one in comparisons:
            self._write({"compared": one.to_json()})

    def _write(self, body: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps({"version": VERSION, **body}) + "\n")
            self._file.flush()
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}; free some space or choose another --out") from error

    def _take(self, line: bytes) -> None:
        try:
            body = json.loads(line)
            if body["version"] != VERSION:
                return
            if "compared" in body:
                one = Comparison.from_json(body["compared"])
                self._compared.setdefault(one.one, {})[one.other] = one
            else:
                said = Image.from_json(body["image"]) if "image" in body else str(body["bad"])
                self._pictures[str(body["name"])] = (body["state"], said)
        except (ValueError, LookupError, TypeError):  # damage: it is found out again
            return
