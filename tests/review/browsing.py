"""What tests of the review page in a browser share: how a page is waited for, read, and worked with."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect
from reviewing import Served

from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.records import Operation, Verdict

CHROMIUM = Path(os.environ.get("KAOSET_CHROMIUM", "/usr/bin/chromium"))
SIZE = 24  # crops of a page, in these tests
SETTINGS = (  # what was set in the page meanwhile stays
    "localStorage.getItem('kaoset.settings') ?? "
    f"localStorage.setItem('kaoset.settings', JSON.stringify({{askQuick: false, pageSize: {SIZE}}}))"
)
Serve = Callable[..., Served]
Open = Callable[..., Page]


def named(reviewer: str) -> str:
    """Give the script by which a browser begins with a reviewer's name."""
    return f"{SETTINGS}; localStorage.setItem('kaoset.reviewer', {json.dumps(reviewer)})"


def root(page: Served) -> str:
    """Give the address without its token."""
    return page.url.split("/?")[0]


def shown(tab: Page) -> None:
    """Wait until something is before the person."""
    expect(tab.locator("body[data-ready='1']")).to_be_attached(timeout=15_000)


def visit(tab: Page, address: str) -> None:
    """Go to another view."""
    tab.goto(address)
    shown(tab)


def cells(tab: Page) -> list[str]:
    """List the crops of the page, as they stand there."""
    return [
        str(one) for one in tab.evaluate("() => [...document.querySelectorAll('.cell')].map((c) => c.dataset.crop)")
    ]


def marks(tab: Page) -> dict[int, str]:
    """Give the places that are marked, and how."""
    script = "() => [...document.querySelectorAll('.cell')].map((c) => c.dataset.verdict ?? '')"
    return {place: said for place, said in enumerate(tab.evaluate(script)) if said}


def focused(tab: Page) -> int:
    """Give the place of the crop that has the focus; -1: none has it."""
    return int(tab.evaluate("() => [...document.querySelectorAll('.cell')].indexOf(document.activeElement)"))


def press(tab: Page, *keys: str) -> None:
    """Press some keys, one after the other."""
    for key in keys:
        tab.keyboard.press(key)


def batch(tab: Page) -> str:
    """Name the page that is shown."""
    return str(tab.locator(".sheet").get_attribute("data-batch"))


def commit(tab: Page) -> None:
    """Press Enter when the page takes it, and wait for the next one."""
    shown(tab)
    before = batch(tab)
    tab.wait_for_timeout(300)  # a page that was just painted takes no Enter
    tab.keyboard.press("Enter")
    turned(tab, before)


def turned(tab: Page, before: str) -> None:
    """Wait until that page is written down, and the next one is there, or the end."""
    expect(tab.locator(f".sheet[data-batch='{before}']:visible")).to_have_count(0, timeout=15_000)
    shown(tab)


def hammer(tab: Page, page: Served, pages: int) -> None:
    """Hit Enter faster than pages come, until so many have arrived, and all that was done has."""
    end = time.monotonic() + 60
    while len(done(page)) < pages:
        assert time.monotonic() < end
        tab.keyboard.press("Enter")
        tab.wait_for_timeout(30)
    shown(tab)
    saved(tab)


def drafted(tab: Page) -> None:
    """Wait until the page that is shown lies in the browser with the marks that are shown."""
    said = [batch(tab), len(marks(tab))]
    script = (
        "() => import('/static/store.js').then(({all}) => all('drafts')).then((drafts) => "
        "drafts.flatMap(({pages}) => pages.map((one) => [one.batch, one.marks.length])))"
    )
    until(lambda: said in tab.evaluate(script), tab)


def say(tab: Page, key: str) -> str:
    """Press a key in a view of single crops, and give the crop that was there before the next one came."""
    crop = current(tab)
    press(tab, key)
    expect(tab.locator(f"img.crop.large[data-crop='{crop}']:visible")).to_have_count(0)
    return crop


def current(tab: Page) -> str:
    """Name the crop that is shown alone."""
    return str(tab.locator("img.crop.large").get_attribute("data-crop"))


def saved(tab: Page) -> None:
    """Wait until the server has everything."""
    expect(tab.locator("#save[data-state=saved][data-waiting='0']")).to_be_attached(timeout=20_000)


def unsaved(tab: Page, words: str) -> None:
    """Wait until the page says what is not saved."""
    expect(tab.locator("#save .words")).to_have_text(re.compile(words), timeout=15_000)


def ahead(tab: Page, pages: int) -> None:
    """Wait until the pictures of so many pages have come: of this one, and of the next ones."""
    script = "() => performance.getEntriesByType('resource').filter((one) => one.name.endsWith('/pictures')).length"
    until(lambda: tab.evaluate(script) >= pages, tab)


def verdicts(page: Served) -> dict[str, Verdict | None]:
    """Say what stands in the catalog."""
    return {crop: one.verdict for crop, one in page.desk.catalog.decisions().items()}


def done(page: Served, kind: str = "page") -> list[Operation]:
    """List the operations of a kind, oldest first."""
    return [one for one in reversed(page.desk.catalog.operations()) if one.kind == kind]


def until(true: Callable[[], Any], tab: Page) -> None:
    """Wait until something is true."""
    end = time.monotonic() + 15
    while not true():
        assert time.monotonic() < end
        tab.wait_for_timeout(50)


def narrow(tab: Page) -> bool:
    """Say whether nothing has to be scrolled sideways."""
    return bool(tab.evaluate("() => document.documentElement.scrollWidth <= innerWidth"))


def start(data: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    """Start a review as a process of its own, that can be killed; gives its start URL, too."""
    flow = Path(sys.executable).with_name("flow")
    words: list[str | Path] = [flow, "review", "--data", data, "--no-browser", "--no-seeds", "--port", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = process.stdout.readline() if process.stdout else ""
    assert line.startswith("http://127.0.0.1:"), process.communicate()
    return process, line.strip()


def kill(process: subprocess.Popen[str]) -> None:
    """End a process as a power cut does."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def written(data: Path) -> tuple[list[Operation], dict[str, Verdict | None], int]:
    """Read what a catalog holds that nobody serves now: operations, what stands, and all rows ever written."""
    catalog = Catalog(DataFolder(data).catalog)
    try:
        said = {crop: one.verdict for crop, one in catalog.decisions().items()}
        return catalog.operations(), said, len(catalog.all_decisions())
    finally:
        catalog.close()
