from __future__ import annotations

import numpy as np
import pytest

from pipeline.sandbox.pairs import TRUTH, Kind, Subject, draw_pairs


@pytest.mark.parametrize("subject", Subject)
def test_a_seed_draws_the_same_pairs(subject: Subject) -> None:
    """Every pixel of both pictures is fixed by the seed."""
    for one, again in zip(draw_pairs((5,), subject), draw_pairs((5,), subject), strict=True):
        assert np.array_equal(one.one_HWC, again.one_HWC)
        assert np.array_equal(one.other_HWC, again.other_HWC)


def test_every_kind_is_drawn_once() -> None:
    """A picture has one pair of each kind, and each kind has its truth."""
    assert [pair.kind for pair in draw_pairs((6,), Subject.FACE)] == list(Kind) == sorted(TRUTH, key=list(Kind).index)


def test_crops_are_cut_a_little_off_their_place() -> None:
    """A detector's box moves when a picture is saved again; both crops are as large all the same."""
    pair = next(draw_pairs((7,), Subject.FACE))

    assert pair.one_HWC.shape == pair.other_HWC.shape == (256, 256, 3)
    assert np.abs(pair.one_HWC.astype(int) - pair.other_HWC).max() > 60
