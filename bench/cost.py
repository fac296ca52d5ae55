"""What an image costs, in seconds of the processor: ours beside a plain script and beside img2dataset."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import hosts, scraping
from bench.hosts import Host, Served
from pipeline.errors import WorldError

FEW = 8  # images of a first run, whose cost is that of starting and is taken off
SIDE = 512  # pixels
THREADS = 4
ROOT = Path(__file__).parents[1]
IMG2DATASET = "KAOSET_IMG2DATASET"  # in the environment: where the command is
QUOTED = 100  # images a second and core, with resizing, by img2dataset's own README


@dataclass(frozen=True)
class Cost:
    """What fetching cost one way."""

    way: str
    images: int
    cpu_s: float  # for one image, without the start

    @property
    def per_core(self) -> float:
        """Images a second that one core would do."""
        return 1 / self.cpu_s


@dataclass(frozen=True)
class _Board:
    """One host to fetch all of, and where to put it."""

    host: Host
    url: str
    folder: Path

    @property
    def count(self) -> int:
        """How many files it has."""
        return len(self.host.sandbox.posts)

    @property
    def files(self) -> list[str]:
        """Where each file is to be had by any program; the board itself refuses those that look like browsers."""
        return [f"{self.url}/sandbox/files/{post.file}" for post in self.host.sandbox.posts]


Progress = Callable[[str, int, int], None]  # what, done, total
_Way = Callable[[_Board], Sequence[str]]  # gives the command


def costs(images: int, progress: Progress) -> list[Cost]:
    """Measure every way that is to be had on *images* JPEGs of 512 pixels: user and system time of all its processes.

    Raises:
        WorldError: A way failed.
    """
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as name:
        folder = Path(name)
        few, many = (
            hosts.plant(folder / str(count), hosts=1, posts=count, side=SIDE, bad=0.0, seed=count)
            for count in (FEW, images)
        )
        with hosts.serve([*few, *many]) as served:
            return [
                Cost(way, images, _for_one(way, command, served, folder / f"way {number}", progress))
                for number, (way, command) in enumerate(_ways())
            ]


def _for_one(way: str, command: _Way, served: Served, folder: Path, progress: Progress) -> float:
    """Fetch the small board and the large one, and give the seconds that each image more has cost."""
    folder.mkdir()
    few, many = (
        _Board(host, url, folder / str(turn))
        for turn, (host, url) in enumerate(zip(served.hosts, served.urls, strict=True))
    )
    start, whole = (_spent(command, board, progress, way) for board in (few, many))
    return (whole - start) / (many.count - few.count)


def _ways() -> Iterator[tuple[str, _Way]]:
    yield "kaoset, list to store", _kaoset
    yield "plain script, requests.get", _plain
    if program := os.environ.get(IMG2DATASET) or shutil.which("img2dataset"):
        yield "img2dataset, as it comes (256 px)", lambda board: _img2dataset(program, board)
        as_they_are = ("--resize_mode=no", "--disable_all_reencoding=True")
        yield "img2dataset, files as they are", lambda board: _img2dataset(program, board, *as_they_are)


def _spent(command: _Way, board: _Board, progress: Progress, way: str) -> float:
    """Run a way, and give the seconds that its processes used."""
    progress(way, 0, board.count)
    before = _used()
    done = subprocess.run(  # noqa: S603 -- our own commands, and the one that the person named
        command(board), cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False
    )
    after = _used()
    arrived = [path for path in board.folder.rglob("*") if path.is_file() and path.stat().st_size > 1000]
    if done.returncode or len(arrived) < board.count:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        raise WorldError(
            f"{way}: {len(arrived)} files of {board.count} came ({done.returncode}): {last or 'it said nothing'}"
        )
    return after - before


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> Mapping[str, str]:
    """Let nothing ask the network for a newer version of itself."""
    return {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1", "WANDB_MODE": "disabled"}


def _kaoset(board: _Board) -> Sequence[str]:
    return scraping.command(scraping.recipe([hosts.section("board", board.url)], threads=THREADS), board.folder)


def _plain(board: _Board) -> Sequence[str]:
    return [sys.executable, "-m", "bench.plain", board.url, str(board.folder)]


def _img2dataset(program: str, board: _Board, *options: str) -> Sequence[str]:
    addresses = board.folder.with_suffix(".txt")
    addresses.write_text("".join(f"{one}\n" for one in board.files))
    where = [f"--url_list={addresses}", f"--output_folder={board.folder}", "--output_format=files"]
    return [program, *where, "--processes_count=1", f"--thread_count={THREADS}", "--enable_wandb=False", *options]
