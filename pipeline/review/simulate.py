"""What an order of the queue would have saved: decisions that are known are asked for again, page by page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.review.order import FIRST, Ranker, expected_by_chance, items_to_find, learn, least_found
from pipeline.review.order import page as choose

PAGE = 60  # crops


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Curve:
    """How soon false crops are found in one order."""

    name: str  # random, score or learned
    found: NDArray[np.float64]  # how many after none, one, two … of all crops; of the random order what is expected
    to_95: int  # crops seen until 95 % of the false ones are found

    @property
    def total(self) -> int:
        """How many crops there are."""
        return len(self.found) - 1

    @property
    def false(self) -> int:
        """How many of them are false."""
        return round(float(self.found[-1]))

    @property
    def least(self) -> int:
        """What `to_95` would be if every false one came before any other: no order is better."""
        return least_found(self.false)

    @property
    def wss_95(self) -> float:
        """Work saved over sampling at 95 %: the share that need not be seen, less what chance would save, 0.05.

        Cohen et al., Reducing Workload in Systematic Review Preparation Using Automated Citation Classification,
        JAMIA 13 (2006).
        """
        return (self.total - self.to_95) / self.total - 0.05


def simulate(
    cheap_ND: NDArray[np.float32],
    embedded_ND: NDArray[np.float32],
    false_N: NDArray[np.bool_],
    page: int = PAGE,
    seed: int = 0,
) -> list[Curve]:
    """Say how soon false crops are found in a random order, by score, and in the order that is learnt on the way.

    The learned order begins by score, is learnt anew after each page from all that was seen, and makes up its pages as
    the review page does, with some that are doubtful and some by chance.

    Args:
        cheap_ND: As `features.cheap` gives them, for all crops of a queue.
        embedded_ND: As `features.embed` gives them.
        false_N: What a person would say, or has said, of each.
        page: Crops on a page.
        seed: Of what is put on a page by chance.

    Raises:
        ValueError: None of them is false: there is nothing to be found.
    """
    total, false = len(false_N), int(np.count_nonzero(false_N))
    if not false:
        raise ValueError(f"none of {total} crops is false: there is nothing to be found")
    chance = Curve(
        name="random",
        found=np.linspace(0, false, total + 1, dtype=np.float64),
        to_95=round(expected_by_chance(total, false)),
    )
    by_score = np.argsort(-FIRST.suspicion(cheap_ND, embedded_ND), kind="stable")
    learned = _learned(cheap_ND, embedded_ND, false_N, page, np.random.default_rng(seed))
    return [chance, _curve("score", by_score, false_N), _curve("learned", learned, false_N)]


def _curve(name: str, order: NDArray[np.int64], false_N: NDArray[np.bool_]) -> Curve:
    found = np.concatenate([[0.0], np.cumsum(false_N[order])])
    return Curve(name=name, found=found, to_95=items_to_find(order, false_N))


def _learned(
    cheap_ND: NDArray[np.float32],
    embedded_ND: NDArray[np.float32],
    false_N: NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    ranker: Ranker = FIRST
    seen = np.empty(0, np.int64)
    left = np.arange(len(false_N))
    while len(left):
        suspicion = ranker.suspicion(cheap_ND[left], embedded_ND[left])
        order = np.argsort(-suspicion, kind="stable")
        seen = np.concatenate([seen, choose(left[order], suspicion[order], count, rng)])
        left = np.setdiff1d(left, seen)
        ranker = learn(cheap_ND[seen], embedded_ND[seen], false_N[seen]) or ranker
    return seen
