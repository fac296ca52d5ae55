"""Decisions put the rest of the queue in order, and a few of them never make it worse."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.review.features import DIM, NAMES, SCORE
from pipeline.review.order import (
    ENOUGH,
    FEWEST,
    FIRST,
    Ranker,
    expected_by_chance,
    items_to_find,
    learn,
    page,
    second_look,
)

Crops = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]


def crops(count: int, seed: int = 0, *, false: float = 0.2, told_by_looks: float = 0.0) -> Crops:
    """Crops whose score says something, and whose looks say as much as is wished."""
    rng = np.random.default_rng(seed)
    false_N = rng.random(count) < false
    cheap_ND = rng.normal(size=(count, len(NAMES))).astype(np.float32)
    cheap_ND[:, SCORE] += np.where(false_N, -1.0, 1.0)
    embedded_ND = rng.normal(size=(count, DIM)).astype(np.float32)
    embedded_ND[:, 3] += told_by_looks * np.where(false_N, 1.0, -1.0)
    return cheap_ND, embedded_ND, false_N


def learned(known: Crops) -> Ranker:
    ranker = learn(*known)
    assert ranker is not None
    return ranker


def separation(suspicion: NDArray[np.float32], false_N: NDArray[np.bool_]) -> float:
    """The share of pairs, a false one and a true one, in which the false one is the more suspicious."""
    return float((suspicion[false_N][:, None] > suspicion[~false_N]).mean())


def test_the_first_order_is_that_of_the_score() -> None:
    """The least probable face comes first; suspicion is what the score leaves."""
    cheap_ND = np.zeros((3, len(NAMES)), np.float32)
    cheap_ND[:, SCORE] = [2.0, -2.0, 0.0]

    suspicion = FIRST.suspicion(cheap_ND, np.full((3, DIM), np.nan, np.float32))

    assert FIRST.about == "score"
    assert suspicion == pytest.approx([0.119, 0.881, 0.5], abs=1e-3)


def test_nothing_is_learnt_from_too_little() -> None:
    """Neither from few decisions, nor from many of which hardly any is of one kind."""
    cheap_ND, embedded_ND, _ = crops(1000)
    few_of_a_kind = np.arange(1000) < FEWEST - 1

    assert learn(cheap_ND[: ENOUGH - 1], embedded_ND[: ENOUGH - 1], np.arange(ENOUGH - 1) % 2 == 0) is None
    assert learn(cheap_ND, embedded_ND, few_of_a_kind) is None
    assert learn(cheap_ND, embedded_ND, ~few_of_a_kind) is None
    assert learn(cheap_ND[:0], embedded_ND[:0], few_of_a_kind[:0]) is None


def test_what_was_learnt_says_from_how_much() -> None:
    """People are told by what the queue is in order."""
    assert learned(crops(120)).about == "learned from 120 decisions"


def test_looks_put_the_rest_in_order() -> None:
    """Where looks tell more than the score, what was learnt finds what the score does not."""
    ranker = learned(crops(300, told_by_looks=1.5))
    cheap_ND, embedded_ND, false_N = crops(2000, seed=1, told_by_looks=1.5)

    by_score, by_model = (separation(one.suspicion(cheap_ND, embedded_ND), false_N) for one in (FIRST, ranker))
    assert by_model > by_score + 0.02


@pytest.mark.parametrize("seed", range(5))
def test_a_few_decisions_hardly_spoil_the_order(seed: int) -> None:
    """Where nothing but the score tells anything, forty decisions and 156 chances to be fooled leave most of it."""
    rest = crops(3000, seed=100)

    ranker = learned(crops(ENOUGH, seed, false=0.4))

    by_score, by_model = (separation(one.suspicion(*rest[:2]), rest[2]) for one in (FIRST, ranker))
    assert by_model > by_score - 0.1


def test_a_crop_whose_looks_are_unknown_is_ranked_by_its_numbers() -> None:
    """Its suspicion is that of the model of the numbers alone, and never NaN."""
    ranker, (cheap_ND, embedded_ND, false_N) = learned(crops(300)), crops(500, seed=1)
    unknown = embedded_ND.copy()
    unknown[::2] = np.nan

    suspicion = ranker.suspicion(cheap_ND, unknown)

    alone = Ranker(about="", weights=ranker.weights).suspicion(cheap_ND, embedded_ND)
    assert np.array_equal(suspicion[::2], alone[::2])
    assert np.array_equal(suspicion[1::2], ranker.suspicion(cheap_ND, embedded_ND)[1::2])
    assert separation(suspicion, false_N) > 0.85


def test_decisions_without_looks_teach_what_the_numbers_say() -> None:
    """Where no crop was looked at there is a model all the same."""
    cheap_ND, embedded_ND, false_N = crops(300)

    ranker = learned((cheap_ND, np.full_like(embedded_ND, np.nan), false_N))

    assert ranker.look_weights is None
    assert separation(ranker.suspicion(cheap_ND, embedded_ND), false_N) > 0.9


@pytest.mark.parametrize("constant", [0.0, 3.0])
def test_a_number_that_never_changes_is_no_trouble(constant: float) -> None:
    """Nothing is learnt of it, also where looks are all alike; all suspicion is finite."""
    cheap_ND, embedded_ND, false_N = crops(300)
    cheap_ND[:, SCORE + 1] = constant
    ranker = learned((cheap_ND, np.full_like(embedded_ND, constant), false_N))

    suspicion = ranker.suspicion(cheap_ND, embedded_ND * 100)

    assert np.isfinite(suspicion).all()
    assert ranker.weights[2 + SCORE] == pytest.approx(0, abs=1e-6)


def test_kinds_weigh_the_same_however_rare_one_is() -> None:
    """With one in twenty false, a typical false crop is still more probably false than not."""
    cheap_ND, embedded_ND, false_N = crops(2000, false=0.05)

    suspicion = learned((cheap_ND, embedded_ND, false_N)).suspicion(cheap_ND, embedded_ND)

    assert np.median(suspicion[false_N]) > 0.5 > np.median(suspicion[~false_N])


def test_it_is_learnt_while_somebody_looks_at_a_page() -> None:
    """Five thousand decisions take a moment, and so does a queue of a hundred thousand."""
    known, rest = crops(5000, told_by_looks=0.5), crops(100_000, seed=1)

    began = time.process_time()
    ranker = learned(known)
    between = time.process_time()
    ranker.suspicion(*rest[:2])

    assert between - began < 3  # some tenths of a second; machines that are busy are slower
    assert time.process_time() - between < 1


# --- pages ------------------------------------------------------------------------------------------------------------


def ranked(count: int = 1000) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    order = np.random.default_rng(5).permutation(count)
    return order, np.linspace(1, 0, count, dtype=np.float32)


def test_a_page_is_mostly_the_top() -> None:
    """Of sixty, fifty-one from the top, six from about the middle, three by chance; the most suspicious first."""
    order, suspicion = ranked()

    chosen = page(order, suspicion, 60, np.random.default_rng(0))

    places = np.argsort(order)[chosen]
    assert np.array_equal(places, np.unique(places))
    assert places[:51].tolist() == list(range(51))
    assert ((places > 495) & (places < 504)).sum() >= 6
    assert len(places) == 60


def test_chance_comes_round_to_everything() -> None:
    """Over many pages every crop is shown by chance."""
    order, suspicion = ranked(200)
    rng = np.random.default_rng(0)

    shown = {int(one) for _ in range(600) for one in page(order, suspicion, 60, rng)}

    assert shown == set(range(200))


def test_the_same_seed_gives_the_same_page() -> None:
    """And another seed another one."""
    order, suspicion = ranked()

    one, same, other = (page(order, suspicion, 60, np.random.default_rng(seed)) for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 19, 20, 59, 60, 61])
@pytest.mark.parametrize("there", [0, 1, 3, 60])
def test_no_crop_comes_twice_and_no_page_is_too_large(count: int, there: int) -> None:
    """Where fewer are left than a page holds, all of them are given."""
    order, suspicion = ranked(there)

    chosen = page(order, suspicion, count, np.random.default_rng(0))

    assert len(set(chosen.tolist())) == len(chosen) == min(count, there)
    assert np.isin(chosen, order).all()


# --- measures ---------------------------------------------------------------------------------------------------------


def test_items_are_counted_until_enough_is_found() -> None:
    """95 % of twenty are nineteen."""
    false_N = np.zeros(100, np.bool_)
    false_N[:20] = True

    assert items_to_find(np.arange(100), false_N) == 19
    assert items_to_find(np.arange(100)[::-1], false_N) == 99
    assert items_to_find(np.arange(100), false_N, share=1.0) == 20
    assert items_to_find(np.arange(100), np.zeros(100, np.bool_)) == 0


@pytest.mark.parametrize(("total", "false"), [(40, 1), (60, 7), (60, 60), (200, 20)])
def test_the_random_order_is_told_by_a_formula(total: int, false: int) -> None:
    """It is what thousands of shuffles come to on average."""
    rng, false_N = np.random.default_rng(0), np.arange(total) < false

    shuffled = np.mean([items_to_find(rng.permutation(total), false_N) for _ in range(4000)])

    assert expected_by_chance(total, false) == pytest.approx(shuffled, rel=0.02)


# --- a second look ----------------------------------------------------------------------------------------------------


def test_what_was_kept_by_mistake_is_named() -> None:
    """Of ten false crops that somebody kept most are among the first twenty; what was rejected is never named."""
    cheap_ND, embedded_ND, false_N = crops(600, told_by_looks=2.0)
    mistakes = np.flatnonzero(false_N)[:10]
    kept_N = ~false_N
    kept_N[mistakes] = True

    named = second_look(cheap_ND, embedded_ND, kept_N)

    assert len(set(named[:20].tolist()) & set(mistakes.tolist())) >= 6
    assert kept_N[named].all()


def test_no_second_look_before_anything_is_learnt() -> None:
    """A few decisions name nothing."""
    cheap_ND, embedded_ND, false_N = crops(ENOUGH)

    assert second_look(cheap_ND, embedded_ND, ~false_N).tolist() == []


def test_no_more_are_named_than_is_asked_for() -> None:
    """The most suspicious ones."""
    cheap_ND, embedded_ND, false_N = crops(400)

    named = second_look(cheap_ND, embedded_ND, ~false_N, most=3)

    assert np.array_equal(named, second_look(cheap_ND, embedded_ND, ~false_N)[:3])
    assert len(named) == 3
