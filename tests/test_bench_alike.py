from __future__ import annotations

import pytest

from bench.alike import average_precision, recall_at


def test_a_stranger_above_a_copy_costs_its_recall() -> None:
    """At precision 1.0 only what scores above every stranger counts."""
    assert recall_at(1.0, [0.9, 0.8, 0.4, 0.3], [0.5, 0.1]) == 0.5


def test_a_stranger_as_high_as_a_copy_is_taken_with_it() -> None:
    """A threshold cannot part equal scores."""
    assert recall_at(1.0, [0.9, 0.5], [0.5]) == 0.5


def test_a_lower_precision_allows_for_a_stranger() -> None:
    """Four copies and one stranger are a precision of 0.8."""
    assert recall_at(0.8, [0.9, 0.8, 0.4, 0.3], [0.5, 0.1]) == 1.0


def test_average_precision_is_the_area_under_the_steps() -> None:
    """Two of two, then four of five: half a unit of recall each."""
    assert average_precision([0.9, 0.9, 0.4, 0.4], [0.5]) == pytest.approx(0.5 * 1 + 0.5 * 0.8)
