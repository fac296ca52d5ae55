"""Measures detection against the usual scripts, whole builds against what was drawn, the downloader by boards' logs."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from rich.console import Console

from bench import alike, cost, near, order, pool, release, review, tables, training
from bench import boards as downloads
from bench import faces as originals
from bench.builds import Built, build_sandbox
from bench.missed import fates
from bench.report import Table, machine, markdown, show
from bench.ways import Lap, all_ways, enlarge, race, sample
from pipeline.detectors import lbpcascade
from pipeline.errors import DetectorError, KaosetError
from pipeline.recipe import Recipe, load
from pipeline.sandbox import posts as boards
from pipeline.sandbox.posts import DEFAULT_POSTS, Sandbox
from pipeline.store import Store

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results.md"
SHARED = ROOT.parent / "shared" / "cascades"
WIDE = 130  # columns
# The downloader's boards, in full size.
RUNS, PACE_POSTS, GAP_S, WINDOW_S = (1, 2, 3), 600, 0.05, 10.0
HOSTS, SHARED_HOSTS, POSTS_PER_HOST, FAULT_SHARE = 50, 5, 200, 0.05
KILL_HOSTS, KILL_POSTS, KILLS = 4, 500, 20
COST_IMAGES = 1000
CACHE = ROOT / "bench" / ".cache"  # what is drawn once and takes minutes
ONE_DECODE = 60  # pictures
OF_THE_POSTS = 5  # every fifth picture is shown to all ways: 120 of a board of 600

ABOUT = """\
Measure, as ratios in one run: how well and how fast faces are found on hard pictures as large as originals, the
detection stage against the usual scripts on the same pictures of the sandbox, whole builds of the sandbox against what
was drawn, the downloader against what is promised, by the boards' own logs, the search for near hashes against a scan
of all, what a large release takes, and the review page in a real browser."""
MORE = """\
Examples:
  python -m bench                            all of it, and writes bench/results.md; some minutes on two idle cores
  python -m bench --only faces               how well and how fast faces are found on pictures of 1 to 4 megapixels
  python -m bench --only detect --posts 120  a quick look at the detection stage
  python -m bench --only processes --posts 120  what harm costs them, and how much memory they take
  python -m bench --only build --posts 120   a quick look at whole builds
  python -m bench --only sources --posts 60  a quick look at the downloader, on a tenth of its boards
  python -m bench --only near                hashes that are near to each other, among up to two millions
  python -m bench --only release --posts 60  a quick look at releases, of 10,000 crops in place of 100,000
  python -m bench --only alike --posts 60    a quick look at how the same drawing is told, on a tenth of the pairs
  python -m bench --only order --posts 120   in which order false crops are found soonest, on a fifth of the pictures
  python -m bench --only training            how fast a GAN is trained, beside the usual loop
  python -m bench --only review --posts 60   how quick the review page is, on a tenth of the crops; needs Chromium

With --only, or fewer posts than 600, nothing is written unless --out names a file."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the bench; 0, 1 when the world does not let it, 2 for wrong use."""
    order = _parser().parse_args(words)
    whole = order.only is None and order.posts == DEFAULT_POSTS
    out = order.out or (RESULTS if whole else None)
    try:
        about, shown, charts = run(order.only, order.posts)
    except KaosetError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("bench: stopped; nothing is written", file=sys.stderr)
        return 130
    # Where nobody watches, the tables are as wide as they need to be.
    show(shown, Console(width=None if sys.stdout.isatty() else WIDE))
    print("\n".join(about))
    if out is not None:
        out.write_text(markdown(shown, about), encoding="utf-8")
        print(f"written: {out.name}")
        for name, png in charts.items():
            out.with_name(name).write_bytes(png)
            print(f"written: {name}")
    return 0


def run(only: str | None, size: int) -> tuple[list[str], list[Table], dict[str, bytes]]:
    """Measure; give what to know of the machine and the run, the tables, and charts by their names."""
    began, about, shown, charts = time.monotonic(), machine(), list[Table](), dict[str, bytes]()
    with Progress() as progress:
        cascade = only in {"sources", "near", "release", "alike", "review", "training"} or find_cascade()
        if not cascade:
            about.append("Without the cascade `lbpcascade_animeface`: its file is not here (`flow cascades fetch`).")
        if only in {None, "faces"}:
            measured = originals.measure(size / DEFAULT_POSTS, progress)
            shown += [tables.faces_promised(measured), tables.faces_speed(measured), tables.faces_found(measured)]
        if only in {None, "detect", "processes", "build"}:
            shown += faces(only, size, progress, cascade=cascade)
        if only in {None, "sources"}:
            shown += sources(size / DEFAULT_POSTS, progress)
        if only in {None, "near"}:
            shown += tables.near(near.measure(size / DEFAULT_POSTS, progress))
        if only in {None, "release"}:
            shown.append(tables.release(*release.measure(_part(release.CROPS, size / DEFAULT_POSTS), CACHE, progress)))
        if only in {None, "order", "review"}:
            more, charts = reviewing(only, size / DEFAULT_POSTS, progress, cascade=cascade)
            shown += more
        if only in {None, "training"}:
            shown.append(training.table(training.measure(size / DEFAULT_POSTS, progress)))
        if only in {None, "alike"}:
            pairs = alike.measure(size / DEFAULT_POSTS, progress)
            shown += alike.tables(pairs)
            charts["alike.png"] = alike.draw(pairs)
    about.append(f"A board of {size} posts; all of it took {time.monotonic() - began:.0f} s.")
    return about, shown, charts


