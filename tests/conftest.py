"""What tests stand on: a store and a catalog of their own, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.catalog import Catalog
from pipeline.store import Store

# Minutes each: they begin first, so that at the end no worker waits for another that has just begun one.
LONGEST = (
    "test_cli.py",
    "test_orchestrate.py",
    "test_serve.py",
    "test_guard.py",
    "test_page.py",
    "test_rebuild.py",
    "test_polite.py",
    "test_survival.py",
    "test_sandbox_release.py",
    "test_browser_access.py",
    "test_metrics.py",
)


def pytest_configure() -> None:
    """Let Ctrl-C reach the commands that tests start, though a shell that runs us in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; the Makefile asks that files be given out in this order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(params=["sqlite", "postgresql"])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty catalog of each kind."""
    if request.param == "sqlite":
        yield str(tmp_path / "catalog.sqlite")
        return
    yield request.getfixturevalue("postgres_database")


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    opened = Catalog(catalog_url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite_catalog(tmp_path: Path) -> Iterator[Catalog]:
    opened = Catalog(tmp_path / "catalog.sqlite")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of our own on loopback, with the password "right" for the user kaoset."""
    found = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), shutil.which("initdb")]
    if found == [None]:
        pytest.skip("no PostgreSQL here: initdb not found")
    programs = Path(found[-1] or found[-2]).parent
    home = Path(tempfile.mkdtemp(prefix="kaoset-postgres-"))  # pytest's own folders let no other user in
    prefix: list[str] = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        prefix = ["runuser", "-u", "postgres", "--"]
        home.chmod(0o755)
        os.chown(home, pwd.getpwnam("postgres").pw_uid, -1)
    (home / "password").write_text("right")
    (home / "password").chmod(0o644)
    options = ["-U", "kaoset", "--auth=scram-sha-256", f"--pwfile={home / 'password'}", "--no-sync"]
    subprocess.run(
        [*prefix, programs / "initdb", "-D", home / "data", *options], check=True, capture_output=True, cwd="/"
    )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [*prefix, programs / "postgres", "-D", home / "data", "-p", str(port), "-k", home, "-h", "127.0.0.1", "-F"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    time.sleep(0.5)
    yield f"postgresql://kaoset:right@127.0.0.1:{port}"
    if prefix:  # runuser passes no signal on
        subprocess.run(
            [*prefix, programs / "pg_ctl", "-D", home / "data", "-m", "immediate", "stop"],
            check=False,
            capture_output=True,
            cwd="/",
        )
    server.terminate()
    server.wait()
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty database, removed afterwards."""
    import psycopg

    name = f"t{abs(hash(request.node.nodeid))}"
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield f"{postgres}/{name}"
    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
