"""How many crops a person sees until 95 % of the false ones are found, in each order, on drawings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

from bench.report import Table
from flows.order import LEAST, PICTURES, SEED, Queue, Simulated, look_at
from flows.order import draw as draw_curves
from pipeline.review import ReviewCrops
from pipeline.review.simulate import PAGE
from pipeline.sandbox import hard

RUNS = 5  # of the learned order, which puts some crops on a page by chance
WORKERS = 2
RULE = ReviewCrops(decisions={})
NOTHING_SURE = ReviewCrops(accept_agreed=1.5, decisions={})
OWN, USUAL, DEFAULT = ("drawn_faces",), ("lbpcascade",), ("drawn_net", "lbpcascade", "animeface")
GOAL = 0.25  # of the random order

Progress = Callable[[str, int, int], None]  # what, done, total


@dataclass(frozen=True, slots=True)
class Measured:
    """A queue, reviewed several times."""

    runs: tuple[Simulated, ...]

    @property
    def about(self) -> str:
        """What waits in it."""
        return self.runs[0].about

    @property
    def total(self) -> int:
        """How many crops wait."""
        return self.runs[0].curves[0].total

    @property
    def false(self) -> int:
        """How many of them are false."""
        return self.runs[0].curves[0].false

    @property
    def least(self) -> int:
        """How many are seen at the least, whatever the order."""
        return self.runs[0].curves[0].least

    def to_95(self, order: str) -> float:
        """Give the crops that are seen in an order, on average."""
        return mean(curve.to_95 for run in self.runs for curve in run.curves if curve.name == order)

    def wss_95(self, order: str) -> float:
        """Give the work that an order saves, on average."""
        return mean(curve.wss_95 for run in self.runs for curve in run.curves if curve.name == order)

    def share(self, seen: float) -> float:
        """Say which share of the random order so many crops are."""
        return seen / self.to_95("random")


def measure(part: float, folder: Path, progress: Progress, *, cascade: bool) -> list[Measured]:
    """Review hard pictures in several queues.

    Args:
        part: Of the full number of pictures; 1 is all.
        folder: Keeps the drawings.
        progress: Told how far it is.
        cascade: Whether the third-party cascade is here; without it two queues are left out.

    Raises:
        WorldError: A detector is missing, or nothing can be written.
    """
    pictures = max(len(hard.Difficulty), round(PICTURES * min(1.0, part)))
    drawn = hard.build(folder, pictures, SEED, progress=lambda *now: progress("draw", *now))
    return [
        Measured(tuple(queue.simulated(run) for run in range(RUNS)))
        for queue in _queues(drawn, progress, cascade=cascade)
    ]


def _queues(drawn: list[hard.Labelled], progress: Progress, *, cascade: bool) -> Iterator[Queue]:
    yield look_at(drawn, OWN, WORKERS, progress).queue("drawn_faces alone: all waits", RULE)
    if cascade:
        yield look_at(drawn, USUAL, WORKERS, progress).queue("lbpcascade alone: all waits", RULE)
        seen = look_at(drawn, DEFAULT, WORKERS, progress)
        yield seen.queue("default detectors, nothing is sure", NOTHING_SURE)
        yield seen.queue("default detectors, by the default rule", RULE)


def table(measured: list[Measured]) -> Table:
    """Tell how many crops are seen, in each queue and order."""
    rows = []
    for one in measured:
        seen = [one.to_95(order) for order in ("random", "score", "learned")]
        rows.append(
            [
                one.about,
                str(one.total),
                str(one.false),
                *(f"{number:.0f}" for number in seen),
                str(one.least),
                *(f"{one.share(number):.1%}" for number in (*seen[1:], one.least)),
                f"{one.wss_95('learned'):.3f}",
            ]
        )
    return Table(
        "Crops seen until 95 % of the false ones are found",
        [
            "queue", "crops", "false", "random", "by score", "learned", "at least",
            "by score, of random", "learned, of random", "at least, of random", "learned, WSS@95",
        ],
        rows,
        f"Hard pictures of seed {SEED}, of which nothing was fitted; pages of {PAGE}; what is less probable than "
        f"{LEAST} nobody sees. Random is the mean of all orders, learned that of {RUNS} runs; 'at least' is the order "
        f"that knows the truth. The goal is {GOAL:.0%} of the random order; where more than that are false, no order "
        "can reach it.",
    )  # fmt: skip


def draw(measured: list[Measured]) -> bytes:
    """Draw the first run of each queue, as a PNG."""
    return draw_curves([one.runs[0] for one in measured])
