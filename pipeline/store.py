"""Where the bytes lie: a folder of files named by the SHA-256 of what they hold."""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import StoreError


@dataclass(frozen=True)
class Store:
    """Content-named bytes under *root*; a name never changes its meaning, so that any number may write at once."""

    root: Path

    def put(self, data: bytes) -> str:
        """Keep *data* and return its SHA-256; bytes that are there already are not written again."""
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.has(sha256):
            write_atomically(self.path(sha256), data)
        return sha256

    def take(self, file: Path, sha256: str) -> None:
        """Move *file*, whose content has this *sha256*, into the store."""
        target = self.path(sha256)
        try:
            try:
                file.replace(target)
            except FileNotFoundError:  # the first of its folder
                target.parent.mkdir(parents=True, exist_ok=True)
                file.replace(target)
        except OSError as error:
            raise StoreError(
                f"{target}: cannot be written ({error.strerror}); free some space or choose --data"
            ) from error

    def get(self, sha256: str) -> bytes:
        """Return the bytes with that name.

        Raises:
            StoreError: They are not in the store, or are not what their name says; then they are moved aside, and the
                next run makes them anew.
        """
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise StoreError(
                f"{sha256}: not readable in {self.root} ({error.strerror}); run the build again"
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            path.replace(path.with_name(f"{sha256}.damaged"))
            raise StoreError(f"{sha256}: damaged in {self.root}, check the disk; moved aside, run the build again")
        return data

    def has(self, sha256: str) -> bool:
        """Say whether the bytes with that name are there."""
        return self.path(sha256).is_file()

    def path(self, sha256: str) -> Path:
        """Say where the bytes with that name lie, or would lie."""
        return self.root / sha256[:2] / sha256[2:4] / sha256


def write_atomically(path: Path, data: bytes) -> None:
    """Write *data* beside *path*, flush it to the disk, and move it there; readers see all of it or nothing.

    Raises:
        StoreError: The disk is full, or the folder cannot be written.
    """
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot be written ({error.strerror}); free some space or choose --data") from error
