"""A browser that nobody listens in on: a driver that hears of every request makes a page with many of them late."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = os.environ.get("KAOSET_CHROMIUM", "/usr/bin/chromium")
_OPTIONS = ("--headless=new", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0", "--window-size=1680,1050")
_STARTED_S = 2.0  # what a browser does on its own when it has just begun
_PATIENCE_S = 30.0


def when_measured(url: str, name: str) -> float:
    """Open a page in a browser that has seen nothing of it, and wait for what it measures.

    Args:
        url: The address.
        name: Of a `performance.measure` of the page.

    Returns:
        Seconds from the start of the navigation to the end of that measure, by the browser's clock.

    Raises:
        TimeoutError: The page did not measure it.
    """
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-", ignore_cleanup_errors=True) as profile:
        command = [CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as browser:  # noqa: S603 - our own words
            try:
                with connect(_tab(Path(profile) / "DevToolsActivePort"), max_size=None) as tab:
                    time.sleep(_STARTED_S)
                    _call(tab, "Page.navigate", url=url)
                    return _measured(tab, name)
            finally:
                browser.kill()


def _tab(file: Path) -> str:
    """Find the address at which the first tab is spoken to."""
    end = time.monotonic() + _PATIENCE_S
    while not (file.exists() and file.read_text()):
        if time.monotonic() > end:
            raise TimeoutError("the browser did not start")
        time.sleep(0.05)
    port = file.read_text().split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
        return str(next(one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page"))


def _measured(tab: ClientConnection, name: str) -> float:
    script = f"performance.getEntriesByName({json.dumps(name)}).map((one) => one.startTime + one.duration)[0] ?? null"
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        time.sleep(1)  # seldom: who asks disturbs
        answer = _call(tab, "Runtime.evaluate", expression=script, returnByValue=True)
        value = answer.get("result", {}).get("result", {}).get("value")
        if value is not None:
            return float(value) / 1000
    raise TimeoutError(f"{name} did not come")


def _call(tab: ClientConnection, method: str, **params: Any) -> dict[str, Any]:
    tab.send(json.dumps({"id": 1, "method": method, "params": params}))
    while (answer := json.loads(tab.recv())).get("id") != 1:
        pass
    return dict(answer)
