"""Hides which crops are looked at next: a small model learns from decisions which of the others are probably false."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.review.features import DIM, NAMES, SCORE

ENOUGH = 40  # decisions, from which on something is learnt
FEWEST = 5  # of them false, and as many true
DOUBTFUL, BY_CHANCE = 0.10, 0.05  # shares of a page: where the model is in doubt, and where it knows nothing
FOLDS = 5
# What speaks against a weight, in decisions. The score is believed to be what it says, log-odds by log-odds, until
# decisions say otherwise; of nothing else is anything believed. All of the looks together may say little more than
# one number, so each of them is spread thin. On hard pictures (seeds 11 and 13) any of these may be four times as large
# or as small, and the crops that are seen until 95 % of the false ones are found become 4 % more on average, at most.
_TRUST, _RIDGE, _LOOKS_RIDGE = 10.0, 4.0, 0.1
_FREE = 0.01  # of what is true of all; how common false ones are is what nobody knows
_ROUNDS = 30  # of Newton's method, which needs about ten
_CLOSE = 1e-4  # log-odds; a smaller step moves nothing past anything else
_NARROW = 0.2  # units of `cheap`; a number that differs by less among the decisions is not to be blown up
_STEADY = 0.05  # the same of looks, in the median width of all

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class Ranker:
    """Says how probably false crops are, as far as it has learnt; false and true ones are taken to be as common."""

    about: str  # "score", or how much it was learnt from
    weights: NDArray[np.float32]  # log-odds: what is true of all, then a unit of each of NAMES
    look_weights: NDArray[np.float32] | None = None  # the same where looks are known, with those of the looks behind

    def suspicion(self, cheap_ND: NDArray[np.float32], embedded_ND: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give for each crop how probable it is that it is false, 0 to 1.

        Args:
            cheap_ND: As `features.cheap` gives them.
            embedded_ND: As `features.embed` gives them; of a row that is not all numbers the cheap ones decide alone.
        """
        odds = self.weights[0] + cheap_ND @ self.weights[1:]
        if self.look_weights is not None and len(cheap_ND):
            known, looks = np.split(self.look_weights, [1 + len(NAMES)])
            seen = known[0] + cheap_ND @ known[1:] + embedded_ND @ looks  # NaN where one of them is
            odds = np.where(np.isfinite(seen), seen, odds)
        believed: NDArray[np.float32] = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
        return np.asarray(believed, np.float32)


def _by_score() -> NDArray[np.float32]:
    weights = np.zeros(1 + len(NAMES), np.float32)
    weights[1 + SCORE] = -1
    return weights


FIRST = Ranker(about="score", weights=_by_score())


def learn(cheap_ND: NDArray[np.float32], embedded_ND: NDArray[np.float32], false_N: NDArray[np.bool_]) -> Ranker | None:
    """Learn from decisions; None while they are too few, or too few of one kind.

    Two logistic models, both kinds of decision weighing the same: one of what is cheaply known, and one that knows the
    looks as well. Each is the maximum a posteriori with a Gaussian prior about the score's own order, so that a few
    decisions move it little.

    Args:
        cheap_ND: As `features.cheap` gives them.
        embedded_ND: As `features.embed` gives them; rows that are not all numbers teach the first model alone.
        false_N: Whether a person rejected each.
    """
    if not _suffices(false_N):
        return None
    cheap = cheap_ND.astype(np.float64)
    seen = np.isfinite(embedded_ND).all(axis=1)
    look_weights = None
    if _suffices(false_N[seen]):
        look_weights = _fitted(cheap[seen], embedded_ND[seen].astype(np.float64), false_N[seen])
    nothing = np.empty((len(cheap), 0))
    return Ranker(
        about=f"learned from {len(false_N)} decisions",
        weights=_fitted(cheap, nothing, false_N),
        look_weights=look_weights,
    )


def _suffices(false_N: NDArray[np.bool_]) -> bool:
    false = int(np.count_nonzero(false_N))
    return len(false_N) >= ENOUGH and min(false, len(false_N) - false) >= FEWEST


