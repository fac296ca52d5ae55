"""How quick the review page is: the next page in a real browser over a long queue, and every filter over many crops."""

from __future__ import annotations

import hashlib
import io
import json
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pictures
from playwright.sync_api import sync_playwright

from bench.browser import CHROMIUM, when_measured
from bench.report import Table
from pipeline.catalog import Catalog
from pipeline.folder import DataFolder
from pipeline.review.server import serve
from pipeline.review.shelf import Shelf, open_shelf
from pipeline.review.wanted import Live, facets, mask, parse, tags

QUEUE, CATALOG = 100_000, 1_000_000
PAGES = 60  # that are committed, each as soon as the page lets one
SIDE = 128  # pixels of a crop
FIRSTS = 5  # times that the page is opened by a browser that has seen none of it
MEASURE = "kaoset:page"  # what the page itself measures
LOOK_S = 0.8  # a quick person; the page before it is painted by then, and the next two are fetched
STAGES = ("list", "select", "scrape", "dedup-images", "detect", "crop", "dedup", "filter", "review")
FILTERS = (
    "",
    "reason=low_score",
    "score=0.3-0.7",
    "side=200-400",
    "agreed=yes",
    "detector=drawn_net%2Banimeface",
    "source=board1",
    "date=2015-01-01..2016-12-31",
    "tag=tag0003",
    "tag=tag0001&tag=tag0002&score=0.2-0.9&date=2012-01-01..",
    "verdict=none",
)
GOAL_PAGE_MS, GOAL_FIRST_S, GOAL_FILTER_S = 100, 1.0, 0.3

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured; seconds, but for the pages."""

    queue: int
    first_s: Sequence[float]  # from the address to a whole page, by a browser that has seen none of it
    pages_ms: Sequence[float]  # from Enter to the next page
    crops: int
    gathered_s: float  # once after each run
    opened_s: float  # at every start after that
    filters_s: dict[str, float]  # the counts of all filters, with one that is on
    tags_s: float


def measure(part: float, progress: Progress) -> Measured:
    """Measure with so large a part of the full sizes."""
    queue, crops = max(2000, round(QUEUE * part)), max(10_000, round(CATALOG * part))
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-review-") as name:
        long = Path(name) / "long"
        fabricate(long, queue, progress, pictures=True)
        first_s, pages_ms = in_browser(long, max(10, round(PAGES * min(1.0, part * 4))), progress)
        many = Path(name) / "many"
        fabricate(many, crops, progress)
        began = time.perf_counter()
        shelf = _opened(many, progress)
        gathered = time.perf_counter() - began
        began = time.perf_counter()
        shelf = _opened(many, progress)
        opened = time.perf_counter() - began
        live = Live.nothing(len(shelf))
        filters_s = {query: _shortest(lambda query=query: _counted(shelf, live, query)) for query in FILTERS}
        tags_s = _shortest(lambda: tags(shelf, live, parse("verdict=none"), ""))
    return Measured(
        queue=queue,
        first_s=first_s,
        pages_ms=pages_ms,
        crops=crops,
        gathered_s=gathered,
        opened_s=opened,
        filters_s=filters_s,
        tags_s=tags_s,
    )


def _opened(data: Path, progress: Progress) -> Shelf:
    catalog = Catalog(DataFolder(data).catalog)
    try:
        return open_shelf(catalog, data / "review", progress)
    finally:
        catalog.close()


def _counted(shelf: Shelf, live: Live, query: str) -> None:
    wanted = parse(query)
    facets(shelf, live, wanted)
    mask(shelf, live, wanted)


def _shortest(work: Callable[[], Any], times: int = 3) -> float:
    """Give the shortest of some times: what the work takes, when nothing comes between."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return min(took)


