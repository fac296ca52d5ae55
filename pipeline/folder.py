"""Where in the data folder what lies, and who is at work there."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from pipeline.errors import StoreError
from pipeline.store import Store


@dataclass(frozen=True)
class DataFolder:
    """Where everything of a person's datasets lies."""

    root: Path

    @property
    def catalog(self) -> Path:
        """The embedded catalog."""
        return self.root / "catalog.sqlite"

    @property
    def store(self) -> Store:
        """Images and crops by SHA-256."""
        return Store(self.root / "store")

    @property
    def pace(self) -> Path:
        """When which host was asked last, by any run."""
        return self.root / "pace"

    @property
    def parts(self) -> Path:
        """Files under way."""
        return self.root / "parts"

    @property
    def releases(self) -> Path:
        """Published datasets, by recipe and number."""
        return self.root / "releases"

    @property
    def trainings(self) -> Path:
        """Checkpoints and samples, by release."""
        return self.root / "trainings"

    @property
    def sandbox(self) -> Path:
        """What the sandbox board has drawn."""
        return self.root / "sandbox"

    @property
    def claims(self) -> Path:
        """Which listing is read, and which file is fetched, by some run just now."""
        return self.root / "claims"

    @property
    def near(self) -> Path:
        """Perceptual hashes of the images, to look them up by; made again from the catalog when it is gone."""
        return self.root / "near"

    def enter(self) -> TextIO:
        """Say that a run is at work here, and clear up behind the dead if no other is; close the file to leave.

        Raises:
            StoreError: The folder cannot be written.
        """
        file = self._open(".lock")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pass  # somebody may be writing what would be cleared up
        else:
            for left in self.store.root.glob("??/??/.new-*"):
                left.unlink(missing_ok=True)
        fcntl.flock(file, fcntl.LOCK_SH)
        return file

    def alone(self) -> TextIO:
        """Keep every run out, of whatever recipe, until the file is closed.

        Raises:
            StoreError: One is at work here, or the folder cannot be written.
        """
        file = self._open(".lock")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise StoreError(f"{self.root}: a run works on it; wait for it, or stop it, and try again") from error
        return file

    def lock(self, recipe: str) -> TextIO:
        """Keep every other run of a recipe out until the file is closed; a dead process holds no lock.

        Raises:
            StoreError: Another run of it works on the folder, or it cannot be written.
        """
        file = self._open(f".lock-{recipe}")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            owner = file.read().strip() or "another process"
            file.close()
            raise StoreError(
                f"{self.root}: another run of {recipe} works on it (process {owner}); wait for it, or choose another "
                "--data or another name for the recipe"
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def at_work(self, recipe: str) -> bool:
        """Say whether a run of a recipe really goes on, whatever the catalog says."""
        try:
            self.lock(recipe).close()
        except StoreError:
            return True
        return False

    def _open(self, name: str) -> TextIO:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            return (self.root / name).open("a+")
        except OSError as error:
            raise StoreError(f"{self.root}: cannot be written ({error.strerror}); choose another --data") from error