def _fitted(cheap: Floats, looks: Floats, false_N: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fit the weights of one model, for numbers as they come."""
    widths = np.maximum(cheap.std(axis=0), _NARROW)
    spread = looks.std(axis=0)
    spread = np.maximum(spread, _STEADY * np.median(spread) + 1e-6) if looks.shape[1] else spread
    wide = np.concatenate([widths, spread * math.sqrt(DIM)])
    known = np.concatenate([cheap, looks], axis=1)
    middle = known.mean(axis=0)
    ones = np.ones((len(known), 1))
    prior = np.zeros(1 + len(wide))
    prior[1 + SCORE] = -widths[SCORE]
    ridge = np.concatenate([[_FREE], np.full(cheap.shape[1], _RIDGE), np.full(looks.shape[1], _LOOKS_RIDGE)])
    ridge[1 + SCORE] = _TRUST
    found = _newton(np.concatenate([ones, (known - middle) / wide], axis=1), false_N, prior, ridge)
    weights = found[1:] / wide
    return np.concatenate([[found[0] - weights @ middle], weights]).astype(np.float32)


def _newton(rows: Floats, false_N: NDArray[np.bool_], prior: Floats, ridge: Floats) -> Floats:
    """Find the maximum a posteriori as `pipeline.score.fit` does, both kinds weighing half of all."""
    truth = false_N.astype(np.float64)
    false = np.count_nonzero(false_N)
    counts = len(rows) / 2 / np.where(false_N, false, len(rows) - false)
    weights = prior.copy()

    def wrong(tried: Floats) -> float:
        odds = rows @ tried
        return float(counts @ (np.logaddexp(0, odds) - truth * odds) + ridge @ (tried - prior) ** 2 / 2)

    now = wrong(weights)
    for _ in range(_ROUNDS):
        believed = 1 / (1 + np.exp(-np.clip(rows @ weights, -30, 30)))
        slope = rows.T @ (counts * (believed - truth)) + ridge * (weights - prior)
        curve = (rows.T * (counts * believed * (1 - believed))) @ rows + np.diag(ridge)
        step = np.linalg.solve(curve, slope)
        while np.abs(step).max() > _CLOSE and wrong(weights - step) > now:
            step /= 2  # far from the best, Newton's step may go too far, and to and fro for ever
        weights -= step
        now = wrong(weights)
        if np.abs(step).max() <= _CLOSE:
            break
    return weights


def second_look(
    cheap_ND: NDArray[np.float32], embedded_ND: NDArray[np.float32], kept_N: NDArray[np.bool_], most: int = 60
) -> NDArray[np.int64]:
    """Name the crops that a person kept and a model thinks false, the most suspicious first.

    Each is judged by a model that was learnt from the other four fifths of the decisions. Of near-copies, which were
    decided as one, give one: a model that has learnt from a copy would believe what was said of it.

    Args:
        cheap_ND: Of all that was decided.
        embedded_ND: The same.
        kept_N: Whether each was kept; the others were rejected.
        most: Give no more than so many.
    """
    suspicion = np.zeros(len(kept_N), np.float32)
    fold_of = np.empty(len(kept_N), np.int64)
    for kind in (kept_N, ~kept_N):  # each fold has its share of both
        some = np.random.default_rng(0).permutation(np.flatnonzero(kind))
        fold_of[some] = np.arange(len(some)) % FOLDS
    for fold in range(FOLDS):
        held, taught = fold_of == fold, fold_of != fold
        ranker = learn(cheap_ND[taught], embedded_ND[taught], ~kept_N[taught])
        if ranker is not None:
            suspicion[held] = ranker.suspicion(cheap_ND[held], embedded_ND[held])
    doubted = np.flatnonzero(kept_N & (suspicion > 0.5))
    return doubted[np.argsort(-suspicion[doubted], kind="stable")][:most]


def page(
    order: NDArray[np.int64], suspicion: NDArray[np.float32], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Choose a page: most of it from the top, some where the model is in doubt, a few by chance.

    What only the top is learnt from is soon learnt well, and all else never; and a false one that looks like no other
    is found by chance alone.

    Args:
        order: Crops, the most suspicious first.
        suspicion: Of each of these.
        count: How many to give, or all where there are fewer.
        rng: Chooses those by chance.

    Returns:
        Some of *order*, each once, the most suspicious first.
    """
    if count >= len(order):
        return order
    doubtful, by_chance = round(DOUBTFUL * count), round(BY_CHANCE * count)
    top = count - doubtful - by_chance
    rest = np.arange(top, len(order))
    nearest = np.argsort(np.abs(suspicion[rest] - 0.5), kind="stable")
    chance = rng.choice(nearest[doubtful:], by_chance, replace=False)
    places = np.sort(np.concatenate([np.arange(top), rest[nearest[:doubtful]], rest[chance]]))
    return np.asarray(order[places])


def items_to_find(order: NDArray[np.int64], false_N: NDArray[np.bool_], share: float = 0.95) -> int:
    """Say how many crops are seen, in this order, until so large a share of the false ones was among them.

    Args:
        order: Indices into *false_N*, each once.
        false_N: Whether each is false.
        share: More than 0, at most 1.
    """
    found = np.cumsum(false_N[order])
    wanted = least_found(int(np.count_nonzero(false_N)), share)
    return int(np.searchsorted(found, wanted)) + 1 if wanted else 0


def expected_by_chance(total: int, false: int, share: float = 0.95) -> float:
    """Say the same for a random order of *total* crops: the mean over all of them, exactly.

    The k-th of F marked among N stands at k (N + 1) / (F + 1) on average (the negative hypergeometric distribution).
    """
    return least_found(false, share) * (total + 1) / (false + 1)


def least_found(false: int, share: float = 0.95) -> int:
    """Say how many false ones are at least so large a share of them."""
    return math.ceil(share * false - 1e-9)