def in_browser(data: Path, pages: int, progress: Progress) -> tuple[list[float], list[float]]:
    """Open the page as a person does, and commit pages one after the other.

    Returns:
        Seconds to the first page, each in a new browser; milliseconds to each next page.
    """
    with serve(DataFolder(data), "", reviewer="bench", port=0) as page:
        first = []
        for done in range(FIRSTS):
            progress("first pages", done, FIRSTS)
            first.append(when_measured(page.url, MEASURE))
        with sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1680, "height": 1050})
            tab.add_init_script("localStorage.setItem('kaoset.settings', JSON.stringify({askQuick: false}))")
            tab.goto(page.url)
            tab.wait_for_selector("body[data-ready='1']")
            for done in range(pages):
                progress("pages", done, pages)
                time.sleep(LOOK_S)
                before = tab.evaluate(f"performance.getEntriesByName('{MEASURE}').length")
                tab.keyboard.press("Enter")
                tab.wait_for_function(f"(n) => performance.getEntriesByName('{MEASURE}').length > n", arg=before)
            took = tab.evaluate(f"performance.getEntriesByName('{MEASURE}').map((one) => one.duration)")
            browser.close()
    return first, [float(one) for one in took[1:]]  # the first was not prefetched


def table(measured: Measured) -> Table:
    """Show it."""
    pages = np.array(measured.pages_ms)
    rows = [
        ("Enter to the next page, median", f"{np.median(pages):.0f} ms", ""),
        ("Enter to the next page, 95 %", f"{np.percentile(pages, 95):.0f} ms", f"under {GOAL_PAGE_MS} ms"),
        ("Enter to the next page, slowest", f"{pages.max():.0f} ms", ""),
        (f"first page, median of {FIRSTS}", f"{np.median(measured.first_s):.2f} s", f"under {GOAL_FIRST_S:g} s"),
        (f"first page, slowest of {FIRSTS}", f"{max(measured.first_s):.2f} s", ""),
    ]
    slowest = max(measured.filters_s, key=lambda query: measured.filters_s[query])
    rows += [
        (
            f"counts of all filters, {measured.crops:,} crops, slowest (`{slowest or 'the queue'}`)",
            f"{measured.filters_s[slowest]:.3f} s",
            f"under {GOAL_FILTER_S:g} s",
        ),
        (f"counts of tags, {measured.crops:,} crops", f"{measured.tags_s:.3f} s", f"under {GOAL_FILTER_S:g} s"),
        (f"gathering {measured.crops:,} crops, once after a run", f"{measured.gathered_s:.0f} s", ""),
        (f"opening what was gathered, {measured.crops:,} crops", f"{measured.opened_s:.2f} s", ""),
    ]
    return Table(
        title=f"The review page, {measured.queue:,} crops in the queue",
        columns=("what", "measured", "promised"),
        rows=rows,
        note=f"{len(pages)} pages of 60 crops, {LOOK_S:g} s apart, in Chromium that draws in software. First pages are "
        "opened in new browsers, from the address to the frame.",
    )


def filters(measured: Measured) -> Table:
    """Show what each filter takes."""
    rows = [(f"`{query}`" if query else "the queue", f"{s * 1000:.0f} ms") for query, s in measured.filters_s.items()]
    return Table(
        title=f"Live counts of all filters, {measured.crops:,} crops, with one that is on",
        columns=("filter", "shortest of three"),
        rows=rows,
    )


# --- crops that nobody has scraped ------------------------------------------------------------------------------------


