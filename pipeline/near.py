"""Which of many perceptual hashes are alike: every pair within a distance, found without comparing all with all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

BITS = 64
HASH = re.compile("[0-9a-fA-F]{16}")
# The cost model counts in comparisons of two hashes, about a nanosecond each. Measured from 1,000 to 2,000,000 hashes.
SORTED_COST = 25  # comparisons that sorting one hash into one table costs
TABLE_COST = 100_000  # comparisons that a table costs, however few hashes are in it
MOST_AGREEING = 6
SAMPLE = 4096  # hashes by which the bits are weighed
LARGE = 1024  # hashes that agree in a table; more are divided again, by other bits
DIVIDED = 2  # times; what is large after that is compared all with all
BLOCK = 1 << 17  # hashes compared in one call: more leave the cache, fewer are all overhead
DENSE = 0.1  # share of a block that must have a partner before the whole block is compared, a plain run through memory
MIXER = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: Knuth's multiplicative hashing (TAOCP 6.4)
HALF = np.uint64(32)
PLACE = np.uint64(0xFFFFFFFF)  # the lower half of a word, where a table or a pair keeps a place

Places = NDArray[np.int64]
Hashes = NDArray[np.uint64]
_Pairs = tuple[Places, Places]


def bits(word: str) -> int:
    """Read a hash as imagehash writes it: the first bit of ``imagehash.ImageHash.hash`` is the highest of 64.

    Raises:
        ValueError: The word is no hash of 64 bits.
    """
    if not HASH.fullmatch(word):
        raise ValueError(f"{word[:40]!r}: no perceptual hash of 64 bits; give 16 hexadecimal digits")
    return int(word, 16)


def to_hex(value: int) -> str:
    """Write a hash of 64 bits as imagehash does: ``imagehash.hex_to_hash`` reads it."""
    return f"{value:016x}"


def near_pairs(hashes: Hashes, max_distance: int) -> NDArray[np.int64]:
    """Find all pairs of hashes that differ in at most *max_distance* bits.

    Cut into ``max_distance + k`` chunks of bits, two such hashes agree wholly in at least k of them (pigeonhole). So
    for each choice of k chunks the hashes are sorted by these, and only those that agree there are compared; a pair
    counts for the first choice in which it agrees. Chunks are of one entropy, not of one width, and a large crowd that
    still agrees is divided again by its other bits. Equal hashes are compared once: nothing but the result grows with
    the square of their number, so a caller that may meet ten thousands of them should hand in each once.

    Args:
        hashes: (N,) uint64, fewer than 2^32.
        max_distance: 0 to 64 bits. A million takes one core about ten seconds within 8, ten times that within 12.

    Returns:
        (M, 2) int64, indices with the smaller first, each pair once, sorted.
    """
    members = np.argsort(hashes, kind="stable")
    values, starts, counts = np.unique(hashes[members], return_index=True, return_counts=True)
    several = np.flatnonzero(counts > 1)
    alike = [_packed(several, several), *(_packed(*some) for some in _alike(values, max_distance, DIVIDED))]
    found = [np.empty(0, np.uint64)]
    for some in alike:
        blocks = (some[low : low + BLOCK] for low in range(0, len(some), BLOCK))
        found += [_members(block, members, starts, counts) for block in blocks]
    del alike
    packed = np.concatenate(found)
    del found
    packed.sort()
    pairs = np.empty((len(packed), 2), np.int64)
    pairs[:, 0] = packed >> HALF
    pairs[:, 1] = packed & PLACE
    return pairs


def _packed(one: Places, other: Places) -> Hashes:
    return one.astype(np.uint64) << HALF | other.astype(np.uint64)


def _members(alike: Hashes, members: Places, starts: Places, counts: Places) -> Hashes:
    """Give for pairs of values the pairs of all that have them, the smaller first."""
    ones, others = (alike >> HALF).astype(np.int64), (alike & PLACE).astype(np.int64)
    high = counts[others]
    pair, nth = runs(counts[ones] * high)
    first, second = np.divmod(nth, high[pair])
    one, other = members[starts[ones[pair]] + first], members[starts[others[pair]] + second]
    # Of a value with itself each pair comes twice, and each member with itself.
    once = (ones != others)[pair] | (one < other)
    return _packed(np.minimum(one, other)[once], np.maximum(one, other)[once])


def runs(lengths: Places) -> _Pairs:
    """Number the elements of runs.

    Returns:
        Of each element of each run, the runs one after the other: which run it is in, and its place there from 0.
    """
    run = np.repeat(np.arange(len(lengths)), lengths)
    return run, np.arange(len(run)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _alike(values: Hashes, distance: int, divided: int) -> Iterator[_Pairs]:
    """Give the places of all pairs of *values*, which are all different, within *distance*; each pair once."""
    plan = _plan(values, distance) if divided and len(values) > 1 else _Plan(chunks=())
    if not plan.agreeing:
        yield from _all_with_all(values, distance)
        return
    for chosen in combinations(range(len(plan.chunks)), plan.agreeing):
        together = np.bitwise_or.reduce([plan.chunks[number] for number in chosen])
        earlier = [plan.chunks[number] for number in range(chosen[-1]) if number not in chosen]
        table = _table(values, together)
        for one, other in _in_table(table, distance, divided - 1):
            differing = table.hashes[one] ^ table.hashes[other]
            first = differing & together == 0
            for chunk in earlier:  # agreed in, an earlier choice would have found the pair
                first &= differing & chunk != 0
            yield table.places[one[first]], table.places[other[first]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to divide hashes."""

    chunks: tuple[np.uint64, ...]  # bits of each
    agreeing: int = 0  # how many of them a table is sorted by; 0: compare all with all


