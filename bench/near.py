"""How fast hashes that are near to each other are found, and whether any is missed: ours beside faiss' plain scan."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import WorldError
from pipeline.near import Hashes, near_pairs, runs
from pipeline.near_index import Index

ROOT = Path(__file__).parents[1]
WITHIN = 8  # bits
MILLION = 1_000_000
SIZES = (0.25, 0.5, 1.0, 2.0)  # of a million
FAR = 10  # millions: what is told without being measured
NEW = 1000  # hashes that are asked for
SCAN_S = 20.0  # how long faiss compares with all before the rest is told by rule of three
SCANNED = 1000  # hashes that faiss asks for in one go
FLIPPED = 10  # bits, at most, in which a planted copy differs
CROWD = 0.1  # share of all that agree in a quarter of their bits

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, slots=True)
class Joined:
    """All pairs among some hashes."""

    hashes: int
    pairs: int
    seconds: float  # of the processor
    peak_bytes: int  # resident, of the whole process


@dataclass(frozen=True, slots=True)
class Scanned:
    """The same by comparing all with all, for some of the hashes."""

    hashes: int
    asked: int  # of the hashes
    seconds: float  # for these
    missed: int  # pairs in which only one of both, ours or theirs, believes

    @property
    def whole_s(self) -> float:
        """What all of them would take, by rule of three where they were not asked."""
        return self.seconds * self.hashes / self.asked


@dataclass(frozen=True, slots=True)
class Asked:
    """New hashes against an index in a folder."""

    hashes: int
    new: int
    built_s: float
    seconds: float  # the folder opened afresh
    one_s: float  # for one hash, when others were asked before
    scan_s: float | None  # by faiss, all of them
    missed: int | None  # answers that only one of both gives


@dataclass(frozen=True, slots=True)
class Measured:
    """All that is told of near hashes."""

    joined: list[Joined]
    scanned: Scanned | None  # where faiss is installed
    asked: Asked

    @property
    def slope(self) -> float:
        """How the time grows: with the number of hashes to this power."""
        logs = np.log([[one.hashes, one.seconds] for one in self.joined])
        return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])

    @property
    def far_s(self) -> float:
        """What the far size would take, were the growth to go on."""
        last = self.joined[-1]
        return float(last.seconds * (FAR * MILLION / last.hashes) ** self.slope)


def measure(part: float, progress: Progress) -> Measured:
    """Measure each in a process of its own with one thread; *part* of the full sizes.

    Raises:
        WorldError: One of them failed.
    """
    sizes = [max(NEW, round(size * MILLION * min(1.0, part))) for size in SIZES]
    joined = []
    for size in sizes:
        progress(f"pairs of {size:,}", 0, 0)
        joined.append(Joined(**_apart("pairs", size)))
    million = sizes[SIZES.index(1.0)]
    progress(f"{NEW:,} new against {million:,}", 0, 0)
    asked = Asked(**_apart("asked", million))
    if importlib.util.find_spec("faiss") is None:
        return Measured(joined, None, asked)
    progress(f"faiss, {million:,}", 0, 0)
    return Measured(joined, Scanned(**_apart("scanned", million)), asked)


def plant(count: int, seed: int = 0) -> Hashes:
    """Draw hashes: half of them copies of others with up to ten bits flipped, a tenth of all in one crowd."""
    random = np.random.default_rng(seed)
    first = random.integers(0, 2**64, count - count // 2, np.uint64)
    source = random.integers(0, len(first), count // 2)
    copies, flips = first[source], random.integers(0, FLIPPED + 1, len(source))
    for turn in range(FLIPPED):
        bit = np.uint64(1) << random.integers(0, 64, len(copies)).astype(np.uint64)
        copies ^= np.where(turn < flips, bit, np.uint64(0))
    hashes, crowd = np.concatenate([first, copies]), random.random(len(first)) < CROWD
    crowd = np.concatenate([crowd, crowd[source]])
    hashes[crowd] = hashes[crowd] & np.uint64(0x0000_FFFF_FFFF_FFFF) | np.uint64(0x8F1A << 48)
    return np.asarray(random.permutation(hashes))


def _apart(what: str, size: int) -> Mapping[str, Any]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(  # noqa: S603 -- ourselves
        [sys.executable, "-m", "bench.near", what, str(size)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise WorldError(f"near, {what} of {size}: {''.join(done.stderr.strip().splitlines()[-1:])}")
    told: Mapping[str, Any] = json.loads(done.stdout)
    return told


def _joined(size: int) -> Joined:
    hashes = plant(size)
    began = time.process_time()
    pairs = near_pairs(hashes, WITHIN)
    return Joined(size, len(pairs), time.process_time() - began, _peak_bytes())


def _scanned(size: int) -> Scanned:
    hashes, asked, found = plant(size), 0, list[NDArray[np.int64]]()
    began = time.process_time()
    for some in _scan(hashes, hashes):
        found.append(some)
        asked = min(size, asked + SCANNED)
        if time.process_time() - began > SCAN_S:
            break
    seconds = time.process_time() - began
    theirs = np.sort(np.concatenate(found), axis=1)
    theirs = theirs[theirs[:, 0] < theirs[:, 1]]
    ours = near_pairs(hashes, WITHIN)
    return Scanned(size, asked, seconds, len(np.setxor1d(_whole(ours[ours[:, 0] < asked]), _whole(theirs))))


def _asked(size: int) -> Asked:
    hashes = plant(size + NEW)
    hashes, new = hashes[NEW:], hashes[:NEW]
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as folder:
        began = time.process_time()
        Index(Path(folder)).add([f"{number:064x}" for number in range(size)], hashes)
        built, began = time.process_time() - began, time.process_time()
        index = Index(Path(folder))
        found = index.near_many(new, WITHIN)
        seconds, began = time.process_time() - began, time.process_time()
        for value in new[:100].tolist():
            index.near(value, WITHIN)
        one = (time.process_time() - began) / 100
    if importlib.util.find_spec("faiss") is None:
        return Asked(size, NEW, built, seconds, one, None, None)
    began = time.process_time()
    theirs = np.concatenate(list(_scan(hashes, new)))
    scan = time.process_time() - began
    ours = np.stack([found.queries, [int(key, 16) for key in found.keys.tolist()]], axis=1)
    return Asked(size, NEW, built, seconds, one, scan, len(np.setxor1d(_whole(ours), _whole(theirs))))


def _scan(hashes: Hashes, asked: Hashes) -> Iterator[NDArray[np.int64]]:
    """Let faiss compare with all, a block at a time: (M, 2), which was asked for, and which of all is near."""
    import faiss  # noqa: PLC0415 -- an extra

    faiss.omp_set_num_threads(1)
    flat = faiss.IndexBinaryFlat(64)
    flat.add(hashes.view(np.uint8).reshape(-1, 8))
    for low in range(0, len(asked), SCANNED):
        block = asked[low : low + SCANNED].view(np.uint8).reshape(-1, 8)
        ends, _, near = flat.range_search(block, WITHIN + 1)  # nearer than that
        yield np.stack([low + runs(np.diff(ends).astype(np.int64))[0], near], axis=1)


def _whole(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give one number for each pair."""
    return pairs[:, 0] << 32 | pairs[:, 1]


def _peak_bytes() -> int:
    """Give the most memory that this process ever had, as the kernel counts it."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    _WAYS: Mapping[str, Callable[[int], Joined | Scanned | Asked]] = {
        "pairs": _joined,
        "scanned": _scanned,
        "asked": _asked,
    }
    print(json.dumps(asdict(_WAYS[sys.argv[1]](int(sys.argv[2])))))