def fabricate(data: Path, count: int, progress: Progress, *, pictures: bool = False) -> None:
    """Write into a data folder what a run over so many crops would have left; pixels only where they are asked for."""
    folder = DataFolder(data)
    catalog = Catalog(folder.catalog)
    run = catalog.begin_run("bench")
    marks = {stage: f"bench {stage}" for stage in STAGES}
    catalog.end_run(run, "completed", [{"stage": stage, "fingerprint": mark} for stage, mark in marks.items()])
    catalog.close()
    store = folder.store
    with closing(sqlite3.connect(folder.catalog)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        for start in range(0, count, 20_000):
            numbers = range(start, min(count, start + 20_000))
            progress("fabricate", start, count)
            names = [_picture(store.path, number) if pictures else _sha(f"crop {number}") for number in numbers]
            _write(connection, numbers, names, marks)
            connection.commit()


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _picture(path: Callable[[str], Path], number: int) -> str:
    """Put a crop into the store, without flushing each to the disk."""
    noise_HWC = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    file = io.BytesIO()
    smooth = Pictures.fromarray(noise_HWC).resize((SIDE, SIDE), Pictures.Resampling.BICUBIC)
    smooth.save(file, "PNG", compress_level=1)
    sha256 = hashlib.sha256(file.getvalue()).hexdigest()
    place = path(sha256)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(file.getvalue())
    return sha256


def _write(connection: sqlite3.Connection, numbers: range, names: Sequence[str], marks: dict[str, str]) -> None:
    at = "2026-01-01T00:00:00.000000+00:00"
    posts, outcomes, outputs = [], [], []
    for number, name in zip(numbers, names, strict=True):
        chance = random.Random(number)
        image, post_id = _sha(f"image {number}"), f"board{number % 3}:{number}"
        item = f"{image}+10+20+200x200"
        reason = "low_score" if number % 20 == 0 else "waiting"
        posts.append((post_id, json.dumps(_post(post_id, chance)), at))
        crop = json.dumps(_crop(name, image, number, chance))
        outputs += [
            ("scrape", marks["scrape"], post_id, 0, "Image", image[:32], image, json.dumps(_image(image, post_id))),
            ("dedup", marks["dedup"], item, 0, "FaceCrop", item, name, crop),
        ]
        outcomes += [
            ("dedup-images", marks["dedup-images"], f"{post_id}={image}", None, at),
            ("dedup", marks["dedup"], item, None, at),
            ("filter", marks["filter"], item, reason if reason == "low_score" else None, at),
        ]
        if reason == "waiting":
            outcomes.append(("review", marks["review"], item, reason, at))
    connection.executemany("INSERT INTO posts (id, body, seen_at) VALUES (?, ?, ?)", posts)
    connection.executemany(
        "INSERT INTO outcomes (stage, fingerprint, item, reason, detail, at) VALUES (?, ?, ?, ?, '', ?)", outcomes
    )
    connection.executemany(
        "INSERT INTO outputs (stage, fingerprint, item, position, kind, id, sha256, body) VALUES (?,?,?,?,?,?,?,?)",
        outputs,
    )


def _post(post_id: str, chance: random.Random) -> dict[str, Any]:
    day = f"{chance.randint(2008, 2025)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}T00:00:00+00:00"
    tags = sorted({f"tag{min(4999, int(chance.paretovariate(0.7))):04}" for _ in range(20)})
    page = f"https://board.invalid/{post_id}"
    return {"id": post_id, "file_url": f"{page}.jpg", "page_url": page, "rating": "g", "tags": tags, "posted_at": day}


def _image(sha256: str, post_id: str) -> dict[str, Any]:
    size = {"width": 800, "height": 600, "bytes": 1000, "format": "JPEG", "phash": "0" * 16}
    return {"sha256": sha256, "md5": sha256[:32], "post_id": post_id, **size}


def _crop(name: str, image: str, number: int, chance: random.Random) -> dict[str, Any]:
    return {
        "sha256": name,
        "detection": {
            "image_sha256": image,
            "box": {"left": 10, "top": 20, "width": 200, "height": 200},
            "detector": ("drawn_net+animeface", "drawn_net", "lbpcascade")[number % 3],
            "score": round(chance.random(), 4),
            "agreed": number % 3 == 0,
        },
        "side": chance.randint(96, 900),
        "size": SIDE,
        "padded": 0.0,
        "phash": f"{chance.getrandbits(64):016x}",
        "sharpness": 500.0 * chance.random(),
        "contrast": 100 * chance.random(),
        "chroma": 50 * chance.random(),
        "family": f"f{number}",
    }