def _plan(values: Hashes, distance: int) -> _Plan:
    """Choose what costs the fewest comparisons, were the bits independent of each other."""
    entropy = _entropy(values[:: -(-len(values) // SAMPLE)])
    count, whole = len(values), float(entropy.sum())
    pairs = count * (count - 1) / 2
    costs = {0: pairs} | {
        agreeing: comb(distance + agreeing, agreeing)
        * (count * SORTED_COST + TABLE_COST + pairs * 2.0 ** (-whole * agreeing / (distance + agreeing)))
        for agreeing in range(1, MOST_AGREEING + 1)
    }
    best = min(costs, key=costs.__getitem__)
    return _Plan(chunks=_chunks(entropy, distance + best), agreeing=best) if best else _Plan(chunks=())


def _entropy(sample: Hashes) -> NDArray[np.float64]:
    """Say of each bit, the lowest first, how seldom two hashes agree in it: Rényi's entropy of order 2, 0 to 1."""
    octets = sample.astype("<u8").view(np.uint8).reshape(-1, BITS // 8)
    share = np.unpackbits(octets, axis=1, bitorder="little").mean(axis=0, dtype=np.float64)
    return np.asarray(-np.log2(share**2 + (1 - share) ** 2))


def _chunks(entropy: NDArray[np.float64], count: int) -> tuple[np.uint64, ...]:
    """Cut the bits into *count* runs of about the same entropy."""
    middle = np.cumsum(entropy) - entropy / 2
    number = np.minimum(middle * count / entropy.sum(), count - 1).astype(int)
    ones = np.uint64(1) << np.arange(BITS, dtype=np.uint64)
    return tuple(np.bitwise_or.reduce(ones[number == chunk], initial=np.uint64(0)) for chunk in range(count))


@dataclass(frozen=True, slots=True)
class _Table:
    """Hashes ordered so that a crowd which agrees in some bits stands together; two crowds may, by chance, be one."""

    hashes: Hashes
    places: Places  # where each came from
    ends: Places  # of each crowd


def _table(values: Hashes, together: np.uint64) -> _Table:
    order = values & together
    order *= MIXER
    order &= ~PLACE
    order |= np.arange(len(values), dtype=np.uint64)
    order.sort()
    places = (order & PLACE).astype(np.int64)
    order >>= HALF
    return _Table(values.take(places), places, np.append(np.flatnonzero(order[1:] != order[:-1]) + 1, len(values)))


def _in_table(table: _Table, distance: int, divided: int) -> Iterator[_Pairs]:
    """Give the places in *table* of pairs within *distance* of which both are in one crowd."""
    sizes = np.diff(table.ends, prepend=0)
    followers = np.repeat(np.where(sizes > LARGE, 0, table.ends), sizes) - np.arange(1, len(table.hashes) + 1)
    np.maximum(followers, 0, out=followers)
    for low in range(0, len(followers), BLOCK):
        yield from _with_followers(table.hashes, followers, low, distance)
    for crowd in np.flatnonzero(sizes > LARGE).tolist():
        end = int(table.ends[crowd])
        start = end - int(sizes[crowd])
        for one, other in _alike(table.hashes[start:end], distance, divided):
            yield start + one, start + other


def _with_followers(hashes: Hashes, followers: Places, low: int, distance: int) -> Iterator[_Pairs]:
    """Compare each hash of the block from *low* on with so many that come after it, step by step."""
    some = followers[low : low + BLOCK]
    at_least = len(some) - np.cumsum(np.bincount(some))  # how many have more than 0, 1, 2 … followers
    dense = int(np.count_nonzero(at_least > DENSE * len(some)))
    for step in range(1, dense + 1):
        there = hashes[low + step : low + step + BLOCK]
        one = np.flatnonzero(
            np.bitwise_count(hashes[low : low + len(there)][: len(some)] ^ there[: len(some)]) <= distance
        )
        one = low + one[some[one] >= step]
        if one.size:
            yield one, one + step
    step, left = dense + 1, low + np.flatnonzero(some > dense)
    while left.size:
        one = left[np.bitwise_count(hashes.take(left) ^ hashes.take(left + step)) <= distance]
        if one.size:
            yield one, one + step
        step += 1
        left = left[followers.take(left) >= step]


def _all_with_all(values: Hashes, distance: int) -> Iterator[_Pairs]:
    high = max(1, 2 * BLOCK // max(1, len(values)))
    for top in range(0, len(values), high):
        one, other = within(values[top : top + high], values[top:], distance)
        later = one < other
        if later.any():
            yield top + one[later], top + other[later]


def within(ones: Hashes, others: Hashes, distance: int) -> _Pairs:
    """Compare each of *ones* with each of *others*; give the places of those within *distance*."""
    close = np.bitwise_count(ones[:, np.newaxis] ^ others) <= distance
    one, other = np.divmod(np.flatnonzero(close), max(1, len(others)))
    return one, other
