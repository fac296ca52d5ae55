"""A zip of stored members, written piece by piece: `zipfile` would hold half a kilobyte for each until the end."""

from __future__ import annotations

import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterable
from types import TracebackType
from typing import BinaryIO, Self

# As zipfile has them (APPNOTE.TXT 4.3 and 4.5); beyond these numbers the form with 64 bits begins.
ZIP64_LIMIT, COUNT_LIMIT = (1 << 31) - 1, (1 << 16) - 1
_FULL, _FULL_COUNT = 0xFFFFFFFF, 0xFFFF
_PLAIN, _ZIP64 = 20, 45  # version needed, in tenths
_UNIX = 3
_TIME, _DATE = 0, 1 << 5 | 1  # the first of January 1980, the earliest that the format knows
_MODE = 0o644 << 16


class StoredZip:
    """Writes the very bytes that `zipfile` would, and holds none of the members; to be used as a context manager.

    Args:
        file: Open for writing, at its beginning.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._count, self._at = file, 0, 0
        self._directory = tempfile.TemporaryFile()  # noqa: SIM115  closed on leaving

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        with self._directory:
            if kind is None:
                self._finish()

    def add(self, name: str, parts: Iterable[bytes]) -> None:
        """Add a member of that name, of ASCII; *parts*, less than 2 GiB, are gone through twice."""
        crc = size = 0
        for part in parts:
            crc, size = zlib.crc32(part, crc), size + len(part)
        named = name.encode("ascii")
        common = struct.pack("<4H3L", 0, 0, _TIME, _DATE, crc, size, size)
        self._file.write(struct.pack("<4sH", b"PK\3\4", _PLAIN) + common + struct.pack("<2H", len(named), 0) + named)
        self._file.writelines(parts)
        far = self._at > ZIP64_LIMIT
        extra = struct.pack("<2HQ", 1, 8, self._at) if far else b""
        version = _ZIP64 if far else _PLAIN
        self._directory.write(struct.pack("<4s2BH", b"PK\1\2", version, _UNIX, version) + common)
        self._directory.write(struct.pack("<5H2L", len(named), len(extra), 0, 0, 0, _MODE, _FULL if far else self._at))
        self._directory.write(named + extra)
        self._at += 30 + len(named) + size
        self._count += 1

    def _finish(self) -> None:
        size, count, at = self._directory.tell(), self._count, self._at
        self._directory.seek(0)
        shutil.copyfileobj(self._directory, self._file)
        if count > COUNT_LIMIT or size > ZIP64_LIMIT or at > ZIP64_LIMIT:
            self._file.write(struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, _ZIP64, _ZIP64, 0, 0, count, count, size, at))
            self._file.write(struct.pack("<4sLQL", b"PK\6\7", 0, at + size, 1))
            count, size, at = min(count, _FULL_COUNT), min(size, _FULL), min(at, _FULL)
        self._file.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, size, at, 0))
