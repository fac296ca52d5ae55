"""Takes README's pictures of the review page, from a sandbox of its own: python docs/pictures.py (needs Chromium)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from pipeline.folder import DataFolder
from pipeline.review.server import serve

HERE = Path(__file__).parent
CHROMIUM = os.environ.get("KAOSET_CHROMIUM", "/usr/bin/chromium")
ALL_WAIT = ("-p", "review.accept_agreed=1.5")
NAMES = ("hatsune_miku", "charles_montgomery_burns", "kagamine_rin")


def main() -> None:
    """Build, decide on some pages, and take a picture of each view."""
    with tempfile.TemporaryDirectory() as name:
        flow = Path(sys.executable).with_name("flow")
        build = [flow, "run", "build-dataset", "sandbox", "--data", name, "--no-train", "--no-prefect", *ALL_WAIT]
        subprocess.run(build, check=True)  # noqa: S603 - our own command
        with (
            serve(DataFolder(Path(name)), "", reviewer="kim", port=0, seeds=False) as served,
            sync_playwright() as play,
        ):
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            tab.add_init_script("localStorage.setItem('kaoset.settings', JSON.stringify({askQuick: false}))")
            tab.goto(served.url)
            _shown(tab)
            for key in ("x", "ArrowRight", "ArrowRight", "u", "ArrowRight", "x"):
                tab.keyboard.press(key)
            tab.wait_for_timeout(500)
            _take(tab, "review_grid")
            tab.keyboard.press("Control+a")
            root = served.url.split("/?")[0]
            for filters in ("", "&score=0.9-", "&score=0.9-", "&score=0.9-"):
                if filters:
                    tab.goto(f"{root}/grid?reason=waiting&verdict=none{filters}")
                    _shown(tab)
                tab.wait_for_timeout(8000)  # as a quick person looks
                tab.keyboard.press("Enter")
                _shown(tab)
            tab.goto(f"{root}/single")
            _shown(tab)
            tab.keyboard.press("k")
            tab.wait_for_timeout(1500)
            _take(tab, "review_single")
            tab.goto(f"{root}/label")
            _shown(tab)
            tab.keyboard.press("/")
            for label in NAMES:
                tab.keyboard.type(label)
                tab.keyboard.press("Enter")
                tab.wait_for_timeout(800)
            tab.keyboard.type("burn")
            tab.wait_for_timeout(1500)
            _take(tab, "review_label")
            tab.goto(f"{root}/stats")
            tab.wait_for_timeout(3000)
            _take(tab, "review_statistics")
            browser.close()


def _shown(tab: Page) -> None:
    tab.wait_for_selector("body[data-ready='1']")
    tab.wait_for_timeout(400)


def _take(tab: Page, name: str) -> None:
    file = HERE / f"{name}.png"
    tab.screenshot(path=file)
    Image.open(file).convert("RGB").save(file.with_suffix(".jpg"), quality=82, optimize=True)
    file.unlink()


if __name__ == "__main__":
    main()
