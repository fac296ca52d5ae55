"""A sandbox that is drawn once and a build that is run once, for all tests of the `flow` command."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from command import POSTS, SANDBOX, Built, Flow, use

from pipeline.sandbox.posts import build


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's cache, with its pictures drawn."""
    cache = tmp_path_factory.mktemp("sandbox")
    build(cache, POSTS)
    return cache


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, drawn: Path) -> Built:
    """An undisturbed build, shared: tests read it and change nothing."""
    data = use(tmp_path_factory.mktemp("built") / "data", drawn)
    answer = Flow(data.parent)(*SANDBOX, "--data", data)
    assert answer.code == 0, answer.err
    return Built(data, answer)


@pytest.fixture(scope="session")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's database as its first start leaves it, which takes a quarter of a minute: made once for all workers."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "prefect"
    home.mkdir(exist_ok=True)
    database = home / "prefect.db"
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "made").exists():
            words = "from pathlib import Path; from flows import server; server.prepare(Path('.'))"
            subprocess.run([sys.executable, "-c", f"{words}\nwith server.running(): pass"], cwd=home, check=True)
            with closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            (home / "made").touch()
    return database


@pytest.fixture
def flow(tmp_path: Path) -> Iterator[Flow]:
    """The command, in a folder of its own; no process of it may be left."""
    started = Flow(tmp_path)
    yield started
    assert started.wait_until_alone() == []


@pytest.fixture
def data(tmp_path: Path, built: Built) -> Path:
    """A copy of the built data folder, to change."""
    shutil.copytree(built.data, tmp_path / "data", symlinks=True)
    return tmp_path / "data"


@pytest.fixture
def wait_for() -> Callable[[Callable[[], Any], subprocess.Popen[str]], Any]:
    """Wait until something is so, while a process runs."""

    def wait(true: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
        until = time.monotonic() + 60
        while not (answer := true()):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        return answer

    return wait
