from __future__ import annotations

import numpy as np
import pytest

from bench import near
from bench.near import Asked, Joined, Measured


def test_what_is_planted_is_near() -> None:
    """There are more pairs than copies with up to eight flips, and a tenth of all agree in the highest quarter."""
    told = near._joined(20_000)

    assert told.pairs >= 20_000 / 2 * 9 / 11 * 0.95
    quarter, counts = np.unique(near.plant(20_000) >> np.uint64(48), return_counts=True)
    assert quarter[counts.argmax()] == 0x8F1A
    assert counts.max() == pytest.approx(0.1 * 20_000, rel=0.1)


def test_faiss_finds_the_same() -> None:
    """A plain scan by others gives neither more nor fewer, of all pairs and of new hashes."""
    pytest.importorskip("faiss")

    assert near._scanned(20_000).missed == 0
    assert near._asked(20_000).missed == 0


def test_ten_millions_are_told_by_the_growth() -> None:
    """What grows with the power of 1.5 takes 31.6 times as long for ten times as many."""
    joined = [Joined(size, 0, (size / 1e6) ** 1.5, 0) for size in (250_000, 500_000, 1_000_000)]
    measured = Measured(joined, None, Asked(1, 1, 1.0, 1.0, 1.0, None, None))

    assert measured.slope == pytest.approx(1.5)
    assert measured.far_s == pytest.approx(10**1.5)
