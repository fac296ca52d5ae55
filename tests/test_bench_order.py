"""What the bench tells of the order of the queue."""

from __future__ import annotations

import numpy as np
import pytest

from bench.order import Measured, table
from flows.order import Simulated
from pipeline.review.simulate import Curve


def curve(name: str, to_95: int) -> Curve:
    return Curve(name=name, found=np.linspace(0, 20, 201), to_95=to_95)


@pytest.fixture
def measured() -> Measured:
    """Twenty of two hundred are false; the learned order takes 30 in one run and 40 in the other."""
    return Measured(
        tuple(
            Simulated(
                about="all waits", page=60, curves=(curve("random", 180), curve("score", 60), curve("learned", learned))
            )
            for learned in (30, 40)
        )
    )


def test_the_learned_order_is_told_as_the_mean_of_its_runs(measured: Measured) -> None:
    """As a number of crops, and as a share of the random order."""
    assert measured.to_95("learned") == 35
    assert measured.share(measured.to_95("learned")) == pytest.approx(35 / 180)
    assert measured.wss_95("learned") == pytest.approx(1 - 35 / 200 - 0.05)


def test_a_row_tells_what_no_order_can_do_better(measured: Measured) -> None:
    """Nineteen of twenty are 95 %."""
    (row,) = table([measured]).rows

    assert row == [
        "all waits", "200", "20", "180", "60", "35", "19", "33.3%", "19.4%", "10.6%", "0.775",
    ]  # fmt: skip
