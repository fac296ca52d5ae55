"""Hides how all pairs of hashes that differ in few bits are found without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

BITS = 64


def near_pairs(hashes: NDArray[np.uint64], max_distance: int) -> NDArray[np.int64]:
    """Find all pairs of hashes that differ in at most *max_distance* bits.

    Two such hashes agree wholly in at least one of ``max_distance + 1`` bands of bits (pigeonhole), so only hashes that
    share a band are compared.

    Args:
        hashes: (N,) uint64.
        max_distance: 0 to 31 bits.

    Returns:
        (M, 2) int64, indices with the smaller first, each pair once, sorted.
    """
    edges = np.linspace(0, BITS, max_distance + 2).astype(int)
    found = [np.empty((0, 2), np.int64)]
    for low, high in pairwise(edges.tolist()):
        band = (hashes >> np.uint64(low)) & np.uint64((1 << high - low) - 1)
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=band[order[:1]] + np.uint64(1)))
        for members in np.split(order, starts[1:]):
            found += _near_within(hashes, np.sort(members), max_distance)
    pairs = np.concatenate(found)
    return np.unique(pairs, axis=0)


def _near_within(hashes: NDArray[np.uint64], members: NDArray[np.int64], distance: int) -> Iterator[NDArray[np.int64]]:
    for place, member in enumerate(members[:-1]):
        others = members[place + 1 :]
        near = others[np.bitwise_count(hashes[others] ^ hashes[member]) <= distance]
        if near.size:
            yield np.stack([np.full_like(near, member), near], axis=1)
