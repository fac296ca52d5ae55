"""A board of every kind of post, not drawn, as it is served, and who asks it."""

from __future__ import annotations

from collections.abc import Iterator

import boards
import pytest
import requests

from pipeline.sandbox import board
from pipeline.sandbox.posts import Sandbox


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return boards.plant(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def url(sandbox: Sandbox) -> Iterator[str]:
    with board.serve(sandbox) as served:
        yield served.url


@pytest.fixture
def client() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["User-Agent"] = "kaoset-test/1"
        yield session
