"""A board that every dialect is held against."""

from __future__ import annotations

import boards
import pytest

from pipeline.sandbox.posts import Sandbox


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return boards.plant(tmp_path_factory.mktemp("planted"))
