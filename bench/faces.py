"""Draws hard pictures as large as originals on boards, and measures every way to find faces on them, by two workers."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as Pictures

from bench.scraping import peak
from pipeline.benchmark import Guess, Judged, Picture, Truth, judge, load
from pipeline.benchmark.rule import Rule
from pipeline.benchmark.ways import ANIMEFACE_SCRIPT, CASCADE_SCRIPT, check, find, of_recipe
from pipeline.errors import DetectorError, WorldError
from pipeline.recipe import Recipe, built_in
from pipeline.recipe import load as recipe
from pipeline.records import Box
from pipeline.sandbox import hard
from pipeline.sandbox.hard import Difficulty
from pipeline.store import Store
from pipeline.workers import Crashed, TimedOut, Workers

# The first of the numbers that a picture is drawn by. Those of `hard.build` begin with another: no set that anything
# was ever trained or fitted on, whatever its seed, holds a picture of this one.
SEED = 20_261_120
DIFFICULTIES = tuple(Difficulty)
EACH = 10  # pictures of each difficulty
RACED = 4  # of them, those that every way is shown
PIXELS = (1e6, 4e6)  # width times height of originals on boards
GRAIN = (0.7, 3.0)  # grey levels: standard deviation of the grain of paper, brush and camera
PNG_EVERY = 5  # the others are JPEG of quality 85 to 95
WORKERS = 2
AGAIN = 3  # times that kaoset looks at a round: it must last longer than the second's work that each worker is given
TIMEOUT_S = 120.0  # for one picture; no way comes near it

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(slots=True)
class Lap:
    """What one way made of the pictures that all ways were shown."""

    way: str
    seconds: dict[str, float] = field(default_factory=dict)  # of the wall, by paper
    pictures: dict[str, int] = field(default_factory=dict)  # looked at in that time
    cpu_s: dict[str, float] = field(default_factory=dict)  # of all of its workers
    peak_bytes: int = 0  # of the largest of its workers; 0 where it cannot be measured
    judged: Judged = field(default_factory=lambda: judge("", [], []))

    @property
    def per_second(self) -> float:
        """Pictures, with two workers."""
        return sum(self.pictures.values()) / sum(self.seconds.values())

    def cpu_of_one(self, *papers: str) -> float:
        """Seconds of a processor for one picture; of these papers, or of all."""
        which = papers or tuple(self.seconds)
        return sum(self.cpu_s[one] for one in which) / sum(self.pictures[one] for one in which)


@dataclass(frozen=True, slots=True)
class Scaling:
    """The same pictures looked at by two workers, by one, and by two again."""

    wall_s: Mapping[int, float]  # on average, by the number of workers
    cpu_s: Mapping[int, float]

    @property
    def faster(self) -> float:
        """How many times as fast two are."""
        return self.wall_s[1] / self.wall_s[WORKERS]

    @property
    def dearer(self) -> float:
        """How many times as much of a processor a picture costs when two look at once; 1 where neither hinders."""
        return self.cpu_s[WORKERS] / self.cpu_s[1]


@dataclass(frozen=True, slots=True)
class Measured:
    """All that is told of faces on originals."""

    ours: str  # the way of the default recipe
    laps: Sequence[Lap]
    scaling: Scaling
    judged: Judged  # ours, on all pictures
    peak_bytes: int  # of our largest worker, whatever it did; 0 where it cannot be measured
    megapixels: float  # of a picture, on average
    min_face: int  # pixels; what the default recipe looks for

    def lap(self, way: str) -> Lap | None:
        """Give what one way made of it; None where its detector is not to be had."""
        return next((lap for lap in self.laps if lap.way == way), None)


# --- the pictures -----------------------------------------------------------------------------------------------------


def paper_of(number: int) -> str:
    """Say what a picture is drawn on: all difficulties on smooth paper, then all on grainy paper, and so on."""
    return ("smooth", "grainy")[number // len(DIFFICULTIES) % 2]


def draw(folder: Path, least: float, number: int) -> Truth:
    """Draw one picture of the set, enlarge it to the size of an original, and save it as boards have them.

    A drawing of the sandbox is calmer than most of what people draw, and a cascade gives up early on calm paper: so
    every other round of all difficulties gets a grain, fine and coarse, alike in all colours.

    Args:
        folder: Where it is saved.
        least: How many times the drawing it is at least; no picture gets more than `PIXELS`.
        number: Of the picture, from 0.
    """
    difficulty = DIFFICULTIES[number % len(DIFFICULTIES)]
    picture, faces = hard.draw_hard((SEED, number), difficulty)
    rng = np.random.default_rng((SEED, number, 1))
    area = picture.width * picture.height
    scale = min((PIXELS[1] / area) ** 0.5, max(least, (rng.uniform(*PIXELS) / area) ** 0.5))
    size = (round(picture.width * scale), round(picture.height * scale))
    original = picture.resize(size, Pictures.Resampling.LANCZOS)
    if paper_of(number) == "grainy":
        original = _grainy(original, rng)
    path = folder / f"{number:04}-{difficulty}.{'png' if number % PNG_EVERY == PNG_EVERY - 1 else 'jpg'}"
    original.save(path, quality=int(rng.integers(85, 96)))  # PNG has none
    return Truth(path=path, faces=tuple(_larger(face.box, scale) for face in faces), group=difficulty.value)


def _grainy(picture: Pictures.Image, rng: np.random.Generator) -> Pictures.Image:
    grain = float(rng.uniform(*GRAIN))
    wide, high = picture.size
    fine_HW = rng.normal(0, grain, (high, wide)).astype(np.float32)
    coarse = Pictures.fromarray(rng.normal(0, grain, (high // 8 + 1, wide // 8 + 1)).astype(np.float32))
    coarse_HW = np.asarray(coarse.resize((wide, high), Pictures.Resampling.BICUBIC))
    pixels_HWC = np.asarray(picture, np.float32) + (fine_HW + coarse_HW)[:, :, None]
    return Pictures.fromarray(np.clip(pixels_HWC, 0, 255).astype(np.uint8))


def _larger(box: Box, scale: float) -> Box:
    side = round(box.width * scale)
    return Box(left=round(box.left * scale), top=round(box.top * scale), width=side, height=side)


def drawn(folder: Path, count: int, min_face: int, progress: Progress) -> list[Truth]:
    """Draw the set with two workers; the smallest face of a drawing gets *min_face* pixels, if the size allows it.

    Raises:
        WorldError: A worker died of it.
    """
    task = partial(draw, folder, min_face / hard.SMALLEST)
    truths: dict[int, Truth] = {}
    with Workers(WORKERS, timeout_s=TIMEOUT_S) as workers:
        for number, truth in workers.map(task, range(count)):
            if isinstance(truth, Crashed | TimedOut):
                raise WorldError(f"picture {number} could not be drawn: {truth.detail}; run the bench again")
            truths[number] = truth
            progress("draw", len(truths), count)
    return [truths[number] for number in range(count)]


# --- the processes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Condition:
    """How a worker is, told by itself."""

    pid: int
    cpu_s: float  # since it was started
    peak_bytes: int  # resident; 0 where it cannot be measured


def condition(_turn: int) -> Condition:
    """Tell it, in a worker."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return Condition(pid=os.getpid(), cpu_s=used.ru_utime + used.ru_stime, peak_bytes=peak())


