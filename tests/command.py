"""The `flow` command as a person starts it: a process of its own, with nothing of this machine's settings."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.records import FaceCrop

POSTS = 48
SANDBOX = ("run", "build-dataset", "sandbox", "--no-prefect", "--no-train", "--sandbox-posts", str(POSTS))
PUBLISH = ("run", "publish-dataset", "sandbox", "--no-prefect")


@dataclass(frozen=True)
class Answer:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def complaint(self) -> str:
        """The one line of a failure; anything more on the error stream fails the test."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("flow: "), self.err
        return lines[0].removeprefix("flow: ")


@dataclass
class Flow:
    """Starts `flow` in a folder; every process that comes of it can be found again."""

    home: Path
    mark: str = field(default_factory=lambda: f"KAOSET_TEST={uuid.uuid4().hex}")

    def start(self, *words: str | Path, **environment: str) -> subprocess.Popen[str]:
        """Start it and leave it running."""
        ours = {key: value for key, value in os.environ.items() if not key.startswith(("KAOSET_", "PREFECT_"))}
        name, _, value = self.mark.partition("=")
        return subprocess.Popen(
            [Path(sys.executable).with_name("flow"), *words],
            cwd=self.home,
            env={**ours, **environment, name: value},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str | Path, **environment: str) -> Answer:
        """Start it and wait until it has ended."""
        began = time.monotonic()
        with self.start(*words, **environment) as process:
            out, err = process.communicate(timeout=120)
        return Answer(process.returncode, out, err, time.monotonic() - began)

    def json(self, *words: str | Path) -> Any:
        """Read what it says with --json."""
        answer = self(*words, "--json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    def alive(self) -> list[int]:
        """List the processes that came of it and still run."""
        return [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if self._is_ours(entry)]

    def _is_ours(self, entry: Path) -> bool:
        try:
            return self.mark.encode() in (entry / "environ").read_bytes().split(b"\0")  # empty for one that has ended
        except OSError:
            return False

    def wait_until_alone(self, seconds: float = 10) -> list[int]:
        """Give them time to end, and list who has not."""
        until = time.monotonic() + seconds
        while (left := self.alive()) and time.monotonic() < until:
            time.sleep(0.02)
        return left


def rows(data: Path, what: str = "outcomes", where: str = "1") -> int:
    """Count what the catalog of a data folder holds, while somebody writes to it or not; 0 before it exists."""
    try:
        with closing(sqlite3.connect(f"file:{data / 'catalog.sqlite'}?mode=ro", uri=True)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {what} WHERE {where}").fetchone()[0])  # noqa: S608
    except sqlite3.OperationalError:
        return 0


def crops(data: Path, stage: str = "filter", reason: str | None = None) -> list[FaceCrop]:
    """Read the crops that a stage kept, or dropped for a reason."""
    query = """SELECT DISTINCT o.body FROM outputs o JOIN outcomes s ON s.item = o.item
        WHERE o.kind = 'FaceCrop' AND s.stage = ? AND s.reason IS ?"""
    with closing(sqlite3.connect(data / "catalog.sqlite")) as connection:
        found = [FaceCrop.from_json(json.loads(body)) for (body,) in connection.execute(query, (stage, reason))]
    return sorted({crop.sha256: crop for crop in found}.values(), key=lambda crop: crop.sha256)


def bytes_of(release: Path) -> dict[str, bytes]:
    """Read every file of a release."""
    return {path.relative_to(release).as_posix(): path.read_bytes() for path in release.rglob("*") if path.is_file()}


def use(data: Path, cache: Path) -> Path:
    """Let a data folder share the pictures that are drawn already."""
    data.mkdir(parents=True, exist_ok=True)
    (data / "sandbox").symlink_to(cache)
    return data


def know_prefect(home: Path, database: Path) -> Path:
    """Let Prefect begin with tables that are made already; *home* is its PREFECT_HOME, .prefect/ of a data folder."""
    home.mkdir(parents=True, exist_ok=True)
    shutil.copy(database, home / "prefect.db")
    return home


@dataclass(frozen=True)
class Built:
    """A data folder that a whole build has gone through."""

    data: Path
    answer: Answer

    @property
    def release(self) -> Path:
        """What it published."""
        return self.data / "releases" / "sandbox" / "001"
