"""How a whole build is watched from outside: its seconds by stage, and the memory of its tree of processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import truth
from bench.truth import Look, Rule, Score
from pipeline.catalog import Catalog
from pipeline.errors import WorldError
from pipeline.recipe import Recipe
from pipeline.sandbox.posts import Kind, Sandbox

WORKERS = 2
SAMPLE_EVERY_S = 0.1
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Judged:
    """A finished build beside what was drawn."""

    looks: tuple[Look, ...]
    rule: Rule
    accepted: Score  # what the rule accepts, over all pictures
    released: Score  # what is in the release
    copies: tuple[int, int]  # near-copies grouped, of those whose faces were cut
    wrongly_grouped: list[str]
    reposts: tuple[int, list[str]]
    reasons: int  # bad posts dropped for the right reason
    wrong_reasons: list[str]
    decoys: tuple[int, int]  # kept out of what is accepted, of all


@dataclass(frozen=True, slots=True)
class Built:
    """One whole build of the sandbox."""

    recipe: Recipe
    stages: list[dict[str, Any]]  # rows of the run's reports: stage, seen, kept, seconds …
    wall_s: float  # from the command to its end, with the start of Python and of the board
    peak_bytes: int  # of the whole tree of processes; 0 where it cannot be measured
    judged: Judged

    @property
    def seconds(self) -> float:
        """All stages together."""
        return float(sum(row["seconds"] for row in self.stages))

    @property
    def images(self) -> int:
        """Files that were scraped and decode."""
        return next(int(row["kept"]) for row in self.stages if row["stage"] == "scrape")

    @property
    def per_core(self) -> float:
        """Images a second and core, from listing to release."""
        return self.images / self.seconds / WORKERS


def build_sandbox(recipe: Recipe, sandbox: Sandbox, progress: Callable[[str, int, int], None]) -> Built:
    """Build *recipe* in a fresh temporary folder with two workers, without Prefect and without training.

    The command is the one that a person types, in a process of its own. The board's pictures are drawn already; serving
    them is a part of what is measured.

    Raises:
        WorldError: The build failed.
    """
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as name:
        data = Path(name)
        (data / "sandbox").symlink_to(sandbox.folder.parent.resolve())
        wall_s, peak_bytes = _watched(recipe.name, data, len(sandbox.posts), progress)
        catalog = Catalog(data / "catalog.sqlite")
        try:
            stages = catalog.runs()[0]["reports"]
            return Built(recipe, stages, wall_s, peak_bytes, _judge(catalog, sandbox, recipe))
        finally:
            catalog.close()


def _watched(recipe: str, data: Path, posts: int, progress: Callable[[str, int, int], None]) -> tuple[float, int]:
    """Run the build and give its seconds and the peak memory of its tree of processes, bytes."""
    options = ["--data", str(data), "--workers", str(WORKERS), "--sandbox-posts", str(posts)]
    command = [sys.executable, "-m", "flows", "run", "build-dataset", recipe, *options, "--no-prefect", "--no-train"]
    own = {"KAOSET_CATALOG", "KAOSET_DATA", "KAOSET_SANDBOX_URL", "KAOSET_LOGIN", "KAOSET_API_KEY"}
    environment = {key: value for key, value in os.environ.items() if key not in own}
    began, peak = time.perf_counter(), 0
    with (data / "words").open("w+") as words:
        process = subprocess.Popen(  # noqa: S603 -- our own command
            command, stdin=subprocess.DEVNULL, stdout=words, stderr=words, env=environment
        )
        try:
            while process.poll() is None:
                peak = max(peak, tree_rss(process.pid))
                progress(f"build {recipe}", int(time.perf_counter() - began), 0)
                time.sleep(SAMPLE_EVERY_S)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        seconds = time.perf_counter() - began
        words.seek(0)
        last = words.read().strip().splitlines()[-1:]
    if process.returncode:
        raise WorldError(f"the build of {recipe} failed ({process.returncode}): {''.join(last) or 'it said nothing'}")
    return seconds, peak


def tree_rss(root: int) -> int:
    """Add up the resident memory of a process and of all that it started, bytes; shared pages count in each."""
    children: dict[int, list[int]] = defaultdict(list)
    for folder in PROC.glob("[0-9]*"):
        stat = _text(folder / "stat")
        if stat:  # "pid (name) state ppid …": the name may hold anything, a bracket too
            children[int(stat.rpartition(")")[2].split()[1])].append(int(folder.name))
    total, waiting = 0, [root]
    while waiting:
        pid = waiting.pop()
        waiting += children[pid]
        pages = _text(PROC / str(pid) / "statm").split()
        total += int(pages[1]) * os.sysconf("SC_PAGE_SIZE") if pages else 0
    return total


def _text(path: Path) -> str:
    """Read a file of /proc; empty when the process has ended meanwhile."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _judge(catalog: Catalog, sandbox: Sandbox, recipe: Recipe) -> Judged:
    rule = Rule(recipe.review.accept_alone, recipe.review.accept_agreed)
    looks = tuple(truth.looks(catalog, sandbox))
    together, copies, wrongly_grouped = truth.duplicates(catalog, sandbox)
    # Decoys are no bad posts: those that fool the detectors count against precision.
    right, wrong_reasons = truth.reasons(catalog, sandbox, leave_out={Kind.DECOY})
    decoys = [look for look in looks if look.post.kind is Kind.DECOY]
    return Judged(
        looks=looks,
        rule=rule,
        accepted=truth.score(looks, rule),
        released=truth.released(catalog, sandbox, recipe.crop.size / recipe.crop.zoom),
        copies=(together, copies),
        wrongly_grouped=wrongly_grouped,
        reposts=truth.reposts(catalog, sandbox),
        reasons=sum(right.values()),
        wrong_reasons=wrong_reasons,
        decoys=(sum(not look.boxes(rule) for look in decoys), len(decoys)),
    )