def conditions(workers: Workers) -> list[Condition]:
    """Ask every worker: of as many short tasks as there are workers each gets one.

    Raises:
        WorldError: One of them has gone.
    """
    told = [one for _, one in workers.map(condition, range(workers.count)) if isinstance(one, Condition)]
    if len({one.pid for one in told}) < workers.count:
        raise WorldError("a worker died while it was measured; run the bench again")
    return told


class _Looking:
    """A way with workers of its own, and what they cost while it looks."""

    def __init__(self, way: str, store: Store, rule: Rule, min_face: int, workers: int = WORKERS) -> None:
        self.way, self._store, self._rule, self._min_face = way, store, rule, min_face
        self.workers = Workers(workers, timeout_s=TIMEOUT_S)

    def __call__(self, pictures: Sequence[Picture]) -> tuple[dict[str, Sequence[Guess]], float, float]:
        """Look, and give what is found by SHA-256, the seconds of the wall and those of the workers' processors."""
        before = sum(one.cpu_s for one in conditions(self.workers))
        began = time.perf_counter()
        found = dict(find(self.way, pictures, self._store, self.workers, self._rule, min_face=self._min_face))
        wall_s = time.perf_counter() - began
        return found, wall_s, sum(one.cpu_s for one in conditions(self.workers)) - before

    def warm(self, pictures: Sequence[Picture]) -> None:
        """Start the processes and load the detectors: each looks at something."""
        self(pictures[: 4 * self.workers.count])

    def peak_bytes(self) -> int:
        """Give the most memory that one of them had resident."""
        return max(one.peak_bytes for one in conditions(self.workers))


