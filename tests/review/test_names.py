from __future__ import annotations

import numpy as np
import pytest

from pipeline.review.names import by_look, find

KNOWN = {"charles_montgomery_burns": 3, "homer_simpson": 9, "bart_simpson": 5, "burnside": 1}


def labels(text: str, near: dict[str, float] | None = None) -> list[str]:
    return [one.label for one in find(text, [("used", KNOWN)], near or {})]


@pytest.mark.parametrize(
    ("text", "first"),
    [("burn", "burnside"), ("burns", "burnside"), ("mr", None), ("BURNS", "burnside"), ("simpson", "homer_simpson")],
)
def test_a_part_of_a_name_finds_it(text: str, first: str | None) -> None:
    """Its beginning first, then a word of it; of equals the more frequent."""
    assert (labels(text) or [None])[0] == first


def test_burns_finds_charles_montgomery_burns() -> None:
    """As the document of the Simpsons had it, and says where the text stands in it."""
    (found,) = [one for one in find("burns", [("used", KNOWN)], {}) if one.label.startswith("charles")]

    assert found.match is not None
    assert found.label[slice(*found.match)] == "burns"


def test_letters_with_gaps_find_a_name_as_well() -> None:
    """When nothing holds them in one piece."""
    assert labels("hmrsmpsn") == ["homer_simpson"]


def test_without_a_text_what_looks_alike_comes_first() -> None:
    """Then what was given most often."""
    assert labels("", {"bart_simpson": 0.6})[:2] == ["bart_simpson", "homer_simpson"]


def test_a_crop_is_called_as_those_that_look_like_it() -> None:
    """With more confidence, the more of them there are."""
    homer, bart = np.eye(4, dtype=np.float32)[:2]
    known = np.array([homer] * 6 + [bart] * 3)

    (said,) = by_look(np.array([homer]), known, ["homer"] * 6 + ["bart"] * 3)

    assert max(said, key=lambda name: said[name]) == "homer"
    assert said["homer"] > 0.9


def test_one_labelled_crop_is_little_evidence() -> None:
    """So nobody is led to take the first name for all."""
    one = np.ones((1, 4), np.float32)

    assert by_look(one, one, ["homer"])[0]["homer"] < 0.3


def test_a_crop_that_was_not_looked_at_is_called_nothing() -> None:
    """And one that was not is no neighbour."""
    unknown, known = np.full((1, 4), np.nan, np.float32), np.ones((1, 4), np.float32)

    assert by_look(unknown, known, ["homer"]) == [{}]
    assert by_look(known, unknown, ["homer"]) == [{}]
