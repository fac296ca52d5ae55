from __future__ import annotations

import imagehash
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline import near
from pipeline.near import Hashes, bits, near_pairs, to_hex

SHAPES = ("anything", "clusters", "few values", "half constant", "two camps", "one long run")


def _hashes(shape: str, count: int, seed: int) -> Hashes:
    """Hashes of one of the shapes that bands find hard."""
    random = np.random.default_rng(seed)
    free = random.integers(0, 2**64, count, np.uint64)
    match shape:
        case "clusters":
            return free[random.integers(0, max(1, count // 20), count)] ^ _flipped(random, count, share=0.06)
        case "few values":
            return free[random.integers(0, min(4, count), count)]
        case "half constant":
            return free & np.uint64(0x0F0F_0F0F_0F0F_0F0F) | np.uint64(0xA0A0 << 48)
        case "two camps":
            return random.integers(0, 2, count, np.uint64) * np.uint64(2**64 - 1) ^ _flipped(random, count, share=0.2)
        case "one long run":
            return np.arange(count, dtype=np.uint64) * np.uint64(3)
        case _:
            return free


def _flipped(random: np.random.Generator, count: int, share: float) -> Hashes:
    set_bits = (random.random((count, 64)) < share).astype(np.uint64)
    return np.asarray((set_bits << np.arange(64, dtype=np.uint64)).sum(axis=1, dtype=np.uint64))


def _brute(hashes: Hashes, distance: int) -> NDArray[np.int64]:
    close = np.bitwise_count(hashes[:, np.newaxis] ^ hashes) <= distance
    return np.argwhere(np.triu(close, 1))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.integers(0, 31), st.randoms(use_true_random=False))
def test_no_pair_of_few_is_missed(values: list[int], distance: int, random: object) -> None:
    """Of a handful of hashes exactly the pairs are found that comparing all with all finds."""
    close = [value ^ (1 << random.randrange(64)) for value in values[:10]]  # type: ignore[attr-defined]
    hashes = np.array(values + close, np.uint64)

    assert near_pairs(hashes, distance).tolist() == _brute(hashes, distance).tolist()


@settings(max_examples=60, deadline=None)
@given(
    shape=st.sampled_from(SHAPES),
    count=st.integers(2, 600),
    seed=st.integers(0, 2**32),
    distance=st.integers(0, 12),
    most=st.integers(1, 3),
    large=st.integers(2, 40),
    mixer=st.sampled_from([near.MIXER, np.uint64(1)]),  # by 1 many crowds fall together, which else is rare
)
def test_no_pair_of_many_is_missed(
    shape: str, count: int, seed: int, distance: int, most: int, large: int, mixer: np.uint64
) -> None:
    """However tables are chosen, and whatever crowds fall together or are divided again, each pair is found, once."""
    hashes = _hashes(shape, count, seed)
    told = {"SORTED_COST": 1, "TABLE_COST": 1, "MOST_AGREEING": most, "LARGE": large, "BLOCK": 64, "MIXER": mixer}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in told.items():
            patch.setattr(near, name, value)
        assert near_pairs(hashes, distance).tolist() == _brute(hashes, distance).tolist()


@pytest.mark.parametrize("shape", SHAPES)
def test_no_pair_of_thousands_is_missed(shape: str) -> None:
    """As it is configured, where tables are really used, each pair within 5 is found, and once."""
    hashes = _hashes(shape, 2500, seed=7)

    assert near._plan(np.unique(_hashes("anything", 2500, seed=7)), 5).agreeing
    assert np.array_equal(near_pairs(hashes, 5), _brute(hashes, 5))


def test_every_hash_is_within_64_bits_of_every_other() -> None:
    """A distance that asks for nothing gives all pairs."""
    assert near_pairs(np.array([0, 2**64 - 1, 5], np.uint64), 64).tolist() == [[0, 1], [0, 2], [1, 2]]


@pytest.mark.parametrize("hashes", [[], [7]])
def test_fewer_than_two_hashes_have_no_pair(hashes: list[int]) -> None:
    """Nothing, and one alone, are near to nothing."""
    assert near_pairs(np.array(hashes, np.uint64), 8).shape == (0, 2)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_hashes_are_written_as_imagehash_writes_them(values: list[int]) -> None:
    """What we write, imagehash reads and writes again as it was; what it writes, we read."""
    words = [to_hex(value) for value in values]
    theirs = [str(imagehash.hex_to_hash(word)) for word in words]

    assert theirs == words
    assert [bits(word) for word in theirs] == values


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_distance_is_that_of_imagehash(one: int, other: int) -> None:
    """Two hashes are near from the distance on that imagehash gives them."""
    hashes = np.array([one, other], np.uint64)
    mine, theirs = (imagehash.hex_to_hash(word) for word in (to_hex(one), to_hex(other)))

    assert near_pairs(hashes, int(mine - theirs)).tolist() == [[0, 1]]
    assert near_pairs(hashes, max(0, int(mine - theirs) - 1)).tolist() == ([[0, 1]] if one == other else [])


@pytest.mark.parametrize(
    "word", ["", "00", "g" * 16, "0" * 17, " " * 16, "0x" + "0" * 14, "00 00 00 00 00 0", "0" * 16 + "\n"]
)
def test_what_is_no_hash_is_named(word: str) -> None:
    """A word that is not 16 hexadecimal digits is refused, with the word."""
    with pytest.raises(ValueError, match="no perceptual hash of 64 bits"):
        bits(word)