def reviewing(
    only: str | None, part: float, progress: Progress, *, cascade: bool
) -> tuple[list[Table], dict[str, bytes]]:
    """Measure in which order crops come, and how quick the page is."""
    shown, charts = list[Table](), dict[str, bytes]()
    if only != "review":
        queues = order.measure(part, CACHE, progress, cascade=cascade)
        shown.append(order.table(queues))
        charts["order.png"] = order.draw(queues)
    if only != "order":
        page = review.measure(part, progress)
        shown += [review.table(page), review.filters(page)]
    return shown, charts


def faces(only: str | None, size: int, progress: Progress, *, cascade: bool) -> list[Table]:
    """Measure what finds faces on a board of *size* posts."""
    shown = list[Table]()
    recipes = [load("sandbox"), *([load("sandbox-both")] if cascade else [])]
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as folder:
        sandbox = boards.build(Path(folder), posts=size, progress=lambda *now: progress("draw", *now))
        laps: list[Lap] = []
        builds: list[Built] = []
        if only in {None, "detect"}:
            for title, more in detect(sandbox, recipes, progress, cascade=cascade):
                laps = laps or more
                shown.append(tables.ways(title, more))
        if only in {None, "processes"}:
            shown += processes(sandbox, recipes[0], progress)
        if only in {None, "build"}:
            builds = [build_sandbox(recipe, sandbox, progress) for recipe in recipes]
            shown += [tables.floors(builds), tables.stages(builds), tables.ends(builds, laps)]
    if only == "processes":
        return shown
    judged = {built.recipe.name: (built.judged.looks, built.judged.rule) for built in builds}
    judged = judged or {lap.name: (lap.looks, lap.rule) for lap in laps if lap.rule}
    told = {name: list(fates(looks, rule)) for name, (looks, rule) in judged.items()}
    return [*shown, tables.faces_missed(told), tables.boxes_wrong(judged)]


def sources(part: float, progress: Progress) -> list[Table]:
    """Measure the downloader on boards of their own; *part* of their full size."""
    paces = []
    for runs in RUNS:
        progress(f"pace of {runs} runs", 0, 0)
        paces.append(downloads.pace(runs, posts=_part(PACE_POSTS, part), gap_s=GAP_S, window_s=WINDOW_S))
    progress("runs of the same posts", 0, 0)
    shared = downloads.together(max(RUNS), SHARED_HOSTS, _part(POSTS_PER_HOST, part), share=FAULT_SHARE)
    progress("many hosts", 0, 0)
    many = downloads.load(HOSTS, _part(POSTS_PER_HOST, part), share=FAULT_SHARE)
    progress("kills", 0, 0)
    killed = downloads.kill(KILL_HOSTS, _part(KILL_POSTS, part), kills=KILLS, share=FAULT_SHARE)
    costs = cost.costs(_part(COST_IMAGES, part), progress)
    return [tables.downloader(paces, shared, many, killed), tables.fetching(costs)]


def _part(whole: int, share: float) -> int:
    return max(50, round(whole * min(1.0, share)))


def detect(
    sandbox: Sandbox, recipes: Sequence[Recipe], progress: Progress, *, cascade: bool
) -> list[tuple[str, list[Lap]]]:
    """Race all ways on a sample of the sandbox's pictures, as they are and enlarged."""
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as folder, ExitStack() as stack:
        store = Store(Path(folder))
        pictures = sample(sandbox, max(1, len(sandbox.posts) // OF_THE_POSTS), store)
        larger = list(enlarge(pictures, store))
        ways = all_ways(stack, recipes, store, cascade=cascade)
        return [
            (title, race(ways, some, title, progress))
            for title, some in (
                ("The detection stage, pictures of the sandbox", pictures),
                ("The detection stage, the same pictures enlarged to 2 to 4 megapixels", larger),
            )
        ]


def processes(sandbox: Sandbox, recipe: Recipe, progress: Progress) -> list[Table]:
    """Measure the processes that look for faces, on a sample of the sandbox's pictures, enlarged."""
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as folder:
        store = Store(Path(folder))
        count = max(pool.FEW * 4, len(sandbox.posts) // OF_THE_POSTS)
        pictures = list(enlarge(sample(sandbox, count, store), store))
        pace = pool.pace(recipe, pictures, store, progress)
        peaks = list(pool.memory(recipe, pictures[0], store, progress))
        saved = list(pool.one_decode(recipe, pictures[:ONE_DECODE], store, progress))
    return [tables.processes(pace, peaks), tables.decoding(saved)]


def find_cascade() -> bool:
    """Say whether the cascade is to be had, from where `flow` finds it or from `../shared/cascades`."""
    try:
        lbpcascade.find()
    except DetectorError:
        if "KAOSET_CASCADES" in os.environ or not SHARED.exists():
            return False
        os.environ["KAOSET_CASCADES"] = str(SHARED)  # for the processes that are started, too
        return find_cascade()
    return True


class Progress:
    """One line on a terminal that says how far the bench is; elsewhere a line for each part of it."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._status = self._console.status("bench")
        self._at = ""

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell of *done* out of *total*; of seconds when there is no total."""
        self._status.update(f"{what}: {done}/{total}" if total else f"{what}: {done} s")
        if what != self._at and not self._console.is_terminal:
            self._console.print(what, highlight=False, markup=False)
        self._at = what


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=ABOUT, epilog=MORE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        choices=(
            "faces",
            "detect",
            "processes",
            "build",
            "sources",
            "near",
            "release",
            "alike",
            "order",
            "review",
            "training",
        ),
        help="measure this part alone",
    )
    parser.add_argument(
        "--posts", type=_count, default=DEFAULT_POSTS, metavar="N", help=f"size of the board (default {DEFAULT_POSTS})"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the Markdown there")
    return parser


def _count(word: str) -> int:
    if not word.isdigit() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word}: a whole number from 1")
    return int(word)


if __name__ == "__main__":
    raise SystemExit(main())
