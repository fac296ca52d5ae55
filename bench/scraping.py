"""Runs a recipe from list to scrape in a process of its own, to be measured from inside and killed from outside.

python -m bench.scraping DATA RECIPE, which is JSON
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import KaosetError, WorldError
from pipeline.recipe import Recipe, parse
from pipeline.run import Build, Settings

ROOT = Path(__file__).parents[1]
STEPS = ("list", "select", "scrape")


@dataclass(frozen=True, kw_only=True)
class Scraped:
    """What a run from list to scrape cost, and what it counted."""

    wall_s: float  # of the stages
    cpu_s: float  # of the whole process with all of its threads, Python's start and imports too
    peak_bytes: int  # resident
    stages: list[dict[str, Any]]  # stage, seen, kept, dropped by reason, judged


def main(words: list[str]) -> int:
    """Run a recipe on a data folder; what came of it goes to the standard output."""
    try:
        scraped = _scrape(parse(json.loads(words[1]), "bench"), Path(words[0]))
    except KaosetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(json.dumps(asdict(scraped)))
    return 0


def _scrape(recipe: Recipe, data: Path) -> Scraped:
    began = time.perf_counter()
    with Build(recipe, Settings(data=data), lambda *_: None, lambda _: None) as build:
        reports = [build.step(name) for name in STEPS]
        wall_s = time.perf_counter() - began
    cpu_s = time.process_time()
    rows = [
        {"stage": one.stage, "seen": one.seen, "kept": one.kept, "dropped": one.dropped, "judged": one.judged}
        for one in reports
    ]
    return Scraped(wall_s=wall_s, cpu_s=cpu_s, peak_bytes=peak(), stages=rows)


def peak() -> int:
    """Give the most memory of this process that was resident, bytes; 0 where it cannot be measured.

    Not that of getrusage: it begins with what the parent had, of whom a child is made.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def recipe(sections: Sequence[Mapping[str, Any]], *, name: str = "load", threads: int = 16) -> dict[str, Any]:
    """Describe a dataset of boards; nothing in it looks for faces."""
    return {
        "name": name,
        "sources": list(sections),
        "scrape": {"threads": threads},
        "detect": {"detectors": ["animeface"]},
    }


def command(recipe: Mapping[str, Any], data: Path) -> list[str]:
    """Give the command that runs *recipe* on the folder *data*, from the root of the repository."""
    return [sys.executable, "-m", "bench.scraping", str(data), json.dumps(recipe)]


@contextmanager
def start(recipe: Mapping[str, Any], data: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a run of *recipe* on the folder *data*; it is killed where the block is left before its end."""
    with subprocess.Popen(  # noqa: S603 -- our own module
        command(recipe, data), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def finish(process: subprocess.Popen[str]) -> Scraped:
    """Wait until a run has ended.

    Raises:
        WorldError: It failed, or was killed.
    """
    out, err = process.communicate()
    if process.returncode:
        last = "".join(err.strip().splitlines()[-1:])
        raise WorldError(f"a run of the bench failed ({process.returncode}): {last or 'it said nothing'}")
    return Scraped(**json.loads(out))


def scrape(recipe: Mapping[str, Any], data: Path) -> Scraped:
    """Run *recipe* on the folder *data* in a process of its own, to its end.

    Raises:
        WorldError: It failed.
    """
    with start(recipe, data) as process:
        return finish(process)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
