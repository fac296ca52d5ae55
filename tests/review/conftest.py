"""A review that is really served on loopback, for all tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from queued import queue
from review.browsing import CHROMIUM, SETTINGS, shown
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of a file; they are skipped where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"no Chromium here: {CHROMIUM}; KAOSET_CHROMIUM may name another")
    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] if os.getuid() == 0 else [])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open an address in a context of its own; nothing on the page may go wrong unseen."""
    wrong: list[str] = []
    with ExitStack() as stack:

        def start(
            url: str, context: BrowserContext | None = None, script: str = SETTINGS, view: str = "", **options: Any
        ) -> Page:
            if context is None:
                context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
                context.add_init_script(script)
                stack.callback(context.close)
            tab = context.new_page()
            tab.on("pageerror", lambda error: wrong.append(str(error)))
            tab.on("dialog", lambda dialog: wrong.append(dialog.message))
            tab.on("console", lambda said: wrong.append(said.text) if "Content Security" in said.text else None)
            if view:  # at once: the grid would have taken crops
                context.request.get(url)
                url = f"{url.split('/?', maxsplit=1)[0]}/{view}"
            tab.goto(url)
            shown(tab)
            return tab

        yield start
    assert wrong == []
