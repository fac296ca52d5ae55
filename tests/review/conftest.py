"""A review that is really served on loopback, for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from queued import queue
from reviewing import Served

from pipeline.folder import DataFolder
from pipeline.review.server import serve


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Serve a data folder; of 30 crops that wait, where the test has made none."""
    with ExitStack() as stack:

        def start(data: Path | None = None, **options: Any) -> Served:
            place = data or tmp_path / "data"
            if not (place / "catalog.sqlite").is_file() and "catalog_url" not in options:
                queue(place)
            url = options.pop("catalog_url", "")
            options = {"reviewer": "kim", "port": 0, "seeds": False, **options}
            page = stack.enter_context(serve(DataFolder(place), url, **options))
            return Served(page.url, page.desk, place)

        yield start