# --- what is measured -------------------------------------------------------------------------------------------------


def measure(part: float, progress: Progress) -> Measured:
    """Measure all ways on *part* of the full set, at least on one picture of each difficulty on each paper.

    Raises:
        WorldError: A worker died, or no detector of the default recipe is to be had.
    """
    default = recipe("default")
    ours, rule, min_face = of_recipe(default), Rule.of(default), default.filter.min_face
    each = max(2, round(EACH * min(1.0, part)))
    with tempfile.TemporaryDirectory(prefix="kaoset-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        (folder / "drawn").mkdir()
        truths = drawn(folder / "drawn", each * len(DIFFICULTIES), min_face, progress)
        store = Store(folder)
        pictures = [load(truth, store) for truth in truths]
        teams = {way: _Looking(way, store, rule, min_face) for way in ways(ours)}
        for team in teams.values():
            stack.callback(team.workers.close)
        laps = race(teams, ours, pictures[: min(RACED, each) * len(DIFFICULTIES)], progress)
        alone = _Looking(ours, store, rule, min_face, workers=1)
        stack.callback(alone.workers.close)
        scaling, found = scale(alone, teams[ours], pictures, progress)
        return Measured(
            ours=ours,
            laps=laps,
            scaling=scaling,
            judged=judge(ours, pictures, [found.get(one.image.sha256, ()) for one in pictures]),
            peak_bytes=max(alone.peak_bytes(), teams[ours].peak_bytes()),
            megapixels=sum(one.image.width * one.image.height for one in pictures) / len(pictures) / 1e6,
            min_face=min_face,
        )


def ways(ours: str) -> list[str]:
    """Name the scripts, the way of the default recipe, and those of the other built-in recipes, if they can be gone."""
    return list(_possible([ANIMEFACE_SCRIPT, CASCADE_SCRIPT, ours, *map(_way_of, map(recipe, built_in()))]))


def _way_of(one: Recipe) -> str:
    return "+".join(one.detect.detectors)


def _possible(names: Sequence[str]) -> Iterator[str]:
    for name in dict.fromkeys(names):
        try:
            check(name)
        except DetectorError:
            continue
        yield name


def race(teams: Mapping[str, _Looking], ours: str, pictures: Sequence[Picture], progress: Progress) -> list[Lap]:
    """Let every way look at one picture of each difficulty, on one paper and then on the other, in turn.

    So a busy moment of the machine hits all of them alike.
    """
    laps = {way: Lap(way) for way in teams}
    seen: dict[str, dict[str, Sequence[Guess]]] = {way: {} for way in teams}
    for way, team in teams.items():
        progress(f"start {way}", 0, 0)
        team.warm(pictures)
    order = list(teams)
    for first in range(0, len(pictures), len(DIFFICULTIES)):
        some, paper = pictures[first : first + len(DIFFICULTIES)], paper_of(first)
        for way in order:
            progress(f"faces on originals, {way}", first, len(pictures))
            times = AGAIN if way == ours else 1
            found, wall_s, cpu_s = teams[way]([*some] * times)
            lap = laps[way]
            seen[way] |= found
            lap.seconds[paper] = lap.seconds.get(paper, 0.0) + wall_s
            lap.pictures[paper] = lap.pictures.get(paper, 0) + len(some) * times
            lap.cpu_s[paper] = lap.cpu_s.get(paper, 0.0) + cpu_s
        order = order[1:] + order[:1]
    for way, lap in laps.items():
        lap.peak_bytes = teams[way].peak_bytes()
        lap.judged = judge(way, pictures, [seen[way].get(one.image.sha256, ()) for one in pictures])
    return list(laps.values())


def scale(
    alone: _Looking, both: _Looking, pictures: Sequence[Picture], progress: Progress
) -> tuple[Scaling, dict[str, Sequence[Guess]]]:
    """Let two workers look at all pictures, one, and two again; give what was found, too."""
    alone.warm(pictures)
    walls, cpus = dict[int, list[float]](), dict[int, list[float]]()
    found: dict[str, Sequence[Guess]] = {}
    for turn, team in enumerate((both, alone, both)):
        progress("two workers, one, and two", turn, 3)
        found, wall_s, cpu_s = team(pictures)
        walls.setdefault(team.workers.count, []).append(wall_s)
        cpus.setdefault(team.workers.count, []).append(cpu_s)
    return Scaling(*({count: sum(some) / len(some) for count, some in each.items()} for each in (walls, cpus))), found
