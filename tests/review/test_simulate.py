"""What an order would have saved is told by asking once more for what is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.review.features import DIM, NAMES, SCORE
from pipeline.review.simulate import simulate


def queue(
    count: int, *, score: float, looks: float, false: float = 0.06, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Crops of which the score and the looks tell as much as is wished."""
    rng = np.random.default_rng(seed)
    false_N = rng.random(count) < false
    cheap_ND = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    cheap_ND[:, SCORE] -= score * np.where(false_N, 1.0, -1.0)
    embedded_ND = rng.normal(size=(count, DIM)).astype(np.float32)
    embedded_ND[:, :4] += looks * np.where(false_N, 1.0, -1.0)[:, None]
    return cheap_ND, embedded_ND, false_N


def test_three_orders_are_compared() -> None:
    """Where the looks tell what the score does not, the learned order finds most; a random one finds as it goes."""
    chance, by_score, learned = simulate(*queue(1500, score=0.8, looks=0.8))

    assert [chance.name, by_score.name, learned.name] == ["random", "score", "learned"]
    assert learned.to_95 < 0.25 * chance.to_95 < by_score.to_95 < chance.to_95


def test_curves_tell_how_many_are_found_after_each() -> None:
    """From none after none to all after all; 95 % of them where the curve says so."""
    cheap_ND, embedded_ND, false_N = queue(500, score=1.0, looks=0.5)

    curves = simulate(cheap_ND, embedded_ND, false_N)

    for curve in curves:
        assert (curve.total, curve.false) == (500, false_N.sum())
        assert curve.found[0] == 0
        assert curve.found[-1] == false_N.sum()
        assert (np.diff(curve.found) >= 0).all()
    for curve in curves[1:]:
        assert curve.found[curve.to_95 - 1] < 0.95 * curve.false <= curve.found[curve.to_95]


def test_work_saved_is_measured_against_chance() -> None:
    """A random order saves next to nothing; the perfect order saves all but the false ones, less 0.05."""
    cheap_ND, embedded_ND, false_N = queue(1000, score=50.0, looks=0.0)

    chance, by_score, _ = simulate(cheap_ND, embedded_ND, false_N)

    assert by_score.to_95 == by_score.least == np.ceil(0.95 * false_N.sum())
    assert by_score.wss_95 == pytest.approx(1 - by_score.least / 1000 - 0.05)
    assert abs(chance.wss_95) < 0.02


def test_pages_that_teach_nothing_leave_the_order_by_score() -> None:
    """With fewer false ones than can be learnt from, what differs is what a page shows by chance."""
    cheap_ND, embedded_ND, _ = queue(300, score=0.0, looks=0.0)
    false_N = np.zeros(300, np.bool_)
    false_N[np.argsort(cheap_ND[:, SCORE])[[0, 10, 20]]] = True

    _, by_score, learned = simulate(cheap_ND, embedded_ND, false_N, page=10)

    assert by_score.to_95 == 21
    assert learned.to_95 <= 21 * 1.3


def test_the_same_seed_simulates_the_same() -> None:
    """Chance comes from the seed alone."""
    some = queue(400, score=0.5, looks=0.5)

    one, same, other = (simulate(*some, seed=seed)[2].found for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_queue_of_faces_alone_has_nothing_to_find() -> None:
    """That is said, not divided by."""
    cheap_ND, embedded_ND, false_N = queue(100, score=1.0, looks=1.0)

    with pytest.raises(ValueError, match="none of 100 crops is false"):
        simulate(cheap_ND, embedded_ND, false_N & False)
